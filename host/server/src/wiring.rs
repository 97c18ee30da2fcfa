//! Puts the daemon together and takes it apart: the one place that knows every layer.
//!
//! **Start**: sockets are bound first (a port in use costs nothing), HTTP answers «starting» from then on,
//! the node and the mechanisms are opened, gRPC calls are accepted last. Volumes that wait for a codec open
//! meanwhile: they keep others from nothing but readiness, and that not for long. **Stop**: readiness falls,
//! no connection is accepted, calls under way get the grace time, then the mechanisms and the node stop, HTTP
//! last. What could not finish is reported, never waited for longer than stated.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mortise_kernel::node::{Node, NodeConfig};
use mortise_kernel::seams::{Seams, SystemClock};
use mortise_mechanisms::{FormatCodecs, ShippedPlugin, System, SystemConfig, Trust};
use mortise_plugin_runtime::{CompileLimits, Compiler, Runtime, RuntimeConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use crate::api::{self, Front, InFlight};
use crate::http::{self, Pages, Phase, Running};
use crate::metrics;
use crate::pb::etcdserverpb::kv_server::{Kv, KvServer};

/// Flow-control window of one call: a request of the largest size fits without waiting for an update.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Flow-control window of one connection, shared by its calls.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Calls that one connection may have under way.
const STREAMS: u32 = 4096;
/// Name of the hidden command that compiles one plugin.
pub(crate) const COMPILE_COMMAND: &str = "compile-plugin";

/// How the daemon is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Data directory, sizes and limits.
    pub node: NodeConfig,
    /// `host:port` for gRPC; port 0 takes a free one.
    pub listen: String,
    /// `host:port` for HTTP; port 0 takes a free one.
    pub listen_http: String,
    /// URLs that clients are told to use; empty: the gRPC address.
    pub advertise: Vec<String>,
    /// Time that calls under way get to finish at a stop.
    pub shutdown_grace: Duration,
    /// Strategy of volumes without a binding of their own.
    pub default_strategy: String,
    /// Level-0 runs from which on compaction happens whatever the strategy says.
    pub guard_l0_runs: usize,
    /// Compaction steps that may run at once.
    pub max_parallel_steps: usize,
    /// Threads that run plugins.
    pub plugin_threads: usize,
    /// For so long after a plugin version was newly activated, its first fault takes it back; nothing: not
    /// at all.
    pub plugin_watch: Duration,
    /// Who compiles plugins.
    pub plugin_compiler: Compiler,
    /// Keys that may sign components, and whether one must have.
    pub trust: Trust,
}

impl Options {
    /// The defaults, over `data_dir` and on free ports of this machine: for tests and for embedding.
    #[must_use]
    pub fn local(data_dir: impl Into<std::path::PathBuf>) -> Self {
        Self {
            node: NodeConfig::new(data_dir),
            listen: "127.0.0.1:0".to_owned(),
            listen_http: "127.0.0.1:0".to_owned(),
            advertise: Vec::new(),
            shutdown_grace: Duration::from_secs(10),
            default_strategy: "compaction-leveled".to_owned(),
            guard_l0_runs: 20,
            max_parallel_steps: 2,
            plugin_threads: 4,
            plugin_watch: Duration::from_secs(600),
            // The program that embeds a daemon cannot be run as a compiler.
            plugin_compiler: Compiler::InProcess,
            trust: Trust::default(),
        }
    }
}

/// The longest time that a node lets the compilation of one plugin take.
pub(crate) fn longest_compilation() -> Duration {
    CompileLimits::default().wall
}

/// Plugins are compiled by processes of this very program, whatever became of its file since it started.
pub(crate) fn compile_in_child() -> Compiler {
    Compiler::Child {
        program: "/proc/self/exe".into(),
        arguments: vec![COMPILE_COMMAND.into()],
        limits: CompileLimits::default(),
    }
}

/// What such a process does.
pub(crate) fn compile_plugin() -> std::process::ExitCode {
    mortise_plugin_runtime::compile_child_main()
}

/// A daemon that serves.
pub struct Daemon {
    grpc: SocketAddr,
    http: SocketAddr,
    node: Arc<Node>,
    system: Arc<System>,
    in_flight: InFlight,
    phase: watch::Sender<Phase>,
    health: HealthReporter,
    grace: Duration,
    calls: JoinHandle<Result<(), tonic::transport::Error>>,
    pages: JoinHandle<std::io::Result<()>>,
    close_pages: watch::Sender<bool>,
    upkeep: JoinHandle<()>,
}

/// What a stop could not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Calls that were cut off when the grace time was over.
    pub cut_off: u64,
}

impl Daemon {
    /// Starts everything; returns when calls are served, while volumes that need a codec may still open; see
    /// [`Daemon::ready`].
    ///
    /// # Errors
    /// When an address is in use, the data directory is in use, damaged or of an unknown format, or a volume
    /// that the daemon needs cannot be opened.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let (calls_listener, grpc) = bind(&options.listen, "--listen").await?;
        let (pages_listener, http) = bind(&options.listen_http, "--listen-http").await?;
        let (phase, watch_phase) = watch::channel(Phase::Starting);
        let recorder = metrics::recorder()?;
        let pages = Arc::new(Pages {
            phase: watch_phase,
            running: OnceLock::new(),
            metrics: recorder.clone(),
            seen: metrics::Seen::default(),
        });
        let (close_pages, closed) = watch::channel(false);
        let pages_task = tokio::spawn(serve_pages(pages_listener, pages.clone(), closed));

