//! What the suites under `tests/` share: daemons, clients, a model, random requests and their comparison.
//!
//! | part | what it is |
//! |---|---|
//! | `daemon` | the real `mortise` binary and a real etcd, started, killed, restarted |
//! | `process` | child processes: signals, log lines, deadlines |
//! | `bench` | a node and a folder of components, for suites of plugins |
//! | `pages`, `stated_metrics` | a node's HTTP pages and metrics, and what the document states of them |
//! | `client` | etcd's protocol, spoken to either |
//! | `request`, `generate` | requests as values, and random ones |
//! | `model`, `rules` | etcd's semantics, in memory |
//! | `compare` | two outcomes, field by field |
//! | `load`, `history` | writers that remember, and the judge of what is left |
//! | `measure` | single measurements with `mortise bench` |
//! | `guests`, `bombs` | plugins that misbehave, as components |
//! | `inventory` | what a node has of plugins, before and after |
//! | `frozen` | components of released contracts, and what they were asked |
//! | `languages` | the example policy in five languages, as components |
//! | `tidy` | the house rules |
//! | `small_disk` | a real file system that fills up |
//! | `gate` | a daemon that stands at a fault point |
//! | `terminal` | a program at a pseudo-terminal |
//! | `seed` | seeds, printed and replayed |
//!
//! No suite sleeps: each waits for a signal, with a deadline.

mod bench;
pub mod bombs;
mod client;
mod compare;
mod daemon;
pub mod frozen;
mod gate;
mod generate;
pub mod guests;
mod history;
mod inventory;
pub mod languages;
mod load;
mod measure;
mod model;
mod pages;
mod process;
mod request;
mod rules;
pub mod seed;
mod small_disk;
pub mod stated_metrics;
mod terminal;
pub mod tidy;

pub use bench::Bench;
pub use client::{BESIDE_PLUGINS, Client};
pub use compare::{comparable, same};
pub use daemon::{Etcd, Mortise, etcdctl, mortise_binary, mortise_cli, on_path, skip};
pub use gate::{Gate, Standing};
pub use generate::{Generator, prefix_end};
pub use history::{History, Verdict};
pub use inventory::Inventory;
pub use load::{Attempt, Load, print_longest_put};
pub use measure::{Measured, Requests, median};
pub use model::Model;
pub use pages::{Series, page, sample, series};
pub use process::{Finished, Process, run};
pub use request::{Answer, Outcome, Refusal, Request};
pub use rules::{MAX_BYTES, MAX_OPS, refuse};
pub use small_disk::SmallDisk;
pub use terminal::Terminal;
