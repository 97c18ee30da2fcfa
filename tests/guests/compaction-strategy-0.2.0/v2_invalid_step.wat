;; Answers a step that the contract doesn't have, with a reason.
(data (i32.const 2048) "why not")
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (i32.store8 offset=8 (global.get $answer) (i32.const 99))
  (i32.store offset=32 (global.get $answer) (i32.const 2048))
  (i32.store offset=36 (global.get $answer) (i32.const 7))
  (global.get $answer))
