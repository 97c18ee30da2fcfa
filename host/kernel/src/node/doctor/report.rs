//! What the doctor tells. Plain data, for people and programs.
//!
//! `mortise doctor --output json` prints these types as they are serialised here, so the names of fields and
//! variants are an interface. The order of [`Severity`] is one, too: it decides what is shown first and which
//! exit code the command ends with.
//!
//! What a program cannot tell is `None` and never a guess.

use std::path::PathBuf;

use serde::Serialize;

use crate::node::VolumeId;

/// What a finding means for the next start, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Interrupted work; the next start removes it.
    Leftover,
    /// No name that Mortise gives. It is never touched.
    Unknown,
    /// Whole, as far as can be told, and this program cannot serve it as things are.
    Unserved,
    /// Stored bytes are not what they should be.
    Damaged,
}

/// One thing that is not as in a directory that was stopped in good order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// File or directory concerned.
    pub path: PathBuf,
    /// What was expected, what was found, what to do.
    pub detail: String,
}

/// A data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The directory, resolved.
    pub directory: PathBuf,
    /// Who the node is; `None` when its file is missing or damaged.
    pub node: Option<NodeReport>,
    /// The raft log.
    pub log: LogReport,
    /// The volumes, by id.
    pub volumes: Vec<VolumeReport>,
    /// Whatever is out of order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The gravest of the findings; `None` when there are none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    pub(super) fn find(&mut self, severity: Severity, path: PathBuf, detail: impl Into<String>) {
        self.findings.push(Finding { severity, path, detail: detail.into() });
    }
}

/// What the `NODE` file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Identity of the node.
    pub node_id: u64,
    /// Identity of its cluster.
    pub cluster_id: u64,
}

/// The raft log of all volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its journals, by name.
    pub journals: Vec<JournalReport>,
    /// Its trees, by directory.
    pub trees: Vec<TreeReport>,
}

/// A journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether all of it can be read, up to where a crash may have torn it.
    pub whole: bool,
}

/// A tree whose files were read and compared with their checksums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TreeReport {
    /// Its directory.
    pub path: PathBuf,
    /// Tables that the manifest lists.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tables that are missing or differ from their checksum.
    pub damaged: u64,
    /// Files that compaction replaced or did not finish; trees leave some behind in normal operation, and
    /// opening removes them.
    pub superseded: u64,
    /// Their bytes.
    pub superseded_bytes: u64,
}

/// One volume's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Its identity. Names are in the catalog, which is data and not read here.
    pub id: VolumeId,
    /// Number of the current generation; `None` when that cannot be told.
    pub current: Option<u64>,
    /// Its generations, by name.
    pub generations: Vec<GenerationReport>,
}

/// What a generation is to its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves.
    Current,
    /// It served before and is kept, so that the volume can go back to it.
    Kept,
    /// It is neither; the next start removes it.
    Leftover,
}

/// One generation's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenerationReport {
    /// Name of the directory.
    pub name: String,
    /// What it is to its volume.
    pub role: Role,
    /// What its `FORMAT` file says; `None` when that is missing or damaged.
    pub format: Option<FormatReport>,
    /// Its tree; leftovers are not read.
    pub tree: Option<TreeReport>,
}

/// A generation's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormatReport {
    /// Name of the format.
    pub format: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component that encodes it; `None` for the format that needs none.
    pub digest: Option<String>,
}
