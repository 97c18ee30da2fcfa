;; Never answers.
(func $decide (export "mortise:plugin/compaction@0.2.0#decide") (param i32) (result i32)
  (loop $for_ever (br $for_ever))
  unreachable)
