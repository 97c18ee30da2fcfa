;; Begins with 64 MiB.
(memory $memory (export "memory") 1024)
