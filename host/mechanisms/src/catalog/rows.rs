//! The catalog's rows: JSON objects that people and controllers may read.
//!
//! Every row carries `version`, the version of its own layout. Reading ignores fields it doesn't know and
//! fills those that are missing, so that neighbouring versions of the program read each other's rows.

use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::Limits;
use serde::{Deserialize, Serialize};

use crate::plugins::{Capabilities, SignatureState, Stage, capabilities_by_default};

/// Layout version that this program writes.
pub(crate) const ROW_VERSION: u32 = 1;

fn first_version() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Hands out volume ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NextVolumeId {
    #[serde(default = "first_version")]
    pub version: u32,
    /// The next volume gets this id.
    pub next: u64,
}

/// How far a volume has come. Clients are served in `ready` only, so a volume in `creating` holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VolumeState {
    Creating,
    Ready,
    Deleting,
}

impl VolumeState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
        }
    }
}

/// A volume by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeRow {
    #[serde(default = "first_version")]
    pub version: u32,
    pub id: u64,
    pub created_unix_ms: u64,
    /// Name of the format that its data is in.
    pub format: String,
    /// That format, exactly; none where it is natural.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<FormatId>,
    /// The format that it is being converted to: its data may be in that one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converting: Option<FormatId>,
    /// The previous generation, while it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptRow>,
    pub state: VolumeState,
}

impl VolumeRow {
    /// The format that its data is in, as far as the catalog knows.
    pub(crate) fn format_id(&self) -> FormatId {
        self.codec.clone().unwrap_or_default()
    }

    /// The formats that some of its data is encoded in, or may be, each with the digest of its component and
    /// no component twice. The one that it is in, as far as the catalog knows, comes first.
    pub(crate) fn encoded_in(&self) -> Vec<(&str, &FormatId)> {
        let kept = self.kept.iter().map(|kept| &kept.format);
        let formats = self.codec.iter().chain(&self.converting).chain(kept);
        let mut found: Vec<(&str, &FormatId)> = Vec::new();
        for (digest, format) in formats.filter_map(|format| Some((format.digest.as_deref()?, format))) {
            if found.iter().all(|(known, _)| *known != digest) {
                found.push((digest, format));
            }
        }
        found
    }

    /// Whether some of its data is encoded by the component with this digest, or may be.
    pub(crate) fn needs(&self, digest: &str) -> bool {
        self.encoded_in().iter().any(|(needed, _)| *needed == digest)
    }
}

/// A generation that is kept so that a conversion can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRow {
    pub generation: u64,
    pub format: FormatId,
    /// It goes then.
    pub until_unix_ms: u64,
}

/// Where a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Part of the program.
    Shipped,
    /// Added by an administrator.
    Added,
}

/// A component whose file is here and that is being verified. Who it is is not known yet, so its row is named
/// by its digest. A row that a start finds is of a verification that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArrivalRow {
    #[serde(default = "first_version")]
    pub version: u32,
    /// Name that it is to get, when one was given.
    #[serde(default)]
    pub name: Option<String>,
    /// Bytes.
    pub size: u64,
    pub since_unix_ms: u64,
    /// `state` in rows that were written before it had its name.
    #[serde(alias = "state")]
    pub origin: Origin,
    pub stage: Stage,
}

/// One version of a plugin. The component itself is a file named by the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PluginRow {
    #[serde(default = "first_version")]
    pub version: u32,
    pub digest: String,
    pub world: String,
    pub wit_version: String,
    /// Bytes.
    pub size: u64,
    pub added_unix_ms: u64,
    /// `state` in rows that were written before it had its name.
    #[serde(alias = "state")]
    pub origin: Origin,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub limits: Limits,
    /// `verified`, or `removed` while its removal is under way. What it is on a binding, that binding says.
    #[serde(default)]
    pub stage: Stage,
    #[serde(default)]
    pub signature: SignatureState,
    /// What it may use.
    #[serde(default = "capabilities_by_default")]
    pub grants: Capabilities,
    /// What its imports say that it uses.
    #[serde(default)]
    pub wants: Capabilities,
    /// The version that the component says it has, where the row has another one: it is an earlier build of a
    /// format that volumes are written in, beside the build that has this version now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_of: Option<String>,
}

impl PluginRow {
    /// What it runs with: what it uses, as far as that was granted, and what everybody has.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let granted = self.wants.intersection(&self.grants).copied();
        granted.chain(capabilities_by_default()).collect()
    }
}

/// What a volume may be bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Target {
    /// Whatever the node is configured with.
    Default,
    /// The strategy that is part of the program.
    Native,
    /// One version of a plugin.
    Plugin { plugin: String, version: String, digest: String, config: String },
}

/// A version that is about to serve a binding, or that is tried beside what serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CandidateRow {
    pub target: Target,
    /// How far it has come on this binding.
    pub stage: Stage,
    pub since_unix_ms: u64,
}

/// A version that was taken back from a binding, so that no rollback leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakenBackRow {
    pub target: Target,
    pub since_unix_ms: u64,
    pub reason: String,
}

/// Which strategy serves a volume for a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindingRow {
    #[serde(default = "first_version")]
    pub version: u32,
    pub volume_id: u64,
    pub current: Target,
    pub since_unix_ms: u64,
    /// Earlier targets, the newest first: superseded, and where a rollback leads.
    #[serde(default)]
    pub previous: Vec<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateRow>,
    /// The newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBackRow>,
    /// What is asked beside the current target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<CandidateRow>,
    /// Until then the first fault of the current target takes it back; 0 when it is not watched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub watch_until_unix_ms: u64,
}

/// Why a component must not serve a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuarantineRow {
    #[serde(default = "first_version")]
    pub version: u32,
    pub plugin: String,
    pub plugin_version: String,
    pub since_unix_ms: u64,
    pub reason: String,
}

/// How much of what a volume's strategy is asked is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordingRow {
    #[serde(default = "first_version")]
    pub version: u32,
    /// Calls at most; 0 keeps none.
    pub calls: u64,
    /// Bytes at most.
    pub bytes: u64,
}
