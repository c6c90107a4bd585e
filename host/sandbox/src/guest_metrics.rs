//! Metrics of the plugins' own: gathered in a call, added to those of the route when the call has given its output.
//!
//! Names, labels and their number are bounded, so that no event can fill the memory of the router or of the server that
//! scrapes it. A metric that does not fit is left out and counted, and told once in the log.

use esclusa_flow::verdict::cut;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Bytes of the name of a metric or label.
pub const NAME_BYTES: usize = 64;
/// Bytes of the value of a label.
pub const VALUE_BYTES: usize = 128;
/// Labels of a metric.
pub const LABELS: usize = 8;
/// Series of a route: metrics with different names or labels.
pub const SERIES: usize = 500;
/// Bounds of every histogram.
pub const BOUNDS: [f64; 22] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0,
    1_000.0, 2_500.0, 5_000.0, 10_000.0,
];
/// Ends of names that the text format gives a meaning to.
const SUFFIXES: [&str; 5] = ["_total", "_sum", "_count", "_bucket", "_created"];

/// A series: its name, and its labels in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricSeries {
    /// The plugin's name of the metric, without `_total`.
    pub name: String,
    /// Names and values.
    pub labels: Vec<(String, String)>,
}

/// What a series has gathered.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// The sum of all amounts.
    Counter(u64),
    /// The last value.
    Gauge(f64),
    /// How many values there were up to each of the [`BOUNDS`] and above the last, and their sum.
    Histogram([u64; BOUNDS.len() + 1], f64),
}

impl MetricValue {
    /// A histogram of one value.
    pub(crate) fn observed(value: f64) -> Self {
        let mut counts = [0; BOUNDS.len() + 1];
        let at = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = counts.get_mut(at) {
            *count = 1;
        }
        MetricValue::Histogram(counts, value)
    }

    /// Adds what came later. False if it is of another kind.
    fn merge(&mut self, later: &MetricValue) -> bool {
        match (self, later) {
            (MetricValue::Counter(sum), MetricValue::Counter(more)) => *sum = sum.saturating_add(*more),
            (MetricValue::Gauge(value), MetricValue::Gauge(later)) => *value = *later,
            (MetricValue::Histogram(counts, sum), MetricValue::Histogram(more, sum_of_more)) => {
                for (count, more) in counts.iter_mut().zip(more) {
                    *count = count.saturating_add(*more);
                }
                *sum += sum_of_more;
            }
            _ => return false,
        }
        true
    }

    fn is_finite(&self) -> bool {
        match self {
            MetricValue::Counter(_) => true,
            MetricValue::Gauge(value) | MetricValue::Histogram(_, value) => value.is_finite(),
        }
    }
}

/// Series with their values, at most [`SERIES`].
#[derive(Debug, Default)]
pub(crate) struct MetricSet {
    series: BTreeMap<MetricSeries, MetricValue>,
    refused: u64,
    /// The first refusal, until it is logged.
    why: Option<String>,
}

impl MetricSet {
    /// Takes a value from a guest.
    pub(crate) fn add(&mut self, name: String, labels: Vec<(String, String)>, value: MetricValue) {
        match checked(name, labels, &value) {
            Ok(series) => self.merge(series, value),
            Err(why) => self.refuse(1, why),
        }
    }

    fn merge(&mut self, series: MetricSeries, value: MetricValue) {
        if let Some(there) = self.series.get_mut(&series) {
            if !there.merge(&value) {
                self.refuse(1, other_kind(&series.name));
            }
            return;
        }
        let same_name = MetricSeries { name: series.name.clone(), labels: Vec::new() };
        let sibling = self.series.range(same_name..).next().filter(|(other, _)| other.name == series.name);
        if sibling.is_some_and(|(_, other)| std::mem::discriminant(other) != std::mem::discriminant(&value)) {
            return self.refuse(1, other_kind(&series.name));
        }
        if self.series.len() >= SERIES {
            return self.refuse(1, format!("{}: the route has {SERIES} series", series.name));
        }
        self.series.insert(series, value);
    }

    fn refuse(&mut self, times: u64, why: String) {
        self.refused = self.refused.saturating_add(times);
        self.why.get_or_insert(why);
    }

    /// True if a guest has given nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.refused == 0
    }

    /// Forgets everything: the call failed.
    pub(crate) fn clear(&mut self) {
        *self = MetricSet::default();
    }
}

