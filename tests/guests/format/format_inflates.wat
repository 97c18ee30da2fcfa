;; Turns every value into 65,536 bytes, all of them the same ones.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (local $at i32)
  (local $to i32)
  (drop (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
  (local.set $to (i32.load (i32.const 1048)))
  (block $done
    (loop $next_record
      (br_if $done (i32.eq (local.get $at) (local.get 5)))
      (i32.store offset=4 (local.get $to) (i32.const 0))
      (i32.store offset=8 (local.get $to) (i32.const 65536))
      (local.set $to (i32.add (local.get $to) (i32.const 12)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next_record)))
  (i32.const 1040))
