/* SPDX-License-Identifier: MPL-2.0 */
/* Watching keys: what there is, then every change, and no gap.
 *
 *   LISTING --last page--> FOLLOWING --the place is not kept any more: meshd restarted--> LISTING
 *
 * The first page of a listing tells a place in meshd's change log; behind it the long poll kv.watch goes on
 * (docs/decisions/0009). What changed while the pages came is then told from the log, unless its page has shown
 * it: each key is remembered with its version and the place of its page. A listing is compared with what is
 * remembered, so the program is told what differs and nothing twice. A connection that ends is nothing special:
 * both are reads, which are asked again. */
#define _GNU_SOURCE
#include "base/be.h"
#include "base/limits.h"
#include "base/omap.h"
#include "base/text.h"
#include "client/hm_priv.h"

#include <stdlib.h>
#include <string.h>

#define WATCHES_MAX 64     /* of one handle: each is a call that waits in meshd, which has room for 320 */
#define WAIT_MS 20000      /* a long poll; then it is asked again. One that is ended lasts so long in meshd */
#define AGAIN_MS 250       /* after a refusal */
#define KNOWN_BYTES 64
#define NUMBER_BYTES 8

struct hm_watch {
    hm_t *hm;
    struct hm_watch *next;
    char *prefix;
    hm_change_fn *changed;
    void *ctx;
    omap_t *known;    /* key -> number of the place, version; tag: the listing that showed it */
    uint64_t listing; /* its number; 1: the first */
    bool is_listing;
    char place[PLACE_BYTES];
    char after[PAGE_NEXT_BYTES];
    uint64_t call;    /* under way; 0: none */
    uint64_t again_ms; /* when to ask again; NEVER_MS: a call is under way */
    bool is_telling;  /* its function may run */
    bool is_ended;    /* freed when that is over */
};

/* ---- telling --------------------------------------------------------------------------------- */

static void tell(struct hm_watch *w, enum hm_op op, const struct hm_entry *entry)
{
    struct hm_change change = {.op = op, .entry = entry};
    if (!w->is_ended) {
        w->changed(w->ctx, &change);
    }
}

static uint64_t number_of(const char *place)
{
    const char *dash = strchr(place, '-');
    uint64_t number = 0;
    return dash != NULL && text_to_u64(dash + 1, UINT64_MAX, &number) == HM_OK ? number : 0;
}

static struct span key_of(const struct hm_entry *e)
{
    return span_of(e->key, strlen(e->key));
}

/* Remembers it; true if its version is news. */
static int learn(struct hm_watch *w, const struct hm_entry *e, uint64_t number, bool *ret_is_news)
{
    uint8_t bytes[NUMBER_BYTES + HM_VERSION_BYTES];
    struct span was;
    size_t size = strnlen(e->version, HM_VERSION_BYTES);
    memcpy(be_put(bytes, number, NUMBER_BYTES), e->version, size);
    struct span now = span_of(bytes, NUMBER_BYTES + size);
    *ret_is_news = !omap_get(w->known, key_of(e), &was, NULL) || was.size != now.size ||
                   memcmp(was.data + NUMBER_BYTES, e->version, size) != 0;
    return omap_put(w->known, key_of(e), now, w->listing);
}

static int tell_listed(struct hm_watch *w, struct page *page)
{
    struct entry_room *room = &w->hm->shown;
    uint64_t number = number_of(page->since);
    int code = HM_OK;
    for (size_t i = 0; i < page->count && code == HM_OK && !w->is_ended; i++) {
        bool is_news = false;
        code = room_read(room, mp_read_raw(&page->items), NULL);
        code = code == HM_OK ? learn(w, &room->entry, number, &is_news) : code;
        if (code == HM_OK && is_news) {
            tell(w, HM_PUT, &room->entry);
        }
    }
    return code;
}

