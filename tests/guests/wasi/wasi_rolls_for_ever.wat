;; Takes randomness for ever, a mebibyte at a time.
(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
(memory $memory (export "memory") 20)
(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (loop $again
    (call $random (i64.const 1048576) (i32.const 2048))
    (br $again))
  (global.get $answer))
