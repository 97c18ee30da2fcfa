;; Prints a thousand lines of 4 KiB to each of its outputs, and at last half a line.
(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $left i32) (local $out i32) (local $err i32)
  (local.set $left (i32.const 1000))
  (local.set $out (call $stdout))
  (local.set $err (call $stderr))
  (memory.fill (i32.const 16384) (i32.const 120) (i32.const 4095))
  (i32.store8 (i32.const 20479) (i32.const 10))
  (loop $again
    (call $write (local.get $out) (i32.const 16384) (i32.const 4096) (i32.const 2048))
    (call $write (local.get $err) (i32.const 16384) (i32.const 4096) (i32.const 2048))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (call $write (local.get $err) (i32.const 16384) (i32.const 10) (i32.const 2048))
  (global.get $answer))
