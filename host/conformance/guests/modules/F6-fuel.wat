;; gnomon_fuel
(module
  (memory (export "memory") 1)
  (global (export "gnomon_fuel") (mut i64) (i64.const 1))
  (func (export "apply") (result i32) (i32.const 0)))
