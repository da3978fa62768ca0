;; Does what a script in its settings says, and logs what came of it: the guest that
;; exercises the host. Settings are {"script":"HEX"}; the bytes that the digits stand
;; for are laid down at 0x10000:
;;
;;   section*  u8 export (2 init, 3 apply, 4 upcast, 5 query, 6 snapshot, 7 restore,
;;             8 migrate; 255 the end), 3 bytes 0, u32 number of operations, and those
;;   operation 10 × u32: its number, up to 7 arguments, the rest 0
;;
;; Each operation logs a line: "= " and its result in 16 hex digits, or, of a dump, "# "
;; and the bytes in hex. A section ends with what operation 0 has to return.
(module
  (import "projection_v1" "batch_read"   (func $batch_read (param i32 i32) (result i32)))
  (import "projection_v1" "state_get"    (func $state_get (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_put"    (func $state_put (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_delete" (func $state_delete (param i32 i32) (result i32)))
  (import "projection_v1" "state_scan"   (func $state_scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (import "projection_v1" "emit"         (func $emit (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "config_read"  (func $config_read (param i32 i32) (result i32)))
  (import "projection_v1" "log"          (func $log (param i32 i32 i32)))
  (import "projection_v1" "log_enabled"  (func $log_enabled (param i32) (result i32)))
  (import "projection_v1" "fail"         (func $fail (param i32 i32 i32)))
  (import "projection_v1" "blob_write"   (func $blob_write (param i32 i32) (result i32)))
  (import "projection_v1" "blob_read"    (func $blob_read (param i32 i32) (result i32)))
  (import "projection_v1" "input_read"   (func $input_read (param i32 i32) (result i32)))
  (import "projection_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "projection_v1_json" "fields_declare" (func $fields_declare (param i32 i32) (result i32)))
  (import "projection_v1_json" "fields_read"    (func $fields_read (param i32 i32) (result i32)))

  ;; 0: lines, 0x8000: calls of exports, in this instance, 0x10000: the script, 0x40000: the settings,
  ;; from 0x100000: what scripts use. All that init changes is the memory, so that an instance may be made of an
  ;; image of it; it alone finds the script.
  (memory (export "memory") 64)
  (table 4 funcref)

  (global $from (mut i32) (i32.const 0)) ;; what migrate was given

  (func $digit (param $c i32) (result i32) ;; of a hex digit, lower case
    (select (i32.sub (local.get $c) (i32.const 87)) (i32.sub (local.get $c) (i32.const 48))
      (i32.gt_u (local.get $c) (i32.const 57))))

  (func $hex (param $n i32) (result i32) ;; the digit of a number below 16
    (i32.add (local.get $n) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $n) (i32.const 9)))))

  (func $decode
    (local $in i32) (local $out i32)
    (drop (call $config_read (i32.const 0x40000) (i32.const 0x60000)))
    (local.set $in (i32.const 0x4000b)) ;; behind {"script":"
    (local.set $out (i32.const 0x10000))
    (loop $next
      (if (i32.ne (i32.load8_u (local.get $in)) (i32.const 34)) (then
        (i32.store8 (local.get $out) (i32.or
          (i32.shl (call $digit (i32.load8_u (local.get $in))) (i32.const 4))
          (call $digit (i32.load8_u offset=1 (local.get $in)))))
        (local.set $in (i32.add (local.get $in) (i32.const 2)))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (br $next)))))

  (func $result (param $v i64)
    (local $at i32)
    (i32.store16 (i32.const 0) (i32.const 0x203d)) ;; "= "
    (local.set $at (i32.const 17))
    (loop $next
      (i32.store8 (local.get $at) (call $hex (i32.wrap_i64 (i64.and (local.get $v) (i64.const 15)))))
      (local.set $v (i64.shr_u (local.get $v) (i64.const 4)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $at) (i32.const 1))))
    (call $log (i32.const 0) (i32.const 0) (i32.const 18)))

  (func $dump (param $p i32) (param $n i32) ;; at most 2,047 bytes fit a line
    (local $at i32)
    (i32.store16 (i32.const 0) (i32.const 0x2023)) ;; "# "
    (local.set $at (i32.const 2))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $n)))
      (i32.store8 (local.get $at) (call $hex (i32.shr_u (i32.load8_u (local.get $p)) (i32.const 4))))
      (i32.store8 offset=1 (local.get $at) (call $hex (i32.and (i32.load8_u (local.get $p)) (i32.const 15))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $next)))
    (call $log (i32.const 0) (i32.const 0) (local.get $at)))

  (func $spin (param $n i32) ;; so many rounds; 0: for ever
    (loop $next
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $next (local.get $n))))

  (func $arg (param $p i32) (param $n i32) (result i32)
    (i32.load offset=4 (i32.add (local.get $p) (i32.mul (local.get $n) (i32.const 4)))))

  ;; Executes the operation at $p; its result has 64 bits, those of 32 are extended with their sign.
  (func $execute (param $p i32) (result i64)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (local.set $a (call $arg (local.get $p) (i32.const 0)))
    (local.set $b (call $arg (local.get $p) (i32.const 1)))
    (local.set $c (call $arg (local.get $p) (i32.const 2)))
    (local.set $d (call $arg (local.get $p) (i32.const 3)))
    (block $27 (block $26 (block $25 (block $24 (block $23 (block $22 (block $21 (block $20 (block $19 (block $18 (block $17
    (block $16 (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9
    (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 $18 $19 $20 $21 $22 $23 $24 $25 $26 $27
        (i32.load (local.get $p))))
      (unreachable)) ;; 0 is not executed
      (return (i64.extend_i32_s (call $batch_read (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $state_get (local.get $a) (local.get $b) (local.get $c) (local.get $d)))))
      (return (i64.extend_i32_s (call $state_put (local.get $a) (local.get $b) (local.get $c) (local.get $d)))))
      (return (i64.extend_i32_s (call $state_delete (local.get $a) (local.get $b)))))
      (return (call $state_scan (local.get $a) (local.get $b) (local.get $c) (local.get $d)
        (call $arg (local.get $p) (i32.const 4)) (call $arg (local.get $p) (i32.const 5)) (call $arg (local.get $p) (i32.const 6)))))
      (return (i64.extend_i32_s (call $emit (local.get $a) (local.get $b) (local.get $c) (local.get $d)
        (call $arg (local.get $p) (i32.const 4)) (call $arg (local.get $p) (i32.const 5)) (call $arg (local.get $p) (i32.const 6))))))
      (return (i64.extend_i32_s (call $config_read (local.get $a) (local.get $b)))))
      (call $log (local.get $a) (local.get $b) (local.get $c)) (return (i64.const 0)))
      (return (i64.extend_i32_s (call $log_enabled (local.get $a)))))
      (call $fail (local.get $a) (local.get $b) (local.get $c)) (return (i64.const 0)))
      (return (i64.extend_i32_s (call $blob_write (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $blob_read (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $input_read (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $output_write (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $fields_declare (local.get $a) (local.get $b)))))
      (return (i64.extend_i32_s (call $fields_read (local.get $a) (local.get $b)))))
      (unreachable)) ;; 17: trap
      (call $spin (local.get $a)) (return (i64.const 0))) ;; 18
      (return (i64.extend_i32_s (memory.grow (local.get $a))))) ;; 19
      (memory.fill (local.get $a) (local.get $b) (local.get $c)) (return (i64.const 0))) ;; 20: at, byte, length
      (call $dump (local.get $a) (local.get $b)) (return (i64.const 0))) ;; 21, which logs no result
      (return (i64.extend_i32_s (i32.load (i32.const 0x8000))))) ;; 22
      (return (i64.extend_i32_s (table.grow 0 (ref.null func) (local.get $a))))) ;; 23
      (i32.store (local.get $a) (local.get $b)) (return (i64.const 0))) ;; 24: at, value
      (memory.copy (local.get $a) (local.get $b) (local.get $c)) (return (i64.const 0))) ;; 25: to, from, length
      (return (i64.extend_i32_s (global.get $from)))) ;; 26
    (unreachable)) ;; 27

  (func $run (param $export i32) (result i32)
    (local $p i32) (local $r i64)
    (i32.store (i32.const 0x8000) (i32.add (i32.load (i32.const 0x8000)) (i32.const 1)))
    (local.set $p (i32.const 0x10000))
    (block $found (loop $section
      (br_if $found (i32.eq (i32.load8_u (local.get $p)) (local.get $export)))
      (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 255)) (then (return (i32.const 0))))
      (local.set $p (i32.add (i32.add (local.get $p) (i32.const 8)) (i32.mul (i32.load offset=4 (local.get $p)) (i32.const 40))))
      (br $section)))
    (local.set $p (i32.add (local.get $p) (i32.const 8)))
    (loop $next
      (if (i32.load (local.get $p)) (then
        (local.set $r (call $execute (local.get $p)))
        (if (i32.ne (i32.load (local.get $p)) (i32.const 21)) (then (call $result (local.get $r))))
        (local.set $p (i32.add (local.get $p) (i32.const 40)))
        (br $next))))
    (call $arg (local.get $p) (i32.const 0)))

  (func (export "init") (result i32) (call $decode) (call $run (i32.const 2)))
  (func (export "apply") (result i32) (call $run (i32.const 3)))
  (func (export "upcast") (result i32) (call $run (i32.const 4)))
  (func (export "query") (result i32) (call $run (i32.const 5)))
  (func (export "snapshot") (result i32) (call $run (i32.const 6)))
  (func (export "restore") (result i32) (call $run (i32.const 7)))
  (func (export "migrate") (param $from i32) (result i32)
    (global.set $from (local.get $from))
    (call $run (i32.const 8))))
