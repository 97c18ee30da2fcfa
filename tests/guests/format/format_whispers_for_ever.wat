;; Instead of storing a value it writes to the log for ever, 8 MiB at a time, what nobody keeps.
(import "mortise:plugin/log@0.2.0" "write" (func $log (param i32 i32 i32)))
(memory $memory (export "memory") 130)
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (if (local.get 5)
    (then
      (loop $for_ever
        (call $log (i32.const 0) (i32.const 65536) (i32.const 8388608))
        (br $for_ever))))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
