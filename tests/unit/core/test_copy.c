/* SPDX-License-Identifier: MPL-2.0 */
/* Two processes with one identity: several cores in one mesh. Links are left out, since minimesh knows a
 * node by its identity alone. */
#include "../unit.h"

#include "minimesh.h"

#define ORIGINAL 0
#define COPY 3

static bool no_links(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) m, (void) from;
    return fx->type != FX_DIAL && fx->type != FX_FRAME;
}

/* The two are in networks of their own; both reach the others. */
static bool no_links_apart(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = fx->type == FX_DATAGRAM ? mesh_by_addr(m, &fx->as.datagram.to) : MESH_NOBODY;
    return no_links(m, from, fx) && !(from == ORIGINAL && to == COPY) &&
           !(from == COPY && to == ORIGINAL);
}

static struct core_status status_of(const struct mesh *m, size_t at)
{
    struct core_status status;
    core_status(m->node[at].core, &status);
    return status;
}

static bool is_at(const struct mesh *m, size_t viewer, size_t place)
{
    struct member_view view = mesh_view(m, viewer, ORIGINAL);
    return view.status == STATUS_ALIVE && addr_eq(&view.addr, &m->node[place].addrs[0]);
}

static void copy_disk(struct mesh *m)
{
    struct mesh_node *copy = &m->node[COPY];
    mesh_copy_disk(copy, &m->node[ORIGINAL]);
    copy->identity = m->node[ORIGINAL].identity;
    copy->secret = 99;
    for (size_t i = 0; i < m->count; i++) {
        m->node[i].knows[COPY] = m->node[i].knows[ORIGINAL]; /* minimesh knows places, not keys */
    }
}

static void join(struct mesh *m, size_t who, size_t at)
{
    struct event ev = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_JOIN};
    ev.as.candidate.addr = m->node[at].addrs[0];
    mesh_step(m, who, &ev);
}

/* Three in a mesh; the copy of the first is started with this many starts less or more than it. */
static struct mesh *mesh_with_copy(bool is_original_restarted, bool is_apart)
{
    struct mesh *m = mesh_new(4);
    m->passes = is_apart ? no_links_apart : no_links;
    for (size_t i = 0; i < COPY; i++) {
        mesh_start(m, i);
    }
    mesh_run(m, 10 * MINI_SECOND);
    copy_disk(m);
    for (unsigned i = 0; is_original_restarted && i < 3; i++) {
        mesh_kill(m, ORIGINAL);
        mesh_start(m, ORIGINAL);
        mesh_run(m, 3 * MINI_SECOND);
    }
    mesh_start(m, COPY);
    join(m, COPY, 1);
    return m;
}

/* R1.5b: found at once, one of the two stands aside, nobody is disturbed, numbers do not race. */
static void one_stands_aside(void **state)
{
    (void) state;
    for (unsigned restarted = 0; restarted < 2; restarted++) {
        struct mesh *m = mesh_with_copy(restarted, false);
        size_t stays = restarted ? COPY : ORIGINAL;
        uint64_t incarnation = status_of(m, ORIGINAL).incarnation;
        mesh_run(m, 5 * MINI_SECOND);
        size_t suspicions = mesh_events(m, 1, EVENT_SUSPECT, ORIGINAL);
        for (unsigned i = 0; i < 60; i++) {
            mesh_run(m, 2 * MINI_SECOND);
            assert_true(status_of(m, ORIGINAL).aside == (stays != ORIGINAL));
            assert_true(status_of(m, COPY).aside == (stays != COPY));
            for (size_t at = 1; at < COPY; at++) {
                assert_true(is_at(m, at, stays));
            }
        }
        assert_true(mesh_view(m, ORIGINAL, ORIGINAL).is_copied); /* both are told */
        assert_true(mesh_view(m, COPY, ORIGINAL).is_copied);
        assert_true(mesh_events(m, ORIGINAL, EVENT_NOTICE, ORIGINAL) >= 1);
        assert_true(mesh_events(m, COPY, EVENT_NOTICE, ORIGINAL) >= 1);
        assert_int_equal(mesh_events(m, 1, EVENT_SUSPECT, ORIGINAL), suspicions);
        assert_int_equal(mesh_events(m, 1, EVENT_FAILED, ORIGINAL), 0);
        assert_true(status_of(m, stays).incarnation <= incarnation + 6);
        /* The one that stays goes: the other takes its place, and gives way again. */
        mesh_kill(m, stays);
        mesh_run(m, 40 * MINI_SECOND);
        size_t other = stays == COPY ? ORIGINAL : COPY;
        assert_false(status_of(m, other).aside);
        assert_true(is_at(m, 1, other));
        mesh_free(&m);
    }
}

