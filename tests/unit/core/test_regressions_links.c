/* SPDX-License-Identifier: MPL-2.0 */
/* What once went wrong with links and what travels on them. */
#include "../unit.h"

#include "minimesh.h"

/* Drops the labels that n02 sends; counts who asks for labels. */
static bool without_labels_of_2(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t *asked = m->arg;
    *asked += fx->type == FX_FRAME && fx->as.frame.type == FRAME_LABELS_WANT;
    return fx->type != FX_FRAME || from != 2 || fx->as.frame.type != FRAME_LABELS;
}

/* It took its new labels with it, and was asked for them every second. */
static void labels_of_the_dead_are_not_asked_for(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    size_t asked = 0;
    mesh_kill(m, 2);
    m->passes = without_labels_of_2;
    m->arg = &asked;
    m->node[2].role = "desk";
    mesh_start(m, 2);
    mesh_run(m, MINI_SECOND);
    assert_true(asked > 0);
    mesh_kill(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_FAILED);
    asked = 0;
    mesh_run(m, 100 * MINI_SECOND);
    assert_int_equal(asked, 0);
    mesh_free(&m);
}

/* A mesh too large for all to be linked; links of the time when it was small are closed. */
static struct mesh *large_mesh(void)
{
    struct mesh *m = mesh_new_started(16);
    mesh_run(m, 40 * MINI_SECOND);
    return m;
}

/* The first that is linked to this one, a neighbour, or that is not; but not that one. */
static size_t find(const struct mesh *m, size_t viewer, bool is_linked, size_t not_this)
{
    for (size_t i = 0; i < m->count; i++) {
        if (i != viewer && i != not_this && mesh_view(m, viewer, i).is_linked == is_linked) {
            return i;
        }
    }
    fail_msg("n%zu is linked to all or to none", viewer);
    return MESH_NOBODY;
}

/* It was closed 15 s after it came up, and the call was refused. */
static void a_guest_link_stays_while_a_call_uses_it(void **state)
{
    (void) state;
    struct mesh *m = large_mesh();
    size_t guest = find(m, 0, false, MESH_NOBODY);
    struct buf b;
    struct api_request request = {.op = "events", .deadline_ms = 30000};
    memcpy(request.node, m->node[guest].name, sizeof m->node[guest].name);
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {1, buf_span(&b)}};
    mesh_step(m, 0, &ev);
    buf_fini(&b);
    mesh_run(m, 29 * MINI_SECOND);
    assert_int_equal(m->node[0].replies, 0);
    assert_true(mesh_view(m, 0, guest).is_linked);
    mesh_run(m, 2 * MINI_SECOND);
    assert_int_equal(m->node[0].replies, 1);
    mesh_run(m, 30 * MINI_SECOND);
    assert_false(mesh_view(m, 0, guest).is_linked); /* and not for ever */
    mesh_free(&m);
}

/* Every link to or from one node fails, as behind a firewall; its datagrams pass. */
struct walled {
    size_t node;
    size_t viewer;
    size_t watched;
    size_t dials; /* of the viewer to the watched one */
};

static bool without_links_of_one(struct mesh *m, size_t from, const struct effect *fx)
{
    struct walled *w = m->arg;
    if (fx->type != FX_DIAL) {
        return true;
    }
    size_t to = mesh_by_id(m, &fx->as.dial.peer);
    w->dials += from == w->viewer && to == w->watched;
    if (from == w->node || to == w->node) {
        mesh_push_peer(m, from, MINI_MS, EV_LINK_DOWN, to);
        return false;
    }
    return from != w->watched || to != w->viewer; /* it leaves the dialling to the viewer */
}

static void away_and_back(struct mesh *m, size_t viewer, size_t i)
{
    m->node[i].deaf = true;
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_status(m, viewer, i), STATUS_FAILED);
    m->node[i].deaf = false;
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_status(m, viewer, i), STATUS_ALIVE);
}

/* The one full exchange that was wanted waited for a link that never came, be it that the viewer
 * has to dial it (no neighbour) or the other has to (a neighbour of lower id). */
static void who_cannot_be_linked_to_holds_up_nobody(void **state)
{
    (void) state;
    for (int neighbour = 0; neighbour < 2; neighbour++) {
        struct mesh *m = large_mesh();
        struct walled w = {.viewer = 0};
        for (size_t i = 1; i < m->count; i++) { /* the highest id: all neighbours dial it */
            const struct node_id *highest = &m->node[w.viewer].identity.id;
            w.viewer = node_id_cmp(&m->node[i].identity.id, highest) > 0 ? i : w.viewer;
        }
        w.node = find(m, w.viewer, neighbour == 1, MESH_NOBODY);
        w.watched = find(m, w.viewer, false, w.node);
        m->passes = without_links_of_one;
        m->arg = &w;
        away_and_back(m, w.viewer, w.node);
        away_and_back(m, w.viewer, w.watched);
        assert_true(w.dials > 0);
        mesh_free(&m);
    }
}

