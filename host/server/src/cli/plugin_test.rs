//! `mortise plugin test`: the conformance battery of a component's world.
//!
//! It needs no daemon, and compiles the component in a process of its own. The seed of the random part is
//! chosen anew each time and printed with every result, so that a failure can be repeated. The command fails
//! when a case fails, when a recorded call is answered otherwise, or with `--strict` when there is advice;
//! the result is printed before that either way.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mortise_mechanisms::conformance::{Failure, Options, Outcome, Replayed, Workbench, trace};
use serde_json::json;

use super::output;
use super::plugin_author::{CallLimits, grouped, specimen};
use super::plugin_limits::milliseconds;
use super::plugin_replay;
use crate::wiring;

/// Run the conformance battery of a component's world.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The component, a .wasm file.
    file: PathBuf,
    /// Configuration to test with; the plugin must accept it.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Seed of the random part; without it one is chosen and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Random views, or random batches of records.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    random: u64,
    /// Also run the calls recorded in this trace; they must be answered as recorded.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write the calls that failed into this trace, for `plugin replay`.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Take advice for failure.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    limits: CallLimits,
    #[command(flatten)]
    output: output::Output,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // JSON numbers are exact up to 2^53 in every reader, and a seed has to survive that.
        let seed = self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let records = self.trace.as_deref().map(records).transpose()?;
        let bench = Workbench::new(wiring::compile_in_child())?;
        let specimen = specimen(&bench, &self.file, &self.limits)?;
        let options = Options { config: self.config.clone(), seed, random: self.random };
        let spinner = spinner();
        let outcome = specimen.test(&options, &mut |section, calls| {
            spinner.set_message(format!("{section}: {} calls", grouped(calls)));
        })?;
        let replayed = records.map(|records| specimen.replay(&records, &mut |_| {})).transpose()?;
        spinner.finish_and_clear();
        if let Some(path) = &self.save {
            save(path, &outcome)?;
        }
        let told = || told(&outcome) + &replayed.as_ref().map(plugin_replay::told).unwrap_or_default();
        let verdict = verdict(&outcome, replayed.as_ref(), self.strict);
        let json = || json!({ "passed": verdict.is_ok(), "outcome": outcome, "trace": replayed });
        self.output.output.emit(told, json)?;
        verdict
    }
}

fn verdict(outcome: &Outcome, replayed: Option<&Replayed>, strict: bool) -> anyhow::Result<()> {
    let failed: u64 = outcome.sections.iter().map(|section| section.failed).sum();
    let passed: u64 = outcome.sections.iter().map(|section| section.passed).sum();
    if failed > 0 {
        bail!("{failed} of {} cases failed; --seed {} repeats them", grouped(failed + passed), outcome.seed);
    }
    if strict && outcome.sections.iter().any(|section| !section.advice.is_empty()) {
        bail!("there is advice, and --strict takes it for failure");
    }
    replayed.map_or(Ok(()), plugin_replay::verdict)
}

fn told(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}, world {} of mortise:plugin@{}\nconfiguration {}, seed {} (--seed {} repeats it)\n\n",
        outcome.plugin, outcome.world, outcome.wit_version, outcome.config, outcome.seed, outcome.seed
    );
    let row = |section: &mortise_mechanisms::conformance::Section| {
        let verdict = match (section.failed, section.advice.len(), section.passed) {
            (0, 0, _) => "ok",
            (0, _, 0) => "not judged",
            (0, _, _) => "ok, with advice",
            _ => "FAILED",
        };
        let count = |number| if number == 0 { "-".to_owned() } else { grouped(number) };
        vec![section.name.to_owned(), count(section.passed), count(section.failed), verdict.to_owned()]
    };
    let rows = outcome.sections.iter().map(row).collect();
    text += &output::table(&["SECTION", "PASSED", "FAILED", "VERDICT"], &[1, 2], rows);
    text += &format!(
        "\n{} calls: half of them within {}, the longest {} of {} ms\n\
         memory of one call: {} of {}; fuel of one call: at most {}\n",
        grouped(outcome.calls),
        milliseconds(outcome.median_us),
        milliseconds(outcome.longest_us),
        outcome.limits.deadline.as_millis(),
        output::size(outcome.used.peak_memory_bytes),
        output::size(outcome.limits.memory_bytes),
        grouped(outcome.used.peak_fuel),
    );
    for section in &outcome.sections {
        for advice in &section.advice {
            text += &format!("\nadvice ({}): {advice}\n", section.name);
        }
    }
    for section in &outcome.sections {
        section.failures.iter().for_each(|failure| text += &failure_told(section.name, failure));
        let more = section.failed.saturating_sub(section.failures.len() as u64);
        if more > 0 {
            text += &format!("\n… and {} more in «{}»\n", grouped(more), section.name);
        }
    }
    text
}

fn failure_told(section: &str, failure: &Failure) -> String {
    let Failure { case, seen, expected, found, .. } = failure;
    format!("\nFAILED {section}: {case}\n  shown     {seen}\n  expected  {expected}\n  found     {found}\n")
}

/// Reads a trace.
pub(super) fn records(path: &Path) -> anyhow::Result<Vec<trace::Record>> {
    let file = File::open(path).with_context(|| format!("cannot read the trace {}", path.display()))?;
    trace::read(BufReader::new(file)).with_context(|| path.display().to_string())
}

fn save(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(failed)?);
    let failures = outcome.sections.iter().flat_map(|section| &section.failures);
    for record in failures.filter_map(|failure| failure.record.as_deref()) {
        record.write(&mut out).with_context(failed)?;
    }
    out.flush().with_context(failed)
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}");
    let spinner = ProgressBar::new_spinner();
    style.map_or(spinner.clone(), |style| spinner.with_style(style))
}
