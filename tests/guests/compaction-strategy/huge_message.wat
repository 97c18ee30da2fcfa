;; Logs one line of 8 MiB.
(import "mortise:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(memory $memory (export "memory") 160)
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (memory.fill (i32.const 65536) (i32.const 120) (i32.const 8388608))
  (call $log (i32.const 1) (i32.const 65536) (i32.const 8388608))
  (global.get $answer))
