;; Takes all the time that it gets with values of more than 100,000 bytes, and uses little fuel in it: it says that it
;; has begun and then draws one root after the other, each from the last one's.
(import "mortise:plugin/log@0.2.0" "write" (func $log (param i32 i32 i32)))
(data (i32.const 2048) "begun")
(func $encode (export "mortise:plugin/codec@0.2.0#encode") (param i32 i32 i32 i32 i32 i32) (result i32)
  (local $root f64)
  (if (i32.and (i32.ne (local.get 5) (i32.const 0)) (call $is_large (local.get 4)))
    (then
      (call $log (i32.const 1) (i32.const 2048) (i32.const 5))
      (local.set $root (f64.const 7))
      (loop $for_ever
        (local.set $root
          (f64.add (f64.const 7)
            (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt
            (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt
              (local.get $root)))))))))))))))))))
        (br_if $for_ever (f64.gt (local.get $root) (f64.const 0))))))
  (call $both (local.get 2) (local.get 3) (local.get 4) (local.get 5)))
(func $is_large (param $values i32) (result i32)
  (i32.gt_u (i32.load offset=4 (local.get $values)) (i32.const 100000)))
