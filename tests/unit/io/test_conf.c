/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's options: environment, then flags; and that each error names what was said and what
 * would do. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/conf.h"

static struct conf conf;
static struct why why;

#define MESH "--discover=homelab"

static int parse_with(char *const *environment, char *const *args)
{
    char *argv[16] = {(char *) "meshd"};
    char *variables[16] = {(char *) "MESHD_CONFIG=none"}; /* whatever is in /etc here */
    int argc = 1;
    for (size_t i = 1; *environment != NULL; i++) {
        variables[i] = *environment++;
    }
    while (args != NULL && *args != NULL) {
        argv[argc++] = *args++;
    }
    why.text[0] = '\0';
    return conf_parse(argc, argv, variables, &conf, &why);
}

#define ARGS(...) ((char *[]){__VA_ARGS__, NULL})
#define NOTHING ((char *[]){NULL})
#define parse(...) parse_with(NOTHING, ARGS(__VA_ARGS__))

static void defaults(void **state)
{
    (void) state;
    assert_int_equal(parse(MESH), 0);
    assert_string_equal(conf.mesh, "homelab");
    assert_true(strlen(conf.name) > 0);
    assert_string_equal(conf.data_dir, "");
    assert_false(conf.has_bind);
    assert_int_equal(conf.log_level, NOTE_INFO);
    assert_int_equal(conf.log_format, LOG_TEXT);
    assert_int_equal(conf.join_count, 0);
}

static void all_flags(void **state)
{
    (void) state;
    assert_int_equal(parse(MESH, "--name=nas1", "--data-dir", "/d", "--key-file=/k", "--token=-",
                           "--join=nas2.lan", "--join=[fd00::2]:9000", "--bind=10.0.0.1:8500",
                           "--role=storage", "--capabilities=gpu,zigbee", "--label=rack=cellar",
                           "--label=a=b=c", "--log-format=json"),
                     0);
    assert_string_equal(conf.name, "nas1");
    assert_string_equal(conf.data_dir, "/d");
    assert_string_equal(conf.key_file, "/k");
    assert_string_equal(conf.token, "-");
    assert_false(conf.token_from_argv);
    assert_int_equal(conf.join_count, 2);
    assert_string_equal(conf.join[1], "[fd00::2]:9000");
    assert_true(conf.has_bind);
    assert_int_equal(conf.bind.port, 8500);
    assert_string_equal(conf.role, "storage");
    assert_string_equal(conf.capabilities, "gpu,zigbee");
    assert_int_equal(conf.label_count, 2);
    assert_string_equal(conf.labels[1].key, "a");
    assert_string_equal(conf.labels[1].value, "b=c");
    assert_int_equal(conf.log_format, LOG_JSON);
    assert_int_equal(parse(MESH, "--socket=/s", "--log-level", "debug", "--token=hm1-x"), 0);
    assert_int_equal(conf.log_level, NOTE_DEBUG);
    assert_true(conf.token_from_argv);
}

static void environment_and_who_wins(void **state)
{
    (void) state;
    char *environment[] = {"MESHD_DISCOVER=homelab", "MESHD_NAME=from-env",  "MESHD_ROLE=",
                           "MESHD_JOIN=a,b:1",       "MESHD_LABEL=x=1,y=2,", "HOME=/root",
                           "MESHD_TOKEN=hm1-x",      "MESHD_LOG_LEVEL=warn", NULL};
    assert_int_equal(parse_with(environment, NULL), 0);
    assert_string_equal(conf.name, "from-env");
    assert_int_equal(conf.join_count, 2);
    assert_string_equal(conf.join[1], "b:1");
    assert_int_equal(conf.label_count, 2);
    assert_string_equal(conf.role, "");
    assert_string_equal(conf.token, "hm1-x");
    assert_false(conf.token_from_argv);
    assert_int_equal(parse_with(environment, ARGS("--name=flag", "--join=c", "--label=z=3")), 0);
    assert_string_equal(conf.name, "flag");
    assert_int_equal(conf.join_count, 1);
    assert_string_equal(conf.join[0], "c");
    assert_int_equal(conf.label_count, 1);
    assert_int_equal(conf.log_level, NOTE_WARN);
}

