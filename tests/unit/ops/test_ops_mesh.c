/* SPDX-License-Identifier: MPL-2.0 */
/* The handlers, through the dispatcher, on a core that only answers queries. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "fake_core.h"
#include "ops/ops_dispatch.h"
#include "ops/ops_help.h"
#include "ops/ops_spec.h"
#include "wire/mpack.h"

#include <jansson.h>
#include <stdio.h>

#include "cmd/ctl.h"

static struct ops ops;
static struct call_result result;
static struct buf reply;
static int token_code;

static int give_token(void *ctx, struct buf *out)
{
    buf_append(out, ctx, strlen(ctx));
    return token_code;
}

/* One Zyre program with a group and headers, of which one is no clean text. */
static bool give_peer(void *ctx, size_t idx, struct fact_peer *ret_peer)
{
    static const uint8_t groups[] = "\0\0\0\4CHAT";
    static const uint8_t headers[] = "\1k\0\0\0\1v\3bad\0\0\0\2\x1b[";
    (void) ctx;
    *ret_peer = (struct fact_peer){
        .id = {{0x77}},
        .addr = addr_v4(10, 0, 0, 7, 49152),
        .name = span_of("chatter", 7),
        .groups = {span_of(groups, sizeof groups - 1), 1},
        .headers = {span_of(headers, sizeof headers - 1), 2},
        .since_ago_ns = 90000000000u,
        .heard_ago_ns = 1500000000u,
    };
    return idx == 0;
}

/* A machine on which everything is well but for an interface without a cable. */
static struct facts machine;
static unsigned measures;

static const struct facts *give_facts(void *ctx)
{
    (void) ctx;
    return &machine;
}

static void begin_measure(void *ctx)
{
    (void) ctx;
    measures++;
}

static void well(void)
{
    machine = (struct facts){
        .netifs = {{.name = "eth0",
                    .addr = addr_v4(10, 0, 0, 1, 0),
                    .beacon_to = addr_v4(10, 0, 0, 255, 0),
                    .is_used = true,
                    .has_carrier = true,
                    .mtu = 1500,
                    .why = "a real interface"},
                   {.name = "docker0", .why = "made by containers", .has_carrier = true}},
        .netif_count = 2,
        .beacons = {{.id = {{0x0b, 0x11, 0x22, 0x33}},
                     .addr = addr_v4(10, 0, 0, 2, 8471),
                     .netif = "eth0",
                     .ago_ns = 2000000000u},
                    {.id = {{0x99}}, .addr = addr_v4(10, 0, 0, 66, 5670), .ago_ns = 1000000000u}},
        .beacon_count = 2,
        .bound = {.port = 8471},
        .default_port = 8471,
        .link_port = 9471,
        .ring = {.path = "/var/lib/meshd/homelab/key", .owner = "meshd", .mode = 0600, .age_s = 90000},
        .identity = {.path = "/var/lib/meshd/homelab/nas1/identity", .owner = "meshd", .mode = 0600},
        .key_count = 1,
        .data_dir = "/var/lib/meshd/homelab/nas1",
        .is_sync_measured = true,
        .sync_ns = 3200000,
        .libraries = "libzmq 4.3.4",
        .descriptors = 40,
        .descriptors_max = 65536,
    };
}

static size_t give_gauges(void *ctx, struct fact_gauge ret[FACT_GAUGES_MAX])
{
    (void) ctx;
    ret[0] = (struct fact_gauge){"mesh_some_table", "Things in some table", 3, 5};
    return 1;
}

static const struct store_condition *give_store(void *ctx)
{
    static const struct store_work work = {.kind = STORE_WORK_CHECK,
                                           .number = 3,
                                           .is_done = true,
                                           .took_ns = 12000000,
                                           .records = 100,
                                           .damaged_count = 2,
                                           .damaged = {{STORE_ENTRIES, 12, "kv/a\nb\0hashed"},
                                                       {STORE_DOTS, 2, {0xab, 0xcd}}}};
    static const struct store_condition condition = {
        .path = "/var/lib/meshd/home/store",
        .figures = {1, 1 << 20, (uint64_t) 1 << 34, 4096, 256, 56, {0, 1, 2, 3, 40, 40, 5}},
        .counts = {.commits = 10,
                   .checkpoints = 3,
                   .syncs = 16,
                   .bytes_written = 300000,
                   .is_bytes_known = true},
        .journal_bytes = 8192,
        .are_figures_known = true,
        .today_bytes = 1000,
        .is_full = true,
        .error = "No space left on device",
        .error_wall_ms = 1700000000000,
        .damaged = 2,
        .work = &work};
    (void) ctx;
    return &condition;
}

static int store_work_code;

static int begin_store_work(void *ctx, enum store_work_kind kind, uint64_t *ret_number)
{
    (void) ctx;
    *ret_number = kind == STORE_WORK_CHECK ? 4 : 5;
    return store_work_code;
}

static int set_up(void **state)
{
    static char token[] = "hm1-secret";
    static const struct fact_limit limit = {"SOME_PART_MAX", 5, "things", "of some part"};
    const struct ops_env env = {
        .token = give_token, .peer = give_peer, .facts = give_facts, .measure = begin_measure,
        .store = give_store, .store_work = begin_store_work, .gauges = give_gauges, .limits = &limit, .limit_count = 1, .ctx = token};
    well();
    measures = 0;
    (void) state;
    ops_init(&ops, &env);
    buf_init(&reply, HM_REPLY_BYTES_MAX);
    token_code = HM_OK;
    store_work_code = HM_OK;
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    buf_fini(&reply);
    return 0;
}

/* Asks with a map of text and number arguments: name, value, …, NULL; a value "#12" is a number,
 * "!" is true. Returns the reply as JSON, NULL if it failed or waits. */
