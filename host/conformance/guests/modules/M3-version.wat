;; imports projection_v2.batch_read: this engine offers projection_v1
(module
  (import "projection_v2" "batch_read" (func (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "apply") (result i32) (i32.const 0)))
