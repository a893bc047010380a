/* SPDX-License-Identifier: MPL-2.0 */
/* Nodes that are reached in odd ways, or reach nobody, or sleep: several cores in one mesh. */
#include "../unit.h"

#include "minimesh.h"

#define HOUR (3600 * MINI_SECOND)

/* No datagram to or from node `*arg`. */
static bool no_udp(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t odd = *(size_t *) m->arg;
    return fx->type != FX_DATAGRAM ||
           (from != odd && mesh_by_addr(m, &fx->as.datagram.to) != odd);
}

/* Whatever node `*arg` sends is lost; what it hears is not. */
static bool mute(struct mesh *m, size_t from, const struct effect *fx)
{
    bool is_network = fx->type == FX_DATAGRAM || fx->type == FX_FRAME || fx->type == FX_DIAL ||
                      fx->type == FX_CONNECT || fx->type == FX_BEACON;
    return from != *(size_t *) m->arg || !is_network;
}

/* Node `*arg` hears nothing; what it sends arrives. No TCP without both. */
static bool deafen(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t odd = *(size_t *) m->arg;
    size_t to = fx->type == FX_DATAGRAM ? mesh_by_addr(m, &fx->as.datagram.to) : MESH_NOBODY;
    bool is_tcp = fx->type == FX_FRAME || fx->type == FX_DIAL || fx->type == FX_CONNECT;
    if (from != odd && is_tcp) {
        to = mesh_by_id(m, fx->type == FX_FRAME  ? &fx->as.frame.peer
                           : fx->type == FX_DIAL ? &fx->as.dial.peer
                                                 : &fx->as.connect.peer);
    }
    return to != odd && !(from == odd && is_tcp);
}

static void no_false_failure(const struct mesh *m, size_t odd)
{
    for (size_t at = 0; at < m->count; at++) {
        for (size_t about = 0; about < m->count; about++) {
            if (at != about && at != odd && about != odd) {
                assert_int_equal(mesh_events(m, at, EVENT_FAILED, about), 0);
            }
        }
    }
}

static bool all_alive(const struct mesh *m)
{
    for (size_t at = 0; at < m->count; at++) {
        for (size_t about = 0; about < m->count; about++) {
            if (mesh_status(m, at, about) != STATUS_ALIVE) {
                return false;
            }
        }
    }
    return true;
}

static bool is_isolated(const struct mesh *m, size_t at)
{
    struct core_status status;
    core_status(m->node[at].core, &status);
    return status.isolated;
}

/* R9.3: UDP blocked, TCP open. Also among more nodes than are linked to each other. */
static void link_keeps_alive(void **state)
{
    static const size_t sizes[] = {2, 3, 5, 14};
    (void) state;
    for (size_t k = 0; k < ARRAY_COUNT(sizes); k++) {
        size_t odd = sizes[k] - 1;
        struct mesh *m = mesh_new_started(sizes[k]);
        m->passes = no_udp;
        m->arg = &odd;
        mesh_run(m, 90 * MINI_SECOND);
        for (size_t at = 0; at < m->count; at++) {
            assert_int_equal(mesh_events(m, at, EVENT_FAILED, odd), 0);
            assert_int_equal(mesh_events(m, odd, EVENT_FAILED, at), 0);
            assert_int_equal(mesh_events(m, at, EVENT_SUSPECT, odd), 0);
            assert_int_equal(mesh_events(m, odd, EVENT_SUSPECT, at), 0);
            assert_false(is_isolated(m, at));
            if (at != odd) {
                /* Among many, who has no link to it yet hears of it by those who have. */
                assert_true(mesh_view(m, at, odd).path > PATH_DIRECT);
                assert_true(sizes[k] > 9 || mesh_view(m, at, odd).path == PATH_LINK);
                assert_true(sizes[k] > 9 || mesh_view(m, odd, at).path == PATH_LINK);
                assert_int_equal(mesh_events(m, at, EVENT_NOTICE, odd), 1);
            }
        }
        assert_true(sizes[k] > 9 || all_alive(m));
        m->passes = NULL;
        mesh_run(m, 60 * MINI_SECOND);
        assert_int_equal(mesh_view(m, 0, odd).path, PATH_DIRECT);
        assert_int_equal(mesh_events(m, 0, EVENT_NOTICE, odd), 2);
        mesh_free(&m);
    }
}

