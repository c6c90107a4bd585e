//! `[listener.NAME]`, and the keys of a source of kind `http` that belong to a listener.

use super::declared::{Declared, check_name};
use super::{Declarations, PathResolver};
use crate::codes::Code;
use crate::plan::{
    Auth, Cors, DeliveryMode, Endpoint, HttpListener, Idempotency, KeyPlace, ListenerSource, Network, RouteSpec,
    Secret, Segment, SignatureScheme, Source, TlsFiles,
};
use crate::report::{Finding, Findings};
use crate::shape::{KeySpec, listener as shape, root};
use crate::syntax::section_reader::{self, SectionReader};
use crate::syntax::toml_tree::{TomlNode, TomlValue};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Methods that an endpoint may have. HEAD and OPTIONS follow from the others.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Reads every listener.
pub(super) fn listeners(root: &SectionReader<'_>, paths: &PathResolver<'_>) -> Declared<HttpListener> {
    let help = "write [listener.NAME] with listen = \"0.0.0.0:8443\"";
    let table = root.table(&root::LISTENER, help);
    let mut declared = Declared::none("listener");
    for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
        check_name(root.findings, "listener", &entry.key, &entry.key_span);
        let Some(table) = section_reader::table(root.findings, entry, help) else { continue };
        let reader = SectionReader::open(root.findings, &shape::SECTION, entry.key_span.clone(), table, &[]);
        declared.insert(entry, listener(&reader, paths));
    }
    same_addresses(&declared, root.findings);
    declared
}

