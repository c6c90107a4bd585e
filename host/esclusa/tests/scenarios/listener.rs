//! Listeners of a running router: endpoints, replies, proofs of the sender, requests that come again, limits, reloads and
//! the end.

mod again;
mod hostile_clients;
mod protocols;

use super::router::{Answer, Router, exchange, guests, parse};

/// A listener whose source answers with everything that a request was.
const ECHO: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[listener.api]
listen = "127.0.0.1:0"
LISTENER
[source.echo]
kind = "http"
listener = "api"
base_path = "/v1"
endpoints = ["GET /things/all", "GET /things/{Id}", "POST /things", "PUT /things/{Id}/{Part}"]
reply = true
SOURCE
[source.hooks]
kind = "http"
listener = "api"
endpoints = ["POST /hooks/{Kind}"]
HOOKS
[output.out]
kind = "file"
path = "sent.txt"
[table.hooks]
kind = "embedded"
partition_key = "id"
[[route]]
name = "echo"
source = "echo"
plugin = "GUESTS/hostile.wasm"
outputs = ["out"]
ROUTE
config = { do = "echo-request" }
[[route]]
name = "hooks"
source = "hooks"
plugin = "PLUGINS/etl.wasm"
tables = ["hooks"]
config = { table = "hooks", key = { id = "{id}" } }
"#;

/// A configuration with these additions to its listener, source, source of hooks, and route.
fn echo(listener: &str, source: &str, hooks: &str, route: &str) -> String {
    let text = ECHO.replace("LISTENER", listener).replace("SOURCE", source).replace("HOOKS", hooks);
    text.replace("ROUTE", route).replace("GUESTS", &guests().display().to_string())
}

fn started(routes: &str) -> (Router, String) {
    let mut router = Router::new(routes);
    router.start();
    router.until("it listens", |router| router.path("data/router.json").exists());
    let address = router.listener("api");
    (router, address)
}

fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    exchange(address, method, path, headers, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// The messages that the routes have sent.
fn sent(router: &Router) -> Vec<String> {
    let text = std::fs::read_to_string(router.path("sent.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_plugin_gets_the_endpoint_and_its_parameters_and_its_answer_is_the_clients() {
    let (_router, address) = started(&echo("", "", "", ""));
    let answer = ask(
        &address,
        "PUT",
        "/v1/things/Opera%20Aida/a%2Fb?x=1",
        &[("x-mine", "yes"), ("authorization", "Bearer secret")],
        b"body",
    );
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("text/plain")), "{answer:?}");
    let said = answer.text();
    for line in [
        "method=PUT",
        "endpoint=PUT /things/{Id}/{Part}",
        "path=/v1/things/Opera%20Aida/a%2Fb",
        "query=x=1",
        "path.Id=Opera Aida",
        "path.Part=a/b",
        "client=127.0.0.1",
        "header.x-mine=yes",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} is missing in {said}");
    }
    assert!(said.ends_with("\n\nbody") && !said.contains("secret"), "{said}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let specific = ask(&address, "GET", "/v1/things/all", &[], b"");
    assert!(specific.text().contains("endpoint=GET /things/all\n"), "{specific:?}");
}

#[test]
fn head_options_and_wrong_methods_follow_from_the_endpoints() {
    let (router, address) = started(&echo("", "", "", ""));
    let head = ask(&address, "HEAD", "/v1/things/7", &[], b"");
    let get = ask(&address, "GET", "/v1/things/7", &[], b"");
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (201, 0, Some(&*get.body.len().to_string()))
    );
    let options = ask(&address, "OPTIONS", "/v1/things/7", &[], b"");
    assert_eq!((options.status, options.header("allow")), (204, Some("get, head, options")));
    let wrong = ask(&address, "DELETE", "/v1/things", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("post, options")), "{wrong:?}");
    assert!(wrong.text().contains("\"http.method\""));
    for path in
        ["/", "/v1", "/livez", "/readyz", "/metrics", "/api/v1/status", "/ingest/echo", "/v1/things/7/", "/hooks"]
    {
        let nothing = ask(&address, "GET", path, &[], b"");
        assert_eq!((nothing.status, nothing.header("content-type")), (404, Some("application/json")), "{path}");
    }
    // The sources of listeners are not below /ingest, where nobody asks who sends.
    let (status, said) = router.request("POST", "/ingest/hooks", &[], b"{\"id\": \"x\"}").unwrap();
    assert_eq!(status, 404);
    assert!(String::from_utf8(said).unwrap().contains("served by listener"));
}

