//! `mortise serve`: runs the daemon until it is told to stop.
//!
//! Every setting is a flag of [`Serve`], which is the one list of them: the configuration file and the
//! environment use the same names. Settings that contradict each other are refused before anything is opened.
//! The defaults are those of the layers below, which a test compares.
//!
//! A signal during the start is a stop. Afterwards the first one ends the daemon in good order, within the
//! grace period for calls under way, and a second one at once, which loses nothing that was acknowledged.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use clap::Args;
use mortise_kernel::node::NodeConfig;
use mortise_mechanisms::{Trust, TrustedKey};
use tokio::signal::unix::{SignalKind, signal};

use super::config::byte_size;
use crate::logging::{self, LogFormat};
use crate::wiring::{self, Daemon, Options};

/// Run the daemon.
#[derive(Debug, Args)]
#[command(
    after_help = "Every setting is taken from the flag, else from its environment variable, else from \
    the file given with --config (TOML, the flags' names are the keys), else from the default.\n\n\
    The log goes to standard error. Once calls are served it has a line with the message \"listening\" and \
    the fields `grpc` and `http`, the addresses in use; with port 0 they tell the ports chosen. SIGTERM and \
    SIGINT stop the daemon in good order; a second one stops it at once, which loses nothing acknowledged."
)]
pub(super) struct Serve {
    /// File with settings.
    #[arg(long, env = "MORTISE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Directory for all data; created when missing. One daemon uses it at a time.
    #[arg(long, env = "MORTISE_DATA_DIR", value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// Address for gRPC: the etcd API and administration. Port 0 takes a free one.
    #[arg(long, env = "MORTISE_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:2379")]
    listen: String,
    /// Address for HTTP: health and metrics. Port 0 takes a free one.
    #[arg(long, env = "MORTISE_LISTEN_HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:2381")]
    listen_http: String,
    /// URLs that clients are told to use; without any, the gRPC address.
    #[arg(long, env = "MORTISE_ADVERTISE_URLS", value_name = "URL", value_delimiter = ',')]
    advertise_urls: Vec<String>,

    /// Form of the log.
    #[arg(long, env = "MORTISE_LOG_FORMAT", value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// error, warn, info, debug, trace, or a filter such as info,openraft=debug.
    #[arg(long, env = "MORTISE_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: String,

    /// Memory for cached blocks, shared by all volumes.
    #[arg(long, env = "MORTISE_CACHE_SIZE", value_name = "SIZE", value_parser = byte_size,
        default_value = "256MiB")]
    cache_size: ByteSize,
    /// A volume's memtable is written to disk at this size.
    #[arg(long, env = "MORTISE_MEMTABLE_SIZE", value_name = "SIZE", value_parser = byte_size,
        default_value = "64MiB")]
    memtable_size: ByteSize,
    /// Writers are slowed from this number of memtables that wait to be written on.
    #[arg(long, env = "MORTISE_SLOW_SEALED_MEMTABLES", value_name = "COUNT", default_value = "4")]
    slow_sealed_memtables: usize,
    /// Writers are slowed from this number of level-0 runs on, and stopped at twice as many.
    #[arg(long, env = "MORTISE_SLOW_L0_RUNS", value_name = "COUNT", default_value = "24")]
    slow_l0_runs: usize,
    /// From more than this number of level-0 runs on, compaction happens whatever the strategy says.
    #[arg(long, env = "MORTISE_GUARD_L0_RUNS", value_name = "COUNT", default_value = "20")]
    guard_l0_runs: usize,
    /// Writes are refused below this much free disk space.
    #[arg(long, env = "MORTISE_DISK_RESERVE", value_name = "SIZE", value_parser = byte_size,
        default_value = "256MiB")]
    disk_reserve: ByteSize,

    /// Largest request accepted.
    #[arg(long, env = "MORTISE_MAX_REQUEST_SIZE", value_name = "SIZE", value_parser = byte_size,
        default_value = "1536KiB")]
    max_request_size: ByteSize,
    /// Most operations in one list of a transaction.
    #[arg(long, env = "MORTISE_MAX_TXN_OPS", value_name = "COUNT", default_value = "128")]
    max_txn_ops: usize,
    /// Longest wait for calls that bring no deadline of their own.
    #[arg(long, env = "MORTISE_DEFAULT_DEADLINE", value_name = "TIME", default_value = "5s")]
    default_deadline: humantime::Duration,
    /// Time that calls under way get to finish when the daemon stops.
    #[arg(long, env = "MORTISE_SHUTDOWN_GRACE", value_name = "TIME", default_value = "10s")]
    shutdown_grace: humantime::Duration,

    /// Compaction strategy of volumes without a binding of their own: a plugin, or native.
    #[arg(long, env = "MORTISE_DEFAULT_STRATEGY", value_name = "NAME", default_value = "compaction-leveled")]
    default_strategy: String,
    /// Compaction steps that may run at once.
    #[arg(long, env = "MORTISE_PARALLEL_STEPS", value_name = "COUNT", default_value = "2")]
    parallel_steps: usize,
    /// Keys whose signatures on components are trusted: minisign's line of base64, or a .pub file.
    #[arg(long, env = "MORTISE_TRUSTED_KEYS", value_name = "KEY-OR-FILE", value_delimiter = ',')]
    trusted_keys: Vec<String>,
    /// Take and run no components but those that a trusted key has signed, and those of the program itself.
    #[arg(long, env = "MORTISE_REQUIRE_SIGNED", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_value = "false", default_missing_value = "true")]
    require_signed: bool,
    /// Threads that run plugins.
    #[arg(long, env = "MORTISE_PLUGIN_THREADS", value_name = "COUNT", default_value = "4")]
    plugin_threads: usize,
    /// For so long after a plugin version was newly activated, its first fault takes it back; 0s: not at all.
    #[arg(long, env = "MORTISE_PLUGIN_WATCH", value_name = "TIME", default_value = "10m")]
    plugin_watch: humantime::Duration,
}

