;; Answers random steps that follow from the seed, about half of them legal for a tree that has data in level 0.
;; Seeds below 2^32 it answers with a wait: those of a rehearsal are small, those of a live loop are mixed over
;; 64 bits, so it passes its rehearsal and then serves.
(global $state (mut i64) (i64.const 0))

;; A number below the bound, by SplitMix64.
(func $below (param $bound i64) (result i32)
  (local $mixed i64)
  (global.set $state (i64.add (global.get $state) (i64.const 0x9e3779b97f4a7c15)))
  (local.set $mixed
    (i64.mul
      (i64.xor (global.get $state) (i64.shr_u (global.get $state) (i64.const 30)))
      (i64.const 0xbf58476d1ce4e5b9)))
  (local.set $mixed
    (i64.mul
      (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 27)))
      (i64.const 0x94d049bb133111eb)))
  (i32.wrap_i64
    (i64.rem_u (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 31))) (local.get $bound))))

(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $case i32)
  (local $from i32)
  (if (i64.lt_u (local.get 3) (i64.const 0x100000000)) (then (return (global.get $answer))))
  (global.set $state (local.get 3))
  ;; Of eight: one wait, two partial, two merge, two move, one major.
  (local.set $case (i32.shr_u (i32.add (call $below (i64.const 8)) (i32.const 1)) (i32.const 1)))
  (i32.store8 offset=8 (global.get $answer) (local.get $case))
  ;; Levels 0 to 7, of which the last doesn't exist; the destination is mostly below the source.
  (local.set $from (call $below (i64.const 8)))
  (if (i32.or (i32.eq (local.get $case) (i32.const 2)) (i32.eq (local.get $case) (i32.const 3)))
    (then
      (i32.store8 offset=16 (global.get $answer) (local.get $from))
      (i32.store8 offset=17 (global.get $answer)
        (i32.add (local.get $from) (i32.sub (call $below (i64.const 5)) (i32.const 1))))))
  (if (i32.eq (local.get $case) (i32.const 1))
    (then
      (i32.store8 offset=16 (global.get $answer) (call $below (i64.const 6)))
      (f32.store offset=20 (global.get $answer) (f32.convert_i32_u (call $below (i64.const 12))))
      (i64.store offset=24 (global.get $answer)
        (i64.shl (i64.const 32768) (i64.extend_i32_u (call $below (i64.const 12)))))))
  (if (i32.eq (local.get $case) (i32.const 4))
    (then
      (i64.store offset=16 (global.get $answer)
        (i64.shl (i64.const 32768) (i64.extend_i32_u (call $below (i64.const 8)))))))
  (global.get $answer))
