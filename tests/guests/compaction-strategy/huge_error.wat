;; Refuses with a text of 8 MiB.
(memory $memory (export "memory") 160)
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (memory.fill (i32.const 65536) (i32.const 120) (i32.const 8388608))
  (i32.store8 (global.get $answer) (i32.const 1))
  (i32.store offset=8 (global.get $answer) (i32.const 65536))
  (i32.store offset=12 (global.get $answer) (i32.const 8388608))
  (global.get $answer))
