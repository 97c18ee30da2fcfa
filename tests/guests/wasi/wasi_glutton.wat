;; Asks for more random bytes than there is memory in the world.
(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (call $random (i64.const -1) (i32.const 2048))
  (global.get $answer))
