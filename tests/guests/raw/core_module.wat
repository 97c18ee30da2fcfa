;; A core module, the step before a component.
(module (memory (export "memory") 1))
