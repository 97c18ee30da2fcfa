//! Measures what clients feel while a volume is rebuilt or converted, beside what they feel while etcd
//! defragments.
//!
//! A server is loaded with data of which a third is superseded. Writers and readers then work at a steady
//! rate, first undisturbed, then until the rebuild (or etcd's `defrag`) has ended; every call's latency goes
//! into the histogram of its time. The same is done for a conversion to each format. Afterwards the same
//! volume is rebuilt and converted with nobody around, which gives the speed of the copy alone, and single
//! calls on a volume with a format are compared with those on a natural one.
//!
//! `--json FILE` writes every figure. Nothing is stated that was not measured here.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod load;
mod report;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use load::{Data, Load, Times};
use mortise_tests::{Client, Etcd, Mortise, mortise_binary, run};
use report::{Disturbed, Figures, Job};
use serde_json::Value;
use tempfile::TempDir;

/// One command may take this long.
const PATIENCE: Duration = Duration::from_secs(900);

/// What to measure.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Data to load, in MiB, a third of it superseded.
    #[arg(long, default_value = "1024")]
    mebibytes: u64,
    /// Clients that write.
    #[arg(long, default_value = "64")]
    writers: u64,
    /// Clients that read.
    #[arg(long, default_value = "8")]
    readers: u64,
    /// Puts a second by all writers together, and as many gets by all readers.
    #[arg(long, default_value = "1000")]
    rate: u64,
    /// Seconds of undisturbed load.
    #[arg(long, default_value = "10")]
    seconds: u64,
    /// Formats to convert to and back from.
    #[arg(long, value_delimiter = ',', default_value = "format-hierarchical,format-dictionary")]
    formats: Vec<String>,
    /// Writes every figure to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder for the servers' data; the disk below it is part of what is measured.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut figures = Figures::default();
    mortise(&options, &mut figures).await?;
    etcd(&options, &mut figures).await?;
    print!("{}", figures.table(&options));
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&figures)?)?;
        println!("\nevery figure is in {}", path.display());
    }
    Ok(())
}

fn directory(options: &Options) -> Result<TempDir> {
    Ok(match &options.data {
        Some(folder) => TempDir::new_in(folder)?,
        None => TempDir::new()?,
    })
}

async fn mortise(options: &Options, figures: &mut Figures) -> Result<()> {
    let directory = directory(options)?;
    let mut node = Mortise::start(directory.path())?;
    let data = Data::of(options.mebibytes);
    load::fill(&node.endpoint(), &data).await?;
    let pid = node.process().id();
    let endpoint = node.endpoint();
    let rebuild = ["volume", "rebuild", "default"].map(str::to_owned).to_vec();
    under_load(options, &endpoint, &data, pid, "rebuild", rebuild, figures).await?;
    for format in &options.formats {
        let convert = ["volume", "convert", "default", "--to", format].map(str::to_owned).to_vec();
        under_load(options, &endpoint, &data, pid, &format!("to {format}"), convert, figures).await?;
        alone(&endpoint, &["volume", "convert", "default", "--to", "natural"], figures)?;
    }
    alone(&endpoint, &["volume", "rebuild", "default"], figures)?;
    for format in &options.formats {
        for to in [format, "natural"] {
            alone(&endpoint, &["volume", "convert", "default", "--to", to], figures)?;
        }
    }
    // Natural beside natural tells how much of a difference is none.
    for format in options.formats.iter().map(String::as_str).chain(["natural"]) {
        create(&endpoint, format, Some(format))?;
        create(&endpoint, &format!("natural-beside-{format}"), None)?;
        let pair = single_calls(&endpoint, format).await?;
        figures.single_calls.insert(format.to_owned(), pair);
    }
    node.stop()
}

