;; Answers, and never takes its answer back.
(func $post_return (export "cabi_post_mortise:plugin/compaction@0.1.0#decide") (param i32)
  (loop $for_ever (br $for_ever)))
