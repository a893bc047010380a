/* SPDX-License-Identifier: MPL-2.0 */
/* Keys and values: the handlers, on a real registry with a disk that a test commits. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "cmd/ctl.h"
#include "fake_core.h"
#include "ops/ops_dispatch.h"

#include <stdio.h>
#include <stdlib.h>

static struct ops ops;
static struct buf reply;
static struct call_result result;
static core_t *core;

static int set_up(void **state)
{
    (void) state;
    ops_init(&ops, NULL);
    buf_init(&reply, HM_REPLY_BYTES_MAX);
    core = fake_core_small();
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    buf_fini(&reply);
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Arguments as pairs of texts; "#1" is a truth, "@HEX" is bytes. */
static void write_args(struct buf *b, const char *const *args)
{
    size_t count = 0;
    while (args[2 * count] != NULL) {
        count++;
    }
    mp_map(b, count);
    for (size_t i = 0; i < count; i++) {
        const char *value = args[2 * i + 1];
        uint8_t bytes[64];
        mp_str(b, args[2 * i]);
        if (strcmp(value, "#1") == 0) {
            mp_bool(b, true);
        } else if (value[0] == '@') {
            assert_int_equal(text_unhex(value + 1, bytes, strlen(value) / 2), HM_OK);
            mp_bin(b, bytes, strlen(value) / 2);
        } else {
            mp_str(b, value);
        }
    }
}

static struct buf last_args;
static char last_op[64];
static bool is_crowded;

/* Runs the handler with what the last run left. NULL: it failed, or waits. */
static json_t *run(bool is_last)
{
    struct call_result before = result;
    buf_clear(&reply);
    memset(&result, 0x55, sizeof result);
    result.ticket = before.ticket;
    result.kept = before.kept;
    result.is_crowded = is_crowded;
    ops.handler.handle(ops.handler.ctx, core, last_op, buf_span(&last_args), true, is_last, &reply,
                       &result);
    if (result.code != HM_OK || result.wait) {
        assert_true(reply.size == 0);
        return NULL;
    }
    json_t *json = ctl_json_of(reply.data, reply.size);
    assert_non_null(json);
    return json;
}

static json_t *ask_with(const char *op, const char *const *args)
{
    buf_fini(&last_args);
    buf_init(&last_args, 2 * HM_VALUE_BYTES_MAX);
    write_args(&last_args, args);
    text_copy(last_op, sizeof last_op, op);
    result.ticket = result.kept = 0;
    return run(false);
}

#define ASK(op, ...) ask_with(op, ((const char *const[]){__VA_ARGS__, NULL, NULL}))

/* It is done; nobody looks at the answer. */
#define DO(op, ...)                                                                                \
    do {                                                                                           \
        json_t *json_ = ASK(op, __VA_ARGS__);                                                      \
        if (json_ == NULL) {                                                                       \
            print_error("%s\n", result.text);                                                      \
        }                                                                                          \
        assert_non_null(json_);                                                                    \
        json_decref(json_);                                                                        \
    } while (0)

