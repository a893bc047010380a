/* SPDX-License-Identifier: MPL-2.0 */
/* Services: found everywhere, gone with their node, kept by their own node's clock. */
#include "service_mesh.h"

static uint64_t writes(struct mesh *m, size_t node)
{
    return mesh_metric(m, node, M_STORE_BATCHES);
}

static void it_is_found_everywhere_and_gone_with_its_node(void **state)
{
    struct mesh *m = mesh_new_started(3);
    (void) state;
    mesh_run(m, 10 * MINI_SECOND);
    assert_int_equal(put(m, 1, "", "web", 80, 0), HM_OK);
    assert_string_equal(asked.id, "web");
    mesh_run(m, 20 * MINI_MS);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(seen(m, i), "web@1:passing");
    }
    mesh_kill(m, 1);
    mesh_run(m, 2 * MINI_SECOND); /* its machine refuses */
    assert_string_equal(seen(m, 0), "");
    assert_string_equal(seen(m, 2), "");
    mesh_start(m, 1);
    mesh_run(m, 5 * MINI_SECOND);
    assert_string_equal(seen(m, 1), "web@1:passing"); /* nothing was registered again */
    assert_string_equal(seen(m, 0), "web@1:passing");
    for (size_t i = 0; i < 3; i++) { /* a silent machine: suspect counts, failed does not */
        mesh_cut(m, i, 1, i != 1);
        mesh_cut(m, 1, i, i != 1);
    }
    for (int ms = 0; ms < 60000; ms += 50) {
        struct member_view view;
        mesh_run(m, 50 * MINI_MS);
        assert_int_equal(core_member_find(m->node[0].core, m->node[1].name, &view), HM_OK);
        assert_string_equal(seen(m, 0), view.status == STATUS_FAILED ? "" : "web@1:passing");
        if (view.status == STATUS_FAILED) {
            break;
        }
    }
    assert_string_equal(seen(m, 0), "");
    assert_string_equal(seen(m, 1), "web@1:passing"); /* it sees itself */
    assert_int_equal(take_away(m, 1, "web"), HM_OK);
    assert_int_equal(take_away(m, 1, "web"), HM_ENOTFOUND);
    assert_string_equal(seen(m, 1), "");
    mesh_free(&m);
}

static void refreshing_writes_nothing(void **state)
{
    struct mesh *m = mesh_new_started(1);
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
    uint64_t before = writes(m, 0);
    for (int i = 0; i < 20; i++) {
        mesh_run(m, 8 * MINI_SECOND);
        assert_int_equal(i % 2 == 0 ? put(m, 0, "", "web", 80, 10000)
                                    : check(m, 0, "web", SVC_PASSING, ""),
                         HM_OK);
        assert_string_equal(seen(m, 0), "web@0:passing");
    }
    assert_int_equal(writes(m, 0), before);
    assert_int_equal(check(m, 0, "web", SVC_WARNING, "slow"), HM_OK);
    assert_int_equal(writes(m, 0), before + 1);
    assert_string_equal(seen(m, 0), "web@0:warning");
    /* Only the text is new: it can wait. */
    assert_int_equal(check(m, 0, "web", SVC_WARNING, "slower"), HM_OK);
    assert_int_equal(writes(m, 0), before + 1);
    for (int i = 0; i < 8; i++) {
        mesh_run(m, 8 * MINI_SECOND);
        assert_int_equal(check(m, 0, "web", SVC_WARNING, "slower"), HM_OK);
    }
    assert_int_equal(writes(m, 0), before + 2);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK); /* what a check said stays */
    assert_string_equal(seen(m, 0), "web@0:warning");
    assert_int_equal(put(m, 0, "", "web", 80, 20000), HM_OK);
    assert_int_equal(writes(m, 0), before + 3);
    assert_int_equal(check(m, 0, "none", SVC_PASSING, ""), HM_ENOTFOUND);
    assert_int_equal(check(m, 0, "no id", SVC_PASSING, ""), HM_ENOTFOUND);
    mesh_free(&m);
}

