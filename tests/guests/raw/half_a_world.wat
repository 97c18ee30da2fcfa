;; A strategy that doesn't say who it is.
(component
  (instance $empty)
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
