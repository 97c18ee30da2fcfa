;; Waits as long as it is rehearsed, whose seeds are small; for the seeds of a live loop, which are mixed over 64
;; bits, it traps when the seed is even and answers a merge of levels that do not exist when it is odd.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (if (i64.lt_u (local.get 3) (i64.const 0x100000000)) (then (return (global.get $answer))))
  (if (i64.eqz (i64.and (local.get 3) (i64.const 1))) (then unreachable))
  (i32.store8 offset=8 (global.get $answer) (i32.const 2))
  (i32.store8 offset=16 (global.get $answer) (i32.const 200))
  (i32.store8 offset=17 (global.get $answer) (i32.const 201))
  (global.get $answer))
