//! Resources on AWS that cannot be used: `validate` and `run` name the route, the resource and the remedy, and no
//! event is acknowledged until they can be used.

use super::router::{ClosedPort, Router, server};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Events of the tests.
const EVENTS: usize = 30;

const STREAM: &str = r#"
[source.requests]
kind = "kinesis"
stream = "requests-RUN"
lease_duration = "2s"
"#;
const QUEUE: &str = r#"
[source.orders]
kind = "sqs"
queue = "orders-RUN"
visibility_timeout = "2s"
"#;
const TABLE: &str = r#"
[table.items]
kind = "dynamodb"
name = "items-RUN"
partition_key = "pk"
"#;

fn route(source: &str) -> String {
    format!(
        r#"
[[route]]
name = "{source}-RUN"
source = "{source}"
plugin = "PLUGINS/etl.wasm"
tables = ["items"]
retry_backoff = {{ max = "1s" }}
config = {{ table = "items", key = {{ pk = "{{id}}" }} }}
"#
    )
}

/// A router on a configuration with names of its own in AWS: `RUN` becomes `test` and the process.
struct Scene {
    router: Router,
    run: String,
}

impl Scene {
    /// `aws` is the content of `[aws]`.
    fn new(test: &str, aws: &str, sections: &[&str]) -> Self {
        let run = format!("{test}-{}", std::process::id());
        let head = "version = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[engine]\npath = \"data\"\n[aws]\n";
        let routes = format!("{head}{aws}\n{}", sections.concat());
        Scene { router: Router::new(&routes.replace("RUN", &run)), run }
    }

    /// Runs a command of examples/aws.py on some sections.
    fn aws(&self, sections: &str, arguments: &[&str]) -> String {
        self.router.aws(&sections.replace("RUN", &self.run), arguments)
    }

    fn send(&self, sections: &str, source: &str) {
        let events: String = (0..EVENTS).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
        self.router.write("events.jsonl", events);
        self.aws(sections, &["send", source, "events.jsonl"]);
    }

    /// Starts the router, whether or not it can read its sources.
    fn start(&mut self) {
        self.router.spawn(&[]);
        self.router.until("the router answers", |router| router.get("/api/v1/status").is_some());
    }

    /// The number of items in the table.
    fn items(&self) -> usize {
        self.aws(TABLE, &["scan", "items"]).lines().count()
    }

    fn status(router: &Router, run: &str, source: &str) -> Option<Value> {
        router.route(&format!("{source}-{run}"))
    }

    /// Waits until the router logs an error about `resource`; gives those log lines.
    fn complaint(&mut self, source: &str, resource: &str) -> String {
        let (run, resource) = (self.run.clone(), resource.replace("RUN", &self.run));
        self.router.until(&format!("{resource} is named"), |router| {
            let status = Scene::status(router, &run, source);
            // Whatever fails, and with whatever code: the route does not do its work.
            status.is_some_and(|s| {
                s["reading"]["last_error"]["message"].as_str().is_some_and(|m| m.contains(&resource))
                    && s["health"]["healthy"] == false
            })
        });
        let log = self.router.log();
        let line = log.lines().rfind(|line| line.contains(&resource)).unwrap();
        assert!(line.contains(&format!("{source}-{run}")), "the route is named: {line}");
        line.to_owned()
    }

    /// Waits until every event is done.
    fn until_done(&mut self, source: &str) {
        let run = self.run.clone();
        self.router.until("every event is done", |router| {
            Scene::status(router, &run, source)
                .is_some_and(|s| s["reading"]["counts"]["done"].as_u64() >= Some(EVENTS as u64))
        });
    }

