//! Turns guests into components, for the build scripts of `plugins` and `tests` and for the examples.
//!
//! Two sources: a Cargo workspace of guest crates, built by a nested `cargo` for `wasm32-unknown-unknown`
//! ([`build_workspace`]), and single files of WebAssembly text ([`from_text`]). Both become components by the
//! same steps that a plugin's author takes with `wasm-tools`.
//!
//! The result depends on the sources, the lock file and the toolchain only: paths of the machine are mapped
//! away, and whatever the outer build has set for itself does not reach the inner one.

mod bindings;
mod cargo;
mod component;

pub use bindings::c_bindings;
pub use cargo::build_workspace;
pub use component::{from_text, wrap};