fn listener(reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> HttpListener {
    let text = reader.text_or_default(&shape::LISTEN);
    let listen = text.parse::<SocketAddr>().unwrap_or_else(|_| {
        if reader.text(&shape::LISTEN).is_some() {
            bad(reader, &shape::LISTEN, "this is not an IP address and a port", "write listen = \"0.0.0.0:8443\"");
        }
        (Ipv4Addr::UNSPECIFIED, 0).into()
    });
    let tls = reader.section(&shape::TLS, &shape::TLS_SECTION);
    HttpListener {
        listen,
        tls: tls.map(|tls| TlsFiles {
            certificate: paths.read(&tls, &shape::CERTIFICATE),
            key: paths.read(&tls, &shape::KEY),
        }),
        cors: reader.section(&shape::CORS, &shape::CORS_SECTION).map(|cors| self::cors(&cors)),
        trusted_proxies: networks(reader),
        max_connections: reader.integer(&shape::MAX_CONNECTIONS),
        drain_delay: reader.duration(&shape::DRAIN_DELAY),
    }
}

/// Two listeners of one address: the second one could not be bound.
fn same_addresses(listeners: &Declared<HttpListener>, findings: &Findings) {
    let mut taken: BTreeMap<SocketAddr, &Range<usize>> = BTreeMap::new();
    for (_, declaration) in listeners.iter().filter(|(_, declaration)| declaration.value.listen.port() != 0) {
        if let Some(other) = taken.insert(declaration.value.listen, &declaration.span) {
            let message = "two listeners have the same address";
            let finding = Finding::error(Code::LISTENER_SAME_ADDRESS, declaration.span.clone(), message);
            findings.add(finding.related(other.clone(), "the other one").help("sources may share a listener"));
        }
    }
}

fn bad(reader: &SectionReader<'_>, key: &KeySpec, message: &str, help: &str) {
    reader.findings.add(Finding::error(Code::BAD_VALUE, reader.value_span(key), message).help(help));
}

fn cors(reader: &SectionReader<'_>) -> Cors {
    let texts = |key: &KeySpec, default: &[&str]| match reader.entry(key) {
        Some(_) => reader.names(key).into_iter().map(|(name, _)| name).collect(),
        None => default.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
    };
    let (origins, credentials) = (texts(&shape::ORIGINS, &[]), reader.boolean(&shape::CREDENTIALS));
    for (origin, node) in reader.names(&shape::ORIGINS) {
        let good =
            origin == "*" || url::Url::parse(&origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
        if !good {
            let finding = Finding::error(Code::BAD_VALUE, node.span.clone(), "this is not an origin");
            reader.findings.add(finding.help("scheme and host, without path: \"https://boletia.example\""));
        }
    }
    let any = origins.iter().any(|origin| origin == "*");
    if any && (credentials || origins.len() > 1) {
        let help = "list the origins, or leave credentials out";
        bad(reader, &shape::ORIGINS, "`*` stands alone, and without credentials", help);
    }
    let methods = texts(&shape::METHODS, &["GET", "HEAD", "POST"]);
    if let Some(method) = methods.iter().find(|method| !METHODS.contains(&method.as_str()) && *method != "HEAD") {
        bad(reader, &shape::METHODS, &format!("there is no method {method:?}"), "GET, HEAD, POST, PUT, PATCH, DELETE");
    }
    let headers = texts(&shape::CORS_HEADERS, &["content-type"]);
    if let Some(header) = headers.iter().find(|header| !is_token(header)) {
        bad(reader, &shape::CORS_HEADERS, &format!("{header:?} cannot be a header"), "letters, digits and `-`");
    }
    Cors { origins, methods, headers, credentials, max_age: reader.duration(&shape::MAX_AGE) }
}

fn networks(reader: &SectionReader<'_>) -> Vec<Network> {
    let mut networks = Vec::new();
    for (text, node) in reader.names(&shape::TRUSTED_PROXIES) {
        match network(&text) {
            Some(network) => networks.push(network),
            None => {
                let finding = Finding::error(Code::BAD_VALUE, node.span.clone(), "this is not a network");
                reader.findings.add(finding.help("write \"10.0.0.0/8\", or an address"));
            }
        }
    }
    networks
}

fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some(Network { address, bits })
}

/// What a source of kind `http` has on its listener; `None`: it has no listener.
pub(super) fn of_source(reader: &SectionReader<'_>) -> Option<ListenerSource> {
    let Some(listener) = reader.text(&shape::LISTENER) else {
        let of_listener = [
            &shape::BASE_PATH,
            &shape::ENDPOINTS,
            &shape::AUTH,
            &shape::IDEMPOTENCY_KEY,
            &shape::IDEMPOTENCY_TTL,
            &shape::RATE_LIMIT,
        ];
        // An error, not a warning: somebody who wrote `auth` relies on it.
        for entry in of_listener.into_iter().filter_map(|key| reader.entry(key)) {
            let message = format!("`{}` needs a listener", entry.key);
            let finding = Finding::error(Code::SOURCE_NEEDS_LISTENER, entry.key_span.clone(), message);
            reader
                .findings
                .add(finding.help("add listener = \"NAME\", and [listener.NAME] with listen = \"0.0.0.0:8443\""));
        }
        return None;
    };
    let rate = reader.section(&shape::RATE_LIMIT, &shape::RATE_LIMIT_SECTION);
    let rate = |key: &KeySpec| rate.as_ref()?.given_integer(key).and_then(|rate| u32::try_from(rate).ok());
    Some(ListenerSource {
        listener,
        endpoints: endpoints(reader),
        auth: reader.section(&shape::AUTH, &shape::AUTH_SECTION).and_then(|auth| self::auth(&auth)),
        idempotency: idempotency(reader),
        per_client: rate(&shape::PER_CLIENT),
        total: rate(&shape::TOTAL),
    })
}

fn endpoints(reader: &SectionReader<'_>) -> Vec<Endpoint> {
    let base = reader.text_or_default(&shape::BASE_PATH);
    let mut parsed = Vec::new();
    let base = match segments(&base) {
        Ok(base) if base.iter().all(|segment| matches!(segment, Segment::Text(text) if !text.is_empty())) => base,
        _ => {
            let help = "write base_path = \"/v1\": a slash in front, none at the end, no parameters";
            endpoint_error(reader, reader.value_span(&shape::BASE_PATH), "this cannot be in front of a path", help);
            Vec::new()
        }
    };
    let given = reader.names(&shape::ENDPOINTS);
    if given.is_empty() && reader.list(&shape::ENDPOINTS).is_none_or(<[_]>::is_empty) {
        let finding =
            Finding::error(Code::SOURCE_BAD_ENDPOINT, reader.span.clone(), "a source on a listener needs `endpoints`");
        reader.findings.add(finding.help("add endpoints = [\"POST /events\"]"));
    }
    for (text, node) in given {
        match endpoint(&text, &base) {
            Ok(endpoint) => parsed.push(endpoint),
            Err(why) => {
                let help = "write a method and a path: \"GET /orders/{Id}\"";
                endpoint_error(reader, node.span.clone(), why, help);
            }
        }
    }
    parsed
}

fn endpoint_error(reader: &SectionReader<'_>, span: Range<usize>, message: &str, help: &str) {
    reader.findings.add(Finding::error(Code::SOURCE_BAD_ENDPOINT, span, message).help(help));
}

fn endpoint(text: &str, base: &[Segment]) -> Result<Endpoint, &'static str> {
    let (method, pattern) = text.split_once(' ').ok_or("an endpoint is a method, a space and a path")?;
    if !METHODS.contains(&method) {
        return Err("the method is GET, POST, PUT, PATCH or DELETE; HEAD and OPTIONS follow from them");
    }
    let own = segments(pattern)?;
    let mut names = BTreeSet::new();
    for segment in &own {
        if let Segment::Parameter(name) = segment
            && !names.insert(name.clone())
        {
            return Err("two parameters of the path have the same name");
        }
    }
    if base.is_empty() && pattern.is_empty() {
        return Err("the path begins with a slash");
    }
    Ok(Endpoint { method: method.to_owned(), pattern: text.to_owned(), segments: [base, own.as_slice()].concat() })
}

