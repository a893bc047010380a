/* SPDX-License-Identifier: MPL-2.0 */
/* SRV records: see srv.h. The C library's stub resolver asks, getaddrinfo has no way to. */
#define _GNU_SOURCE
#include "io/srv.h"

#include "base/err.h"
#include "base/text.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX 16384 /* hundreds of records; a longer answer is cut */
#define FIXED_BYTES 6          /* priority, weight, port */

static bool is_host_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return len > 0 && strcmp(name, ".") != 0;
}

/* False: malformed, or not a record for us. */
static bool read_record(ns_msg *msg, int idx, struct srv *ret)
{
    ns_rr rr;
    if (ns_parserr(msg, ns_s_an, idx, &rr) != 0 || ns_rr_type(rr) != ns_t_srv ||
        ns_rr_class(rr) != ns_c_in || ns_rr_rdlen(rr) <= FIXED_BYTES) {
        return false;
    }
    const unsigned char *data = ns_rr_rdata(rr);
    struct srv s = {.priority = (uint16_t) ns_get16(data),
                    .weight = (uint16_t) ns_get16(data + 2),
                    .port = (uint16_t) ns_get16(data + 4)};
    if (dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), data + FIXED_BYTES, s.host,
                  (int) sizeof s.host) < 0) {
        return false;
    }
    *ret = s;
    return s.port != 0 && is_host_name(s.host);
}

static int compare(const void *left, const void *right)
{
    const struct srv *a = left;
    const struct srv *b = right;
    if (a->priority != b->priority) {
        return a->priority < b->priority ? -1 : 1;
    }
    if (a->weight != b->weight) {
        return a->weight > b->weight ? -1 : 1;
    }
    return strcmp(a->host, b->host);
}

int srv_read(struct span answer, struct srv ret_srv[SRV_MAX], size_t *ret_count)
{
    ns_msg msg;
    size_t count = 0;
    if (answer.size > ANSWER_BYTES_MAX ||
        ns_initparse(answer.data, (int) answer.size, &msg) != 0) {
        return HM_EMALFORMED;
    }
    for (int i = 0; i < ns_msg_count(msg, ns_s_an) && count < SRV_MAX; i++) {
        if (read_record(&msg, i, &ret_srv[count])) {
            count++;
        }
    }
    qsort(ret_srv, count, sizeof ret_srv[0], compare);
    *ret_count = count;
    return count > 0 ? HM_OK : HM_ENOTFOUND;
}

int srv_query(const char *name, struct srv ret_srv[SRV_MAX], size_t *ret_count)
{
    struct __res_state state;
    unsigned char *answer = calloc(1, ANSWER_BYTES_MAX);
    int rc = HM_EUNREACHABLE;
    memset(&state, 0, sizeof state);
    /* Anew for each question: the servers are others on another network. */
    if (answer == NULL || res_ninit(&state) != 0) {
        free(answer);
        return HM_EUNREACHABLE;
    }
    int size = res_nsearch(&state, name, ns_c_in, ns_t_srv, answer, ANSWER_BYTES_MAX);
    if (size > ANSWER_BYTES_MAX) {
        size = ANSWER_BYTES_MAX;
    }
    if (size > 0) {
        rc = srv_read(span_of(answer, (size_t) size), ret_srv, ret_count);
    } else if (state.res_h_errno == HOST_NOT_FOUND || state.res_h_errno == NO_DATA) {
        rc = HM_ENOTFOUND;
    }
    res_nclose(&state);
    free(answer);
    return rc;
}
