;; Asks for events without end and gives none back.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (loop $more
    (drop (call $after (i64.const 1)))
    (br $more))
  unreachable)
