;; Answers at an address beyond its memory.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (i32.const -8))
