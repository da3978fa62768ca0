;; The keyed balance that the benchmarks run: of each event the fields account and
;; amount of a flat JSON object; the balance of each account, as eight bytes,
;; little-endian. The names with their opening quote have eight bytes each, so that
;; one load compares them.
(module
  (import "projection_v1" "batch_read" (func $batch_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_get"  (func $state_get  (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_put"  (func $state_put  (param i32 i32 i32 i32) (result i32)))

  ;; Page 0 holds the balance at address 0; the batch buffer of 4 MiB is behind it.
  (memory (export "memory") 65)

  (func (export "apply") (result i32)
    (local $record i32) (local $end i32) (local $p i32) (local $stop i32) (local $word i64)
    (local $key i32) (local $length i32) (local $amount i64) (local $negative i32) (local $digit i32)
    (local.set $end (call $batch_read (i32.const 65536) (i32.const 4194304)))
    (if (i32.gt_u (local.get $end) (i32.const 4194304)) (then (return (i32.const 1))))
    (local.set $record (i32.const 65536))
    (local.set $end (i32.add (local.get $end) (i32.const 65536)))
    (loop $next
      (if (i32.lt_u (local.get $record) (local.get $end)) (then
        (local.set $length (i32.const 0))
        (local.set $amount (i64.const 0))
        ;; The data follow the subject and the headers.
        (local.set $p (i32.add (i32.add (i32.add (local.get $record) (i32.const 40))
          (i32.load offset=24 (local.get $record))) (i32.load offset=28 (local.get $record))))
        (local.set $stop (i32.sub (i32.add (local.get $p) (i32.load offset=32 (local.get $record))) (i32.const 8)))
        (block $done
          (loop $scan
            (br_if $done (i32.ge_s (local.get $p) (local.get $stop)))
            (if (i32.ne (i32.load8_u (local.get $p)) (i32.const 34)) (then
              (local.set $p (i32.add (local.get $p) (i32.const 1)))
              (br $scan)))
            (local.set $word (i64.load align=1 (local.get $p)))
            ;; "account
            (if (i64.eq (local.get $word) (i64.const 0x746e756f63636122)) (then
              (local.set $key (i32.add (local.get $p) (i32.const 11)))
              (local.set $p (local.get $key))
              (loop $text
                (if (i32.ne (i32.load8_u (local.get $p)) (i32.const 34)) (then
                  (local.set $p (i32.add (local.get $p) (i32.const 1)))
                  (br $text))))
              (local.set $length (i32.sub (local.get $p) (local.get $key)))
              (local.set $p (i32.add (local.get $p) (i32.const 1)))
              (br $scan)))
            ;; "amount"
            (if (i64.eq (local.get $word) (i64.const 0x22746e756f6d6122)) (then
              (local.set $p (i32.add (local.get $p) (i32.const 9)))
              (local.set $negative (i32.eq (i32.load8_u (local.get $p)) (i32.const 45)))
              (local.set $p (i32.add (local.get $p) (local.get $negative)))
              (block $end_of_number
                (loop $digits
                  (local.set $digit (i32.sub (i32.load8_u (local.get $p)) (i32.const 48)))
                  (br_if $end_of_number (i32.gt_u (local.get $digit) (i32.const 9)))
                  (local.set $amount (i64.add (i64.mul (local.get $amount) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
                  (local.set $p (i32.add (local.get $p) (i32.const 1)))
                  (br $digits)))
              (if (local.get $negative) (then (local.set $amount (i64.sub (i64.const 0) (local.get $amount)))))
              (br $scan)))
            (local.set $p (i32.add (local.get $p) (i32.const 1)))
            (br $scan)))
        (if (i32.eqz (local.get $length)) (then (return (i32.const 2))))
        (i64.store (i32.const 0) (i64.const 0))
        (drop (call $state_get (local.get $key) (local.get $length) (i32.const 0) (i32.const 8)))
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (local.get $amount)))
        (if (call $state_put (local.get $key) (local.get $length) (i32.const 0) (i32.const 8))
          (then (return (i32.const 3))))
        (local.set $record (i32.add (local.get $record) (i32.load (local.get $record))))
        (br $next))))
    (i32.const 0)))
