;; Refuses with a text that tries to pass for another line of the log.
(data (i32.const 2048) "no\nERROR all is lost")
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (i32.store8 (global.get $answer) (i32.const 1))
  (i32.store offset=8 (global.get $answer) (i32.const 2048))
  (i32.store offset=12 (global.get $answer) (i32.const 20))
  (global.get $answer))