#define FAIL(wanted, part, op, ...)                                                                \
    do {                                                                                           \
        assert_null(ASK(op, __VA_ARGS__));                                                         \
        assert_false(result.wait);                                                                 \
        if (result.code != (wanted) || strstr(result.text, part) == NULL) {                        \
            print_error("%d: %s\n", result.code, result.text);                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* A value as text: "-" absent, "{a,b}" a set, "0x…" bytes. */
static const char *value_text(const json_t *value, char text[256])
{
    size_t i;
    json_t *item;
    if (json_is_array(value)) {
        text_copy(text, 256, "{");
        json_array_foreach(value, i, item)
        {
            char part[256];
            snprintf(text + strlen(text), 256 - strlen(text), "%s%s", i > 0 ? "," : "",
                     value_text(item, part));
        }
        snprintf(text + strlen(text), 256 - strlen(text), "}");
    } else if (json_is_object(value)) {
        snprintf(text, 256, "base64 %s", ctl_text(value, "base64"));
    } else {
        text_copy(text, 256, json_is_null(value) ? "null" : ctl_text_of(value));
    }
    return text;
}

static const char *get(const char *key, char text[256])
{
    json_t *json = ASK("kv.get", "key", key);
    if (json == NULL) {
        assert_int_equal(result.code, HM_ENOTFOUND);
        return "-";
    }
    value_text(json_object_get(json, "value"), text);
    json_decref(json);
    return text;
}

static void expect(const char *key, const char *wanted)
{
    char text[256];
    assert_string_equal(get(key, text), wanted);
}

static void version_of(const char *key, char version[32])
{
    json_t *json = ASK("kv.get", "key", key);
    assert_non_null(json);
    text_copy(version, 32, ctl_text(json, "version"));
    assert_in_range(strlen(version), 12, 20);
    json_decref(json);
}

static int64_t conflicts_of(const char *key)
{
    json_t *json = ASK("kv.get", "key", key);
    assert_non_null(json);
    int64_t count = ctl_int(json, "conflicts");
    json_decref(json);
    return count;
}

/* ---- registers ------------------------------------------------------------------------------- */

static void test_put_get_delete(void **state)
{
    (void) state;
    expect("dns/domain", "-");
    DO("kv.put", "key", "dns/domain", "value", "home.example");
    expect("dns/domain", "home.example");
    DO("kv.put", "key", "dns/domain", "value", "");
    expect("dns/domain", "");
    DO("kv.put", "key", "dns/domain", "value", "@00ff10");
    expect("dns/domain", "base64 AP8Q");
    DO("kv.put", "key", "dns/domain", "value", "@61620a");
    expect("dns/domain", "ab\n");
    DO("kv.delete", "key", "dns/domain");
    expect("dns/domain", "-");
    FAIL(HM_ENOTFOUND, "\"dns/domain\"", "kv.delete", "key", "dns/domain");
    DO("kv.put", "key", "dns/domain", "value", "again");
    expect("dns/domain", "again");
}

static void test_wrong_arguments(void **state)
{
    static char key[HM_USER_KEY_BYTES_MAX + 2];
    (void) state;
    FAIL(HM_EINVAL, "key", "kv.put", "value", "x");
    FAIL(HM_EINVAL, "key is empty", "kv.put", "key", "", "value", "x");
    FAIL(HM_EINVAL, "control characters", "kv.put", "key", "a\tb", "value", "x");
    FAIL(HM_EINVAL, "needs value", "kv.put", "key", "a");
    FAIL(HM_EINVAL, "register, set or counter", "kv.put", "key", "a", "value", "x", "type", "list");
    memset(key, 'k', HM_USER_KEY_BYTES_MAX + 1);
    FAIL(HM_EINVAL, "\"kkkkkkkk", "kv.put", "key", key, "value", "x");
    assert_non_null(strstr(result.text, "has 513 bytes, but must have from 1 to 512"));
    key[HM_USER_KEY_BYTES_MAX] = '\0';
    DO("kv.put", "key", key, "value", "long");
    expect(key, "long");
}

static void test_the_largest_value(void **state)
{
    char *text = malloc(HM_VALUE_BYTES_MAX + 2);
    (void) state;
    memset(text, 'v', HM_VALUE_BYTES_MAX + 1);
    text[HM_VALUE_BYTES_MAX + 1] = '\0';
    FAIL(HM_EFULL, "has 1048577 bytes", "kv.put", "key", "a", "value", text);
    text[HM_VALUE_BYTES_MAX] = '\0';
    DO("kv.put", "key", "a", "value", text);
    json_t *json = ASK("kv.get", "key", "a");
    assert_string_equal(ctl_text(json, "value"), text);
    assert_true(ctl_int(json, "bytes") == HM_VALUE_BYTES_MAX);
    json_decref(json);
    json = ASK("kv.list", "prefix", "a");
    assert_int_equal(json_array_size(json_object_get(json, "keys")), 1);
    assert_true(json_is_string(json_object_get(json, "next"))); /* attic, too */
    json_decref(json);
    free(text);
}

/* ---- the disk -------------------------------------------------------------------------------- */

/* Who writes right after a start waits for its end; who reads does not. */
static void test_writes_wait_for_the_start(void **state)
{
    (void) state;
    DO("kv.put", "key", "b", "value", "1");
    core->is_starting = true;
    expect("b", "1");
    assert_null(ASK("kv.put", "key", "a", "value", "1"));
    assert_true(result.code == HM_OK && result.wait && result.wait_for == WAKE_STARTED);
    assert_int_equal(result.ticket, 0);
    assert_null(ASK("kv.delete", "key", "b"));
    assert_true(result.wait && result.wait_for == WAKE_STARTED);
    core->write_code = HM_EBUSY;
    assert_null(run(true)); /* it took too long */
    assert_int_equal(result.code, HM_EBUSY);
    assert_non_null(strstr(result.text, "starting"));
    is_crowded = true;
    assert_null(ASK("kv.put", "key", "a", "value", "1"));
    assert_int_equal(result.code, HM_EBUSY);
    is_crowded = false;
    assert_null(ASK("kv.put", "key", "a", "value", "1"));
    assert_true(result.wait);
    core->write_code = HM_OK;
    core->is_starting = false;
    json_t *json = run(false);
    assert_non_null(json);
    json_decref(json);
    expect("a", "1");
}

static void test_acknowledged_when_durable(void **state)
{
    char version[32];
    (void) state;
    core->is_slow = true;
    assert_null(ASK("kv.put", "key", "a", "value", "1"));
    assert_true(result.wait && result.wait_for == WAKE_DURABLE && result.ticket != 0);
    struct call_result waiting = result;
    expect("a", "-"); /* not before it is durable */
    assert_null(ASK("kv.put", "key", "a", "value", "2"));
    result = waiting;
    assert_null(run(false));
    assert_true(result.wait);
    replica_commit(&core->replica);
    result = waiting;
    json_t *json = run(false);
    assert_non_null(json);
    text_copy(version, sizeof version, ctl_text(json, "version"));
    json_decref(json);
    /* The second put came behind it: the first one's version is its own all the same. */
    json = ASK("kv.get", "key", "a");
    assert_string_equal(ctl_text(json, "value"), "2");
    assert_string_not_equal(ctl_text(json, "version"), version);
    json_decref(json);
}

static void test_version_of_a_write_is_its_own(void **state)
{
    char version[32];
    (void) state;
    json_t *json = ASK("kv.put", "key", "a", "value", "1");
    text_copy(version, sizeof version, ctl_text(json, "version"));
    json_decref(json);
    DO("kv.put", "key", "a", "value", "2", "if_version", version);
    FAIL(HM_ESTALE, "has version", "kv.put", "key", "a", "value", "3", "if_version", version);
}

static void test_disk_fails(void **state)
{
    (void) state;
    DO("kv.put", "key", "a", "value", "kept");
    core->is_slow = true;
    assert_null(ASK("kv.put", "key", "a", "value", "lost"));
    assert_true(result.wait);
    replica_fail(&core->replica);
    assert_null(run(false));
    assert_int_equal(result.code, HM_EIO);
    assert_non_null(strstr(result.text, "nothing was written"));
    expect("a", "kept");
    core->is_slow = false;
    DO("kv.put", "key", "a", "value", "new");
    expect("a", "new");
}

static void test_disk_is_slow(void **state)
{
    static const struct {
        int code, answered;
        const char *text;
    } wrong[] = {
        {HM_EBUSY, HM_EBUSY, "try again"},
        {HM_ESTALE, HM_EBUSY, "syncing"},
        {HM_ENOMEM, HM_ENOMEM, "out of memory"},
    };
    (void) state;
    core->is_slow = true;
    assert_null(ASK("kv.put", "key", "a", "value", "1"));
    assert_null(run(true));
    assert_int_equal(result.code, HM_ETIMEDOUT);
    assert_non_null(strstr(result.text, "not on disk yet"));
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        core->write_code = wrong[i].code;
        FAIL(wrong[i].answered, wrong[i].text, "kv.put", "key", "b", "value", "1");
    }
    core->write_code = HM_OK;
    is_crowded = true;
    FAIL(HM_EBUSY, "as many operations wait", "kv.put", "key", "b", "value", "1");
    is_crowded = false;
    core->status.leaving = true;
    core->write_code = HM_EBUSY;
    FAIL(HM_EBUSY, "is leaving", "kv.put", "key", "b", "value", "1");
}

/* ---- compare and set ------------------------------------------------------------------------- */

static void test_if_version(void **state)
{
    char first[32], second[32];
    (void) state;
    DO("kv.put", "key", "a", "value", "1", "if_version", "absent");
    FAIL(HM_ESTALE, "nothing was written", "kv.put", "key", "a", "value", "2", "if_version",
         "absent");
    version_of("a", first);
    DO("kv.put", "key", "a", "value", "2", "if_version", first);
    version_of("a", second);
    assert_string_not_equal(first, second);
    FAIL(HM_ESTALE, second, "kv.put", "key", "a", "value", "3", "if_version", first);
    expect("a", "2");
    FAIL(HM_ESTALE, second, "kv.delete", "key", "a", "if_version", first);
    DO("kv.delete", "key", "a", "if_version", second);
    FAIL(HM_ESTALE, "is absent", "kv.put", "key", "a", "value", "3", "if_version", second);
    FAIL(HM_EINVAL, "registers", "kv.put", "key", "s", "value", "e", "type", "set", "if_version",
         "absent");
    DO("kv.put", "key", "a", "value", "4", "if_version", "absent");
}

/* Of two who have read the same, one writes, also while the first write is on its way to the
 * disk. */
static void test_if_version_sees_what_waits(void **state)
{
    (void) state;
    core->is_slow = true;
    assert_null(ASK("kv.put", "key", "a", "value", "1", "if_version", "absent"));
    assert_true(result.wait);
    FAIL(HM_ESTALE, "has version", "kv.put", "key", "a", "value", "2", "if_version", "absent");
}

/* ---- sets and counters ----------------------------------------------------------------------- */

static void test_set(void **state)
{
    (void) state;
    DO("kv.put", "key", "s", "value", "b", "type", "set");
    DO("kv.put", "key", "s", "value", "a", "type", "set");
    DO("kv.put", "key", "s", "value", "b", "type", "set");
    DO("kv.put", "key", "s", "value", "", "type", "set");
    DO("kv.put", "key", "s", "value", "@ff", "type", "set");
    expect("s", "{,a,b,base64 /w==}");
    DO("kv.delete", "key", "s", "element", "a");
    DO("kv.delete", "key", "s", "element", "@ff");
    FAIL(HM_ENOTFOUND, "no set that has this element", "kv.delete", "key", "s", "element", "a");
    expect("s", "{,b}");
    DO("kv.put", "key", "s", "value", "a", "type", "set");
    FAIL(HM_EEXIST, "is a set", "kv.put", "key", "s", "value", "x");
    FAIL(HM_EEXIST, "is a set", "kv.put", "key", "s", "type", "counter");
    DO("kv.delete", "key", "s");
    expect("s", "-");
    DO("kv.put", "key", "s", "value", "x");
    FAIL(HM_EEXIST, "is a register", "kv.put", "key", "s", "value", "x", "type", "set");
}

static void test_set_bounds(void **state)
{
    char key[HM_SET_KEY_BYTES_MAX + 2], element[16];
    (void) state;
    memset(key, 'k', sizeof key);
    key[HM_SET_KEY_BYTES_MAX + 1] = '\0';
    FAIL(HM_EINVAL, "has at most 468", "kv.put", "key", key, "value", "e", "type", "set");
    FAIL(HM_ENOTFOUND, "no set", "kv.delete", "key", key, "element", "e");
    key[HM_SET_KEY_BYTES_MAX] = '\0';
    DO("kv.put", "key", key, "value", "e", "type", "set");
    expect(key, "{e}");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(element, sizeof element, "%u", i);
        DO("kv.put", "key", "many", "value", element, "type", "set");
    }
    json_t *json = ASK("kv.get", "key", "many");
    assert_int_equal(json_array_size(json_object_get(json, "value")), 40);
    assert_false(ctl_bool(json, "cut"));
    json_decref(json);
}

