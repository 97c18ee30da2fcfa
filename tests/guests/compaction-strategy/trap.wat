;; Traps as soon as it is asked.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  unreachable)
