;; Logs why it fails, as a panic of the SDK does, then traps.
(import "mortise:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(data (i32.const 2048) "the tree makes no sense")
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (call $log (i32.const 3) (i32.const 2048) (i32.const 23))
  unreachable)
