;; Answers a step that the contract doesn't have.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (i32.store8 offset=8 (global.get $answer) (i32.const 99))
  (global.get $answer))
