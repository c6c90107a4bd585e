//! Finds the router that runs on a configuration, or opens the store if none runs.

use super::GlobalArgs;
use crate::configuration;
use crate::sinks::webhook::http_client;
use anyhow::{Context, Result, anyhow, bail};
use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A router on this machine accepts a connection within this time, or counts as not running.
const CONNECT: Duration = Duration::from_secs(2);

/// The address of a running router: the content of `router.json` in the directory of its store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RouterAddress {
    /// Its process id.
    pub pid: u32,
    /// The address of its API; `None` without `[admin]`.
    pub admin: Option<SocketAddr>,
    /// The addresses of its listeners at the start, by name.
    #[serde(default)]
    pub listeners: BTreeMap<String, SocketAddr>,
}

/// The file `router.json`; dropping this removes it.
pub(super) struct RouterFile(PathBuf);

impl RouterAddress {
    fn path(engine: &Path) -> PathBuf {
        engine.join("router.json")
    }

    fn read(engine: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(engine)).ok()?).ok()
    }

    /// Writes `router.json`; it is removed when the result is dropped.
    pub(super) fn post(&self, engine: &Path) -> Result<RouterFile> {
        let path = Self::path(engine);
        // Renamed into place, so that a command never reads half of the file.
        let aside = path.with_extension("json.new");
        std::fs::write(&aside, serde_json::to_vec(self)?)
            .and_then(|()| std::fs::rename(&aside, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(RouterFile(path))
    }
}

impl Drop for RouterFile {
    fn drop(&mut self) {
        // A file that stays does no harm: a command that reads it finds that no router answers.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The router or the store that a command works on.
pub(super) enum RouterOrStore {
    /// The API of the router that runs.
    Router(Client),
    /// No router runs: the store itself, and the plan.
    Store(Store, Box<Plan>),
}

/// Finds the router of the configuration, or opens its store.
pub(super) async fn connect(global: &GlobalArgs) -> Result<RouterOrStore> {
    connect_checked(global, |_| Ok(())).await
}

/// Like [`connect`], with a check of the plan before the store is opened. A running router makes the same check
/// itself.
pub(super) async fn connect_checked(
    global: &GlobalArgs,
    check: impl FnOnce(&Plan) -> Result<()>,
) -> Result<RouterOrStore> {
    if let Some(client) = find_router(global).await {
        return Ok(RouterOrStore::Router(client));
    }
    let plan = global.load_quietly()?.plan;
    check(&plan)?;
    if !plan.engine.is_dir() {
        bail!("there is no store at {} yet: no router has run on this configuration", plan.engine.display());
    }
    Ok(RouterOrStore::Store(open(&plan).await?, Box::new(plan)))
}

/// Like [`connect`], for commands that write: if there is no store yet it is created, as the first run would create
/// it.
pub(super) async fn connect_or_create(global: &GlobalArgs) -> Result<RouterOrStore> {
    if let Some(client) = find_router(global).await {
        return Ok(RouterOrStore::Router(client));
    }
    let plan = global.load_quietly()?.plan;
    Ok(RouterOrStore::Store(open(&plan).await?, Box::new(plan)))
}

/// The router that runs, for commands that need one.
pub(super) async fn require_router(global: &GlobalArgs) -> Result<Client> {
    if let Some(client) = find_router(global).await {
        return Ok(client);
    }
    if global.load_quietly()?.plan.admin.is_none() {
        bail!("this command needs the API of a running router, and {} has no [admin] section", global.config.display());
    }
    bail!("no router runs on {}; start one with `esclusa run -c {0}`", global.config.display())
}

/// The router that runs on the configuration, if one does. It is found even if the file has mistakes by now: somebody
/// may be editing it.
pub(super) async fn find_router(global: &GlobalArgs) -> Option<Client> {
    let engine = match configuration::read(&global.config) {
        Ok(loaded) => loaded.plan.engine,
        Err(_) => configuration::engine(&global.config)?,
    };
    let RouterAddress { pid, admin, .. } = RouterAddress::read(&engine)?;
    let client = Client::new(admin?).ok()?;
    // The file may be left from a crash, and its port may belong to another program by now: only an API with the same
    // process id is the router.
    let status: Pid = client.get("/api/v1/status").await.ok()?;
    (status.pid == pid).then_some(client)
}

#[derive(Deserialize)]
struct Pid {
    pid: u32,
}

async fn open(plan: &Plan) -> Result<Store> {
    let (path, schema) = (plan.engine.clone(), crate::wiring::store_schema::of(plan));
    let opened = tokio::task::spawn_blocking(move || Store::open(path, schema)).await?;
    opened.map_err(|error| match error {
        esclusa_embedded::OpenError::Locked { holder, .. } if plan.admin.is_none() => {
            let pid = holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            anyhow!("a router runs on this store{pid} and has no API: add an [admin] section, or stop the router first")
        }
        error => error.into(),
    })
}

/// A client of the API.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
}

/// An error of the API.
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Client {
    fn new(admin: SocketAddr) -> Result<Self> {
        // A router may listen on all addresses; a client has to connect to one of them.
        let ip = match admin.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let http = http_client().no_proxy().connect_timeout(CONNECT).build()?;
        Ok(Client { base: format!("http://{}", SocketAddr::new(ip, admin.port())), http })
    }

    /// GETs a value.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.stream(path).await?.json().await?)
    }

    /// GETs a response that may be long; its body is read by the caller.
    pub(super) async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await?;
        accepted(response).await
    }

    /// POSTs a value, for a value.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let response = self.http.post(format!("{}{path}", self.base)).json(body).send().await?;
        Ok(accepted(response).await?.json().await?)
    }

    /// POSTs bytes, for a value.
    pub(super) async fn upload<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<T> {
        let response = self.http.post(format!("{}{path}", self.base)).body(body).send().await?;
        Ok(accepted(response).await?.json().await?)
    }
}

async fn accepted(response: reqwest::Response) -> Result<reqwest::Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(refusal) => bail!("{}", refusal.error.trim_end()),
        Err(_) => bail!("the router answered {status}"),
    }
}

/// Percent-encodes a part of a path or a query.
#[must_use]
pub(super) fn escape(part: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(part, KEPT).to_string()
}
