;; Answers four thousand million keys.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (drop (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
  (i32.store (i32.const 1044) (i32.const -1))
  (i32.const 1040))
