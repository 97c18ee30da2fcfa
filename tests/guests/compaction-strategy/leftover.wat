;; Counts its calls in memory and answers otherwise from the second one on; a fresh instance never gets there.
(global $calls (mut i32) (i32.const 0))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.gt_u (global.get $calls) (i32.const 1))
    (then (i32.store8 offset=8 (global.get $answer) (i32.const 4))))
  (global.get $answer))
