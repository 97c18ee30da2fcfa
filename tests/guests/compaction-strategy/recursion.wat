;; Calls itself until the stack ends.
(func $deeper (param i64) (result i64)
  (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (drop (call $deeper (i64.const 0)))
  (global.get $answer))