static void what_is_not_refreshed_turns_critical_then_goes(void **state)
{
    struct mesh *m = mesh_new_started(2);
    (void) state;
    mesh_run(m, 10 * MINI_SECOND);
    assert_int_equal(put(m, 1, "", "web", 80, 10000), HM_OK);
    assert_int_equal(put(m, 1, "", "always", 81, 0), HM_OK);
    uint64_t before = writes(m, 1);
    mesh_run(m, 9900 * MINI_MS);
    assert_string_equal(seen(m, 0), "always@1:passing web@1:passing");
    mesh_run(m, 300 * MINI_MS);
    assert_string_equal(seen(m, 0), "always@1:passing web@1:critical");
    mesh_run(m, 49 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "always@1:passing web@1:critical");
    assert_int_equal(writes(m, 1), before + 1);
    mesh_run(m, 2 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "always@1:passing");
    mesh_run(m, 300 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "always@1:passing");
    mesh_free(&m);
}

static void a_late_refresh_brings_it_back(void **state)
{
    struct mesh *m = mesh_new_started(1);
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    for (int how = 0; how < 2; how++) {
        assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
        mesh_run(m, 40 * MINI_SECOND);
        assert_string_equal(seen(m, 0), "web@0:critical");
        assert_int_equal(how == 0 ? put(m, 0, "", "web", 80, 10000)
                                  : check(m, 0, "web", SVC_PASSING, ""),
                         HM_OK);
        assert_string_equal(seen(m, 0), "web@0:passing");
        mesh_run(m, 9 * MINI_SECOND);
        assert_string_equal(seen(m, 0), "web@0:passing");
    }
    /* Critical by a check is no missed refresh: registering again leaves it. */
    assert_int_equal(check(m, 0, "web", SVC_CRITICAL, "down"), HM_OK);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
    assert_string_equal(seen(m, 0), "web@0:critical");
    mesh_free(&m);
}

static void a_restart_gives_a_whole_ttl(void **state)
{
    struct mesh *m = mesh_new_started(1);
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
    for (int i = 0; i < 10; i++) {
        mesh_run(m, 8 * MINI_SECOND);
        mesh_kill(m, 0);
        m->now_ns += 3600 * MINI_SECOND;
        mesh_start(m, 0);
        mesh_run(m, MINI_SECOND);
        assert_string_equal(seen(m, 0), "web@0:passing");
    }
    mesh_run(m, 11 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "web@0:critical");
    mesh_kill(m, 0);
    mesh_start(m, 0);
    mesh_run(m, 50 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "web@0:critical"); /* and a whole minute before it goes */
    mesh_run(m, 15 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "");
    mesh_free(&m);
}

/* What a laptop that slept has not heard is nobody's fault. */
static void sleep_is_no_missed_refresh(void **state)
{
    struct mesh *m = mesh_new_started(1);
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
    mesh_run(m, 5 * MINI_SECOND);
    m->node[0].asleep = true;
    mesh_run(m, 3600 * MINI_SECOND);
    m->node[0].asleep = false;
    mesh_run(m, 3 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "web@0:passing");
    mesh_run(m, 10 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "web@0:critical");
    mesh_free(&m);
}

static void ids_are_found_for_them(void **state)
{
    struct mesh *m = mesh_new_started(1);
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "", "web", 80, 0), HM_OK);
    assert_int_equal(put(m, 0, "", "web", 81, 0), HM_OK);
    assert_string_equal(asked.id, "web-81");
    assert_int_equal(put(m, 0, "", "web", 80, 0), HM_OK);
    assert_string_equal(asked.id, "web");
    assert_int_equal(take_away(m, 0, "web"), HM_OK);
    assert_int_equal(put(m, 0, "", "web", 81, 0), HM_OK); /* the one it has, not the free one */
    assert_string_equal(asked.id, "web-81");
    assert_int_equal(put(m, 0, "my:web", "web", 82, 0), HM_OK);
    assert_string_equal(seen(m, 0), "my:web@0:passing web-81@0:passing");
    mesh_free(&m);
}

