//! Plugins: they come in, are rehearsed, serve, are swapped while they serve, are quarantined, and go.
//!
//! | file | what |
//! |---|---|
//! | `observe`, `standing` | the catalog's rows joined with what runs, for people |
//! | `stage`, `stage_error` | the stages of a version's life, what leads from one to the next, what they forbid |
//! | `capability`, `signature` | what a component may use, and who vouches for it |
//! | `choose`, `decide` | which plugin a name stands for, which may come in, what follows a fault |
//! | `act` | the lifecycle's state: compiled components and a slot per volume; what is told of refusals |
//! | `host`, `compiled` | what the lifecycle needs of the plugin runtime, and components ready to run |
//! | `attached` | the volumes whose strategies it looks after |
//! | `admit`, `remove`, `bind`, `shadow` | its verbs: add; remove; use and roll back; shadow and promote |
//! | `arriving` | which components are being verified, and for how many at once |
//! | `judge`, `ground` | the way of a component into a node, for `add` and `check`; why it ends early |
//! | `supervise` | what the host does by itself: quarantine, taking back |
//! | `record` | how much of what strategies are asked is kept |
//! | `formats`, `codec_watch` | components of the world `format`, made ready to encode; their faults |
//! | `format_limits` | the limits of formats, and how a change reaches those that serve |
//! | `in_service` | which format serves which volume, for the metrics |
//! | `bar` | the verbs for formats: quarantine and release |
//! | `faults` | the latest faults of all |
//! | `recover` | what a stop interrupted is undone or finished |
//! | `rehearse` | asking a candidate without acting on its answers |

mod act;
mod admit;
mod arriving;
mod attached;
mod bar;
mod bind;
mod capability;
mod choose;
mod codec_watch;
mod compiled;
mod decide;
mod faults;
mod format_limits;
mod formats;
mod ground;
mod host;
mod in_service;
mod judge;
mod observe;
mod record;
mod recover;
mod rehearse;
mod remove;
mod shadow;
mod signature;
mod stage;
mod stage_error;
mod standing;
mod supervise;

#[cfg(test)]
mod admit_tests;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod builds_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod interrupted_tests;
#[cfg(test)]
mod judge_tests;
#[cfg(test)]
mod leave_tests;
#[cfg(test)]
mod races_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;
#[cfg(test)]
mod verdict_tests;
#[cfg(test)]
mod watch_tests;
#[cfg(test)]
mod world;

pub(crate) use act::{Lifecycle, Settings};
pub(crate) use admit::Addition;
pub(crate) use capability::named as capability_named;
pub(crate) use capability::{Capabilities, by_default as capabilities_by_default};
pub(crate) use choose::{format_name, pick_format};
pub(crate) use codec_watch::CodecWatch;
pub(crate) use decide::{Attempt, about_format, config_text, leave};
pub use ground::Ground;
pub(crate) use host::Host;
pub use judge::{Admission, Judged, Refusal, Step, Who};
pub(crate) use judge::{AdmissionRules, judge};
pub use signature::{SignatureState, Trust, TrustedKey};
pub use stage::IllegalTransition;
pub(crate) use stage::Stage;
pub use stage_error::StageError;
