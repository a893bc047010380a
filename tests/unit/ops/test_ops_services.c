/* SPDX-License-Identifier: MPL-2.0 */
/* Finding services and registering them, through the dispatcher, on a core that only answers queries. */
#include "../unit.h"

#include "base/err.h"
#include "base/text.h"
#include "fake_core.h"
#include "ops/ops_dispatch.h"
#include "wire/mpack.h"

#include <jansson.h>
#include <stdio.h>

#include "cmd/ctl.h"

#define MANY 3000

static struct ops ops;
static struct call_result result;

static int set_up(void **state)
{
    const struct ops_env env = {.ctx = NULL};
    (void) state;
    ops_init(&ops, &env);
    memset(&result, 0, sizeof result);
    return 0;
}

/* Words of a command line, "name=value" each, as meshctl sends them. NULL: it failed, or waits. */
static json_t *ask_at(core_t *core, const char *op, const char *const *words, bool is_last)
{
    const struct op_spec *spec = ops_spec_find(op);
    struct op_values values;
    struct buf args, reply;
    char why[OPS_WHY_BYTES], name[64];
    json_t *json = NULL;
    ops_args_init(spec, &values);
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *value = strchr(words[i], '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int) (value - 1 - words[i]), words[i]);
        size_t idx = ops_args_index(spec, name);
        assert_true(idx < spec->arg_count);
        int code = ops_args_set(spec, idx, value, &values, why);
        if (code != HM_OK) {
            print_error("%s: %s\n", words[i], why);
        }
        assert_int_equal(code, HM_OK);
    }
    buf_init(&args, 65536);
    buf_init(&reply, HM_REPLY_BYTES_MAX);
    ops_args_write(spec, &values, &args);
    struct span copy = exact_copy(args.data, args.size);
    result.wait = false;
    ops.handler.handle(ops.handler.ctx, core, op, copy, true, is_last, &reply, &result);
    if (result.code == HM_OK && !result.wait) {
        json = ctl_json_of(reply.data, reply.size);
        assert_non_null(json);
    }
    exact_free(copy);
    buf_fini(&args);
    buf_fini(&reply);
    return json;
}

static json_t *ask(core_t *core, const char *op, const char *const *words)
{
    result.ticket = result.kept = 0;
    return ask_at(core, op, words, true);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The ids of a reply, "a b". */
static const char *ids(const json_t *json)
{
    static char text[256];
    size_t i;
    json_t *service;
    text[0] = '\0';
    json_array_foreach(json_object_get(json, "services"), i, service)
    {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
                 json_string_value(json_object_get(service, "id")));
    }
    return text;
}

static void filters_all_must_match(void **state)
{
    static const struct {
        const char *words[3];
        const char *ids;
    } rows[] = {
        {{NULL}, "attic-80 nas"},
        {{"name=nas"}, "nas"},
        {{"name=na"}, ""},
        {{"tag=web"}, "attic-80"},
        {{"tag=web", "tag=blue"}, "attic-80"},
        {{"tag=web", "tag=red"}, ""},
        {{"version=1.2"}, "attic-80"},
        {{"version=1.3"}, ""},
        {{"node=pi2"}, "nas"},
        {{"node=attic"}, ""}, /* failed: none of it is handed out */
        {{"health=warning"}, "attic-80"},
        {{"health=passing"}, "nas"},
        {{"health=critical"}, ""},
        {{"meta=rack=1"}, "attic-80"},
        {{"meta=rack=2"}, ""},
        {{"meta=rack=1", "name=attic"}, "attic-80"},
        {{"near=pi2"}, "nas attic-80"},
        {{"near=nas1"}, "attic-80 nas"},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        json_t *json = ask(fake_core_small(), "services.list", rows[i].words);
        if (json == NULL || strcmp(ids(json), rows[i].ids) != 0) {
            print_error("row %zu: %s\n", i, json == NULL ? result.text : ids(json));
            fail();
        }
        json_decref(json);
    }
    assert_null(ask(fake_core_small(), "services.list", WORDS("node=nobody")));
    assert_int_equal(result.code, HM_ENOTFOUND);
    assert_null(ask(fake_core_small(), "services.list", WORDS("health=good")));
    assert_int_equal(result.code, HM_EINVAL);
}

