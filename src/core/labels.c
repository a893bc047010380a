/* SPDX-License-Identifier: MPL-2.0 */
/* Labels: a second record that each node signs; the alive record carries its hash. Whoever lacks it asks
 * a linked member for it, the owner first, any other next: the signature is the owner's. */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/sync_msg.h"

#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_NS SECOND_NS
#define ASK_SELDOM_NS (60 * SECOND_NS)
#define ASK_OF_THE_AWAY_NS (8 * SECOND_NS) /* they may have taken their labels with them */
#define ASK_MAX 32 /* ids in one request; 32 records of 4 KiB fit a frame */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct label *) a)->key, ((const struct label *) b)->key);
}

static int pack(struct buf *to, const struct label *labels, size_t count)
{
    struct label sorted[HM_LABELS_MAX];
    if (count > HM_LABELS_MAX) {
        return HM_EFULL;
    }
    if (count > 0) {
        memcpy(sorted, labels, count * sizeof *labels);
        qsort(sorted, count, sizeof sorted[0], by_key);
    }
    mp_map(to, count);
    for (size_t i = 0; i < count; i++) {
        mp_str(to, sorted[i].key);
        mp_str(to, sorted[i].value);
    }
    return buf_failed(to) ? HM_EFULL : HM_OK;
}

int labels_make(core_t *c, const struct label *labels, size_t count)
{
    return pack(&c->label_map, labels, count);
}

static int keep(core_t *c, struct member *m, struct span bytes)
{
    struct labels_record rec;
    uint8_t *copy = malloc(bytes.size);
    if (copy == NULL) {
        return HM_ENOMEM;
    }
    memcpy(copy, bytes.data, bytes.size);
    int rc = labels_record_read(span_of(copy, bytes.size), &rec);
    if (rc != HM_OK) {
        free(copy);
        return rc;
    }
    free(m->labels);
    m->labels = copy;
    m->labels_bytes = bytes.size;
    m->labels_hash = c->crypto.hash(bytes);
    m->label_map = rec.labels;
    memcpy(m->version, rec.version, sizeof m->version);
    return HM_OK;
}

int labels_sign(core_t *c)
{
    struct labels_record rec = {.mesh_tag = c->mesh_tag, .labels = buf_span(&c->label_map)};
    struct buf b;
    memcpy(rec.key, c->key, sizeof rec.key);
    memcpy(rec.version, c->version, sizeof rec.version);
    buf_init(&b, HM_LABELS_BYTES_MAX);
    labels_record_write(&b, &rec);
    next_add_field(c, &b);
    size_t body = b.size;
    uint8_t *signature = buf_extend(&b, RECORD_SIGNATURE_BYTES);
    int rc = HM_EFULL;
    if (signature != NULL) {
        c->crypto.sign(c->crypto.identity, span_of(b.data, body), signature);
        rc = keep(c, c->self, buf_span(&b));
    }
    buf_fini(&b);
    return rc;
}

void labels_change(core_t *c, const struct label *labels, size_t count)
{
    struct buf fresh;
    struct buf old = c->label_map;
    buf_init(&fresh, HM_LABELS_BYTES_MAX);
    bool same = pack(&fresh, labels, count) != HM_OK ||
                (fresh.size == old.size && memcmp(fresh.data, old.data, old.size) == 0);
    if (same || c->leaving || c->removals.is_self || c->self == NULL) {
        buf_fini(&fresh);
        return;
    }
    c->label_map = fresh;
    if (labels_sign(c) != HM_OK) {
        c->label_map = old; /* more bytes than a record has room for, or out of memory */
        buf_fini(&fresh);
        return;
    }
    buf_fini(&old);
    /* The alive record names the labels' hash: whoever hears of it asks for them. */
    self_renew(c, 0, RECORD_ALIVE);
    report_event(c, c->self, EVENT_UPDATED, REASON_UPDATED, &c->self->id);
    core_changed(c);
}

int labels_take(core_t *c, struct member *m, struct span bytes)
{
    struct labels_record rec;
    struct span body;
    const uint8_t *signature;
    if (record_split(bytes, &body, &signature) != 0 || labels_record_read(bytes, &rec) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return HM_EMALFORMED;
    }
    if (memcmp(rec.key, m->rec.key, sizeof rec.key) != 0 || rec.mesh_tag != c->mesh_tag ||
        !c->crypto.verify(rec.key, body, signature)) {
        core_count(c, M_DROP_FORGED_RECORD);
        return HM_EDENIED;
    }
    if (c->crypto.hash(bytes) != m->rec.labels_hash) {
        return HM_ESTALE;
    }
    return keep(c, m, bytes);
}