        let codecs = FormatCodecs::new();
        let seams = Seams { codecs: codecs.clone(), ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(options.node.clone(), seams).await?;
        let system = start_system(&node, codecs, &options).await?;

        let health = HealthReporter::new();
        let context = api::Context {
            system: system.clone(),
            node: node.clone(),
            client_urls: advertised(&options, grpc),
            default_deadline: options.node.default_deadline,
        };
        let front = api::front(context, HealthService::from_health_reporter(health.clone()))?;
        let in_flight = front.in_flight();
        let running = Running { node: node.clone(), system: system.clone(), in_flight: in_flight.clone() };
        if pages.running.set(running).is_err() {
            bail!("the daemon was started twice");
        }
        let calls = tokio::spawn(serve_calls(calls_listener, front, phase.subscribe()));
        Ok(Self {
            grpc,
            http,
            node,
            system,
            in_flight,
            phase,
            health,
            grace: options.shutdown_grace,
            calls,
            pages: pages_task,
            close_pages,
            upkeep: tokio::spawn(metrics::upkeep(recorder)),
        })
    }

    /// Where gRPC calls are taken.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where HTTP requests are taken.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The mechanisms, for tests that look inside.
    #[must_use]
    pub fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// Waits until the volumes are open, for those with codecs not long, and says that the node is ready.
    pub async fn ready(&self) {
        self.system.opened().await;
        self.phase.send_replace(Phase::Ready);
    }

    /// Returns when calls are no longer taken although nobody asked for a stop.
    ///
    /// # Errors
    /// Always: with the reason.
    pub async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.calls).await {
            Ok(Ok(())) => anyhow::anyhow!("the gRPC server ended by itself"),
            Ok(Err(error)) => anyhow::Error::from(error).context("the gRPC server failed"),
            Err(error) => anyhow::Error::from(error).context("the gRPC server failed"),
        }
    }

    /// Stops in good order, within the grace time plus what the node needs to close.
    ///
    /// # Errors
    /// When the node cannot be closed properly. Nothing acknowledged is lost even then.
    pub async fn stop(mut self) -> anyhow::Result<Stopped> {
        // Watchers of the health service see the change and then the end of their streams, which would
        // otherwise keep their connections open for the whole grace time.
        self.health.set_service_status("", ServingStatus::NotServing).await;
        self.health.clear_service_status("").await;
        self.phase.send_replace(Phase::Stopping);
        // Whoever watches a job would keep its connection open for as long as the job takes.
        self.system.stop_jobs();
        let finished = tokio::time::timeout(self.grace, &mut self.calls).await;
        let cut_off = if finished.is_err() { self.in_flight.calls() } else { 0 };
        if cut_off > 0 {
            let grace = humantime::format_duration(self.grace).to_string();
            tracing::warn!(cut_off, grace, "calls that did not finish within the grace time are cut off");
        }
        self.calls.abort();
        self.system.shutdown().await;
        let closed = self.node.shutdown().await;
        self.upkeep.abort();
        self.close_pages.send_replace(true);
        // A scraper that keeps its connection open must not keep the daemon alive.
        if tokio::time::timeout(Duration::from_secs(1), &mut self.pages).await.is_err() {
            self.pages.abort();
        }
        closed.context("closing the node")?;
        Ok(Stopped { cut_off })
    }
}

async fn start_system(
    node: &Arc<Node>,
    codecs: Arc<FormatCodecs>,
    options: &Options,
) -> anyhow::Result<Arc<System>> {
    let runtime = Runtime::new(RuntimeConfig {
        cache_dir: Some(node.subdirectory("plugins")?.join("cache")),
        max_parallel_calls: options.plugin_threads,
        compiler: options.plugin_compiler.clone(),
        ..RuntimeConfig::default()
    })?;
    let config = SystemConfig {
        guard_l0_runs: options.guard_l0_runs,
        max_parallel_steps: options.max_parallel_steps,
        plugin_watch: options.plugin_watch,
        trust: options.trust.clone(),
        codecs,
        ..SystemConfig::new(shipped(), &options.default_strategy)
    };
    Ok(System::start(node.clone(), runtime, config).await?)
}

/// The plugins that come with the program.
pub(crate) fn shipped() -> Vec<ShippedPlugin> {
    let shipped = mortise_plugins::shipped().iter();
    shipped.map(|plugin| ShippedPlugin { name: plugin.name.to_owned(), bytes: plugin.bytes.into() }).collect()
}

/// Binds `address`, given by `flag`.
pub(crate) async fn bind(address: &str, flag: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "address {address} is in use by another process; stop it or choose another with {flag} HOST:PORT"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another with {flag} HOST:PORT"),
    })?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn advertised(options: &Options, grpc: SocketAddr) -> Arc<[String]> {
    if options.advertise.is_empty() {
        Arc::from([format!("http://{grpc}")])
    } else {
        options.advertise.clone().into()
    }
}

/// Serves calls until the phase says to stop, then lets those under way finish.
pub(crate) async fn serve_calls<K: Kv>(
    listener: TcpListener,
    front: Front<KvServer<K>>,
    mut phase: watch::Receiver<Phase>,
) -> Result<(), tonic::transport::Error> {
    let incoming =
        TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(30)));
    let stopping = async move {
        // An error means that the daemon itself is gone, which is a stop too.
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    };
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .serve_with_incoming_shutdown(front, incoming, stopping)
        .await
}

async fn serve_pages(
    listener: TcpListener,
    pages: Arc<Pages>,
    mut closed: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let closing = async move {
        let _ = closed.wait_for(|closed| *closed).await;
    };
    axum::serve(listener, http::router(pages)).with_graceful_shutdown(closing).await
}
