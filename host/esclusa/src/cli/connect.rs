//! Finds the router that runs on a configuration, or opens its store where none does.

use super::GlobalArgs;
use crate::configuration;
use crate::sinks::webhook::http_client;
use anyhow::{Context, Result, anyhow, bail};
use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A router on this machine answers within this time, or is taken for dead.
const CONNECT: Duration = Duration::from_secs(2);

/// Where a router that runs is found: `router.json` beside its store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RouterAddress {
    /// Its process.
    pub pid: u32,
    /// Where its API listens; `None` without `[admin]`.
    pub admin: Option<SocketAddr>,
}

/// Keeps `router.json` there for as long as the router runs.
pub(super) struct RouterFile(PathBuf);

impl RouterAddress {
    fn path(engine: &Path) -> PathBuf {
        engine.join("router.json")
    }

    fn read(engine: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(engine)).ok()?).ok()
    }

    /// Writes them down; they are gone when the value is dropped.
    pub(super) fn post(&self, engine: &Path) -> Result<RouterFile> {
        let path = Self::path(engine);
        let aside = path.with_extension("json.new");
        std::fs::write(&aside, serde_json::to_vec(self)?)
            .and_then(|()| std::fs::rename(&aside, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(RouterFile(path))
    }
}

impl Drop for RouterFile {
    fn drop(&mut self) {
        // Whoever finds it later sees that nobody answers.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a command works on.
pub(super) enum RouterOrStore {
    /// A router runs: ask it.
    Router(Client),
    /// No router runs: the store itself, and what the configuration says of it.
    Store(Store, Box<Plan>),
}

/// Finds the router of the configuration, or opens its store.
pub(super) async fn reach(global: &GlobalArgs) -> Result<RouterOrStore> {
    reach_for(global, |_| Ok(())).await
}

/// Finds the router of the configuration, which can tell what makes no sense to it, or opens the store once `check` has
/// found nothing.
pub(super) async fn reach_for(global: &GlobalArgs, check: impl FnOnce(&Plan) -> Result<()>) -> Result<RouterOrStore> {
    if let Some(client) = running(global).await {
        return Ok(RouterOrStore::Router(client));
    }
    let plan = global.load_quietly()?.plan;
    check(&plan)?;
    if !plan.engine.is_dir() {
        bail!("there is no store at {} yet: nothing has run", plan.engine.display());
    }
    Ok(RouterOrStore::Store(open(&plan).await?, Box::new(plan)))
}

/// The same for commands that write: where there is no store yet it is made, as the first run would make it.
pub(super) async fn reach_or_make(global: &GlobalArgs) -> Result<RouterOrStore> {
    if let Some(client) = running(global).await {
        return Ok(RouterOrStore::Router(client));
    }
    let plan = global.load_quietly()?.plan;
    Ok(RouterOrStore::Store(open(&plan).await?, Box::new(plan)))
}

/// The router that runs, for commands that make no sense without one.
pub(super) async fn router(global: &GlobalArgs) -> Result<Client> {
    if let Some(client) = running(global).await {
        return Ok(client);
    }
    if global.load_quietly()?.plan.admin.is_none() {
        bail!("no router can be asked: {} has no [admin] section", global.config.display());
    }
    bail!("no router runs on {}; start one with `esclusa run -c {0}`", global.config.display())
}

/// The router that runs on the configuration, even where the file has been broken since: somebody may be at work on it.
pub(super) async fn running(global: &GlobalArgs) -> Option<Client> {
    let engine = match configuration::read(&global.config) {
        Ok(loaded) => loaded.plan.engine,
        Err(_) => configuration::engine(&global.config)?,
    };
    let RouterAddress { pid, admin } = RouterAddress::read(&engine)?;
    let client = Client::new(admin?).ok()?;
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
            anyhow!("a router runs on this store{pid} and cannot be asked: add an [admin] section, or stop it first")
        }
        error => error.into(),
    })
}

/// Talks to the API of a router.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
}

/// How the API tells what went wrong.
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Client {
    fn new(admin: SocketAddr) -> Result<Self> {
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

    /// GETs something that may be long.
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

/// Escapes a part of a path or a query.
#[must_use]
pub(super) fn escape(part: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(part, KEPT).to_string()
}
