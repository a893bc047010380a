/* SPDX-License-Identifier: MPL-2.0 */
/* Services against a model of what they are to be: three nodes, a few services on each, and whatever a seed draws:
 * registering, refreshing, checks, deregistering, restarts, sleeping machines, cut links. Each node must see its own
 * services as the model says at every moment, but for where a deadline is just now; and when all has been mended for a
 * while, everybody sees those of all.
 *
 * SEED=N runs that seed alone, SEEDS=N the first N. */
#include "service_mesh.h"

#include "base/prng.h"

#include <inttypes.h>
#include <stdlib.h>

#define SEEDS 60
#define NODES 3
#define IDS 4
#define ROUNDS 6
#define STEPS 25
#define EDGE_NS (300 * MINI_MS) /* a deadline is carried out and told within */
/* How much of a sleep is not counted as one: until the deadline that was missed, at most. */
#define SLEEP_EDGE_NS (1500 * MINI_MS)

struct modelled {
    bool is_there;
    uint64_t ttl_ms, after_ms;
    enum svc_health health;
    bool is_expired;
    uint64_t refreshed_ns, slack_ns; /* and at most that much later */
};

static struct modelled model[NODES][IDS];
static struct prng prng;

static uint64_t draw(uint64_t low, uint64_t high)
{
    return low + prng_below(&prng, high - low + 1);
}

/* ---- the model ---- */

static uint64_t after_ns(const struct modelled *s)
{
    uint64_t ms = s->after_ms != 0 ? s->after_ms : 3 * s->ttl_ms < 60000 ? 60000 : 3 * s->ttl_ms;
    return (ms > s->ttl_ms ? ms : s->ttl_ms) * MINI_MS;
}

static bool is_near(uint64_t now_ns, uint64_t due_ns, uint64_t slack_ns)
{
    return now_ns + EDGE_NS > due_ns && now_ns < due_ns + slack_ns + EDGE_NS;
}

/* Nobody can say what it is now. */
static bool is_on_edge(const struct modelled *s, uint64_t now_ns)
{
    return s->is_there && s->ttl_ms > 0 &&
           (is_near(now_ns, s->refreshed_ns + s->ttl_ms * MINI_MS, s->slack_ns) ||
            is_near(now_ns, s->refreshed_ns + after_ns(s), s->slack_ns));
}

/* What time has done to it. */
static void age(struct modelled *s, uint64_t now_ns)
{
    if (!s->is_there || s->ttl_ms == 0 || is_on_edge(s, now_ns)) {
        return;
    }
    if (now_ns > s->refreshed_ns + after_ns(s)) {
        s->is_there = false;
    } else if (now_ns > s->refreshed_ns + s->ttl_ms * MINI_MS && s->health != SVC_CRITICAL) {
        s->health = SVC_CRITICAL;
        s->is_expired = true;
    }
}

static void age_all(const struct mesh *m, size_t node)
{
    for (size_t k = 0; k < IDS; k++) {
        age(&model[node][k], m->now_ns);
    }
}

static void refreshed(const struct mesh *m, struct modelled *s)
{
    s->refreshed_ns = m->now_ns - 5 * MINI_MS; /* asking takes that long */
    s->slack_ns = 0;
}

/* ---- looking ---- */

/* Each service of `owner` is at `observer` what it is in the model; those on an edge may be anything. */
static void look(struct mesh *m, uint64_t seed, size_t observer, size_t owner)
{
    for (size_t k = 0; k < IDS; k++) {
        const struct modelled *s = &model[owner][k];
        char id[3] = {'s', (char) ('0' + k), '\0'};
        struct service_view v;
        if (is_on_edge(s, m->now_ns)) {
            continue;
        }
        int rc = core_service_get(m->node[observer].core, &m->node[owner].identity.id, text(id), &v);
        bool is_right = s->is_there ? rc == HM_OK && v.svc.health == s->health &&
                                          v.svc.is_expired == s->is_expired
                                    : rc == HM_ENOTFOUND;
        if (!is_right) {
            print_error("seed %" PRIu64 ", %" PRIu64 " ms: at node %zu, %s of node %zu is %s, and should be %s: "
                        "SEED=%" PRIu64 " tests/unit/core/test_service_model\n",
                        seed, (uint64_t) (m->now_ns / MINI_MS), observer, id, owner,
                        rc == HM_OK ? svc_health_name(v.svc.health) : "not there",
                        s->is_there ? svc_health_name(s->health) : "not there", seed);
            fail();
        }
    }
}

