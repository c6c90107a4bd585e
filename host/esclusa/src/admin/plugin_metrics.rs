//! The plugins' own metrics in Prometheus' text format, as `esclusa_custom_NAME`.
//!
//! A name has one type in the whole answer, or a scraper refuses all of it: if plugins of two routes use a name for a gauge and for a
//! histogram, the series of the later route are left out and counted.

use super::metrics::{head, line};
use esclusa_sandbox::caps::HISTOGRAM;
use esclusa_sandbox::{MetricSeries, MetricValue, PluginMetrics};
use std::collections::BTreeMap;

const REFUSED: &str = "esclusa_custom_metrics_refused_total";

/// The series of a name, with their routes.
type Family<'a> = Vec<(&'a str, &'a MetricSeries, &'a MetricValue)>;

/// Appends all metrics.
pub(super) fn render(out: &mut String, routes: &[PluginMetrics]) {
    let mut families: BTreeMap<(String, &str), Family<'_>> = BTreeMap::new();
    let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    for route in routes {
        let count = refused.entry(&route.route).or_default();
        *count = count.saturating_add(route.refused);
        for (series, value) in &route.series {
            let (name, kind) = match value {
                MetricValue::Counter(_) => (format!("esclusa_custom_{}_total", series.name), "counter"),
                MetricValue::Gauge(_) => (format!("esclusa_custom_{}", series.name), "gauge"),
                MetricValue::Histogram(..) => (format!("esclusa_custom_{}", series.name), "histogram"),
            };
            if *kinds.entry(name.clone()).or_insert(kind) == kind {
                families.entry((name, kind)).or_default().push((&route.route, series, value));
            } else {
                *count = count.saturating_add(1);
            }
        }
    }
    head(out, REFUSED, "counter", "Values of the plugins' own metrics that were left out.");
    for (route, count) in &refused {
        line(out, REFUSED, &[("route", route)], *count as f64);
    }
    for ((name, kind), series) in &families {
        head(out, name, kind, "A metric of a plugin.");
        for (route, series, value) in series {
            let labels = series.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
            let labels: Vec<_> = [("route", *route)].into_iter().chain(labels).collect();
            match value {
                MetricValue::Counter(sum) => line(out, name, &labels, *sum as f64),
                MetricValue::Gauge(value) => line(out, name, &labels, *value),
                MetricValue::Histogram(counts, sum) => histogram(out, name, &labels, counts, *sum),
            }
        }
    }
}

fn histogram(out: &mut String, name: &str, labels: &[(&str, &str)], counts: &[u64], sum: f64) {
    let mut total = 0_u64;
    let bounds = HISTOGRAM.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(counts) {
        total = total.saturating_add(*count);
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        line(out, &format!("{name}_bucket"), &labels, total as f64);
    }
    line(out, &format!("{name}_sum"), labels, sum);
    line(out, &format!("{name}_count"), labels, total as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, series: &[(&str, MetricValue)]) -> PluginMetrics {
        let labels = vec![("kind".to_owned(), "a\"b".to_owned())];
        let named = |name: &str| MetricSeries { name: name.to_owned(), labels: labels.clone() };
        let series = series.iter().map(|(name, value)| (named(name), value.clone())).collect();
        PluginMetrics { route: name.to_owned(), refused: 2, series }
    }

    fn lines(routes: &[PluginMetrics]) -> Vec<String> {
        let mut out = String::new();
        render(&mut out, routes);
        out.lines().filter(|line| !line.starts_with("# HELP")).map(str::to_owned).collect()
    }

    #[test]
    fn series_of_a_name_stand_together_whatever_their_route() {
        let of = |name| route(name, &[("a", MetricValue::Gauge(0.5)), ("n", MetricValue::Counter(3))]);
        assert_eq!(
            lines(&[of("r"), of("s")]),
            [
                "# TYPE esclusa_custom_metrics_refused_total counter",
                "esclusa_custom_metrics_refused_total{route=\"r\"} 2",
                "esclusa_custom_metrics_refused_total{route=\"s\"} 2",
                "# TYPE esclusa_custom_a gauge",
                "esclusa_custom_a{route=\"r\",kind=\"a\\\"b\"} 0.5",
                "esclusa_custom_a{route=\"s\",kind=\"a\\\"b\"} 0.5",
                "# TYPE esclusa_custom_n_total counter",
                "esclusa_custom_n_total{route=\"r\",kind=\"a\\\"b\"} 3",
                "esclusa_custom_n_total{route=\"s\",kind=\"a\\\"b\"} 3",
            ]
        );
    }

    #[test]
    fn a_name_has_one_type_in_the_whole_answer() {
        let mut counts = [0; HISTOGRAM.len() + 1];
        counts[0] = 1;
        counts[HISTOGRAM.len()] = 1;
        let histogram = MetricValue::Histogram(counts, 7.5);
        let lines = lines(&[route("r", &[("a", histogram)]), route("s", &[("a", MetricValue::Gauge(1.0))])]);
        assert_eq!(lines.iter().filter(|line| line.starts_with("# TYPE esclusa_custom_a ")).count(), 1);
        assert!(lines.contains(&"esclusa_custom_metrics_refused_total{route=\"s\"} 3".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"esclusa_custom_a_bucket{route=\"r\",kind=\"a\\\"b\",le=\"0.001\"} 1".to_owned()));
        assert!(lines.contains(&"esclusa_custom_a_bucket{route=\"r\",kind=\"a\\\"b\",le=\"10000\"} 1".to_owned()));
        assert!(lines.contains(&"esclusa_custom_a_bucket{route=\"r\",kind=\"a\\\"b\",le=\"+Inf\"} 2".to_owned()));
        assert_eq!(lines.last().unwrap(), "esclusa_custom_a_count{route=\"r\",kind=\"a\\\"b\"} 2");
    }
}
