;; Takes table elements until it is denied. A table may end before the memory limit does, so there are three.
(table $one 1 funcref)
(table $two 1 funcref)
(table $three 1 funcref)
(func $decide (export "mortise:plugin/compaction@0.1.0#decide") (type $decide_type)
  (loop $more (br_if $more (i32.ne (table.grow $one (ref.null func) (i32.const 65536)) (i32.const -1))))
  (loop $more (br_if $more (i32.ne (table.grow $two (ref.null func) (i32.const 65536)) (i32.const -1))))
  (loop $more (br_if $more (i32.ne (table.grow $three (ref.null func) (i32.const 65536)) (i32.const -1))))
  (global.get $answer))
