//! Measures Mortise, etcd and an empty transport with `mortise bench`, in turn on one machine, and prints
//! ratios.
//!
//! Every round measures every server at every number of clients, in an order that shifts from round to round,
//! so that what else the machine does falls on all alike. Each server is fresh in each round and runs alone.
//! The table shows medians over the rounds. A second part measures puts while the compaction strategy is
//! swapped again and again, and compares their p99 with that of undisturbed puts.
//!
//! `--json FILE` writes every single measurement. Nothing is stated that was not measured here.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use mortise_tests::{Etcd, Measured, Mortise, Process, Requests, median, mortise_binary, mortise_cli};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server may take this long to start.
const PATIENCE: Duration = Duration::from_secs(300);
const SERVERS: [&str; 3] = ["mortise", "etcd", "stub"];
const OPERATIONS: [&str; 2] = ["put", "get"];
const STRATEGIES: [&str; 2] = ["compaction-tiered", "compaction-leveled"];

/// What to measure.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds; the table shows medians over them.
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    clients: Vec<u64>,
    /// Requests of one measurement with many clients; one client sends a fifteenth.
    #[arg(long, default_value = "60000")]
    total: u64,
    /// Bytes of a value.
    #[arg(long, default_value = "256")]
    value_size: u64,
    /// Writes every measurement to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder for the servers' data; the disk below it is part of what is measured.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Operation, clients, server.
type Key = (&'static str, u64, &'static str);

/// A server under measurement; it ends with this value.
enum Server {
    Mortise { node: Mortise, _directory: TempDir },
    Etcd(Etcd),
    Stub { _process: Process, endpoint: String },
}

impl Server {
    fn start(name: &str, options: &Options) -> Result<Self> {
        Ok(match name {
            "mortise" => {
                let directory = directory(options)?;
                Self::Mortise { node: Mortise::start(directory.path())?, _directory: directory }
            }
            "etcd" => Self::Etcd(Etcd::start_in(directory(options)?)?.context("etcd is not on PATH")?),
            _ => {
                // The stub tells its address on standard output, a process is listened to on the other one.
                let mut command = Command::new("sh");
                command
                    .args(["-c", "exec \"$0\" bench-stub --listen 127.0.0.1:0 >&2"])
                    .arg(mortise_binary()?);
                let mut process = Process::spawn("mortise bench-stub", &mut command)?;
                let address = process.wait_line("its address", PATIENCE, |line| {
                    line.strip_prefix("listening on ").map(str::to_owned)
                })?;
                Self::Stub { _process: process, endpoint: format!("http://{address}") }
            }
        })
    }

    fn endpoint(&self) -> String {
        match self {
            Self::Mortise { node, .. } => node.endpoint(),
            Self::Etcd(etcd) => etcd.endpoint(),
            Self::Stub { endpoint, .. } => endpoint.clone(),
        }
    }
}

fn directory(options: &Options) -> Result<TempDir> {
    Ok(match &options.data {
        Some(folder) => TempDir::new_in(folder)?,
        None => TempDir::new()?,
    })
}

fn bench(endpoint: &str, operation: &str, clients: u64, options: &Options) -> Result<Measured> {
    Requests { total: options.total, value_size: options.value_size }.bench(endpoint, operation, clients)
}

fn main() -> Result<()> {
    let options = Options::parse();
    if Etcd::start()?.is_none() {
        bail!("there is nothing to compare with; install etcd and put it on PATH");
    }
    let mut measured: BTreeMap<Key, Vec<Measured>> = BTreeMap::new();
    for round in 0..options.rounds {
        for turn in 0..SERVERS.len() {
            let name = SERVERS[(round + turn) % SERVERS.len()];
            let server = Server::start(name, &options)?;
            for &clients in &options.clients {
                for operation in OPERATIONS {
                    let one = bench(&server.endpoint(), operation, clients, &options)?;
                    println!("round {round}: {name} {operation} {clients}: {one:?}");
                    measured.entry((operation, clients, name)).or_default().push(one);
                }
            }
        }
    }
    let swaps = measure_swaps(&options)?;
    print_table(&measured, &options);
    print_swaps(&swaps);
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&as_json(&measured, &swaps))?)?;
        println!("\nevery measurement is in {}", path.display());
    }
    Ok(())
}

