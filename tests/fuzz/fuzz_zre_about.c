/* SPDX-License-Identifier: MPL-2.0 */
/* What is kept of a ZRE peer, through any HELLOs, JOINs and LEAVEs of it: bounded, and lists that can
 * be walked. The input is messages, each with its length in two bytes before it. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/zre_about.h"

static void check(const struct zre_about *about)
{
    struct span key, value;
    uint32_t groups = 0, headers = 0;
    struct zre_list list = zre_about_groups(about);
    FUZZ_ASSERT(list.count == about->group_count);
    while (zre_strings_next(&list, &value)) {
        groups++;
    }
    list = zre_about_headers(about);
    FUZZ_ASSERT(list.count == about->header_count);
    while (zre_headers_next(&list, &key, &value)) {
        headers++;
    }
    FUZZ_ASSERT(groups == about->group_count && headers == about->header_count);
    FUZZ_ASSERT(about->name_bytes <= sizeof about->name);
    FUZZ_ASSERT(about->groups.size + about->headers.size <= 2 * HM_ZRE_ABOUT_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct zre_about about;
    memset(&about, 0, sizeof about);
    check(&about);
    while (in.left > 0) {
        struct zre_msg msg;
        struct span bytes = fuzz_copy(in_bytes(&in, in_u16(&in)));
        if (zre_msg_read(bytes, &msg) == HM_OK) {
            if (msg.id == ZRE_HELLO) {
                zre_about_hello(&about, &msg);
            } else if (msg.id == ZRE_JOIN) {
                zre_about_join(&about, msg.group);
            } else if (msg.id == ZRE_LEAVE) {
                zre_about_leave(&about, msg.group);
            }
        }
        fuzz_free(bytes);
        check(&about);
    }
    zre_about_fini(&about);
    return 0;
}
