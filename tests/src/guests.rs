//! Plugins that misbehave, each in one way, as components; their texts are below `guests/`.
//!
//! `tests/plugin_host.rs` states the outcome of each, and fails when one has none.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