static json_t *ask(core_t *core, const char *op, bool is_local, bool is_last,
                   const char *const *args)
{
    struct buf b;
    size_t count = 0;
    buf_init(&b, 65536);
    while (args[2 * count] != NULL) {
        count++;
    }
    mp_map(&b, count);
    for (size_t i = 0; i < count; i++) {
        const char *value = args[2 * i + 1];
        uint64_t number = 0;
        mp_str(&b, args[2 * i]);
        if (value[0] == '!') {
            mp_bool(&b, true);
        } else if (value[0] == '#' && text_to_u64(value + 1, UINT64_MAX, &number) == HM_OK) {
            mp_uint(&b, number);
        } else {
            mp_str(&b, value);
        }
    }
    buf_clear(&reply);
    memset(&result, 0x55, sizeof result);
    result.ticket = result.kept = 0;
    result.is_crowded = false;
    result.is_crowded = false;
    ops.handler.handle(ops.handler.ctx, core, op, buf_span(&b), is_local, is_last, &reply, &result);
    buf_fini(&b);
    if (result.code != HM_OK || result.wait) {
        assert_true(reply.size == 0);
        return NULL;
    }
    json_t *json = ctl_json_of(reply.data, reply.size);
    assert_non_null(json);
    return json;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ARGS ((const char *const[]){NULL})

/* ---- the table says what the replies are ----------------------------------------------------- */

static bool has_type(const json_t *value, const struct op_field *field)
{
    if (json_is_null(value)) {
        return field->is_nullable;
    }
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_ADDRESS:
    case FIELD_STATUS:
        return json_is_string(value);
    case FIELD_ID:
        return json_is_string(value) && json_string_length(value) == 32;
    case FIELD_HEX:
        return json_is_string(value) && json_string_length(value) == 16;
    case FIELD_TIME:
        return json_is_string(value) && json_string_length(value) == 24;
    case FIELD_UINT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case FIELD_NUMBER:
    case FIELD_MS:
        return json_is_number(value);
    case FIELD_BOOL:
        return json_is_boolean(value);
    case FIELD_MAP:
    case FIELD_OBJECT:
        return json_is_object(value);
    case FIELD_LIST:
        return json_is_array(value);
    case FIELD_VALUE:
        return json_is_string(value) || json_is_object(value) || json_is_array(value);
    }
    return false;
}

/* Fields of one level: those below `prefix` ("" or "members."). Each is there and right, and
 * there is no other. */
static void check_object(const json_t *object, const struct op_field *fields, size_t count,
                         const char *prefix, size_t others)
{
    size_t found = 0;
    assert_true(json_is_object(object));
    for (size_t i = 0; i < count; i++) {
        const char *name = fields[i].name + strlen(prefix);
        if (strncmp(fields[i].name, prefix, strlen(prefix)) != 0 || strchr(name, '.') != NULL) {
            continue;
        }
        const json_t *value = json_object_get(object, name);
        if (value == NULL || !has_type(value, &fields[i])) {
            print_error("field %s is missing or of another type than in the table\n",
                        fields[i].name);
            fail();
        }
        found++;
        char below[64];
        snprintf(below, sizeof below, "%s.", fields[i].name);
        bool is_deep = i + 1 < count && strncmp(fields[i + 1].name, below, strlen(below)) == 0;
        if (is_deep && json_is_object(value)) {
            check_object(value, fields, count, below, 0);
        }
        for (size_t k = 0; is_deep && k < json_array_size(value); k++) {
            check_object(json_array_get(value, k), fields, count, below, 0);
        }
    }
    assert_int_equal(json_object_size(object), found + others);
}

static void check_reply(enum op op, const json_t *json)
{
    const struct op_spec *spec = ops_spec(op);
    if (spec->items == NULL) {
        check_object(json, spec->fields, spec->field_count, "", 0);
        return;
    }
    const json_t *items = json_object_get(json, spec->items);
    assert_true(json_is_array(items) && json_array_size(items) > 0);
    assert_non_null(json_object_get(json, "next"));
    check_object(json, spec->around, spec->around_count, "", 2);
    for (size_t i = 0; i < json_array_size(items); i++) {
        check_object(json_array_get(items, i), spec->fields, spec->field_count, "", 0);
    }
}

static const char *const *least_args(const struct op_spec *spec)
{
    static const char *args[5];
    bool is_put = spec->op == OP_KV_PUT || spec->op == OP_REGISTRY_IMPORT;
    bool needs_arg = is_put || (spec->arg_count > 0 && spec->args[0].is_required);
    args[0] = needs_arg ? spec->args[0].name : NULL;
    args[1] = "attic";
    args[2] = is_put ? "value" : NULL;
    args[3] = "up on high";
    if (spec->op == OP_SERVICES_REGISTER) {
        args[2] = "port";
        args[3] = "#80";
    }
    if (spec->op == OP_RESTORE) {
        args[0] = "entries";
        args[1] = "\x91\x90"; /* none */
        args[2] = NULL;
    }
    if (spec->op == OP_KV_WATCH) {
        static char place[64];
        json_t *now = ask(fake_core_small(), "kv.watch", true, true, NO_ARGS);
        text_copy(place, sizeof place, ctl_text(now, "next"));
        json_decref(now);
        text_copy(strrchr(place, '-'), 3, "-0"); /* all that there was */
        args[0] = "since";
        args[1] = place;
    }
    return args;
}

static void test_replies_are_as_in_the_table(void **state)
{
    (void) state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        json_t *json = ask(fake_core_small(), spec->name, true, true, least_args(spec));
        if (json == NULL) {
            print_error("%s: %s\n", spec->name, result.text);
            fail();
        }
        check_reply((enum op) i, json);
        json_decref(json);
    }
}

/* ---- golden: what programs see --------------------------------------------------------------- */

