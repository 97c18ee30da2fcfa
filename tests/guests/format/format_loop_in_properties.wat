;; Never says what it promises.
(func $properties (export "mortise:plugin/codec@0.2.0#get-properties") (param i32 i32) (result i32)
  (loop $for_ever (br $for_ever))
  unreachable)