impl Serve {
    /// What the settings mean.
    ///
    /// # Errors
    /// When a value is out of its bounds or two contradict each other.
    fn options(&self) -> anyhow::Result<Options> {
        let counts = [
            ("slow-sealed-memtables", self.slow_sealed_memtables),
            ("slow-l0-runs", self.slow_l0_runs),
            ("max-txn-ops", self.max_txn_ops),
            ("parallel-steps", self.parallel_steps),
            ("plugin-threads", self.plugin_threads),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            bail!("--{name} is 0; at least 1 is needed");
        }
        if self.guard_l0_runs >= self.slow_l0_runs {
            bail!(
                "--guard-l0-runs is {} and --slow-l0-runs is {}; the guard must come first, \
                 or writers are slowed before it helps",
                self.guard_l0_runs,
                self.slow_l0_runs
            );
        }
        if self.memtable_size < ByteSize::kib(64) {
            bail!("--memtable-size is {}; at least 64 KiB are needed", self.memtable_size);
        }
        let node = NodeConfig {
            cache_bytes: self.cache_size.as_u64(),
            memtable_bytes: self.memtable_size.as_u64(),
            slow_sealed_memtables: self.slow_sealed_memtables,
            slow_l0_runs: self.slow_l0_runs,
            reserve_disk_bytes: self.disk_reserve.as_u64(),
            max_request_bytes: usize::try_from(self.max_request_size.as_u64())?,
            max_txn_ops: self.max_txn_ops,
            default_deadline: self.default_deadline.into(),
            ..NodeConfig::new(&self.data_dir)
        };
        Ok(Options {
            trust: self.trust()?,
            node,
            listen: self.listen.clone(),
            listen_http: self.listen_http.clone(),
            advertise: self.advertise_urls.clone(),
            shutdown_grace: self.shutdown_grace.into(),
            default_strategy: self.default_strategy.clone(),
            guard_l0_runs: self.guard_l0_runs,
            max_parallel_steps: self.parallel_steps,
            plugin_threads: self.plugin_threads,
            plugin_watch: self.plugin_watch.into(),
            plugin_compiler: wiring::compile_in_child(),
        })
    }

    /// The keys that are trusted.
    fn trust(&self) -> anyhow::Result<Trust> {
        let keys: Vec<_> =
            self.trusted_keys.iter().map(|given| trusted_key(given)).collect::<Result<_, _>>()?;
        if self.require_signed && keys.is_empty() {
            bail!("--require-signed without --trusted-keys would take no component at all; name a key");
        }
        Ok(Trust { keys, required: self.require_signed })
    }

    /// Says where the daemon is reached, and that it is ready.
    fn announce(&self, daemon: &Daemon) {
        let (grpc, http, data) = (daemon.grpc(), daemon.http(), self.data_dir.display());
        tracing::info!(%grpc, %http, %data, "listening");
        if self.log_format == LogFormat::Text {
            tracing::info!("try it: mortise kv put greeting hello --endpoint http://{grpc}");
            tracing::info!("    or: etcdctl --endpoints {grpc} get greeting");
            tracing::info!("health: http://{http}/readyz   metrics: http://{http}/metrics");
        }
    }

    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let options = self.options()?;
        logging::install(self.log_format, &self.log_level)?;
        // Signals are caught before anything is opened: one during a long start is a stop, not a crash.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let data = self.data_dir.display();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %data, "starting");
        let mut daemon = tokio::select! {
            daemon = Daemon::start(options) => daemon?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let served = async {
            daemon.ready().await;
            self.announce(&daemon);
            daemon.failed().await
        };
        let name = tokio::select! {
            error = served => return Err(error),
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        let grace = Duration::from(self.shutdown_grace);
        tracing::info!(signal = name, ?grace, "stopping; a second signal stops at once");
        tokio::select! {
            stopped = daemon.stop() => {
                let cut_off = stopped?.cut_off;
                tracing::info!(cut_off, "stopped");
                Ok(())
            }
            _ = terminate.recv() => bail!("stopped at once by a second signal; nothing acknowledged is lost"),
            _ = interrupt.recv() => bail!("stopped at once by a second signal; nothing acknowledged is lost"),
        }
    }
}

/// A key, or the one in a file. No key has a dot or begins with a slash, and files without either are found,
/// too.
fn trusted_key(given: &str) -> anyhow::Result<TrustedKey> {
    let path = std::path::Path::new(given);
    if !path.is_file() {
        let looks_like_path = given.contains('.') || given.starts_with('/');
        if looks_like_path {
            bail!("--trusted-keys {given}: there is no such file");
        }
        return Ok(TrustedKey::parse(given)?);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the key file {given}"))?;
    TrustedKey::parse(&text).with_context(|| format!("the key file {given}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        serve: Serve,
    }

    fn options(args: &[&str]) -> anyhow::Result<Options> {
        Alone::parse_from(std::iter::once(&"mortise").chain(args)).serve.options()
    }

    #[test]
    fn defaults_are_those_of_the_layers_below() {
        let found = options(&["--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"]).expect("defaults");
        let plugin_compiler = wiring::compile_in_child();
        let expected = Options { plugin_compiler, ..Options::local("./data") };
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        for (args, word) in [
            (["--plugin-threads", "0"], "plugin-threads"),
            (["--guard-l0-runs", "24"], "guard-l0-runs"),
            (["--memtable-size", "1KiB"], "memtable-size"),
        ] {
            let error = options(&args).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