static void test_full_set(void **state)
{
    char *text = malloc(HM_VALUE_BYTES_MAX + 1);
    (void) state;
    memset(text, 'v', HM_VALUE_BYTES_MAX);
    text[HM_VALUE_BYTES_MAX] = '\0';
    DO("kv.put", "key", "s", "value", text, "type", "set");
    FAIL(HM_EFULL, "is full", "kv.put", "key", "s", "value", "x", "type", "set");
    DO("kv.put", "key", "s", "value", text, "type", "set"); /* it is there already */
    json_t *json = ASK("kv.get", "key", "s");
    assert_non_null(json);
    json_decref(json);
    DO("kv.delete", "key", "s", "element", text);
    DO("kv.put", "key", "s", "value", "x", "type", "set");
    expect("s", "{x}");
    free(text);
}

static void test_counter(void **state)
{
    (void) state;
    DO("kv.put", "key", "hits", "type", "counter");
    DO("kv.put", "key", "hits", "value", "41", "type", "counter");
    expect("hits", "42");
    DO("kv.put", "key", "hits", "value", "-50", "type", "counter");
    DO("kv.put", "key", "hits", "value", "+1", "type", "counter");
    expect("hits", "-7");
    replica_crash(&core->replica); /* another life has a share of its own */
    expect("hits", "-7");
    DO("kv.put", "key", "hits", "value", "10", "type", "counter");
    expect("hits", "3");
    FAIL(HM_EINVAL, "whole number", "kv.put", "key", "hits", "value", "1.5", "type", "counter");
    FAIL(HM_EINVAL, "whole number", "kv.put", "key", "hits", "value", "", "type", "counter");
    FAIL(HM_EINVAL, "whole number", "kv.put", "key", "hits", "value", "-", "type", "counter");
    FAIL(HM_EINVAL, "whole number", "kv.put", "key", "hits", "value", "9223372036854775808", "type",
         "counter");
    DO("kv.put", "key", "hits", "value", "9223372036854775797", "type", "counter");
    FAIL(HM_EFULL, "64 bits", "kv.put", "key", "hits", "value", "9223372036854775807", "type",
         "counter");
    expect("hits", "9223372036854775800");
    DO("kv.put", "key", "hits", "value", "-9223372036854775807", "type", "counter");
    DO("kv.delete", "key", "hits");
    expect("hits", "-");
    DO("kv.put", "key", "hits", "type", "counter");
    expect("hits", "1");
}