static void bind_forms(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        int family;
        int port;
    } rows[] = {
        {"--bind=10.0.0.1", 4, 0},    {"--bind=10.0.0.1:9", 4, 9}, {"--bind=:9000", 0, 9000},
        {"--bind=[fd00::1]:9", 6, 9}, {"--bind=fd00::1", 6, 0},    {"--bind=0.0.0.0:7", 0, 7},
        {"--bind=0.0.0.0", 0, 0},     {"--bind=[::]", 6, 0},       {"--bind=[::]:7", 6, 7},
        {"--bind=[fe80::1%lo]:7", 6, 7},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(parse(MESH, (char *) rows[i].text), 0);
        assert_int_equal(conf.bind.family, rows[i].family);
        assert_int_equal(conf.bind.port, rows[i].port);
        assert_true(conf.has_bind);
    }
}

static void networks(void **state)
{
    (void) state;
    assert_int_equal(parse(MESH, "--bind=[fe80::1%lo]:7", "--beacon-port=5671",
                           "--join=dns+srv:_hm._udp.lan", "--join=[fe80::2%eth9]:80"),
                     0);
    assert_int_equal(conf.bind.scope, 1);
    assert_int_equal(conf.beacon_port, 5671);
    assert_int_equal(conf.join_count, 2);
    assert_int_equal(parse(MESH), 0);
    assert_int_equal(conf.beacon_port, 0);
}

