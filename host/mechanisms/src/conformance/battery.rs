//! The frame of a conformance battery: options, sections, failures, figures.
//!
//! Sections make the calls; here they are timed, counted and told to whoever shows progress. The first
//! failures of a section are kept in full and the others counted, and a section that fails again and again is
//! cut short, so that a broken plugin gets a report that can be read. *Advice* is about what the contract
//! allows and an operator may regret; it fails nothing.
//!
//! The same seed and options make the same calls. Durations depend on the machine and are therefore advice
//! only.

use std::time::{Duration, Instant};

use mortise_plugin_runtime::{Limits, Usage};
use serde::Serialize;

use super::trace::Record;
use super::workbench::LoadedPlugin;

/// Failures of a section that are kept; the others are counted.
const FAILURES_KEPT: usize = 5;

/// Failures of a section after which the rest of it is left out.
pub(super) const HOPELESS: u64 = 20;

/// What a battery is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Configuration to test with, a JSON text; the plugin must accept it.
    pub config: String,
    /// Seed of the random part.
    pub seed: u64,
    /// Random views, or random batches of records.
    pub random: u64,
}

impl Options {
    /// An empty configuration and 200 random views from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { config: "{}".to_owned(), seed, random: 200 }
    }
}

/// What a battery found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Name and version of the plugin.
    pub plugin: String,
    /// Its world.
    pub world: String,
    /// The version of the contract that it was built for.
    pub wit_version: String,
    /// Seed of the random part; the same seed makes the same calls.
    pub seed: u64,
    /// The configuration that it was tested with.
    pub config: String,
    /// The parts of the battery.
    pub sections: Vec<Section>,
    /// Calls that were made.
    pub calls: u64,
    /// Microseconds of the longest call.
    pub longest_us: u64,
    /// Microseconds of the call in the middle of all calls by their duration.
    pub median_us: u64,
    /// What they used, as the host counts it: memory, fuel, bytes.
    pub used: Usage,
    /// What calls may use.
    pub limits: Limits,
}

impl Outcome {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.sections.iter().all(|section| section.failed == 0)
    }
}

/// A part of a battery.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// What it looks at.
    pub name: &'static str,
    /// Cases that went well.
    pub passed: u64,
    /// Cases that did not.
    pub failed: u64,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// What is allowed and worth a thought.
    pub advice: Vec<String>,
}

/// A case that went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// What the plugin saw, in one line.
    pub seen: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The call in full, to replay it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<Record>>,
}

/// Whole microseconds, as figures are told.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A battery under way.
pub(super) struct Battery<'a> {
    pub(super) plugin: String,
    pub(super) options: &'a Options,
    progress: &'a mut dyn FnMut(&str, u64),
    sections: Vec<Section>,
    took: Vec<Duration>,
}

impl<'a> Battery<'a> {
    pub(super) fn new(plugin: String, options: &'a Options, progress: &'a mut dyn FnMut(&str, u64)) -> Self {
        Self { plugin, options, progress, sections: Vec::new(), took: Vec::new() }
    }

    /// Begins a section; what follows counts for it.
    pub(super) fn begin(&mut self, name: &'static str) {
        self.sections.push(Section { name, ..Section::default() });
    }

    fn section(&mut self) -> &mut Section {
        self.sections.last_mut().expect("a section has begun")
    }

    /// Makes a call and takes its time.
    pub(super) fn timed<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = call();
        self.took.push(begun.elapsed());
        let name = self.sections.last().map_or("", |section| section.name);
        (self.progress)(name, self.took.len() as u64);
        answer
    }

    /// Counts a case.
    pub(super) fn count(&mut self, case: Result<(), Failure>) {
        let section = self.section();
        match case {
            Ok(()) => section.passed += 1,
            Err(failure) => {
                section.failed += 1;
                if section.failures.len() < FAILURES_KEPT {
                    section.failures.push(failure);
                }
            }
        }
    }

    /// Whether so much has failed that the rest of the section would tell nothing new.
    pub(super) fn is_hopeless(&mut self) -> bool {
        self.section().failed >= HOPELESS
    }

    /// Notes something that is allowed.
    pub(super) fn advise(&mut self, advice: String) {
        self.section().advice.push(advice);
    }

    /// How far the calls were from their limits.
    pub(super) fn limits(&mut self, limits: Limits, used: &Usage) {
        self.begin("limits");
        let longest = self.longest();
        if longest * 2 > limits.deadline {
            self.advise(format!(
                "the longest call took {:.1} ms of the {} ms that it may take; a busy machine is slower",
                longest.as_secs_f64() * 1000.0,
                limits.deadline.as_millis()
            ));
        }
        if used.peak_memory_bytes / 9 > limits.memory_bytes / 10 {
            self.advise("a call needs more than nine tenths of the memory that it may have".to_owned());
        }
        self.count(Ok(()));
    }

    fn longest(&self) -> Duration {
        self.took.iter().max().copied().unwrap_or_default()
    }

    pub(super) fn finish(mut self, specimen: &LoadedPlugin) -> Outcome {
        let longest = self.longest();
        self.took.sort_unstable();
        let description = specimen.description();
        Outcome {
            plugin: self.plugin,
            world: description.world.to_string(),
            wit_version: description.wit_version.clone(),
            seed: self.options.seed,
            config: self.options.config.clone(),
            sections: self.sections,
            calls: self.took.len() as u64,
            longest_us: micros(longest),
            median_us: micros(self.took.get(self.took.len() / 2).copied().unwrap_or_default()),
            used: specimen.usage(),
            limits: specimen.limits(),
        }
    }
}
