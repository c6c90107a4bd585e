//! Drives the real binary in a directory of its own.

use crate::compiled;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything: after it the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a routes.toml, and the router that runs on it, if one does.
pub(crate) struct Router {
    pub dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Router {
    /// Writes `routes` as routes.toml into a new directory. `PLUGINS` in it becomes the directory of the plugins.
    pub(crate) fn new(routes: &str) -> Self {
        let router = Router { dir: tempfile::tempdir().unwrap(), child: None };
        router.configure(routes);
        router
    }

    /// Replaces routes.toml.
    pub(crate) fn configure(&self, routes: &str) {
        self.deploy("routes.toml", routes.replace("PLUGINS", &plugins().display().to_string()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Puts a whole file in place at once: on a busy machine the router could read half of one that is written in place, and refuse it.
    pub(crate) fn deploy(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write("deployed.new", content);
        std::fs::rename(self.path("deployed.new"), self.path(name)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_esclusa"));
        command.args(args).current_dir(self.dir.path()).env("ESCLUSA_LOG", "info").env_remove("ESCLUSA_CONFIG");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command to its end, with variables in its environment.
    pub(crate) fn launched(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(args).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed; gives its standard output. If it runs plugins, it finds those that were compiled before.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let loads = args.first().is_some_and(|command| ["run", "validate", "invoke"].contains(command));
        if loads {
            compiled::lend(&self.path("data"));
        }
        let output = self.run(args);
        if loads {
            compiled::keep(&self.path("data"));
        }
        assert!(output.status.success(), "{args:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts `esclusa run` with further arguments and with plugins that were compiled before, and does not wait.
    pub(crate) fn spawn(&mut self, args: &[&str]) {
        compiled::lend(&self.path("data"));
        self.launch(&[&["run"], args].concat(), &[]);
    }

    /// Starts a command with variables in its environment, and does not wait.
    pub(crate) fn launch(&mut self, args: &[&str], variables: &[(&str, &str)]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let out = std::fs::OpenOptions::new().create(true).append(true).open(self.path("out")).unwrap();
        let mut command = self.command(args);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stderr(log).stdout(out);
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts a command from a shell script, as `"$0" "$@"` of it, and does not wait.
    pub(crate) fn wrap(&mut self, script: &str, args: &[&str]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let bare = self.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(bare.get_program()).args(args).current_dir(self.dir.path());
        command.env("ESCLUSA_LOG", "info").stdin(Stdio::null()).stderr(log).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts `esclusa run`, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.spawn(&[]);
        self.until_ready();
    }

    pub(crate) fn until_ready(&mut self) {
        self.until("the router is ready", |router| router.get("/readyz").is_some());
        compiled::keep(&self.path("data"));
    }

    /// Waits until something holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Router) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().unwrap()) {
                panic!("waited for: {what}; but the router ended with {status}\n{}", self.log());
            }
            if began.elapsed() > PATIENCE {
                let status = self.get("/api/v1/status").map_or("no answer".to_owned(), |status| status.to_string());
                panic!("waited in vain for: {what}\n{}\nstatus: {status}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the router ends by itself; gives its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                compiled::keep(&self.path("data"));
                return status.code().unwrap_or(-1);
            }
            if began.elapsed() > PATIENCE * 3 {
                child.kill().unwrap();
                panic!("the router does not end\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the router with a signal; gives its exit code (-1: killed).
    pub(crate) fn signal(&mut self, signal: &str) -> i32 {
        self.send_signal(signal);
        self.wait()
    }

    /// Sends a signal and does not wait.
    pub(crate) fn send_signal(&mut self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Processes that the router has started and that have not ended.
    pub(crate) fn children(&self) -> Vec<String> {
        let router = self.child.as_ref().unwrap().id().to_string();
        let of = |pid: String| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
            let (state, parent) = (fields.next()?, fields.next()?);
            (parent == router && state != "Z").then_some(pid)
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| of(entry.file_name().into_string().ok()?)).collect()
    }

    /// True while the router runs.
    pub(crate) fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().unwrap().is_none())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The address of the running router's API.
    pub(crate) fn address(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path("data/router.json")).ok()?;
        let json: Value = serde_json::from_str(&text).ok()?;
        Some(json.get("admin")?.as_str()?.to_owned())
    }

    /// GETs from the API; `None` if the answer is not a success.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = self.request("GET", path, &[], b"")?;
        if status != 200 {
            return None;
        }
        Some(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// A request to the API; gives status and body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<(u16, Vec<u8>)> {
        let answer = exchange(&self.address()?, method, path, headers, body)?;
        Some((answer.status, answer.body))
    }

    /// The address of a listener at the start.
    pub(crate) fn listener(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path("data/router.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        json["listeners"][name].as_str().unwrap_or_else(|| panic!("no listener {name}: {text}")).to_owned()
    }

    /// GETs from the API with another `Host`; gives the status.
    pub(crate) fn request_as(&self, host: &str, path: &str) -> Option<u16> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// The status of a route.
    pub(crate) fn route(&self, name: &str) -> Option<Value> {
        let status = self.get("/api/v1/status")?;
        status.get("routes")?.as_array()?.iter().find(|r| r["name"] == name).cloned()
    }

    /// Runs a command of examples/aws.py on a configuration.
    pub(crate) fn aws(&self, routes: &str, arguments: &[&str]) -> String {
        self.write("there.toml", routes);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("examples/aws.py");
        let mut command = Command::new(python());
        command.arg(script).args(arguments).current_dir(self.dir.path()).env("ESCLUSA_CONFIG", self.path("there.toml"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All items of a table.
    pub(crate) fn scan(&self, table: &str) -> Vec<Value> {
        let text = self.ok(&["table", "scan", table]);
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails if it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request on a connection of its own.
pub(crate) fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "transfer-encoding") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    // A refused request may be cut before all of it was sent.
    let _ = stream.write_all((head + "\r\n").as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

/// Reads an answer.
pub(crate) fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = answer[end + 4..].to_vec();
    let chunked = head.contains("transfer-encoding: chunked");
    Some(Answer { status, head, body: if chunked { dechunk(&body) } else { body } })
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&body[..end]), 16).unwrap_or(0);
        let Some(chunk) = body.get(end + 2..end + 2 + size) else { break };
        out.extend_from_slice(chunk);
        body = body.get(end + 2 + size + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    out
}

/// The directory of the built plugins.
pub(crate) fn plugins() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("plugins");
    assert!(directory.join("etl.wasm").exists(), "build the plugins first: make plugins");
    directory
}

/// The directory of the guests that only tests use.
pub(crate) fn guests() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("target/guests");
    let directory = std::env::var_os("ESCLUSA_GUESTS").map_or(built, PathBuf::from);
    assert!(directory.join("hostile.wasm").exists(), "build the guests first: scripts/guests.sh");
    directory
}

/// An address at which nobody listens, for as long as this lives: the port is taken, so that no other test gets it.
pub(crate) struct ClosedPort(tokio::net::TcpSocket);

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        ClosedPort(socket)
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Listens there from now on.
    pub(crate) fn listen(self) -> std::net::TcpListener {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        let listener = self.0.listen(128).unwrap().into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        listener
    }
}

/// The Python with the packages of `scripts/python.sh`.
pub(crate) fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("target/venv/bin/python");
    assert!(python.exists(), "set up Python first: scripts/python.sh");
    python
}

/// The endpoint of a local server for an AWS service.
pub(crate) fn server(service: &str) -> String {
    let name = format!("AWS_ENDPOINT_URL_{service}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by scripts/servers.sh run"))
}

/// The hostile plugin as a version with this manner: what it does beside its order.
pub(crate) fn mannered(manner: u8) -> Vec<u8> {
    const MANNER: &[u8] = b"manner-of-this-version:";
    let mut bytes = std::fs::read(guests().join("hostile.wasm")).unwrap();
    let at = bytes.windows(MANNER.len()).position(|window| window == MANNER).unwrap();
    bytes[at + MANNER.len()] = manner;
    bytes
}

/// A plugin's bytes with a custom section added: another digest, the same behaviour.
pub(crate) fn variant(plugin: &str, tag: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(plugins().join(plugin)).unwrap();
    bytes.push(0);
    bytes.push(u8::try_from(tag.len() + 1).unwrap());
    bytes.push(u8::try_from(tag.len()).unwrap());
    bytes.extend_from_slice(tag.as_bytes());
    bytes
}
