;; exports init as a global: the expected type is () -> i32
(module
  (memory (export "memory") 1)
  (global (export "init") i32 (i32.const 0))
  (func (export "apply") (result i32) (i32.const 0)))
