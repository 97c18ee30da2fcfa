;; Logs a thousand lines of 4 KiB before it answers.
(import "mortise:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $left i32)
  (local.set $left (i32.const 1000))
  (memory.fill (i32.const 16384) (i32.const 10) (i32.const 4096))
  (loop $again
    (call $log (i32.const 3) (i32.const 16384) (i32.const 4096))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (global.get $answer))
