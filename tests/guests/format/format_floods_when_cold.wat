;; Good to who treats it well. A key that begins with `w` makes an instance warm, one that begins with `t` makes it
;; trap. An instance that isn't warm writes to the log for ever, 8 MiB at a time, when it is given a value, in
;; either direction, that begins with `b`.
(import "mortise:plugin/log@0.2.0" "write" (func $log (param i32 i32 i32)))
(memory $memory (export "memory") 130)
(global $next (mut i32) (i32.const 8454144))
(global $warm (mut i32) (i32.const 0))

(func $first (param $records i32) (param $count i32) (result i32)
  (if (i32.eqz (local.get $count)) (then (return (i32.const 0))))
  (if (i32.eqz (i32.load offset=4 (local.get $records))) (then (return (i32.const 0))))
  (i32.load8_u (i32.load (local.get $records))))

(func $judge (param i32 i32 i32 i32) (result i32)
  (local $key i32)
  (local.set $key (call $first (local.get 0) (local.get 1)))
  (if (i32.eq (local.get $key) (i32.const 119)) (then (global.set $warm (i32.const 1))))
  (if (i32.eq (local.get $key) (i32.const 116)) (then unreachable))
  (if (i32.eq (call $first (local.get 2) (local.get 3)) (i32.const 98))
    (then
      (if (i32.eqz (global.get $warm))
        (then
          (loop $for_ever
            (call $log (i32.const 3) (i32.const 65536) (i32.const 8388608))
            (br $for_ever))))))
  (call $both (local.get 0) (local.get 1) (local.get 2) (local.get 3)))

(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $judge (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $decode (export "mortise:plugin/codec@0.2.0#decode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $judge (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
