/* SPDX-License-Identifier: MPL-2.0 */
/* Answers of a DNS server, which may be anybody's: read whole or refused, hosts that are host names,
 * in an order. */
#include "fuzz.h"

#include "base/err.h"
#include "io/srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srv srv[SRV_MAX];
    size_t count = 0;
    struct span answer = fuzz_copy(span_of(data, size));
    int result = srv_read(answer, srv, &count);
    fuzz_free(answer);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_ENOTFOUND);
    FUZZ_ASSERT(result != HM_OK || (count > 0 && count <= SRV_MAX));
    for (size_t i = 0; result == HM_OK && i < count; i++) {
        const char *host = srv[i].host;
        FUZZ_ASSERT(memchr(host, '\0', sizeof srv[i].host) != NULL && host[0] != '\0');
        FUZZ_ASSERT(strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                    strlen(host));
        FUZZ_ASSERT(i == 0 || srv[i - 1].priority <= srv[i].priority);
    }
    return 0;
}
