;; Counts the events of each subject, by projection_v1 alone: no SDK, no WASI, no
;; allocator. The key is the subject, the value the count, as eight bytes,
;; little-endian.
(module
  (import "projection_v1" "batch_read" (func $batch_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_get"  (func $state_get  (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_put"  (func $state_put  (param i32 i32 i32 i32) (result i32)))

  ;; Page 0 holds the counter, at address 0. Pages 1 to 17 are the batch buffer: larger
  ;; than the largest event that a server takes unless configured, 1 MiB. The host
  ;; cuts batches to it.
  (memory (export "memory") 18)

  (func (export "apply") (result i32)
    (local $record i32) (local $end i32) (local $subject i32) (local $length i32)
    (local.set $end (call $batch_read (i32.const 65536) (i32.const 1114112)))
    ;; An error, which is negative, or a batch that did not fit.
    (if (i32.gt_u (local.get $end) (i32.const 1114112)) (then (return (i32.const 1))))
    (local.set $record (i32.const 65536))
    (local.set $end (i32.add (local.get $end) (i32.const 65536)))
    (loop $next
      (if (i32.lt_u (local.get $record) (local.get $end)) (then
        (local.set $length (i32.load offset=24 (local.get $record)))
        (local.set $subject (i32.add (local.get $record) (i32.const 40)))
        ;; Of a subject without a count nothing is copied.
        (i64.store (i32.const 0) (i64.const 0))
        (drop (call $state_get (local.get $subject) (local.get $length) (i32.const 0) (i32.const 8)))
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
        (if (call $state_put (local.get $subject) (local.get $length) (i32.const 0) (i32.const 8))
          (then (return (i32.const 2))))
        (local.set $record (i32.add (local.get $record) (i32.load (local.get $record))))
        (br $next))))
    (i32.const 0)))
