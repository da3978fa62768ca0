/* Linked last, so that emit is the last function that the module imports: engine
   attach replaces it by one that refuses when the script does not emit. */
#include "guest.h"

IMPORT("projection_v1", "emit")
int32_t imported_emit(uint32_t event, const void *subject, uint32_t slen, const void *headers, uint32_t hlen, const void *data, uint32_t dlen);

int32_t host_emit(uint32_t event, const void *subject, uint32_t slen, const void *headers, uint32_t hlen, const void *data, uint32_t dlen)
{
    return imported_emit(event, subject, slen, headers, hlen, data, dlen);
}
