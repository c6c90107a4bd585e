//! The listeners of sources of kind `http`: addresses that serve the endpoints of their sources, and nothing else.
//!
//! They have threads of their own, apart from those of the admin listener: whatever is sent to a public address, health
//! and API answer. A reload adds, changes and removes listeners; connections of the others stay. A listener whose
//! address cannot be bound, or whose certificate cannot be used, refuses the reload, and everything stays as it was.

mod auth;
mod client_address;
mod cors;
mod endpoints;
pub(crate) mod idempotency;
pub(crate) mod rate_limit;
mod request;
mod served;
mod service;
mod signature;
pub(crate) mod tls;

use crate::runtime::Runtime;
use crate::runtime::listening::{ListenerStatus, Listening, NotListening, PreparedListeners};
use crate::threads::Threads;
use crate::wiring::kept_reply::RequestsInWork;
use arc_swap::{ArcSwap, ArcSwapOption};
use esclusa_config::plan::{HttpListener, Plan};
use esclusa_http::bodies::BodyBudget;
use esclusa_http::connections::{self, ConnectionLimits, ConnectionMeter, LEAVING, PATIENCE, Serving};
use esclusa_http::work_limits::WorkLimits;
use futures_util::future::join_all;
use parking_lot::Mutex;
use rustls::ServerConfig;
use served::{ListenerSide, Served};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Connections beyond `max_connections` that are told so.
pub(crate) const RESERVE: usize = 8;

/// The listeners of a router. Dropping this stops them.
pub(crate) struct Listeners {
    threads: Threads,
    side: Arc<ListenerSide>,
    running: Mutex<RunningListeners>,
}

#[derive(Default)]
struct RunningListeners {
    by_name: BTreeMap<String, RunningListener>,
    /// The router stops: no listener is added, changed or removed any more.
    stopping: bool,
}

struct RunningListener {
    plan: HttpListener,
    address: SocketAddr,
    socket: std::net::TcpListener,
    served: Arc<ArcSwap<Served>>,
    tls: Arc<ArcSwapOption<ServerConfig>>,
    closing: Arc<AtomicBool>,
    meter: Arc<ConnectionMeter>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The parts of a listener that may fail.
struct ReadyListener {
    socket: std::net::TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

/// Checks the certificates of a plan, without listening.
///
/// # Errors
/// [`NotListening::Tls`].
pub(crate) fn check_certificates(plan: &Plan) -> Result<(), NotListening> {
    let files = plan.listeners.iter().filter_map(|(name, listener)| Some((name, listener.tls.as_ref()?)));
    files.into_iter().try_for_each(|(name, files)| tls::settings(name, files).map(drop))
}

/// Checks that the listeners of a plan can be started: before the routes begin to work, not after. Needs the threads of
/// tokio.
///
/// # Errors
/// [`NotListening`].
pub(crate) fn check(plan: &Plan) -> Result<(), NotListening> {
    check_certificates(plan)?;
    plan.listeners.iter().try_for_each(|(name, listener)| {
        let address = listener.listen;
        let bound = connections::bind(address).map(drop);
        bound.map_err(|why| NotListening::Address { name: name.clone(), address, why })
    })
}

impl Listeners {
    /// Starts the listeners of a router. Call it on the router's own threads: the work that requests ask of the router
    /// runs there.
    ///
    /// # Errors
    /// [`NotListening`] for the first that cannot be started.
    pub(crate) fn start(runtime: &Arc<Runtime>, threads: Threads) -> Result<Arc<Self>, NotListening> {
        let side = Arc::new(ListenerSide {
            runtime: runtime.clone(),
            work: WorkLimits::new(Handle::current()),
            bodies: BodyBudget::default(),
            in_work: RequestsInWork::default(),
        });
        let listeners = Arc::new(Listeners { threads, side, running: Mutex::default() });
        let loaded = runtime.loaded();
        let ready = listeners.ready(&loaded.plan)?;
        listeners.apply(ready, &loaded.plan);
        let as_dyn: Arc<dyn Listening> = listeners.clone();
        runtime.listen_with(&as_dyn);
        Ok(listeners)
    }

    /// The addresses that are listened on, by name; with the port that the system chose.
    pub(crate) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.running.lock().by_name.iter().map(|(name, running)| (name.clone(), running.address)).collect()
    }

    /// Asks clients to go elsewhere. From now on no reload changes the listeners.
    pub(crate) fn drain(&self) {
        let mut running = self.running.lock();
        running.stopping = true;
        running.by_name.values().for_each(|running| running.closing.store(true, Ordering::Relaxed));
    }

    /// Takes no further connections, and waits until the requests that were read have their answers, at most for this
    /// long.
    pub(crate) async fn close(&self, most: Duration) {
        let running =
            std::mem::replace(&mut *self.running.lock(), RunningListeners { stopping: true, ..Default::default() });
        let tasks = running.by_name.into_values().map(|running| {
            drop((running.stop, running.socket));
            running.task
        });
        if tokio::time::timeout(most, join_all(tasks)).await.is_err() {
            tracing::warn!("requests were not answered in time; their clients may send them again");
        }
    }

