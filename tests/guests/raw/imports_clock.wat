;; A strategy that wants to know the time.
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64)))))
  (import "wasi:filesystem/preopens@0.2.0" (instance))
  (instance $empty)
  (export "mortise:plugin/plugin@0.1.0" (instance $empty))
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
