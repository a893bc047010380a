/* SPDX-License-Identifier: MPL-2.0 */
/* Files of services: what they may say, and that each mistake is named with its place. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/svc_yaml.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

#include <stdio.h>

static struct svc_set set;
static struct why why;

static int read_text(const char *text)
{
    struct span copy = exact_copy(text, strlen(text));
    why.text[0] = '\0';
    int rc = svc_yaml_read("/d/a.yaml", "a.yaml", (const char *) copy.data, copy.size, &set, &why);
    exact_free(copy);
    return rc;
}

static int set_up(void **state)
{
    (void) state;
    svc_set_init(&set);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    svc_set_fini(&set);
    return 0;
}

/* The service of that index. Lives in the set. */
static struct svc service(size_t idx)
{
    struct mp_reader r;
    struct svc s = {.port = 0};
    mp_open(&r, buf_span(&set.wanted));
    for (size_t i = 0; i <= idx; i++) {
        assert_int_equal(svc_read(mp_read_bin(&r, HM_SERVICE_BYTES_MAX), &s), HM_OK);
    }
    return s;
}

static bool is(struct span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static void one_service_is_a_map(void **state)
{
    (void) state;
    assert_int_equal(read_text("# media\nname: jellyfin\nport: 8096\nid: j:1\nversion: 10.9\n"
                               "address: fd00::1\ntags: [web, blue]\nttl: 2m\n"
                               "meta:\n  team: x\n  note: \"a: b\"\n  empty:\n"),
                     HM_OK);
    assert_int_equal(set.count, 1);
    struct svc s = service(0);
    assert_true(is(s.id, "j:1") && is(s.name, "jellyfin") && is(s.version, "10.9"));
    assert_true(is(s.address, "fd00::1") && is(s.file, "a.yaml"));
    assert_int_equal(s.port, 8096);
    assert_int_equal(s.ttl_ms, 120000);
    assert_int_equal(s.tag_count, 2);
    assert_int_equal(s.meta_count, 3);
    assert_int_equal(s.source, SVC_FILE);
    assert_true(svc_has_meta(&s, span_of("note", 4), span_of("a: b", 4)));
    assert_true(svc_has_meta(&s, span_of("empty", 5), span_of("", 0)));
}

static void several_are_a_list_with_ids_of_their_own(void **state)
{
    (void) state;
    assert_int_equal(read_text("- name: web\n  port: 80\n- {name: web, port: 81, tags: x}\n"),
                     HM_OK);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[0].id, "web");
    assert_string_equal(set.items[1].id, "web-81");
    assert_int_equal(service(1).tag_count, 1);
    assert_int_equal(read_text("name: web\nport: 81\n"), HM_EINVAL);
    assert_string_equal(why.text,
                        "/d/a.yaml:1:1: a.yaml has the id web-81 too: give one of the two another "
                        "`id`");
    assert_int_equal(set.count, 2);
}

static void nothing_is_no_service(void **state)
{
    static const char *const rows[] = {"", "\n", "# nothing\n", "---\n", "[]\n", "~\n"};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(read_text(rows[i]), HM_OK);
        assert_int_equal(set.count, 0);
    }
}

static void mistakes_are_named_with_their_place(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"name: web\n", "/d/a.yaml:1:1: a service needs name and port: port is missing"},
        {"- port: 80\n", ":1:3: a service needs name and port: name is missing"},
        {"name: Web\nport: 80\n", ":1:7: name: Web: must be 1 to 63 of a-z"},
        {"name: web\nport: 0\n", ":2:7: port: 0: must be a number from 1 to 65535"},
        {"name: web\nport: 65536\n", ":2:7: port: 65536: must be"},
        {"name: web\nport: [80]\n", ":2:7: port: one value is expected, like port: 8080"},
        {"name: web\nport:\n", ": port: a value is missing, like port: 8080"},
        {"name: web\nprot: 80\n", ":2:1: prot: no such key; did you mean port?"},
        {"name: web\nxyzzy: 80\n", ":2:1: xyzzy: no such key; there are id, name"},
        {"services:\n- name: web\n", ":1:1: services: leave this line out"},
        {"name: web\nport: 1\nname: web\n", ":3:1: name is there twice, first in line 1"},
        {"name: web\nport: 1\nttl: soon\n", ":3:6: ttl: soon: must be like 10s"},
        {"name: web\nport: 1\nttl: 10ms\n", ":3:6: ttl: 10ms: must be like 10s"},
        {"name: web\nport: 1\ntags: {a: b}\n", ":3:7: tags: a list is expected"},
        {"name: web\nport: 1\ntags: [a, [b]]\n", ":3:11: tags: one value is expected"},
        {"name: web\nport: 1\nmeta: [a]\n", ":3:7: meta: a map is expected"},
        {"name: web\nport: 1\nmeta: {a b: c}\n", ":3:8: meta: a b: must be 1 to 63"},
        {"name: web\nport: 1\nmeta: {a: 1, a: 2}\n", ":1:1: meta: a name is there twice"},
        {"name: web\nport: 1\naddress: http://x\n", ":3:10: address: http://x: must be an IP"},
        {"web\n", ":1:1: a service is expected: keys with values"},
        {"- web\n", ":1:3: a service is expected, like `- name: web`"},
        {"name: web\nport: 80\n---\nname: x\n", "a second document begins"},
        {"name: &a web\nport: 80\n", "anchors (&name) are not used"},
        {"name: web\n\tport: 80\n", ":2:1: a tab: YAML is indented with spaces"},
        {"name: web\nport: 80\n]\n", "this is not YAML"},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int rc = read_text(rows[i].text);
        if (rc != HM_EINVAL || strstr(why.text, rows[i].says) == NULL ||
            strncmp(why.text, "/d/a.yaml:", 10) != 0) {
            print_error("row %zu: %d: %s\n", i, rc, why.text);
            fail();
        }
        assert_int_equal(set.count, 0);
        assert_int_equal(set.wanted.size, 0);
    }
}

static void a_mistake_takes_back_the_whole_file(void **state)
{
    (void) state;
    assert_int_equal(read_text("name: first\nport: 1\n"), HM_OK);
    size_t size = set.wanted.size;
    assert_int_equal(read_text("- name: web\n  port: 80\n- name: web\n"), HM_EINVAL);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.wanted.size, size);
}

static void so_many_and_no_more(void **state)
{
    char line[64];
    (void) state;
    for (unsigned i = 0; i < HM_SERVICES_MAX; i++) {
        snprintf(line, sizeof line, "name: s%u\nport: 80\n", i);
        assert_int_equal(read_text(line), HM_OK);
    }
    assert_int_equal(read_text("name: more\nport: 80\n"), HM_EFULL);
    assert_non_null(strstr(why.text, "at most 1024 services"));
    char many[4096] = "name: web\nport: 1\ntags:\n";
    for (unsigned i = 0; i <= HM_SERVICE_TAGS_MAX; i++) {
        snprintf(many + strlen(many), sizeof many - strlen(many), "- t%u\n", i);
    }
    assert_int_equal(read_text(many), HM_EINVAL);
    assert_non_null(strstr(why.text, ":36:3: tags: a service has at most 32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_service_is_a_map, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_are_a_list_with_ids_of_their_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_no_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_are_named_with_their_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistake_takes_back_the_whole_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(so_many_and_no_more, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
