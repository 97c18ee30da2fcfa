;; Prints why it fails, as most languages' runtimes do, then traps.
(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(data (i32.const 4096) "panic: the tree makes no sense\ngoroutine 1\n")
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (call $write (call $stderr) (i32.const 4096) (i32.const 43) (i32.const 2048))
  unreachable)
