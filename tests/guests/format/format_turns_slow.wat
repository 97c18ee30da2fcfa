;; Is quick for 64 calls of an instance and then takes tens of milliseconds each time, in which it uses the fuel of
;; half a record: it draws one root after the other, each from the last one's.
(global $calls (mut i32) (i32.const 0))

(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $rest)
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $decode (export "mortise:plugin/codec@0.2.0#decode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $rest)
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $rest
  (local $left i32) (local $root f64)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.le_u (global.get $calls) (i32.const 64)) (then (return)))
  (local.set $left (i32.const 400000))
  (local.set $root (f64.const 7))
  (loop $more
    (local.set $root
      (f64.add (f64.const 7)
        (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt
        (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt
          (local.get $root)))))))))))))))))))
    (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
