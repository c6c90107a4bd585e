//! The endpoints of a listener: finds the one that a request is for.

use axum::http::{HeaderValue, Method};
use esclusa_config::plan::{Endpoint, ListenerSource, Plan, Segment, Source};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::rate_limit::RateLimits;
use crate::wiring::aws::KeptAnswers;

/// The characters of a decoded segment that would change the path, or a pattern of it.
const WITHIN_SEGMENT: AsciiSet = CONTROLS.add(b'/').add(b'%').add(b'{').add(b'}');

/// A source as its listener serves it.
pub(super) struct ServedSource {
    /// Its name.
    pub name: Arc<str>,
    /// What it has on the listener.
    pub on: ListenerSource,
    /// Answer with the plugin's reply.
    pub reply: bool,
    /// Most bytes of a body.
    pub max_body: usize,
    /// How long a request waits for its reply.
    pub timeout: Duration,
    /// Requests a second.
    pub limits: RateLimits,
    /// Where answers are kept, if not in the store.
    pub answers: Option<KeptAnswers>,
}

/// The endpoints of a listener.
#[derive(Default)]
pub(super) struct EndpointTable {
    paths: matchit::Router<usize>,
    by_path: Vec<PathMethods>,
}

/// The endpoints of one path, by their method.
#[derive(Default)]
struct PathMethods(BTreeMap<String, (Arc<ServedSource>, Endpoint)>);

/// The endpoint that a request is for.
pub(super) struct FoundEndpoint<'t> {
    /// Its source.
    pub source: &'t Arc<ServedSource>,
    /// The endpoint.
    pub endpoint: &'t Endpoint,
    /// The parameters of the path, decoded, by name.
    pub parameters: Vec<(String, String)>,
}

/// Why a request is for no endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoEndpoint {
    /// The path is not UTF-8.
    Malformed,
    /// There is no such path.
    Path,
    /// The path has other methods: the header `Allow`.
    Method(HeaderValue),
}

impl EndpointTable {
    /// The endpoints of the sources on a listener.
    pub(super) fn of(listener: &str, plan: &Plan) -> Self {
        let mut table = EndpointTable::default();
        for (name, source) in &plan.sources {
            let Source::Http { on: Some(on), reply, max_body, timeout, .. } = source else { continue };
            if on.listener != listener {
                continue;
            }
            let (name, on) = (name.clone(), (**on).clone());
            let limits = RateLimits::new(on.per_client, on.total);
            let (reply, max_body, timeout) = (*reply, *max_body, *timeout);
            let answers = KeptAnswers::of(plan, &name);
            let served = Arc::new(ServedSource { name, on, reply, max_body, timeout, limits, answers });
            served.on.endpoints.iter().for_each(|endpoint| table.add(&served, endpoint));
        }
        table
    }

    fn add(&mut self, source: &Arc<ServedSource>, endpoint: &Endpoint) {
        let pattern = pattern(&endpoint.segments);
        let at = match self.paths.at(&pattern) {
            Ok(known) if self.same(*known.value, &endpoint.segments) => *known.value,
            _ => {
                let at = self.by_path.len();
                // The configuration was checked: no two patterns are equal.
                if self.paths.insert(pattern, at).is_err() {
                    return;
                }
                self.by_path.push(PathMethods::default());
                at
            }
        };
        if let Some(methods) = self.by_path.get_mut(at) {
            methods.0.insert(endpoint.method.clone(), (source.clone(), endpoint.clone()));
        }
    }

    /// True if the endpoints of a path have the same pattern, whatever their parameters are called.
    fn same(&self, at: usize, segments: &[Segment]) -> bool {
        let known = self.by_path.get(at).and_then(|methods| methods.0.values().next());
        known.is_some_and(|(_, known)| pattern(&known.segments) == pattern(segments))
    }

    /// The endpoint for a method and a path as it was sent. HEAD takes the endpoint of GET.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<FoundEndpoint<'_>, NoEndpoint> {
        let path = normal(path).ok_or(NoEndpoint::Malformed)?;
        let found = self.paths.at(&path).map_err(|_| NoEndpoint::Path)?;
        let methods = self.by_path.get(*found.value).ok_or(NoEndpoint::Path)?;
        let word = if method == Method::HEAD { "GET" } else { method.as_str() };
        let (source, endpoint) = methods.0.get(word).ok_or_else(|| NoEndpoint::Method(methods.allow()))?;
        let names = endpoint.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.clone()),
            Segment::Text(_) => None,
        });
        let decoded = found.params.iter().map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned());
        Ok(FoundEndpoint { source, endpoint, parameters: names.zip(decoded).collect() })
    }
}

