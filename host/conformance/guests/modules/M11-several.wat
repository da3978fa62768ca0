;; which nothing offers: a projection may import from projection_v1, projection_v1_json and wasi_snapshot_preview1; it also imports projection_v1.batch_read with type (i32) -> i32: the expected type is (i32, i32) -> i32; it also exports apply with type () -> (): the expected type is () -> i32; it also does not export its memory
(module
  (import "env" "sqrt" (func (param f64) (result f64)))
  (import "projection_v1" "batch_read" (func (param i32) (result i32)))
  (memory 1)
  (func (export "apply")))
