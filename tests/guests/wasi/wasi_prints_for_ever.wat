;; Prints for ever, 60,000 bytes at a time.
(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $out i32)
  (local.set $out (call $stdout))
  (loop $again
    (call $write (local.get $out) (i32.const 65536) (i32.const 60000) (i32.const 2048))
    (br $again))
  (global.get $answer))
