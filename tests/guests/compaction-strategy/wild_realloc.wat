;; Wants its arguments beyond its memory.
(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -65536))
