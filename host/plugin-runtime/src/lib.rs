//! Runs plugins: WebAssembly components in a sandbox.
//!
//! A [`Runtime`] checks and compiles components; a [`Component`] is one of them, and serves a world through
//! a type of that world, such as [`compaction::CompactionStrategy`]. Every call gets a fresh instance with
//! [`Limits`] on time, memory and the size of the answer, and ends in an answer or in a [`Fault`]. Nothing
//! that a plugin does harms the next call, the process or the machine.
//!
//! | module | what it owns |
//! |---|---|
//! | `inspect` | what a component says about itself; refusals before anything is compiled |
//! | `runtime`, `component` | compiling, instantiating, calling |
//! | [`compaction`] | the world `compaction-strategy` |
//! | `engine`, `ticker`, `limiter`, `pool` | the sandbox: code, time, memory, threads |
//! | `log` | the only thing that a plugin may call |
//! | `cache` | compiled components on disk, authenticated |
//!
//! This crate must not know the store or raft, nor judge whether an answer is wise or legal.

mod bindings;
mod cache;
pub mod compaction;
mod component;
mod config;
mod engine;
mod error;
mod fault;
mod inspect;
mod limiter;
mod log;
mod pool;
mod runtime;
mod ticker;

pub use component::{Call, Component, Identity};
pub use config::{
    Limits, MAX_ANSWER_BYTES, MAX_COMPONENT_BYTES, MAX_DEADLINE, MAX_MEMORY_BYTES, RuntimeConfig,
};
pub use error::{Error, Result};
pub use fault::{Fault, FaultKind};
pub use inspect::{Description, Digest, World};
pub use runtime::Runtime;
