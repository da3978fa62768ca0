;; it returned code 7 and had said nothing
;; Returns 7 for an event whose subject begins with t, and does not say why.
(module
  (import "projection_v1" "batch_read"   (func $batch_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_put"    (func $state_put (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 80)
  (global $count (mut i32) (i32.const 0))
  (func $subject (param $p i32) (result i32) (i32.add (local.get $p) (i32.const 40)))
  (func $slen (param $p i32) (result i32) (i32.load offset=24 (local.get $p)))
  (func $data (param $p i32) (result i32)
    (i32.add (i32.add (call $subject (local.get $p)) (call $slen (local.get $p))) (i32.load offset=28 (local.get $p))))
  (func $dlen (param $p i32) (result i32) (i32.load offset=32 (local.get $p)))
  ;; Works on the record at $p with the index $i; anything but 0 fails.
  (func $event (param $p i32) (param $i i32) (result i32)
    (if (i32.eq (i32.load8_u (call $subject (local.get $p))) (i32.const 0x74)) (then (return (i32.const 7))))
    (call $state_put (call $subject (local.get $p)) (call $slen (local.get $p)) (call $data (local.get $p)) (call $dlen (local.get $p))))
  (func (export "apply") (result i32)
    (local $p i32) (local $end i32) (local $i i32) (local $r i32)
    (local.set $end (call $batch_read (i32.const 0x10000) (i32.const 0x3f0000)))
    (if (i32.gt_u (local.get $end) (i32.const 0x3f0000)) (then (return (i32.const 1))))
    (local.set $p (i32.const 0x10000))
    (local.set $end (i32.add (local.get $p) (local.get $end)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
      (if (local.tee $r (call $event (local.get $p) (local.get $i))) (then (return (local.get $r))))
      (local.set $p (i32.add (local.get $p) (i32.load (local.get $p))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.const 0)))
