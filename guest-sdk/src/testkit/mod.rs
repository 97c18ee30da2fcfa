//! For native tests of plugins: views made by hand, a model of a tree that carries steps out, and the laws of
//! a format.

mod builder;
pub mod format;
mod model;

pub use builder::{ViewBuilder, view};
pub use model::{Model, Report, simulate};
