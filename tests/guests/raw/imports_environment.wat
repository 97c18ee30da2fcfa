;; A strategy that wants to know the environment.
(component
  (import "wasi:cli/environment@0.2.3"
    (instance (export "get-environment" (func (result (list (tuple string string)))))))
  (instance $empty)
  (export "mortise:plugin/plugin@0.1.0" (instance $empty))
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
