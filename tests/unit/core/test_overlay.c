/* SPDX-License-Identifier: MPL-2.0 */
/* The rings: being neighbours is mutual, nobody has more than eight, the graph hangs together,
 * and up to nine members all are neighbours. Each member's own view is computed by a core of its
 * own. */
#include "../unit.h"

#include "core/core_priv.h"
#include "mini.h"

/* What a store holds of a member (persist.c): [version, status, dead, since, observers, record,
 * labels]. */
static void write_stored(struct buf *b, struct span record, enum member_status status)
{
    mp_array(b, 7);
    mp_uint(b, 1);
    mp_uint(b, (uint64_t) status);
    mp_uint(b, 0);
    mp_uint(b, 0);
    mp_array(b, 0);
    mp_bin(b, record.data, record.size);
    mp_nil(b);
}

struct mesh {
    size_t count;
    struct buf value[MINI_PEERS];
    struct node_id id[MINI_PEERS];
    bool neighbour[MINI_PEERS][MINI_PEERS];
};

/* What the core of `self` makes of a store that holds all the others. */
static void look_from(struct mesh *mesh, size_t self)
{
    struct store_entry entries[MINI_PEERS];
    size_t entry_count = 0;
    for (size_t i = 0; i < mesh->count; i++) {
        if (i != self) {
            entries[entry_count].table = STORE_ROSTER;
            entries[entry_count].key = span_of(mesh->id[i].b, NODE_ID_BYTES);
            entries[entry_count++].value = buf_span(&mesh->value[i]);
        }
    }
    struct mini *m = mini_new_loaded(NULL, self, entries, entry_count);
    /* The rings are computed when somebody has shown up, and settle before anybody can be
     * judged. */
    if (mesh->count > 1) {
        mini_meet(m, self == 0 ? 1 : 0, 5);
    }
    mini_run(m, 50 * MINI_MS);
    assert_int_equal(core_member_count(m->core), mesh->count);
    for (size_t i = 0; i < mesh->count; i++) {
        const struct member *member = roster_find(&m->core->roster, &mesh->id[i]);
        assert_non_null(member);
        mesh->neighbour[self][i] = member->is_neighbour;
    }
    mini_free(&m);
}

static struct mesh *make(size_t count, size_t failed_from)
{
    struct mesh *mesh = calloc(1, sizeof *mesh);
    struct mini *m = mini_new(NULL);
    assert_non_null(mesh);
    mesh->count = count;
    for (size_t i = 0; i < count; i++) {
        mesh->id[i] = m->peer[i].id;
        buf_init(&mesh->value[i], 1000);
        write_stored(&mesh->value[i], mini_record(m, i, 5, RECORD_ALIVE),
                     i >= failed_from ? STATUS_FAILED : STATUS_ALIVE);
    }
    mini_free(&m);
    for (size_t i = 0; i < failed_from && i < count; i++) {
        look_from(mesh, i);
    }
    return mesh;
}

static void drop(struct mesh *mesh)
{
    for (size_t i = 0; i < mesh->count; i++) {
        buf_fini(&mesh->value[i]);
    }
    free(mesh);
}

static size_t degree(const struct mesh *mesh, size_t i)
{
    size_t count = 0;
    for (size_t j = 0; j < mesh->count; j++) {
        count += mesh->neighbour[i][j];
    }
    return count;
}

/* Hops from member 0 to the farthest. */
static size_t reach(const struct mesh *mesh, size_t up, size_t *ret_reached)
{
    bool seen[MINI_PEERS] = {true};
    size_t hops = 0, reached = 1;
    for (bool more = true; more; hops += more) {
        bool next[MINI_PEERS] = {false};
        more = false;
        for (size_t i = 0; i < up; i++) {
            for (size_t j = 0; seen[i] && j < up; j++) {
                next[j] |= mesh->neighbour[i][j] && !seen[j];
            }
        }
        for (size_t j = 0; j < up; j++) {
            more |= next[j];
            reached += next[j];
            seen[j] |= next[j];
        }
    }
    *ret_reached = reached;
    return hops;
}

static void check(size_t count, size_t up)
{
    struct mesh *mesh = make(count, up);
    size_t reached;
    for (size_t i = 0; i < up; i++) {
        assert_false(mesh->neighbour[i][i]);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(mesh->neighbour[i][j], j < up && mesh->neighbour[j][i]);
        }
        size_t d = degree(mesh, i);
        assert_true(d <= 2 * HM_RING_SALTS);
        if (up <= 9) {
            assert_int_equal(d, up - 1);
        } else {
            assert_true(d >= 3);
        }
    }
    size_t hops = reach(mesh, up, &reached);
    assert_int_equal(reached, up);
    assert_true(hops <= 5);
    drop(mesh);
}

static void symmetric_and_bounded(void **state)
{
    (void) state;
    for (size_t count = 1; count <= 14; count++) {
        check(count, count);
    }
    check(30, 30);
    check(MINI_PEERS, MINI_PEERS);
}