static void a_node_has_so_many_and_no_more(void **state)
{
    struct mesh *m = mesh_new_started(1);
    char id[16];
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    for (unsigned i = 0; i < HM_SERVICES_MAX; i++) {
        snprintf(id, sizeof id, "s%u", i);
        assert_int_equal(put(m, 0, id, "web", (uint16_t) (i + 1), 0), HM_OK);
    }
    assert_int_equal(put(m, 0, "more", "web", 9999, 0), HM_EFULL);
    assert_int_equal(put(m, 0, "s7", "web", 9999, 0), HM_OK);
    mesh_free(&m);
}

static bool loses_batches(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) from;
    if (fx->type == FX_PERSIST) {
        *(uint64_t *) m->arg = fx->as.persist.batch;
    }
    return fx->type != FX_PERSIST;
}

/* An answer is given when it is on disk, also to who says the same again before that. */
static void nothing_is_answered_before_it_is_durable(void **state)
{
    struct mesh *m = mesh_new_started(1);
    uint64_t batch = 0;
    struct event failed = {.type = EV_BATCH_FAILED, .as.store = {.reason = HM_EIO}};
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    size_t before = m->node[0].replies;
    m->passes = loses_batches;
    m->arg = &batch;
    asked.what = REGISTER;
    asked.svc = (struct svc){.id = text("web"), .name = text("web"), .port = 80};
    call(m, 0);
    mesh_run(m, 100 * MINI_MS);
    call(m, 0);
    mesh_run(m, 100 * MINI_MS);
    assert_int_equal(m->node[0].replies, before);
    assert_string_equal(seen(m, 0), "");
    failed.as.store.batch = batch;
    mesh_step(m, 0, &failed);
    assert_int_equal(m->node[0].replies, before + 2);
    assert_int_equal(m->node[0].reply_code, HM_EIO);
    m->passes = NULL;
    assert_int_equal(ask(m, 0), HM_OK);
    assert_string_equal(seen(m, 0), "web@0:passing");
    mesh_free(&m);
}

static bool names_expired(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) from;
    if (fx->type == FX_NOTE && fx->as.note.code == NOTE_SERVICE_EXPIRED) {
        memcpy(m->arg, fx->as.note.name, sizeof fx->as.note.name);
    }
    return fx->type != FX_PERSIST;
}

/* The disk is so slow that a TTL runs out while the service is on its way there. */
static void a_slow_disk_and_a_short_ttl(void **state)
{
    struct mesh *m = mesh_new_started(1);
    char name[SHOWN_NAME_BYTES] = "";
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    m->passes = names_expired;
    m->arg = name;
    asked.what = REGISTER;
    asked.svc = (struct svc){.id = text("web"), .name = text("web"), .port = 80, .ttl_ms = 1000};
    call(m, 0);
    mesh_run(m, 3 * MINI_SECOND);
    assert_string_equal(name, "web");
    mesh_free(&m);
}

/* What could not be written is written when the disk takes it. */
static void a_failed_disk_is_tried_again(void **state)
{
    struct mesh *m = mesh_new_started(1);
    uint64_t batch = 0;
    struct event failed = {.type = EV_BATCH_FAILED, .as.store = {.reason = HM_EIO}};
    (void) state;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "", "web", 80, 10000), HM_OK);
    m->passes = loses_batches;
    m->arg = &batch;
    mesh_run(m, 10500 * MINI_MS);
    assert_true(batch > 0);
    assert_string_equal(seen(m, 0), "web@0:passing");
    failed.as.store.batch = batch;
    mesh_step(m, 0, &failed);
    m->passes = NULL;
    mesh_run(m, 11 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "web@0:critical");
    mesh_free(&m);
}