/* What waits for the disk counts, too: else two quick increments were one. */
static void test_counter_sees_what_waits(void **state)
{
    (void) state;
    core->is_slow = true;
    for (unsigned i = 0; i < 5; i++) {
        assert_null(ASK("kv.put", "key", "hits", "type", "counter"));
        assert_true(result.wait);
        if (i == 2) {
            replica_flush(&core->replica);
        }
    }
    replica_commit(&core->replica);
    expect("hits", "5");
}

/* ---- conflicts ------------------------------------------------------------------------------- */

static void test_conflict(void **state)
{
    char version[32];
    (void) state;
    assert_int_equal(conflicts_of("attic"), 1);
    json_t *json = ASK("kv.conflicts", "prefix", "at");
    json_t *item = json_array_get(json_object_get(json, "keys"), 0);
    json_t *values = json_object_get(item, "values");
    assert_int_equal(json_array_size(values), 2);
    assert_true(ctl_bool(json_array_get(values, 0), "shown"));
    assert_string_equal(ctl_text(json_array_get(values, 0), "value"), "down there");
    assert_string_equal(ctl_text(json_array_get(values, 0), "origin"), "attic");
    assert_string_equal(ctl_text(json_array_get(values, 1), "value"), "up here");
    text_copy(version, sizeof version, ctl_text(json_array_get(values, 1), "version"));
    json_decref(json);
    json = ASK("kv.get", "key", "attic", "at", version);
    assert_string_equal(ctl_text(json, "value"), "up here");
    json_decref(json);
    FAIL(HM_ENOTFOUND, "has no value of version", "kv.resolve", "key", "attic", "keep",
         "0123456789abcdef");
    FAIL(HM_EINVAL, "give one", "kv.resolve", "key", "attic", "keep", version, "value", "x");
    DO("kv.resolve", "key", "attic", "keep", version);
    expect("attic", "up here");
    assert_int_equal(conflicts_of("attic"), 0);
    json = ASK("kv.conflicts", "prefix", "at");
    assert_int_equal(json_array_size(json_object_get(json, "keys")), 0);
    json_decref(json);
    FAIL(HM_ENOTFOUND, "has no value of version", "kv.get", "key", "attic", "at", version);
}

static void test_resolve(void **state)
{
    (void) state;
    DO("kv.resolve", "key", "attic");
    expect("attic", "down there");
    assert_int_equal(conflicts_of("attic"), 0);
    json_t *json = ASK("kv.resolve", "key", "attic");
    assert_false(ctl_bool(json, "written"));
    json_decref(json);
    DO("kv.resolve", "key", "attic", "value", "both");
    expect("attic", "both");
    FAIL(HM_ENOTFOUND, "no key", "kv.resolve", "key", "nowhere");
    fake_core_other(core, "kv/other", "one");
    fake_core_other(core, "kv/other", "two");
    assert_int_equal(conflicts_of("other"), 1);
    DO("kv.put", "key", "other", "value", "three");
    assert_int_equal(conflicts_of("other"), 0);
}

/* Two that did not hear each other made a set and a register of one key. */
static void test_two_types(void **state)
{
    (void) state;
    DO("kv.put", "key", "k", "value", "e1", "type", "set");
    DO("kv.put", "key", "k", "value", "e2", "type", "set");
    fake_core_other(core, "kv/k", "a register");
    expect("k", "a register");
    assert_int_equal(conflicts_of("k"), 1);
    json_t *json = ASK("kv.conflicts", "prefix", "k");
    json_t *values = json_object_get(json_array_get(json_object_get(json, "keys"), 0), "values");
    assert_int_equal(json_array_size(values), 2);
    assert_string_equal(ctl_text(json_array_get(values, 1), "type"), "set");
    assert_int_equal(json_array_size(json_object_get(json_array_get(values, 1), "value")), 2);
    json_decref(json);
    DO("kv.resolve", "key", "k");
    expect("k", "a register");
    assert_int_equal(conflicts_of("k"), 0);
    DO("kv.delete", "key", "k");
    expect("k", "-");
}