static void compare_golden(const char *name, const char *text, size_t size)
{
    char path[4096];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/%s", srcdir != NULL ? srcdir : ".", name);
    if (getenv("UPDATE_GOLDEN") != NULL) {
        FILE *to = fopen(path, "w");
        assert_non_null(to);
        assert_int_equal(fwrite(text, 1, size, to), size);
        assert_int_equal(fclose(to), 0);
    }
    FILE *from = fopen(path, "r");
    char *kept = malloc(1 << 20);
    assert_non_null(kept);
    if (from == NULL) {
        print_error("cannot read %s\n", path);
        fail();
    }
    size_t kept_size = fread(kept, 1, 1 << 20, from);
    fclose(from);
    bool is_same = kept_size == size && memcmp(kept, text, size) == 0;
    free(kept);
    if (!is_same) {
        print_error("%s is out of date: run this test with UPDATE_GOLDEN=1 and review the change\n",
                    name);
        fail();
    }
}

static void test_replies_golden(void **state)
{
    struct buf all;
    (void) state;
    buf_init(&all, 1 << 20);
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        json_t *json = ask(fake_core_small(), spec->name, true, true, least_args(spec));
        char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        assert_non_null(text);
        buf_append(&all, spec->name, strlen(spec->name));
        buf_append(&all, "\n", 1);
        buf_append(&all, text, strlen(text));
        buf_append(&all, "\n\n", 2);
        free(text);
        json_decref(json);
    }
    compare_golden("tests/golden/replies.txt", (const char *) all.data, all.size - 1);
    buf_fini(&all);
}

static void test_reference_is_fresh(void **state)
{
    struct buf b;
    (void) state;
    buf_init(&b, 1 << 20);
    ops_help_reference(&b);
    assert_false(buf_failed(&b));
    compare_golden("docs/reference/operations.md", (const char *) b.data, b.size);
    buf_fini(&b);
}

/* ---- limits, peers, rtt ---------------------------------------------------------------------- */

/* Every bound of base/limits.h is listed: a new one is forgotten nowhere. */
static void test_limits_are_complete(void **state)
{
    char path[4096];
    char line[512];
    const char *srcdir = getenv("srcdir");
    size_t found = 0;
    json_t *json = ask(fake_core_small(), "limits", true, true, NO_ARGS);
    (void) state;
    assert_non_null(json);
    snprintf(path, sizeof path, "%s/src/base/limits.h", srcdir != NULL ? srcdir : ".");
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    while (fgets(line, sizeof line, from) != NULL) {
        char name[64];
        size_t size = strcspn(line + 8, " ");
        if (strncmp(line, "#define HM_", 11) != 0 || strncmp(line, "#define HM_BASE_", 16) == 0) {
            continue;
        }
        assert_true(size > 3 && size - 3 < sizeof name);
        for (size_t i = 3; i <= size; i++) {
            char c = line[8 + i];
            name[i - 3] = i == size ? '\0' : c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
        }
        size_t i;
        json_t *limit;
        bool is_listed = false;
        json_array_foreach(json_object_get(json, "limits"), i, limit)
        {
            is_listed = is_listed || strcmp(ctl_text(limit, "name"), name) == 0;
        }
        if (!is_listed) {
            print_error("%s is not in the table of src/ops/ops_limits.c\n", name);
            fail();
        }
        found++;
    }
    fclose(from);
    assert_in_range(found, 30, 200);
    assert_int_equal(json_array_size(json_object_get(json, "limits")), found + 1);
    json_decref(json);
}

static void test_peers_are_cleaned(void **state)
{
    json_t *json = ask(fake_core_small(), "peers", true, true, NO_ARGS);
    const json_t *peer = json_array_get(json_object_get(json, "peers"), 0);
    const json_t *headers = json_object_get(peer, "headers");
    (void) state;
    assert_string_equal(ctl_text(peer, "name"), "chatter");
    assert_string_equal(json_string_value(json_array_get(json_object_get(peer, "groups"), 0)),
                        "CHAT");
    assert_string_equal(ctl_text(headers, "k"), "v");
    assert_string_equal(ctl_text(headers, "bad"), "?[");
    assert_true(json_is_null(json_object_get(peer, "mesh")));
    json_decref(json);
}

/* With two names: measured if the node asked is one of them, else by coordinates only. */
static void test_rtt_between_two(void **state)
{
    json_t *json = ask(fake_core_small(), "rtt", true, true, ARGS("node", "nas1", "to", "attic"));
    (void) state;
    assert_string_equal(ctl_text(json, "from"), "nas1");
    assert_string_equal(ctl_text(json, "node"), "attic");
    assert_int_equal(json_array_size(json_object_get(json, "samples_ms")), 2);
    json_decref(json);
    json = ask(fake_core_small(), "rtt", true, true, ARGS("node", "attic", "to", "nas1"));
    assert_int_equal(json_array_size(json_object_get(json, "samples_ms")), 2);
    json_decref(json);
    json = ask(fake_core_small(), "rtt", true, true, ARGS("node", "attic", "to", "pi2"));
    assert_int_equal(json_array_size(json_object_get(json, "samples_ms")), 0);
    assert_true(json_is_null(json_object_get(json, "rtt_ms")));
    assert_true(json_is_real(json_object_get(json, "estimate_ms")));
    json_decref(json);
    assert_null(ask(fake_core_small(), "rtt", true, true, ARGS("node", "nas1", "to", "nobody")));
    assert_int_equal(result.code, HM_ENOTFOUND);
}

