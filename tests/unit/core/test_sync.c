/* SPDX-License-Identifier: MPL-2.0 */
/* Full exchange over a link: equal views exchange nothing, different ones end equal, nothing is
 * revived, and a hostile partner gets no more out than it put in, within bounds. */
#include "../unit.h"

#include "base/limits.h"
#include "mini.h"
#include "wire/sync_msg.h"

static void frame(struct mini *m, size_t from, enum frame_type type, struct span body)
{
    struct event ev = {.type = EV_FRAME};
    struct span copy = exact_copy(body.data, body.size);
    ev.as.frame.peer = m->peer[from].id;
    ev.as.frame.type = (uint8_t) type;
    ev.as.frame.body = copy;
    mini_step(m, &ev);
    exact_free(copy);
}

static void link_up(struct mini *m, size_t peer)
{
    struct event ev = {.type = EV_LINK_UP, .as.link.peer = m->peer[peer].id};
    mini_step(m, &ev);
}

static uint64_t view_hash(const struct mini *m)
{
    struct core_status status;
    core_status(m->core, &status);
    return status.view_hash;
}

static size_t frame_bytes(const struct mini *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->fx.count; i++) {
        bytes += m->fx.items[i].type == FX_FRAME ? m->fx.items[i].as.frame.body.size : 0;
    }
    return bytes;
}

static void a_new_link_begins_with_the_hash(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->log_count = 0;
    link_up(m, 1);
    struct sync_msg msg;
    bool asked = false;
    for (size_t i = 0; i < m->fx.count; i++) {
        const struct effect *fx = &m->fx.items[i];
        if (fx->type == FX_FRAME && fx->as.frame.type == FRAME_SYNC) {
            assert_int_equal(sync_msg_read(fx->as.frame.body, &msg), HM_OK);
            assert_false(msg.has_digest);
            assert_true(msg.view_hash == view_hash(m));
            asked = true;
        }
    }
    assert_true(asked);
    mini_free(&m);
}

static void equal_views_exchange_nothing(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct buf b;
    mini_meet_all(m, 3);
    link_up(m, 1);
    struct sync_msg msg = {.view_hash = view_hash(m)};
    buf_init(&b, 1000);
    sync_msg_write(&b, &msg);
    frame(m, 1, FRAME_SYNC, buf_span(&b));
    assert_int_equal(frame_bytes(m), 0);
    buf_fini(&b);
    mini_free(&m);
}

/* Carries frames between two cores until none are left; both are linked as peers of each other. */
static void exchange(struct mini *a, size_t b_in_a, struct mini *b, size_t a_in_b)
{
    struct mini *from = a, *to = b;
    for (int turn = 0; turn < 10; turn++) {
        struct buf bodies[64];
        uint8_t types[64];
        size_t count = 0;
        for (size_t i = 0; i < from->fx.count && count < 64; i++) {
            if (from->fx.items[i].type == FX_FRAME) {
                struct span body = from->fx.items[i].as.frame.body;
                buf_init(&bodies[count], HM_FRAME_BYTES_MAX);
                buf_append(&bodies[count], body.data, body.size);
                types[count++] = from->fx.items[i].as.frame.type;
            }
        }
        from->fx.count = 0;
        for (size_t i = 0; i < count; i++) {
            frame(to, to == b ? a_in_b : b_in_a, (enum frame_type) types[i], buf_span(&bodies[i]));
            buf_fini(&bodies[i]);
        }
        struct mini *next = from;
        from = to;
        to = next;
    }
}

static void different_views_end_equal(void **state)
{
    (void) state;
    struct mini *a = mini_new_loaded(NULL, 0, NULL, 0);
    struct mini *b = mini_new_loaded(NULL, 1, NULL, 0);
    /* A knows 2 to 5, B knows 4 to 7; 4 failed for A, 5 left for B, 6 has a newer record at A. */
    mini_meet(a, 1, 2);
    mini_meet(b, 0, 2);
    for (size_t i = 2; i <= 5; i++) {
        mini_meet(a, i, 5);
    }
    for (size_t i = 4; i <= 7; i++) {
        mini_meet(b, i, 5);
    }
    mini_meet(a, 6, 9);
    mini_tell_claim(a, 2, CLAIM_FAILED, 4, 5, 2);
    mini_tell_record(b, 6, 5, 6, RECORD_LEFT);
    /* Their own records, as they are, for each other. */
    struct member_view view;
    assert_true(view_hash(a) != view_hash(b));
    link_up(b, 0);
    link_up(a, 1);
    exchange(a, 1, b, 0);
    link_up(b, 0);
    exchange(b, 0, a, 1);
    link_up(a, 1);
    exchange(a, 1, b, 0);
    for (size_t i = 2; i <= 7; i++) {
        assert_true(mini_view(a, i, &view));
        enum member_status status = view.status;
        uint64_t incarnation = view.incarnation;
        assert_true(mini_view(b, i, &view));
        assert_int_equal(view.status, status);
        assert_true(view.incarnation == incarnation);
    }
    assert_int_equal(mini_status(b, 4), STATUS_FAILED);
    assert_int_equal(mini_status(a, 5), STATUS_LEFT);
    mini_free(&a);
    mini_free(&b);
}