/* What kv.conflicts lists beside a register can be read, and be what is kept. */
static void test_the_other_type_is_kept(void **state)
{
    static const char *const types[] = {"set", "counter"};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        char version[32];
        DO("kv.put", "key", types[i], "value", "41", "type", types[i]);
        char key[32];
        snprintf(key, sizeof key, "kv/%s", types[i]);
        fake_core_other(core, key, "a register");
        json_t *json = ASK("kv.conflicts", "prefix", types[i]);
        const json_t *item = json_array_get(json_object_get(json, "keys"), 0);
        const json_t *other = json_array_get(json_object_get(item, "values"), 1);
        assert_string_equal(ctl_text(other, "type"), types[i]);
        text_copy(version, sizeof version, ctl_text(other, "version"));
        json_decref(json);
        json = ASK("registry.report", "prefix", types[i]);
        item = json_array_get(json_object_get(json, "keys"), 0);
        assert_int_equal(json_array_size(json_object_get(item, "sides")), 2);
        other = json_array_get(json_object_get(item, "sides"), 1);
        assert_false(ctl_bool(other, "won"));
        assert_string_equal(ctl_text(other, "version"), version);
        json_decref(json);
        json = ASK("kv.get", "key", types[i], "at", version);
        assert_string_equal(ctl_text(json, "type"), types[i]);
        assert_string_equal(ctl_text(json, "version"), version);
        json_decref(json);
        FAIL(HM_ENOTFOUND, "has no value of version", "kv.resolve", "key", types[i], "keep",
             "0123456789abcdef");
        DO("kv.resolve", "key", types[i], "keep", version);
        json = ASK("kv.get", "key", types[i]);
        assert_string_equal(ctl_text(json, "type"), types[i]);
        json_decref(json);
        assert_int_equal(conflicts_of(types[i]), 0);
    }
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* All keys with a prefix, in the order in which they come, each behind a blank; *ret_pages. */
static char *list(const char *prefix, size_t *ret_pages)
{
    char *all = NULL, after[1024] = "";
    size_t size = 0, i;
    json_t *item;
    FILE *to = open_memstream(&all, &size);
    *ret_pages = 0;
    do {
        json_t *json = after[0] != '\0' ? ASK("kv.list", "prefix", prefix, "after", after)
                                        : ASK("kv.list", "prefix", prefix);
        assert_non_null(json);
        json_array_foreach(json_object_get(json, "keys"), i, item)
        {
            fprintf(to, " %s", ctl_text(item, "key"));
        }
        text_copy(after, sizeof after, ctl_text(json, "next"));
        json_decref(json);
        assert_true(++*ret_pages < 1000);
    } while (after[0] != '\0');
    fclose(to);
    return all;
}

static void test_list_is_paged(void **state)
{
    enum { KEYS = 5000 };
    char key[12], *wanted = calloc(KEYS, 16);
    size_t pages;
    (void) state;
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "p/%05u", i);
        DO("kv.put", "key", key, "value", "v");
        snprintf(wanted + strlen(wanted), 16, " %s", key);
        core->is_slow = false;
    }
    char *all = list("p/", &pages);
    assert_string_equal(all, wanted);
    assert_true(pages >= 2);
    free(all);
    all = list("p/0123", &pages);
    assert_string_equal(all, " p/01230 p/01231 p/01232 p/01233 p/01234 p/01235 p/01236 p/01237 "
                             "p/01238 p/01239");
    free(all);
    all = list("p/9", &pages);
    assert_string_equal(all, "");
    free(all);
    free(wanted);
    FAIL(HM_EINVAL, "after must be", "kv.list", "after", "nonsense");
    FAIL(HM_EINVAL, "after must be", "kv.list", "after", "a3YvcQ==", "prefix", "p/");
}

/* Keys of which only marks are left do not show, and do not hold up a step either. */
static void test_list_over_marks(void **state)
{
    char key[32];
    size_t pages;
    (void) state;
    for (unsigned i = 0; i < 2500; i++) {
        snprintf(key, sizeof key, "p/%05u", i);
        DO("kv.put", "key", key, "value", "v");
        DO("kv.delete", "key", key);
    }
    DO("kv.put", "key", "p/9", "value", "v");
    char *all = list("p/", &pages);
    assert_string_equal(all, " p/9");
    assert_true(pages >= 2);
    free(all);
}

/* Each key once, whatever lies beside it: elements, other values, keys longer than the store's. */
static void test_list_of_odd_keys(void **state)
{
    char a[HM_USER_KEY_BYTES_MAX + 1], b[HM_USER_KEY_BYTES_MAX + 1], entry_key[520];
    size_t pages;
    (void) state;
    memset(a, 'k', sizeof a);
    memset(b, 'k', sizeof b);
    a[HM_USER_KEY_BYTES_MAX] = b[HM_USER_KEY_BYTES_MAX] = '\0';
    b[HM_USER_KEY_BYTES_MAX - 1] = 'l';
    DO("kv.put", "key", "k", "value", "v");
    DO("kv.put", "key", "k/", "value", "e", "type", "set");
    DO("kv.put", "key", "k/", "value", "f", "type", "set");
    DO("kv.put", "key", "k/1", "type", "counter");
    DO("kv.put", "key", a, "value", "1");
    DO("kv.put", "key", b, "value", "2");
    snprintf(entry_key, sizeof entry_key, "kv/%s", a);
    fake_core_other(core, entry_key, "beside");
    fake_core_other(core, "kv/k\001x", "below, without a register");
    char *all = list("k", &pages);
    assert_int_equal(strlen(all), strlen(" k k/ k/1 ") + 2 * HM_USER_KEY_BYTES_MAX + 1);
    assert_memory_equal(all, " k k/ k/1 ", 10);
    assert_non_null(strstr(all, a));
    assert_non_null(strstr(all, b));
    free(all);
    all = list(a, &pages);
    assert_string_equal(all + 1, a);
    free(all);
    expect(b, "2");
    assert_int_equal(conflicts_of(a), 1);
}

/* ---- watching -------------------------------------------------------------------------------- */

#define WATCHED 12

/* What a watcher believes: a value for each of the keys "w/0" to "w/11". */
struct believer {
    char value[WATCHED][256];
    char place[64];
    unsigned gaps;
};

