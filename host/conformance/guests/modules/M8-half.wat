;; exports only one of snapshot and restore
(module
  (memory (export "memory") 1)
  (func (export "apply") (result i32) (i32.const 0))
  (func (export "snapshot") (result i32) (i32.const 0)))
