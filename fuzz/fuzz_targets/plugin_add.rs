//! Fuzz target: see `plugin_add` in `src/add.rs`.
#![no_main]

#[path = "../src/targets.rs"]
#[allow(dead_code, unused_imports, reason = "each program uses one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::plugin_add(bytes));