/* They cannot ask each other: what the mesh says of them tells them. */
static void also_when_they_do_not_meet(void **state)
{
    (void) state;
    struct mesh *m = mesh_with_copy(false, true);
    uint64_t incarnation = status_of(m, ORIGINAL).incarnation;
    mesh_run(m, 60 * MINI_SECOND);
    assert_false(status_of(m, ORIGINAL).aside);
    assert_true(status_of(m, COPY).aside);
    assert_true(status_of(m, ORIGINAL).incarnation <= incarnation + 20);
    assert_true(is_at(m, 1, ORIGINAL));
    assert_true(mesh_events(m, 1, EVENT_NOTICE, ORIGINAL) >= 1); /* a third one sees it, too */
    mesh_free(&m);
}

/* A JOIN of an earlier life, sent again, is no copy. Nor is a restart with an empty disk elsewhere. */
static void an_old_join_is_no_copy(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(3);
    m->passes = no_links;
    for (size_t i = 0; i < 3; i++) {
        mesh_start(m, i);
    }
    mesh_run(m, 10 * MINI_SECOND);
    struct event old = mesh_from(m, 0, 1, DATAGRAM_MESH);
    uint8_t record[HM_RECORD_BYTES_MAX] = {1};
    struct swim_msg msg = {.type = SWIM_JOIN, .nonce = 5, .record = span_of(record, 140)};
    mesh_kill(m, 0);
    mesh_start(m, 0);
    mesh_run(m, 5 * MINI_SECOND);
    old.as.datagram.from = mini_addr(77);
    for (unsigned i = 0; i < 100; i++) {
        mesh_hear(m, 0, old, &msg);
        mesh_run(m, 100 * MINI_MS);
    }
    mesh_kill(m, 2);
    omap_clear(m->node[2].disk);
    m->node[2].addrs[0] = mini_addr(50);
    mesh_start(m, 2);
    join(m, 2, 0);
    mesh_run(m, 10 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_false(status_of(m, i).aside);
        assert_int_equal(mesh_status(m, 1, i), STATUS_ALIVE);
        for (size_t k = 0; k < 3; k++) {
            assert_false(mesh_view(m, k, i).is_copied);
        }
    }
    mesh_free(&m);
}

/* The one that stays says so as long as the copy is there, and soon no more when it is gone. */
static void it_is_told_while_it_lasts(void **state)
{
    (void) state;
    struct mesh *m = mesh_with_copy(false, false);
    mesh_run(m, 10 * MINI_SECOND);
    size_t stays = status_of(m, COPY).aside ? ORIGINAL : COPY;
    for (size_t i = 0; i < 20; i++) {
        mesh_run(m, 30 * MINI_SECOND);
        assert_true(mesh_view(m, stays, ORIGINAL).is_copied);
    }
    mesh_kill(m, ORIGINAL + COPY - stays);
    mesh_run(m, 60 * MINI_SECOND);
    assert_false(mesh_view(m, stays, ORIGINAL).is_copied);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stands_aside),
        cmocka_unit_test(also_when_they_do_not_meet),
        cmocka_unit_test(an_old_join_is_no_copy),
        cmocka_unit_test(it_is_told_while_it_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
