// The functions of projection_v1, as docs/ABI.md has them. The compiler leaves out
// those that a module does not use, so that it asks its host for no more than it needs.
// Pointers and lengths are in bytes; a result of zero or more is success or a length.

// @ts-ignore: decorator
@external("projection_v1", "batch_read")
export declare function batchRead(buf: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "state_get")
export declare function stateGet(key: usize, klen: i32, buf: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "state_put")
export declare function statePut(key: usize, klen: i32, value: usize, vlen: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "state_delete")
export declare function stateDelete(key: usize, klen: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "state_scan")
export declare function stateScan(prefix: usize, plen: i32, after: usize, alen: i32, limit: i32, buf: usize, cap: i32): i64;

// @ts-ignore: decorator
@external("projection_v1", "emit")
export declare function emitEvent(event: i32, subject: usize, slen: i32, headers: usize, hlen: i32, data: usize, dlen: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "config_read")
export declare function configRead(buf: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "log")
export declare function logLine(level: i32, text: usize, len: i32): void;

// @ts-ignore: decorator
@external("projection_v1", "log_enabled")
export declare function logEnabled(level: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "fail")
export declare function failEvent(event: i32, text: usize, len: i32): void;

// @ts-ignore: decorator
@external("projection_v1", "blob_write")
export declare function blobWrite(blob: usize, len: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "blob_read")
export declare function blobRead(buf: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "input_read")
export declare function inputRead(buf: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("projection_v1", "output_write")
export declare function outputWrite(bytes: usize, len: i32): i32;

// @ts-ignore: decorator
@external("projection_v1_json", "fields_declare")
export declare function fieldsDeclare(names: usize, len: i32): i32;

// @ts-ignore: decorator
@external("projection_v1_json", "fields_read")
export declare function fieldsRead(buf: usize, cap: i32): i32;

export const NOT_FOUND: i32 = -1;
export const TOO_LARGE: i32 = -2;

/** What a negative result means. */
export function codeText(code: i32): string {
  switch (code) {
    case -1: return "not found";
    case -2: return "too large: a key may have 64000 bytes, a value 1048576, a subject 1024";
    case -3: return "bad argument, or not to be used in this call";
    case -4: return "the state can be used only while an event is handled, a request answered or an older state migrated, and not written for a request";
    case -5: return "over quota";
  }
  return "the host returned code " + code.toString();
}
