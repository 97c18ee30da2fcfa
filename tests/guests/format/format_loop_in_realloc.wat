;; Takes its configuration, so that it has served when it is given a batch, whose lists are aligned by four and
;; which it never takes.
(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (if (i32.eq (local.get 2) (i32.const 4)) (then (loop $for_ever (br $for_ever))))
  (i32.const 8192))
