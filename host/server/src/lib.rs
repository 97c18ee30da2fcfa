//! The daemon and its command line.
//!
//! | module | what it is for |
//! |---|---|
//! | [`wiring`] | puts the daemon together and takes it apart: the one place that knows every layer |
//! | [`api`] | the gRPC services |
//! | [`http`] | health and metrics pages |
//! | [`metrics`], [`series`], [`logging`] | what the daemon tells about itself |
//! | [`pb`] | messages and clients generated from `proto/` |
//! | [`cli`] | the command line, one file per command |
//!
//! This crate takes no storage decision. It is a library so that tests can start a daemon in their own
//! process; `main.rs` only calls [`cli::main`].

pub mod api;
pub mod cli;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod pb;
pub mod series;
pub mod wiring;
