;; Gives a reason of 8 MiB.
(memory $memory (export "memory") 160)
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (memory.fill (i32.const 65536) (i32.const 120) (i32.const 8388608))
  (i32.store offset=32 (global.get $answer) (i32.const 65536))
  (i32.store offset=36 (global.get $answer) (i32.const 8388608))
  (global.get $answer))
