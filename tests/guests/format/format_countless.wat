;; Answers four thousand million records.
(func $encode_keys (export "mortise:plugin/codec@0.2.0#encode-keys") (param i32 i32 i32 i32) (result i32)
  (drop (call $same (local.get 2) (local.get 3)))
  (i32.store (i32.const 1044) (i32.const -1))
  (i32.const 1040))