/* What the last listing has not shown any more. */
static int tell_missing(struct hm_watch *w)
{
    struct span at = span_of("", 0), key;
    uint64_t listing;
    struct buf name;
    bool inclusive = true;
    int code = HM_OK;
    buf_init(&name, SIZE_MAX);
    while (code == HM_OK && !w->is_ended &&
           omap_next(w->known, at, inclusive, &key, NULL, &listing)) {
        buf_clear(&name); /* the map's own goes with the key */
        buf_append(&name, key.data, key.size);
        buf_append(&name, "", 1);
        if (buf_failed(&name)) {
            code = HM_ENOMEM;
            break;
        }
        at = span_of(name.data, key.size);
        inclusive = false;
        if (listing != w->listing) {
            struct hm_entry gone = {.key = (const char *) name.data,
                                    .type = HM_REGISTER,
                                    .value = {"", 0},
                                    .version = "",
                                    .origin = ""};
            omap_remove(w->known, at);
            tell(w, HM_DELETE, &gone);
        }
    }
    buf_fini(&name);
    return code;
}

static int tell_change(struct hm_watch *w, const struct hm_entry *e, const struct entry_more *more)
{
    struct span was;
    uint64_t number = number_of(more->since);
    bool is_known = omap_get(w->known, key_of(e), &was, NULL);
    bool is_news = true;
    int code = HM_OK;
    if (is_known && be_get(was.data, NUMBER_BYTES) >= number) {
        return HM_OK; /* its page has shown it already */
    }
    if (more->is_delete) {
        is_news = omap_remove(w->known, key_of(e));
    } else {
        code = learn(w, e, number, &is_news);
    }
    if (code == HM_OK && is_news) {
        tell(w, more->is_delete ? HM_DELETE : HM_PUT, e);
    }
    return code;
}

