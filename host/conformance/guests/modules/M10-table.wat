;; declares a table of 100001 entries: the limit is 100000 (projection.limits.table)
(module
  (memory (export "memory") 1)
  (table 100001 funcref)
  (func (export "apply") (result i32) (i32.const 0)))
