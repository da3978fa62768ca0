;; imports projection_v1.state_swap with type (i32) -> i32, which is not in projection_v1
(module
  (import "projection_v1" "state_swap" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "apply") (result i32) (i32.const 0)))
