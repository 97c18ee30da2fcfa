//! Runs plugins: WebAssembly components in a sandbox.

#[allow(clippy::pedantic)]
mod bindings;
pub mod compaction;
mod config;
mod error;
mod fault;
mod inspect;
mod skeleton;

pub use config::{
    Limits, MAX_ANSWER_BYTES, MAX_COMPONENT_BYTES, MAX_DEADLINE, MAX_MEMORY_BYTES, RuntimeConfig,
};
pub use error::{Error, Result};
pub use fault::{Fault, FaultKind};
pub use inspect::{Description, Digest, World};
pub use skeleton::{Call, Component, Identity, Runtime};
