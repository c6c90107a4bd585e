//! Clients that send too much, too slowly or nonsense hold up neither the other clients nor the admin listener.

use super::{ask, echo, sent, started};
use crate::router::exchange;
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn silent_connections_give_way_and_beyond_the_limit_clients_are_told_so() {
    let (router, address) = started(&echo("max_connections = 16", "", "", "concurrency = 1\nbatch_window = \"5s\""));
    // Many more than there are places, none of them with a whole request.
    let silent: Vec<TcpStream> = (0..100)
        .map(|at| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let part = if at % 2 == 0 { "" } else { "POST /v1/things HTTP/1.1\r\nhost:" };
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(ask(&address, "GET", "/nothing", &[], b"").status, 404, "an honest client is served");
    assert_eq!(router.request("GET", "/livez", &[], b"").unwrap().0, 200);
    drop(silent);
    // As many as there are places, each with a request in work: further ones are told so, and those for whom there is no place
    // even for that lose their connection before their request is read. On a busy machine the first ones may be answered before the
    // last ones come: then there is another round.
    let mut statuses: Vec<Option<u16>> = Vec::new();
    while !statuses.contains(&Some(503)) {
        assert!(statuses.len() < 400, "nobody was told: {statuses:?}");
        let busy: Vec<_> = (0..40)
            .map(|_| {
                let address = address.clone();
                let ask = move || exchange(&address, "POST", "/v1/things", &[], b"x").map(|answer| answer.status);
                std::thread::spawn(ask)
            })
            .collect();
        statuses.extend(busy.into_iter().map(|asked| asked.join().unwrap()));
    }
    assert!(statuses.iter().flatten().all(|status| [201, 503].contains(status)), "{statuses:?}");
    let taken = statuses.iter().filter(|status| **status == Some(201)).count();
    let sent = sent(&router).len();
    assert_eq!(sent, taken, "a request without an answer was carried out");
}

#[test]
fn lines_that_could_never_fit_with_their_copies_are_refused_and_no_other_request_waits() {
    let plain = r#"
[source.plain]
kind = "http"
[[route]]
name = "plain"
source = "plain"
plugin = "PLUGINS/etl.wasm"
tables = ["hooks"]
config = { table = "hooks", key = { id = "{id}" } }
"#;
    let (router, address) = started(&(echo("", "", "", "") + plain));
    let lines = ("content-type", "application/x-ndjson");
    // Each of the lines has a copy of the query.
    let path = format!("/hooks/x?{}", "q".repeat(60_000));
    let long = ask(&address, "POST", &path, &[lines], "1\n".repeat(2000).as_bytes());
    assert_eq!((long.status, long.text().contains("limit.list")), (413, true), "{long:?}");
    let key = format!("/ingest/plain?key={}", "k".repeat(1024));
    let (status, said) = router.request("POST", &key, &[lines], "1\n".repeat(88_000).as_bytes()).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!((status, said.contains("limit.list")), (413, true), "{said}");
    let few = ask(&address, "POST", &path, &[lines], b"{\"id\": \"a\"}\n{\"id\": \"b\"}\n");
    assert_eq!((few.status, few.text().matches('-').count()), (202, 2), "{few:?}");
}

#[test]
fn nonsense_is_refused_and_the_next_client_is_served() {
    let (router, address) = started(&echo("", "max_body = \"1KiB\"", "", ""));
    let nonsense: [&[u8]; 8] = [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET /v1/things/1 HTTP/9.9\r\n\r\n",
        b"GET /v1/things/1 HTTP/1.1\r\nhost a\r\n\r\n",
        b"POST /v1/things HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/things HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/things HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GET http://[::1/ HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for bytes in nonsense {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.starts_with("HTTP/1.1 2"), "{bytes:?}: {said}");
    }
    let large = ask(&address, "POST", "/v1/things", &[], &[b'x'; 2048]);
    assert_eq!((large.status, large.text().contains("limit.body")), (413, true), "{large:?}");
    assert_eq!(ask(&address, "POST", "/v1/things", &[], b"x").status, 201);
    assert_eq!(router.request("GET", "/livez", &[], b"").unwrap().0, 200);
}
