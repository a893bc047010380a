/* SPDX-License-Identifier: MPL-2.0 */
/* This node's own services, kept: see service.h.
 *
 *     rows     one for each own service in the registry: when it was last refreshed
 *     wanted   what the files in services.d say, until they say otherwise
 *
 * A tick brings the two and the registry together: it looks at each own entry, makes critical or deregisters
 * those that were not refreshed, and writes what the files want. So nothing is lost for good when a write was
 * refused, when the disk failed or when own entries came back from another node. */
#include "core/service.h"

#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_NS (60 * SECOND_NS)  /* at least so often, for what nobody tells us of */
#define AGAIN_NS (5 * SECOND_NS)  /* after a write that was refused */
#define TEXT_NS (60 * SECOND_NS)  /* a new text alone is written so often */
#define AFTER_MS_MIN 60000        /* a service is critical for so long before it goes */

static struct span empty(void)
{
    return span_of(NULL, 0);
}

static bool span_same(struct span a, struct span b)
{
    return span_cmp(a, b) == 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int row_cmp(const struct service_row *row, struct span id)
{
    size_t size = strlen(row->id);
    int order = memcmp(row->id, id.data, size < id.size ? size : id.size);
    return order != 0 ? order : (size > id.size) - (size < id.size);
}

/* Where it is, or belongs. */
static size_t row_place(const struct services *s, struct span id)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (row_cmp(&s->rows[mid], id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct service_row *row_find(struct services *s, struct span id)
{
    size_t at = row_place(s, id);
    return at < s->count && row_cmp(&s->rows[at], id) == 0 ? &s->rows[at] : NULL;
}

/* The row of a good id, made if it is not there. NULL: no memory. */
static struct service_row *row_of(core_t *c, struct span id)
{
    struct services *s = &c->services;
    struct service_row *row = row_find(s, id);
    if (row != NULL) {
        return row;
    }
    if (s->count == s->room) {
        size_t room = s->room == 0 ? 8 : 2 * s->room;
        struct service_row *rows = realloc(s->rows, room * sizeof *rows);
        if (rows == NULL) {
            return NULL;
        }
        s->rows = rows;
        s->room = room;
    }
    size_t at = row_place(s, id);
    memmove(&s->rows[at + 1], &s->rows[at], (s->count - at) * sizeof *s->rows);
    s->count++;
    row = &s->rows[at];
    memset(row, 0, sizeof *row);
    memcpy(row->id, id.data, id.size);
    row->refreshed_ns = c->now_ns;
    return row;
}

/* ---- writing --------------------------------------------------------------------------------- */

static size_t own_key(const core_t *c, struct span id, uint8_t key[SVC_KEY_BYTES_MAX])
{
    return svc_key(&c->self->id, id, key);
}

static int own_get(core_t *c, struct span id, struct service_view *ret_view)
{
    uint8_t key[SVC_KEY_BYTES_MAX];
    if (svc_text_wrong(SVC_ID, id) != NULL) {
        return HM_ENOTFOUND;
    }
    return service_read(c->registry, LOOK_ALL, span_of(key, own_key(c, id, key)), ret_view);
}

/* For a write that is not needed: what is to be waited for, since it may be pending still. */
static uint64_t pending_ticket(core_t *c, struct span id)
{
    struct service_view all, shown;
    uint8_t key[SVC_KEY_BYTES_MAX];
    struct span k = span_of(key, own_key(c, id, key));
    if (service_read(c->registry, LOOK_ALL, k, &all) != HM_OK) {
        return 0;
    }
    struct dot dot = all.dot;
    if (service_read(c->registry, LOOK_SHOWN, k, &shown) == HM_OK && dot_eq(&shown.dot, &dot)) {
        return 0;
    }
    uint64_t round = registry_round(c->registry);
    return registry_is_dirty(c->registry) ? round : round - 1;
}

/* Writes it as it is to be. s may borrow from the registry. */
static int write_service(core_t *c, const struct svc *s, uint64_t *ret_ticket)
{
    uint8_t key[SVC_KEY_BYTES_MAX];
    struct buf value;
    buf_init(&value, HM_SERVICE_BYTES_MAX);
    svc_write(&value, s);
    struct registry_write w = {.key = span_of(key, own_key(c, s->id, key)),
                               .type = ENTRY_REGISTER,
                               .value = buf_span(&value),
                               .wall_ms = c->wall_ms};
    struct service_row *row = row_of(c, s->id);
    int rc = buf_failed(&value) ? HM_EFULL : row == NULL ? HM_ENOMEM : HM_OK;
    if (rc == HM_OK) {
        rc = core_write(c, &w, NULL, ret_ticket);
    }
    if (rc == HM_OK) {
        row->written_ns = c->now_ns;
    }
    buf_fini(&value);
    return rc;
}

static int delete_service(core_t *c, struct span id, uint64_t *ret_ticket)
{
    uint8_t key[SVC_KEY_BYTES_MAX];
    struct registry_write w = {.key = span_of(key, own_key(c, id, key)),
                               .type = ENTRY_REGISTER,
                               .is_deleted = true,
                               .wall_ms = c->wall_ms};
    return core_write(c, &w, NULL, ret_ticket);
}

/* ---- registering ----------------------------------------------------------------------------- */

struct span core_service_id(core_t *c, const struct svc *s, char text[HM_SERVICE_ID_BYTES_MAX + 1])
{
    struct service_view v;
    snprintf(text, HM_SERVICE_ID_BYTES_MAX + 1, "%.*s-%u", (int) s->name.size,
             (const char *) s->name.data, (unsigned) s->port);
    bool is_there = own_get(c, span_of(text, strlen(text)), &v) == HM_OK;
    bool is_it = is_there && v.svc.port == s->port && span_same(v.svc.name, s->name);
    bool is_taken = own_get(c, s->name, &v) == HM_OK && v.svc.port != s->port;
    if (!is_it && !is_taken) {
        memcpy(text, s->name.data, s->name.size);
        text[s->name.size] = '\0';
    }
    return span_of(text, strlen(text));
}

static int check_room(core_t *c, bool is_new)
{
    return is_new && c->services.count >= HM_SERVICES_MAX ? HM_EFULL : HM_OK;
}

/* Writes s if it says something else than what is there. is_there: as `have`. */
static int put_service(core_t *c, const struct svc *s, bool is_there, const struct svc *have,
                       uint64_t *ret_ticket)
{
    struct svc fresh = *s;
    bool is_back = is_there && have->is_expired;
    if (is_there && svc_same(have, s) && !is_back) {
        *ret_ticket = pending_ticket(c, s->id);
        return HM_OK;
    }
    fresh.health = is_there && !is_back ? have->health : SVC_PASSING;
    fresh.text = is_there && !is_back ? have->text : empty();
    fresh.is_expired = false;
    return write_service(c, &fresh, ret_ticket);
}

static int refresh(core_t *c, struct span id, uint64_t ttl_ms)
{
    struct service_row *row = row_of(c, id);
    if (row == NULL) {
        return HM_ENOMEM;
    }
    row->refreshed_ns = c->now_ns;
    if (ttl_ms > 0) {
        core_arm_earlier(c, TIMER_SERVICES, c->now_ns + ttl_ms * MS_NS);
    }
    return HM_OK;
}

static bool may_write(const core_t *c)
{
    return c->ready && !c->leaving && !c->copy.aside;
}

int core_service_register(core_t *c, const struct svc *s, uint64_t *ret_ticket)
{
    struct service_view v;
    if (!may_write(c)) {
        return HM_EBUSY;
    }
    bool is_there = own_get(c, s->id, &v) == HM_OK;
    if (is_there && v.svc.source == SVC_FILE && s->source != SVC_FILE) {
        return HM_EEXIST;
    }
    int rc = check_room(c, !is_there);
    if (rc == HM_OK) {
        rc = put_service(c, s, is_there, &v.svc, ret_ticket);
    }
    return rc == HM_OK ? refresh(c, s->id, s->ttl_ms) : rc;
}

int core_service_deregister(core_t *c, struct span id, uint64_t *ret_ticket)
{
    struct service_view v;
    if (!may_write(c)) {
        return HM_EBUSY;
    }
    int rc = own_get(c, id, &v);
    if (rc == HM_OK && v.svc.source == SVC_FILE) {
        rc = HM_EEXIST;
    }
    rc = rc == HM_OK ? delete_service(c, id, ret_ticket) : rc;
    const struct service_row *row = row_find(&c->services, id);
    if (rc == HM_OK && row != NULL && row->is_noted) { /* a file waits for this id */
        core_arm_earlier(c, TIMER_SERVICES, c->now_ns);
    }
    return rc;
}

int core_service_check(core_t *c, struct span id, enum svc_health health, struct span text,
                       uint64_t *ret_ticket)
{
    struct service_view v;
    if (!may_write(c)) {
        return HM_EBUSY;
    }
    int rc = own_get(c, id, &v);
    struct service_row *row = rc == HM_OK ? row_of(c, id) : NULL;
    if (rc != HM_OK || row == NULL) {
        return rc != HM_OK ? rc : HM_ENOMEM;
    }
    uint64_t ttl_ms = v.svc.ttl_ms;
    bool is_news = v.svc.health != health || v.svc.is_expired;
    bool is_text = !span_same(v.svc.text, text) &&
                   (row->written_ns == 0 || c->now_ns - row->written_ns >= TEXT_NS);
    if (is_news || is_text) {
        struct svc fresh = v.svc;
        fresh.health = health;
        fresh.text = text;
        fresh.is_expired = false;
        rc = write_service(c, &fresh, ret_ticket);
    } else {
        *ret_ticket = pending_ticket(c, id);
    }
    return rc == HM_OK ? refresh(c, id, ttl_ms) : rc;
}

struct span core_service_file(core_t *c, struct span id)
{
    struct service_view v;
    bool is_there = c->self != NULL && own_get(c, id, &v) == HM_OK;
    return is_there && v.svc.source == SVC_FILE ? v.svc.file : empty();
}

/* ---- the tick -------------------------------------------------------------------------------- */

static void note_service(core_t *c, enum note_level level, enum note_code code, struct span id)
{
    struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
    if (fx != NULL) {
        size_t size = id.size < SHOWN_NAME_BYTES ? id.size : SHOWN_NAME_BYTES - 1;
        fx->as.note.level = level;
        fx->as.note.code = code;
        memcpy(fx->as.note.name, id.data, size);
    }
}

static uint64_t after_ns(const struct svc *s)
{
    uint64_t ms = s->after_ms;
    if (ms == 0) {
        ms = 3 * s->ttl_ms < AFTER_MS_MIN ? AFTER_MS_MIN : 3 * s->ttl_ms;
    }
    return (ms > s->ttl_ms ? ms : s->ttl_ms) * MS_NS;
}

/* What a missed refresh means for it now. Sets when it is to be looked at again. */
static int check_ttl(core_t *c, const struct service_row *row, const struct svc *s,
                     uint64_t *ret_next_ns)
{
    uint64_t critical_ns = row->refreshed_ns + s->ttl_ms * MS_NS;
    uint64_t gone_ns = row->refreshed_ns + after_ns(s);
    uint64_t ticket = 0;
    char text[80];
    int rc = HM_OK;
    if (s->ttl_ms == 0) {
        return HM_OK;
    }
    /* What a file says is there as long as the file says so. */
    if (c->now_ns >= gone_ns && s->source != SVC_FILE) {
        note_service(c, NOTE_WARN, NOTE_SERVICE_GONE, s->id);
        *ret_next_ns = row->is_noted ? c->now_ns + 1 : *ret_next_ns; /* a file waits for this id */
        return delete_service(c, s->id, &ticket);
    }
    if (c->now_ns >= critical_ns && s->health != SVC_CRITICAL) {
        struct svc fresh = *s;
        int size = snprintf(text, sizeof text, "not refreshed for %" PRIu64 " s",
                            (s->ttl_ms + 999) / 1000);
        fresh.health = SVC_CRITICAL;
        fresh.is_expired = true;
        fresh.text = span_of(text, (size_t) size);
        rc = write_service(c, &fresh, &ticket);
        if (rc == HM_OK) { /* what s borrowed may be gone with the write */
            note_service(c, NOTE_WARN, NOTE_SERVICE_EXPIRED, span_of(row->id, strlen(row->id)));
        }
    }
    uint64_t next = c->now_ns < critical_ns        ? critical_ns
                    : s->source == SVC_FILE ? TIMER_NEVER
                                            : gone_ns;
    *ret_next_ns = next < *ret_next_ns ? next : *ret_next_ns;
    return rc;
}

/* A service that a file registered, and that no file speaks of any more. */
static bool is_unwanted(core_t *c, const struct service_row *row, const struct svc *s)
{
    struct mp_reader r;
    if (s->source != SVC_FILE || !c->services.is_told || row->is_wanted) {
        return false;
    }
    mp_open(&r, buf_span(&c->services.kept));
    while (!mp_at_end(&r)) {
        if (span_same(mp_read_str(&r, HM_SERVICE_FILE_BYTES_MAX), s->file)) {
            return false; /* it cannot be read now: what it said stays */
        }
    }
    return true;
}

/* Writes what the files say and marks their rows. */
static int put_wanted(core_t *c)
{
    struct mp_reader r;
    int result = HM_OK;
    for (size_t i = 0; i < c->services.count; i++) {
        c->services.rows[i].is_wanted = false;
    }
    mp_open(&r, buf_span(&c->services.wanted));
    while (!mp_at_end(&r)) {
        struct svc s;
        struct service_view v;
        uint64_t ticket = 0;
        if (svc_read(mp_read_bin(&r, HM_SERVICE_BYTES_MAX), &s) != HM_OK) {
            break; /* checked when it was handed in */
        }
        bool is_there = own_get(c, s.id, &v) == HM_OK;
        struct service_row *row = row_find(&c->services, s.id);
        if (is_there && v.svc.source != SVC_FILE) {
            if (row != NULL && !row->is_noted) {
                row->is_noted = true;
                note_service(c, NOTE_WARN, NOTE_SERVICE_TAKEN, s.id);
            }
            continue;
        }
        int rc = check_room(c, !is_there);
        /* What the files say once more refreshes nothing: that is for whoever sees the service. */
        rc = rc != HM_OK                                  ? rc
             : is_there && svc_same(&v.svc, &s) ? HM_OK
                                                : put_service(c, &s, is_there, &v.svc, &ticket);
        row = rc == HM_OK ? row_of(c, s.id) : NULL;
        if (row != NULL) {
            row->is_wanted = true;
            /* A row may be left of a service that had this id before. */
            row->refreshed_ns = is_there ? row->refreshed_ns : c->now_ns;
        }
        result = rc != HM_OK ? rc : result;
    }
    return result;
}

/* Looks at each own entry. */
static int look_at_all(core_t *c, uint64_t *ret_next_ns)
{
    struct service_walk w = {.at_bytes = 0};
    uint8_t prefix[SVC_KEY_BYTES_MAX];
    uint8_t key[HM_KEY_BYTES_MAX];
    size_t key_size = 0;
    int result = HM_OK;
    size_t size = own_key(c, empty(), prefix);
    while (service_next_key(c->registry, LOOK_ALL, span_of(prefix, size), &w, key, &key_size)) {
        struct service_view v;
        uint64_t ticket = 0;
        if (service_read(c->registry, LOOK_ALL, span_of(key, key_size), &v) != HM_OK) {
            continue;
        }
        struct service_row *row = row_of(c, v.svc.id);
        if (row == NULL) {
            return HM_ENOMEM;
        }
        row->is_there = true;
        int rc = is_unwanted(c, row, &v.svc) ? delete_service(c, v.svc.id, &ticket)
                                             : check_ttl(c, row, &v.svc, ret_next_ns);
        result = rc != HM_OK ? rc : result;
    }
    return result;
}

static void drop_rows(struct services *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->rows[i].is_there) {
            s->rows[kept++] = s->rows[i];
        }
    }
    s->count = kept;
}

void services_tick(core_t *c)
{
    uint64_t next_ns = c->now_ns + TICK_NS;
    if (!may_write(c)) {
        return;
    }
    int wanted = c->services.is_told ? put_wanted(c) : HM_OK;
    for (size_t i = 0; i < c->services.count; i++) {
        c->services.rows[i].is_there = false;
    }
    int rc = look_at_all(c, &next_ns);
    drop_rows(&c->services);
    if ((rc != HM_OK || wanted != HM_OK) && next_ns > c->now_ns + AGAIN_NS) {
        next_ns = c->now_ns + AGAIN_NS;
    }
    core_arm(c, TIMER_SERVICES, next_ns > c->now_ns ? next_ns : c->now_ns + AGAIN_NS);
}

void services_begin(core_t *c)
{
    c->services.count = 0;
    services_tick(c);
}

void services_pause(core_t *c, uint64_t ns)
{
    for (size_t i = 0; i < c->services.count; i++) {
        struct service_row *row = &c->services.rows[i];
        row->refreshed_ns = c->now_ns - row->refreshed_ns > ns ? row->refreshed_ns + ns : c->now_ns;
    }
}

void services_told(core_t *c, struct span wanted, struct span kept)
{
    struct services *s = &c->services;
    buf_clear(&s->wanted);
    buf_clear(&s->kept);
    buf_append(&s->wanted, wanted.data, wanted.size);
    buf_append(&s->kept, kept.data, kept.size);
    if (buf_failed(&s->wanted) || buf_failed(&s->kept)) {
        c->fx.failed = true;
        return;
    }
    s->is_told = true;
    for (size_t i = 0; i < s->count; i++) {
        s->rows[i].is_noted = false;
    }
    services_tick(c);
}

void services_init(core_t *c)
{
    buf_init(&c->services.wanted, (size_t) HM_SERVICES_MAX * (HM_SERVICE_BYTES_MAX + 8));
    buf_init(&c->services.kept, (size_t) HM_SERVICES_MAX * (HM_SERVICE_FILE_BYTES_MAX + 8));
}

void services_fini(core_t *c)
{
    free(c->services.rows);
    buf_fini(&c->services.wanted);
    buf_fini(&c->services.kept);
}
