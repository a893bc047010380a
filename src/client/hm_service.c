/* SPDX-License-Identifier: MPL-2.0 */
/* Services that a program registers, and the refreshing that keeps them.
 *
 * To register is idempotent: the same once more only refreshes. So what is sent is the registration itself at
 * first, after a connection that ended, and when meshd does not know the service (any more); else only how it is
 * (services.pass, warn, fail), which refreshes too. */
#define _GNU_SOURCE
#include "base/limits.h"
#include "base/text.h"
#include "client/hm_priv.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define TTL_MS 10000
#define TTL_MS_MIN 1000
#define AGAIN_MS 500 /* after a refusal */
#define TEXT_BYTES 256

struct hm_registered {
    hm_t *hm;
    struct hm_registered *next;
    struct buf args; /* of services.register */
    char id[HM_SERVICE_ID_BYTES_MAX + 1]; /* "": not known yet */
    unsigned ttl_ms;
    bool is_known;  /* meshd has it, as far as we know */
    bool has_check; /* health and text are said */
    bool is_unsaid; /* they are not sent yet */
    enum hm_health health;
    char text[TEXT_BYTES];
    uint64_t call;   /* a refresh under way; 0: none */
    uint64_t due_ms; /* the next one; NEVER_MS: under way */
};

/* ---- what is sent ---------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *name, const char *text)
{
    if (text != NULL) {
        mp_str(b, name);
        mp_str(b, text);
    }
}

static void write_register(struct buf *b, const struct hm_service_conf *conf, unsigned ttl_ms)
{
    mp_map(b, 4 + (size_t) (conf->id != NULL) + (conf->address != NULL) + (conf->version != NULL) +
                  (conf->tag_count > 0) + (conf->meta_count > 0));
    put_text(b, "name", conf->name);
    mp_str(b, "port");
    mp_uint(b, conf->port);
    mp_str(b, "ttl");
    mp_uint(b, ttl_ms);
    put_text(b, "source", "program");
    put_text(b, "id", conf->id);
    put_text(b, "address", conf->address);
    put_text(b, "version", conf->version);
    if (conf->tag_count > 0) {
        mp_str(b, "tag");
        mp_array(b, conf->tag_count);
        for (size_t i = 0; i < conf->tag_count; i++) {
            mp_str(b, conf->tags[i]);
        }
    }
    if (conf->meta_count > 0) {
        mp_str(b, "meta");
        mp_map(b, conf->meta_count);
        for (size_t i = 0; i < conf->meta_count; i++) {
            mp_str(b, conf->meta[i].key);
            mp_str(b, conf->meta[i].value);
        }
    }
}

static int read_id(struct span value, char ret_id[HM_SERVICE_ID_BYTES_MAX + 1])
{
    struct mp_reader r;
    bool has_id = false;
    mp_open(&r, value);
    size_t count = mp_peek(&r) == MP_MAP ? mp_read_map(&r) : 0;
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        struct span name = mp_read_str(&r, SIZE_MAX);
        if (!mp_failed(&r) && name.size == 2 && memcmp(name.data, "id", 2) == 0) {
            mp_read_text(&r, ret_id, HM_SERVICE_ID_BYTES_MAX + 1);
            has_id = true;
        } else {
            mp_skip(&r);
        }
    }
    return has_id && !mp_failed(&r) ? HM_OK : HM_EMALFORMED;
}

/* ---- refreshing ------------------------------------------------------------------------------ */

static void take_refresh(hm_t *hm, const struct call *call, int code, const char *why,
                         struct span value)
{
    struct hm_registered *s = call->ctx;
    bool was_known = s->is_known;
    (void) why;
    s->call = 0;
    if (code == HM_OK && !was_known) {
        code = read_id(value, s->id);
        s->is_known = code == HM_OK;
    } else if (code != HM_OK) {
        s->is_known = false; /* gone, or nobody knows: it is registered again, which is right in any case */
    }
    s->is_unsaid = s->is_unsaid || (!was_known && s->has_check); /* registered anew, it passes */
    bool is_next = code == HM_ENOTFOUND || (code == HM_OK && s->is_unsaid);
    s->due_ms = is_next ? hm->now_ms : hm->now_ms + (code == HM_OK ? s->ttl_ms / 3 : AGAIN_MS);
}

static const char *op_of(enum hm_health health)
{
    return health == HM_WARNING    ? "services.warn"
           : health == HM_CRITICAL ? "services.fail"
                                   : "services.pass";
}

static int begin_check(struct hm_registered *s, struct call_start *start)
{
    struct buf *b = &s->hm->args;
    buf_clear(b);
    mp_map(b, 1 + (size_t) (s->text[0] != '\0'));
    put_text(b, "id", s->id);
    if (s->text[0] != '\0') {
        put_text(b, "text", s->text);
    }
    s->is_unsaid = false;
    start->op = op_of(s->health);
    start->args = buf_span(b);
    return buf_failed(b) ? HM_ENOMEM : call_begin(s->hm, start, &s->call);
}

static void refresh(struct hm_registered *s)
{
    struct call_start start = {.op = "services.register",
                               .args = buf_span(&s->args),
                               .timeout_ms =
                                   s->ttl_ms < HM_TIMEOUT_MS_MAX ? s->ttl_ms : HM_TIMEOUT_MS_MAX,
                               .done = take_refresh,
                               .ctx = s};
    int code = s->is_known ? begin_check(s, &start) : call_begin(s->hm, &start, &s->call);
    s->due_ms = code == HM_OK ? NEVER_MS : s->hm->now_ms + AGAIN_MS;
}

void services_serve(hm_t *hm)
{
    for (struct hm_registered *s = hm->services; s != NULL; s = s->next) {
        if (s->due_ms <= hm->now_ms) {
            refresh(s);
        }
    }
}