static void test_remove(void **state)
{
    (void) state;
    assert_null(ask(fake_core_small(), "nodes.remove", true, true, ARGS("node", "nas1")));
    assert_int_equal(result.code, HM_EDENIED); /* the one that was asked */
    assert_non_null(strstr(result.text, "meshctl leave"));
    assert_null(ask(fake_core_small(), "nodes.remove", true, true, ARGS("node", "pi2")));
    assert_int_equal(result.code, HM_EDENIED); /* it is not off */
    assert_non_null(strstr(result.text, "--yes"));
    assert_null(ask(fake_core_small(), "nodes.remove", true, true, ARGS("node", "nobody")));
    assert_int_equal(result.code, HM_ENOTFOUND);
    core_t *core = fake_core_small();
    json_t *json = ask(core, "nodes.remove", true, true, ARGS("node", "pi2", "yes", "!"));
    assert_string_equal(ctl_text(json, "name"), "pi2");
    assert_string_equal(ctl_text(json, "by"), "nas1");
    json_decref(json);
    assert_null(ask(core, "nodes.show", true, true, ARGS("node", "pi2")));
    assert_int_equal(result.code, HM_ENOTFOUND);
    assert_non_null(strstr(result.text, "was removed from the mesh by nas1"));
    /* A node that was removed says so before all else. */
    core->status.removed = true;
    json = ask(core, "status", true, true, NO_ARGS);
    const json_t *problems = json_object_get(json, "problems");
    assert_int_equal(json_array_size(problems), 1);
    assert_string_equal(ctl_text(json_array_get(problems, 0), "code"), "removed");
    json_decref(json);
}

#define MANY 5000

/* Names of which many are equal, ids in order, full labels. */
static core_t *many_members(uint8_t labels[HM_LABELS_BYTES_MAX], size_t label_bytes)
{
    static struct core core;
    static struct member_view members[MANY];
    static char names[MANY][8];
    core = *fake_core_small();
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i * 7919 % 1500);
        members[i] = (struct member_view){.name = names[i],
                                          .version = "0.1.0",
                                          .addr = addr_v4(10, 0, 0, 1, 8471),
                                          .labels = {labels, label_bytes}};
        members[i].id.b[0] = (uint8_t) (i >> 8);
        members[i].id.b[1] = (uint8_t) i;
    }
    core.members = members;
    core.member_count = MANY;
    return &core;
}

/* ---- doctor ---------------------------------------------------------------------------------- */

/* The status of the worst line of a check, and that its text has some words in it. */
static const char *doctor_says(core_t *core, const char *check, const char *words)
{
    static char worst[8];
    json_t *json = ask(core, "doctor", false, true, NO_ARGS);
    size_t i;
    json_t *line;
    bool has_words = false;
    snprintf(worst, sizeof worst, "none");
    json_array_foreach(json_object_get(json, "checks"), i, line)
    {
        const char *status = ctl_text(line, "status");
        if (strcmp(ctl_text(line, "check"), check) != 0) {
            continue;
        }
        /* "fail" < "none" < "ok" < "warn" will not do. */
        if (strcmp(worst, "none") == 0 || strcmp(worst, "ok") == 0 || strcmp(status, "fail") == 0) {
            snprintf(worst, sizeof worst, "%s", status);
        }
        has_words = has_words || strstr(ctl_text(line, "text"), words) != NULL;
        bool needs_fix = strcmp(status, "ok") != 0;
        assert_true(!needs_fix || ctl_text(line, "fix")[0] != '\0');
    }
    json_decref(json);
    if (!has_words) {
        print_error("no line about %s says \"%s\"\n", check, words);
        fail();
    }
    return worst;
}

static core_t *healthy_core(void)
{
    core_t *core = fake_core_small();
    core->status.health = 0;
    core->status.store_failed = false;
    core->status.isolated = false;
    core->status.foreign_ago_ns = UINT64_MAX;
    return core;
}

static void test_doctor_well(void **state)
{
    static const char *const checks[] = {"interfaces", "mtu",  "ports",  "key",
                                         "foreign-key", "strangers", "disk", "load",
                                         "limits", "versions", "registry"};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(checks); i++) {
        assert_string_equal(doctor_says(healthy_core(), checks[i], ""), "ok");
    }
    assert_string_equal(doctor_says(healthy_core(), "interfaces", "docker0 is not used"), "ok");
    assert_string_equal(doctor_says(healthy_core(), "strangers", "10.0.0.66"), "ok");
    assert_string_equal(doctor_says(healthy_core(), "disk", "3.2 ms"), "ok");
    json_t *json = ask(healthy_core(), "doctor", true, true, NO_ARGS);
    assert_int_equal(json_array_size(json_object_get(json, "beacons")), 1); /* not the stranger's */
    assert_int_equal(json_array_size(json_object_get(json, "pairs")), 2);
    json_decref(json);
}

static size_t lines_of(core_t *core, const char *check)
{
    json_t *json = ask(core, "doctor", false, true, NO_ARGS);
    size_t i, count = 0;
    json_t *line;
    json_array_foreach(json_object_get(json, "checks"), i, line)
    {
        count += strcmp(ctl_text(line, "check"), check) == 0;
    }
    json_decref(json);
    return count;
}

static size_t doctor_lines(const char *check)
{
    return lines_of(healthy_core(), check);
}

/* An interface with an IPv4 and an IPv6 address has one cable and one size of packets. */
static void test_doctor_says_once_what_is_of_an_interface(void **state)
{
    (void) state;
    machine.netifs[2] = machine.netifs[0];
    machine.netifs[2].addr = (struct addr){.family = 6, .ip = {0xfe, 0x80, [15] = 1}};
    machine.netif_count = 3;
    assert_int_equal(doctor_lines("mtu"), 1);
    assert_int_equal(doctor_lines("interfaces"), 3);
    machine.netifs[0].has_carrier = machine.netifs[2].has_carrier = false;
    assert_int_equal(doctor_lines("interfaces"), 2);
    well();
}

