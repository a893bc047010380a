/* SPDX-License-Identifier: MPL-2.0 */
/* Arguments of every operation, from a request's map and from words of a command line: values within
 * their bounds or one line that says what is wrong; what is written of them is read as the same. The
 * first byte chooses the operation, the lowest bit of the second between map and words. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_args.h"

static void check(const struct op_spec *spec, const struct op_values *values)
{
    struct op_values again;
    char why[OPS_WHY_BYTES] = "";
    struct buf b;
    for (size_t i = 0; i < spec->arg_count; i++) {
        FUZZ_ASSERT(memchr(values->v[i].text, '\0', sizeof values->v[i].text) != NULL);
    }
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    ops_args_write(spec, values, &b);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(ops_args_read(spec, buf_span(&b), &again, why) == HM_OK);
    for (size_t i = 0; i < spec->arg_count; i++) {
        if (spec->args[i].is_meshctls) {
            FUZZ_ASSERT(!again.v[i].is_given);
            continue;
        }
        FUZZ_ASSERT(values->v[i].is_given == again.v[i].is_given);
        FUZZ_ASSERT(values->v[i].bytes.size == again.v[i].bytes.size);
        FUZZ_ASSERT(again.v[i].bytes.size == 0 ||
                    memcmp(values->v[i].bytes.data, again.v[i].bytes.data,
                           again.v[i].bytes.size) == 0);
        FUZZ_ASSERT(values->v[i].number == again.v[i].number);
        FUZZ_ASSERT(strcmp(values->v[i].text, again.v[i].text) == 0);
    }
    buf_fini(&b);
}

static bool is_said(const char why[OPS_WHY_BYTES])
{
    return memchr(why, '\0', OPS_WHY_BYTES) != NULL && why[0] != '\0';
}

static void words(const struct op_spec *spec, struct input *in)
{
    struct op_values values;
    char why[OPS_WHY_BYTES] = "";
    bool is_good = true;
    static char texts[8][600]; /* bytes are borrowed */
    ops_args_init(spec, &values);
    for (unsigned i = 0; i < 8 && in->left > 0 && spec->arg_count > 0; i++) {
        char *text = texts[i];
        size_t idx = in_u8(in) % spec->arg_count;
        struct span word = in_bytes(in, in_u16(in) % sizeof texts[0]);
        memset(text, 0, sizeof texts[0]);
        if (word.size > 0) {
            memcpy(text, word.data, word.size);
        }
        why[0] = '\0';
        int result = ops_args_set(spec, idx, text, &values, why);
        bool is_too_long = result == HM_EFULL && spec->args[idx].type == ARG_BYTES;
        FUZZ_ASSERT(result == HM_OK || ((result == HM_EINVAL || is_too_long) && is_said(why)));
        is_good = is_good && result == HM_OK;
    }
    why[0] = '\0';
    int result = ops_args_complete(spec, &values, why);
    FUZZ_ASSERT(result == HM_OK || (result == HM_EINVAL && is_said(why)));
    if (is_good && result == HM_OK) {
        check(spec, &values);
    }
}

static void map(const struct op_spec *spec, struct input *in)
{
    struct op_values values;
    char why[OPS_WHY_BYTES] = "";
    struct span bytes = fuzz_copy(span_of(in->at, in->left));
    int result = ops_args_read(spec, bytes, &values, why);
    FUZZ_ASSERT(result == HM_OK || (result == HM_EINVAL && is_said(why)));
    if (result == HM_OK) {
        check(spec, &values);
    }
    fuzz_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    const struct op_spec *spec = ops_spec((enum op)(in_u8(&in) % OP_COUNT));
    if (in_u8(&in) % 2 == 0) {
        map(spec, &in);
    } else {
        words(spec, &in);
    }
    return 0;
}
