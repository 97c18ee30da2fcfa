//! Fuzz target: see `plugin_add` in `src/targets.rs`.
#![no_main]

#[path = "../src/targets.rs"]
#[allow(dead_code, reason = "each program uses one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::plugin_add(bytes));
