;; Decodes what it never made: stores keys with a `k` before them, and takes for a key what has none.
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (local $at i32) (local $left i32)
  (local.set $at (local.get 2))
  (local.set $left (local.get 3))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (local.get $left)))
      (call $lengthen (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $more)))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

(func $decode (export "mortise:plugin/codec@0.2.0#decode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (local $at i32) (local $left i32)
  (local.set $at (local.get 2))
  (local.set $left (local.get 3))
  (block $done
    (loop $more
      (br_if $done (i32.eqz (local.get $left)))
      (call $shorten (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $more)))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))

;; Puts a `k` before the record whose pointer and length are at `$record`.
(func $lengthen (param $record i32)
  (local $to i32) (local $bytes i32)
  (local.set $bytes (i32.load offset=4 (local.get $record)))
  (local.set $to
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.add (local.get $bytes) (i32.const 1))))
  (i32.store8 (local.get $to) (i32.const 0x6b))
  (memory.copy (i32.add (local.get $to) (i32.const 1)) (i32.load (local.get $record)) (local.get $bytes))
  (i32.store (local.get $record) (local.get $to))
  (i32.store offset=4 (local.get $record) (i32.add (local.get $bytes) (i32.const 1))))

;; Takes the `k` away, if there is one.
(func $shorten (param $record i32)
  (if (i32.eqz (i32.load offset=4 (local.get $record))) (then (return)))
  (if (i32.ne (i32.load8_u (i32.load (local.get $record))) (i32.const 0x6b)) (then (return)))
  (i32.store (local.get $record) (i32.add (i32.load (local.get $record)) (i32.const 1)))
  (i32.store offset=4 (local.get $record) (i32.sub (i32.load offset=4 (local.get $record)) (i32.const 1))))
