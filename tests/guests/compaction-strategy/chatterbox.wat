;; Logs a thousand lines of 4 KiB before it answers. The first character of a line tells its place among those
;; of its call (`0` and the 63 characters after it, again and again), the rest are line feeds.
(import "mortise:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (local $left i32)
  (local.set $left (i32.const 1000))
  (memory.fill (i32.const 16384) (i32.const 10) (i32.const 4096))
  (loop $again
    (i32.store8 (i32.const 16384)
      (i32.add
        (i32.const 48)
        (i32.and (i32.sub (i32.const 1000) (local.get $left)) (i32.const 63))))
    (call $log (i32.const 3) (i32.const 16384) (i32.const 4096))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (global.get $answer))
