/* What QuickJS and wasi-libc would import of the system interface, and a projection has
   no use for: a module then imports nothing but projection_v1. The clock stands still at
   1970, in UTC; what is printed for debugging is dropped; exit traps. */
#include <errno.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    *tv = (struct timeval){0};
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    *t = (struct timespec){0};
    return 0;
}

struct tm *localtime_r(const time_t *restrict t, struct tm *restrict out) { return gmtime_r(t, out); }

/* The names by which wasi-libc imports them. */
int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t fd) { return ENOSYS; }
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t fd, int32_t stat) { return ENOSYS; }
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t offset, int32_t whence, int32_t size) { return ENOSYS; }
int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t iovs, int32_t count, int32_t size) { return ENOSYS; }
_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) { __builtin_trap(); }
