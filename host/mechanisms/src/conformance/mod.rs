//! What the author of a plugin asks before an operator does: would a host take this component, does it keep
//! its world's contract, and does it still answer as it did?
//!
//! | file | what |
//! |---|---|
//! | `workbench` | a plugin runtime without a daemon, and the component on it |
//! | `check`, `cure` | what a file is, and what usually helps when it is refused |
//! | `battery` | the conformance battery: every call is legal, repeatable and within limits |
//! | `views`, `records` | edge cases and random trees for it, and byte strings |
//! | `precision` | whether numbers above 2^53 survive the plugin's language |
//! | `strategy`, `format`, `configuration` | the sections of the battery, for each world and for both |
//! | `trace`, `replay` | recorded calls as JSON lines, and running them again |
//!
//! Nothing here needs a node (a node's verdict can be joined with what a file says), and nothing acts on an
//! answer. The module knows nothing of terminals.

mod battery;
mod check;
mod configuration;
mod cure;
mod format;
mod precision;
mod records;
mod replay;
mod strategy;
pub mod trace;
mod views;
mod workbench;

#[cfg(test)]
mod tests;

pub use battery::{Failure, Options, Outcome, Section};
pub use check::{Checked, ONLY_A_NODE_CAN_TELL, Refusal};
pub use mortise_plugin_runtime::{Form, Language, Origin, Tool};
pub use replay::{Difference, Replayed};
pub use views::described;
pub use workbench::{Allowance, LoadedPlugin, Workbench};
