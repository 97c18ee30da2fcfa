;; Has a name of 4 MiB.
(memory $memory (export "memory") 80)
(func $describe (export "mortise:plugin/plugin@0.1.0#describe") (result i32)
  (memory.fill (i32.const 65536) (i32.const 120) (i32.const 4194304))
  (i32.store (i32.const 512) (i32.const 65536))
  (i32.store (i32.const 516) (i32.const 4194304))
  (i32.const 512))
