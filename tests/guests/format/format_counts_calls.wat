;; Keeps what it must not: a value becomes the number of calls that the instance has had, in one byte. With every
;; value that it encodes its memory grows by a page. Traps when it is to decode a value.
(global $calls (mut i32) (i32.const 0))

(func $encode_values (export "mortise:plugin/codec@0.2.0#encode-values") (param i32 i32 i32 i32) (result i32)
  (drop (memory.grow (i32.const 1)))
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (i32.store8 (i32.load (local.get 2)) (global.get $calls))
  (call $same (local.get 2) (local.get 3)))

(func $decode_values (export "mortise:plugin/codec@0.2.0#decode-values") (param i32 i32 i32 i32) (result i32)
  unreachable)