static void errors_say_what_would_be_right(void **state)
{
    (void) state;
    static const struct {
        const char *arg;
        const char *said[3];
    } rows[] = {
        {"--dicover=x", {"--dicover", "did you mean --discover"}},
        {"--beacon-port=0", {"--beacon-port=0", "1 to 65535"}},
        {"--bind=fe80::1", {"needs its interface"}},
        {"--bind=fe80::1%nothere0", {"no interface has that name"}},
        {"--join=dns+srv:a:1", {"dns+srv:NAME"}},
        {"--data_dir=x", {"--data_dir=x", "did you mean --data-dir"}},
        {"--qqqqqq", {"--qqqqqq", "--help"}},
        {"homelab", {"homelab", "--discover=homelab"}},
        {"--discover=Home Lab", {"--discover=Home Lab", "--discover=home-lab would do"}},
        {"--discover=", {"--discover=", "a name has"}},
        {"--name=nas_1", {"--name=nas_1", "--name=nas-1"}},
        {"--log-level=wran",
         {"--log-level=wran", "debug, info, warn, error", "did you mean warn?"}},
        {"--log-level=5", {"--log-level=5", "expected one of"}},
        {"--log-format=jsno", {"--log-format=jsno", "json"}},
        {"--bind=eth0", {"--bind=eth0", "192.168.1.10"}},
        {"--bind=10.0.0.1:99999", {"--bind=10.0.0.1:99999", "PORT"}},
        {"--bind=:0", {"--bind=:0", "PORT"}},
        {"--join=a b", {"--join=a b", "HOST:PORT"}},
        {"--join=10.0.0", {"--join=10.0.0", "HOST:PORT"}},
        {"--join=nas:0", {"--join=nas:0", "HOST:PORT"}},
        {"--label=x", {"--label=x", "KEY=VALUE"}},
        {"--label==y", {"--label==y", "KEY=VALUE"}},
        {"--label=-a=y", {"--label=-a=y", "KEY=VALUE"}},
        {"--label=a=\n", {"--label", "control characters"}},
        {"--capabilities=a,,b", {"--capabilities=a,,b", "gpu,zigbee"}},
        {"--role=", {"--role=", "a value is missing"}},
        {"--data-dir", {"--data-dir", "the value is missing"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int rc = parse(MESH, (char *) rows[i].arg);
        for (size_t k = 0; k < 3 && rows[i].said[k] != NULL; k++) {
            if (rc != HM_EINVAL || strstr(why.text, rows[i].said[k]) == NULL) {
                print_error("%s: %d %s\n", rows[i].arg, rc, why.text);
            }
            assert_non_null(strstr(why.text, rows[i].said[k]));
        }
        assert_int_equal(rc, HM_EINVAL);
        assert_null(strchr(why.text, '\n'));
    }
    assert_int_equal(parse("--name=x"), HM_EINVAL);
    assert_non_null(strstr(why.text, "--discover"));
    assert_int_equal(parse(MESH, "--data-dir", "--name=x"), HM_EINVAL);
}

static void variables_are_checked_too(void **state)
{
    (void) state;
    char *typo[] = {"MESHD_DISCOVR=x", NULL};
    char *foreign[] = {"MESHD_SERVICE_HOST=10.0.0.1", NULL};
    char *bad[] = {"MESHD_BIND=eth0", NULL};
    assert_int_equal(parse_with(typo, ARGS(MESH)), HM_EINVAL);
    assert_non_null(strstr(why.text, "MESHD_DISCOVR"));
    assert_non_null(strstr(why.text, "did you mean MESHD_DISCOVER?"));
    assert_int_equal(parse_with(foreign, ARGS(MESH)), 0);
    assert_non_null(strstr(conf.warning, "MESHD_SERVICE_HOST"));
    assert_int_equal(parse_with(bad, ARGS(MESH)), HM_EINVAL);
    assert_non_null(strstr(why.text, "MESHD_BIND=eth0"));
    assert_int_equal(parse_with(bad, ARGS("--help")), 0);
    assert_true(conf.want_help);
    assert_int_equal(parse("--version"), 0);
    assert_true(conf.want_version);
}

static void tokens_are_in_no_message(void **state)
{
    (void) state;
    char token[3000] = "--token=hm1-";
    memset(token + 12, 's', sizeof token - 13);
    token[sizeof token - 1] = '\0';
    assert_int_equal(parse(MESH, token), HM_EINVAL);
    assert_null(strstr(why.text, "sss"));
}

/* A token was wiped where it was given; what is left of it there is no mistake. */
static void tokens_are_passed_over_when_read_again(void **state)
{
    (void) state;
    char *variables[] = {"MESHD_CONFIG=none", NULL};
    char *argv[] = {"meshd", MESH, "--token", "", "--token=", "--name=x", NULL};
    assert_int_equal(conf_parse(6, argv, variables, &conf, &why), HM_EINVAL);
    assert_int_equal(conf_parse_again(6, argv, variables, &conf, &why), 0);
    assert_string_equal(conf.name, "x");
    assert_string_equal(conf.token, "");
}

static void bounded_lists(void **state)
{
    (void) state;
    char many[8192] = "MESHD_LABEL=";
    for (int i = 0; i < HM_LABELS_MAX + 1; i++) {
        size_t len = strlen(many);
        snprintf(many + len, sizeof many - len, "k%d=v,", i);
    }
    char *environment[] = {many, NULL};
    assert_int_equal(parse_with(environment, ARGS(MESH)), HM_EINVAL);
    assert_non_null(strstr(why.text, "at most 64 labels"));
    assert_int_equal(parse(MESH, "--label=a=1", "--label=a=2"), 0);
    assert_int_equal(conf.label_count, 1);
    assert_string_equal(conf.labels[0].value, "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(all_flags),
        cmocka_unit_test(environment_and_who_wins),
        cmocka_unit_test(bind_forms),
        cmocka_unit_test(errors_say_what_would_be_right),
        cmocka_unit_test(variables_are_checked_too),
        cmocka_unit_test(tokens_are_in_no_message),
        cmocka_unit_test(tokens_are_passed_over_when_read_again),
        cmocka_unit_test(bounded_lists),
        cmocka_unit_test(networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
