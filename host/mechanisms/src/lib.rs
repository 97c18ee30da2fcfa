//! The mechanisms of Mortise: host code that observes, asks a plugin to decide, checks the answer, and acts.
//!
//! | module | what it owns |
//! |---|---|
//! | `system` | [`System`]: what the server talks to |
//! | `cause` | who asks for a change, and why |
//! | `catalog` | volumes, plugins, bindings and history as keys of the system volume |
//! | `volumes` | which volumes exist and are served |
//! | `plugins` | the plugin lifecycle: add, rehearse, swap, quarantine, remove |
//! | `rebuild` | jobs that rebuild and convert volumes, and the codecs of formats |
//! | `compaction` | a loop per volume that keeps its tree in shape |
//! | `recording` | what strategies were asked and answered lately |
//! | [`doctor`] | looks at a data directory that no daemon uses |
//! | [`conformance`] | what a plugin's author asks: check, test, replay, without a node |
//! | [`simulate`] | a strategy against a real store in simulated time |
//! | `telemetry` | metrics |
//! | `error` | errors, sorted by what a caller can do |
//!
//! Every mechanism has the same three modules: `observe` (what is known), `decide` (what to do about it, as
//! pure functions) and `act`. A plugin in service is asked in `decide`; before, in its verification and
//! rehearsal; beside, by a shadow. Nothing that acts asks.
//!
//! This crate knows the kernel and the plugin runtime; it must not know gRPC or command lines.

mod catalog;
mod cause;
mod compaction;
pub mod conformance;
pub mod doctor;
mod error;
mod plugins;
mod rebuild;
mod recording;
pub mod simulate;
mod system;
mod telemetry;
mod volumes;

pub use cause::{Actor, Cause, CauseError, MAX_OPERATOR_CHARS, MAX_REASON_CHARS};
pub use compaction::{Verdict, judge};
pub use error::{Error, Result};
pub use mortise_plugin_runtime::{Capability, Limits, MAX_COMPONENT_BYTES, NAME_RULE, Usage, name_problem};
pub use plugins::{
    Admission, Ground, IllegalTransition, Judged, Refusal, SignatureState, StageError, Step, Trust,
    TrustedKey, Who,
};
pub use rebuild::{
    FormatCodecs, JobInfo, JobKind, JobProgress, JobRequest, JobResult, JobState, JobWork, WantedFormat,
    recoded,
};
pub use recording::{Became, DecisionInfo, Recorded, RecordingInfo};
pub use system::{
    Activation, BindingInfo, CallTimes, CandidateInfo, ConfigInfo, FaultInfo, HistoryInfo, KeptInfo,
    NATIVE_STRATEGY, NewPlugin, PluginDetail, PluginInfo, QuarantineInfo, ShadowExample, ShadowInfo,
    ShadowReport, ShippedPlugin, StandingInfo, StrategyInfo, System, SystemConfig, VolumeInfo, VolumeReport,
};
pub use telemetry::{OTHER_PLUGINS, describe_metrics};
