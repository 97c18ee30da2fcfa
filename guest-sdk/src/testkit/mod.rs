//! For native tests of plugins: views made by hand, a model of a tree that carries steps out, and the laws of
//! a format.
//!
//! ```
//! use mortise_guest::Random;
//! use mortise_guest::compaction::Step;
//! use mortise_guest::testkit::{Model, simulate, view};
//!
//! let tree = view().runs(0, 4, 1 << 20).build();
//! assert!(tree.check(&Step::Merge { from: 0, to: 6 }).is_ok());
//!
//! let (mut model, mut random) = (Model::new(1 << 30), Random::new(1));
//! let report = simulate(&mut model, &mut random, 5, 1 << 20, |_| Ok(Step::WAIT)).unwrap();
//! assert_eq!(report.runs, 5, "nothing was ever merged");
//! ```

mod builder;
pub mod format;
mod model;

pub use builder::{ViewBuilder, view};
pub use model::{Model, Report, simulate};
