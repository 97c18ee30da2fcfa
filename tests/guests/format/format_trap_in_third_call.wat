;; Traps when the same instance is called for the third time.
(global $calls (mut i32) (i32.const 0))
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.gt_u (global.get $calls) (i32.const 2)) (then unreachable))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