fn other_kind(name: &str) -> String {
    format!("{name} is a metric of another kind already")
}

/// The name and labels of a value, if they are well formed.
fn checked(name: String, mut labels: Vec<(String, String)>, value: &MetricValue) -> Result<MetricSeries, String> {
    let shown = || cut(&name, NAME_BYTES).escape_debug().to_string();
    if !value.is_finite() {
        return Err(format!("{}: its value is not a finite number", shown()));
    }
    let base = match value {
        MetricValue::Counter(_) => name.strip_suffix("_total").unwrap_or(&name),
        _ => &name,
    };
    if !well_formed(base) || SUFFIXES.iter().any(|suffix| base.ends_with(suffix)) {
        return Err(format!("{:?} is no name of a metric", shown()));
    }
    if labels.len() > LABELS {
        return Err(format!("{base} has {} labels, at most {LABELS} are taken", labels.len()));
    }
    labels.sort();
    let twice = labels.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
    let bad = |(label, value): &(String, String)| {
        !well_formed(label) || matches!(label.as_str(), "route" | "le") || value.len() > VALUE_BYTES
    };
    if twice || labels.iter().any(bad) {
        return Err(format!("{base} has a label that is not well formed, or two of one name"));
    }
    Ok(MetricSeries { name: base.to_owned(), labels })
}

fn well_formed(name: &str) -> bool {
    let rest = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= NAME_BYTES && name.bytes().next().is_some_and(|c| c.is_ascii_lowercase()) && name.bytes().all(rest)
}

/// The metrics of a route's plugins. They last over a reload of the plugin.
#[derive(Debug, Default)]
pub(crate) struct RouteMetrics(Mutex<(MetricSet, bool)>);

impl RouteMetrics {
    /// Adds those of a call that has given its output.
    pub(crate) fn absorb(&self, route: &str, call: &mut MetricSet) {
        if call.is_empty() {
            return;
        }
        let call = std::mem::take(call);
        let mut guard = self.0.lock();
        let (set, told) = &mut *guard;
        for (series, value) in call.series {
            set.merge(series, value);
        }
        if let Some(why) = call.why {
            set.refuse(call.refused, why);
        }
        if let Some(why) = set.why.take()
            && !std::mem::replace(told, true)
        {
            drop(guard);
            tracing::warn!(route, code = "plugin.metric_refused", "a metric of the plugin was left out: {why}");
        }
    }
}

/// The metrics of a route at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginMetrics {
    /// Name of the route.
    pub route: String,
    /// Values that were left out.
    pub refused: u64,
    /// Its series, in the order of their names and labels.
    pub series: Vec<(MetricSeries, MetricValue)>,
}

/// The metrics of all routes. A route's are forgotten when its last plugin is dropped.
#[derive(Debug, Default)]
pub(crate) struct MetricsByRoute(Mutex<BTreeMap<Arc<str>, Weak<RouteMetrics>>>);

impl MetricsByRoute {
    /// Those of a route: the ones that its plugin uses now, or new ones.
    pub(crate) fn of(&self, route: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = self.0.lock();
        routes.retain(|_, metrics| metrics.strong_count() > 0);
        if let Some(there) = routes.get(route).and_then(Weak::upgrade) {
            return there;
        }
        let metrics = Arc::new(RouteMetrics::default());
        routes.insert(route.clone(), Arc::downgrade(&metrics));
        metrics
    }

