;; Begins with 4 GiB, more than any limit grants.
(memory $memory (export "memory") 65536)
