;; Gives a reason that lies beyond its memory.
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (i32.store offset=32 (global.get $answer) (i32.const -8))
  (i32.store offset=36 (global.get $answer) (i32.const 64))
  (global.get $answer))