#[test]
fn events_are_stored_before_they_are_accepted_with_their_attributes() {
    let (mut router, address) = started(&echo("", "", "", ""));
    let one = ask(&address, "POST", "/hooks/github", &[], b"{\"id\": \"a\"}");
    assert_eq!((one.status, one.text().contains("\"ids\"")), (202, true), "{one:?}");
    let lines = ask(
        &address,
        "POST",
        "/hooks/x",
        &[("content-type", "application/x-ndjson")],
        b"{\"id\": \"b\"}\n{\"id\": \"c\"}\n",
    );
    assert_eq!(lines.status, 202);
    router.signal("KILL");
    router.start();
    router.until("all three are in the table", |router| router.scan("hooks").len() == 3);
}

#[test]
fn chunked_bodies_and_those_that_wait_to_be_asked_are_taken() {
    let (_router, address) = started(&echo("", "", "", ""));
    let chunked =
        ask(&address, "POST", "/v1/things", &[("transfer-encoding", "chunked")], b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert!(chunked.text().ends_with("\n\nabcde"), "{chunked:?}");
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let head =
        "POST /v1/things HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 201 ") && rest.ends_with("\n\nok"), "{rest}");
}

#[test]
fn only_requests_that_prove_who_sent_them_are_taken_and_no_secret_is_shown() {
    let auth = "auth = { bearer = [\"${NEW}\", \"old-token\"] }";
    let mut router =
        Router::new(&echo("", auth, "auth = { basic = { user = \"ana\", password = \"open sesame\" } }", ""));
    router.launch(&["run"], &[("NEW", "new-token")]);
    router.until_ready();
    let address = router.listener("api");
    let with = |value: &str| ask(&address, "GET", "/v1/things/1", &[("authorization", value)], b"");
    assert_eq!((with("Bearer new-token").status, with("Bearer old-token").status), (201, 201));
    let refused = with("Bearer new-toke");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("bearer")), "{refused:?}");
    assert!(!refused.text().contains("new-toke"), "{refused:?}");
    assert_eq!(ask(&address, "GET", "/v1/things/1", &[], b"").status, 401);
    // ana:open sesame
    let basic = ("authorization", "Basic YW5hOm9wZW4gc2VzYW1l");
    assert_eq!(ask(&address, "POST", "/hooks/x", &[basic], b"{\"id\": \"a\"}").status, 202);
    assert_eq!(ask(&address, "POST", "/hooks/x", &[("authorization", "Basic YW5hOm4=")], b"{}").status, 401);
    let mut shown = router.log() + &router.get("/api/v1/status").unwrap().to_string();
    shown += &String::from_utf8_lossy(&router.launched(&["validate", "--effective"], &[("NEW", "new-token")]).stdout);
    assert!(shown.contains("things"), "the effective configuration is there: {shown}");
    for secret in ["new-token", "old-token", "open sesame"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_client_that_sends_too_much_is_told_when_to_come_again() {
    let limits = "rate_limit = { per_client = 5 }";
    let (_router, address) = started(&echo("trusted_proxies = [\"127.0.0.0/8\"]", limits, "", ""));
    let from = |client: &str| ask(&address, "GET", "/v1/things/1", &[("x-forwarded-for", client)], b"");
    let answers: Vec<Answer> = (0..60).map(|_| from("6.6.6.6, 9.9.9.9")).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers.iter().filter(|answer| answer.status == 201).count() >= 5 && refused.len() >= 10, "{answers:?}");
    assert!(
        refused.iter().all(|answer| answer.header("retry-after") == Some("1") && answer.text().contains("limit.rate"))
    );
    let other = from("9.9.9.8");
    assert_eq!(other.status, 201, "another client");
    assert!(other.text().contains("client=9.9.9.8\n"), "{other:?}");
}

#[test]
fn pages_of_listed_origins_may_call_and_others_may_not_read() {
    let cors =
        "cors = { origins = [\"https://boletia.example\"], methods = [\"GET\", \"PUT\"], headers = [\"x-mine\"] }";
    let (_router, address) = started(&echo(cors, "auth = { bearer = \"t\" }", "", ""));
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-mine"),
        ];
        ask(&address, "OPTIONS", "/v1/things/1", &headers, b"")
    };
    let good = preflight("https://boletia.example");
    assert_eq!(
        (good.status, good.header("access-control-allow-origin")),
        (200, Some("https://boletia.example")),
        "{good:?}"
    );
    assert_eq!(good.header("access-control-allow-methods"), Some("get,put"));
    assert_eq!(preflight("https://evil.example").header("access-control-allow-origin"), None);
    let page = ask(
        &address,
        "GET",
        "/v1/things/1",
        &[("origin", "https://boletia.example"), ("authorization", "Bearer t")],
        b"",
    );
    assert_eq!((page.status, page.header("access-control-allow-origin")), (201, Some("https://boletia.example")));
    let plain = ask(&address, "OPTIONS", "/v1/things/1", &[("origin", "https://boletia.example")], b"");
    assert_eq!((plain.status, plain.header("allow")), (204, Some("get, head, options")));
}

