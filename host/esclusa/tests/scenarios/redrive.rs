//! Redrives of dead letters that end in the middle: no letter is gone before it is delivered.

use super::router::{ClosedPort, Router, guests};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.events]
kind = "stream"
[output.out]
kind = "webhook"
url = "http://ADDRESS/"
[[route]]
name = "send"
source = "events"
plugin = "PLUGINS/alert.wasm"
outputs = ["out"]
config = { rule = [{ name = "all", output = "out", message = "{m}" }] }
"#;

/// Reads a request, and gives its body.
fn body(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        let request = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if read == 0 || body.len() >= length.trim().parse::<usize>().unwrap() {
            return body.to_owned();
        }
    }
}

/// A receiver whose first answer is `first`. It never answers the next request, and takes all after that. Gives its address, and the
/// bodies as they come.
fn receiver(first: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let told = sender.send(body(&mut stream));
            let status = match number {
                0 => first,
                1 => {
                    held.push(stream);
                    continue;
                }
                _ => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if told.is_err() || stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

/// What is killed while a letter is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// The command, which works on the store itself.
    Command,
    /// The command that has asked a running router.
    Client,
    /// The router.
    Router,
}

#[test]
fn a_redrive_that_ends_in_the_middle_loses_no_letter() {
    for killed in [Killed::Command, Killed::Client, Killed::Router] {
        let (address, bodies) = receiver("400 Bad Request");
        let mut router = Router::new(&ROUTES.replace("ADDRESS", &address));
        router.write("events.jsonl", "{\"m\": \"hello\"}\n");
        router.ok(&["send", "events", "events.jsonl"]);
        router.ok(&["run", "--until-idle"]);
        let next = || bodies.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(next(), "hello");
        let letters = |router: &Router| router.ok(&["dlq", "ls", "--json"]).lines().count();
        assert_eq!(letters(&router), 1, "{killed:?}");
        if killed != Killed::Command {
            router.start();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_esclusa"));
        command.args(["dlq", "redrive", "--all"]).current_dir(router.dir.path());
        let mut command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(next(), "hello", "{killed:?}: it is on its way");
        if killed == Killed::Router {
            assert_eq!(router.signal("KILL"), -1);
        } else {
            command.kill().unwrap();
        }
        command.wait().unwrap();
        assert_eq!(letters(&router), 1, "{killed:?}: nobody has taken it");
        if killed == Killed::Client {
            // The router may still wait for the answer to the request that the client has left behind.
            assert_eq!(router.signal("KILL"), -1);
            assert_eq!(letters(&router), 1, "{killed:?}");
        }
        router.ok(&["dlq", "redrive", "--all"]);
        assert_eq!((next().as_str(), letters(&router)), ("hello", 0), "{killed:?}");
    }
}

#[test]
fn redriven_messages_that_nobody_takes_are_bounded_and_the_other_dead_letters_stay() {
    let closed = ClosedPort::new();
    let routes = ROUTES.replace("ADDRESS", &closed.address().to_string());
    let alert = "config = { rule = [{ name = \"all\", output = \"out\", message = \"{m}\" }] }";
    let failing = routes.replace("PLUGINS/alert.wasm", &format!("{}/hostile.wasm", guests().display()));
    let failing = failing.replace(alert, "config = { do = \"panic\" }\nmax_retry_attempts = 0");
    let mut router = Router::new(&failing);
    router.write("events.jsonl", "{\"m\": \"hello\"}\n".repeat(258));
    router.ok(&["send", "events", "events.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    let letters = |router: &Router| router.ok(&["dlq", "ls", "--limit", "500", "--json"]).lines().count();
    assert_eq!(letters(&router), 258);
    router.configure(&routes.replace(alert, &format!("{alert}\nmax_retry_attempts = -1")));
    router.start();
    let redriven = router.run(&["dlq", "redrive", "--all"]);
    let told = String::from_utf8_lossy(&redriven.stderr).into_owned();
    assert_eq!(redriven.status.code(), Some(1), "{told}");
    assert!(told.contains("256 redriven, 2 failed") && told.contains("still wait for their outputs"), "{told}");
    assert_eq!(letters(&router), 2, "they stay");
}