/// Runs a job while clients write and read.
async fn under_load(
    options: &Options,
    endpoint: &str,
    data: &Data,
    pid: u32,
    what: &str,
    command: Vec<String>,
    figures: &mut Figures,
) -> Result<()> {
    println!("{what} under load");
    let disturbance = {
        let endpoint = endpoint.to_owned();
        move || job(&endpoint, &command.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (disturbed, told) = disturb(options, endpoint, data, pid, disturbance).await?;
    let mut told = told.with_context(|| format!("{what} tells what it did"))?;
    told.under_load = true;
    figures.mortise.push((what.to_owned(), disturbed));
    figures.jobs.push(told);
    Ok(())
}

/// Runs a job with nobody around.
fn alone(endpoint: &str, command: &[&str], figures: &mut Figures) -> Result<()> {
    println!("{command:?} alone");
    figures.jobs.push(job(endpoint, command)?.context("a job")?);
    Ok(())
}

fn create(endpoint: &str, name: &str, format: Option<&str>) -> Result<()> {
    let mut arguments = vec!["volume", "create", name];
    arguments.extend(format.iter().flat_map(|format| ["--format", format]));
    let mut command = std::process::Command::new(mortise_binary()?);
    command.args(&arguments).env("MORTISE_ENDPOINT", endpoint);
    let finished = run(&mut command, b"", PATIENCE)?;
    ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    Ok(())
}

/// Latencies of one client's puts and gets on a natural volume and on one with a format, in turn.
async fn single_calls(endpoint: &str, format: &str) -> Result<report::SingleCalls> {
    const ROUNDS: usize = 20;
    const CALLS: u64 = 500;
    let mut natural = Client::connect_volume(endpoint, &format!("natural-beside-{format}")).await?;
    let mut formatted = Client::connect_volume(endpoint, format).await?;
    let mut pair = report::SingleCalls::default();
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let (client, times) = if (round + turn) % 2 == 0 {
                (&mut natural, &mut pair.natural)
            } else {
                (&mut formatted, &mut pair.formatted)
            };
            load::one_by_one(client, CALLS, times).await?;
        }
    }
    Ok(pair)
}

/// Runs a command of the built-in client that ends when its job does; what the job did.
fn job(endpoint: &str, arguments: &[&str]) -> Result<Option<Job>> {
    let mut command = std::process::Command::new(mortise_binary()?);
    command.args(arguments).args(["--output", "json"]).env("MORTISE_ENDPOINT", endpoint);
    let finished = run(&mut command, b"", PATIENCE)?;
    ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    let told: Value = serde_json::from_str(&finished.stdout)
        .with_context(|| format!("{arguments:?} printed {}", finished.stdout))?;
    Job::read(&told).with_context(|| format!("{arguments:?} printed {told}")).map(Some)
}

async fn etcd(options: &Options, figures: &mut Figures) -> Result<()> {
    let Some(etcd) = Etcd::start_in(directory(options)?)? else { return Ok(()) };
    let data = Data::of(options.mebibytes);
    load::fill(&etcd.endpoint(), &data).await?;
    let endpoint = etcd.endpoint();
    let defragment = {
        let endpoint = endpoint.clone();
        move || {
            let mut command = std::process::Command::new("etcdctl");
            command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint]);
            command.args(["--command-timeout", "900s", "defrag"]);
            let finished = run(&mut command, b"", PATIENCE)?;
            ensure!(finished.success(), "etcdctl defrag: {}", finished.stderr);
            Ok(None)
        }
    };
    let (disturbed, _) = disturb(options, &endpoint, &data, etcd.id(), defragment).await?;
    figures.etcd = Some(disturbed);
    Ok(())
}

/// Load, undisturbed for a while and then while `disturbance` runs; what it told.
async fn disturb(
    options: &Options,
    endpoint: &str,
    data: &Data,
    pid: u32,
    disturbance: impl FnOnce() -> Result<Option<Job>> + Send + 'static,
) -> Result<(Disturbed, Option<Job>)> {
    println!("load on {endpoint}");
    let load = Load::start(options, endpoint, data).await?;
    let memory = Arc::new(report::Memory::watch(pid)?);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let before = memory.peak_reset();
    load.enter(Times::During);
    let started = Instant::now();
    let told = tokio::task::spawn_blocking(disturbance).await??;
    let took = started.elapsed();
    let during = memory.peak_reset();
    let measured = load.finish().await?;
    if measured.before.puts.is_empty() {
        bail!("nothing was written before the disturbance");
    }
    Ok((Disturbed::new(measured, took, before, during), told))
}
