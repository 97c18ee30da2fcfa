//! Measures what a shadow costs the requests of a volume: puts and gets with `mortise bench`, without a
//! shadow, with one, and without one again, in turn on one node.
//!
//! What counts is the ratio within a round, whose three measurements follow each other; stated are its
//! median over the rounds and the quartiles. The second «without» is measured like a third variant: its
//! ratio is what chance does on this machine, and a difference of that size says nothing. The order shifts
//! from round to round. What the shadows' thread took of the processors is told, too. Before each
//! measurement a shadow is cast, and before those without one it is ended, so that all of them follow the
//! same work. Memtables are small, so that the strategy and its shadow are asked much more often than in
//! service.
//!
//! `--json FILE` writes every single measurement. Nothing is stated that was not measured here.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use mortise_tests::{Measured, Mortise, Requests, median};
use serde_json::{Value, json};
use tempfile::TempDir;

const VARIANTS: [&str; 3] = ["without", "with a shadow", "without again"];
const OPERATIONS: [&str; 2] = ["put", "get"];

/// What to measure.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds, each with all variants.
    #[arg(long, default_value = "15")]
    rounds: usize,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    clients: Vec<u64>,
    /// Requests of one measurement with many clients; one client sends a fifteenth.
    #[arg(long, default_value = "60000")]
    total: u64,
    /// Bytes of a value.
    #[arg(long, default_value = "256")]
    value_size: u64,
    /// Size of a memtable: the smaller, the more often strategies are asked.
    #[arg(long, default_value = "256KiB")]
    memtable_size: String,
    /// The plugin that shadows.
    #[arg(long, default_value = "compaction-tiered")]
    shadow: String,
    /// A component that is added under that name first.
    #[arg(long)]
    component: Option<PathBuf>,
    /// Writes every measurement to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder for the nodes' data; the disk below it is part of what is measured.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Operation, clients, variant.
type Key = (&'static str, u64, &'static str);

#[derive(Default)]
struct Results {
    /// In the order of the rounds.
    measured: BTreeMap<Key, Vec<Measured>>,
    /// Views that the shadow was asked about, and that it missed, by operation and clients.
    views: BTreeMap<(&'static str, u64), (u64, u64)>,
    faults: u64,
    /// Processor time of the thread that asks shadows, and how long it was looked at.
    busy: Duration,
    looked: Duration,
}

/// The thread that asks shadows.
const THREAD: &str = "mortise-aside-0";

/// Processor time that the shadows' thread of a node has taken so far.
fn busy(node: &mut Mortise) -> Result<Duration> {
    for task in fs::read_dir(format!("/proc/{}/task", node.process().id()))? {
        let task = task?.path();
        // A thread may end while the list is read.
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        if name.trim_end() == THREAD {
            let figures = fs::read_to_string(task.join("schedstat"))?;
            let nanos = figures.split(' ').next().context("the time on a processor")?;
            return Ok(Duration::from_nanos(nanos.parse()?));
        }
    }
    anyhow::bail!("the node has no thread {THREAD}")
}

fn main() -> Result<()> {
    let options = Options::parse();
    let directory = match &options.data {
        Some(folder) => TempDir::new_in(folder)?,
        None => TempDir::new()?,
    };
    let mut node = Mortise::start_with(directory.path(), &["--memtable-size", &options.memtable_size])?;
    let requests = Requests { total: options.total, value_size: options.value_size };
    Requests { total: options.total.div_ceil(4), ..requests }.bench(&node.endpoint(), "put", 64)?;
    if let Some(component) = &options.component {
        run(&node, &["plugin", "add", &component.to_string_lossy(), "--name", &options.shadow])?;
    }
    let mut results = Results::default();
    for round in 0..options.rounds {
        for &clients in &options.clients {
            for operation in OPERATIONS {
                for turn in 0..VARIANTS.len() {
                    let variant = VARIANTS[(round + turn) % VARIANTS.len()];
                    let key = (operation, clients, variant);
                    measure(&mut node, key, requests, &options, &mut results)
                        .with_context(|| format!("round {round}, {key:?}"))?;
                }
            }
        }
        eprintln!("round {} of {} is measured", round + 1, options.rounds);
    }
    node.stop()?;
    print(&results, &options);
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&as_json(&results))?)?;
        println!("\nevery measurement is in {}", path.display());
    }
    Ok(())
}

fn run(node: &Mortise, arguments: &[&str]) -> Result<()> {
    let finished = node.cli(arguments)?;
    ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    Ok(())
}