static void believe(struct believer *w, const json_t *list_of, bool is_change)
{
    size_t i;
    json_t *item;
    json_array_foreach(list_of, i, item)
    {
        uint64_t number = 0;
        assert_int_equal(text_to_u64(ctl_text(item, "key") + 2, WATCHED - 1, &number), HM_OK);
        bool is_gone = is_change && strcmp(ctl_text(item, "op"), "delete") == 0;
        if (is_gone) {
            text_copy(w->value[number], 256, "-");
        } else {
            value_text(json_object_get(item, "value"), w->value[number]);
        }
    }
}

static void believe_all(struct believer *w)
{
    json_t *json = ASK("kv.list", "prefix", "w/");
    for (unsigned i = 0; i < WATCHED; i++) {
        text_copy(w->value[i], 256, "-");
    }
    believe(w, json_object_get(json, "keys"), false);
    text_copy(w->place, sizeof w->place, ctl_text(json, "since"));
    json_decref(json);
}

/* Asks until there is nothing new. */
static void catch_up(struct believer *w)
{
    for (;;) {
        json_t *json = ASK("kv.watch", "prefix", "w/", "since", w->place, "wait", "#1");
        if (json == NULL) {
            assert_true(result.wait && result.wait_for == WAKE_CHANGE);
            return;
        }
        if (ctl_bool(json, "gap")) {
            w->gaps++;
            believe_all(w);
        } else {
            believe(w, json_object_get(json, "changes"), true);
            text_copy(w->place, sizeof w->place, ctl_text(json, "next"));
        }
        json_decref(json);
    }
}

static void random_write(struct prng *prng)
{
    char key[16], entry_key[20], value[16];
    unsigned number = (unsigned) prng_below(prng, WATCHED);
    snprintf(key, sizeof key, "w/%u", number);
    snprintf(entry_key, sizeof entry_key, "kv/%s", key);
    snprintf(value, sizeof value, "%u", (unsigned) prng_below(prng, 5));
    const char *type = number % 3 == 0 ? "register" : number % 3 == 1 ? "set" : "counter";
    result.wait = false;
    switch (prng_below(prng, 8)) {
    case 0:
        json_decref(ASK("kv.delete", "key", key));
        break;
    case 1:
        json_decref(ASK("kv.delete", "key", key, "element", value));
        break;
    case 2:
        if (number % 3 == 0) {
            fake_core_other(core, entry_key, value);
        }
        break;
    case 3:
        json_decref(ASK("kv.resolve", "key", key));
        break;
    default:
        json_decref(ASK("kv.put", "key", key, "value", value, "type", type));
        break;
    }
    assert_false(result.wait && !core->is_slow);
}

/* Whatever is written, fails, or is lost with a life: who watches believes what is there. */
static void test_watchers_believe_what_is_there(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng;
        struct believer w = {.gaps = 0};
        core = fake_core_small();
        prng_init(&prng, seed);
        believe_all(&w);
        for (unsigned i = 0; i < 300; i++) {
            random_write(&prng);
            uint64_t what = prng_below(&prng, 40);
            if (what == 0) {
                core->is_slow = !core->is_slow;
            } else if (what == 1) {
                replica_flush(&core->replica);
            } else if (what == 2) {
                replica_commit(&core->replica);
            } else if (what == 3) {
                replica_crash(&core->replica);
            } else if (what == 4) {
                replica_fail(&core->replica);
            }
            if (prng_below(&prng, 6) == 0) {
                catch_up(&w);
            }
        }
        replica_commit(&core->replica);
        catch_up(&w);
        for (unsigned i = 0; i < WATCHED; i++) {
            char key[16], text[256];
            snprintf(key, sizeof key, "w/%u", i);
            if (strcmp(get(key, text), w.value[i]) != 0) {
                print_error("seed %u: %s is %s, the watcher has %s\n", (unsigned) seed, key,
                            get(key, text), w.value[i]);
                fail();
            }
        }
    }
}

static void test_watch_after_too_many(void **state)
{
    struct believer w = {.gaps = 0};
    (void) state;
    believe_all(&w);
    for (unsigned i = 0; i <= HM_CHANGES_MAX; i++) {
        DO("kv.put", "key", i % 2 == 0 ? "w/3" : "other", "value", i % 4 == 0 ? "1" : "2");
    }
    catch_up(&w);
    assert_int_equal(w.gaps, 1);
    assert_string_equal(w.value[3], "1");
    FAIL(HM_EINVAL, "since must be", "kv.watch", "since", "12");
    FAIL(HM_EINVAL, "since must be", "kv.watch", "since", "0123456789abcdef-");
    FAIL(HM_EINVAL, "since must be", "kv.watch", "since", "0123456789abcdeg-1");
    FAIL(HM_EINVAL, "since must be", "kv.watch", "since", "0123456789abcdef-18446744073709551615");
    json_t *json = ASK("kv.watch", "since", "0123456789abcdef-1", "wait", "#1");
    assert_true(ctl_bool(json, "gap")); /* of another life */
    json_decref(json);
}

