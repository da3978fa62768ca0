;; A projection that keeps the balance of every account, emits an event when one is overdrawn,
;; and answers which accounts have the most: by hand, over projection_v1 alone. ABI.md has the
;; contract; account-balances has the rules. Begin reading at $apply.
;;
;; Memory: constants below 4096, what init found out below 8192, and from there on whatever a
;; call needs, one behind the other: $top is the first free byte, and memory grows to it.
(module
  (import "projection_v1" "batch_read"   (func $batch_read   (param i32 i32) (result i32)))
  (import "projection_v1" "state_get"    (func $state_get    (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_put"    (func $state_put    (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_delete" (func $state_delete (param i32 i32) (result i32)))
  (import "projection_v1" "state_scan"   (func $state_scan   (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (import "projection_v1" "emit"         (func $emit         (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "config_read"  (func $config_read  (param i32 i32) (result i32)))
  (import "projection_v1" "log"          (func $log          (param i32 i32 i32)))
  (import "projection_v1" "fail"         (func $host_fail    (param i32 i32 i32)))
  (import "projection_v1" "input_read"   (func $input_read   (param i32 i32) (result i32)))
  (import "projection_v1" "output_write" (func $output_write (param i32 i32) (result i32)))
  (import "projection_v1_json" "fields_declare" (func $fields_declare (param i32 i32) (result i32)))
  (import "projection_v1_json" "fields_read"    (func $fields_read    (param i32 i32) (result i32)))

  (memory (export "memory") 2)

  ;; Texts, each ended by a zero, at addresses that are written where they are used.
  (data (i32.const 0x010) "account.opened\00")
  (data (i32.const 0x030) "account.deposited\00")
  (data (i32.const 0x050) "account.withdrawn\00")
  (data (i32.const 0x070) "account.closed\00")
  (data (i32.const 0x090) "ce-type\00")
  (data (i32.const 0x0a0) "ce-time\00")
  (data (i32.const 0x0b0) "account\09\00")
  (data (i32.const 0x0c0) "{\22owner\22:\00")
  (data (i32.const 0x0d0) ",\22balance\22:\00")
  (data (i32.const 0x0e0) ",\22events\22:\00")
  (data (i32.const 0x0f0) ",\22last\22:\00")
  (data (i32.const 0x100) "{\22account\22:\00")
  (data (i32.const 0x110) ",\22sequence\22:\00")
  (data (i32.const 0x120) "}\00")
  (data (i32.const 0x130) ".overdrawn\00")
  (data (i32.const 0x140) "\07\00\11\00ce-typeaccount.overdrawn") ;; a header: two lengths, name, value
  (data (i32.const 0x170) "account-owner-length\00")
  (data (i32.const 0x190) "\07\00account\05\00owner\06\00amount")  ;; names of fields with their lengths
  (data (i32.const 0x1b0) "account must be a text\00")
  (data (i32.const 0x1d0) "owner must be a text\00")
  (data (i32.const 0x1f0) "amount must be a whole number from 1 to 999999999999999\00")
  (data (i32.const 0x230) "account \00")
  (data (i32.const 0x240) " is open already\00")
  (data (i32.const 0x260) " is not open\00")
  (data (i32.const 0x280) " is closed with a balance of \00")
  (data (i32.const 0x2a0) " closed after \00")
  (data (i32.const 0x2b0) " events\00")
  (data (i32.const 0x2c0) "top must be from 1 to 100\00")
  (data (i32.const 0x2e0) "top\00")
  (data (i32.const 0x2f0) "overdraft\00")
  (data (i32.const 0x300) "alerts\00")
  (data (i32.const 0x310) "settings: overdraft must be a whole number of at least 0\00")
  (data (i32.const 0x350) "settings: alerts must be a text without escapes\00")
  (data (i32.const 0x390) "settings: there are only overdraft and alerts\00")
  (data (i32.const 0x3c0) "the host refused a call: a limit of docs/ABI.md, or too many writes\00")
  (data (i32.const 0x410) "btn\00fr")           ;; escapes of the control characters 8 to 13
  (data (i32.const 0x420) "0123456789abcdef")
  (data (i32.const 0x440) "alerts.account")     ;; the default of alerts

  (global $top (mut i32) (i32.const 8192))

  ;; Settings. A text of the configuration is copied to 4096, where nothing else comes.
  (global $overdraft  (mut i64) (i64.const 0))
  (global $alerts     (mut i32) (i32.const 0x440))
  (global $alerts_len (mut i32) (i32.const 14))

  ;; The event at hand.
  (global $index       (mut i32) (i32.const 0))
  (global $sequence    (mut i64) (i64.const 0))
  (global $batch       (mut i32) (i32.const 0)) ;; where it begins
  (global $table       (mut i32) (i32.const 0)) ;; where that of its fields does
  (global $headers     (mut i32) (i32.const 0))
  (global $headers_end (mut i32) (i32.const 0))
  (global $name        (mut i32) (i32.const 0)) ;; the account's name
  (global $name_len    (mut i32) (i32.const 0))
  (global $key         (mut i32) (i32.const 0)) ;; of the state
  (global $key_len     (mut i32) (i32.const 0))

  ;; The account. The owner stays as it is quoted.
  (global $owner     (mut i32) (i32.const 0))
  (global $owner_len (mut i32) (i32.const 0))
  (global $balance   (mut i64) (i64.const 0))
  (global $events    (mut i64) (i64.const 0))

  ;; What $header, $field and $json_text found, and what $number read: its value and its digits.
  (global $found     (mut i32) (i32.const 0))
  (global $found_len (mut i32) (i32.const 0))
  (global $int       (mut i64) (i64.const 0))
  (global $digits    (mut i32) (i32.const 0))

  (global $json (mut i32) (i32.const 0)) ;; what comes next of a JSON text that ends with a zero

  ;; ---- Memory and texts ----------------------------------------------------------------

  ;; reserve sees to it that there are so many bytes behind $top.
  (func $reserve (param $bytes i32)
    (local $short i32)
    (local.set $short (i32.sub (i32.add (global.get $top) (local.get $bytes)) (i32.shl (memory.size) (i32.const 16))))
    (if (i32.gt_s (local.get $short) (i32.const 0)) (then
      (if (i32.lt_s (memory.grow (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))) (i32.const 0))
        (then unreachable))))) ;; limits.memory

  ;; room is how many bytes there are behind $top.
  (func $room (result i32) (i32.sub (i32.shl (memory.size) (i32.const 16)) (global.get $top)))

  ;; take moves $top behind so many bytes, to a multiple of 8.
  (func $take (param $bytes i32)
    (global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get $bytes)) (i32.const 7)) (i32.const -8))))

  ;; add appends bytes at $top; say a text that is ended by a zero.
  (func $add (param $at i32) (param $len i32)
    (call $reserve (local.get $len))
    (memory.copy (global.get $top) (local.get $at) (local.get $len))
    (global.set $top (i32.add (global.get $top) (local.get $len))))

  (func $say (param $at i32) (call $add (local.get $at) (call $length (local.get $at))))

  (func $add_byte (param $byte i32)
    (call $reserve (i32.const 1))
    (i32.store8 (global.get $top) (local.get $byte))
    (global.set $top (i32.add (global.get $top) (i32.const 1))))

  (func $length (param $at i32) (result i32)
    (local $n i32)
    (block $end (loop $next
      (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $n)))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next)))
    (local.get $n))

  ;; same compares bytes.
  (func $same (param $a i32) (param $b i32) (param $len i32) (result i32)
    (loop $next
      (if (i32.eqz (local.get $len)) (then (return (i32.const 1))))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br_if $next (i32.eq (i32.load8_u (i32.add (local.get $a) (local.get $len))) (i32.load8_u (i32.add (local.get $b) (local.get $len))))))
    (i32.const 0))

  ;; is compares with a text that is ended by a zero.
  (func $is (param $at i32) (param $len i32) (param $text i32) (result i32)
    (if (result i32) (i32.eq (local.get $len) (call $length (local.get $text)))
      (then (call $same (local.get $at) (local.get $text) (local.get $len)))
      (else (i32.const 0))))

  ;; add_int appends a number in decimal.
  (func $add_int (param $n i64)
    (if (i64.lt_s (local.get $n) (i64.const 0)) (then
      (call $add_byte (i32.const 45)) ;; -
      (local.set $n (i64.sub (i64.const 0) (local.get $n)))))
    (if (i64.ge_u (local.get $n) (i64.const 10)) (then (call $add_int (i64.div_u (local.get $n) (i64.const 10)))))
    (call $add_byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))))))

  ;; add_quoted appends a text as RFC 8785 writes it. It is UTF-8: the host sees to that.
  (func $add_quoted (param $at i32) (param $len i32)
    (local $end i32) (local $c i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (call $add_byte (i32.const 34))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $at) (local.get $end)))
      (local.set $c (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (if (i32.lt_u (local.get $c) (i32.const 32))
        (then (call $add_escape (local.get $c)))
        (else
          (if (i32.or (i32.eq (local.get $c) (i32.const 34)) (i32.eq (local.get $c) (i32.const 92))) (then (call $add_byte (i32.const 92))))
          (call $add_byte (local.get $c))))
      (br $next)))
    (call $add_byte (i32.const 34)))

  ;; add_escape appends \b, \t, \n, \f, \r or \u00xx.
  (func $add_escape (param $c i32)
    (local $short i32)
    (if (i32.and (i32.ge_u (local.get $c) (i32.const 8)) (i32.le_u (local.get $c) (i32.const 13)))
      (then (local.set $short (i32.load8_u (i32.add (i32.const 0x408) (local.get $c))))))
    (call $add_byte (i32.const 92))
    (if (local.get $short) (then (call $add_byte (local.get $short)) (return)))
    (call $add_byte (i32.const 117)) (call $add_byte (i32.const 48)) (call $add_byte (i32.const 48))
    (call $add_byte (i32.load8_u (i32.add (i32.const 0x420) (i32.shr_u (local.get $c) (i32.const 4)))))
    (call $add_byte (i32.load8_u (i32.add (i32.const 0x420) (i32.and (local.get $c) (i32.const 15))))))

  ;; fail ends the event with the text from there up to $top, fail_with with one that is ended
  ;; by a zero. The result is what apply is to return.
  (func $fail (param $from i32) (result i32)
    (call $host_fail (global.get $index) (local.get $from) (i32.sub (global.get $top) (local.get $from)))
    (i32.const 1))
  (func $fail_with (param $text i32) (result i32)
    (call $host_fail (global.get $index) (local.get $text) (call $length (local.get $text)))
    (i32.const 1))

  ;; say_name appends "account NAME" and a text; fail_name fails with that.
  (func $say_name (param $text i32)
    (call $say (i32.const 0x230)) ;; "account "
    (call $add (global.get $name) (global.get $name_len))
    (call $say (local.get $text)))
  (func $fail_name (param $text i32) (result i32)
    (local $from i32)
    (local.set $from (global.get $top))
    (call $say_name (local.get $text))
    (call $fail (local.get $from)))

  ;; checked fails when a function of the host returned an error.
  (func $checked (param $code i32) (result i32)
    (if (result i32) (i32.lt_s (local.get $code) (i32.const 0))
      (then (call $fail_with (i32.const 0x3c0)))
      (else (i32.const 0))))

  ;; ---- Events --------------------------------------------------------------------------

  (func (export "apply") (result i32)
    (local $record i32) (local $end i32) (local $row i32) (local $n i32)
    (global.set $top (i32.const 8192))
    (global.set $index (i32.const 0))
    ;; The batch. When there is no room for it nothing is copied, and it is read again.
    (loop $again
      (local.set $n (call $batch_read (global.get $top) (call $room)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $checked (local.get $n)))))
      (if (i32.gt_u (local.get $n) (call $room)) (then (call $reserve (local.get $n)) (br $again))))
    (global.set $batch (global.get $top))
    (call $take (local.get $n))
    (local.set $record (global.get $batch))
    (local.set $end (i32.add (local.get $record) (local.get $n)))
    ;; The fields that init declared, of all its events: a row of three cells for each.
    (loop $again
      (local.set $n (call $fields_read (global.get $top) (call $room)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $checked (local.get $n)))))
      (if (i32.gt_u (local.get $n) (call $room)) (then (call $reserve (local.get $n)) (br $again))))
    (global.set $table (global.get $top))
    (call $take (local.get $n))
    (local.set $row (global.get $table))
    ;; One event after the other, each with all the memory behind the table.
    (local.set $n (global.get $top))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $record) (local.get $end)))
      (global.set $top (local.get $n))
      (if (call $event (local.get $record) (local.get $row)) (then (return (i32.const 1))))
      (global.set $index (i32.add (global.get $index) (i32.const 1)))
      (local.set $row (i32.add (local.get $row) (i32.const 96)))
      (local.set $record (i32.add (local.get $record) (i32.load (local.get $record))))
      (br $next)))
    (i32.const 0))

  (func $event (param $record i32) (param $row i32) (result i32)
    (local $kind i32) (local $amount i64)
    (global.set $sequence (i64.load offset=8 (local.get $record)))
    (global.set $headers (i32.add (i32.add (local.get $record) (i32.const 40)) (i32.load offset=24 (local.get $record))))
    (global.set $headers_end (i32.add (global.get $headers) (i32.load offset=28 (local.get $record))))
    ;; 1 opened, 2 deposited, 3 withdrawn, 4 closed: their texts stand 32 bytes apart.
    (call $header (i32.const 0x090)) ;; ce-type
    (loop $next
      (local.set $kind (i32.add (local.get $kind) (i32.const 1)))
      (if (i32.gt_u (local.get $kind) (i32.const 4)) (then (return (i32.const 0))))
      (br_if $next (i32.eqz (call $is (global.get $found) (global.get $found_len) (i32.sub (i32.mul (local.get $kind) (i32.const 32)) (i32.const 16))))))

    (if (i32.eqz (call $field (local.get $row))) (then (return (call $fail_with (i32.const 0x1b0))))) ;; account must be a text
    (global.set $name (global.get $found))
    (global.set $name_len (global.get $found_len))
    (global.set $key (global.get $top))
    (call $say (i32.const 0x0b0)) ;; account and a tab
    (call $add (global.get $name) (global.get $name_len))
    (global.set $key_len (i32.sub (global.get $top) (global.get $key)))
    (if (i32.eq (local.get $kind) (i32.const 1)) (then (return (call $opened (i32.add (local.get $row) (i32.const 32))))))

    (if (i32.ne (local.get $kind) (i32.const 4)) (then ;; the third cell: whole, and in the range
      (local.set $amount (i64.load offset=88 (local.get $row)))
      (if (i32.or (i32.eqz (i32.and (i32.load offset=68 (local.get $row)) (i32.const 1)))
                  (i64.gt_u (i64.sub (local.get $amount) (i64.const 1)) (i64.const 999999999999998)))
        (then (return (call $fail_with (i32.const 0x1f0))))))) ;; amount must be …
    (block $open
      (br_if $open (i32.eq (call $load) (i32.const 1)))
      (return (call $fail_name (i32.const 0x260)))) ;; is not open
    (if (i32.eq (local.get $kind) (i32.const 4)) (then (return (call $closed))))
    (if (i32.eq (local.get $kind) (i32.const 3)) (then (local.set $amount (i64.sub (i64.const 0) (local.get $amount)))))
    (call $move (local.get $amount)))

  (func $opened (param $cell i32) (result i32)
    (if (i32.eqz (call $field (local.get $cell))) (then (return (call $fail_with (i32.const 0x1d0))))) ;; owner must be a text
    ;; Whether there is a value is all that matters, so no room is given for it.
    (if (i32.ge_s (call $state_get (global.get $key) (global.get $key_len) (global.get $top) (i32.const 0)) (i32.const 0))
      (then (return (call $fail_name (i32.const 0x240))))) ;; is open already
    (global.set $owner (global.get $top))
    (call $add_quoted (global.get $found) (global.get $found_len))
    (global.set $owner_len (i32.sub (global.get $top) (global.get $owner)))
    (global.set $balance (i64.const 0))
    (global.set $events (i64.const 1))
    (call $store))

  (func $closed (result i32)
    (local $from i32)
    (local.set $from (global.get $top))
    (if (i64.ne (global.get $balance) (i64.const 0)) (then
      (call $say_name (i32.const 0x280)) ;; is closed with a balance of
      (call $add_int (global.get $balance))
      (return (call $fail (local.get $from)))))
    (call $say_name (i32.const 0x2a0)) ;; closed after
    (call $add_int (i64.add (global.get $events) (i64.const 1)))
    (call $say (i32.const 0x2b0)) ;; events
    (call $log (i32.const 0) (local.get $from) (i32.sub (global.get $top) (local.get $from)))
    (call $checked (call $state_delete (global.get $key) (global.get $key_len))))

  ;; move adds to the balance, and emits when that crosses the limit downwards.
  (func $move (param $amount i64) (result i32)
    (local $limit i64) (local $before i64)
    (local.set $limit (i64.sub (i64.const 0) (global.get $overdraft)))
    (local.set $before (global.get $balance))
    (global.set $balance (i64.add (local.get $before) (local.get $amount)))
    (global.set $events (i64.add (global.get $events) (i64.const 1)))
    (if (i32.and (i64.ge_s (local.get $before) (local.get $limit)) (i64.lt_s (global.get $balance) (local.get $limit))) (then
      (if (call $alert) (then (return (i32.const 1))))))
    (call $store))

  (func $alert (result i32)
    (local $subject i32) (local $headers i32) (local $digits i32) (local $data i32)
    (local.set $subject (global.get $top))
    (call $add (global.get $alerts) (global.get $alerts_len))
    (call $say (i32.const 0x130)) ;; .overdrawn
    (local.set $headers (global.get $top))
    (call $add (i32.const 0x140) (i32.const 28)) ;; ce-type
    (call $add_byte (i32.const 20)) (call $add_byte (i32.const 0)) ;; length of the name, and below of the value
    (call $add_byte (i32.const 0)) (call $add_byte (i32.const 0))
    (call $say (i32.const 0x170)) ;; account-owner-length
    (local.set $digits (global.get $top))
    (call $add_int (i64.extend_i32_u (call $owner_bytes)))
    (i32.store16 offset=30 (local.get $headers) (i32.sub (global.get $top) (local.get $digits)))
    (local.set $data (global.get $top))
    (call $say (i32.const 0x100)) ;; {"account":
    (call $add_quoted (global.get $name) (global.get $name_len))
    (call $say (i32.const 0x0d0)) ;; ,"balance":
    (call $add_int (global.get $balance))
    (call $say (i32.const 0x110)) ;; ,"sequence":
    (call $add_int (global.get $sequence))
    (call $say (i32.const 0x120)) ;; }
    (call $checked (call $emit (global.get $index)
      (local.get $subject) (i32.sub (local.get $headers) (local.get $subject))
      (local.get $headers) (i32.sub (local.get $data) (local.get $headers))
      (local.get $data) (i32.sub (global.get $top) (local.get $data)))))

  ;; header finds the value of a header by its name in small letters, as the engine has them;
  ;; nothing when there is none.
  (func $header (param $name i32)
    (local $p i32) (local $len i32)
    (local.set $p (global.get $headers))
    (global.set $found_len (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (global.get $headers_end)))
      (local.set $len (i32.load16_u (local.get $p)))
      (if (call $is (i32.add (local.get $p) (i32.const 4)) (local.get $len) (local.get $name)) (then
        (global.set $found (i32.add (i32.add (local.get $p) (i32.const 4)) (local.get $len)))
        (global.set $found_len (i32.load16_u offset=2 (local.get $p)))
        (br $done)))
      (local.set $p (i32.add (local.get $p) (i32.add (i32.const 4) (i32.add (local.get $len) (i32.load16_u offset=2 (local.get $p))))))
      (br $next))))

  ;; field finds what a cell says, and whether that is a text that is not empty.
  (func $field (param $cell i32) (result i32)
    (if (i32.ne (i32.load (local.get $cell)) (i32.const 4)) (then (return (i32.const 0))))
    (if (i32.load offset=16 (local.get $cell))
      (then ;; the text stands in the table, for it has escapes
        (global.set $found (i32.add (global.get $table) (i32.load offset=16 (local.get $cell))))
        (global.set $found_len (i32.load offset=20 (local.get $cell))))
      (else ;; it stands between its quotes in the batch
        (global.set $found (i32.add (i32.add (global.get $batch) (i32.const 1)) (i32.load offset=8 (local.get $cell))))
        (global.set $found_len (i32.sub (i32.load offset=12 (local.get $cell)) (i32.const 2)))))
    (i32.ne (global.get $found_len) (i32.const 0)))

  ;; ---- State: {"owner":"Ada","balance":25,"events":3,"last":"…"} ----------------------------

  ;; load reads the account of the key: 1 when it is there.
  (func $load (result i32)
    (local $n i32) (local $value i32)
    (loop $again
      (local.set $n (call $state_get (global.get $key) (global.get $key_len) (global.get $top) (call $room)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (i32.const 0))))
      (if (i32.gt_u (local.get $n) (call $room)) (then (call $reserve (local.get $n)) (br $again))))
    (local.set $value (global.get $top))
    (call $take (local.get $n))
    (call $decode (local.get $value))
    (i32.const 1))

  ;; decode takes a value apart. It is as store wrote it, so its parts are where they must be.
  (func $decode (param $p i32)
    (local $c i32)
    (local.set $p (i32.add (local.get $p) (i32.const 9))) ;; {"owner":
    (global.set $owner (local.get $p))
    (local.set $p (i32.add (local.get $p) (i32.const 1)))
    (block $end (loop $next
      (local.set $c (i32.load8_u (local.get $p)))
      (br_if $end (i32.eq (local.get $c) (i32.const 34)))
      (local.set $p (i32.add (local.get $p) (select (i32.const 2) (i32.const 1) (i32.eq (local.get $c) (i32.const 92)))))
      (br $next)))
    (local.set $p (i32.add (local.get $p) (i32.const 1)))
    (global.set $owner_len (i32.sub (local.get $p) (global.get $owner)))
    (local.set $p (call $number (i32.add (local.get $p) (i32.const 11)))) ;; ,"balance":
    (global.set $balance (global.get $int))
    (drop (call $number (i32.add (local.get $p) (i32.const 10)))) ;; ,"events":
    (global.set $events (global.get $int)))

  ;; owner_bytes is how many bytes the owner has: an escape stands for one of them.
  (func $owner_bytes (result i32)
    (local $p i32) (local $end i32) (local $n i32) (local $size i32)
    (local.set $p (i32.add (global.get $owner) (i32.const 1)))
    (local.set $end (i32.add (local.get $p) (i32.sub (global.get $owner_len) (i32.const 2))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
      (local.set $size (i32.const 1))
      (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 92)) (then ;; \n, or \u001f
        (local.set $size (select (i32.const 6) (i32.const 2) (i32.eq (i32.load8_u offset=1 (local.get $p)) (i32.const 117))))))
      (local.set $p (i32.add (local.get $p) (local.get $size)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next)))
    (local.get $n))

  (func $store (result i32)
    (local $value i32)
    (local.set $value (global.get $top))
    (call $say (i32.const 0x0c0)) ;; {"owner":
    (call $add (global.get $owner) (global.get $owner_len))
    (call $say (i32.const 0x0d0)) ;; ,"balance":
    (call $add_int (global.get $balance))
    (call $say (i32.const 0x0e0)) ;; ,"events":
    (call $add_int (global.get $events))
    (call $say (i32.const 0x0f0)) ;; ,"last":
    (call $header (i32.const 0x0a0)) ;; ce-time
    (call $add_quoted (global.get $found) (global.get $found_len))
    (call $say (i32.const 0x120)) ;; }
    (call $checked (call $state_put (global.get $key) (global.get $key_len) (local.get $value) (i32.sub (global.get $top) (local.get $value)))))

  ;; ---- Settings and requests: as much JSON as they need -------------------------------------

  ;; number reads digits, with a sign or without, and returns where they end.
  (func $number (param $p i32) (result i32)
    (local $negative i32) (local $c i32)
    (global.set $int (i64.const 0))
    (global.set $digits (i32.const 0))
    (local.set $negative (i32.eq (i32.load8_u (local.get $p)) (i32.const 45)))
    (local.set $p (i32.add (local.get $p) (local.get $negative)))
    (block $end (loop $next
      (local.set $c (i32.sub (i32.load8_u (local.get $p)) (i32.const 48)))
      (br_if $end (i32.gt_u (local.get $c) (i32.const 9)))
      (global.set $int (i64.add (i64.mul (global.get $int) (i64.const 10)) (i64.extend_i32_u (local.get $c))))
      (global.set $digits (i32.add (global.get $digits) (i32.const 1)))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $next)))
    (if (local.get $negative) (then (global.set $int (i64.sub (i64.const 0) (global.get $int)))))
    (local.get $p))

  ;; peek skips blanks and returns the byte that follows; 0 at the end.
  (func $peek (result i32)
    (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (global.get $json)))
      (if (i32.or (i32.eq (local.get $c) (i32.const 32)) (i32.and (i32.ge_u (local.get $c) (i32.const 9)) (i32.le_u (local.get $c) (i32.const 13)))) (then
        (global.set $json (i32.add (global.get $json) (i32.const 1)))
        (br $next))))
    (local.get $c))

  ;; accept takes a byte, if it is the one that follows.
  (func $accept (param $c i32) (result i32)
    (if (i32.ne (call $peek) (local.get $c)) (then (return (i32.const 0))))
    (global.set $json (i32.add (global.get $json) (i32.const 1)))
    (i32.const 1))

  ;; json_text takes a string without escapes, and json_int a whole number of at most 18 digits.
  (func $json_text (result i32)
    (local $c i32)
    (if (i32.eqz (call $accept (i32.const 34))) (then (return (i32.const 0))))
    (global.set $found (global.get $json))
    (loop $next
      (local.set $c (i32.load8_u (global.get $json)))
      (if (i32.or (i32.lt_u (local.get $c) (i32.const 32)) (i32.eq (local.get $c) (i32.const 92))) (then (return (i32.const 0))))
      (global.set $json (i32.add (global.get $json) (i32.const 1)))
      (br_if $next (i32.ne (local.get $c) (i32.const 34))))
    (global.set $found_len (i32.sub (i32.sub (global.get $json) (global.get $found)) (i32.const 1)))
    (i32.const 1))

  (func $json_int (result i32)
    (drop (call $peek))
    (global.set $json (call $number (global.get $json)))
    (if (i32.gt_u (i32.sub (global.get $digits) (i32.const 1)) (i32.const 17)) (then (return (i32.const 0))))
    (i32.or (i32.eq (call $peek) (i32.const 44)) (i32.eq (call $peek) (i32.const 125)))) ;; , or }

  (func (export "init") (result i32)
    (local $n i32)
    (if (i32.lt_s (call $fields_declare (i32.const 0x190) (i32.const 24)) (i32.const 0)) (then (return (i32.const 1))))
    (loop $again
      (local.set $n (call $config_read (global.get $top) (i32.sub (call $room) (i32.const 1))))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $checked (local.get $n)))))
      (if (i32.ge_u (local.get $n) (call $room)) (then (call $reserve (i32.add (local.get $n) (i32.const 1))) (br $again))))
    (i32.store8 (i32.add (global.get $top) (local.get $n)) (i32.const 0))
    (global.set $json (global.get $top))
    (drop (call $accept (i32.const 123))) ;; {: the host gives an object
    (if (call $accept (i32.const 125)) (then (return (i32.const 0))))
    (loop $next
      (if (call $setting) (then (return (i32.const 1))))
      (br_if $next (call $accept (i32.const 44))))
    (i32.const 0))

  (func $setting (result i32)
    (if (i32.eqz (call $json_text)) (then (return (call $fail_with (i32.const 0x390)))))
    (drop (call $accept (i32.const 58))) ;; :
    (if (call $is (global.get $found) (global.get $found_len) (i32.const 0x2f0)) (then ;; overdraft
      (if (i32.eqz (call $json_int)) (then (return (call $fail_with (i32.const 0x310)))))
      (if (i64.lt_s (global.get $int) (i64.const 0)) (then (return (call $fail_with (i32.const 0x310)))))
      (global.set $overdraft (global.get $int))
      (return (i32.const 0))))
    (if (call $is (global.get $found) (global.get $found_len) (i32.const 0x300)) (then ;; alerts
      (if (i32.eqz (call $json_text)) (then (return (call $fail_with (i32.const 0x350)))))
      (if (i32.gt_u (global.get $found_len) (i32.const 1024)) (then (return (call $fail_with (i32.const 0x350)))))
      (memory.copy (i32.const 4096) (global.get $found) (global.get $found_len))
      (global.set $alerts (i32.const 4096))
      (global.set $alerts_len (global.get $found_len))
      (return (i32.const 0))))
    (call $fail_with (i32.const 0x390))) ;; there are only overdraft and alerts

  ;; ---- Requests: {"top":3} ---------------------------------------------------------------

  ;; The best accounts so far, in order: 16 bytes each for name, its length, and balance.
  (global $best  (mut i32) (i32.const 0))
  (global $count (mut i32) (i32.const 0))

  (func (export "query") (result i32)
    (local $top i32) (local $n i32)
    (global.set $top (i32.const 8192))
    (loop $again
      (local.set $n (call $input_read (global.get $top) (i32.sub (call $room) (i32.const 1))))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (call $checked (local.get $n)))))
      (if (i32.ge_u (local.get $n) (call $room)) (then (call $reserve (i32.add (local.get $n) (i32.const 1))) (br $again))))
    (i32.store8 (i32.add (global.get $top) (local.get $n)) (i32.const 0))
    (global.set $json (global.get $top))
    (call $take (i32.add (local.get $n) (i32.const 1)))
    (local.set $top (call $asked))
    (if (i32.eqz (local.get $top)) (then (return (call $fail_with (i32.const 0x2c0)))))
    (global.set $best (global.get $top))
    (global.set $count (i32.const 0))
    (call $reserve (i32.const 1616)) ;; 101 of them
    (call $take (i32.const 1616))
    (if (call $scan (local.get $top)) (then (return (i32.const 1))))
    (call $answer))

  ;; asked is how many accounts the request asks for; 0 when it makes no sense.
  (func $asked (result i32)
    (if (i32.eqz (call $peek)) (then (return (i32.const 3)))) ;; an empty request
    (if (i32.eqz (call $accept (i32.const 123))) (then (return (i32.const 0))))
    (if (call $accept (i32.const 125)) (then (return (select (i32.const 0) (i32.const 3) (call $peek)))))
    (if (i32.eqz (call $json_text)) (then (return (i32.const 0))))
    (if (i32.eqz (call $is (global.get $found) (global.get $found_len) (i32.const 0x2e0))) (then (return (i32.const 0)))) ;; top
    (if (i32.eqz (call $accept (i32.const 58))) (then (return (i32.const 0))))
    (if (i32.eqz (call $json_int)) (then (return (i32.const 0))))
    (if (i32.eqz (call $accept (i32.const 125))) (then (return (i32.const 0))))
    (if (call $peek) (then (return (i32.const 0))))
    (if (i64.gt_u (i64.sub (global.get $int) (i64.const 1)) (i64.const 99)) (then (return (i32.const 0))))
    (i32.wrap_i64 (global.get $int)))

  ;; scan goes over all accounts, a page at a time, and keeps the best of them.
  (func $scan (param $most i32) (result i32)
    (local $page i32) (local $size i32) (local $after i32) (local $after_len i32)
    (local $r i64) (local $p i32) (local $end i32) (local $key i32) (local $len i32)
    (local.set $size (i32.const 32768))
    (block $done (loop $next
      (if (i32.eqz (local.get $page)) (then
        (local.set $page (global.get $top))
        (call $reserve (local.get $size))
        (call $take (local.get $size))))
      (local.set $r (call $state_scan (i32.const 0x0b0) (i32.const 8) (local.get $after) (local.get $after_len) (i32.const 0) (local.get $page) (local.get $size)))
      (if (i32.and (i64.eq (local.get $r) (i64.const -2)) (i32.lt_u (local.get $size) (i32.const 2097152))) (then
        (local.set $size (i32.mul (local.get $size) (i32.const 2))) ;; an entry that is larger than the page
        (local.set $page (i32.const 0))
        (br $next)))
      (if (i64.lt_s (local.get $r) (i64.const 0)) (then (return (call $fail_with (i32.const 0x3c0)))))
      (br_if $done (i64.eqz (local.get $r)))
      (local.set $p (local.get $page))
      (local.set $end (i32.add (local.get $p) (i32.wrap_i64 (local.get $r))))
      (loop $entry
        (local.set $key (i32.add (local.get $p) (i32.const 8)))
        (local.set $len (i32.load (local.get $p)))
        (local.set $p (i32.add (i32.add (local.get $key) (local.get $len)) (i32.load offset=4 (local.get $p))))
        (call $decode (i32.add (local.get $key) (local.get $len)))
        (call $rank (local.get $most) (i32.add (local.get $key) (i32.const 8)) (i32.sub (local.get $len) (i32.const 8)))
        (br_if $entry (i32.lt_u (local.get $p) (local.get $end))))
      (local.set $after (global.get $top)) ;; the next page comes where this key stands
      (local.set $after_len (local.get $len))
      (call $add (local.get $key) (local.get $len))
      (br $next)))
    (i32.const 0))

  ;; rank puts the account that decode read among the best. Keys come in order, so it stays
  ;; behind those with the same balance.
  (func $rank (param $most i32) (param $name i32) (param $len i32)
    (local $at i32)
    (local.set $at (i32.add (global.get $best) (i32.mul (global.get $count) (i32.const 16))))
    (block $here (loop $up
      (br_if $here (i32.eq (local.get $at) (global.get $best)))
      (br_if $here (i64.ge_s (i64.load (i32.sub (local.get $at) (i32.const 8))) (global.get $balance)))
      (memory.copy (local.get $at) (i32.sub (local.get $at) (i32.const 16)) (i32.const 16))
      (local.set $at (i32.sub (local.get $at) (i32.const 16)))
      (br $up)))
    (if (i32.eq (local.get $at) (i32.add (global.get $best) (i32.mul (local.get $most) (i32.const 16)))) (then (return)))
    (i32.store (local.get $at) (global.get $top))
    (i32.store offset=4 (local.get $at) (local.get $len))
    (i64.store offset=8 (local.get $at) (global.get $balance))
    (call $add (local.get $name) (local.get $len))
    (if (i32.lt_u (global.get $count) (local.get $most)) (then (global.set $count (i32.add (global.get $count) (i32.const 1))))))

  (func $answer (result i32)
    (local $from i32) (local $i i32) (local $at i32)
    (local.set $from (global.get $top))
    (call $add_byte (i32.const 91)) ;; [
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $i) (global.get $count)))
      (if (local.get $i) (then (call $add_byte (i32.const 44)))) ;; ,
      (local.set $at (i32.add (global.get $best) (i32.mul (local.get $i) (i32.const 16))))
      (call $say (i32.const 0x100)) ;; {"account":
      (call $add_quoted (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
      (call $say (i32.const 0x0d0)) ;; ,"balance":
      (call $add_int (i64.load offset=8 (local.get $at)))
      (call $say (i32.const 0x120)) ;; }
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (call $add_byte (i32.const 93)) ;; ]
    (call $checked (call $output_write (local.get $from) (i32.sub (global.get $top) (local.get $from))))))