#define WALLED 31 /* its firewall drops datagrams, but those of one */
#define GUESTS 12 /* so many that are no neighbours a node dials: GUESTS_MAX in overlay.c */

struct wall {
    size_t open_to;
    bool without_helpers; /* it gets no helper to do anything */
};

static bool firewall(struct mesh *m, size_t from, const struct effect *fx)
{
    const struct wall *w = m->arg;
    struct swim_msg msg;
    if (from == WALLED && fx->type == FX_FRAME && fx->as.frame.type == FRAME_SWIM) {
        assert_int_equal(swim_msg_read(fx->as.frame.body, &msg), HM_OK);
        return !w->without_helpers || msg.type != SWIM_PING_REQ;
    }
    size_t to = fx->type == FX_DATAGRAM ? mesh_by_addr(m, &fx->as.datagram.to) : MESH_NOBODY;
    return (from != WALLED || to == MESH_NOBODY || to == w->open_to) &&
           (to != WALLED || from == w->open_to);
}

static void call_from_walled(struct mesh *m, size_t to, uint32_t deadline_ms, const char *op)
{
    struct api_request request = {.deadline_ms = deadline_ms};
    struct buf b;
    text_copy(request.op, sizeof request.op, op);
    text_copy(request.node, sizeof request.node, m->node[to].name);
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {1, buf_span(&b)}};
    mesh_step(m, WALLED, &ev);
    buf_fini(&b);
}

static void echo_from_walled(struct mesh *m, size_t to)
{
    size_t replies = m->node[WALLED].replies;
    call_from_walled(m, to, 5000, "echo");
    mesh_run(m, MINI_SECOND);
    assert_int_equal(m->node[WALLED].replies, replies + 1);
    assert_int_equal(m->node[WALLED].reply_code, HM_OK);
}

/* How often the node had something to do within so long, by its own clock. */
static size_t deadlines(struct mesh *m, size_t i, uint64_t for_ns)
{
    uint64_t until_ns = m->now_ns + for_ns;
    size_t count = 0;
    while (m->now_ns < until_ns) {
        uint64_t at_ns = core_deadline_ns(m->node[i].core);
        count += at_ns <= until_ns;
        mesh_run(m, (at_ns < until_ns ? at_ns : until_ns) - m->now_ns);
    }
    return count;
}

/* Whom only a link reached kept it for good. When there were as many as there are places, nobody else could be
 * asked for anything, and whoever had been suspected was tried every 20 ms, for ever. */
static void guests_that_need_their_links_leave_room(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(MESH_NODES_MAX);
    struct wall w = {0};
    size_t guest[GUESTS], count = 0;
    mesh_run(m, 40 * MINI_SECOND);
    m->passes = firewall;
    m->arg = &w;
    for (size_t i = 0; i < WALLED && count < GUESTS; i++) {
        if (!mesh_view(m, WALLED, i).is_linked) {
            guest[count++] = i;
        }
    }
    assert_int_equal(count, GUESTS);
    w.open_to = guest[GUESTS - 1];
    for (size_t i = 0; i < GUESTS - 1; i++) {
        call_from_walled(m, guest[i], 150000, "events");
    }
    mesh_run(m, 200 * MINI_SECOND);
    echo_from_walled(m, w.open_to);
    for (size_t i = 0; i < GUESTS; i++) {
        assert_true(mesh_view(m, WALLED, guest[i]).is_linked);
        assert_true(mesh_view(m, WALLED, guest[i]).path == (i < GUESTS - 1 ? PATH_LINK : PATH_DIRECT));
    }
    echo_from_walled(m, find(m, WALLED, false, MESH_NOBODY));
    assert_false(mesh_view(m, WALLED, w.open_to).is_linked); /* it needs none: it made room first */
    w.without_helpers = true; /* whom it has no link to it suspects now, every time */
    mesh_run(m, 100 * MINI_SECOND);
    assert_true(mesh_metric(m, WALLED, M_SUSPICIONS) > 0);
    assert_in_range(deadlines(m, WALLED, 60 * MINI_SECOND), 60, 600);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_the_dead_are_not_asked_for),
        cmocka_unit_test(a_guest_link_stays_while_a_call_uses_it),
        cmocka_unit_test(who_cannot_be_linked_to_holds_up_nobody),
        cmocka_unit_test(guests_that_need_their_links_leave_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
