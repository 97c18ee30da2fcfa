;; Waits as long as it is rehearsed, like `turncoat`. Live it does what its configuration wants, by the first letter
;; of the first value (`{"does":"trap"}`): it traps, logs a word and loops, takes all memory, gives an answer that is
;; too large, refuses, or wants an illegal step. Without such a configuration it goes on waiting.
(import "mortise:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(data (i32.const 2048) "begun")
(func $does (param $letter i32) (param $config i32) (result i32)
  (i32.eq (i32.load8_u offset=9 (local.get $config)) (local.get $letter)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (if (i64.lt_u (local.get 3) (i64.const 0x100000000)) (then (return (global.get $answer))))
  (if (i32.lt_u (local.get 1) (i32.const 10)) (then (return (global.get $answer))))
  (if (call $does (i32.const 0x74) (local.get 0)) (then unreachable))
  (if (call $does (i32.const 0x6c) (local.get 0))
    (then
      (call $log (i32.const 1) (i32.const 2048) (i32.const 5))
      (loop $for_ever (br $for_ever))))
  (if (call $does (i32.const 0x6d) (local.get 0))
    (then (loop $more (drop (memory.grow (i32.const 16))) (br $more))))
  (if (call $does (i32.const 0x61) (local.get 0))
    (then
      (i32.store8 (global.get $answer) (i32.const 1))
      (i32.store offset=8 (global.get $answer) (i32.const 16384))
      (i32.store offset=12 (global.get $answer) (i32.const 100000))))
  (if (call $does (i32.const 0x72) (local.get 0))
    (then
      (i32.store8 (global.get $answer) (i32.const 1))
      (i32.store offset=8 (global.get $answer) (i32.const 2048))
      (i32.store offset=12 (global.get $answer) (i32.const 5))))
  (if (call $does (i32.const 0x69) (local.get 0))
    (then
      (i32.store8 offset=8 (global.get $answer) (i32.const 2))
      (i32.store8 offset=16 (global.get $answer) (i32.const 200))
      (i32.store8 offset=17 (global.get $answer) (i32.const 201))))
  (global.get $answer))
