;; Tries to answer the same call in different ways: from the bits of a NaN, from memory that it never wrote, and
;; from where its memory ends.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $mixed i64)
  (local.set $mixed (i64.reinterpret_f64 (f64.div (f64.sub (f64.const inf) (f64.const inf)) (f64.const 0))))
  (local.set $mixed (i64.xor (local.get $mixed) (i64.load (i32.const 131064))))
  (drop (memory.grow (i32.const 1)))
  (local.set $mixed (i64.xor (local.get $mixed) (i64.load (i32.const 131080))))
  (local.set $mixed (i64.add (local.get $mixed) (i64.extend_i32_u (memory.size))))
  (i32.store8 offset=16 (global.get $answer) (i32.const 1))
  (i64.store offset=24 (global.get $answer) (local.get $mixed))
  (global.get $answer))