static void its_nodes_address_is_its_own(void **state)
{
    json_t *json = ask(fake_core_small(), "services.list", WORDS("name=attic"));
    const json_t *service = json_array_get(json_object_get(json, "services"), 0);
    (void) state;
    assert_string_equal(ctl_text_of(json_object_get(service, "address")), "10.0.0.71");
    json_decref(json);
    json = ask(fake_core_small(), "services.show", WORDS("service=nas"));
    service = json_array_get(json_object_get(json, "services"), 0);
    assert_string_equal(ctl_text_of(json_object_get(service, "address")), "fd00::1");
    assert_string_equal(ctl_text_of(json_object_get(service, "file")), "nas.yaml");
    json_decref(json);
    json = ask(fake_core_small(), "services.show", WORDS("service=attic")); /* by name */
    assert_string_equal(ids(json), "attic-80");
    json_decref(json);
    assert_null(ask(fake_core_small(), "services.show", WORDS("service=att")));
    assert_int_equal(result.code, HM_ENOTFOUND);
}

/* Thousands come in pages: each once, in order. */
static void many_are_paged(void **state)
{
    static struct service_view many[MANY];
    static char id[MANY][16], seen[MANY];
    static char longest[400];
    core_t *core = fake_core_small();
    char after[OPS_TEXT_BYTES_MAX + 8] = "";
    size_t found = 0, pages = 0;
    (void) state;
    memset(longest, 'v', sizeof longest);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(id[i], sizeof id[i], "s-%zu", i);
        many[i] = core->services[i % 2];
        many[i].svc.id = span_of(id[i], strlen(id[i]));
        many[i].svc.version = span_of(longest, 63);
    }
    core->services = many;
    core->service_count = MANY;
    memset(seen, 0, sizeof seen);
    for (;;) {
        const char *words[3] = {"near=nas1", after[0] != '\0' ? after : NULL};
        json_t *json = ask(core, "services.list", words);
        size_t i;
        json_t *service;
        assert_non_null(json);
        pages++;
        json_array_foreach(json_object_get(json, "services"), i, service)
        {
            uint64_t number = 0;
            const char *name = json_string_value(json_object_get(service, "id"));
            assert_int_equal(text_to_u64(name + 2, MANY - 1, &number), HM_OK);
            assert_int_equal(seen[number], 0);
            seen[number] = 1;
            found++;
        }
        bool is_last = json_is_null(json_object_get(json, "next"));
        snprintf(after, sizeof after, "after=%s",
                 ctl_text_of(json_object_get(json, "next")));
        json_decref(json);
        if (is_last) {
            break;
        }
    }
    assert_int_equal(found, MANY);
    assert_in_range(pages, 2, 20);
    assert_null(ask(core, "services.list", WORDS("after=nonsense")));
    assert_int_equal(result.code, HM_EINVAL);
}

/* It is answered at once, and then when something is another. */
static void a_watcher_waits_for_a_change(void **state)
{
    core_t *core = fake_core_small();
    struct service_view changed[2] = {core->services[0], core->services[1]};
    char seen[32];
    (void) state;
    json_t *json = ask(core, "services.watch", WORDS("wait=true"));
    assert_string_equal(ids(json), "attic-80 nas");
    snprintf(seen, sizeof seen, "seen=%s", ctl_text_of(json_object_get(json, "state")));
    json_decref(json);
    const char *const words[] = {"wait=true", seen, NULL};
    result.ticket = result.kept = 0;
    assert_null(ask_at(core, "services.watch", words, false));
    assert_true(result.wait);
    assert_int_equal(result.wait_for, WAKE_EVENT | WAKE_CHANGE);
    /* Woken by a write of something else: it goes on waiting. */
    assert_int_equal(replica_write(&core->replica, "kv/other", "x"), HM_OK);
    replica_commit(&core->replica);
    core->services = changed;
    changed[0].svc.health = SVC_CRITICAL;
    assert_null(ask_at(core, "services.watch", words, false));
    assert_true(result.wait);
    /* By a write of a service. */
    assert_int_equal(
        replica_write(&core->replica, "svc/0a112233000000000000000000000000/x", "x"), HM_OK);
    replica_commit(&core->replica);
    json = ask_at(core, "services.watch", words, false);
    assert_string_equal(ids(json), "attic-80 nas");
    assert_true(json_is_true(json_object_get(json, "changed")));
    snprintf(seen, sizeof seen, "seen=%s", ctl_text_of(json_object_get(json, "state")));
    json_decref(json);
    /* By a node that fails. */
    result.ticket = result.kept = 0;
    assert_null(ask_at(core, "services.watch", words, false));
    core->service_count = 1;
    core->last_seq++;
    json = ask_at(core, "services.watch", words, false);
    assert_string_equal(ids(json), "attic-80");
    json_decref(json);
    core->service_count = 2;
    /* Nothing until the deadline. */
    result.ticket = result.kept = 0;
    json = ask_at(core, "services.watch", words, true);
    assert_true(json_is_false(json_object_get(json, "changed")));
    assert_string_equal(ids(json), "");
    json_decref(json);
}