static void the_failed_are_left_out(void **state)
{
    (void) state;
    check(12, 9);
    check(12, 10);
    check(40, 25);
}

#define SELF 5 /* some of the others have lower ids, some have higher ones */
#define LAST 8

static struct mini *mesh_of_nine(void)
{
    struct mini *m = mini_new_loaded(NULL, SELF, NULL, 0);
    for (size_t i = 0; i <= LAST; i++) {
        if (i != SELF) {
            mini_meet(m, i, 5);
            m->peer[i].answers = true;
        }
    }
    return m;
}

/* How many of those with a higher id, or with a lower one, were dialled since the log was cleared. */
static size_t dialled(const struct mini *m, bool higher)
{
    size_t count = 0;
    for (size_t i = 0; i <= LAST; i++) {
        bool is_higher = node_id_cmp(&m->peer[SELF].id, &m->peer[i].id) < 0;
        count += i != SELF && is_higher == higher && mini_count(m, FX_DIAL, SWIM_JOIN, i) > 0;
    }
    return count;
}

/* Of two neighbours the lower id dials, once the other has shown that it accepts us. When no link comes of
 * that, nobody may be able to connect to the other: it dials, too, now and then. */
static void the_lower_id_dials(void **state)
{
    (void) state;
    struct mini *m = mesh_of_nine();
    mini_run(m, 100 * MINI_MS);
    size_t higher = dialled(m, true);
    assert_in_range(higher, 1, LAST - 1);
    mini_run(m, 2800 * MINI_MS);
    assert_int_equal(dialled(m, false), 0);
    mini_run(m, 200 * MINI_MS);
    assert_int_equal(dialled(m, false), LAST - higher);
    for (size_t i = 0; i <= LAST; i++) {
        struct event down = {.type = EV_LINK_DOWN, .as.link.peer = m->peer[i].id};
        if (i != SELF) {
            mini_step(m, &down);
        }
    }
    m->log_count = 0;
    mini_run(m, 2900 * MINI_MS);
    assert_int_equal(dialled(m, true), higher);
    assert_int_equal(dialled(m, false), 0);
    mini_run(m, 12 * MINI_SECOND);
    assert_int_equal(dialled(m, false), LAST - higher);
    for (size_t i = 0; i <= LAST; i++) {
        assert_in_range(mini_count(m, FX_DIAL, SWIM_JOIN, i), i == SELF ? 0 : 1, 5);
    }
    mini_free(&m);
}

#define MANY 20 /* more than are linked */

/* A member that is up and no neighbour. */
static size_t a_guest(struct mini *m)
{
    for (size_t i = 1; i <= MANY; i++) {
        const struct member *member = roster_find(&m->core->roster, &m->peer[i].id);
        if (member_is_up(member) && !member->is_neighbour) {
            return i;
        }
    }
    fail_msg("all are neighbours");
    return 0;
}

static struct mini *mesh_of_many(void)
{
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, MANY);
    mini_run(m, 30 * MINI_SECOND); /* each has answered a datagram */
    m->log_count = 0;
    return m;
}

/* Whom it asked to dial asked it in turn when that was in vain, and so on for ever. */
static void who_dials_when_asked_asks_nobody(void **state)
{
    (void) state;
    struct mini *m = mesh_of_many();
    size_t guest = a_guest(m);
    struct swim_msg ask = {.type = SWIM_DIAL};
    mini_hear(m, guest, DATAGRAM_PAIR, &ask);
    mini_run(m, 30 * MINI_SECOND);
    assert_int_equal(mini_count(m, FX_DIAL, SWIM_JOIN, guest), 3);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_DIAL, guest), 0);
    m->peer[guest].answers = false; /* now it is its own wish */
    mini_run(m, 30 * MINI_SECOND);
    assert_true(mini_count(m, FX_DATAGRAM, SWIM_DIAL, guest) > 0);
    mini_free(&m);
}

/* UDP to a suspect may be blocked, and TCP not. */
static void a_suspect_is_dialled_at_once(void **state)
{
    (void) state;
    struct mini *m = mesh_of_many();
    size_t guest = a_guest(m);
    m->peer[guest].answers = false;
    while (mini_status(m, guest) == STATUS_ALIVE) {
        assert_int_equal(mini_count(m, FX_DIAL, SWIM_JOIN, guest), 0);
        mini_run(m, 5 * MINI_MS);
    }
    mini_run(m, 50 * MINI_MS);
    assert_int_equal(mini_count(m, FX_DIAL, SWIM_JOIN, guest), 1);
    mini_free(&m);
}

static void link_event(struct mini *m, enum event_type type, size_t peer)
{
    struct event ev = {.type = type, .as.link.peer = m->peer[peer].id};
    mini_step(m, &ev);
}