static int tell_changes(struct hm_watch *w, struct page *page)
{
    struct entry_room *room = &w->hm->shown;
    int code = HM_OK;
    for (size_t i = 0; i < page->count && code == HM_OK && !w->is_ended; i++) {
        struct entry_more more;
        code = room_read(room, mp_read_raw(&page->items), &more);
        code = code == HM_OK ? tell_change(w, &room->entry, &more) : code;
    }
    return code;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void ask(struct hm_watch *w);

static void begin_listing(struct hm_watch *w)
{
    w->is_listing = true;
    w->listing++;
    w->after[0] = '\0';
    w->place[0] = '\0';
}

static int take_listed(struct hm_watch *w, struct span value)
{
    struct page page;
    int code = page_read(value, "keys", &page);
    if (code != HM_OK) {
        return code;
    }
    if (w->after[0] == '\0') {
        memcpy(w->place, page.since, sizeof w->place);
    }
    code = tell_listed(w, &page);
    if (code == HM_OK && page.next[0] == '\0') {
        w->is_listing = false;
        code = tell_missing(w);
        tell(w, HM_SYNCED, NULL);
    }
    memcpy(w->after, page.next, sizeof w->after);
    return code;
}

static int take_changes(struct hm_watch *w, struct span value)
{
    struct page page;
    int code = page_read(value, "changes", &page);
    if (code == HM_OK && page.has_gap) {
        begin_listing(w);
    } else if (code == HM_OK) {
        code = tell_changes(w, &page);
        memcpy(w->place, page.next, sizeof w->place);
        w->place[sizeof w->place - 1] = '\0';
    }
    return code;
}

static void end_telling(struct hm_watch *w);

static void take(hm_t *hm, const struct call *call, int code, const char *why, struct span value)
{
    struct hm_watch *w = call->ctx;
    (void) why;
    w->call = 0;
    w->is_telling = true;
    if (code == HM_OK) {
        code = w->is_listing ? take_listed(w, value) : take_changes(w, value);
        if (code != HM_OK) { /* half told: all is compared again */
            begin_listing(w);
        }
    } else if (code == HM_EINVAL) { /* a place that this meshd cannot read */
        begin_listing(w);
    }
    w->again_ms = code == HM_OK ? 0 : hm->now_ms + AGAIN_MS;
    end_telling(w);
}

static int begin_follow(struct hm_watch *w, struct call_start *start)
{
    struct buf *b = &w->hm->args;
    bool has_prefix = w->prefix[0] != '\0';
    buf_clear(b);
    mp_map(b, 2 + (size_t) has_prefix);
    if (has_prefix) {
        mp_str(b, "prefix");
        mp_str(b, w->prefix);
    }
    mp_str(b, "since");
    mp_str(b, w->place);
    mp_str(b, "wait");
    mp_bool(b, true);
    if (buf_failed(b)) {
        return HM_ENOMEM;
    }
    start->op = "kv.watch";
    start->args = buf_span(b);
    start->timeout_ms = WAIT_MS;
    return call_begin(w->hm, start, &w->call);
}

static void ask(struct hm_watch *w)
{
    struct call_start start = {.done = take, .ctx = w};
    int code = w->is_listing ? list_begin(w->hm, w->prefix, w->after, &start, &w->call)
                             : begin_follow(w, &start);
    w->again_ms = code == HM_OK ? NEVER_MS : w->hm->now_ms + AGAIN_MS;
}

static void free_watch(struct hm_watch *w)
{
    omap_destroy(&w->known);
    free(w->prefix);
    free(w);
}

static void end_telling(struct hm_watch *w)
{
    w->is_telling = false;
    if (w->is_ended) {
        free_watch(w);
    } else if (w->again_ms == 0) {
        ask(w);
    }
}

/* ---- the program's --------------------------------------------------------------------------- */

int hm_watch(hm_t *hm, const char *prefix, hm_change_fn *changed, void *ctx, hm_watch_t **ret_watch)
{
    if (strlen(prefix) > HM_USER_KEY_BYTES_MAX) {
        return hm_fail(hm, HM_EINVAL, "a prefix has at most 512 bytes");
    }
    if (!text_is_clean_utf8((const uint8_t *) prefix, strlen(prefix))) { /* refused for ever */
        return hm_fail(hm, HM_EINVAL, "a prefix must be UTF-8 text without control characters");
    }
    size_t count = 0;
    for (const struct hm_watch *other = hm->watches; other != NULL; other = other->next) {
        count++;
    }
    if (count >= WATCHES_MAX) {
        return hm_fail(hm, HM_EFULL, "a handle has at most 64 watches");
    }
    struct hm_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return hm_fail(hm, HM_ENOMEM, "");
    }
    w->hm = hm;
    w->prefix = strdup(prefix);
    w->known = omap_new();
    w->changed = changed;
    w->ctx = ctx;
    if (w->prefix == NULL || w->known == NULL) {
        free_watch(w);
        return hm_fail(hm, HM_ENOMEM, "");
    }
    begin_listing(w);
    w->next = hm->watches;
    hm->watches = w;
    ask(w);
    hm_stir(hm);
    *ret_watch = w;
    return HM_OK;
}

void hm_unwatch(hm_watch_t **p)
{
    struct hm_watch *w = *p;
    if (w == NULL) {
        return;
    }
    *p = NULL;
    struct hm_watch **at = &w->hm->watches;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    if (w->call != 0) {
        (void) call_cancel(w->hm, w->call);
    }
    w->is_ended = true;
    if (!w->is_telling) {
        free_watch(w);
    }
}

void watches_fini(hm_t *hm)
{
    while (hm->watches != NULL) {
        hm_watch_t *w = hm->watches;
        hm_unwatch(&w);
    }
}

void watches_serve(hm_t *hm)
{
    struct hm_watch *next;
    for (struct hm_watch *w = hm->watches; w != NULL; w = next) {
        next = w->next;
        if (w->again_ms <= hm->now_ms) {
            ask(w);
        }
    }
}

uint64_t watches_due_ms(const hm_t *hm)
{
    uint64_t due_ms = NEVER_MS;
    for (const struct hm_watch *w = hm->watches; w != NULL; w = w->next) {
        due_ms = w->again_ms < due_ms ? w->again_ms : due_ms;
    }
    return due_ms;
}
