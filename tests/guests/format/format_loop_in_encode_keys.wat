;; Never stores a key.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (if (local.get 3) (then (loop $for_ever (br $for_ever))))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