/* Every value of a register is told, in order; who waits is not woken for other keys. */
static void test_watch_tells_each(void **state)
{
    char place[64], all[64] = "";
    size_t i;
    json_t *item;
    (void) state;
    json_t *json = ASK("kv.watch", "prefix", "w/");
    text_copy(place, sizeof place, ctl_text(json, "next"));
    json_decref(json);
    assert_null(ASK("kv.watch", "prefix", "w/", "since", place, "wait", "#1"));
    struct call_result waiting = result;
    struct buf args = last_args;
    buf_init(&last_args, 0);
    DO("kv.put", "key", "elsewhere", "value", "x");
    buf_fini(&last_args);
    last_args = args;
    text_copy(last_op, sizeof last_op, "kv.watch");
    result = waiting;
    assert_null(run(false));
    assert_true(result.wait && result.ticket > waiting.ticket);
    for (unsigned k = 1; k <= 3; k++) {
        char value[2] = {(char) ('0' + k), '\0'};
        DO("kv.put", "key", "w/1", "value", value);
    }
    DO("kv.delete", "key", "w/1");
    json = ASK("kv.watch", "prefix", "w/", "since", place, "wait", "#1");
    json_array_foreach(json_object_get(json, "changes"), i, item)
    {
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s%s", ctl_text(item, "op"),
                 ctl_text(item, "value"));
    }
    assert_string_equal(all, " put1 put2 put3 delete");
    json_decref(json);
    json = ASK("kv.history", "key", "w/1");
    assert_int_equal(json_array_size(json_object_get(json, "changes")), 4);
    json_decref(json);
    json = ASK("kv.history", "key", "w/");
    assert_int_equal(json_array_size(json_object_get(json, "changes")), 0);
    json_decref(json);
}

/* ---- the registry as a whole ----------------------------------------------------------------- */

static void test_inspect(void **state)
{
    char key[80];
    (void) state;
    DO("kv.put", "key", "s", "value", "a", "type", "set");
    DO("kv.put", "key", "s", "value", "b", "type", "set");
    DO("kv.put", "key", "s/other", "value", "x");
    DO("kv.delete", "key", "s", "element", "a");
    json_t *json = ASK("registry.inspect", "key", "s");
    json_t *entries = json_object_get(json, "entries");
    assert_int_equal(json_array_size(entries), 2);
    assert_true(ctl_bool(json_array_get(entries, 0), "deleted") !=
                ctl_bool(json_array_get(entries, 1), "deleted"));
    json_decref(json);
    DO("kv.put", "key", "c", "value", "-200", "type", "counter");
    json = ASK("registry.inspect", "key", "c");
    entries = json_object_get(json, "entries");
    assert_string_equal(ctl_text(json_array_get(entries, 0), "value"), "-200");
    json_decref(json);
    json = ASK("registry.inspect", "key", "attic");
    assert_int_equal(json_array_size(json_object_get(json, "entries")), 2);
    json_decref(json);
    snprintf(key, sizeof key, "node/0a112233000000000000000000000000/x");
    assert_int_equal(replica_write(&core->replica, key, "mine"), HM_OK);
    replica_commit(&core->replica);
    json = ASK("registry.inspect", "key", key);
    entries = json_object_get(json, "entries");
    assert_string_equal(ctl_text(json_array_get(entries, 0), "owner"), "nas1");
    assert_true(ctl_bool(json_array_get(entries, 0), "signed"));
    json_decref(json);
    FAIL(HM_ENOTFOUND, "no key", "registry.inspect", "key", "nowhere");
}

static void test_inspect_is_paged(void **state)
{
    char element[16], after[1024] = "";
    size_t found = 0, pages = 0;
    (void) state;
    for (unsigned i = 0; i < 900; i++) {
        snprintf(element, sizeof element, "%u", i);
        DO("kv.put", "key", "s", "value", element, "type", "set");
    }
    do {
        json_t *json = after[0] != '\0' ? ASK("registry.inspect", "key", "s", "after", after)
                                        : ASK("registry.inspect", "key", "s");
        assert_non_null(json);
        found += json_array_size(json_object_get(json, "entries"));
        text_copy(after, sizeof after, ctl_text(json, "next"));
        json_decref(json);
        pages++;
    } while (after[0] != '\0' && pages < 100);
    assert_int_equal(found, 900);
    assert_true(pages > 1);
}

static bool imports(const char *key, const char *type, const char *value)
{
    json_t *json = ASK("registry.import", "key", key, "type", type, "value", value);
    assert_non_null(json);
    bool is_written = ctl_bool(json, "written");
    json_decref(json);
    return is_written;
}

static void test_import(void **state)
{
    (void) state;
    DO("registry.import", "key", "a", "value", "1", "dry_run", "#1");
    expect("a", "-");
    assert_true(imports("a", "register", "1"));
    assert_false(imports("a", "register", "1"));
    assert_true(imports("a", "register", ""));
    assert_false(imports("a", "register", ""));
    assert_true(imports("s", "set", "x"));
    assert_false(imports("s", "set", "x"));
    assert_true(imports("c", "counter", "5"));
    assert_false(imports("c", "counter", "5"));
    assert_true(imports("c", "counter", "-3"));
    expect("c", "-3");
    expect("s", "{x}");
    expect("a", "");
    FAIL(HM_EEXIST, "is a set", "registry.import", "key", "s", "value", "1");
    FAIL(HM_EINVAL, "needs key", "registry.import", "value", "1");
    DO("kv.put", "key", "far", "value", "9223372036854775807", "type", "counter");
    FAIL(HM_EFULL, "too far", "registry.import", "key", "far", "value", "-9223372036854775807",
         "type", "counter");
}

/* ---- places and cursors of others ------------------------------------------------------------ */

