;; Answers to be asked again after a random time.
(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (i32.store8 offset=16 (global.get $answer) (i32.const 1))
  (i64.store offset=24 (global.get $answer) (call $random))
  (global.get $answer))
