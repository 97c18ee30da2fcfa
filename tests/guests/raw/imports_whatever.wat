;; A strategy that imports a function without an interface, and a module.
(component
  (import "open" (func (param "path" string) (result u32)))
  (import "helper" (core module))
  (instance $empty)
  (export "mortise:plugin/plugin@0.1.0" (instance $empty))
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
