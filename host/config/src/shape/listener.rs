//! `[listener.NAME]`, and the keys of a source of kind `http` that belong to a listener.

use super::{Default, KeySpec, Section, ValueKind};

pub(crate) static LISTEN: KeySpec = KeySpec {
    name: "listen",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "IP address and port. Port 0 is any free port; the router prints it at the start.",
};
pub(crate) static CERTIFICATE: KeySpec = KeySpec {
    name: "certificate",
    kind: ValueKind::Path,
    default: Default::Required,
    about: "The certificates, PEM, the listener's own first.",
};
pub(crate) static KEY: KeySpec =
    KeySpec { name: "key", kind: ValueKind::Path, default: Default::Required, about: "The private key, PEM." };
pub(crate) static TLS_SECTION: Section = Section {
    name: "tls",
    about: "Certificate and key of a listener.",
    keys: &[&CERTIFICATE, &KEY],
    foreign: &[("cert", "write certificate = \"PATH\""), ("private_key", "write key = \"PATH\"")],
};
pub(crate) static TLS: KeySpec = KeySpec {
    name: "tls",
    kind: ValueKind::Section(&TLS_SECTION),
    default: Default::Depends("plain HTTP"),
    about: "TLS 1.2 and 1.3. The files are read again when they change; if the new ones cannot be used, the old ones stay.",
};
pub(crate) static ORIGINS: KeySpec = KeySpec {
    name: "origins",
    kind: ValueKind::Names,
    default: Default::Required,
    about: "Origins whose pages may read answers, such as `https://boletia.example`; `*` alone: every origin.",
};
pub(crate) static METHODS: KeySpec = KeySpec {
    name: "methods",
    kind: ValueKind::Names,
    default: Default::Depends("GET, HEAD and POST"),
    about: "Methods that these pages may use.",
};
pub(crate) static CORS_HEADERS: KeySpec = KeySpec {
    name: "headers",
    kind: ValueKind::Names,
    default: Default::Depends("content-type"),
    about: "Headers that these pages may send.",
};
pub(crate) static CREDENTIALS: KeySpec = KeySpec {
    name: "credentials",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "These pages may send cookies and passwords. Not with origin `*`.",
};
pub(crate) static MAX_AGE: KeySpec = KeySpec {
    name: "max_age",
    kind: ValueKind::Duration { min: "0s", max: "1d", endless: false },
    default: Default::Value("10m"),
    about: "How long a browser may remember what it may send.",
};
pub(crate) static CORS_SECTION: Section = Section {
    name: "cors",
    about: "Pages of other sites that may call.",
    keys: &[&ORIGINS, &METHODS, &CORS_HEADERS, &CREDENTIALS, &MAX_AGE],
    foreign: &[("allowed_origins", "write origins = [ … ]"), ("allow_origins", "write origins = [ … ]")],
};
pub(crate) static CORS: KeySpec = KeySpec {
    name: "cors",
    kind: ValueKind::Section(&CORS_SECTION),
    default: Default::Depends("no page of another site may read an answer"),
    about: "Pages of other sites that may call.",
};
pub(crate) static TRUSTED_PROXIES: KeySpec = KeySpec {
    name: "trusted_proxies",
    kind: ValueKind::Names,
    default: Default::Nothing,
    about: "Networks such as `10.0.0.0/8` of proxies whose `X-Forwarded-For` or `Forwarded` names the client.",
};
pub(crate) static MAX_CONNECTIONS: KeySpec = KeySpec {
    name: "max_connections",
    kind: ValueKind::Integer { min: 1, max: 65_536 },
    default: Default::Value("1024"),
    about: "Most connections at the same time; fewer if the process may have fewer files open.",
};
pub(crate) static DRAIN_DELAY: KeySpec = KeySpec {
    name: "drain_delay",
    kind: ValueKind::Duration { min: "0s", max: "5m", endless: false },
    default: Default::Value("0s"),
    about: "When the router stops, it serves requests for this long after `/readyz` has become 503, so that a balancer can turn away.",
};

/// `[listener.NAME]`.
pub(crate) static SECTION: Section = Section {
    name: "listener",
    about: "An address that serves the endpoints of its sources, and nothing else: HTTP/1.1 and HTTP/2.",
    keys: &[&LISTEN, &TLS, &CORS, &TRUSTED_PROXIES, &MAX_CONNECTIONS, &DRAIN_DELAY],
    foreign: &[
        ("address", "write listen = \"0.0.0.0:8443\""),
        ("port", "write listen = \"0.0.0.0:8443\""),
        ("allow_remote", "leave it out: a listener serves nothing but its sources"),
    ],
};

