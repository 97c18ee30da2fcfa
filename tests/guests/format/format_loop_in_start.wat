;; Never becomes an instance.
(func $start (loop $for_ever (br $for_ever)))
(start $start)