/// The segments of a path; an empty path has none, and `/` has an empty one.
fn segments(path: &str) -> Result<Vec<Segment>, &'static str> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let rest = path.strip_prefix('/').ok_or("the path begins with a slash")?;
    if rest.contains(['?', '#', ' ', '\\']) {
        return Err("a path has no spaces, no `?`, no `#` and no backslash");
    }
    rest.split('/').map(segment).collect()
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        return match !name.is_empty() && name.len() <= 64 && name.chars().all(good) {
            true => Ok(Segment::Parameter(name.to_owned())),
            false => Err("a parameter is `{Name}`, with 1 to 64 letters, digits, `_` or `-`"),
        };
    }
    if text.contains(['{', '}']) {
        return Err("a parameter takes a whole segment of the path: `/{Name}/`");
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(|text| Segment::Text(text.into_owned())).map_err(|_| "the path is not UTF-8")
}

fn auth(reader: &SectionReader<'_>) -> Option<Auth> {
    let given: Vec<_> =
        [&shape::BEARER, &shape::BASIC, &shape::HMAC].into_iter().filter_map(|key| reader.entry(key)).collect();
    let [_] = given.as_slice() else {
        let message = "`auth` has one of bearer, basic and hmac";
        let place = given.last().map_or_else(|| reader.span.clone(), |entry| entry.key_span.clone());
        let finding = Finding::error(Code::SOURCE_BAD_AUTH, place, message);
        reader.findings.add(finding.help("auth = { bearer = \"${file:/run/secrets/token}\" }"));
        return None;
    };
    if reader.entry(&shape::BEARER).is_some() {
        return Some(Auth::Bearer(secrets(reader, &shape::BEARER, |text| Some(text.as_bytes().to_vec()))));
    }
    if let Some(basic) = reader.section(&shape::BASIC, &shape::BASIC_SECTION) {
        let (user, password) = (basic.text_or_default(&shape::USER), basic.text_or_default(&shape::PASSWORD));
        if user.contains(':') || (basic.text(&shape::PASSWORD).is_some() && password.is_empty()) {
            let help = "a user's name has no colon, and a password is not empty";
            auth_error(&basic, basic.value_span(&shape::USER), "this is no user and password", help);
        }
        return Some(Auth::Basic { user, password: Secret(password.into_bytes()) });
    }
    let hmac = reader.section(&shape::HMAC, &shape::HMAC_SECTION)?;
    let scheme = match hmac.choice(&shape::SCHEME) {
        "stripe" => SignatureScheme::Stripe,
        "standard-webhooks" => SignatureScheme::StandardWebhooks,
        _ => SignatureScheme::Github,
    };
    let decode = |text: &str| match scheme {
        SignatureScheme::StandardWebhooks => {
            BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok().filter(|key| !key.is_empty())
        }
        _ => Some(text.as_bytes().to_vec()),
    };
    let tolerance = hmac.duration(&shape::TOLERANCE);
    Some(Auth::Hmac { secrets: secrets(&hmac, &shape::SECRET, decode), scheme, tolerance })
}

fn secrets(reader: &SectionReader<'_>, key: &KeySpec, decode: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for (text, node) in reader.one_or_more(key) {
        // A file of a secret often ends with a newline.
        let text = text.trim();
        match decode(text).filter(|_| !text.is_empty()) {
            Some(bytes) => secrets.push(Secret(bytes)),
            None => {
                let help = "it is not empty; of standard-webhooks it is base64, with `whsec_` in front";
                auth_error(reader, node.span.clone(), "this cannot be a secret", help);
            }
        }
    }
    if reader.node(key).is_some_and(|node| matches!(&node.value, TomlValue::List(list) if list.is_empty())) {
        auth_error(reader, reader.value_span(key), "there is no secret", "without one no request can be taken");
    }
    secrets
}

