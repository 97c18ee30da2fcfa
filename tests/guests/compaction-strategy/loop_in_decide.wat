;; Never answers.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (loop $for_ever (br $for_ever))
  unreachable)
