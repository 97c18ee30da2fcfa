//! Recorded calls: what a plugin was asked, and what it answered.
//!
//! A trace is a file of JSON lines; each line is a [`Record`] that stands for itself, so that a trace can be
//! cut, joined and filtered with line tools. `docs/plugins/trace.md` describes the fields for people. A
//! plugin answers the same call in the same way, so that a trace can be run against any version of it.
//!
//! Bytes that need not be text, such as keys, are base64. Numbers are exact: a reader in a language whose
//! numbers are floating-point has to take care above 2^53.

use std::io::{BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mortise_plugin_runtime::compaction::{self, Answer, Decision};
use mortise_plugin_runtime::{Call, Fault, FaultKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// The version of the format that is written; older ones are read.
pub const VERSION: u32 = 1;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub trace: u32,
    /// Name and version of the plugin that answered, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// Configuration, the JSON text that the call carried.
    pub config: String,
    /// Time that the call carried, Unix milliseconds.
    pub now: u64,
    /// Seed that the call carried.
    pub seed: u64,
    /// What was asked.
    #[serde(flatten)]
    pub question: Question,
    /// What was answered.
    pub answer: Reply,
}

/// What was asked, by world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "world", rename_all = "kebab-case")]
pub enum Question {
    /// The next step for a tree.
    CompactionStrategy {
        /// The tree.
        view: View,
    },
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A step, with the reason for it.
    Decision(Decision),
    /// None, but a fault.
    Fault {
        /// The sort.
        kind: FaultKind,
        /// The sentence for the operator.
        detail: String,
    },
}

/// A tree, as in the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The levels; each is a list of runs, the newest first, and a run a list of tables.
    pub levels: Vec<Vec<Vec<Table>>>,
    /// Bytes in memory.
    pub memtable_bytes: u64,
    /// Bytes written per second.
    pub write_rate: u64,
    /// Free bytes on disk.
    pub free_disk: u64,
    /// Runs of level 0 above which the host compacts on its own.
    pub guard_l0_runs: u32,
    /// What became of the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// What became of a step, as in the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// The step.
    pub step: Answer,
    /// Whether the host wanted it, and not the plugin.
    pub by_host: bool,
    /// What became of it.
    pub outcome: Became,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What can become of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the contract")]
pub enum Became {
    Done { bytes_in: u64, bytes_out: u64 },
    Nothing,
    Stale,
    Failed(String),
}

/// A table, as in the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Identifier.
    pub id: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Largest sequence number.
    pub max_seqno: u64,
    /// Smallest key.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub min_key: Vec<u8>,
    /// Largest key.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub max_key: Vec<u8>,
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

impl Record {
    /// Records a call of a compaction strategy.
    #[must_use]
    pub fn strategy(
        plugin: String,
        call: &Call,
        view: &compaction::View,
        answer: &Result<Decision, Fault>,
    ) -> Self {
        Self {
            trace: VERSION,
            plugin,
            config: call.config.clone(),
            now: call.now,
            seed: call.seed,
            question: Question::CompactionStrategy { view: view.into() },
            answer: answer.clone().into(),
        }
    }

    /// The call without what it is about.
    #[must_use]
    pub fn call(&self) -> Call {
        Call { config: self.config.clone(), now: self.now, seed: self.seed }
    }

    /// Writes the record as one line.
    ///
    /// # Errors
    /// `out` fails.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Reads a trace; empty lines are skipped.
///
/// # Errors
/// [`Error::Trace`] names the line that cannot be read.
pub fn read(lines: impl BufRead) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let refuse = |detail: String| Error::Trace { line: number, detail };
        let line = line.map_err(|error| refuse(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_str(&line).map_err(|error| refuse(error.to_string()))?;
        if record.trace != VERSION {
            let found = record.trace;
            return Err(refuse(format!(
                "it has version {found} of the format; this program reads {VERSION}"
            )));
        }
        records.push(record);
    }
    Ok(records)
}

impl From<Result<Decision, Fault>> for Reply {
    fn from(answer: Result<Decision, Fault>) -> Self {
        match answer {
            Ok(decision) => Self::Decision(decision),
            Err(Fault { kind, detail }) => Self::Fault { kind, detail },
        }
    }
}

impl From<&compaction::View> for View {
    fn from(view: &compaction::View) -> Self {
        let table = |table: &compaction::Table| Table {
            id: table.id,
            bytes: table.bytes,
            entries: table.entries,
            tombstones: table.tombstones,
            max_seqno: table.max_seqno,
            min_key: table.min_key.clone(),
            max_key: table.max_key.clone(),
        };
        let run = |run: &compaction::Run| run.tables.iter().map(table).collect();
        let level = |level: &compaction::Level| level.runs.iter().map(run).collect();
        Self {
            levels: view.levels.iter().map(level).collect(),
            memtable_bytes: view.memtable_bytes,
            write_rate: view.write_rate,
            free_disk: view.free_disk,
            guard_l0_runs: view.guard_l0_runs,
            previous: view.previous.as_ref().map(Into::into),
        }
    }
}

impl From<&View> for compaction::View {
    fn from(view: &View) -> Self {
        let table = |table: &Table| compaction::Table {
            id: table.id,
            bytes: table.bytes,
            entries: table.entries,
            tombstones: table.tombstones,
            max_seqno: table.max_seqno,
            min_key: table.min_key.clone(),
            max_key: table.max_key.clone(),
        };
        let run = |run: &Vec<Table>| compaction::Run { tables: run.iter().map(table).collect() };
        let level = |level: &Vec<Vec<Table>>| compaction::Level { runs: level.iter().map(run).collect() };
        Self {
            levels: view.levels.iter().map(level).collect(),
            memtable_bytes: view.memtable_bytes,
            write_rate: view.write_rate,
            free_disk: view.free_disk,
            guard_l0_runs: view.guard_l0_runs,
            previous: view.previous.as_ref().map(Into::into),
        }
    }
}

impl From<&compaction::PreviousStep> for Previous {
    fn from(previous: &compaction::PreviousStep) -> Self {
        let outcome = match &previous.outcome {
            compaction::Outcome::Done(compaction::Work { bytes_in, bytes_out }) => {
                Became::Done { bytes_in: *bytes_in, bytes_out: *bytes_out }
            }
            compaction::Outcome::Nothing => Became::Nothing,
            compaction::Outcome::Stale => Became::Stale,
            compaction::Outcome::Failed(why) => Became::Failed(why.clone()),
        };
        let by_host = matches!(previous.wanted_by, compaction::Origin::Host);
        Self { step: previous.step.into(), by_host, outcome, took_ms: previous.took_ms }
    }
}

impl From<&Previous> for compaction::PreviousStep {
    fn from(previous: &Previous) -> Self {
        let outcome = match &previous.outcome {
            Became::Done { bytes_in, bytes_out } => {
                compaction::Outcome::Done(compaction::Work { bytes_in: *bytes_in, bytes_out: *bytes_out })
            }
            Became::Nothing => compaction::Outcome::Nothing,
            Became::Stale => compaction::Outcome::Stale,
            Became::Failed(why) => compaction::Outcome::Failed(why.clone()),
        };
        let wanted_by = if previous.by_host { compaction::Origin::Host } else { compaction::Origin::Plugin };
        Self { step: previous.step.into(), wanted_by, outcome, took_ms: previous.took_ms }
    }
}