/* Whatever a client gives as a place or a cursor: an answer or a refusal. */
static void test_any_cursor(void **state)
{
    static const char letters[] = "ABab09+/=-fx";
    static const char *const ops_with[][4] = {{"kv.list", "after", "prefix", "k"},
                                              {"kv.conflicts", "after", "prefix", "at"},
                                              {"registry.inspect", "after", "key", "s"},
                                              {"kv.watch", "since", "prefix", "k"},
                                              {"kv.history", "after", "key", "k/1"}};
    static const char *const good[] = {"a3Yvay8xAg==", "a3YvYXR0aWMC", "a3YvcwE=",
                                       "de3ee49dfc5b3615-2", "17"};
    struct prng prng;
    (void) state;
    prng_init(&prng, 3);
    DO("kv.put", "key", "s", "value", "a", "type", "set");
    DO("kv.put", "key", "k/1", "value", "a");
    for (unsigned i = 0; i < 5000; i++) {
        const char *const *op = ops_with[i % ARRAY_COUNT(ops_with)];
        char text[700];
        size_t size = prng_below(&prng, 40) == 0 ? prng_below(&prng, sizeof text - 1) + 1 : 0;
        text_copy(text, sizeof text, good[prng_below(&prng, ARRAY_COUNT(good))]);
        if (size > 0) {
            memset(text, 'A', size);
            text[size] = '\0';
        }
        for (uint64_t k = prng_below(&prng, 4); k > 0; k--) {
            text[prng_below(&prng, strlen(text))] = letters[prng_below(&prng, sizeof letters - 1)];
        }
        json_t *json = ASK(op[0], op[1], text, op[2], op[3]);
        assert_true(json != NULL || result.code == HM_EINVAL);
        json_decref(json);
    }
}

/* ---- against a model ------------------------------------------------------------------------- */

#define MODEL_KEYS 6
#define MODEL_ELEMENTS 5

struct model {
    char type; /* '-', r, s, c */
    char value[16];
    bool elements[MODEL_ELEMENTS];
    int64_t sum;
};

static void model_text(const struct model *m, char text[256])
{
    bool is_first = true;
    switch (m->type) {
    case 'r':
        text_copy(text, 256, m->value);
        break;
    case 'c':
        snprintf(text, 256, "%lld", (long long) m->sum);
        break;
    case 's':
        text_copy(text, 256, "{");
        for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
            if (m->elements[i]) {
                snprintf(text + strlen(text), 256 - strlen(text), "%s%u", is_first ? "" : ",", i);
                is_first = false;
            }
        }
        snprintf(text + strlen(text), 256 - strlen(text), "}");
        break;
    default:
        text_copy(text, 256, "-");
        break;
    }
}

static void model_put(struct model *m, char type, const char *value, unsigned number)
{
    if (m->type != '-' && m->type != type) {
        return; /* refused */
    }
    if (m->type == '-') {
        memset(m, 0, sizeof *m);
        m->type = type;
    }
    text_copy(m->value, sizeof m->value, value);
    m->elements[number % MODEL_ELEMENTS] |= type == 's';
    m->sum += type == 'c' ? (int64_t) number - 2 : 0;
}

static void model_take_out(struct model *m, unsigned number)
{
    bool is_empty = true;
    if (m->type != 's') {
        return;
    }
    m->elements[number] = false;
    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        is_empty = is_empty && !m->elements[i];
    }
    m->type = is_empty ? '-' : 's';
}

static void model_step(struct model *model, struct prng *prng)
{
    static const char types[] = "rsc";
    static const char *const names[] = {"register", "set", "counter"};
    char key[8], value[8];
    unsigned idx = (unsigned) prng_below(prng, MODEL_KEYS);
    unsigned number = (unsigned) prng_below(prng, MODEL_ELEMENTS);
    size_t type = prng_below(prng, 3);
    struct model *m = &model[idx];
    snprintf(key, sizeof key, "m/%u", idx);
    snprintf(value, sizeof value, "%u", number);
    switch (prng_below(prng, 6)) {
    case 0:
        json_decref(ASK("kv.delete", "key", key));
        m->type = '-';
        break;
    case 1:
        json_decref(ASK("kv.delete", "key", key, "element", value));
        model_take_out(m, number);
        break;
    case 2:
        replica_crash(&core->replica);
        break;
    default:
        snprintf(value, sizeof value, "%d", type == 2 ? (int) number - 2 : (int) number);
        json_decref(ASK("kv.put", "key", key, "value", value, "type", names[type]));
        model_put(m, types[type], value, number);
        break;
    }
}

/* Any sequence of operations by one user means what it says. */
static void test_like_a_model(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct model model[MODEL_KEYS];
        struct prng prng;
        core = fake_core_small();
        prng_init(&prng, seed);
        memset(model, 0, sizeof model);
        for (unsigned i = 0; i < MODEL_KEYS; i++) {
            model[i].type = '-';
        }
        for (unsigned i = 0; i < 200; i++) {
            model_step(model, &prng);
            for (unsigned k = 0; k < MODEL_KEYS; k++) {
                char key[8], wanted[256], text[256];
                snprintf(key, sizeof key, "m/%u", k);
                model_text(&model[k], wanted);
                if (strcmp(get(key, text), wanted) != 0) {
                    print_error("seed %u, step %u: %s is %s, must be %s\n", (unsigned) seed, i, key,
                                get(key, text), wanted);
                    fail();
                }
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_get_delete),
        TEST(test_wrong_arguments),
        TEST(test_the_largest_value),
        TEST(test_writes_wait_for_the_start),
        TEST(test_acknowledged_when_durable),
        TEST(test_version_of_a_write_is_its_own),
        TEST(test_disk_fails),
        TEST(test_disk_is_slow),
        TEST(test_if_version),
        TEST(test_if_version_sees_what_waits),
        TEST(test_set),
        TEST(test_set_bounds),
        TEST(test_full_set),
        TEST(test_counter),
        TEST(test_counter_sees_what_waits),
        TEST(test_conflict),
        TEST(test_resolve),
        TEST(test_two_types),
        TEST(test_the_other_type_is_kept),
        TEST(test_list_is_paged),
        TEST(test_list_over_marks),
        TEST(test_list_of_odd_keys),
        TEST(test_watchers_believe_what_is_there),
        TEST(test_watch_after_too_many),
        TEST(test_watch_tells_each),
        TEST(test_inspect),
        TEST(test_inspect_is_paged),
        TEST(test_import),
        TEST(test_any_cursor),
        TEST(test_like_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
