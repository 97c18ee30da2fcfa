//! `mortise bench`: loads a daemon and measures it, with etcd's API alone, so that etcd can be measured too.
//!
//! | module | what it does |
//! |---|---|
//! | `plan` | which request comes n-th: a pure function of the seed |
//! | `wire` | the cheapest client that speaks gRPC: prepared frames over HTTP/2 |
//! | `load` | many clients in a closed loop, each with its own histogram |
//! | `report` | the table and the JSON |

mod load;
mod plan;
mod report;
mod wire;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tokio::sync::watch;

use super::client::ChosenVolume;
use super::output::{self, Format};
use crate::api;
use crate::http::Phase;
use crate::wiring;
use plan::{Kind, Plan};

/// Load a daemon, or an etcd, and measure it.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Bench {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write keys. Each client sends its next request when the last one is answered.
    Put(Load),
    /// Read keys. Unless told otherwise it writes them first, unmeasured.
    Get {
        /// Accept a replica's present state instead of waiting until it is known to be the newest.
        #[arg(long)]
        serializable: bool,
        /// Trust that the keys are there from an earlier run with the same sizes and seed.
        #[arg(long)]
        no_fill: bool,
        #[command(flatten)]
        load: Load,
    },
}

/// The load and where it goes.
#[derive(Clone, Debug, Args)]
pub(super) struct Load {
    /// Clients at once.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    clients: usize,
    /// Requests measured, over all clients.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    total: u64,
    /// Requests sent first and not measured.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    warm_up: u64,
    /// TCP connections that the clients share; at most one for each client.
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    connections: usize,
    /// Bytes of a key, at least 20.
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    key_size: usize,
    /// Bytes of a value.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// Different keys.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    key_space: u64,
    /// The same seed makes the same requests in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// URL of the daemon or etcd, or several with commas between them.
    #[arg(
        long,
        env = "MORTISE_ENDPOINT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    endpoint: Vec<String>,
    #[command(flatten)]
    volume: ChosenVolume,
    /// Give up when no request finishes for this long.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: humantime::Duration,
    /// A table for people or JSON for programs.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Also write the JSON into this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Load {
    fn plan(&self, kind: Kind) -> anyhow::Result<Plan> {
        if self.clients == 0 || self.connections == 0 || self.key_space == 0 || self.total == 0 {
            bail!("--clients, --connections, --key-space and --total must be at least 1");
        }
        if !(plan::MIN_KEY..=1024).contains(&self.key_size) {
            bail!("--key-size is {}; allowed is {} to 1024", self.key_size, plan::MIN_KEY);
        }
        if self.value_size > plan::MAX_VALUE {
            bail!("--value-size is {}; allowed is at most {}", self.value_size, plan::MAX_VALUE);
        }
        Ok(Plan::new(kind, self.key_size, self.value_size, self.key_space, self.seed))
    }
}

impl Bench {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (load, kind, fill) = match self.action {
            Action::Put(load) => (load, Kind::Put, false),
            Action::Get { serializable, no_fill, load } => (load, Kind::Get { serializable }, !no_fill),
        };
        let plan = load.plan(kind)?;
        let connections = wire::connect_all(
            &load.endpoint,
            load.connections.min(load.clients),
            load.volume.volume.as_deref(),
        )
        .await?;
        let stall = load.timeout.into();
        if fill {
            let fill = load.plan(Kind::Fill)?;
            let filled = load::run("fill", &connections, &fill, load.clients, load.key_space, stall).await?;
            if let Some(error) = filled.first_error {
                bail!("writing the keys failed {} times, first with: {error}", filled.errors);
            }
        }
        if load.warm_up > 0 {
            load::run("warm-up", &connections, &plan.shifted(load.total), load.clients, load.warm_up, stall)
                .await?;
        }
        let name = kind.name();
        let measured = load::run(name, &connections, &plan, load.clients, load.total, stall).await?;
        let json = || report::json(name, &load, connections.len(), &measured);
        if let Some(path) = &load.json {
            std::fs::write(path, format!("{:#}\n", json()))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        load.output.emit(|| report::table(name, &load, connections.len(), &measured), json)?;
        match measured.first_error {
            Some(error) => {
                bail!("{} of {} requests failed, first with: {error}", measured.errors, load.total)
            }
            None => Ok(()),
        }
    }
}

/// Answer every key-value call with nothing, until a signal comes.
#[derive(Debug, Args)]
pub(super) struct Stub {
    /// Address for gRPC. Port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2389")]
    listen: String,
}

impl Stub {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (listener, address) = wiring::bind(&self.listen, "--listen").await?;
        let (phase, watched) = watch::channel(Phase::Ready);
        output::print(&format!("listening on {address}\n"))?;
        let serving = tokio::spawn(wiring::serve_calls(listener, api::stub_front(), watched));
        tokio::signal::ctrl_c().await?;
        phase.send_replace(Phase::Stopping);
        serving.abort();
        Ok(())
    }
}
