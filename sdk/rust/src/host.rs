//! The functions that a module imports, with slices in the place of pointers and lengths. The
//! linker leaves out those that nothing calls: a module asks its host for what it uses.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::*;

/// Calls `read` with a buffer, and again with a larger one when the length that it returned did
/// not fit. It returns the length, and the code when that is negative.
pub(crate) fn fill(buf: &mut Vec<u8>, mut read: impl FnMut(&mut [u8]) -> i32) -> Result<usize, i32> {
    const UNIT: usize = 4 << 10;
    loop {
        let n = read(buf);
        if n < 0 {
            return Err(n);
        }
        let n = n as usize;
        if n <= buf.len() {
            return Ok(n);
        }
        // A quarter more, so that a slowly growing answer is not read twice each time. What
        // was there goes first: it is of no use, and memory never shrinks.
        let want = (n + n / 4 + UNIT - 1) / UNIT * UNIT;
        *buf = Vec::new();
        buf.resize(want, 0);
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    mod imports {
        #[link(wasm_import_module = "projection_v1")]
        extern "C" {
            pub fn batch_read(buf: *mut u8, cap: usize) -> i32;
            pub fn state_get(k: *const u8, klen: usize, buf: *mut u8, cap: usize) -> i32;
            pub fn state_put(k: *const u8, klen: usize, v: *const u8, vlen: usize) -> i32;
            pub fn state_delete(k: *const u8, klen: usize) -> i32;
            pub fn state_scan(
                prefix: *const u8,
                plen: usize,
                after: *const u8,
                alen: usize,
                limit: u32,
                buf: *mut u8,
                cap: usize,
            ) -> i64;
            pub fn emit(
                event: u32,
                subject: *const u8,
                slen: usize,
                headers: *const u8,
                hlen: usize,
                data: *const u8,
                dlen: usize,
            ) -> i32;
            pub fn config_read(buf: *mut u8, cap: usize) -> i32;
            pub fn log(level: i32, text: *const u8, len: usize);
            pub fn log_enabled(level: i32) -> i32;
            pub fn fail(event: i32, text: *const u8, len: usize);
            pub fn blob_write(blob: *const u8, len: usize) -> i32;
            pub fn blob_read(buf: *mut u8, cap: usize) -> i32;
            pub fn input_read(buf: *mut u8, cap: usize) -> i32;
            pub fn output_write(bytes: *const u8, len: usize) -> i32;
        }

        #[link(wasm_import_module = "projection_v1_json")]
        extern "C" {
            pub fn fields_declare(names: *const u8, len: usize) -> i32;
            pub fn fields_read(buf: *mut u8, cap: usize) -> i32;
        }
    }

    // SAFETY, of all of them: the host reads and writes within the slices, and keeps no
    // pointer beyond the call.

    pub fn batch_read(buf: &mut [u8]) -> i32 {
        unsafe { imports::batch_read(buf.as_mut_ptr(), buf.len()) }
    }
    pub fn state_get(key: &[u8], buf: &mut [u8]) -> i32 {
        unsafe { imports::state_get(key.as_ptr(), key.len(), buf.as_mut_ptr(), buf.len()) }
    }
    pub fn state_put(key: &[u8], value: &[u8]) -> i32 {
        unsafe { imports::state_put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }
    pub fn state_delete(key: &[u8]) -> i32 {
        unsafe { imports::state_delete(key.as_ptr(), key.len()) }
    }
    pub fn state_scan(prefix: &[u8], after: &[u8], limit: u32, buf: &mut [u8]) -> i64 {
        let (p, a) = (prefix.as_ptr(), after.as_ptr());
        unsafe { imports::state_scan(p, prefix.len(), a, after.len(), limit, buf.as_mut_ptr(), buf.len()) }
    }
    pub fn emit(event: u32, subject: &[u8], headers: &[u8], data: &[u8]) -> i32 {
        let (s, h, d) = (subject.as_ptr(), headers.as_ptr(), data.as_ptr());
        unsafe { imports::emit(event, s, subject.len(), h, headers.len(), d, data.len()) }
    }
    pub fn config_read(buf: &mut [u8]) -> i32 {
        unsafe { imports::config_read(buf.as_mut_ptr(), buf.len()) }
    }
    pub fn log(level: i32, text: &str) {
        unsafe { imports::log(level, text.as_ptr(), text.len()) }
    }
    pub fn log_enabled(level: i32) -> i32 {
        unsafe { imports::log_enabled(level) }
    }
    pub fn fail(event: i32, text: &str) {
        unsafe { imports::fail(event, text.as_ptr(), text.len()) }
    }
    pub fn blob_write(blob: &[u8]) -> i32 {
        unsafe { imports::blob_write(blob.as_ptr(), blob.len()) }
    }
    pub fn blob_read(buf: &mut [u8]) -> i32 {
        unsafe { imports::blob_read(buf.as_mut_ptr(), buf.len()) }
    }
    pub fn input_read(buf: &mut [u8]) -> i32 {
        unsafe { imports::input_read(buf.as_mut_ptr(), buf.len()) }
    }
    pub fn output_write(bytes: &[u8]) -> i32 {
        unsafe { imports::output_write(bytes.as_ptr(), bytes.len()) }
    }
    pub fn fields_declare(names: &[u8]) -> i32 {
        unsafe { imports::fields_declare(names.as_ptr(), names.len()) }
    }
    pub fn fields_read(buf: &mut [u8]) -> i32 {
        unsafe { imports::fields_read(buf.as_mut_ptr(), buf.len()) }
    }
}