/* No datagram between the first node and the last. */
static bool no_udp_between_ends(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = fx->type == FX_DATAGRAM ? mesh_by_addr(m, &fx->as.datagram.to) : MESH_NOBODY;
    size_t last = m->count - 1;
    return !(from == 0 && to == last) && !(from == last && to == 0);
}

/* Two that know each other by hearsay only: no datagram will ever say that they have met. */
static void who_never_met_is_linked(void **state)
{
    (void) state;
    for (size_t count = 3; count <= 8; count++) {
        struct mesh *m = mesh_new(count);
        m->passes = no_udp_between_ends;
        for (size_t i = 0; i < count; i++) {
            mesh_start(m, i);
        }
        mesh_run(m, 30 * MINI_SECOND);
        assert_true(all_alive(m));
        assert_int_equal(mesh_view(m, 0, count - 1).path, PATH_LINK);
        assert_int_equal(mesh_view(m, count - 1, 0).path, PATH_LINK);
        no_false_failure(m, count);
        mesh_free(&m);
    }
}

/* What is said while UDP is blocked gets there, and a restart finds the mesh again. */
static void link_carries_news(void **state)
{
    size_t odd = 3;
    (void) state;
    struct mesh *m = mesh_new_started(5);
    m->passes = no_udp;
    m->arg = &odd;
    mesh_run(m, 30 * MINI_SECOND);
    mesh_kill(m, 0);
    mesh_run(m, 15 * MINI_SECOND);
    assert_int_equal(mesh_status(m, odd, 0), STATUS_FAILED);
    mesh_start(m, 0);
    mesh_run(m, 15 * MINI_SECOND);
    assert_int_equal(mesh_status(m, odd, 0), STATUS_ALIVE);
    mesh_kill(m, odd);
    mesh_start(m, odd);
    mesh_run(m, 30 * MINI_SECOND);
    assert_true(all_alive(m));
    mesh_free(&m);
}

/* R1.2: whenever a node begins to be heard by nobody, and whomever it probes first. */
static void mute_judges_nobody_it_hears(void **state)
{
    (void) state;
    for (size_t run = 0; run < 60; run++) {
        size_t odd = run % 5;
        struct mesh *m = mesh_new_started(5);
        mesh_run(m, run * 1737 * MINI_MS);
        m->passes = mute;
        m->arg = &odd;
        mesh_run(m, 20 * MINI_SECOND);
        assert_true(is_isolated(m, odd));
        for (size_t at = 0; at < m->count; at++) {
            assert_int_not_equal(mesh_status(m, odd, at), STATUS_FAILED);
        }
        mesh_free(&m);
    }
}

/* R1.2: a node that hears but cannot send, and one that sends but cannot hear. */
static void cut_off_blames_itself(void **state)
{
    bool (*const faults[])(struct mesh *, size_t, const struct effect *) = {mute, deafen};
    (void) state;
    for (size_t k = 0; k < ARRAY_COUNT(faults); k++) {
        size_t odd = 1;
        struct mesh *m = mesh_new_started(5);
        m->passes = faults[k];
        m->arg = &odd;
        mesh_run(m, 20 * MINI_SECOND);
        assert_true(is_isolated(m, odd));
        uint64_t refuted = mesh_metric(m, 0, M_REFUTATIONS);
        mesh_run(m, 100 * MINI_SECOND);
        assert_int_equal(mesh_metric(m, 0, M_REFUTATIONS), refuted); /* it accuses nobody */
        for (size_t at = 0; at < m->count; at++) {
            assert_true(is_isolated(m, at) == (at == odd));
            assert_true(at == odd || mesh_status(m, at, odd) == STATUS_FAILED);
            if (at != odd && faults[k] == mute) {
                assert_int_not_equal(mesh_status(m, odd, at), STATUS_FAILED); /* it hears them */
            }
        }
        no_false_failure(m, odd);
        assert_int_equal(mesh_events(m, odd, EVENT_NOTICE, odd), 1);
        m->passes = NULL;
        mesh_run(m, 20 * MINI_SECOND);
        assert_false(is_isolated(m, odd));
        assert_true(all_alive(m));
        no_false_failure(m, odd);
        mesh_free(&m);
    }
}

