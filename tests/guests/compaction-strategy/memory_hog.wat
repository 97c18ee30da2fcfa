;; Takes memory until it is denied.
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  (global.get $answer))
