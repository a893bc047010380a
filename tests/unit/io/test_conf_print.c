/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration shown and compared: what is printed reads back as the same, whatever the values
 * are, and each difference is found. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/prng.h"
#include "io/conf.h"
#include "io/conf_yaml.h"

#include <stdlib.h>

static struct conf a, b;
static struct why why;
static struct conf_change changes[CONF_OPTIONS_MAX];

static void parse(struct conf *conf, char *const *args)
{
    char *argv[24] = {(char *) "meshd", (char *) "--discover=lab"};
    char *environment[] = {(char *) "MESHD_CONFIG=none", NULL};
    int argc = 2;
    while (*args != NULL) {
        argv[argc++] = *args++;
    }
    if (conf_parse(argc, argv, environment, conf, &why) != HM_OK) {
        fail_msg("%s", why.text);
    }
}

#define ARGS(...) ((char *[]){__VA_ARGS__, NULL})

static char *print(const struct conf *conf)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(conf_print(to, conf), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void check_round_trip(const struct conf *conf)
{
    char *text = print(conf);
    memset(&b, 0, sizeof b);
    b.log_level = NOTE_INFO;
    if (conf_yaml_read("/m.yaml", text, strlen(text), false, &b, &why) != HM_OK) {
        fail_msg("%s\n%s", why.text, text);
    }
    size_t count = conf_compare(conf, &b, changes);
    if (count > 0) {
        fail_msg("%s: \"%s\", read again \"%s\"", changes[0].option, changes[0].before,
                 changes[0].after);
    }
    free(text);
}

static void printed_reads_back(void **state)
{
    (void) state;
    parse(&a, ARGS("--name=nas1", "--data-dir=/d d", "--key-file=./k: # \"x\"", "--join=nas2.lan",
                   "--join=[fd00::2]:9000", "--bind=:8500", "--role=null",
                   "--capabilities=gpu,zigbee", "--label=rack=", "--label=a=b=c", "--label=x= y ",
                   "--label=z=}", "--log-format=json", "--log-level=error", "--auto-role",
                   "--socket=\\", "--interface=eth0"));
    check_round_trip(&a);
    parse(&a, ARGS("--bind=0.0.0.0", "--role=~"));
    check_round_trip(&a);
    parse(&a, ARGS("--bind=[fd00::1]:9", "--auto-role=no"));
    check_round_trip(&a);
}

/* Any text that the options take: drawn from what YAML finds special. */
static void any_text_reads_back(void **state)
{
    (void) state;
    static const char odd[] = "a-:#,[]{}&*!|>'\"%@`\\ ~?=0.<";
    struct prng prng;
    prng_init(&prng, 1);
    for (int round = 0; round < 300; round++) {
        char role[40] = "--role=";
        char label[40] = "--label=k=";
        for (size_t i = 10; i < 10 + prng_below(&prng, 20); i++) {
            role[strlen(role)] = odd[prng_below(&prng, sizeof odd - 1)];
            label[strlen(label)] = odd[prng_below(&prng, sizeof odd - 1)];
        }
        role[strlen(role)] = 'z';
        parse(&a, ARGS(role, label, "--label=l=\u00e4\u20ac"));
        check_round_trip(&a);
    }
}

static void differences_are_found(void **state)
{
    (void) state;
    parse(&a, ARGS("--name=x", "--join=a", "--join=b", "--label=k=v", "--token=hm1-a"));
    parse(&b, ARGS("--name=x", "--join=a", "--join=b", "--label=k=v", "--token=hm1-b"));
    assert_int_equal(conf_compare(&a, &b, changes), 0);
    parse(&b, ARGS("--name=y", "--join=a", "--label=k=w", "--log-level=debug"));
    assert_int_equal(conf_compare(&a, &b, changes), 4);
    assert_string_equal(changes[0].option, "name");
    assert_false(changes[0].is_live);
    assert_string_equal(changes[1].option, "join");
    assert_true(changes[1].is_live);
    assert_string_equal(changes[1].before, "a,b");
    assert_string_equal(changes[1].after, "a");
    assert_string_equal(changes[1].from, "--join");
    assert_string_equal(changes[2].after, "k=w");
    conf_take_over(&a, &b);
    assert_int_equal(conf_compare(&a, &b, changes), 1); /* the name, until a restart */
    assert_string_equal(a.name, "x");
    assert_int_equal(a.log_level, NOTE_DEBUG);
}

/* Long values are cut in what is said, never in what is compared. */
static void long_values(void **state)
{
    (void) state;
    char left[400] = "--data-dir=/";
    char right[400];
    memset(left + 12, 'x', 350);
    memcpy(right, left, sizeof right);
    right[361] = 'y';
    parse(&a, ARGS(left));
    parse(&b, ARGS(right));
    assert_int_equal(conf_compare(&a, &b, changes), 1);
    assert_true(strlen(changes[0].before) < sizeof changes[0].before);
}

static void secrets_are_not_shown(void **state)
{
    (void) state;
    char *text = NULL;
    size_t size = 0;
    parse(&a, ARGS("--token=hm1-verysecret"));
    char *plain = print(&a);
    assert_null(strstr(plain, "verysecret"));
    assert_non_null(strstr(plain, "# token: (not shown)"));
    FILE *to = open_memstream(&text, &size);
    assert_int_equal(conf_print_json(to, &a), 0);
    fclose(to);
    assert_null(strstr(text, "verysecret"));
    assert_non_null(strstr(text, "\"source\": \"flag\""));
    free(text);
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printed_reads_back),    cmocka_unit_test(any_text_reads_back),
        cmocka_unit_test(differences_are_found), cmocka_unit_test(long_values),
        cmocka_unit_test(secrets_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