/* What a node writes there that is no service, or is not where it says, is not there. */
static void what_does_not_read_is_no_service(void **state)
{
    struct mesh *m = mesh_new_started(2);
    struct svc s = {.id = text("web"), .name = text("web"), .port = 80};
    uint8_t key[SVC_KEY_BYTES_MAX];
    struct buf good, bad;
    (void) state;
    mesh_run(m, 10 * MINI_SECOND);
    buf_init(&good, 1000);
    buf_init(&bad, 1000);
    svc_write(&good, &s);
    mp_str(&bad, "no service");
    const struct {
        const char *id;
        const struct buf *value;
        const char *seen;
    } rows[] = {{"other", &good, ""}, {"web", &bad, ""}, {"web", &good, "web@1:passing"}};
    asked.what = RAW;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t size = svc_key(&m->node[1].identity.id, text(rows[i].id), key);
        asked.raw = (struct registry_write){
            .key = span_of(key, size), .type = ENTRY_REGISTER, .value = buf_span(rows[i].value)};
        assert_int_equal(ask(m, 1), HM_OK);
        mesh_run(m, 20 * MINI_MS);
        assert_string_equal(seen(m, 0), rows[i].seen);
    }
    mesh_run(m, 100 * MINI_SECOND); /* its own node looks at them too */
    assert_string_equal(seen(m, 0), "web@1:passing");
    buf_fini(&good);
    buf_fini(&bad);
    mesh_free(&m);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void add_wanted(struct buf *wanted, const char *file, const char *id, uint16_t port)
{
    struct svc s = {.id = text(id), .name = text("web"), .port = port, .source = SVC_FILE,
                    .ttl_ms = 10000, .file = text(file)};
    struct buf b;
    buf_init(&b, 1000);
    svc_write(&b, &s);
    mp_bin(wanted, b.data, b.size);
    buf_fini(&b);
}

static void tell(struct mesh *m, struct buf *wanted, const char *kept)
{
    struct buf k;
    struct event ev = {.type = EV_SERVICES};
    buf_init(&k, 1000);
    if (kept != NULL) {
        mp_str(&k, kept);
    }
    ev.as.services.wanted = buf_span(wanted);
    ev.as.services.kept = buf_span(&k);
    mesh_step(m, 0, &ev);
    mesh_run(m, 10 * MINI_MS);
    buf_fini(&k);
}

static bool counts_taken(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) from;
    *(uint64_t *) m->arg += fx->type == FX_NOTE && fx->as.note.code == NOTE_SERVICE_TAKEN;
    return true;
}

