;; Built for a version of the contract that doesn't exist yet.
(component
  (instance $empty)
  (export "mortise:plugin/plugin@0.9.0" (instance $empty))
  (export "mortise:plugin/compaction@0.9.0" (instance $empty)))