/// Undisturbed and disturbed measurements, and how many swaps there were.
struct Swaps {
    quiet: Vec<Measured>,
    swapping: Vec<Measured>,
    count: u64,
}

/// Puts at 64 clients, in turn without and with swaps going on.
fn measure_swaps(options: &Options) -> Result<Swaps> {
    let directory = directory(options)?;
    let node = Mortise::start(directory.path())?;
    let endpoint = node.endpoint();
    let mut swaps = Swaps { quiet: Vec::new(), swapping: Vec::new(), count: 0 };
    for round in 0..options.rounds {
        swaps.quiet.push(bench(&endpoint, "put", 64, options)?);
        let disturbed = std::thread::scope(|scope| -> Result<Measured> {
            let load = scope.spawn(|| bench(&endpoint, "put", 64, options));
            while !load.is_finished() {
                let strategy = STRATEGIES[usize::from(swaps.count % 2 == 1)];
                let finished = mortise_cli(&endpoint, &["plugin", "use", strategy, "--volume", "default"])?;
                ensure!(finished.success(), "plugin use {strategy}: {}", finished.stderr);
                swaps.count += 1;
            }
            load.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
        })?;
        println!("round {round}: put 64 while swapping: {disturbed:?}");
        swaps.swapping.push(disturbed);
    }
    Ok(swaps)
}

fn print_table(measured: &BTreeMap<Key, Vec<Measured>>, options: &Options) {
    println!("\nMedians of {} rounds, values of {} bytes.\n", options.rounds, options.value_size);
    println!("| call | clients | server | calls/s | of etcd | p50 µs | p99 µs | p99 of etcd | errors |");
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|");
    for operation in OPERATIONS {
        for &clients in &options.clients {
            let of =
                |name, field: fn(&Measured) -> f64| median(&measured[&(operation, clients, name)], field);
            for name in SERVERS {
                let (rate, p99) = (of(name, |one| one.per_second), of(name, |one| one.p99_us));
                let errors: u64 = measured[&(operation, clients, name)].iter().map(|one| one.errors).sum();
                println!(
                    "| {operation} | {clients} | {name} | {rate:.0} | {:.2} | {:.0} | {p99:.0} | {:.2} | {errors} |",
                    rate / of("etcd", |one| one.per_second),
                    of(name, |one| one.p50_us),
                    p99 / of("etcd", |one| one.p99_us),
                );
            }
        }
    }
}

fn print_swaps(swaps: &Swaps) {
    let (before, during) =
        (median(&swaps.quiet, |one| one.p99_us), median(&swaps.swapping, |one| one.p99_us));
    let errors: u64 = swaps.swapping.iter().map(|one| one.errors).sum();
    println!(
        "\nPuts at 64 clients: p99 {before:.0} µs undisturbed, {during:.0} µs during {} swaps ({:.2} ×), {errors} errors.",
        swaps.count,
        during / before
    );
}

fn as_json(measured: &BTreeMap<Key, Vec<Measured>>, swaps: &Swaps) -> Value {
    let all = |values: &[Measured]| values.iter().map(Measured::as_json).collect::<Vec<_>>();
    let servers: Vec<Value> = measured
        .iter()
        .map(|((operation, clients, server), rounds)| {
            json!({"call": operation, "clients": clients, "server": server, "rounds": all(rounds)})
        })
        .collect();
    json!({
        "servers": servers,
        "swaps": {"count": swaps.count, "undisturbed": all(&swaps.quiet), "swapping": all(&swaps.swapping)},
    })
}
