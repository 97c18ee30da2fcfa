;; Traps when it is called for the third time; a fresh instance never gets there.
(global $calls (mut i32) (i32.const 0))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.gt_u (global.get $calls) (i32.const 2)) (then unreachable))
  (global.get $answer))
