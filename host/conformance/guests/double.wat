;; An upcaster that writes each record twice. One whose data begins with f fails. It would
;; trap if its memory were saved or restored.
(module
  (import "projection_v1" "input_read"   (func $input_read (param i32 i32) (result i32)))
  (import "projection_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "projection_v1" "fail"         (func $fail (param i32 i32 i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "cannot double it")
  (func (export "snapshot") (result i32) (unreachable))
  (func (export "restore") (result i32) (unreachable))
  (func (export "upcast") (result i32)
    (local $p i32) (local $end i32) (local $index i32)
    (local.set $end (call $input_read (i32.const 0x10000) (i32.const 0x20000)))
    (if (i32.gt_u (local.get $end) (i32.const 0x20000)) (then (return (i32.const 1))))
    (local.set $p (i32.const 0x10000))
    (local.set $end (i32.add (local.get $p) (local.get $end)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
      (if (i32.eq (i32.const 0x66) (i32.load8_u (i32.add (i32.add (i32.add (local.get $p) (i32.const 40)) (i32.load offset=24 (local.get $p))) (i32.load offset=28 (local.get $p)))))
        (then
          (call $fail (local.get $index) (i32.const 0) (i32.const 16))
          (return (i32.const 1))))
      (drop (call $output_write (local.get $p) (i32.load (local.get $p))))
      (drop (call $output_write (local.get $p) (i32.load (local.get $p))))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (local.set $p (i32.add (local.get $p) (i32.load (local.get $p))))
      (br $next)))
    (i32.const 0)))
