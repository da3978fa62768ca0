;; imports projection_v1.batch_read with type (i32) -> i32: the expected type is (i32, i32) -> i32
(module
  (import "projection_v1" "batch_read" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "apply") (result i32) (i32.const 0)))
