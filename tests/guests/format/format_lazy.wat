;; Does nothing wrong, but the first call of an instance that has records takes long: fifty million units of fuel for
;; each byte of its configuration.
(global $prepared (mut i32) (i32.const 0))

(func $prepare (param $bytes i32)
  (local $left i32)
  (if (global.get $prepared) (then (return)))
  (global.set $prepared (i32.const 1))
  (local.set $left (i32.mul (local.get $bytes) (i32.const 10000000)))
  (loop $more
    (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))

(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $prepare (local.get 1))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $decode (export "mortise:plugin/codec@0.2.0#decode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (call $prepare (local.get 1))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
