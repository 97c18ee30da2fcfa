//! `mortise plugin simulate`: strategies against a real store in simulated time, side by side.
//!
//! All strategies meet the same writes, one after the other, each in a directory of its own that is removed
//! afterwards, also after a failure or an interruption. They must leave the same content behind; if they
//! don't, the command fails, because that is a defect of Mortise and not of a strategy. Progress goes to
//! standard error, the result to standard output. What the figures mean is defined in
//! `mortise_mechanisms::simulate`.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use indicatif::{ProgressBar, ProgressStyle};
use mortise_mechanisms::conformance::Workbench;
use mortise_mechanisms::simulate::{Ended, Report, Setup, SimulatedStrategy, Workload, simulate};
use serde_json::json;

use super::config::byte_size;
use super::output::Format;
use super::plugin_author::{CallLimits, Stop, grouped, specimen};
use super::{output, plugin_plot};
use crate::wiring;

/// Writes between two moves of the bar.
const BAR_EVERY: u64 = 500;
/// Lines for each strategy, where there is no terminal for a bar.
const LINES: u64 = 10;

/// Drive compaction strategies against a real store in simulated time.
#[derive(Debug, Args)]
#[command(after_help = "Write amplification: bytes written to tables, by flushes and steps, for each byte \
    of keys and values that clients wrote.\nRead amplification: runs in the tree, so the most that a read of one \
    key looks into.\nSpace amplification: bytes of tables for each byte of live keys and values.\nStalled: \
    time for which the kernel would have held writes back, because level 0 or the memtables that wait for \
    their flush were too many.\nRead and space amplification are averages over the second half of the \
    writes, and the most. docs/plugins/simulate.md says more.")]
pub(super) struct Simulate {
    /// Components to simulate; the shipped strategies and the native one are simulated beside them.
    files: Vec<PathBuf>,
    /// What is written: every key alike, few keys mostly, new keys only, or keys that expire.
    #[arg(long, default_value = "zipf", value_parser = workload())]
    workload: Workload,
    /// Writes; deletes count.
    #[arg(long, value_name = "COUNT", default_value_t = 200_000)]
    writes: u64,
    /// Different keys; without it a quarter of the writes.
    #[arg(long, value_name = "COUNT")]
    keys: Option<u64>,
    /// Bytes of a value.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// The same seed gives the same writes and the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Configuration of the components given.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Bytes that each simulated byte stands for; sizes and rates below are of what is stood for.
    #[arg(long, value_name = "TIMES", default_value_t = 64)]
    scale: u64,
    /// Bytes that clients write in a second.
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = byte_size)]
    write_rate: bytesize::ByteSize,
    /// Bytes that the disk reads and writes in a second.
    #[arg(long, value_name = "SIZE", default_value = "200MiB", value_parser = byte_size)]
    disk_rate: bytesize::ByteSize,
    /// Simulate only the components given.
    #[arg(long)]
    alone: bool,
    /// Where the stores of the simulation are made, and removed afterwards.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    limits: CallLimits,
    #[command(flatten)]
    output: output::Output,
}

fn workload() -> impl clap::builder::TypedValueParser<Value = Workload> {
    let find = |name: &str| Workload::ALL.into_iter().find(|workload| workload.as_str() == name);
    PossibleValuesParser::new(Workload::ALL.map(Workload::as_str))
        .try_map(move |name| find(&name).ok_or_else(|| format!("{name} is no workload")))
}

