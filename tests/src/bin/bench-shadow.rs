//! Measures what a shadow costs the requests of a volume: puts and gets with `mortise bench`, without a
//! shadow, with one, and without one again, in turn on one machine.
//!
//! The second «without» is measured like a third variant: how far it is from the first is what chance does
//! on this machine, and a difference of that size says nothing. The order shifts from round to round. Every
//! measurement has a node of its own, with small memtables, so that the strategy and its shadow are asked
//! much more often than in service, and with some content before.
//!
//! `--json FILE` writes every single measurement. Nothing is stated that was not measured here.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

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
    /// Rounds; the table shows medians over them.
    #[arg(long, default_value = "5")]
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
    #[arg(long, default_value = "1MiB")]
    memtable_size: String,
    /// The plugin that shadows.
    #[arg(long, default_value = "compaction-tiered")]
    shadow: String,
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
    measured: BTreeMap<Key, Vec<Measured>>,
    /// Views that shadows were asked about, and that they missed.
    asked: u64,
    skipped: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut results = Results::default();
    for round in 0..options.rounds {
        for turn in 0..VARIANTS.len() {
            let variant = VARIANTS[(round + turn) % VARIANTS.len()];
            measure(variant, &options, &mut results).with_context(|| format!("round {round}, {variant}"))?;
            println!("round {round}: {variant} is measured");
        }
    }
    print(&results, &options);
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(&as_json(&results))?)?;
        println!("\nevery measurement is in {}", path.display());
    }
    Ok(())
}

/// Measures all operations on a node of their own.
fn measure(variant: &'static str, options: &Options, results: &mut Results) -> Result<()> {
    let directory = match &options.data {
        Some(folder) => TempDir::new_in(folder)?,
        None => TempDir::new()?,
    };
    let node = Mortise::start_with(directory.path(), &["--memtable-size", &options.memtable_size])?;
    let requests = Requests { total: options.total, value_size: options.value_size };
    Requests { total: options.total.div_ceil(4), ..requests }.bench(&node.endpoint(), "put", 64)?;
    let shadowed = variant == "with a shadow";
    if shadowed {
        let finished = node.cli(&["plugin", "shadow", &options.shadow, "--volume", "default"])?;
        ensure!(finished.success(), "{}", finished.stderr);
    }
    for &clients in &options.clients {
        for operation in OPERATIONS {
            let one = requests.bench(&node.endpoint(), operation, clients)?;
            results.measured.entry((operation, clients, variant)).or_default().push(one);
        }
    }
    if shadowed {
        let report = node.cli_json(&["plugin", "shadow", "--stop", "--volume", "default"])?;
        let count = |field: &str| report[field].as_u64().with_context(|| format!("no {field} in {report}"));
        ensure!(count("calls")? > 0, "the shadow was never asked: {report}");
        results.asked += count("calls")?;
        results.skipped += count("skipped")?;
    }
    node.stop()
}

fn print(results: &Results, options: &Options) {
    let Results { measured, asked, skipped } = results;
    println!(
        "\nMedians of {} rounds, values of {} bytes, memtables of {}, {} as shadow: asked about {asked} views, \
         {skipped} skipped.\n",
        options.rounds, options.value_size, options.memtable_size, options.shadow
    );
    println!("| call | clients | variant | calls/s | of without | p50 µs | p99 µs | of without | errors |");
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|");
    for operation in OPERATIONS {
        for &clients in &options.clients {
            let of = |variant, field: fn(&Measured) -> f64| {
                median(&measured[&(operation, clients, variant)], field)
            };
            for variant in VARIANTS {
                let (rate, p99) = (of(variant, |one| one.per_second), of(variant, |one| one.p99_us));
                let errors: u64 = measured[&(operation, clients, variant)].iter().map(|one| one.errors).sum();
                println!(
                    "| {operation} | {clients} | {variant} | {rate:.0} | {:.3} | {:.0} | {p99:.0} | {:.3} | {errors} |",
                    rate / of(VARIANTS[0], |one| one.per_second),
                    of(variant, |one| one.p50_us),
                    p99 / of(VARIANTS[0], |one| one.p99_us),
                );
            }
        }
    }
}

fn as_json(results: &Results) -> Value {
    let rounds = |values: &[Measured]| values.iter().map(Measured::as_json).collect::<Vec<_>>();
    let measured = results.measured.iter().map(|((call, clients, variant), values)| {
        json!({ "call": call, "clients": clients, "variant": variant, "rounds": rounds(values) })
    });
    let measured: Vec<_> = measured.collect();
    json!({ "asked": results.asked, "skipped": results.skipped, "measured": measured })
}
