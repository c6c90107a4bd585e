//! Finds the router that runs on a configuration, or opens the store if none runs.

use super::cannot_start::CannotStart;
use super::router_file::{Phase, RouterAddress};
use super::{GlobalArgs, print};
use crate::configuration;
use crate::sinks::webhook::http_client;
use crate::wiring::store_schema;
use anyhow::{Result, bail};
use axum::http::StatusCode;
use esclusa_config::plan::Plan;
use esclusa_embedded::{OpenError, Store};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// A router on this machine accepts a connection within this time, or counts as not running.
const CONNECT: Duration = Duration::from_secs(2);
/// A router that starts or stops is waited for this long.
const WAIT: Duration = Duration::from_secs(30);
/// How often a router is asked which process it is.
const ASKED: u32 = 3;
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// The router or the store that a command works on.
pub(super) enum RouterOrStore {
    /// The API of the router that runs.
    Router(Client),
    /// No router runs: the store itself, and the plan.
    Store(Store, Box<Plan>),
}

/// A router as a look at it finds it.
pub(super) enum Found {
    /// None runs.
    Nobody,
    /// It runs, or stops.
    Running(Client),
    /// It starts: its API answers that.
    Starting(RouterAddress),
}

/// A router that did not come to an end of what it was doing in time.
#[derive(Debug, thiserror::Error)]
#[error("the router (process {}) is {} for more than {} s; try again later, its log tells more", .0.pid, .0.phase, WAIT.as_secs())]
pub(super) struct NotYet(RouterAddress);

/// A wait for a router that starts or stops.
#[derive(Default)]
struct StartWait(Option<Instant>);

impl StartWait {
    /// Waits a moment; the first time it says for what, and how long at most.
    async fn wait_for(&mut self, router: &RouterAddress) -> Result<(), NotYet> {
        let began = *self.0.get_or_insert_with(|| {
            let (pid, phase, most) = (router.pid, router.phase, WAIT.as_secs());
            print::message(&format!("the router (process {pid}) is {phase}: waiting for it, at most {most} s"));
            Instant::now()
        });
        if began.elapsed() > WAIT {
            return Err(NotYet(router.clone()));
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}

/// Finds the router of the configuration, or opens its store.
pub(super) async fn connect(global: &GlobalArgs) -> Result<RouterOrStore> {
    connect_checked(global, |_| Ok(())).await
}

/// Like [`connect`], with a check of the plan before the store is opened. A running router makes the same check
/// itself.
pub(super) async fn connect_checked(global: &GlobalArgs, check: impl Fn(&Plan) -> Result<()>) -> Result<RouterOrStore> {
    router_or_store(global, |plan| {
        check(plan)?;
        if !plan.engine.is_dir() {
            bail!("there is no store at {} yet: no router has run on this configuration", plan.engine.display());
        }
        Ok(())
    })
    .await
}

/// Like [`connect`], for commands that write: if there is no store yet it is created, as the first run would create
/// it.
pub(super) async fn connect_or_create(global: &GlobalArgs) -> Result<RouterOrStore> {
    router_or_store(global, |_| Ok(())).await
}

/// Waits for a router that starts; one that stops is waited for if it still holds the store.
async fn router_or_store(global: &GlobalArgs, check: impl Fn(&Plan) -> Result<()>) -> Result<RouterOrStore> {
    let mut patience = StartWait::default();
    loop {
        if let Some(client) = find_router(global).await? {
            return Ok(RouterOrStore::Router(client));
        }
        let loaded = global.load_quietly()?;
        check(&loaded.plan)?;
        let (path, schema) = (loaded.plan.engine.clone(), store_schema::of(&loaded.plan));
        let why = match tokio::task::spawn_blocking(move || Store::open(path, schema)).await? {
            Ok(store) => return Ok(RouterOrStore::Store(store, Box::new(loaded.plan))),
            Err(why) => why,
        };
        match RouterAddress::read(&loaded.plan.engine) {
            Some(router) if router.phase != Phase::Running && held_by(&why, router.pid) => {
                patience.wait_for(&router).await?;
            }
            _ => return Err(CannotStart::store(&loaded.locator, &loaded.plan, &why).into()),
        }
    }
}

fn held_by(why: &OpenError, pid: u32) -> bool {
    matches!(why, OpenError::Locked { holder: Some(holder), .. } if *holder == pid)
}

/// The router that runs, for commands that need one.
pub(super) async fn require_router(global: &GlobalArgs) -> Result<Client> {
    if let Some(client) = find_router(global).await? {
        return Ok(client);
    }
    if global.load_quietly()?.plan.admin.is_none() {
        bail!("this command needs the API of a running router, and {} has no [admin] section", global.config.display());
    }
    bail!("no router runs on {}; start one with `esclusa run -c {0}`", global.config.display())
}

/// The router that runs on the configuration, if one does. One that starts is waited for.
pub(super) async fn find_router(global: &GlobalArgs) -> Result<Option<Client>, NotYet> {
    let mut patience = StartWait::default();
    loop {
        match look(global).await {
            Found::Nobody => return Ok(None),
            Found::Running(client) => return Ok(Some(client)),
            Found::Starting(router) => patience.wait_for(&router).await?,
        }
    }
}

/// Looks for a router on the configuration. It is found even if the file has mistakes by now: somebody may be editing it.
pub(super) async fn look(global: &GlobalArgs) -> Found {
    let engine = match configuration::read(&global.config) {
        Ok(loaded) => Some(loaded.plan.engine),
        Err(_) => configuration::engine(&global.config),
    };
    let Some(router) = engine.and_then(|engine| RouterAddress::read(&engine)) else { return Found::Nobody };
    let Some(client) = router.admin.and_then(|admin| Client::new(admin).ok()) else { return Found::Nobody };
    // The file may be left from a crash, and its port may belong to another program by now: only an API with the same
    // process id is the router.
    match client.process().await {
        Some((pid, StatusCode::OK)) if pid == router.pid => Found::Running(client),
        Some((pid, StatusCode::SERVICE_UNAVAILABLE)) if pid == router.pid => Found::Starting(router),
        _ => Found::Nobody,
    }
}

#[derive(Deserialize)]
struct Pid {
    pid: u32,
}

/// A client of the API.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
}

/// An error of the API.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{}", message.trim_end())]
pub(super) struct Refused {
    /// The reason, for people.
    #[serde(rename = "error")]
    pub message: String,
    /// The places in routes.toml; empty if there are none.
    #[serde(default)]
    pub diagnostics: Vec<Value>,
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

    /// The process that answers, and whether it runs already; `None`: nobody answers, or no router.
    async fn process(&self) -> Option<(u32, StatusCode)> {
        for _ in 0..ASKED {
            match self.ask_process().await {
                // Nobody listens.
                Err(error) if error.is_connect() => return None,
                // At the end of its start a router cuts the connections that it had until then: the next one reaches it.
                Err(_) => tokio::time::sleep(LOOK).await,
                Ok(found) => return Some(found),
            }
        }
        None
    }

    async fn ask_process(&self) -> reqwest::Result<(u32, StatusCode)> {
        let response = self.http.get(format!("{}/api/v1/status", self.base)).send().await?;
        let status = response.status();
        Ok((response.json::<Pid>().await?.pid, status))
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
    match serde_json::from_slice::<Refused>(&body) {
        Ok(refused) => Err(refused.into()),
        Err(_) => bail!("the router answered {status}"),
    }
}

/// Percent-encodes a part of a path or a query.
#[must_use]
pub(super) fn escape(part: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(part, KEPT).to_string()
}
