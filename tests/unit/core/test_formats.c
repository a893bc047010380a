/* SPDX-License-Identifier: MPL-2.0 */
/* A registry of which one node reads less than the others: as docs/protocol/registry.md says under "Later
 * formats". The others write as tests/lib/later_format.h says; which of them is in its step is said here. */
#include "../../lib/later_format.h"
#include "../unit.h"

#include "core/core.h"
#include "minimesh.h"
#include "wire/entry_msg.h"

#include <stdio.h>

static struct mesh *mesh;

int __real_core_step(core_t *core, const struct event *ev, struct effects *ret_fx);
int __wrap_core_step(core_t *core, const struct event *ev, struct effects *ret_fx);

int __wrap_core_step(core_t *core, const struct event *ev, struct effects *ret_fx)
{
    for (size_t i = 0; mesh != NULL && i < mesh->count; i++) {
        if (mesh->node[i].core == core) {
            later_format_is_next = mesh->node[i].is_next;
        }
    }
    return __real_core_step(core, ev, ret_fx);
}

static struct mesh *start(size_t count, unsigned next)
{
    struct mesh *m = mesh_new(count);
    mesh = m;
    later_format_writes = false;
    for (size_t i = 0; i < count; i++) {
        m->node[i].is_next = (next >> i & 1) != 0;
        mesh_start(m, i);
    }
    mesh_run(m, 20 * MINI_SECOND);
    return m;
}

static void end(struct mesh **p)
{
    for (size_t i = 0; i < (*p)->count; i++) {
        assert_int_equal(mesh_metric(*p, i, M_DROP_MALFORMED), 0);
        assert_int_equal(mesh_metric(*p, i, M_ENTRIES_REFUSED), 0);
    }
    mesh_free(p);
    mesh = NULL;
    later_format_release();
}

static void put(struct mesh *m, size_t i, const char *op)
{
    size_t before = m->node[i].replies;
    mesh_ask(m, i, op);
    mesh_run(m, 10 * MINI_MS);
    assert_int_equal(m->node[i].replies, before + 1);
    assert_int_equal(m->node[i].reply_code, HM_OK);
}

static const char *shown(struct mesh *m, size_t i, const char *key, size_t *ret_live)
{
    later_format_is_next = m->node[i].is_next;
    return mesh_shown(m, i, key, ret_live);
}

static bool agree(struct mesh *m, size_t a, size_t b)
{
    return registry_state(core_registry(m->node[a].core)) ==
           registry_state(core_registry(m->node[b].core));
}

/* How many of the others hold what this node cannot read. */
static size_t later_peers(struct mesh *m, size_t i)
{
    const core_t *core = m->node[i].core;
    struct core_registry_peer peer;
    size_t count = 0;
    for (size_t j = 0; j < core_member_count(core); j++) {
        count += core_registry_peer(core, j, &peer) && peer.is_later ? 1 : 0;
    }
    return count;
}

static void upgrade(struct mesh *m, size_t i)
{
    struct event shutdown = {.type = EV_SHUTDOWN};
    mesh_step(m, i, &shutdown);
    mesh_run(m, 2 * MINI_SECOND);
    m->node[i].is_next = true;
    mesh_start(m, i);
    mesh_run(m, 10 * MINI_SECOND);
}

/* Fields and types that are not known are kept, and passed on as they were made: two new nodes that cannot
 * talk to each other have the very bytes by way of an old one. */
static void what_is_more_is_kept_and_passed_on(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(3);
    mesh = m;
    mesh_cut(m, 0, 2, true);
    for (size_t i = 0; i < 3; i++) {
        m->node[i].is_next = i != 1;
        mesh_start(m, i);
    }
    mesh_run(m, 20 * MINI_SECOND);
    put(m, 0, "put:kv/plain=1");
    put(m, 0, "put:kv/odd=2");
    put(m, 1, "put:kv/old=3");
    put(m, 2, "put:kv/gone=4");
    put(m, 0, "put:kv/other=5");
    mesh_run(m, 5 * MINI_SECOND);
    put(m, 0, "delete:kv/gone");
    put(m, 1, "put:kv/other=6"); /* over what it does not know all of */
    mesh_run(m, 10 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        struct registry_siblings s;
        assert_true(agree(m, 0, i));
        assert_string_equal(shown(m, i, "kv/plain", NULL), "1");
        assert_string_equal(shown(m, i, "kv/old", NULL), "3");
        assert_string_equal(shown(m, i, "kv/gone", NULL), "-");
        assert_string_equal(shown(m, i, "kv/other", NULL), "6");
        assert_int_equal(registry_get(core_registry(m->node[i].core), LOOK_SHOWN,
                                      span_of("kv/odd", 6), &s),
                         HM_OK);
        assert_int_equal(s.items[0].type, LATER_ODD_TYPE);
        assert_int_equal(mesh_metric(m, i, M_ENTRIES_LATER), 0);
    }
    end(&m);
}

