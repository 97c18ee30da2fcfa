//! Fuzz target: see `format_answers` in `src/codec.rs`.
#![no_main]

#[path = "../src/targets.rs"]
#[allow(dead_code, unused_imports, reason = "each program uses one of the targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::format_answers(bytes));