fn auth_error(reader: &SectionReader<'_>, span: Range<usize>, message: &str, help: &str) {
    reader.findings.add(Finding::error(Code::SOURCE_BAD_AUTH, span, message).help(help));
}

fn idempotency(reader: &SectionReader<'_>) -> Option<Idempotency> {
    let ttl = reader.duration(&shape::IDEMPOTENCY_TTL);
    let Some(text) = reader.text(&shape::IDEMPOTENCY_KEY) else {
        if let Some(entry) = reader.entry(&shape::IDEMPOTENCY_TTL) {
            let message = "`idempotency_ttl` has no effect without idempotency_key";
            reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
        }
        return None;
    };
    let key = match text.strip_prefix("body.") {
        Some(path) if !path.is_empty() => KeyPlace::Body(path.to_owned()),
        _ if is_token(&text) => KeyPlace::Header(text.to_ascii_lowercase()),
        _ => {
            let help = "write idempotency_key = \"Idempotency-Key\", or \"body.id\"";
            bad(reader, &shape::IDEMPOTENCY_KEY, "this is neither a header nor a field of the body", help);
            return None;
        }
    };
    Some(Idempotency { key, ttl })
}

/// True if a text can be the name of a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reports sources on listeners that do not exist, endpoints that two sources have, and listeners that no source has.
pub(super) fn endpoints_of_listeners(world: &Declarations, findings: &Findings) {
    let mut taken: BTreeMap<_, (&str, &Range<usize>)> = BTreeMap::new();
    for (name, declaration) in world.sources.iter() {
        let Source::Http { on: Some(on), .. } = &declaration.value else { continue };
        let place = key_span(&declaration.node, &declaration.span, shape::LISTENER.name);
        world.listeners.resolve(findings, Code::SOURCE_UNKNOWN_LISTENER, &on.listener, &place);
        for endpoint in &on.endpoints {
            if let Some((other, span)) = taken.insert((&on.listener, endpoint.shape()), (name, &declaration.span)) {
                let message =
                    format!("{:?} takes the same requests as another endpoint of {other:?}", endpoint.pattern);
                let place = key_span(&declaration.node, &declaration.span, shape::ENDPOINTS.name);
                let finding = Finding::error(Code::SOURCE_ENDPOINT_CONFLICT, place, message);
                findings.add(
                    finding.related(span.clone(), "the other source").help("names of parameters make no difference"),
                );
            }
        }
    }
}

/// Reports answers that are to be kept with the commit of a route whose commit is no transaction, neither of the embedded engine nor
/// of DynamoDB.
pub(super) fn kept_answers(world: &Declarations, routes: &[RouteSpec], findings: &Findings) {
    for route in routes {
        let Some(source) = world.sources.get(&route.source) else { continue };
        let Source::Http { on: Some(on), reply: true, .. } = &source.value else { continue };
        let mut tables = route.grants.tables.iter().filter_map(|name| world.tables.get(name));
        let mut objects = route.grants.objects.iter().filter_map(|name| world.objects.get(name));
        let in_dynamodb = tables.any(|table| table.value.on_aws());
        let transaction = in_dynamodb && route.delivery == DeliveryMode::ExactlyOnce;
        let elsewhere = in_dynamodb || objects.any(|store| store.value.on_aws());
        if on.idempotency.is_some() && elsewhere && !transaction {
            let message = format!(
                "route \"{}\" writes to AWS without a transaction that could keep the answers with what it writes",
                route.name
            );
            let place = key_span(&source.node, &source.span, shape::IDEMPOTENCY_KEY.name);
            let help = if in_dynamodb {
                "say delivery = \"exactly-once\" at the route, or leave idempotency_key out"
            } else {
                "leave idempotency_key out, or let the route send to a stream that another route writes to AWS"
            };
            findings.add(Finding::error(Code::SOURCE_ANSWERS_NOT_KEPT, place, message).help(help));
        }
    }
}

fn key_span(node: &TomlNode, otherwise: &Range<usize>, key: &str) -> Range<usize> {
    node.table().and_then(|table| table.get(key)).map_or_else(|| otherwise.clone(), |node| node.span.clone())
}