/* It answers what it is asked over the link. */
static void answer_over_link(struct mini *m, size_t peer, uint64_t for_ns)
{
    uint64_t until_ns = m->now_ns + for_ns;
    uint64_t nonce = 0; /* the link's PING has that of the datagram */
    while (m->now_ns < until_ns) {
        mini_run(m, 10 * MINI_MS);
        for (size_t i = 0; i < m->log_count; i++) {
            struct mini_fx l = m->log[i];
            struct swim_msg ack = {.type = SWIM_ACK, .echo = nonce};
            struct event ev = {.type = EV_FRAME, .as.frame = {m->peer[peer].id, FRAME_SWIM, {0}}};
            if (l.peer == peer && l.type == FX_DATAGRAM && l.swim == SWIM_PING) {
                nonce = l.nonce;
            } else if (l.peer == peer && l.type == FX_FRAME && l.frame == FRAME_SWIM && l.swim == SWIM_PING) {
                buf_clear(&m->b);
                swim_msg_write(&m->b, &ack);
                ev.as.frame.body = buf_span(&m->b);
                mini_step(m, &ev);
            }
        }
        assert_int_equal(mini_count(m, FX_HANGUP, SWIM_JOIN, peer), 0);
        m->log_count = 0;
    }
}

/* A guest's link is closed when it was not needed for a while. It is needed where only it has an answer. */
static void a_link_that_is_needed_is_kept(void **state)
{
    (void) state;
    struct mini *m = mesh_of_many();
    size_t guest = a_guest(m);
    struct event unreachable = {.type = EV_UNREACHABLE, .as.unreachable.to = mini_addr(guest)};
    while (mini_count(m, FX_DATAGRAM, SWIM_PING, guest) == 0) {
        mini_run(m, 10 * MINI_MS); /* its turn comes again in 20 s, more or less */
    }
    m->log_count = 0;
    m->peer[guest].answers = false;
    link_event(m, EV_LINK_UP, guest);
    mini_step(m, &unreachable); /* so it is probed now */
    answer_over_link(m, guest, 18 * MINI_SECOND);
    struct member_view view;
    assert_true(mini_view(m, guest, &view) && view.status == STATUS_ALIVE);
    assert_int_equal(view.path, PATH_DIRECT); /* that it changed is known after three probes */
    m->peer[guest].answers = true;
    mini_run(m, 80 * MINI_SECOND);
    assert_int_equal(mini_count(m, FX_HANGUP, SWIM_JOIN, guest), 1);
    mini_free(&m);
}

/* As long as it is not known that datagrams get there. */
static void news_go_over_the_link_first(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->peer[1].answers = false;
    link_event(m, EV_LINK_UP, 1);
    m->log_count = 0;
    mini_tell_claim(m, 2, CLAIM_SUSPECT, 0, 50, 1); /* it tells all that it lives */
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, 1), 0);
    assert_int_equal(mini_count(m, FX_FRAME, SWIM_GOSSIP, 1), 1);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, 3), 1);
    m->peer[1].answers = true;
    mini_run(m, 10 * MINI_SECOND);
    m->log_count = 0;
    mini_tell_claim(m, 2, CLAIM_SUSPECT, 0, 60, 1);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, 1), 1);
    mini_free(&m);
}

/* With 300 ms each way, a link takes 3 s: five round trips. It was given up just then, again and again. */
static void a_slow_link_is_waited_for(void **state)
{
    (void) state;
    struct mini *m = mesh_of_nine();
    mini_run(m, 100 * MINI_MS);
    assert_in_range(dialled(m, true), 1, LAST - 1);
    mini_run(m, 5 * MINI_SECOND); /* the driver's limit */
    assert_int_equal(mini_count(m, FX_HANGUP, SWIM_JOIN, MINI_PEERS), 0);
    mini_run(m, MINI_SECOND);
    assert_int_equal(mini_count(m, FX_HANGUP, SWIM_JOIN, MINI_PEERS), dialled(m, true));
    mini_free(&m);
}

static void links_end_with_their_member(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    mini_run(m, 100 * MINI_MS);
    struct event up = {.type = EV_LINK_UP, .as.link.peer = m->peer[1].id};
    mini_step(m, &up);
    struct core_status status;
    core_status(m->core, &status);
    assert_int_equal(status.links, 1);
    mini_tell_claim(m, 2, CLAIM_FAILED, 1, 5, 2);
    assert_int_equal(mini_count(m, FX_HANGUP, SWIM_JOIN, 1), 1);
    core_status(m->core, &status);
    assert_int_equal(status.links, 0);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symmetric_and_bounded),
        cmocka_unit_test(the_failed_are_left_out),
        cmocka_unit_test(the_lower_id_dials),
        cmocka_unit_test(who_dials_when_asked_asks_nobody),
        cmocka_unit_test(a_suspect_is_dialled_at_once),
        cmocka_unit_test(a_link_that_is_needed_is_kept),
        cmocka_unit_test(news_go_over_the_link_first),
        cmocka_unit_test(a_slow_link_is_waited_for),
        cmocka_unit_test(links_end_with_their_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
