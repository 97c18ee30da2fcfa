;; Takes memory until it is denied.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