pub(crate) static LISTENER: KeySpec = KeySpec {
    name: "listener",
    kind: ValueKind::Text,
    default: Default::Depends("/ingest/NAME of [admin], on loopback"),
    about: "The NAME of a [listener.NAME].",
};
pub(crate) static BASE_PATH: KeySpec = KeySpec {
    name: "base_path",
    kind: ValueKind::Text,
    default: Default::Value(""),
    about: "In front of every path of `endpoints`, such as `/v1`.",
};
pub(crate) static ENDPOINTS: KeySpec = KeySpec {
    name: "endpoints",
    kind: ValueKind::Names,
    default: Default::Depends("required with `listener`"),
    about: "Methods and paths, such as `GET /orders/{Id}`. Of several that fit, the most specific one is taken.",
};
pub(crate) static BEARER: KeySpec = KeySpec {
    name: "bearer",
    kind: ValueKind::OneOrMore,
    default: Default::Nothing,
    about: "A token, or several of which each is good: `Authorization: Bearer TOKEN`.",
};
pub(crate) static USER: KeySpec =
    KeySpec { name: "user", kind: ValueKind::Text, default: Default::Required, about: "The user's name." };
pub(crate) static PASSWORD: KeySpec =
    KeySpec { name: "password", kind: ValueKind::Text, default: Default::Required, about: "The user's password." };
pub(crate) static BASIC_SECTION: Section =
    Section { name: "basic", about: "A user and a password.", keys: &[&USER, &PASSWORD], foreign: &[] };
pub(crate) static BASIC: KeySpec = KeySpec {
    name: "basic",
    kind: ValueKind::Section(&BASIC_SECTION),
    default: Default::Nothing,
    about: "`user` and `password`: `Authorization: Basic …`.",
};
pub(crate) static SECRET: KeySpec = KeySpec {
    name: "secret",
    kind: ValueKind::OneOrMore,
    default: Default::Required,
    about: "The secret of the signatures, or several of which each is good.",
};
pub(crate) static SCHEME: KeySpec = KeySpec {
    name: "scheme",
    kind: ValueKind::Choice(&["github", "stripe", "standard-webhooks"]),
    default: Default::Required,
    about: "Whose signatures they are.",
};
pub(crate) static TOLERANCE: KeySpec = KeySpec {
    name: "tolerance",
    kind: ValueKind::Duration { min: "1s", max: "1d", endless: false },
    default: Default::Value("5m"),
    about: "How old a signature with a time may be. GitHub signs no time.",
};
pub(crate) static HMAC_SECTION: Section = Section {
    name: "hmac",
    about: "Signatures of a webhook's sender.",
    keys: &[&SECRET, &SCHEME, &TOLERANCE],
    foreign: &[],
};
pub(crate) static HMAC: KeySpec = KeySpec {
    name: "hmac",
    kind: ValueKind::Section(&HMAC_SECTION),
    default: Default::Nothing,
    about: "`secret`, `scheme` (`github`, `stripe` or `standard-webhooks`) and `tolerance` (`5m`).",
};
pub(crate) static AUTH_SECTION: Section = Section {
    name: "auth",
    about: "How a request proves who sent it: one of these keys.",
    keys: &[&BEARER, &BASIC, &HMAC],
    foreign: &[("token", "write bearer = \"${file:/run/secrets/token}\"")],
};
pub(crate) static AUTH: KeySpec = KeySpec {
    name: "auth",
    kind: ValueKind::Section(&AUTH_SECTION),
    default: Default::Depends("every request is taken"),
    about: "How a request proves who sent it; else it gets 401.",
};
pub(crate) static IDEMPOTENCY_KEY: KeySpec = KeySpec {
    name: "idempotency_key",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The header whose value names a request, or `body.FIELD`: a request that comes again gets the first answer again.",
};
pub(crate) static IDEMPOTENCY_TTL: KeySpec = KeySpec {
    name: "idempotency_ttl",
    kind: ValueKind::Duration { min: "1s", max: "30d", endless: false },
    default: Default::Value("24h"),
    about: "How long answers are kept.",
};
pub(crate) static PER_CLIENT: KeySpec = KeySpec {
    name: "per_client",
    kind: ValueKind::Integer { min: 1, max: 1_000_000 },
    default: Default::Depends("without limit"),
    about: "Requests a second of one client.",
};
pub(crate) static TOTAL: KeySpec = KeySpec {
    name: "total",
    kind: ValueKind::Integer { min: 1, max: 1_000_000 },
    default: Default::Depends("without limit"),
    about: "Requests a second of all clients.",
};
pub(crate) static RATE_LIMIT_SECTION: Section = Section {
    name: "rate_limit",
    about: "Requests a second; as many may come at once.",
    keys: &[&PER_CLIENT, &TOTAL],
    foreign: &[],
};
pub(crate) static RATE_LIMIT: KeySpec = KeySpec {
    name: "rate_limit",
    kind: ValueKind::Section(&RATE_LIMIT_SECTION),
    default: Default::Depends("without limit"),
    about: "Requests a second, `per_client` and in `total`; as many may come at once, further ones get 429.",
};