impl Simulate {
    pub(super) fn run(self, stop: &Stop) -> anyhow::Result<()> {
        let setup = self.setup();
        setup.validate()?;
        let contenders = self.contenders()?;
        if contenders.is_empty() {
            bail!("--alone leaves nothing to simulate; name a component");
        }
        let place = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let stores = tempfile::Builder::new()
            .prefix("mortise-simulate-")
            .tempdir_in(&place)
            .with_context(|| format!("cannot make a directory in {}", place.display()))?;
        let mut reports = Vec::new();
        for (number, contender) in contenders.iter().enumerate() {
            let mut progress = Progress::new(contender.label(), setup.writes, self.output.output);
            let directory = stores.path().join(number.to_string());
            let ended = simulate(&setup, contender, &directory, &mut |written| {
                progress.show(written);
                if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            progress.end();
            match ended.with_context(|| format!("simulating {}", contender.label()))? {
                Ended::Finished(report) => reports.push(*report),
                Ended::Cancelled => {
                    let done = reports.len();
                    bail!("interrupted, with {done} of {} strategies simulated", contenders.len());
                }
            }
            // Its tables take space that the next one may need.
            std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        let told = || told(&setup, &reports, output::line_width());
        self.output.output.emit(told, || json!({ "setup": setup, "reports": reports }))?;
        verdict(&reports)
    }

    fn setup(&self) -> Setup {
        let defaults = Setup::new(self.workload, self.writes);
        Setup {
            keys: self.keys.unwrap_or(defaults.keys),
            value_bytes: self.value_size,
            seed: self.seed,
            scale: self.scale,
            write_rate: self.write_rate.as_u64(),
            disk_rate: self.disk_rate.as_u64(),
            ..defaults
        }
    }

    fn contenders(&self) -> anyhow::Result<Vec<SimulatedStrategy>> {
        let bench = Workbench::new(wiring::compile_in_child())?;
        let mut contenders = Vec::new();
        for file in &self.files {
            contenders.push(specimen(&bench, file, &self.limits)?.contender(&self.config)?);
        }
        if self.alone {
            return Ok(contenders);
        }
        for plugin in wiring::shipped() {
            let shipped = bench.specimen(plugin.bytes.into_owned(), self.limits.allowance())?;
            let given =
                contenders.iter().any(|contender: &SimulatedStrategy| contender.label() == shipped.label());
            if shipped.is_strategy() && !given {
                contenders.push(shipped.contender("{}")?);
            }
        }
        contenders.push(SimulatedStrategy::native());
        Ok(contenders)
    }
}

/// A strategy changes the shape and never the content; whoever sees it otherwise has found a defect.
fn verdict(reports: &[Report]) -> anyhow::Result<()> {
    for report in reports {
        if report.content != reports[0].content {
            let (one, other) = (&reports[0].strategy, &report.strategy);
            bail!("{one} and {other} left different content behind: a defect of Mortise; please report it");
        }
    }
    Ok(())
}

fn told(setup: &Setup, reports: &[Report], width: usize) -> String {
    let mut text = head(setup, reports);
    text.push('\n');
    text += &plugin_plot::table(reports);
    for report in reports {
        text.push('\n');
        text += &plugin_plot::panel(report, width);
    }
    text
}

fn head(setup: &Setup, reports: &[Report]) -> String {
    let bytes = reports.first().map_or(0, |report| report.client_bytes);
    let keys = match setup.workload {
        Workload::Append => "new keys only".to_owned(),
        Workload::TtlLike => format!("{} keys at a time", grouped(setup.keys)),
        Workload::Uniform | Workload::Zipf => format!("{} keys", grouped(setup.keys)),
    };
    format!(
        "{} writes, {}, {keys}, values of {} B, seed {}\n\
         each byte stands for {}: {} written at {}/s to a disk of {}/s, memtables of 64 MiB\n",
        grouped(setup.writes),
        setup.workload,
        setup.value_bytes,
        setup.seed,
        setup.scale,
        output::size(bytes),
        output::size(setup.write_rate),
        output::size(setup.disk_rate),
    )
}

/// How far the simulation of one strategy has come, on standard error: a bar at a terminal, lines where there
/// is none, nothing for programs.
struct Progress {
    label: String,
    total: u64,
    bar: ProgressBar,
    lines: bool,
    /// Nothing is shown before so many writes.
    next: u64,
}

impl Progress {
    fn new(label: &str, total: u64, output: Format) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { bar(label, total) } else { ProgressBar::hidden() };
        Self { label: label.to_owned(), total, bar, lines: !terminal && output == Format::Table, next: 0 }
    }

    fn show(&mut self, written: u64) {
        if written < self.next {
            return;
        }
        self.bar.set_position(written);
        if self.lines {
            let (label, total) = (&self.label, grouped(self.total));
            // Nobody may be reading; the figures still count.
            let _ = writeln!(std::io::stderr(), "{label}: {} of {total} writes", grouped(written));
        }
        self.next = written + if self.lines { self.total.div_ceil(LINES) } else { BAR_EVERY };
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:28} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(total).with_prefix(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