static void bad_pair_harms_nobody(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(4);
    for (unsigned both = 0; both < 2; both++) {
        m->cut[0][1] = true;
        m->cut[1][0] = both;
        mesh_run(m, 120 * MINI_SECOND);
        no_false_failure(m, MESH_NOBODY);
        for (size_t at = 0; at < m->count; at++) {
            assert_false(is_isolated(m, at));
        }
    }
    assert_int_equal(mesh_view(m, 0, 1).path, PATH_RELAYED);
    assert_int_equal(mesh_view(m, 0, 2).path, PATH_DIRECT);
    mesh_free(&m);
}

/* Who loses its only partner, or some of many, is not isolated; who loses all is. */
static void deaths_do_not_isolate(void **state)
{
    static const struct {
        size_t nodes, dead;
        bool isolated;
    } cases[] = {{2, 1, false}, {3, 1, false}, {5, 3, false}, {3, 2, true}, {8, 7, true}};
    (void) state;
    for (size_t k = 0; k < ARRAY_COUNT(cases); k++) {
        struct mesh *m = mesh_new_started(cases[k].nodes);
        for (size_t i = 1; i <= cases[k].dead; i++) {
            m->node[i].asleep = true;
        }
        mesh_run(m, 90 * MINI_SECOND); /* its patience grows with every probe that fails */
        assert_true(is_isolated(m, 0) == cases[k].isolated);
        for (size_t i = 1; i <= cases[k].dead; i++) {
            assert_int_equal(mesh_status(m, 0, i), STATUS_FAILED);
        }
        mesh_free(&m);
    }
}

/* R9.4: minutes and a night. The network may come back later than the machine. */
static void sleeper_judges_nobody(void **state)
{
    static const uint64_t sleeps[] = {5 * MINI_SECOND, 600 * MINI_SECOND, 8 * HOUR};
    static const uint64_t late[] = {0, 4 * MINI_SECOND};
    (void) state;
    for (size_t k = 0; k < 2 * ARRAY_COUNT(sleeps); k++) {
        struct mesh *m = mesh_new_started(4);
        m->node[2].asleep = true;
        mesh_run(m, sleeps[k / 2]);
        m->node[2].asleep = false;
        m->node[2].deaf = true;
        mesh_run(m, late[k % 2]);
        m->node[2].deaf = false;
        mesh_run(m, 20 * MINI_SECOND);
        for (size_t i = 0; i < m->count; i++) {
            assert_int_equal(mesh_events(m, 2, EVENT_FAILED, i), 0);
        }
        assert_true(all_alive(m));
        no_false_failure(m, 2);
        mesh_free(&m);
    }
}

/* The same mesh at five walls: what happens does not depend on them. */
static void walls_decide_nothing(void **state)
{
    static const uint64_t walls[] = {1700000000000, 0, 1, 1700000000000 - 31536000000ULL,
                                     UINT64_MAX - HOUR};
    uint64_t hash[ARRAY_COUNT(walls)] = {0};
    (void) state;
    for (size_t k = 0; k < ARRAY_COUNT(walls); k++) {
        struct mesh *m = mesh_new_started(4);
        m->wall_ms = walls[k]; /* jumps here */
        mesh_run(m, 5 * MINI_SECOND);
        mesh_kill(m, 1);
        mesh_run(m, 10 * MINI_SECOND);
        assert_int_equal(mesh_status(m, 0, 1), STATUS_FAILED);
        mesh_start(m, 1);
        m->wall_ms = walls[ARRAY_COUNT(walls) - 1 - k];
        mesh_run(m, 10 * MINI_SECOND);
        assert_true(all_alive(m));
        for (size_t i = 0; i < m->count; i++) {
            struct core_status status;
            core_status(m->node[i].core, &status);
            hash[k] = prng_mix(hash[k] ^ status.view_hash);
            hash[k] = prng_mix(hash[k] ^ m->node[i].metrics.value[M_DATAGRAMS_RECEIVED]);
        }
        assert_true(hash[k] == hash[0]);
        mesh_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(link_keeps_alive),
        cmocka_unit_test(who_never_met_is_linked),
        cmocka_unit_test(link_carries_news),
        cmocka_unit_test(mute_judges_nobody_it_hears),
        cmocka_unit_test(cut_off_blames_itself),
        cmocka_unit_test(bad_pair_harms_nobody),
        cmocka_unit_test(deaths_do_not_isolate),
        cmocka_unit_test(sleeper_judges_nobody),
        cmocka_unit_test(walls_decide_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
