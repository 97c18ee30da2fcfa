;; Makes 17 MiB of the first key, more than any answer may have.
(memory $memory (export "memory") 300)
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (drop (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
  (if (local.get 3)
    (then
      (i32.store offset=4 (i32.load (i32.const 1040)) (i32.const 65536))
      (i32.store offset=8 (i32.load (i32.const 1040)) (i32.const 17825792))))
  (i32.const 1040))