    /// Runs `validate`, which has to fail; gives its messages.
    fn invalid(&self) -> String {
        let output = self.router.run(&["validate"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        said.replace(&self.run, "RUN")
    }
}

fn servers() {
    for service in ["KINESIS", "DYNAMODB", "SQS", "SNS", "S3"] {
        server(service);
    }
}

#[test]
fn validate_names_the_route_the_resource_and_the_remedy_of_everything_that_is_missing() {
    servers();
    let lake = "[objects.lake]\nkind = \"s3\"\nbucket = \"lake-RUN\"\npath_style = true\n";
    let alarms = "[output.alarms]\nkind = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:000000000000:alarms-RUN\"\n";
    let both = [route("requests"), route("orders").replace("[route.config]", "")].concat();
    let more =
        both.replace("tables = [\"items\"]", "tables = [\"items\"]\nobjects = [\"lake\"]\noutputs = [\"alarms\"]");
    let scene = Scene::new("missing", "", &[STREAM, QUEUE, TABLE, lake, alarms, &more]);
    let said = scene.invalid();
    for line in [
        "route requests-RUN: stream requests-RUN does not exist in us-east-1: create it, or correct [source.requests] stream",
        "route orders-RUN: queue orders-RUN does not exist in us-east-1: create it, or correct [source.orders] queue",
        "route requests-RUN, orders-RUN: table items-RUN does not exist in us-east-1: create it, or correct [table.items] name",
        "route requests-RUN, orders-RUN: bucket lake-RUN does not exist in us-east-1: create it, or correct [objects.lake] bucket",
        "topic arn:aws:sns:us-east-1:000000000000:alarms-RUN does not exist in us-east-1: create it, or correct [output.alarms] topic_arn",
        "5 resource(s) cannot be used",
    ] {
        assert!(said.contains(line), "{line}\nin\n{said}");
    }
    assert!(scene.router.run(&["validate", "--no-connect"]).status.success());
}

#[test]
fn nothing_of_a_stream_is_settled_while_a_table_is_missing() {
    servers();
    let mut scene = Scene::new("no-table", "", &[STREAM, TABLE, &route("requests")]);
    scene.aws(STREAM, &["create"]);
    scene.send(STREAM, "requests");
    scene.start();
    let complaint = scene.complaint("requests", "table items-RUN");
    assert!(complaint.contains("ResourceNotFoundException") && complaint.contains("create it"), "{complaint}");
    let leases = "[table.leases]\nkind = \"dynamodb\"\nname = \"esclusa-requests-RUN\"\n";
    let lease: Value = serde_json::from_str(scene.aws(leases, &["scan", "leases"]).trim()).unwrap();
    assert_eq!(lease["checkpoint"], "TRIM_HORIZON", "{lease}");
    scene.aws(TABLE, &["create"]);
    scene.until_done("requests");
    assert_eq!(scene.items(), EVENTS);
}

#[test]
fn no_message_is_deleted_while_a_table_is_missing() {
    servers();
    let mut scene = Scene::new("no-table-sqs", "", &[QUEUE, TABLE, &route("orders")]);
    scene.aws(QUEUE, &["create"]);
    scene.send(QUEUE, "orders");
    scene.start();
    let complaint = scene.complaint("orders", "table items-RUN");
    assert!(complaint.contains("ResourceNotFoundException") && complaint.contains("create it"), "{complaint}");
    assert_eq!(scene.router.signal("KILL"), -1);
    scene.aws(TABLE, &["create"]);
    scene.start();
    scene.until_done("orders");
    assert_eq!(scene.items(), EVENTS);
}

#[test]
fn a_missing_stream_and_a_missing_queue_are_waited_for() {
    servers();
    for (source, section, kind) in [("requests", STREAM, "stream"), ("orders", QUEUE, "queue")] {
        let mut scene = Scene::new(&format!("no-{kind}"), "", &[section, TABLE, &route(source)]);
        scene.aws(TABLE, &["create"]);
        scene.start();
        let complaint = scene.complaint(source, &format!("{source}-RUN"));
        assert!(complaint.contains(kind) && complaint.contains("create it"), "{complaint}");
        scene.aws(section, &["create"]);
        scene.send(section, source);
        scene.until_done(source);
        assert_eq!(scene.items(), EVENTS);
    }
}

#[test]
fn without_a_network_the_endpoint_is_suspected() {
    let closed = ClosedPort::new();
    let aws = format!("region = \"us-east-1\"\nendpoint_url = \"http://{}\"", closed.address());
    let mut scene = Scene::new("no-network", &aws, &[STREAM, TABLE, &route("requests")]);
    let said = scene.invalid();
    for resource in ["stream requests-RUN", "table items-RUN"] {
        let named = |line: &&str| line.starts_with("route requests-RUN: ") && line.contains(resource);
        let line = said.lines().find(named).unwrap_or_else(|| panic!("{resource} in\n{said}"));
        assert!(line.contains("is there a network, and is endpoint_url right?"), "{line}");
    }
    scene.start();
    let complaint = scene.complaint("requests", "requests-RUN");
    assert!(complaint.contains("is there a network, and is endpoint_url right?"), "{complaint}");
}

#[test]
fn wrong_credentials_and_missing_permissions_are_told_apart() {
    let remedies = [
        (
            "UnrecognizedClientException",
            "check the profile or AWS_ACCESS_KEY_ID",
            "check the profile or AWS_ACCESS_KEY_ID",
        ),
        ("AccessDeniedException", "allow dynamodb:DescribeTable, see `esclusa iam-policy`", "see `esclusa iam-policy`"),
    ];
    for (code, told, logged) in remedies {
        let aws = format!("region = \"us-east-1\"\nendpoint_url = \"{}\"", refusing(code));
        let mut scene = Scene::new("refused", &aws, &[STREAM, TABLE, &route("requests")]);
        let said = scene.invalid();
        assert!(said.contains("route requests-RUN: stream requests-RUN in us-east-1: "), "{said}");
        assert!(said.contains("route requests-RUN: table items-RUN in us-east-1: ") && said.contains(told), "{said}");
        scene.start();
        let complaint = scene.complaint("requests", "requests-RUN");
        assert!(complaint.contains(code) && complaint.contains(logged), "{complaint}");
    }
}

/// The address of a service that refuses every request as AWS does: the servers of the tests accept any credentials.
fn refusing(code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up has its answer.
            let _ = stream.and_then(|mut stream| refuse(&mut stream, code));
        }
    });
    format!("http://{address}")
}

fn refuse(stream: &mut std::net::TcpStream, code: &str) -> std::io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    let whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
        (body.len() >= length.trim().parse().ok()?).then_some(())
    };
    while whole(&request).is_none() {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&part[..count]),
        }
    }
    let body = format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"refused"}}"#);
    let kind = "application/x-amz-json-1.1";
    write!(
        stream,
        "HTTP/1.1 400 Bad Request\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