static void what_is_registered_is_what_was_said(void **state)
{
    core_t *core = fake_core_small();
    (void) state;
    json_t *json = ask(core, "services.register",
                       WORDS("name=web", "port=8080", "tag=x", "tag=blue", "meta=b=2", "meta=a=1",
                             "ttl=10s", "version=1", "address=fd00::1"));
    assert_string_equal(ctl_text_of(json_object_get(json, "id")), "web");
    assert_string_equal(ctl_text_of(json_object_get(json, "node")), "nas1");
    assert_int_equal(core->said.port, 8080);
    assert_int_equal(core->said.ttl_ms, 10000);
    assert_int_equal(core->said.tag_count, 2);
    assert_int_equal(core->said.meta_count, 2);
    json_decref(json);
    static const struct {
        const char *words[6];
        int code;
    } rows[] = {
        {{"name=Web", "port=1"}, HM_EINVAL},
        {{"name=web", "port=1", "id=a b"}, HM_EINVAL},
        {{"name=web", "port=1", "address=a:b/c"}, HM_EINVAL},
        {{"name=web", "port=1", "meta=a b=c"}, HM_EINVAL},
        {{"name=web", "port=1", "meta=a=1", "meta=a=2"}, HM_EINVAL},
        {{"name=web", "port=1", "deregister_after=1m"}, HM_EINVAL},
        {{"name=web", "port=1", "ttl=1m", "deregister_after=1m"}, HM_EINVAL},
        {{"name=web", "port=1", "source=file"}, HM_EINVAL},
        {{"port=1"}, HM_EINVAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_null(ask(core, "services.register", rows[i].words));
        if (result.code != rows[i].code) {
            print_error("row %zu: %s\n", i, result.text);
        }
        assert_int_equal(result.code, rows[i].code);
    }
}

static void refusals_say_what_would_be_right(void **state)
{
    static const struct {
        const char *op;
        int code;
        const char *says;
    } rows[] = {
        {"services.deregister", HM_EEXIST, "web.yaml"},
        {"services.deregister", HM_ENOTFOUND, "--node=pi2"}, /* that one has it */
        {"services.deregister", HM_ESTALE, "syncing"},
        {"services.deregister", HM_EBUSY, "try again"},
        {"services.pass", HM_ENOTFOUND, "--node=pi2"},
        {"services.fail", HM_EFULL, "1024"},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        core_t *core = fake_core_small();
        core->service_code = rows[i].code;
        assert_null(ask(core, rows[i].op, WORDS("id=nas")));
        assert_int_equal(result.code, rows[i].code == HM_ESTALE ? HM_EBUSY : rows[i].code);
        if (strstr(result.text, rows[i].says) == NULL) {
            print_error("row %zu: %s\n", i, result.text);
            fail();
        }
    }
    core_t *core = fake_core_small();
    json_t *json = ask(core, "services.warn", WORDS("id=nas", "text=slow"));
    assert_int_equal(core->said.health, SVC_WARNING);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(filters_all_must_match, set_up),
        cmocka_unit_test_setup(its_nodes_address_is_its_own, set_up),
        cmocka_unit_test_setup(many_are_paged, set_up),
        cmocka_unit_test_setup(a_watcher_waits_for_a_change, set_up),
        cmocka_unit_test_setup(what_is_registered_is_what_was_said, set_up),
        cmocka_unit_test_setup(refusals_say_what_would_be_right, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