/* Each trouble of the machine is named. */
static void test_doctor_names_trouble(void **state)
{
    core_t *core = healthy_core();
    (void) state;
    machine.netifs[0].has_carrier = false;
    assert_string_equal(doctor_says(core, "interfaces", "no carrier"), "warn");
    well();
    machine.netif_count = 0;
    assert_string_equal(doctor_says(core, "interfaces", "no interface but loopback"), "warn");
    well();
    machine.netifs[0].mtu = 1200;
    assert_string_equal(doctor_says(core, "mtu", "1200"), "fail");
    well();
    snprintf(machine.deaf, sizeof machine.deaf, "cannot hear beacons");
    assert_string_equal(doctor_says(core, "ports", "cannot hear"), "warn");
    well();
    machine.ring.is_exposed = true;
    assert_string_equal(doctor_says(core, "key", "others may read"), "warn");
    well();
    machine.ring.is_gone = true;
    assert_string_equal(doctor_says(core, "key", "not there any more"), "fail");
    well();
    machine.identity.is_foreign = true;
    assert_string_equal(doctor_says(core, "key", "belongs to meshd"), "warn");
    well();
    snprintf(machine.sync_error, sizeof machine.sync_error, "Read-only file system");
    assert_string_equal(doctor_says(core, "disk", "Read-only"), "fail");
    well();
    machine.sync_ns = 2000000000u;
    assert_string_equal(doctor_says(core, "disk", "2000 ms"), "warn");
    well();
    machine.sync_pending_ns = 4000000000u;
    assert_string_equal(doctor_says(core, "disk", "4000 ms"), "warn");
    well();
    machine.descriptors = 60000;
    assert_string_equal(doctor_says(core, "limits", "60000 of 65536"), "warn");
    well();
    machine.bound.port = 8473;
    assert_string_equal(doctor_says(core, "ports", "the default was taken"), "ok");
    machine.is_port_asked = true;
    assert_string_equal(doctor_says(core, "ports", "8473"), "ok");
    well();
    core->wall_ms = 86400000;
    assert_string_equal(doctor_says(core, "clock", "1970-01-02"), "warn");
    core = fake_core_small();
    assert_string_equal(doctor_says(core, "load", "health score 2"), "warn");
    assert_string_equal(doctor_says(core, "foreign-key", "10.0.0.9"), "warn");
    assert_string_equal(doctor_says(core, "disk", "failed"), "fail");
    core->status.isolated = true;
    assert_string_equal(doctor_says(core, "isolated", "nobody answers"), "fail");
}

/* What the registry lacks, and whose it is. */
static void test_doctor_of_the_registry(void **state)
{
    (void) state;
    core_t *core = healthy_core();
    assert_string_equal(doctor_says(core, "registry", "2 entries, in step"), "ok");
    core->registry_status.divergent_ns = 59000000000u;
    assert_string_equal(doctor_says(core, "registry", "catching up"), "ok");
    core->registry_status.divergent_ns = 200000000000u;
    assert_string_equal(doctor_says(core, "registry", "something else for 3 minutes"), "warn");
    core->is_later = true;
    core->members[1].status = STATUS_ALIVE;
    core->members[2].status = STATUS_LEFT;
    assert_string_equal(doctor_says(core, "registry", "some entries of attic: they"), "warn");
    core->members[2].status = STATUS_SUSPECT;
    assert_string_equal(doctor_says(core, "registry", "some entries of attic and others: they"), "warn");
    core = healthy_core();
    core->registry_status.is_syncing = true;
    core->status.uptime_ns = 5000000000u;
    assert_string_equal(doctor_says(core, "registry", "getting more"), "ok");
    core->status.uptime_ns = 300000000000u;
    assert_string_equal(doctor_says(core, "registry", "its store is new"), "warn");
    core = healthy_core();
    core->registry_status.totals.bytes = 2000ull << 20;
    assert_string_equal(doctor_says(core, "registry", "2000 MiB of at most 2048"), "warn");
}

/* What the process has met: a flood, a file that was wrong when it was read again, a damaged store. */
static void test_doctor_names_what_was_met(void **state)
{
    (void) state;
    well();
    machine.is_flooded = true;
    assert_string_equal(doctor_says(healthy_core(), "strangers", "floods this network"), "warn");
    well();
    text_copy(machine.config_error, sizeof machine.config_error, "meshd.yaml:3:1: no such key");
    assert_string_equal(doctor_says(healthy_core(), "config", "meshd.yaml:3:1"), "warn");
    text_copy(machine.services_error, sizeof machine.services_error, "web.yaml:2:3: no such key");
    assert_string_equal(doctor_says(healthy_core(), "services", "web.yaml:2:3"), "warn");
    text_copy(machine.store_moved, sizeof machine.store_moved, "the store is damaged");
    assert_string_equal(doctor_says(healthy_core(), "store", "it started, the store is damaged"),
                        "warn");
    well();
}

/* Who is behind a firewall that lets nothing in is heard, and does not answer. */
static void test_doctor_names_who_does_not_answer(void **state)
{
    (void) state;
    well();
    struct fact_beacon *stranger = &machine.beacons[1];
    assert_int_equal(doctor_lines("unanswered"), 0);
    stranger->first_ago_ns = 14000000000u; /* it was greeted just now */
    assert_int_equal(doctor_lines("unanswered"), 0);
    stranger->first_ago_ns = 16000000000u;
    stranger->said_hello = true;
    assert_int_equal(doctor_lines("unanswered"), 0);
    stranger->said_hello = false;
    assert_string_equal(doctor_says(healthy_core(), "unanswered", "10.0.0.66:5670 beacons here"), "warn");
    machine.is_flooded = true;
    assert_int_equal(doctor_lines("unanswered"), 0);
    well();
}

/* Alone, although it was told where others are. */
static void test_doctor_names_whom_it_joins_in_vain(void **state)
{
    (void) state;
    well();
    core_t *lonely = healthy_core();
    lonely->member_count = 1;
    machine.join = addr_v4(10, 0, 0, 9, 8471);
    machine.join_ago_ns = 60000000000u;
    assert_string_equal(doctor_says(lonely, "join", "answers at 10.0.0.9:8471, where"), "warn");
    machine.has_joins = true;
    assert_string_equal(doctor_says(lonely, "join", "10.0.0.9:8471 and others"), "warn");
    machine.join_ago_ns = 1000000000u; /* it was tried just now */
    assert_int_equal(lines_of(lonely, "join"), 0);
    machine.join_ago_ns = 60000000000u;
    assert_int_equal(lines_of(healthy_core(), "join"), 0); /* it has others */
    well();
}

