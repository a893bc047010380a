/* SPDX-License-Identifier: MPL-2.0 */
/* Files of services: whatever is written there, the result is services within their limits, or one line
 * that names the file, and nothing of it. */
#include "fuzz.h"

#include "base/err.h"
#include "io/svc_yaml.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

/* libfyaml 0.7.12 loses a buffer of 4 KiB in some of its own errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct svc_set set;
    struct why why = {""};
    struct mp_reader r;
    struct svc s;
    if (size > 65536) {
        return 0; /* never read */
    }
    struct span text = fuzz_copy(span_of(data, size));
    svc_set_init(&set);
    int rc = svc_yaml_read("/s.yaml", "s.yaml", (const char *) text.data, text.size, &set, &why);
    FUZZ_ASSERT(rc == HM_OK || rc == HM_EINVAL || rc == HM_EFULL);
    if (rc == HM_OK) {
        size_t count = 0;
        for (mp_open(&r, buf_span(&set.wanted)); !mp_at_end(&r); count++) {
            FUZZ_ASSERT(svc_read(mp_read_bin(&r, HM_SERVICE_BYTES_MAX), &s) == HM_OK);
            FUZZ_ASSERT(s.source == SVC_FILE && s.file.size == 6);
        }
        FUZZ_ASSERT(count == set.count && count <= HM_SERVICES_MAX);
    } else {
        FUZZ_ASSERT(strncmp(why.text, "/s.yaml:", 8) == 0 && strchr(why.text, '\n') == NULL);
        FUZZ_ASSERT(set.count == 0 && set.wanted.size == 0);
    }
    svc_set_fini(&set);
    fuzz_free(text);
    return 0;
}
