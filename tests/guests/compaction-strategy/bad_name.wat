;; Has a name that would leave a directory.
(data $name (i32.const 600) "../../a/etc")