static void test_doctor_knocks(void **state)
{
    core_t *core = healthy_core();
    json_t *json = ask(core, "doctor", false, true, NO_ARGS);
    (void) state;
    json_decref(json);
    assert_int_equal(core->knocks + measures, 0);
    json = ask(core, "doctor", false, true, ARGS("knock", "!"));
    json_decref(json);
    assert_int_equal(core->knocks, 1);
    assert_int_equal(measures, 1);
}

/* Everything at its longest still fits the reply. */
static void test_doctor_of_many_fits(void **state)
{
    core_t *core = many_members(NULL, 0);
    (void) state;
    machine.beacon_count = HM_BEACONS_HEARD_MAX;
    machine.netif_count = FACT_NETIFS_MAX;
    for (size_t i = 0; i < HM_BEACONS_HEARD_MAX; i++) {
        machine.beacons[i] = machine.beacons[0];
        machine.beacons[i].id = core->members[i].id;
    }
    for (size_t i = 0; i < FACT_NETIFS_MAX; i++) {
        machine.netifs[i] = machine.netifs[0];
    }
    json_t *json = ask(core, "doctor", true, true, NO_ARGS);
    assert_non_null(json);
    assert_int_equal(json_array_size(json_object_get(json, "beacons")), HM_BEACONS_HEARD_MAX);
    assert_int_equal(json_array_size(json_object_get(json, "pairs")), HM_KNOCKS_MAX);
    json_decref(json);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void test_nodes_by_name(void **state)
{
    json_t *json = ask(fake_core_small(), "nodes.list", true, true, NO_ARGS);
    const json_t *nodes = json_object_get(json, "nodes");
    (void) state;
    assert_int_equal(json_array_size(nodes), 3);
    assert_string_equal(ctl_text(json_array_get(nodes, 0), "name"), "attic");
    assert_string_equal(ctl_text(json_array_get(nodes, 1), "name"), "nas1");
    assert_string_equal(ctl_text(json_array_get(nodes, 2), "name"), "pi2");
    assert_true(json_is_null(json_object_get(json, "next")));
    assert_string_equal(ctl_text(json_object_get(json_array_get(nodes, 1), "labels"), "role"),
                        "storage");
    json_decref(json);
}

static void list_all_pages(core_t *core, size_t *ret_count, size_t *ret_pages)
{
    char last_name[8] = "";
    char last_id[NODE_ID_TEXT_BYTES] = "";
    char after[OPS_TEXT_BYTES_MAX + 1] = "";
    *ret_count = 0;
    *ret_pages = 0;
    for (bool is_on = true; is_on;) {
        json_t *json =
            ask(core, "nodes.list", true, true, after[0] != '\0' ? ARGS("after", after) : NO_ARGS);
        assert_non_null(json);
        assert_true(reply.size <= HM_CHUNK_BYTES_MAX);
        const json_t *nodes = json_object_get(json, "nodes");
        assert_true(json_array_size(nodes) > 0);
        for (size_t i = 0; i < json_array_size(nodes); i++) {
            const char *name = ctl_text(json_array_get(nodes, i), "name");
            const char *id = ctl_text(json_array_get(nodes, i), "id");
            int order = strcmp(last_name, name);
            assert_true(order < 0 || (order == 0 && strcmp(last_id, id) < 0));
            text_copy(last_name, sizeof last_name, name);
            text_copy(last_id, sizeof last_id, id);
            (*ret_count)++;
        }
        is_on = json_is_string(json_object_get(json, "next"));
        text_copy(after, sizeof after, ctl_text(json, "next"));
        (*ret_pages)++;
        json_decref(json);
    }
}

static void test_thousands_are_paged(void **state)
{
    uint8_t labels[HM_LABELS_BYTES_MAX];
    char value[HM_LABEL_VALUE_BYTES_MAX + 1];
    struct buf b;
    size_t count = 0;
    size_t pages = 0;
    (void) state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    buf_init(&b, sizeof labels);
    mp_map(&b, 15);
    for (char key[] = "a"; key[0] < 'a' + 15; key[0]++) {
        mp_str(&b, key);
        mp_str(&b, value);
    }
    assert_false(buf_failed(&b));
    memcpy(labels, b.data, b.size);
    list_all_pages(many_members(labels, b.size), &count, &pages);
    assert_int_equal(count, MANY);
    assert_in_range(pages, MANY * 3900 / HM_CHUNK_BYTES_MAX, 200);
    list_all_pages(many_members(labels, 0), &count, &pages);
    assert_int_equal(count, MANY);
    assert_in_range(pages, 2, 10);
    buf_fini(&b);
}

static void test_cursor_of_somebody_gone(void **state)
{
    json_t *json = ask(fake_core_small(), "nodes.list", true, true,
                       ARGS("after", "b 00000000000000000000000000000000"));
    const json_t *nodes = json_object_get(json, "nodes");
    (void) state;
    assert_int_equal(json_array_size(nodes), 2);
    assert_string_equal(ctl_text(json_array_get(nodes, 0), "name"), "nas1");
    json_decref(json);
    assert_null(ask(fake_core_small(), "nodes.list", true, true, ARGS("after", "nonsense")));
    assert_int_equal(result.code, HM_EINVAL);
    assert_null(ask(fake_core_small(), "nodes.list", true, true, ARGS("after", "a b")));
    assert_int_equal(result.code, HM_EINVAL);
}

static void test_labels_of_others_are_cleaned(void **state)
{
    static const char *const dirty[] = {
        "\x81\xa1k\xa3\x1b[m",  /* a control character */
        "\x81\xa1k\xa1\xff",    /* no UTF-8 */
        "\x81\xa1k\x01",        /* no text */
        "\x82\xa1k",            /* cut */
        "\x91\xa1k",            /* no map */
        "\xdf\xff\xff\xff\xff", /* a count without end */
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(dirty); i++) {
        core_t *core = fake_core_small();
        struct span copy = exact_copy(dirty[i], strlen(dirty[i]));
        core->members[0].labels = copy;
        json_t *json = ask(core, "nodes.show", true, true, ARGS("node", "nas1"));
        assert_non_null(json);
        assert_int_equal(json_object_size(json_object_get(json, "labels")), 0);
        json_decref(json);
        exact_free(copy);
    }
}

static void test_which_node(void **state)
{
    json_t *json = ask(fake_core_small(), "nodes.show", true, true, ARGS("node", "0b1122"));
    (void) state;
    assert_string_equal(ctl_text(json, "name"), "attic");
    assert_string_equal(ctl_text(json, "observer"), "nas1");
    json_decref(json);
    assert_null(ask(fake_core_small(), "nodes.show", true, true, ARGS("node", "atic")));
    assert_int_equal(result.code, HM_ENOTFOUND);
    assert_string_equal(result.text, "mesh homelab has no node \"atic\"; did you mean \"attic\"?");
    assert_null(ask(fake_core_small(), "rtt", true, true, ARGS("node", "zebra")));
    assert_string_equal(result.text,
                        "mesh homelab has no node \"zebra\"; \"meshctl nodes list\" shows all");
    core_t *core = fake_core_small();
    core->members[2].name = "attic";
    assert_null(ask(core, "nodes.show", true, true, ARGS("node", "attic")));
    assert_int_equal(result.code, HM_EAMBIGUOUS);
    assert_string_equal(result.text, "more than one node is called \"attic\"; say which by its id: "
                                     "0b1122330000 (failed), 0c1122330000 (suspect)");
    assert_null(ask(fake_core_small(), "rtt", true, true, NO_ARGS));
    assert_int_equal(result.code, HM_EINVAL);
}

/* ---- events ---------------------------------------------------------------------------------- */

static size_t event_count(const json_t *json)
{
    return json_array_size(json_object_get(json, "events"));
}

static void test_events_since(void **state)
{
    json_t *json = ask(fake_core_small(), "events", true, true, ARGS("since", "#7"));
    (void) state;
    assert_int_equal(event_count(json), 1);
    assert_int_equal(ctl_int(json, "next"), 8);
    assert_int_equal(ctl_int(json, "last"), 8);
    json_decref(json);
    json = ask(fake_core_small(), "events", true, true, ARGS("since", "#8"));
    assert_int_equal(event_count(json), 0);
    assert_int_equal(ctl_int(json, "next"), 8);
    json_decref(json);
}

static void test_events_wait(void **state)
{
    (void) state;
    assert_null(ask(fake_core_small(), "events", true, false, ARGS("since", "#8", "wait", "!")));
    assert_int_equal(result.code, HM_OK);
    assert_true(result.wait);
    json_t *json = ask(fake_core_small(), "events", true, true, ARGS("since", "#8", "wait", "!"));
    assert_int_equal(event_count(json), 0);
    json_decref(json);
    json = ask(fake_core_small(), "events", true, false, ARGS("since", "#7", "wait", "!"));
    assert_int_equal(event_count(json), 1);
    json_decref(json);
    /* A number of another life: said at once. */
    json = ask(fake_core_small(), "events", true, false, ARGS("since", "#9", "wait", "!"));
    assert_int_equal(event_count(json), 0);
    assert_int_equal(ctl_int(json, "last"), 8);
    json_decref(json);
}

static void test_events_of_one_node(void **state)
{
    json_t *json = ask(fake_core_small(), "nodes.events", true, true, ARGS("node", "attic"));
    (void) state;
    assert_int_equal(event_count(json), 2);
    json_decref(json);
    json = ask(fake_core_small(), "nodes.events", true, true, ARGS("node", "pi2"));
    assert_int_equal(event_count(json), 0);
    assert_int_equal(ctl_int(json, "next"), 8);
    json_decref(json);
    assert_null(
        ask(fake_core_small(), "nodes.events", true, false, ARGS("node", "pi2", "wait", "!")));
    assert_true(result.wait);
    json = ask(fake_core_small(), "nodes.events", true, true, NO_ARGS);
    assert_int_equal(event_count(json), 2);
    json_decref(json);
}

/* What a node said of itself has its name, also when it was removed since. */
static void test_events_name_who_is_gone(void **state)
{
    struct member_event left = {.seq = 9, .type = EVENT_LEFT, .name = "oldpi"};
    core_t *core = fake_core_small();
    (void) state;
    memset(left.node.b, 0x77, NODE_ID_BYTES);
    left.observer = left.node;
    core->events = &left;
    core->event_count = 1;
    json_t *json = ask(core, "events", true, true, NO_ARGS);
    const json_t *event = json_array_get(json_object_get(json, "events"), 0);
    assert_string_equal(ctl_text(event, "observer"), "oldpi");
    json_decref(json);
}

static void test_events_are_paged(void **state)
{
    static struct member_event events[HM_EVENTS_MAX];
    core_t *core = fake_core_small();
    char since[32] = "#0";
    size_t count = 0;
    (void) state;
    for (size_t i = 0; i < HM_EVENTS_MAX; i++) {
        events[i] = (struct member_event){.seq = i + 1, .observer = core->status.id};
        memset(events[i].name, 'x', HM_NAME_BYTES_MAX);
        memset(events[i].node.b, 0x77, NODE_ID_BYTES);
    }
    core->events = events;
    core->event_count = HM_EVENTS_MAX;
    core->last_seq = HM_EVENTS_MAX;
    for (unsigned page = 0; page < 10 && count < HM_EVENTS_MAX; page++) {
        json_t *json = ask(core, "events", true, false, ARGS("since", since, "wait", "!"));
        assert_non_null(json);
        const json_t *list = json_object_get(json, "events");
        assert_true(event_count(json) > 0);
        for (size_t i = 0; i < event_count(json); i++) {
            assert_int_equal(ctl_int(json_array_get(list, i), "seq"), ++count);
        }
        snprintf(since, sizeof since, "#%lld", (long long) ctl_int(json, "next"));
        json_decref(json);
    }
    assert_int_equal(count, HM_EVENTS_MAX);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void test_dispatch(void **state)
{
    (void) state;
    assert_null(ask(fake_core_small(), "node.list", true, true, NO_ARGS));
    assert_int_equal(result.code, HM_EVERSION);
    assert_string_equal(
        result.text,
        "nas1 (version 0.1.0) has no operation \"node.list\"; did you mean \"nodes.list\"?");
    assert_null(ask(fake_core_small(), "token", false, true, NO_ARGS));
    assert_int_equal(result.code, HM_EDENIED);
    assert_null(ask(fake_core_small(), "status", true, true, ARGS("x", "y")));
    assert_int_equal(result.code, HM_EINVAL);
}

static void test_small_reply_is_refused(void **state)
{
    struct buf small;
    struct buf args;
    (void) state;
    buf_init(&small, 100);
    buf_init(&args, 16);
    mp_map(&args, 0);
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        if (spec->op == OP_TOKEN || (spec->arg_count > 0 && spec->args[0].is_required)) {
            continue;
        }
        ops.handler.handle(ops.handler.ctx, fake_core_small(), spec->name, buf_span(&args), true,
                           true, &small, &result);
        if (result.code == HM_OK) {
            assert_int_equal(mp_check(buf_span(&small)), HM_OK);
        } else {
            assert_true(small.size == 0 && !buf_failed(&small));
        }
        buf_clear(&small);
    }
    buf_fini(&small);
    buf_fini(&args);
}

/* Entries by their key, others in hex; what is under way is told by its number. */
static void test_store(void **state)
{
    (void) state;
    core_t *core = fake_core_small();
    json_t *json = ask(core, "store.status", true, true, NO_ARGS);
    assert_non_null(json);
    const json_t *records = json_object_get(json, "damaged_records");
    assert_int_equal(json_array_size(records), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(records, 0), "key")),
                        "kv/a?b");
    assert_string_equal(json_string_value(json_object_get(json_array_get(records, 1), "key")),
                        "abcd");
    json_decref(json);
    json = ask(core, "store.compact", true, true, NO_ARGS);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "work")), 5);
    json_decref(json);
    store_work_code = HM_EBUSY;
    assert_null(ask(core, "store.check", true, true, NO_ARGS));
    assert_int_equal(result.code, HM_EBUSY);
    assert_non_null(strstr(result.text, "already"));
}

