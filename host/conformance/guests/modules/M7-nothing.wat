;; does not export apply, type () -> i32, which is required of a projection, nor upcast, of an upcaster
(module
  (memory (export "memory") 1))
