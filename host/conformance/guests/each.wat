;; A projection that does with each event what the first byte of its data says, and logs
;; a dot for each event of the batch: how the engine around the sandbox is exercised.
;;
;;   p  put the data under the subject       f  put, then fail with the data as text
;;   t  put, then trap                       l  put, then go round for ever
;;   s  put, and use some 100,000 of fuel    w  put ten values of 1 MiB
;;   e  put, and emit: a byte says how long the subject is that follows it
;;   h  as e, with the headers that the event has
(module
  (import "projection_v1" "batch_read" (func $batch_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_put"  (func $state_put (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "emit"       (func $emit (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "log"        (func $log (param i32 i32 i32)))
  (import "projection_v1" "fail"       (func $fail (param i32 i32 i32)))
  ;; Page 0: dots and keys. Pages 1 and 2: the batch. From page 3: a value of 1 MiB.
  (memory (export "memory") 20)
  (func $trouble (param $what i32) (param $index i32) (param $data i32) (param $length i32) (result i32)
    (local $i i32)
    (if (i32.eq (local.get $what) (i32.const 0x66)) (then ;; f
      (call $fail (local.get $index) (local.get $data) (local.get $length))
      (return (i32.const 1))))
    (if (i32.eq (local.get $what) (i32.const 0x74)) (then (unreachable))) ;; t
    (if (i32.eq (local.get $what) (i32.const 0x6c)) (then (loop $ever (br $ever)))) ;; l
    (if (i32.eq (local.get $what) (i32.const 0x73)) (then ;; s
      (local.set $i (i32.const 20000))
      (loop $some (br_if $some (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))
    (if (i32.eq (local.get $what) (i32.const 0x77)) (then ;; w
      (local.set $i (i32.const 10))
      (loop $some
        (i32.store8 (i32.const 0) (i32.add (local.get $i) (i32.const 48)))
        (if (call $state_put (i32.const 0) (i32.const 1) (i32.const 0x30000) (i32.const 0x100000)) (then (return (i32.const 1))))
        (br_if $some (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))
    (i32.const 0))
  ;; Data of e and h is the letter, the length of a subject in one byte, and the subject.
  (func $announce (param $index i32) (param $record i32) (param $data i32) (result i32)
    (local $headers i32)
    (if (i32.eq (i32.load8_u (local.get $data)) (i32.const 0x68)) (then (local.set $headers (i32.load offset=28 (local.get $record)))))
    (call $emit (local.get $index) (i32.add (local.get $data) (i32.const 2)) (i32.load8_u offset=1 (local.get $data))
      (i32.add (i32.add (local.get $record) (i32.const 40)) (i32.load offset=24 (local.get $record))) (local.get $headers)
      (local.get $data) (i32.const 1)))
  (func (export "apply") (result i32)
    (local $p i32) (local $end i32) (local $index i32) (local $data i32) (local $what i32)
    (local.set $end (call $batch_read (i32.const 0x10000) (i32.const 0x20000)))
    (if (i32.gt_u (local.get $end) (i32.const 0x20000)) (then (return (i32.const 0)))) ;; overlooked on purpose
    (local.set $p (i32.const 0x10000))
    (local.set $end (i32.add (local.get $p) (local.get $end)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
      (local.set $data (i32.add (i32.add (i32.add (local.get $p) (i32.const 40)) (i32.load offset=24 (local.get $p))) (i32.load offset=28 (local.get $p))))
      (local.set $what (i32.load8_u (local.get $data)))
      (if (call $state_put (i32.add (local.get $p) (i32.const 40)) (i32.load offset=24 (local.get $p)) (local.get $data) (i32.load offset=32 (local.get $p)))
        (then (return (i32.const 1))))
      (if (call $trouble (local.get $what) (local.get $index) (local.get $data) (i32.load offset=32 (local.get $p))) (then (return (i32.const 1))))
      (if (i32.or (i32.eq (local.get $what) (i32.const 0x65)) (i32.eq (local.get $what) (i32.const 0x68)))
        (then (if (call $announce (local.get $index) (local.get $p) (local.get $data)) (then (return (i32.const 1))))))
      (i32.store8 (i32.add (i32.const 1024) (local.get $index)) (i32.const 46))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (local.set $p (i32.add (local.get $p) (i32.load (local.get $p))))
      (br $next)))
    (call $log (i32.const 0) (i32.const 1024) (local.get $index))
    (i32.const 0)))
