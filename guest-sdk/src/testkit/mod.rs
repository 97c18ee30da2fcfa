//! For native tests of policies: views made by hand, and a model of a tree that carries steps out.

mod builder;
mod model;

pub use builder::{ViewBuilder, view};
pub use model::{Model, Report, simulate};
