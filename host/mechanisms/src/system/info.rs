//! What the mechanisms tell about volumes and plugins. Plain data, ready to be shown or sent.
//!
//! Each type is a copy of what was true when it was asked for. Points in time are milliseconds since the Unix
//! epoch and sizes are bytes. Words such as states, stages and actions are the ones that the catalog has, so
//! that a table, a script and a controller that reads the rows see the same. The server turns these types
//! into messages field by field and adds nothing.

use mortise_kernel::format::FormatId;
use mortise_kernel::node::{VolumeCounters, VolumeStatus};
use mortise_kernel::store::TreeShape;
use mortise_plugin_runtime::{Capability, Limits, Usage};

use crate::plugins::SignatureState;
use crate::rebuild::JobInfo;
use crate::recording::{DecisionInfo, RecordingInfo};

/// A volume of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Its identity, never reused.
    pub id: u64,
    /// When it was created, Unix milliseconds.
    pub created_unix_ms: u64,
    /// Current generation of this node's replica; 0 when the volume is not open here.
    pub generation: u64,
    /// Format of its data.
    pub format: String,
    /// `ready`, `creating`, `deleting` or `failed`.
    pub state: String,
    /// Why the volume is not served, when it is not; or what there is to say against the codec that serves
    /// it.
    pub problem: Option<String>,
}

/// One version of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginInfo {
    /// Name.
    pub name: String,
    /// Semantic version that the component states.
    pub version: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// World that it implements.
    pub world: String,
    /// Version of the contract that it was built against.
    pub wit_version: String,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// When it was added, Unix milliseconds.
    pub added_unix_ms: u64,
    /// `shipped`, `added`, or `built-in` for the strategy that is part of the daemon.
    pub origin: String,
    /// The stage that says most about it: `active` where it serves anything, else what happened to it last.
    pub stage: String,
    /// Its stage on every binding that knows it.
    pub standings: Vec<StandingInfo>,
    /// Who vouches for it; `None` for the built-in strategy.
    pub signature: Option<SignatureState>,
    /// What it may use.
    pub grants: Vec<Capability>,
    /// What its imports say that it uses.
    pub wants: Vec<Capability>,
    /// What its calls used since it was loaded into memory; `None` while it is not there.
    pub usage: Option<Usage>,
    /// What the component says about itself, one line.
    pub summary: String,
    /// Limits of every call; `None` for the built-in strategy.
    pub limits: Option<Limits>,
    /// Names of the volumes that it serves right now.
    pub serves: Vec<String>,
    /// Names of the volumes for which it is quarantined.
    pub quarantined: Vec<String>,
}

/// How far a plugin version has come on one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingInfo {
    /// Name of the volume.
    pub volume: String,
    /// World.
    pub world: String,
    /// `rehearsed`, `shadowing`, `active`, `superseded`, `rolled-back` or `quarantined`.
    pub stage: String,
    /// Since when, Unix milliseconds; 0 when that is not known.
    pub since_unix_ms: u64,
    /// Why, where there is a reason.
    pub reason: String,
}

/// A version that is about to serve a binding, or is tried beside what serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateInfo {
    /// Who it is.
    pub strategy: StrategyInfo,
    /// Its stage on the binding.
    pub stage: String,
    /// Since when, Unix milliseconds.
    pub since_unix_ms: u64,
}

/// Everything about one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginDetail {
    /// Name.
    pub name: String,
    /// All versions, newest first.
    pub versions: Vec<PluginInfo>,
    /// Volumes that one of the versions is bound to.
    pub bindings: Vec<BindingInfo>,
    /// Versions in quarantine.
    pub quarantines: Vec<QuarantineInfo>,
    /// Latest faults since the node started, newest first.
    pub faults: Vec<FaultInfo>,
    /// Audit rows that concern the plugin, newest first.
    pub history: Vec<HistoryInfo>,
}

/// A strategy by name: a plugin version, or the native default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyInfo {
    /// Name of the plugin, or [`NATIVE_STRATEGY`](crate::NATIVE_STRATEGY).
    pub plugin: String,
    /// Version; empty for the native strategy.
    pub version: String,
    /// Digest in hexadecimal; empty for the native strategy.
    pub digest: String,
    /// Configuration, JSON text.
    pub config: String,
}

