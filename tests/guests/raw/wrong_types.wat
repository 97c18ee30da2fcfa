;; Has the names of a strategy and nothing behind them.
(component
  (instance $empty)
  (export "mortise:plugin/plugin@0.1.0" (instance $empty))
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