    /// Everything of the listeners of a plan that may fail. A socket that is there already is shared.
    fn ready(&self, plan: &Plan) -> Result<BTreeMap<String, ReadyListener>, NotListening> {
        let running = self.running.lock();
        let ready = plan.listeners.iter().map(|(name, listener)| {
            let tls = listener.tls.as_ref().map(|files| tls::settings(name, files)).transpose();
            let (tls, address) = (tls?, listener.listen);
            let socket = self.socket(name, listener, &running.by_name);
            let socket = socket.map_err(|why| NotListening::Address { name: name.clone(), address, why })?;
            Ok((name.clone(), ReadyListener { socket, tls }))
        });
        ready.collect()
    }

    fn socket(
        &self,
        name: &str,
        listener: &HttpListener,
        running: &BTreeMap<String, RunningListener>,
    ) -> std::io::Result<std::net::TcpListener> {
        let same = running.iter().find(|(other, running)| {
            // Two listeners on port 0 have different ports.
            running.plan.listen == listener.listen && (listener.listen.port() != 0 || *other == name)
        });
        if let Some((_, running)) = same {
            return running.socket.try_clone();
        }
        let ended = || std::io::Error::other("the threads of the listeners have ended");
        let threads = self.threads.handle().ok_or_else(ended)?;
        let _on = threads.enter();
        connections::bind(listener.listen)?.into_std()
    }

    /// Puts the listeners of a plan in force, unless the router stops: then what was prepared is dropped.
    fn apply(&self, mut ready: BTreeMap<String, ReadyListener>, plan: &Plan) {
        let mut running = self.running.lock();
        if running.stopping {
            return;
        }
        let running = &mut running.by_name;
        let stays = |name: &String, now: &RunningListener| {
            plan.listeners
                .get(name)
                .is_some_and(|new| new.listen == now.plan.listen && new.max_connections == now.plan.max_connections)
        };
        // The requests of listeners that go are answered; their tasks end by themselves.
        running.retain(|name, now| stays(name, now));
        for (name, listener) in &plan.listeners {
            let Some(ReadyListener { socket, tls }) = ready.remove(name) else { continue };
            let served = Arc::new(Served::of(name, listener, plan));
            match running.get_mut(name) {
                Some(now) => {
                    now.served.store(served);
                    now.tls.store(tls);
                    now.plan = listener.clone();
                }
                None => match self.serve(listener.clone(), socket, served, tls) {
                    Ok(started) => {
                        tracing::info!(listener = name, address = %started.address, "listening");
                        running.insert(name.clone(), started);
                    }
                    Err(error) => tracing::error!(listener = name, %error, "the listener does not start"),
                },
            }
        }
    }

    fn serve(
        &self,
        plan: HttpListener,
        socket: std::net::TcpListener,
        served: Arc<Served>,
        tls: Option<Arc<ServerConfig>>,
    ) -> std::io::Result<RunningListener> {
        let ended = || std::io::Error::other("the threads of the listeners have ended");
        let threads = self.threads.handle().ok_or_else(ended)?;
        let (address, served) = (socket.local_addr()?, Arc::new(ArcSwap::new(served)));
        let listener = {
            let _on = threads.enter();
            TcpListener::from_std(socket.try_clone()?)?
        };
        let (tls, closing) = (Arc::new(ArcSwapOption::new(tls)), Arc::new(AtomicBool::new(false)));
        let ordinary = plan.max_connections.min(ConnectionLimits::most_by_files());
        let serving = Serving {
            most: ConnectionLimits { ordinary, reserve: RESERVE },
            patience: PATIENCE,
            leaving: LEAVING,
            reserved: &[],
            tls: tls.clone(),
            http2: true,
            closing: closing.clone(),
            meter: Arc::default(),
        };
        let meter = serving.meter.clone();
        let (stop, stopped) = oneshot::channel();
        let router = service::router(self.side.clone(), served.clone());
        let task = threads.spawn(connections::serve(listener, router, serving, stopped));
        Ok(RunningListener { plan, address, socket, served, tls, closing, meter, stop, task })
    }
}

impl Listening for Listeners {
    fn stopping(&self) -> bool {
        self.running.lock().stopping
    }

    fn check(&self, plan: &Plan) -> Result<(), NotListening> {
        check_certificates(plan)
    }

    fn prepare(self: Arc<Self>, plan: &Plan) -> Result<PreparedListeners, NotListening> {
        let (ready, listeners) = (self.ready(plan)?, self);
        Ok(Box::new(move |plan| listeners.apply(ready, plan)))
    }

    fn status(&self) -> Vec<ListenerStatus> {
        let running = self.running.lock();
        let status = running.by_name.iter().map(|(name, running)| ListenerStatus {
            name: name.clone(),
            address: running.address.to_string(),
            tls: running.plan.tls.is_some(),
            connections: running.meter.connections(),
            max_connections: running.plan.max_connections,
            answers: running.meter.answers(),
        });
        status.collect()
    }
}