#[test]
fn bodies_are_decoded_within_their_limit() {
    let plain = r#"
[source.plain]
kind = "http"
max_body = "64KiB"
[[route]]
name = "plain"
source = "plain"
plugin = "PLUGINS/etl.wasm"
tables = ["hooks"]
config = { table = "hooks", key = { id = "{id}" } }
"#;
    let routes = echo("", "max_body = \"64KiB\"", "max_body = \"64KiB\"", "") + plain;
    let (mut router, address) = started(&routes);
    let packed = |bytes: &[u8]| {
        use std::io::Read;
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::default()).read_to_end(&mut packed).unwrap();
        packed
    };
    let gzip = ("content-encoding", "gzip");
    let answer = ask(&address, "POST", "/v1/things", &[gzip], &packed(b"hello"));
    assert!(answer.text().ends_with("\n\nhello"), "{answer:?}");
    let lines: Vec<u8> = (0..100).flat_map(|id| format!("{{\"id\": \"{id}\"}}\n").into_bytes()).collect();
    let kind = ("content-type", "application/x-ndjson");
    let ids = ask(&address, "POST", "/hooks/x", &[gzip, kind], &packed(&lines));
    assert_eq!((ids.status, ids.text().matches('-').count()), (202, 100), "{ids:?}");
    let bomb = ask(&address, "POST", "/v1/things", &[gzip], &packed(&vec![0; 32 << 20]));
    assert_eq!((bomb.status, bomb.text().contains("limit.body")), (413, true), "{bomb:?}");
    let unknown = ask(&address, "POST", "/v1/things", &[("content-encoding", "br")], b"x");
    assert_eq!((unknown.status, unknown.header("accept-encoding")), (415, Some("gzip, zstd")));
    // The same at /ingest.
    let ingest = |encoding: &str, body: &[u8]| {
        let headers = [("content-encoding", encoding), ("content-type", "application/x-ndjson")];
        router.request("POST", "/ingest/plain", &headers, body).unwrap().0
    };
    assert_eq!(ingest("gzip", &packed(b"{\"id\": \"plain 1\"}\n{\"id\": \"plain 2\"}\n")), 202);
    assert_eq!(ingest("gzip", &packed(&vec![b'\n'; 32 << 20])), 413);
    assert_eq!((ingest("gzip", b"no gzip"), ingest("br", b"x")), (400, 415));
    router.until("they are written", |router| {
        router.scan("hooks").iter().filter(|item| item.to_string().contains("plain ")).count() == 2
    });
}

