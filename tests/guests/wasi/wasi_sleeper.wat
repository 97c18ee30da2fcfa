;; Sleeps for a year, then answers how long it has been running, in nanoseconds.
(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (call $block (call $after (i64.const 31536000000000000)))
  (i32.store8 offset=16 (global.get $answer) (i32.const 1))
  (i64.store offset=24 (global.get $answer) (call $now))
  (global.get $answer))
