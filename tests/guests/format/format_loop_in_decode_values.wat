;; Never gives a value back.
(func $decode_values (export "mortise:plugin/codec@0.2.0#decode-values") (param i32 i32 i32 i32) (result i32)
  (loop $for_ever (br $for_ever))
  unreachable)
