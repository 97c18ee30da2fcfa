;; A strategy that wants to talk to the world, and to read the clock.
(component
  (import "wasi:sockets/instance-network@0.2.0" (instance))
  (import "wasi:http/outgoing-handler@0.2.0" (instance))
  (import "wasi:clocks/wall-clock@0.2.0" (instance))
  (instance $empty)
  (export "mortise:plugin/plugin@0.1.0" (instance $empty))
  (export "mortise:plugin/compaction@0.1.0" (instance $empty)))
