/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl's way from a reply's MessagePack to JSON: what another node put into a reply becomes
 * JSON that any reader takes, or nothing. */
#include "fuzz.h"

#include "cmd/ctl.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = fuzz_copy(span_of(data, size));
    json_error_t error;
    json_t *json = ctl_json_of(bytes.data, bytes.size);
    fuzz_free(bytes);
    if (json == NULL) {
        return 0;
    }
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    FUZZ_ASSERT(text != NULL);
    json_t *again = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    FUZZ_ASSERT(again != NULL);
    json_decref(again);
    free(text);
    json_decref(json);
    return 0;
}