/// Takes one measurement.
fn measure(
    node: &mut Mortise,
    key: Key,
    requests: Requests,
    options: &Options,
    results: &mut Results,
) -> Result<()> {
    let (operation, clients, variant) = key;
    let stop = ["plugin", "shadow", "--stop", "--volume", "default"];
    run(node, &["plugin", "shadow", &options.shadow, "--volume", "default"])?;
    let shadowed = variant == VARIANTS[1];
    if !shadowed {
        run(node, &stop)?;
    }
    let (before, began) = (busy(node)?, Instant::now());
    let one = requests.bench(&node.endpoint(), operation, clients)?;
    let (took, looked) = (busy(node)?.saturating_sub(before), began.elapsed());
    results.measured.entry(key).or_default().push(one);
    if shadowed {
        let report = node.cli_json(&stop)?;
        let count = |field: &str| report[field].as_u64().with_context(|| format!("no {field} in {report}"));
        let views = results.views.entry((operation, clients)).or_default();
        views.0 += count("calls")?;
        views.1 += count("skipped")?;
        results.busy += took;
        results.looked += looked;
        let faults = report["faults"].as_object().context("the faults")?;
        results.faults += faults.values().filter_map(Value::as_u64).sum::<u64>();
    }
    Ok(())
}

/// Lower quartile, median and upper quartile of how a variant compares with the first one, round by round.
fn ratios(results: &Results, key: Key, field: fn(&Measured) -> f64) -> [f64; 3] {
    let (operation, clients, _) = key;
    let of = |key: Key| results.measured[&key].iter().map(field);
    let mut ratios: Vec<f64> =
        of(key).zip(of((operation, clients, VARIANTS[0]))).map(|(one, first)| one / first).collect();
    ratios.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| ratios[(ratios.len() * quarter / 4).min(ratios.len() - 1)])
}

fn print(results: &Results, options: &Options) {
    println!(
        "\n{} rounds, values of {} bytes, memtables of {}, {} as shadow, {} faults of it. Of each round the \
         ratio to its measurement without a shadow: median (quartiles).\n",
        options.rounds, options.value_size, options.memtable_size, options.shadow, results.faults
    );
    let views: u64 = results.views.values().map(|(asked, _)| asked).sum();
    println!(
        "Its thread was busy for {:.3} % of the time, {:.0} µs for each of {views} views.\n",
        results.busy.as_secs_f64() / results.looked.as_secs_f64() * 100.0,
        results.busy.as_secs_f64() * 1e6 / views.max(1) as f64,
    );
    println!("| call | clients | views, skipped | variant | calls/s | ratio | p99 µs | ratio | errors |");
    println!("|---|--:|--:|---|--:|---|--:|---|--:|");
    for operation in OPERATIONS {
        for &clients in &options.clients {
            for variant in VARIANTS {
                print_line(results, (operation, clients, variant));
            }
        }
    }
}

fn print_line(results: &Results, key: Key) {
    let (operation, clients, variant) = key;
    let measured = &results.measured[&key];
    let (asked, skipped) = results.views[&(operation, clients)];
    let views = if variant == VARIANTS[1] { format!("{asked}, {skipped}") } else { String::new() };
    let compared = |field: fn(&Measured) -> f64| {
        let [low, middle, high] = ratios(results, key, field);
        format!("{middle:.3} ({low:.3} to {high:.3})")
    };
    println!(
        "| {operation} | {clients} | {views} | {variant} | {:.0} | {} | {:.0} | {} | {} |",
        median(measured, |one| one.per_second),
        compared(|one| one.per_second),
        median(measured, |one| one.p99_us),
        compared(|one| one.p99_us),
        measured.iter().map(|one| one.errors).sum::<u64>(),
    );
}

fn as_json(results: &Results) -> Value {
    let rounds = |values: &[Measured]| values.iter().map(Measured::as_json).collect::<Vec<_>>();
    let measured = results.measured.iter().map(|((call, clients, variant), values)| {
        json!({ "call": call, "clients": clients, "variant": variant, "rounds": rounds(values) })
    });
    let measured: Vec<_> = measured.collect();
    let views = results.views.iter().map(|((call, clients), (asked, skipped))| {
        json!({ "call": call, "clients": clients, "asked": asked, "skipped": skipped })
    });
    let views: Vec<_> = views.collect();
    let (busy, looked) = (results.busy.as_secs_f64(), results.looked.as_secs_f64());
    json!({ "busy_s": busy, "looked_s": looked, "views": views, "faults": results.faults, "measured": measured })
}