#[test]
fn a_reload_adds_changes_and_removes_listeners_and_keeps_the_connections_of_others() {
    use std::io::{Read, Write};
    let (mut router, address) = started(&echo("", "", "", ""));
    let mut kept = std::net::TcpStream::connect(&address).unwrap();
    let mut ask_kept = |expected: &str| {
        kept.write_all(b"GET /v1/things/1 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut answer = [0; 2048];
        let count = kept.read(&mut answer).unwrap();
        let said = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {expected} ")), "{said}");
    };
    ask_kept("201");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap();
    // Its address is in use: everything stays as it was.
    router.configure(&(echo("", "auth = { bearer = \"t\" }", "", "") + &more(busy, "echo-request")));
    let refused = router.run(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("listener::not_bound") && said.contains("[listener.more]"),
        "{said}"
    );
    ask_kept("201");
    // Free: it listens, and the other listener asks for a token from now on, on the connection that was open before.
    drop(taken);
    router.ok(&["reload"]);
    assert_eq!(ask(&busy.to_string(), "GET", "/", &[], b"").status, 201);
    ask_kept("401");
    // Gone again.
    router.configure(&echo("", "", "", ""));
    router.ok(&["reload"]);
    router.until("nothing listens there", |_| std::net::TcpStream::connect(busy).is_err());
    ask_kept("201");
}

/// A listener at this address, and a route behind it that does this.
fn more(address: std::net::SocketAddr, order: &str) -> String {
    let text = r#"
[listener.more]
listen = "ADDRESS"
[source.more]
kind = "http"
listener = "more"
endpoints = ["GET /"]
reply = true
[[route]]
name = "more"
source = "more"
plugin = "GUESTS/hostile.wasm"
outputs = ["out"]
limits = { time = "1m" }
config = { do = "ORDER" }
"#;
    let text = text.replace("ADDRESS", &address.to_string()).replace("ORDER", order);
    text.replace("GUESTS", &guests().display().to_string())
}

/// An address that is free.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_reload_that_waits_for_a_plugin_keeps_no_address_from_the_next_one() {
    let (mut router, _) = started(&echo("", "", "", ""));
    let (address, echo) = (free_address(), echo("", "", "", ""));
    // Its plugin does not come to the end of its `init`.
    router.configure(&(echo.clone() + &more(address, "init-loop")));
    router.until("the first reload loads", |router| {
        router.get("/api/v1/status").unwrap()["stale"][0]["state"] == "loading"
    });
    router.configure(&(echo + &more(address, "echo-request")));
    router.until("the second one is over", |router| {
        router.get("/api/v1/status").unwrap()["reloads"].as_array().is_some_and(|reloads| !reloads.is_empty())
    });
    let status = router.get("/api/v1/status").unwrap();
    assert_eq!((&status["reloads"][0]["ok"], &status["stale"]), (&true.into(), &serde_json::json!([])), "{status}");
    assert_eq!(ask(&address.to_string(), "GET", "/", &[], b"").status, 201);
}

#[test]
fn a_router_that_stops_sends_clients_elsewhere_and_answers_what_it_has_read() {
    use std::io::{Read, Write};
    let (mut router, address) =
        started(&echo("drain_delay = \"2s\"", "", "", "concurrency = 1\nbatch_window = \"4s\""));
    // Its headers are read when the router asks for the body; then it waits for seconds in its lane.
    let mut slow = std::net::TcpStream::connect(&address).unwrap();
    let head = "POST /v1/things HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    slow.read_exact(&mut [0; 25]).unwrap();
    slow.write_all(b"slow").unwrap();
    let mut open = std::net::TcpStream::connect(&address).unwrap();
    router.send_signal("TERM");
    router.until("it is not ready", |router| {
        router.request("GET", "/readyz", &[], b"").is_some_and(|(status, _)| status == 503)
    });
    // Requests are served during the delay, and their connections end.
    open.write_all(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut said = String::new();
    open.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 404 ") && said.to_lowercase().contains("connection: close"), "{said}");
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    let answer = parse(&answer).unwrap();
    assert_eq!(answer.status, 201, "what was read is answered: {answer:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert_eq!(router.wait(), 0);
    assert_eq!(sent(&router), ["slow"]);
}

#[test]
fn a_router_that_stops_opens_no_listener_however_late_a_reload_ends() {
    let slow = |batch: u32| {
        let text = r#"
[source.slow]
kind = "stream"
[[route]]
name = "slow"
source = "slow"
plugin = "GUESTS/hostile.wasm"
batch_size = BATCH
limits = { time = "3s" }
config = { do = "loop" }
"#;
        text.replace("GUESTS", &guests().display().to_string()).replace("BATCH", &batch.to_string())
    };
    let (address, echo) = (free_address(), echo("drain_delay = \"8s\"", "", "", ""));
    let (mut router, _) = started(&(echo.clone() + &slow(1)));
    router.write("one.jsonl", "{}\n");
    router.ok(&["send", "slow", "one.jsonl"]);
    router.until("a call goes on", |router| router.route("slow").unwrap()["reading"]["in_flight"] == 1);
    // Its route finishes the call first, and the listeners come last.
    router.configure(&(echo + &slow(2) + &more(address, "echo-request")));
    let api = router.address().unwrap();
    let reload = move || exchange(&api, "POST", "/api/v1/reload", &[("content-type", "application/json")], b"null");
    let reloading = std::thread::spawn(reload.clone());
    router.until("the reload changes routes", |router| router.route("slow").unwrap()["state"] == "draining");
    router.send_signal("TERM");
    router.until("it is not ready", |router| {
        router.request("GET", "/readyz", &[], b"").is_some_and(|(status, _)| status == 503)
    });
    let refused = reload().unwrap();
    assert_eq!((refused.status, refused.text().contains("the router is stopping")), (503, true), "{refused:?}");
    reloading.join().unwrap().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err(), "a new listener takes connections");
    assert_eq!(router.wait(), 0);
}
