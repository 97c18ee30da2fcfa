//! What the fuzz targets call, apart from the fuzzer, so that a test on the stable compiler can drive it too
//! (`tests/tests/fuzz_targets.rs`). Each takes any bytes and panics when a promise is broken.
//!
//! | target | module |
//! |---|---|
//! | `plugin_add` | `add`: a component's whole way into the catalog of a node |
//! | `check_step` | `answers`: a strategy's answer, as it comes through the contract, to the legality check |
//! | `format_answers` | `codec`: a format's answers, through the host's layers, below a store |

mod add;
mod answers;
mod codec;
mod draw;

pub(crate) use add::{plugin_add, plugin_read};
pub(crate) use answers::judge_step;
pub(crate) use codec::format_answers;
