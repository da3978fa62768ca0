;; The least that a module is: it exports apply and memory.
(module
  (memory (export "memory") 1)
  (func (export "apply") (result i32) (i32.const 0)))
