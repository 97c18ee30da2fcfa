//! The daemon and its command line.
pub mod pb;
