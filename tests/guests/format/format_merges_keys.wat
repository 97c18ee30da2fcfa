;; Makes one key of two: stores capital letters of keys as small ones, and gives back what is stored.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (local $at i32) (local $left i32)
  (local.set $at (local.get 2))
  (local.set $left (local.get 3))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (local.get $left)))
      (call $lower (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $more)))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $lower (param $at i32) (param $left i32)
  (local $byte i32)
  (block $done
    (loop $more
      (br_if $done (i32.eqz (local.get $left)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 0x41)) (i32.const 26))
        (then (i32.store8 (local.get $at) (i32.or (local.get $byte) (i32.const 0x20)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $more))))
