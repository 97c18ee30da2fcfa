;; Refuses with a text that is not UTF-8.
(data (i32.const 2048) "\ff\fe\c3")
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (i32.store8 (global.get $answer) (i32.const 1))
  (i32.store offset=8 (global.get $answer) (i32.const 2048))
  (i32.store offset=12 (global.get $answer) (i32.const 3))
  (global.get $answer))
