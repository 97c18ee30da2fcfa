;; Gives a reason that is not UTF-8.
(data (i32.const 2048) "\ff\fe\c3")
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (i32.store offset=32 (global.get $answer) (i32.const 2048))
  (i32.store offset=36 (global.get $answer) (i32.const 3))
  (global.get $answer))