static void files_say_what_is_there(void **state)
{
    struct mesh *m = mesh_new_started(1);
    struct buf two, one, none;
    (void) state;
    buf_init(&two, 4096);
    buf_init(&one, 4096);
    buf_init(&none, 4096);
    add_wanted(&two, "a.yaml", "a", 80);
    add_wanted(&two, "b.yaml", "b", 81);
    add_wanted(&one, "b.yaml", "b", 81);
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(put(m, 0, "mine", "web", 90, 0), HM_OK);
    tell(m, &two, NULL);
    assert_string_equal(seen(m, 0), "a@0:passing b@0:passing mine@0:passing");
    assert_int_equal(check(m, 0, "a", SVC_WARNING, ""), HM_OK);
    uint64_t before = writes(m, 0);
    tell(m, &two, NULL);
    assert_int_equal(writes(m, 0), before); /* it says nothing new */
    assert_string_equal(seen(m, 0), "a@0:warning b@0:passing mine@0:passing");
    for (int i = 0; i < 30; i++) { /* one is refreshed; the other turns critical, and stays */
        mesh_run(m, 8 * MINI_SECOND);
        assert_int_equal(check(m, 0, "a", SVC_WARNING, ""), HM_OK);
    }
    assert_int_equal(writes(m, 0), before + 1);
    assert_string_equal(seen(m, 0), "a@0:warning b@0:critical mine@0:passing");
    assert_int_equal(check(m, 0, "b", SVC_PASSING, ""), HM_OK);
    assert_int_equal(put(m, 0, "a", "web", 99, 0), HM_EEXIST);
    assert_int_equal(take_away(m, 0, "a"), HM_EEXIST);
    tell(m, &one, "a.yaml"); /* it cannot be read now */
    assert_string_equal(seen(m, 0), "a@0:warning b@0:passing mine@0:passing");
    tell(m, &one, NULL); /* it is gone */
    assert_string_equal(seen(m, 0), "b@0:passing mine@0:passing");
    mesh_kill(m, 0);
    mesh_start(m, 0);
    mesh_run(m, 200 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "b@0:critical mine@0:passing"); /* not read yet */
    tell(m, &none, NULL); /* it went while nobody looked */
    assert_string_equal(seen(m, 0), "mine@0:passing");
    buf_clear(&one);
    add_wanted(&one, "a.yaml", "mine", 80);
    uint64_t noted = 0;
    m->passes = counts_taken;
    m->arg = &noted;
    tell(m, &one, NULL); /* what a command has registered, no file takes */
    mesh_run(m, 300 * MINI_SECOND);
    assert_int_equal(noted, 1); /* and that is said once */
    tell(m, &none, NULL);
    assert_string_equal(seen(m, 0), "mine@0:passing");
    tell(m, &one, NULL);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(take_away(m, 0, "mine"), HM_OK);
    mesh_run(m, MINI_SECOND); /* the file that waited for the id has it */
    assert_string_equal(seen(m, 0), "mine@0:passing");
    assert_int_equal(take_away(m, 0, "mine"), HM_EEXIST);
    tell(m, &none, NULL);
    assert_int_equal(put(m, 0, "mine", "web", 90, 10000), HM_OK);
    tell(m, &one, NULL);
    mesh_run(m, 59 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "mine@0:critical");
    mesh_run(m, 2 * MINI_SECOND); /* and when the other's time was over */
    assert_string_equal(seen(m, 0), "mine@0:passing");
    tell(m, &none, NULL);
    mesh_run(m, 20 * MINI_SECOND);
    tell(m, &one, NULL); /* one that is put back has a whole TTL */
    mesh_run(m, 9 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "mine@0:passing");
    mesh_run(m, 2 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "mine@0:critical");
    buf_fini(&two);
    buf_fini(&one);
    buf_fini(&none);
    mesh_free(&m);
}

/* It is told before anything can be written, and written when that is possible. */
static void files_read_at_the_start_are_not_lost(void **state)
{
    struct mesh *m = mesh_new(1);
    struct buf one;
    (void) state;
    buf_init(&one, 4096);
    add_wanted(&one, "a.yaml", "a", 80);
    mesh_start(m, 0);
    tell(m, &one, NULL);
    mesh_run(m, 5 * MINI_SECOND);
    assert_string_equal(seen(m, 0), "a@0:passing");
    buf_fini(&one);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_found_everywhere_and_gone_with_its_node),
        cmocka_unit_test(refreshing_writes_nothing),
        cmocka_unit_test(what_is_not_refreshed_turns_critical_then_goes),
        cmocka_unit_test(a_late_refresh_brings_it_back),
        cmocka_unit_test(a_restart_gives_a_whole_ttl),
        cmocka_unit_test(sleep_is_no_missed_refresh),
        cmocka_unit_test(ids_are_found_for_them),
        cmocka_unit_test(a_node_has_so_many_and_no_more),
        cmocka_unit_test(nothing_is_answered_before_it_is_durable),
        cmocka_unit_test(a_slow_disk_and_a_short_ttl),
        cmocka_unit_test(a_failed_disk_is_tried_again),
        cmocka_unit_test(what_does_not_read_is_no_service),
        cmocka_unit_test(files_say_what_is_there),
        cmocka_unit_test(files_read_at_the_start_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