static void test_token(void **state)
{
    json_t *json = ask(fake_core_small(), "token", true, true, NO_ARGS);
    (void) state;
    assert_string_equal(ctl_text(json, "token"), "hm1-secret");
    json_decref(json);
    token_code = HM_EIO;
    assert_null(ask(fake_core_small(), "token", true, true, NO_ARGS));
    assert_int_equal(result.code, HM_EIO);
    ops_init(&ops, NULL);
    assert_null(ask(fake_core_small(), "token", true, true, NO_ARGS));
    assert_int_equal(result.code, HM_EDENIED);
}

static void test_leave(void **state)
{
    core_t *core = fake_core_small();
    json_t *json = ask(core, "leave", false, true, NO_ARGS);
    (void) state;
    assert_true(ctl_bool(json, "leaving"));
    assert_int_equal(core->leaves, 1);
    json_decref(json);
}

static void test_status_without_trouble(void **state)
{
    core_t *core = fake_core_small();
    (void) state;
    core->status.health = 0;
    core->status.store_failed = false;
    core->status.failed = 0;
    core->status.suspect = 0;
    core->status.foreign_ago_ns = UINT64_MAX;
    core->member_count = 1;
    json_t *json = ask(core, "status", true, true, NO_ARGS);
    assert_int_equal(json_array_size(json_object_get(json, "problems")), 0);
    assert_int_equal(json_array_size(json_object_get(json, "absent")), 0);
    assert_true(json_is_null(json_object_get(json, "foreign_key")));
    json_decref(json);
    /* Long ago is over. */
    core->status.foreign_ago_ns = 3600000000000u;
    json = ask(core, "status", true, true, NO_ARGS);
    assert_true(json_is_null(json_object_get(json, "foreign_key")));
    json_decref(json);
}

static void test_status_with_many_failed(void **state)
{
    core_t *core = many_members(NULL, 0);
    (void) state;
    for (size_t i = 0; i < MANY; i++) {
        core->members[i].status = STATUS_FAILED;
    }
    core->status.failed = MANY;
    core->status.suspect = 0;
    json_t *json = ask(core, "status", true, true, NO_ARGS);
    assert_int_equal(json_array_size(json_object_get(json, "absent")), 16);
    const json_t *problem = json_array_get(json_object_get(json, "problems"), 2);
    assert_string_equal(ctl_text(problem, "code"), "members-failed");
    assert_non_null(strstr(ctl_text(problem, "text"), " and 4996 more"));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replies_are_as_in_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replies_golden, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reference_is_fresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits_are_complete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_peers_are_cleaned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rtt_between_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remove, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_says_once_what_is_of_an_interface, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_names_trouble, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_of_the_registry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_names_what_was_met, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_names_who_does_not_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_names_whom_it_joins_in_vain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_knocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_of_many_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nodes_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_thousands_are_paged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cursor_of_somebody_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels_of_others_are_cleaned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_of_one_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_name_who_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_are_paged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dispatch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_reply_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_token, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status_without_trouble, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status_with_many_failed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