/// Which strategy a volume should have and has.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingInfo {
    /// Name of the volume.
    pub volume: String,
    /// World.
    pub world: String,
    /// The strategy that serves now.
    pub serving: StrategyInfo,
    /// The strategy that the catalog names.
    pub bound: StrategyInfo,
    /// Why another one serves than is bound, when that is so.
    pub problem: Option<String>,
    /// Since when the serving strategy serves, Unix milliseconds.
    pub since_unix_ms: u64,
    /// Whether the binding was made explicitly; otherwise it is the node's default.
    pub explicit: bool,
    /// Until when the first fault of what serves takes it back, Unix milliseconds; `None` when it is not
    /// watched, or not any more.
    pub watched_until_unix_ms: Option<u64>,
    /// What may serve next, when there is such a version.
    pub candidate: Option<CandidateInfo>,
    /// Earlier bindings, newest first: where `rollback` leads.
    pub previous: Vec<StrategyInfo>,
    /// The latest answer since the volume was opened.
    pub answer: Option<DecisionInfo>,
    /// The latest step since then that was run or wanted, the guard rail's included.
    pub step: Option<DecisionInfo>,
    /// How much of what is asked is kept.
    pub recording: RecordingInfo,
}

/// A version that faulted too often for one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineInfo {
    /// Name of the volume.
    pub volume: String,
    /// Version concerned.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// Since when, Unix milliseconds.
    pub since_unix_ms: u64,
    /// The last fault.
    pub reason: String,
}

/// One fault of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultInfo {
    /// When, Unix milliseconds.
    pub unix_ms: u64,
    /// Name of the volume.
    pub volume: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Version.
    pub version: String,
    /// Kind: `trap`, `deadline`, `memory`, `illegal`, …
    pub kind: String,
    /// What happened.
    pub detail: String,
}

/// A configuration as the history has it: in full, or by digest where it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigInfo {
    /// Its size.
    pub bytes: u64,
    /// The text, where it is short.
    pub json: Option<String>,
    /// SHA-256 of the text in hexadecimal, where it is long.
    pub sha256: Option<String>,
}

/// One audit row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryInfo {
    /// When, Unix milliseconds.
    pub unix_ms: u64,
    /// Who: `admin` or `node`.
    pub actor: String,
    /// The name that the administrator's client gave itself: a claim that nobody has checked.
    pub operator: Option<String>,
    /// The address that the administrator's request came from.
    pub peer: Option<String>,
    /// What: `volume-create`, `plugin-use`, `quarantine`, …
    pub action: String,
    /// Volume concerned, if one is.
    pub volume: Option<String>,
    /// Plugin concerned, if one is.
    pub plugin: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
    /// The stage that the version left, if it left one.
    pub from: Option<String>,
    /// The stage that it reached.
    pub to: Option<String>,
    /// Why, in the host's words.
    pub reason: String,
    /// Why, in the words of whoever asked.
    pub operator_reason: Option<String>,
    /// Names of the capabilities that the version may use from then on.
    pub grants: Option<Vec<String>>,
    /// `signed`, `unsigned` or `unchecked`.
    pub signature: Option<String>,
    /// The key that signed it, or that it claims to be signed with.
    pub key_id: Option<String>,
    /// The configuration that it was rehearsed or activated with.
    pub config: Option<ConfigInfo>,
    /// What came of it.
    pub outcome: String,
    /// Whether it is about an attempt that came to nothing.
    pub refused: bool,
}

/// Result of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Name of the volume.
    pub volume: String,
    /// What serves from now on.
    pub serving: StrategyInfo,
    /// What served before.
    pub replaced: StrategyInfo,
    /// Views that the candidate was rehearsed on; 0 when nothing had to change or the native strategy was
    /// chosen.
    pub rehearsed_views: usize,
    /// Whether anything changed.
    pub changed: bool,
}

/// A generation that is kept so that a conversion can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptInfo {
    /// Its number.
    pub generation: u64,
    /// Format of its data.
    pub format: FormatId,
    /// It is removed then, Unix milliseconds; before, when disk space runs short.
    pub until_unix_ms: u64,
}

/// Everything about one open volume.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeReport {
    /// Catalog row.
    pub info: VolumeInfo,
    /// Kernel's status.
    pub status: VolumeStatus,
    /// Format of its data.
    pub format: FormatId,
    /// The previous generation, while it is kept.
    pub kept: Option<KeptInfo>,
    /// The job that works on it, when one does.
    pub job: Option<JobInfo>,
    /// Kernel's counters.
    pub counters: VolumeCounters,
    /// Shape of the tree.
    pub shape: TreeShape,
    /// Compaction strategy.
    pub strategy: BindingInfo,
    /// Smoothed rate of writes into the memtable, in bytes per second.
    pub write_rate: f64,
    /// Bytes written to tables by flushes and steps for each byte applied since the volume was opened, what
    /// the start applied again included; 0 before the first. The raft log is not counted.
    pub write_amplification: f64,
}
