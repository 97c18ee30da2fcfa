;; Cannot use any configuration.
(data (i32.const 2048) "no\nERROR all is lost")
(func $properties (export "mortise:plugin/codec@0.2.0#get-properties") (param i32 i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 1))
  (i32.store (i32.const 1028) (i32.const 2048))
  (i32.store (i32.const 1032) (i32.const 20))
  (i32.const 1024))
