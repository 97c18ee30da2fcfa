//! The kernel of Mortise: everything that must be trusted with data.
//!
//! | module | what it owns |
//! |---|---|
//! | [`kv`] | requests, answers and their validation |
//! | [`format`](mod@format) | codecs between what users write and what a volume stores |
//! | [`store`] | one volume's multi-version tree: apply, read, shape, compaction primitives |
//! | [`log`] | the raft log of every volume in one database, with group commit |
//! | [`raft`] | one raft group per volume over the log and the store |
//! | [`node`] | the data directory, its lock, generations, and the volumes that are open |
//! | [`rebuild`] | rebuilding a volume's store on line, into a new generation |
//! | `manifest` | the files of an lsm-tree and their checksums, for store and log |
//! | [`seams`] | time, randomness and faults, so that tests can decide them |
//! | [`error`] | errors, sorted by what a caller can do |
//!
//! The kernel must not know Wasm, gRPC or command lines. It takes no policy decision: it offers primitives
//! and checks every step it is asked to make.

pub mod error;
pub mod format;
pub mod kv;
pub mod log;
mod manifest;
pub mod node;
pub mod raft;
pub mod rebuild;
pub mod seams;
pub mod store;

pub use error::{Error, ErrorKind, Result};
