//! Write plugins for Mortise in Rust.
//!
//! A plugin is a library that implements one trait and exports it with one macro. It compiles natively, where
//! it is tested like any Rust code, and to `wasm32-unknown-unknown`, which gives a core module that
//! `wasm-tools component new` turns into the component that `mortise plugin add` takes.
//!
//! | world | trait | macro |
//! |---|---|---|
//! | `compaction-strategy` | [`compaction::CompactionStrategy`] | [`export_compaction_strategy!`] |
//! | `format` | [`format::Format`] | [`export_format!`] |
//!
//! # What a plugin can count on, and what not
//! Nothing that a call leaves in memory may matter to a later one: the host makes and drops instances as it
//! likes, for a strategy at every call. There is no clock, randomness, file, socket or environment; time and
//! a seed come with a strategy's call, and the same call must get the same answer. A call has a deadline and
//! a memory limit (100 ms and 16 MiB for a strategy, 1 s and 64 MiB for a format, unless the operator says
//! otherwise). A panic ends the call as a fault, with its message in the host's log.
//!
//! # A complete plugin
//! A strategy; [`format`] has a complete format.
//! ```toml
//! [package]
//! name = "compact-at-night"
//! version = "0.1.0"
//! edition = "2024"
//! description = "Rewrites the tree when level 0 is full."
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! mortise-guest = { path = "../mortise/guest-sdk" }
//! serde = { version = "1", features = ["derive"] }
//!
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! panic = "abort"
//! strip = true
//! ```
//! ```
//! use mortise_guest::compaction::{CompactionStrategy, Decision, Step, View};
//! use mortise_guest::Call;
//!
//! /// What an operator can set with `mortise plugin use --config '{"max_runs": 8}'`.
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! pub struct Config {
//!     max_runs: usize,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { max_runs: 4 }
//!     }
//! }
//!
//! pub struct CompactWhenFull;
//!
//! impl CompactionStrategy for CompactWhenFull {
//!     type Config = Config;
//!
//!     fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
//!         if config.max_runs == 0 {
//!             return Err("max_runs is 0; expected at least 1".to_owned());
//!         }
//!         let runs = view.level0_runs();
//!         if runs < config.max_runs {
//!             return Ok(Step::WAIT.into());
//!         }
//!         Ok(Step::Major { table_bytes: 64 << 20 }.because(format!("level 0 has {runs} runs")))
//!     }
//! }
//!
//! mortise_guest::export_compaction_strategy!(CompactWhenFull);
//!
//! // A native test.
//! use mortise_guest::testkit::view;
//! let full = view().run(0, 1 << 20).run(0, 1 << 20).build();
//! let config = Config { max_runs: 2 };
//! let decision = CompactWhenFull::decide(&config, &Call::default(), &full).unwrap();
//! assert_eq!(decision, Step::Major { table_bytes: 64 << 20 }.because("level 0 has 2 runs"));
//! assert!(full.check(&decision.step).is_ok());
//! ```

#[cfg(target_arch = "wasm32")]
mod allocator;
#[doc(hidden)]
pub mod bindings;
mod call;
pub mod compaction;
#[doc(hidden)]
pub mod export;
pub mod format;
pub mod log;
pub mod testkit;

pub use call::{Call, Random};
#[doc(hidden)]
pub use wit_bindgen;