static void nothing_at_or_below_a_death_is_revived(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct buf updates, b;
    mini_meet_all(m, 3);
    mini_tell_claim(m, 2, CLAIM_FAILED, 1, 7, 2);
    link_up(m, 2);
    buf_init(&updates, 10000);
    buf_init(&b, 10000);
    for (uint64_t incarnation = 5; incarnation <= 7; incarnation++) {
        swim_update_write_record(&updates, mini_record(m, 1, incarnation, RECORD_ALIVE));
    }
    struct sync_reply reply = {.update_bytes = buf_span(&updates), .update_count = 3};
    sync_reply_write(&b, &reply);
    frame(m, 2, FRAME_SYNC_PUSH, buf_span(&b));
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    buf_fini(&updates);
    buf_fini(&b);
    mini_free(&m);
}

/* The same id wanted sixteen thousand times must not come back as megabytes. */
static void a_greedy_list_gets_each_member_once(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct buf ids, b;
    mini_meet_all(m, 3);
    link_up(m, 1);
    buf_init(&ids, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    for (int i = 0; i < 16000; i++) {
        buf_append(&ids, m->peer[2].id.b, NODE_ID_BYTES);
    }
    struct sync_reply reply = {.wanted = buf_span(&ids)};
    sync_reply_write(&b, &reply);
    assert_false(buf_failed(&b));
    frame(m, 1, FRAME_SYNC_REPLY, buf_span(&b));
    assert_in_range(frame_bytes(m), 1, 2000);
    buf_fini(&ids);
    buf_fini(&b);
    mini_free(&m);
}

static void a_digest_of_strangers_is_bounded(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct buf digest, b;
    mini_meet_all(m, 3);
    link_up(m, 1);
    buf_init(&digest, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < 10000; i++) {
        struct digest_entry entry = {.incarnation = 1, .cls = DIGEST_ALIVE};
        entry.id.b[0] = (uint8_t) (i >> 16);
        entry.id.b[1] = (uint8_t) (i >> 8);
        entry.id.b[2] = (uint8_t) i;
        uint8_t *at = buf_extend(&digest, DIGEST_ENTRY_BYTES);
        assert_non_null(at);
        sync_digest_put(at, &entry);
    }
    struct sync_msg msg = {.view_hash = 1, .has_digest = true, .digest = buf_span(&digest)};
    sync_msg_write(&b, &msg);
    assert_false(buf_failed(&b));
    frame(m, 1, FRAME_SYNC, buf_span(&b));
    assert_in_range(frame_bytes(m), 0, HM_CHUNK_BYTES_MAX);
    assert_int_equal(core_member_count(m->core), 4);
    buf_fini(&digest);
    buf_fini(&b);
    mini_free(&m);
}

static void malformed_bodies_are_counted(void **state)
{
    (void) state;
    static const enum frame_type types[] = {FRAME_SWIM,      FRAME_SYNC,        FRAME_SYNC_REPLY,
                                            FRAME_SYNC_PUSH, FRAME_LABELS_WANT, FRAME_LABELS,
                                            FRAME_CALL,      FRAME_CALL_REPLY};
    static const char *const bodies[] = {"", "\xc0", "\xdd\xff\xff\xff\xff", "\x92\xc0\xc0",
                                         "\xc1"};
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 2);
    link_up(m, 1);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(bodies); j++) {
            uint64_t before = m->metrics.value[M_DROP_MALFORMED];
            frame(m, 1, types[i], span_of(bodies[j], strlen(bodies[j])));
            assert_true(m->metrics.value[M_DROP_MALFORMED] == before + 1);
            assert_int_equal(frame_bytes(m), 0);
        }
    }
    uint64_t before = m->metrics.value[M_DROP_UNKNOWN_TYPE];
    frame(m, 1, (enum frame_type) 200, span_of("x", 1));
    frame(m, 1, (enum frame_type) 0, span_of("", 0));
    assert_true(m->metrics.value[M_DROP_UNKNOWN_TYPE] == before + 2);
    before = m->metrics.value[M_DROP_UNKNOWN_SENDER];
    frame(m, 50, FRAME_SYNC, span_of("x", 1));
    assert_true(m->metrics.value[M_DROP_UNKNOWN_SENDER] == before + 1);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_link_begins_with_the_hash),
        cmocka_unit_test(equal_views_exchange_nothing),
        cmocka_unit_test(different_views_end_equal),
        cmocka_unit_test(nothing_at_or_below_a_death_is_revived),
        cmocka_unit_test(a_greedy_list_gets_each_member_once),
        cmocka_unit_test(a_digest_of_strangers_is_bounded),
        cmocka_unit_test(malformed_bodies_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
