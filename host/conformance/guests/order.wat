;; Writes down in which order its functions are called, and stores that in apply.
(module
  (import "projection_v1" "state_put" (func $state_put (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "order")
  (data (i32.const 16) "start")
  (data (i32.const 32) "_initialize")
  (data (i32.const 48) "init")
  (data (i32.const 64) "apply")
  (global $end (mut i32) (i32.const 256)) ;; of what is written down, which begins there
  (func $note (param $word i32) (param $length i32)
    (if (i32.gt_u (global.get $end) (i32.const 256)) (then
      (i32.store8 (global.get $end) (i32.const 32))
      (global.set $end (i32.add (global.get $end) (i32.const 1)))))
    (memory.copy (global.get $end) (local.get $word) (local.get $length))
    (global.set $end (i32.add (global.get $end) (local.get $length))))
  (func $start (call $note (i32.const 16) (i32.const 5)))
  (start $start)
  (func (export "_initialize") (call $note (i32.const 32) (i32.const 11)))
  (func (export "init") (result i32) (call $note (i32.const 48) (i32.const 4)) (i32.const 0))
  (func (export "apply") (result i32)
    (call $note (i32.const 64) (i32.const 5))
    (call $state_put (i32.const 0) (i32.const 5) (i32.const 256) (i32.sub (global.get $end) (i32.const 256)))))