static void run(struct mesh *m, uint64_t seed, uint64_t for_ns)
{
    uint64_t until_ns = m->now_ns + for_ns;
    while (m->now_ns < until_ns) {
        uint64_t left_ns = until_ns - m->now_ns;
        mesh_run(m, left_ns < 700 * MINI_MS ? left_ns : 700 * MINI_MS);
        for (size_t i = 0; i < NODES; i++) {
            if (m->node[i].up && !m->node[i].asleep) {
                age_all(m, i);
                look(m, seed, i, i);
            }
        }
    }
}

/* ---- what is done ---- */

static void change(struct mesh *m, size_t node, size_t k)
{
    static const uint64_t ttls[] = {0, 2000, 10000, 30000};
    static const uint64_t afters[] = {0, 0, 1000, 15000};
    struct modelled *s = &model[node][k];
    char id[3] = {'s', (char) ('0' + k), '\0'};
    enum svc_health health = (enum svc_health) draw(0, 2);
    age(s, m->now_ns);
    if (is_on_edge(s, m->now_ns) || is_on_edge(s, m->now_ns + 10 * MINI_MS)) {
        return;
    }
    uint64_t what = draw(0, 9);
    if (what == 0) {
        assert_int_equal(take_away(m, node, id), s->is_there ? HM_OK : HM_ENOTFOUND);
        s->is_there = false;
    } else if (what < 4) {
        assert_int_equal(check(m, node, id, health, "said"), s->is_there ? HM_OK : HM_ENOTFOUND);
        s->health = health;
        s->is_expired = false;
        refreshed(m, s);
    } else {
        if (!s->is_there || draw(0, 4) == 0) {
            s->ttl_ms = ttls[draw(0, 3)];
            s->after_ms = s->ttl_ms == 0 ? 0 : afters[draw(0, 3)];
        }
        if (!s->is_there || s->is_expired) {
            s->health = SVC_PASSING;
        }
        s->is_there = true;
        s->is_expired = false;
        asked.what = REGISTER;
        asked.svc = (struct svc){.id = text(id), .name = text("web"), .port = 80,
                                 .ttl_ms = s->ttl_ms, .after_ms = s->after_ms};
        assert_int_equal(ask(m, node), HM_OK);
        refreshed(m, s);
    }
}

/* Nobody can say what it would leave behind, or go to sleep with. */
static bool is_anything_on_edge(const struct mesh *m, size_t node)
{
    bool is = false;
    for (size_t k = 0; k < IDS; k++) {
        is = is || is_on_edge(&model[node][k], m->now_ns);
    }
    return is;
}

static void end_or_restart(struct mesh *m, size_t node)
{
    if (m->node[node].up) {
        mesh_kill(m, node);
    } else {
        mesh_start(m, node);
        for (size_t k = 0; k < IDS; k++) { /* a whole TTL each */
            model[node][k].refreshed_ns = m->now_ns;
            model[node][k].slack_ns = 0;
        }
        mesh_run(m, 5 * MINI_MS);
    }
}

/* Its end of a link that leads nowhere has ended: a daemon's does so by itself after a while. */
static void end_link(struct mesh *m, size_t at, size_t peer)
{
    struct event down = {.type = EV_LINK_DOWN, .as.link.peer = m->node[peer].identity.id};
    if (m->node[at].up && !m->node[at].asleep && m->node[at].linked[peer]) {
        mesh_step(m, at, &down);
    }
}

