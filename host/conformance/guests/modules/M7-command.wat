;; it exports _start, so it was built as a command; build a reactor
(module
  (memory (export "memory") 1)
  (func (export "_start")))
