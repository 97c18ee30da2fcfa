//! Measures what plugins cost a node: how much longer it takes to start when many were added before, and
//! how much longer requests wait because a strategy is swapped.
//!
//! Both compare with the same thing without plugins or swaps, in turn on one machine, and print medians.
//! Nothing is stated that was not measured here.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod start;
mod swap;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

/// What to measure.
#[derive(Debug, Parser)]
struct Options {
    /// Plugins that were added and compiled before; each serves a volume of its own.
    #[arg(long, default_value = "20")]
    plugins: u64,
    /// Starts of a node with plugins and without, in turn; the medians are printed.
    #[arg(long, default_value = "11")]
    starts: usize,
    /// Swaps under load.
    #[arg(long, default_value = "200")]
    swaps: usize,
    /// Puts a second while strategies are swapped.
    #[arg(long, default_value = "1000")]
    rate: u32,
    /// Clients that share them.
    #[arg(long, default_value = "8")]
    clients: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    start::measure(&options)?;
    println!();
    swap::measure(&options).await
}

/// The given share of durations, sorted, in milliseconds: 0.5 is the median, 1.0 the longest.
fn share(sorted: &[Duration], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    #[expect(clippy::cast_precision_loss, reason = "lists are short")]
    let place = (share * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(place).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
}
