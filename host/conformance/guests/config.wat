;; Stores its settings, and what config_read says when there is room for a byte less.
(module
  (import "projection_v1" "config_read" (func $config_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_put" (func $state_put (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "settings")
  (data (i32.const 16) "short")
  (func (export "apply") (result i32)
    (local $n i32)
    (local.set $n (call $config_read (i32.const 256) (i32.const 4096)))
    (if (call $state_put (i32.const 0) (i32.const 8) (i32.const 256) (local.get $n)) (then (return (i32.const 1))))
    (i64.store (i32.const 256) (i64.const 0))
    (i32.store (i32.const 32) (call $config_read (i32.const 256) (i32.sub (local.get $n) (i32.const 1))))
    (if (i64.ne (i64.load (i32.const 256)) (i64.const 0)) (then (return (i32.const 2)))) ;; something was copied
    (call $state_put (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 4))))