static bool is_lacking(const struct member *m)
{
    return m->rec.labels_hash != m->labels_hash;
}

void labels_wanted(core_t *c)
{
    c->labels_wait_ns = ASK_AGAIN_NS;
    if (c->ready && c->links_up > 0) {
        core_arm_earlier(c, TIMER_LABELS, c->now_ns + 20 * MS_NS);
    }
}

static void ask(core_t *c, struct member *whom, struct span ids)
{
    struct buf b;
    buf_init(&b, HM_DATAGRAM_BYTES_MAX);
    id_list_write(&b, ids);
    if (!buf_failed(&b)) {
        send_frame(c, whom, FRAME_LABELS_WANT, buf_span(&b));
    }
    buf_fini(&b);
}

/* Each lacking member that is linked is asked itself; of the others a random linked member is asked. For
 * those that are away only a few times. */
void labels_tick(core_t *c)
{
    struct node_id others[ASK_MAX];
    struct member *whom = NULL;
    size_t count = 0;
    bool lacking = false;
    bool lacking_away = false;
    /* From a different one each time: what nobody has must not keep the rest from being asked for. */
    size_t start = (size_t) prng_below(&c->prng, c->roster.count);
    for (size_t i = 0; i < c->roster.count; i++) {
        struct member *m = c->roster.items[(start + i) % c->roster.count];
        if (m == c->self || !is_lacking(m)) {
            continue;
        }
        lacking |= member_is_up(m);
        lacking_away |= !member_is_up(m);
        if (m->link == LINK_UP) {
            ask(c, m, span_of(m->id.b, NODE_ID_BYTES));
        } else if (count < ASK_MAX) {
            others[count++] = m->id;
        }
    }
    if (count > 0 && order_pick(&c->probe_order, &c->prng, 1, member_is_linked, NULL, &whom) == 1) {
        ask(c, whom, span_of(others, count * NODE_ID_BYTES));
    }
    /* With no link there is nobody to ask; the next link arms this again. */
    lacking |= lacking_away && c->labels_wait_ns < ASK_OF_THE_AWAY_NS;
    if (lacking && c->links_up > 0) {
        core_arm(c, TIMER_LABELS, c->now_ns + c->labels_wait_ns);
        c->labels_wait_ns = 2 * c->labels_wait_ns < ASK_SELDOM_NS ? 2 * c->labels_wait_ns : ASK_SELDOM_NS;
    }
}

static void on_want(core_t *c, struct member *m, struct span body)
{
    struct span ids;
    struct buf records, b;
    size_t count = 0;
    if (id_list_read(body, &ids) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    buf_init(&records, HM_CHUNK_BYTES_MAX - 64);
    for (size_t at = 0; at < ids.size && count < ASK_MAX; at += NODE_ID_BYTES) {
        struct node_id id;
        memcpy(id.b, ids.data + at, NODE_ID_BYTES);
        const struct member *one = roster_find(&c->roster, &id);
        if (one != NULL && one->labels != NULL) {
            mp_bin(&records, one->labels, one->labels_bytes);
            count++;
        }
    }
    buf_init(&b, HM_CHUNK_BYTES_MAX);
    mp_array(&b, count);
    buf_append(&b, records.data, records.size);
    if (count > 0 && !buf_failed(&records) && !buf_failed(&b)) {
        send_frame(c, m, FRAME_LABELS, buf_span(&b));
    }
    buf_fini(&records);
    buf_fini(&b);
}

/* Takes one record for the member it belongs to. */
static void take_one(core_t *c, struct span bytes)
{
    struct labels_record rec;
    struct node_id id;
    if (labels_record_read(bytes, &rec) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    c->crypto.id_of_key(rec.key, &id);
    struct member *m = roster_find(&c->roster, &id);
    if (m == NULL || m == c->self || !is_lacking(m)) {
        return;
    }
    bool first = m->labels == NULL;
    if (labels_take(c, m, bytes) == HM_OK) {
        persist_member(c, m);
        if (!first) {
            report_event(c, m, EVENT_UPDATED, REASON_UPDATED, &m->id);
        }
    }
}

void labels_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    struct mp_reader r;
    if (type == FRAME_LABELS_WANT) {
        on_want(c, m, body);
        return;
    }
    mp_open(&r, body);
    size_t count = mp_read_array(&r);
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        struct span bytes = mp_read_bin(&r, HM_LABELS_BYTES_MAX);
        if (!mp_failed(&r)) {
            take_one(c, bytes);
        }
    }
    if (mp_failed(&r)) {
        core_count(c, M_DROP_MALFORMED);
    }
}
