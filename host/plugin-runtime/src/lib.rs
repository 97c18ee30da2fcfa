//! Runs plugins: WebAssembly components in a sandbox.
//!
//! A [`Runtime`] checks and compiles components; a [`Component`] is one of them, and serves a world through
//! a type of that world: [`compaction::CompactionStrategy`] or [`format::Format`]. Every call has [`Limits`]
//! on time, memory and the size of the answer, and ends in an answer or in a [`Fault`]. A call gets a fresh
//! instance; only formats, which are called for every request, keep theirs for a while. Nothing that a plugin
//! does harms the next call, the process or the machine.
//!
//! | module | what it owns |
//! |---|---|
//! | `config` | sizes of the runtime, and the limits of calls |
//! | `grants` | capabilities, and what a component is granted of them |
//! | `inspect` | what a component says about itself; refusals before anything is compiled |
//! | `origin` | which language and tools made a component |
//! | `compile` | compiling, in a process of its own |
//! | `runtime`, `component` | loading, instantiating, calling |
//! | `identity` | the rules for names and versions |
//! | `world`, `exports` | which worlds and versions are served, and where a component has their functions |
//! | [`compaction`], [`format`] | the worlds |
//! | `bindings` | types generated from the contract |
//! | `engine`, `state`, `ticker`, `limiter`, `pool` | the sandbox: code, time, memory, threads |
//! | `usage` | what calls used |
//! | `log`, `hostcall` | the only thing that a plugin may call, and what that costs |
//! | `present` | texts of plugins, made fit to be shown |
//! | `wasi` | the capability `wasi-minimal`, for those to which it is granted |
//! | `cache` | compiled components on disk, authenticated |
//! | `error`, `fault` | why a component is refused; why a call gave no answer |
//!
//! This crate must not know the store or raft, nor judge whether an answer is wise or legal.

mod bindings;
mod cache;
pub mod compaction;
mod compile;
mod component;
mod config;
mod engine;
mod error;
mod exports;
mod fault;
pub mod format;
mod grants;
mod hostcall;
mod identity;
mod inspect;
mod limiter;
mod log;
mod origin;
mod pool;
mod present;
mod runtime;
mod state;
mod ticker;
mod usage;
mod wasi;
mod world;

pub use compile::{CompileLimits, Compiler, compile_child_main};
pub use component::{Call, Component, Identity};
pub use config::{
    Limits, MAX_ANSWER_BYTES, MAX_COMPONENT_BYTES, MAX_DEADLINE, MAX_MEMORY_BYTES, RuntimeConfig,
    SharedLimits,
};
pub use error::{Error, Result};
pub use fault::{Fault, FaultKind};
pub use grants::{Capability, Grants};
pub use identity::{NAME_RULE, is_version, name_problem};
pub use inspect::{Description, Digest, inspect};
pub use origin::{Form, Language, Origin, Tool};
pub use present::is_unpresentable;
pub use runtime::Runtime;
pub use usage::{CallUsage, ILLEGAL, Usage, describe_metrics};
pub use world::{ContractVersion, World};
