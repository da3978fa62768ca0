/* QuickJS's dtoa.c includes setjmp.h and uses nothing of it; wasi-libc has none. */
