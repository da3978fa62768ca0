;; Exits, with the code 0, after it has written.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "projection_v1" "state_put" (func $state_put (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "apply") (result i32)
    (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))
    (call $proc_exit (i32.const 0))
    (i32.const 0)))