impl PathMethods {
    fn allow(&self) -> HeaderValue {
        let mut methods: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if self.0.contains_key("GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
    }
}

/// A pattern of the path router. Parameters are numbered: endpoints of one path may name them differently.
fn pattern(segments: &[Segment]) -> String {
    let mut number = 0_u32;
    let each = segments.iter().map(|segment| match segment {
        Segment::Text(text) => format!("/{}", utf8_percent_encode(text, &WITHIN_SEGMENT)),
        Segment::Parameter(_) => {
            number = number.saturating_add(1);
            format!("/{{p{number}}}")
        }
    });
    each.collect()
}

/// A path with every escape undone that does not change its segments; `None`: it is not UTF-8.
fn normal(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let segments: Option<Vec<String>> = path
        .split('/')
        .map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            Some(utf8_percent_encode(&decoded, &WITHIN_SEGMENT).to_string())
        })
        .collect();
    Some(segments?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn table(endpoints: &str) -> EndpointTable {
        let text = format!(
            "version = 1\n[listener.api]\nlisten = \"127.0.0.1:0\"\n[source.s]\nkind = \"http\"\nlistener = \"api\"\n\
             base_path = \"/produccion\"\nendpoints = {endpoints}\n"
        );
        let loaded = esclusa_config::parse(&text, "routes.toml", Path::new(""), &|_| None).unwrap();
        EndpointTable::of("api", &loaded.plan)
    }

    fn boletia() -> EndpointTable {
        table(
            r#"["GET /reservas/eventos", "GET /reservas/eventos/{Evento}", "GET /reservas/{Evento}/{Email}",
                "POST /reservas", "GET /reservas/{Id}", "DELETE /reservas/{Reserva}", "GET /fútbol", "GET /50%25"]"#,
        )
    }

    /// The pattern and the parameters of what is found.
    fn found(table: &EndpointTable, method: Method, path: &str) -> Result<String, NoEndpoint> {
        let found = table.find(&method, path)?;
        Ok(found.parameters.iter().fold(found.endpoint.pattern.clone(), |said, (n, v)| format!("{said} {n}={v}")))
    }

    #[test]
    fn the_most_specific_pattern_is_taken_and_parameters_are_decoded() {
        let table = boletia();
        let get = |path: &str| found(&table, Method::GET, path).unwrap();
        assert_eq!(get("/produccion/reservas/eventos"), "GET /reservas/eventos");
        assert_eq!(get("/produccion/reservas/even%74os"), "GET /reservas/eventos", "the same path, escaped");
        assert_eq!(get("/produccion/reservas/21tY"), "GET /reservas/{Id} Id=21tY");
        assert_eq!(
            get("/produccion/reservas/eventos/Opera%20Aida"),
            "GET /reservas/eventos/{Evento} Evento=Opera Aida"
        );
        assert_eq!(
            get("/produccion/reservas/Opera%20Aida/a@b.c"),
            "GET /reservas/{Evento}/{Email} Evento=Opera Aida Email=a@b.c"
        );
        assert_eq!(
            get("/produccion/reservas/a%2Fb%25"),
            "GET /reservas/{Id} Id=a/b%",
            "an escaped slash parts no segments"
        );
        assert_eq!(get("/produccion/reservas/%7Bx%7D"), "GET /reservas/{Id} Id={x}");
        assert_eq!(get("/produccion/f%C3%BAtbol"), "GET /fútbol");
        assert_eq!(get("/produccion/50%25"), "GET /50%25");
        let deleted = found(&table, Method::DELETE, "/produccion/reservas/21tY").unwrap();
        assert_eq!(
            deleted, "DELETE /reservas/{Reserva} Reserva=21tY",
            "methods of one path name its parameters as they like"
        );
        assert_eq!(found(&table, Method::HEAD, "/produccion/reservas/21tY").unwrap(), "GET /reservas/{Id} Id=21tY");
    }

    #[test]
    fn other_paths_and_methods_are_told_apart() {
        let table = boletia();
        for path in [
            "/",
            "/reservas",
            "/produccion",
            "/produccion/reservas/",
            "/produccion//reservas",
            "*",
            "/produccion/reservas/a/b/c",
        ] {
            assert_eq!(found(&table, Method::GET, path), Err(NoEndpoint::Path), "{path}");
        }
        assert_eq!(found(&table, Method::GET, "/produccion/reservas/%ff"), Err(NoEndpoint::Malformed));
        let allow = |method, path| match found(&table, method, path) {
            Err(NoEndpoint::Method(allow)) => allow.to_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(allow(Method::PUT, "/produccion/reservas"), "POST, OPTIONS");
        assert_eq!(allow(Method::POST, "/produccion/reservas/x"), "DELETE, GET, HEAD, OPTIONS");
    }
}
