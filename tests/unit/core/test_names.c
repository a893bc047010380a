/* SPDX-License-Identifier: MPL-2.0 */
/* One name at several nodes, and renaming: several cores in one mesh. */
#include "../unit.h"

#include "minimesh.h"

#include <stdio.h>

#define CLIENT 7

static void rename_node(struct mesh *m, size_t at, const char *name)
{
    struct buf b;
    struct api_request request = {.deadline_ms = 5000};
    snprintf(request.op, sizeof request.op, "rename:%s", name);
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {CLIENT, buf_span(&b)}};
    mesh_step(m, at, &ev);
    buf_fini(&b);
}

static struct mesh *mesh_of_one_name(size_t count)
{
    struct mesh *m = mesh_new(count);
    for (size_t i = 0; i < count; i++) {
        memcpy(m->node[i].name, "pi", sizeof "pi");
        mesh_start(m, i);
    }
    mesh_run(m, 10 * MINI_SECOND);
    return m;
}

/* R1.5a: all that are up are told apart, the same way everywhere. */
static void all_call_them_the_same(void **state)
{
    size_t noticed = 0;
    (void) state;
    struct mesh *m = mesh_of_one_name(4);
    for (size_t about = 0; about < m->count; about++) {
        for (size_t at = 0; at < m->count; at++) {
            struct member_view view;
            assert_string_equal(mesh_view(m, at, about).name, mesh_view(m, 0, about).name);
            assert_int_equal(
                core_member_find(m->node[at].core, mesh_view(m, 0, about).name, &view), HM_OK);
            assert_true(node_id_eq(&view.id, &m->node[about].identity.id));
        }
        noticed += mesh_events(m, 0, EVENT_NOTICE, about);
        for (size_t other = 0; other < about; other++) {
            assert_string_not_equal(mesh_view(m, 0, about).name, mesh_view(m, 0, other).name);
        }
    }
    assert_true(noticed >= 3 && noticed <= 6); /* each once, or twice if its number changed */
    size_t before = noticed;
    mesh_run(m, 60 * MINI_SECOND);
    noticed = 0;
    for (size_t about = 0; about < m->count; about++) {
        noticed += mesh_events(m, 0, EVENT_NOTICE, about);
    }
    assert_int_equal(noticed, before);
    mesh_free(&m);
}

/* A machine that was set up anew takes over the name of the one that is gone. */
static void the_living_come_first(void **state)
{
    (void) state;
    struct mesh *m = mesh_of_one_name(2);
    size_t first = strcmp(mesh_view(m, 0, 0).name, "pi") == 0 ? 0 : 1;
    assert_string_equal(mesh_view(m, 0, 1 - first).name, "pi~2");
    mesh_kill(m, first);
    mesh_run(m, 10 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 1 - first, first), STATUS_FAILED);
    assert_string_equal(mesh_view(m, 1 - first, 1 - first).name, "pi");
    assert_string_equal(mesh_view(m, 1 - first, first).name, "pi~2");
    mesh_free(&m);
}

/* What fails keeps its name, whatever was called so before and left. */
static void the_given_up_come_last(void **state)
{
    (void) state;
    for (size_t leaver = 0; leaver < 2; leaver++) {
        struct mesh *m = mesh_new(3);
        memcpy(m->node[0].name, "pi", sizeof "pi");
        memcpy(m->node[1].name, "pi", sizeof "pi");
        for (size_t i = 0; i < 3; i++) {
            mesh_start(m, i);
        }
        mesh_run(m, 5 * MINI_SECOND);
        struct event shutdown = {.type = EV_SHUTDOWN};
        mesh_step(m, leaver, &shutdown);
        mesh_run(m, 2 * MINI_SECOND);
        assert_string_equal(mesh_view(m, 2, 1 - leaver).name, "pi");
        mesh_kill(m, 1 - leaver);
        mesh_run(m, 10 * MINI_SECOND);
        assert_int_equal(mesh_status(m, 2, 1 - leaver), STATUS_FAILED);
        assert_int_equal(mesh_status(m, 2, leaver), STATUS_LEFT);
        assert_string_equal(mesh_view(m, 2, 1 - leaver).name, "pi");
        assert_string_equal(mesh_view(m, 2, leaver).name, "pi~2");
        mesh_free(&m);
    }
}

static void a_new_name_stays(void **state)
{
    (void) state;
    struct mesh *m = mesh_of_one_name(3);
    rename_node(m, 1, "attic");
    assert_int_equal(m->node[1].replies, 0); /* not before it is on disk */
    mesh_run(m, 2 * MINI_SECOND);
    assert_int_equal(m->node[1].replies, 1);
    assert_int_equal(m->node[1].reply_code, HM_OK);
    assert_string_equal(mesh_view(m, 0, 1).name, "attic");
    for (unsigned given = 0; given < 2; given++) {
        m->node[1].name_given = given == 1;
        mesh_kill(m, 1);
        mesh_start(m, 1);
        mesh_run(m, 10 * MINI_SECOND);
        assert_true((strcmp(mesh_view(m, 0, 1).name, "attic") == 0) == (given == 0));
        assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    }
    m->node[1].name_given = false; /* what was given has taken the place of what was stored */
    mesh_kill(m, 1);
    mesh_start(m, 1);
    mesh_run(m, 10 * MINI_SECOND);
    assert_string_not_equal(mesh_view(m, 0, 1).name, "attic");
    rename_node(m, 1, "No Name");
    assert_int_equal(m->node[1].reply_code, HM_EINVAL);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_call_them_the_same),
        cmocka_unit_test(the_living_come_first),
        cmocka_unit_test(the_given_up_come_last),
        cmocka_unit_test(a_new_name_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