static void cut_or_mend(struct mesh *m, size_t a, size_t b)
{
    mesh_cut(m, a, b, !m->cut[a][b]);
    end_link(m, a, b);
    end_link(m, b, a);
}

/* What it misses asleep is no missed refresh. */
static void sleep_or_wake(struct mesh *m, size_t node, uint64_t slept_ns[NODES])
{
    struct mesh_node *n = &m->node[node];
    if (!n->asleep) {
        slept_ns[node] = m->now_ns;
        n->asleep = true;
        for (size_t i = 0; i < NODES; i++) {
            end_link(m, i, node);
        }
        return;
    }
    n->asleep = false;
    for (size_t i = 0; i < NODES; i++) {
        end_link(m, node, i);
    }
    mesh_run(m, MINI_MS);
    for (size_t k = 0; k < IDS; k++) {
        struct modelled *s = &model[node][k];
        uint64_t slept = m->now_ns - slept_ns[node];
        s->refreshed_ns += slept > SLEEP_EDGE_NS ? slept - SLEEP_EDGE_NS : 0;
        s->slack_ns += SLEEP_EDGE_NS;
    }
}

static void trouble(struct mesh *m, uint64_t slept_ns[NODES])
{
    size_t node = draw(0, NODES - 1);
    size_t other = (node + draw(1, NODES - 1)) % NODES;
    uint64_t what = draw(0, 9);
    bool is_awake = m->node[node].up && !m->node[node].asleep;
    if (is_awake && is_anything_on_edge(m, node)) {
        return;
    }
    if (is_awake) {
        age_all(m, node);
    }
    if (what < 3 && !m->node[node].asleep) {
        end_or_restart(m, node);
    } else if (what < 5 && m->node[node].up) {
        sleep_or_wake(m, node, slept_ns);
    } else if (what < 7) {
        cut_or_mend(m, node, other);
    }
}

static void mend(struct mesh *m, uint64_t slept_ns[NODES])
{
    for (size_t i = 0; i < NODES; i++) {
        if (m->node[i].asleep) {
            sleep_or_wake(m, i, slept_ns);
        }
        if (!m->node[i].up) {
            end_or_restart(m, i);
        }
        mesh_cut(m, i, (i + 1) % NODES, false);
    }
}

/* Everybody sees those of everybody, but what changed a moment ago. */
static void look_everywhere(struct mesh *m, uint64_t seed)
{
    for (size_t i = 0; i < NODES; i++) {
        for (size_t j = 0; j < NODES; j++) {
            look(m, seed, i, j);
        }
    }
}

static void run_seed(uint64_t seed)
{
    struct mesh *m = mesh_new_started(NODES);
    uint64_t slept_ns[NODES] = {0};
    memset(model, 0, sizeof model);
    prng_init(&prng, seed);
    run(m, seed, 15 * MINI_SECOND);
    for (int round = 0; round < ROUNDS; round++) {
        for (int step = 0; step < STEPS; step++) {
            size_t node = draw(0, NODES - 1);
            if (m->node[node].up && !m->node[node].asleep) {
                change(m, node, draw(0, IDS - 1));
            }
            if (draw(0, 3) == 0) {
                trouble(m, slept_ns);
            }
            run(m, seed, draw(0, 1) == 0 ? draw(10, 400) * MINI_MS : draw(1, 20) * MINI_SECOND);
        }
        mend(m, slept_ns);
        run(m, seed, 30 * MINI_SECOND);
        look_everywhere(m, seed);
    }
    mesh_free(&m);
}

static void each_is_what_it_should_be(void **state)
{
    const char *one = getenv("SEED");
    const char *many = getenv("SEEDS");
    (void) state;
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    uint64_t count = many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    for (uint64_t seed = 1; seed <= count; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_what_it_should_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
