;; exports apply with type () -> (): the expected type is () -> i32
(module
  (memory (export "memory") 1)
  (func (export "apply")))