/* meshd may have restarted: it is registered again as soon as there is one. */
void services_on_lost(hm_t *hm)
{
    for (struct hm_registered *s = hm->services; s != NULL; s = s->next) {
        s->is_known = false;
        if (s->call == 0) {
            s->due_ms = hm->now_ms;
        }
    }
}

uint64_t services_due_ms(const hm_t *hm)
{
    uint64_t due_ms = NEVER_MS;
    for (const struct hm_registered *s = hm->services; s != NULL; s = s->next) {
        due_ms = s->due_ms < due_ms ? s->due_ms : due_ms;
    }
    return due_ms;
}

/* ---- the program's --------------------------------------------------------------------------- */

static void free_service(struct hm_registered *s)
{
    buf_fini(&s->args);
    free(s);
}

static void forget(struct hm_registered *s)
{
    struct hm_registered **at = &s->hm->services;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    if (s->call != 0) {
        (void) call_cancel(s->hm, s->call);
    }
    free_service(s);
}

void services_fini(hm_t *hm)
{
    while (hm->services != NULL) {
        forget(hm->services);
    }
}

struct registering {
    struct answer answer;
    struct hm_registered *service;
};

static void take_registered(hm_t *hm, const struct call *call, int code, const char *why,
                            struct span value)
{
    struct registering *r = call->ctx;
    code = code == HM_OK ? read_id(value, r->service->id) : code;
    answer_take(&r->answer, hm, code, why);
}

static int check_conf(hm_t *hm, const struct hm_service_conf *conf)
{
    if (conf->name == NULL || conf->port == 0 || conf->port > 65535) {
        return hm_fail(hm, HM_EINVAL, "a service has a name and a port of 1 to 65535");
    }
    if (conf->ttl_ms != 0 && conf->ttl_ms < TTL_MS_MIN) {
        return hm_fail(hm, HM_EINVAL, "a TTL has at least 1000 ms");
    }
    return HM_OK;
}

static int make_service(hm_t *hm, const struct hm_service_conf *conf,
                        struct hm_registered **ret_service)
{
    struct hm_registered *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return hm_fail(hm, HM_ENOMEM, "");
    }
    s->hm = hm;
    s->ttl_ms = conf->ttl_ms != 0 ? conf->ttl_ms : TTL_MS;
    s->health = HM_PASSING;
    buf_init(&s->args, HM_REQUEST_BYTES_MAX);
    write_register(&s->args, conf, s->ttl_ms);
    if (buf_failed(&s->args)) {
        free_service(s);
        return hm_fail(hm, HM_ENOMEM, "");
    }
    *ret_service = s;
    return HM_OK;
}

int hm_register(hm_t *hm, const struct hm_service_conf *conf, unsigned timeout_ms,
                hm_registered_t **ret_registered)
{
    struct registering r = {.answer = {.is_done = false}};
    uint64_t id = 0;
    int code = check_conf(hm, conf);
    code = code == HM_OK ? make_service(hm, conf, &r.service) : code;
    if (code != HM_OK) {
        return code;
    }
    struct call_start start = {.op = "services.register",
                               .args = buf_span(&r.service->args),
                               .timeout_ms = timeout_ms,
                               .done = take_registered,
                               .ctx = &r};
    code = hm->is_dispatching ? hm_wait(hm, &r.answer.is_done) : call_begin(hm, &start, &id);
    code = answer_wait(hm, code, id, &r.answer);
    if (code != HM_OK) {
        free_service(r.service);
        return code;
    }
    r.service->is_known = true;
    r.service->due_ms = hm->now_ms + r.service->ttl_ms / 3;
    r.service->next = hm->services;
    hm->services = r.service;
    hm_stir(hm);
    *ret_registered = r.service;
    return HM_OK;
}

const char *hm_registered_id(const hm_registered_t *registered)
{
    return registered->id;
}

int hm_check(hm_registered_t *s, enum hm_health health, const char *text)
{
    if (health != HM_PASSING && health != HM_WARNING && health != HM_CRITICAL) {
        return hm_fail(s->hm, HM_EINVAL, "health must be HM_PASSING, HM_WARNING or HM_CRITICAL");
    }
    s->health = health;
    s->has_check = s->is_unsaid = true;
    text_copy_clean(s->text, sizeof s->text, text != NULL ? text : "");
    if (s->call == 0) { /* else as soon as that is over */
        refresh(s);
        hm_stir(s->hm);
    }
    return HM_OK;
}

static void take_gone(hm_t *hm, const struct call *call, int code, const char *why,
                      struct span value)
{
    (void) value;
    answer_take(call->ctx, hm, code, why);
}

int hm_deregister(hm_registered_t **p, unsigned timeout_ms)
{
    struct answer a = {.is_done = false};
    struct hm_registered *s = *p;
    if (s == NULL) {
        return HM_OK;
    }
    hm_t *hm = s->hm;
    uint64_t id = 0;
    if (hm->is_dispatching) {
        return hm_wait(hm, &a.is_done);
    }
    buf_clear(&hm->args);
    mp_map(&hm->args, 1);
    put_text(&hm->args, "id", s->id);
    *p = NULL;
    forget(s); /* no refresh comes behind it */
    struct call_start start = {.op = "services.deregister",
                               .args = buf_span(&hm->args),
                               .timeout_ms = timeout_ms,
                               .is_write = true,
                               .done = take_gone,
                               .ctx = &a};
    int code = buf_failed(&hm->args) ? hm_fail(hm, HM_ENOMEM, "") : call_begin(hm, &start, &id);
    return answer_wait(hm, code, id, &a);
}
