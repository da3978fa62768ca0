;; Stores what the system interface says of the world: that there is none.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "projection_v1" "state_put" (func $state_put (param i32 i32 i32 i32) (result i32)))
  (import "projection_v1" "state_get" (func $state_get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "args")
  (data (i32.const 16) "environ")
  (data (i32.const 32) "open")
  (data (i32.const 48) "wall")
  (data (i32.const 64) "monotonic")
  (data (i32.const 80) "random")
  (data (i32.const 96) "later")
  (data (i32.const 112) "same")
  (func $store (param $key i32) (param $klen i32) (param $value i32) (param $vlen i32)
    (if (call $state_put (local.get $key) (local.get $klen) (local.get $value) (local.get $vlen)) (then (unreachable))))
  (func (export "apply") (result i32)
    ;; The number of arguments, and of variables of the environment.
    (if (call $args_sizes_get (i32.const 256) (i32.const 260)) (then (return (i32.const 1))))
    (call $store (i32.const 0) (i32.const 4) (i32.const 256) (i32.const 4))
    (if (call $environ_sizes_get (i32.const 256) (i32.const 260)) (then (return (i32.const 2))))
    (call $store (i32.const 16) (i32.const 7) (i32.const 256) (i32.const 4))
    ;; No directory is open, so what path_open says is EBADF, 8.
    (i32.store (i32.const 256) (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 512)))
    (call $store (i32.const 32) (i32.const 4) (i32.const 256) (i32.const 4))
    ;; The wall clock, 0, in nanoseconds.
    (if (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 256)) (then (return (i32.const 3))))
    (call $store (i32.const 48) (i32.const 4) (i32.const 256) (i32.const 8))
    ;; The monotonic clock, 1, twice, with an hour of sleep in between, which returns at once.
    (if (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 256)) (then (return (i32.const 4))))
    (i32.store (i32.const 1024) (i32.const 7)) ;; userdata
    (i32.store8 (i32.const 1032) (i32.const 0)) ;; a clock
    (i32.store (i32.const 1040) (i32.const 1)) ;; the monotonic one
    (i64.store (i32.const 1048) (i64.const 3600000000000))
    (if (call $poll_oneoff (i32.const 1024) (i32.const 1100) (i32.const 1) (i32.const 264)) (then (return (i32.const 5))))
    (if (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 272)) (then (return (i32.const 6))))
    (if (i64.gt_s (i64.load (i32.const 272)) (i64.load (i32.const 256)))
      (then (call $store (i32.const 64) (i32.const 9) (i32.const 96) (i32.const 5))))
    ;; Random bytes: 16 that the first instance stores, and every other one compares.
    (if (call $random_get (i32.const 256) (i32.const 16)) (then (return (i32.const 7))))
    (if (i32.ne (call $state_get (i32.const 80) (i32.const 6) (i32.const 272) (i32.const 16)) (i32.const 16)) (then
      (call $store (i32.const 80) (i32.const 6) (i32.const 256) (i32.const 16))
      (return (i32.const 0))))
    (if (i32.and (i64.eq (i64.load (i32.const 256)) (i64.load (i32.const 272))) (i64.eq (i64.load (i32.const 264)) (i64.load (i32.const 280))))
      (then (call $store (i32.const 80) (i32.const 6) (i32.const 112) (i32.const 4))))
    (i32.const 0)))