/* Node 0 cannot read what the others write from now on. It has all else, goes on, claims nothing of that,
 * and asks seldom; nothing is lost, and once it is upgraded all are equal. */
static void a_later_format_waits_for_the_upgrade(void **state)
{
    (void) state;
    struct mesh *m = start(3, 2 | 4);
    struct dot dot;
    size_t live;
    put(m, 1, "put:kv/both=before");
    put(m, 0, "put:kv/gone=1");
    mesh_run(m, 5 * MINI_SECOND);
    assert_true(agree(m, 0, 1) && agree(m, 0, 2));

    later_format_writes = true;
    put(m, 1, "put:kv/later=1");
    put(m, 2, "put:kv/both=later");
    put(m, 2, "delete:kv/gone");
    put(m, 0, "put:kv/old=1");
    put(m, 0, "put:kv/both=old");
    mesh_run(m, 30 * MINI_SECOND);
    assert_true(agree(m, 1, 2));
    assert_false(agree(m, 0, 1));
    assert_true(mesh_metric(m, 0, M_ENTRIES_LATER) > 0);
    assert_true(later_peers(m, 0) > 0);
    assert_int_equal(later_peers(m, 1), 0);
    assert_string_equal(shown(m, 0, "kv/later", NULL), "-");
    assert_string_equal(shown(m, 0, "kv/both", NULL), "old");
    assert_string_equal(shown(m, 1, "kv/old", NULL), "1");
    (void) shown(m, 2, "kv/both", &live);
    assert_int_equal(live, 2); /* neither had seen the other */

    /* What it can read it goes on to get. */
    later_format_writes = false;
    put(m, 1, "put:kv/plain=1");
    mesh_cut(m, 0, 1, true);
    mesh_cut(m, 0, 2, true);
    mesh_run(m, 20 * MINI_SECOND);
    put(m, 2, "put:kv/apart=1");
    mesh_cut(m, 0, 1, false);
    mesh_cut(m, 0, 2, false);
    mesh_run(m, 60 * MINI_SECOND);
    assert_string_equal(shown(m, 0, "kv/plain", NULL), "1");
    assert_string_equal(shown(m, 0, "kv/apart", NULL), "1");

    /* It asks less and less, and claims nothing. Marks wait for it. */
    uint64_t asked = mesh_metric(m, 0, M_PASSES_ASKED);
    mesh_run(m, 600 * MINI_SECOND);
    assert_true(mesh_metric(m, 0, M_PASSES_ASKED) - asked < 40);
    memset(&dot, 0, sizeof dot);
    later_format_is_next = true;
    struct registry_siblings s;
    assert_int_equal(registry_get(core_registry(m->node[1].core), LOOK_SHOWN, span_of("kv/later", 8), &s),
                     HM_OK);
    dot = s.items[0].dot;
    assert_true(vector_has(registry_vector(core_registry(m->node[2].core)), &dot));
    assert_false(vector_has(registry_vector(core_registry(m->node[0].core)), &dot));
    assert_true(registry_totals(core_registry(m->node[1].core))->marks > 0);

    upgrade(m, 0);
    assert_true(agree(m, 0, 1) && agree(m, 0, 2));
    assert_int_equal(later_peers(m, 0), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(shown(m, i, "kv/later", NULL), "1");
        assert_string_equal(shown(m, i, "kv/old", NULL), "1");
        assert_string_equal(shown(m, i, "kv/gone", NULL), "-");
        assert_string_equal(shown(m, i, "kv/plain", NULL), "1");
        (void) shown(m, i, "kv/both", &live);
        assert_int_equal(live, 2);
    }
    mesh_run(m, 120 * MINI_SECOND);
    later_format_is_next = true;
    assert_int_equal(registry_totals(core_registry(m->node[1].core))->marks, 0);
    end(&m);
}

/* A new store among nodes of the next version gets what it can read, but never takes it for all. */
static void a_new_node_of_the_old_version_stays_syncing(void **state)
{
    (void) state;
    struct mesh *m = start(3, 2 | 4);
    put(m, 1, "put:kv/plain=1");
    later_format_writes = true;
    put(m, 1, "put:kv/later=1");
    mesh_run(m, 20 * MINI_SECOND);
    mesh_kill(m, 0);
    omap_clear(m->node[0].disk);
    mesh_start(m, 0);
    mesh_run(m, 60 * MINI_SECOND);
    assert_string_equal(shown(m, 0, "kv/plain", NULL), "1");
    assert_true(core_is_syncing(m->node[0].core));
    upgrade(m, 0);
    assert_true(agree(m, 0, 1) && agree(m, 0, 2));
    assert_false(core_is_syncing(m->node[0].core));
    assert_string_equal(shown(m, 0, "kv/later", NULL), "1");
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_more_is_kept_and_passed_on),
        cmocka_unit_test(a_later_format_waits_for_the_upgrade),
        cmocka_unit_test(a_new_node_of_the_old_version_stays_syncing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
