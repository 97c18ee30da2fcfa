;; Gives a reason of 4 KiB that tries to pass for other lines of whatever shows it.
(data (i32.const 2048) "no\nERROR all is lost\n")
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (memory.copy (i32.const 16384) (i32.const 2048) (i32.const 21))
  (memory.fill (i32.const 16405) (i32.const 27) (i32.const 4075))
  (i32.store offset=32 (global.get $answer) (i32.const 16384))
  (i32.store offset=36 (global.get $answer) (i32.const 4096))
  (global.get $answer))
