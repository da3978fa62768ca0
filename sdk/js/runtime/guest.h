/* What a guest imports from projection_v1: see docs/ABI.md, which is the contract. */
#ifndef GNOMON_GUEST_H
#define GNOMON_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name), used))

enum { NOT_FOUND = -1, TOO_LARGE = -2, BAD_ARGUMENT = -3, READ_ONLY = -4, OVER_QUOTA = -5 };

IMPORT("projection_v1", "batch_read") int32_t host_batch_read(void *buf, uint32_t cap);
IMPORT("projection_v1", "state_get") int32_t host_state_get(const void *k, uint32_t klen, void *buf, uint32_t cap);
IMPORT("projection_v1", "state_put") int32_t host_state_put(const void *k, uint32_t klen, const void *v, uint32_t vlen);
IMPORT("projection_v1", "state_delete") int32_t host_state_delete(const void *k, uint32_t klen);
IMPORT("projection_v1", "state_scan")
int64_t host_state_scan(const void *prefix, uint32_t plen, const void *after, uint32_t alen, uint32_t limit, void *buf, uint32_t cap);
IMPORT("projection_v1", "config_read") int32_t host_config_read(void *buf, uint32_t cap);
IMPORT("projection_v1", "log") void host_log(int32_t level, const void *text, uint32_t len);
IMPORT("projection_v1", "log_enabled") int32_t host_log_enabled(int32_t level);
IMPORT("projection_v1", "fail") void host_fail(int32_t event, const void *text, uint32_t len);
IMPORT("projection_v1", "blob_write") int32_t host_blob_write(const void *p, uint32_t len);
IMPORT("projection_v1", "blob_read") int32_t host_blob_read(void *buf, uint32_t cap);
IMPORT("projection_v1", "input_read") int32_t host_input_read(void *buf, uint32_t cap);
IMPORT("projection_v1", "output_write") int32_t host_output_write(const void *p, uint32_t len);
IMPORT("projection_v1_json", "fields_declare") int32_t host_fields_declare(const void *names, uint32_t len);
IMPORT("projection_v1_json", "fields_read") int32_t host_fields_read(void *buf, uint32_t cap);

/* emit.c has the one import that a module may be without: attaching a script that does
   not emit takes it away, which is possible because it is the last of them. */
int32_t host_emit(uint32_t event, const void *subject, uint32_t slen, const void *headers, uint32_t hlen, const void *data, uint32_t dlen);

#endif