    /// A copy of all that there are.
    pub(crate) fn read(&self) -> Vec<PluginMetrics> {
        let routes: Vec<_> =
            self.0.lock().iter().filter_map(|(route, m)| Some((route.clone(), m.upgrade()?))).collect();
        let read = |(route, metrics): (Arc<str>, Arc<RouteMetrics>)| {
            let guard = metrics.0.lock();
            let series = guard.0.series.iter().map(|(series, value)| (series.clone(), value.clone())).collect();
            PluginMetrics { route: route.to_string(), refused: guard.0.refused, series }
        };
        routes.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn absorbed(calls: impl IntoIterator<Item = MetricSet>) -> PluginMetrics {
        let routes = MetricsByRoute::default();
        let metrics = routes.of(&"r".into());
        calls.into_iter().for_each(|mut call| metrics.absorb("r", &mut call));
        routes.read().remove(0)
    }

    #[test]
    fn calls_add_up() {
        let call = |amount: u64, value: f64| {
            let mut set = MetricSet::default();
            set.add("orders".into(), labels(&[("b", "2"), ("a", "1")]), MetricValue::Counter(amount));
            set.add("orders_total".into(), labels(&[("a", "1"), ("b", "2")]), MetricValue::Counter(1));
            set.add("depth".into(), Vec::new(), MetricValue::Gauge(value));
            set.add("seconds".into(), Vec::new(), MetricValue::observed(value));
            set
        };
        let read = absorbed([call(2, 0.002), call(3, 99_999.0)]);
        assert_eq!(read.refused, 0);
        let values: Vec<_> = read.series.iter().map(|(series, value)| (series.name.as_str(), value)).collect();
        assert_eq!(values[0], ("depth", &MetricValue::Gauge(99_999.0)));
        assert_eq!(values[1], ("orders", &MetricValue::Counter(7)));
        assert_eq!(read.series[1].0.labels, labels(&[("a", "1"), ("b", "2")]));
        let MetricValue::Histogram(counts, sum) = values[2].1 else { panic!("{values:?}") };
        assert_eq!((counts[1], counts[BOUNDS.len()], counts.iter().sum::<u64>(), *sum), (1, 1, 2, 99_999.002));
    }

    #[test]
    fn metrics_that_are_not_well_formed_are_counted_and_left_out() {
        let long = "x".repeat(NAME_BYTES + 1);
        let mut set = MetricSet::default();
        for name in ["", "A", "1a", "a-b", "a b", "é", "a\nb", "x_sum", "x_count", "x_bucket", "x_total_total", &long]
        {
            set.add(name.into(), Vec::new(), MetricValue::Counter(1));
        }
        for pairs in
            [&[("route", "x")][..], &[("le", "1")], &[("a", "1"), ("a", "2")], &[("", "")], &[("a", &"v".repeat(129))]]
        {
            set.add("fine".into(), labels(pairs), MetricValue::Counter(1));
        }
        set.add("fine".into(), vec![("a".into(), String::new()); LABELS + 1], MetricValue::Counter(1));
        for value in [f64::NAN, f64::INFINITY] {
            set.add("fine".into(), Vec::new(), MetricValue::Gauge(value));
            set.add("fine".into(), Vec::new(), MetricValue::observed(value));
        }
        let read = absorbed([set]);
        assert_eq!((read.refused, read.series.len()), (22, 0));
    }

    #[test]
    fn a_name_has_one_kind_whatever_its_labels() {
        let mut set = MetricSet::default();
        set.add("n".into(), labels(&[("a", "9")]), MetricValue::Counter(1));
        set.add("n".into(), labels(&[("a", "1")]), MetricValue::Gauge(1.0));
        set.add("n".into(), labels(&[("a", "9")]), MetricValue::observed(1.0));
        let mut other = MetricSet::default();
        other.add("n".into(), Vec::new(), MetricValue::Gauge(1.0));
        let read = absorbed([set, other]);
        assert_eq!((read.refused, read.series.len()), (3, 1));
    }

    #[test]
    fn a_route_has_a_bounded_number_of_series() {
        let call = |from: usize| {
            let mut set = MetricSet::default();
            (from..from + SERIES + 10).for_each(|i| {
                set.add("n".into(), labels(&[("i", &i.to_string())]), MetricValue::Counter(1));
            });
            set
        };
        let read = absorbed([call(0), call(SERIES)]);
        // Of the second call 500 reach the route, which has no room for them.
        assert_eq!((read.refused, read.series.len()), (10 + 10 + SERIES as u64, SERIES));
    }

    #[test]
    fn metrics_last_over_a_reload_and_go_with_the_last_plugin() {
        let routes = MetricsByRoute::default();
        let old = routes.of(&"r".into());
        let mut call = MetricSet::default();
        call.add("n".into(), Vec::new(), MetricValue::Counter(1));
        old.absorb("r", &mut call);
        let new = routes.of(&"r".into());
        drop(old);
        assert_eq!(routes.read()[0].series.len(), 1);
        drop(new);
        assert!(routes.read().is_empty());
        assert!(routes.of(&"r".into()).0.lock().0.is_empty());
    }
}
