/* SPDX-License-Identifier: MPL-2.0 */
/* meshd.yaml: every key, who wins, and that whatever is wrong is said in one line with the file, the
 * line, the column and what would be right. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/conf.h"
#include "io/conf_yaml.h"
#include "scratch.h"

static struct conf conf;
static struct why why;

static int read_text(const char *text)
{
    memset(&conf, 0, sizeof conf);
    why.text[0] = '\0';
    return conf_yaml_read("/m.yaml", text, strlen(text), false, &conf, &why);
}

static void all_keys(void **state)
{
    (void) state;
    int rc = read_text("# a comment\n"
                       "discover: homelab\n"
                       "name: nas1\n"
                       "data-dir: /d d\n"
                       "key-file: \"/k\"\n"
                       "token: hm1-x\n"
                       "token-file: '/t'\n"
                       "join:\n"
                       "  - nas2.lan\n"
                       "  - \"[fd00::2]:9000\"\n"
                       "bind: 10.0.0.1:8500\n"
                       "interface: [eth0, wlan0]\n"
                       "socket: /s\n"
                       "group: adm\n"
                       "role: storage\n"
                       "auto-role: yes\n"
                       "capabilities: [gpu, zigbee]\n"
                       "label:\n"
                       "  rack: cellar\n"
                       "  a: b=c\n"
                       "  empty:\n"
                       "log-format: json\n"
                       "log-level: warn   # quiet\n");
    assert_string_equal(why.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(conf.mesh, "homelab");
    assert_string_equal(conf.name, "nas1");
    assert_string_equal(conf.data_dir, "/d d");
    assert_string_equal(conf.key_file, "/k");
    assert_string_equal(conf.token, "hm1-x");
    assert_false(conf.token_from_argv);
    assert_string_equal(conf.token_file, "/t");
    assert_int_equal(conf.join_count, 2);
    assert_string_equal(conf.join[1], "[fd00::2]:9000");
    assert_int_equal(conf.bind.port, 8500);
    assert_int_equal(conf.interface_count, 2);
    assert_string_equal(conf.interfaces[1], "wlan0");
    assert_string_equal(conf.socket, "/s");
    assert_string_equal(conf.group, "adm");
    assert_string_equal(conf.role, "storage");
    assert_true(conf.auto_role);
    assert_string_equal(conf.capabilities, "gpu,zigbee");
    assert_int_equal(conf.label_count, 3);
    assert_string_equal(conf.labels[1].value, "b=c");
    assert_string_equal(conf.labels[2].value, "");
    assert_int_equal(conf.log_format, LOG_JSON);
    assert_int_equal(conf.log_level, NOTE_WARN);
}

static void other_forms(void **state)
{
    (void) state;
    static const char *const nothing[] = {
        "", "\n", "# only this\n", "---\n", "--- # x\n...\n", "\xef\xbb\xbf", "{}", "---\n~\n"};
    for (size_t i = 0; i < ARRAY_COUNT(nothing); i++) {
        assert_int_equal(read_text(nothing[i]), 0);
        assert_string_equal(conf.mesh, "");
    }
    /* JSON is YAML; lines may end as on Windows; lists may be said as in the environment. */
    assert_int_equal(read_text("{\"discover\": \"lab\", \"join\": [\"a\", \"b\"]}"), 0);
    assert_int_equal(conf.join_count, 2);
    assert_int_equal(read_text("discover: lab\r\nname: x\r\n"), 0);
    assert_string_equal(conf.name, "x");
    assert_int_equal(read_text("\xef\xbb\xbf"
                               "discover: lab"),
                     0);
    assert_string_equal(conf.mesh, "lab");
    assert_int_equal(read_text("join: a, b:1\n"), HM_EINVAL);
    assert_int_equal(read_text("join: a,b:1\nlabel: [rack=cellar, x=1]\n"), 0);
    assert_int_equal(conf.join_count, 2);
    assert_int_equal(conf.label_count, 2);
    assert_int_equal(read_text("auto-role: True\n"), 0);
    assert_true(conf.auto_role);
    assert_int_equal(read_text("auto-role: off\nname: 42\n"), 0);
    assert_false(conf.auto_role);
    assert_string_equal(conf.name, "42");
}

static void errors_say_where_and_what_would_be_right(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *said[3];
    } rows[] = {
        {"discover: a\nnmae: b\n", {"/m.yaml:2:1: ", "nmae: no such key", "did you mean name?"}},
        {"data_dir: /x\n", {"/m.yaml:1:1: ", "data_dir", "data-dir?"}},
        {"config: /x\n", {"/m.yaml:1:1: ", "config: no such key"}},
        {"help: yes\n", {"/m.yaml:1:1: ", "no such key"}},
        {"qqqqqqqq: 1\n", {"/m.yaml:1:1: ", "meshd.yaml(5)"}},
        {"log-level: wran\n",
         {"/m.yaml:1:12: log-level: wran: ", "debug, info, warn, error", "did you mean warn?"}},
        {"discover: Home Lab\n", {"/m.yaml:1:11: ", "discover: home-lab would do"}},
        {"join:\n  - nas2\n  - a b\n", {"/m.yaml:3:5: join: a b: ", "HOST:PORT"}},
        {"name: a\nrole: x\nname: b\n", {"/m.yaml:3:1: ", "name is there twice", "line 1"}},
        {"label: {a: 1, b: 2, a: 3}\n", {"/m.yaml:1:21: ", "a is there twice"}},
        {"name: [a]\n", {"/m.yaml:1:7: ", "one value is expected, not a list", "name: N"}},
        {"name: {a: b}\n", {"/m.yaml:1:7: ", "one value is expected, not a map"}},
        {"join: {a: b}\n", {"/m.yaml:1:7: ", "a list is expected, not a map"}},
        {"join: [[a]]\n", {"/m.yaml:1:8: ", "each item of the list is to be one value"}},
        {"label:\n  - a: b\n", {"/m.yaml:2:5: ", "leave the dashes out"}},
        {"join: [a, ]\nname:\n", {"/m.yaml:2:", "name: a value is missing"}},
        {"join: [a, ~]\n", {"/m.yaml:1:11: ", "an item of the list is empty"}},
        {"label: {a: [b]}\n", {"/m.yaml:1:12: ", "a: one value is expected"}},
        {"label: {[a]: b}\n", {"/m.yaml:1:9: ", "a word"}},
        {"label: {a=b: c}\n", {"/m.yaml:1:9: ", "a=b"}},
        {"label:\n  -x: y\n", {"/m.yaml:2:7: label: -x=y: ", "KEY=VALUE"}},
        {"auto-role: perhaps\n", {"/m.yaml:1:12: auto-role: perhaps: ", "true, false"}},
        {"discover:\tx\n\tname: x\n", {"/m.yaml:2:1: ", "a tab", "spaces"}},
        {"label:\n  \ta: b\n", {"/m.yaml:2:3: ", "a tab"}},
        {"name: a\nrole: \xff\n", {"/m.yaml:2:7: ", "0xff", "UTF-8"}},
        {"name: a\x01\n", {"/m.yaml:1:8: ", "0x01", "UTF-8"}},
        {"role: \"a\\nb\"\n", {"/m.yaml:1:8: role", "control characters"}},
        {"role: \"a\\0b\"\n", {"/m.yaml:1:8: ", "control characters"}},
        {"a: &x 1\n", {"/m.yaml:1:", "no such key"}},
        {"role: &x storage\n", {"/m.yaml:1:", "anchors (&name) are not used"}},
        {"role: &x storage\nname: *x\n", {"/m.yaml:1:", "anchors"}},
        {"label: &x {a: b}\n", {"/m.yaml:1:", "anchors"}},
        {"join: !!set {a}\n", {"/m.yaml:1:", "tags (!name) are not used"}},
        {"name: a\n---\nname: b\n", {"/m.yaml:2:", "a second document"}},
        {"discover=homelab\n", {"/m.yaml:1:1: ", "keys with values", "`discover: homelab`"}},
        {"discover:homelab\n", {"/m.yaml:1:1: ", "a space after the colon"}},
        {"- a\n- b\n", {"/m.yaml:1:1: ", "keys with values"}},
        {"[a]: b\n", {"/m.yaml:1:1: ", "a key is to be a word"}},
        {"name: \"a\n", {"/m.yaml:", "this is not YAML"}},
        {"name: a\n  role: b\n", {"/m.yaml:1:7: ", "this is not YAML"}},
        {"join: [a, b\n", {"/m.yaml:", "this is not YAML"}},
        {"name: @x\n", {"/m.yaml:1:", "this is not YAML"}},
        {"token: {a: b}\n", {"/m.yaml:1:8: ", "token: one value is expected"}},
        {"%YAML 9.9\n---\nname: a\n", {"/m.yaml:1:", "directives"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int rc = read_text(rows[i].text);
        for (size_t k = 0; k < 3 && rows[i].said[k] != NULL; k++) {
            if (rc != HM_EINVAL || strstr(why.text, rows[i].said[k]) == NULL) {
                print_error("%s: %d %s\n", rows[i].text, rc, why.text);
            }
            assert_non_null(strstr(why.text, rows[i].said[k]));
        }
        assert_int_equal(rc, HM_EINVAL);
        assert_null(strchr(why.text, '\n'));
    }
}

/* What nests or repeats without end is refused at once, whatever its size. */
static void bombs(void **state)
{
    (void) state;
    static char text[CONF_FILE_BYTES_MAX];
    memset(text, '[', sizeof text - 1);
    assert_int_equal(read_text(text), HM_EINVAL);
    memcpy(text, "join: ", 6);
    assert_int_equal(read_text(text), HM_EINVAL);
    memset(text, '{', sizeof text - 1);
    assert_int_equal(read_text(text), HM_EINVAL);
    memcpy(text, "label: ", 7);
    assert_int_equal(read_text(text), HM_EINVAL);
    assert_int_equal(read_text("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"), HM_EINVAL);
    snprintf(text, sizeof text, "join: [");
    for (int i = 0; i < CONF_JOIN_MAX + 1; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "h%d,", i);
    }
    snprintf(text + strlen(text), 2, "]");
    assert_int_equal(read_text(text), HM_EINVAL);
    assert_non_null(strstr(why.text, "at most 64 addresses"));
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "role: ", 6);
    assert_int_equal(read_text(text), HM_EINVAL);
    assert_non_null(strstr(why.text, "/m.yaml:1:7: "));
    assert_null(strstr(why.text, "xxxxxx"));
}

/* Each value's line is kept. */
static void lines_are_remembered(void **state)
{
    (void) state;
    unsigned found = 0;
    assert_int_equal(read_text("\n\nname: a\n\njoin:\n - b\n"), 0);
    for (size_t i = 0; i < CONF_OPTIONS_MAX; i++) {
        assert_true(conf.origins[i].source == CONF_FROM_DEFAULT ||
                    conf.origins[i].source == CONF_FROM_FILE);
        found += conf.origins[i].line;
    }
    assert_int_equal(found, 3 + 5);
}

/* ---- where the file is, and who wins ---- */

static char dir[SCRATCH_BYTES];
static char path[SCRATCH_BYTES];

static int make_dir(void **state)
{
    (void) state;
    scratch_make(dir);
    scratch_path(dir, "my.yaml", path);
    return 0;
}

static int remove_dir(void **state)
{
    (void) state;
    scratch_remove(dir);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

static int parse_with(const char *flag, const char *variable, const char *more)
{
    char *argv[] = {(char *) "meshd", (char *) flag, (char *) more, NULL};
    char *variables[] = {(char *) variable, NULL};
    why.text[0] = '\0';
    return conf_parse(more != NULL ? 3 : 2, argv, variables, &conf, &why);
}

static void file_then_variable_then_flag(void **state)
{
    (void) state;
    char config[600];
    snprintf(config, sizeof config, "--config=%s", path);
    write_file(path, "discover: lab\nname: of-file\njoin: [a, b]\nlabel: {x: 1, y: 2}\n");
    assert_int_equal(parse_with(config, "X=1", NULL), 0);
    assert_string_equal(conf.file, path);
    assert_string_equal(conf.mesh, "lab");
    assert_string_equal(conf.name, "of-file");
    assert_int_equal(conf.join_count, 2);
    assert_int_equal(conf.label_count, 2);
    assert_int_equal(parse_with(config, "MESHD_NAME=of-env", NULL), 0);
    assert_string_equal(conf.name, "of-env");
    assert_int_equal(parse_with(config, "MESHD_NAME=of-env", "--name=of-flag"), 0);
    assert_string_equal(conf.name, "of-flag");
    /* A list is replaced, not mixed. */
    assert_int_equal(parse_with(config, "MESHD_JOIN=c", "--label=z=3"), 0);
    assert_int_equal(conf.join_count, 1);
    assert_string_equal(conf.join[0], "c");
    assert_int_equal(conf.label_count, 1);
    assert_string_equal(conf.labels[0].key, "z");
    /* A mistake in the file is told even where a flag overrules it. */
    write_file(path, "discover: lab\nlog-level: loud\n");
    assert_int_equal(parse_with(config, "X=1", "--log-level=warn"), HM_EINVAL);
    assert_non_null(strstr(why.text, "my.yaml:2:12: log-level: loud"));
}

static void places(void **state)
{
    (void) state;
    char variable[600];
    char name[600];
    snprintf(variable, sizeof variable, "MESHD_CONFIG=%s", path);
    write_file(path, "discover: named\n");
    assert_int_equal(parse_with("--name=x", variable, NULL), 0);
    assert_string_equal(conf.mesh, "named");
    assert_int_equal(parse_with("--config=none", variable, "--discover=other"), 0);
    assert_string_equal(conf.file, "");
    assert_string_equal(conf.mesh, "other");
    assert_int_equal(parse_with("--config", variable, path), 0);
    assert_string_equal(conf.mesh, "named");
    /* What was named must be there; what was not, need not. */
    assert_int_equal(parse_with("--config=/nowhere/m.yaml", variable, NULL), HM_EINVAL);
    assert_non_null(strstr(why.text, "/nowhere/m.yaml"));
    assert_int_equal(parse_with("--discover=x", "HOME=/nowhere", NULL), 0);
    assert_int_equal(parse_with("--discover=x", "HOME=/dev/null", NULL), 0);
    assert_int_equal(parse_with("--config=/", variable, NULL), HM_EINVAL);
    assert_int_equal(parse_with("--config=/dev/zero", variable, NULL), HM_EINVAL);
    assert_non_null(strstr(why.text, "regular file"));
    if (access("/etc/meshd/meshd.yaml", F_OK) == 0) {
        return; /* it comes before the user's own, for root */
    }
    snprintf(name, sizeof name, "%s/meshd", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    snprintf(name, sizeof name, "%s/meshd/meshd.yaml", dir);
    write_file(name, "discover: own\n");
    snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", dir);
    assert_int_equal(parse_with("--name=x", variable, NULL), 0);
    assert_string_equal(conf.mesh, "own");
    assert_string_equal(conf.file, name);
}

static void large_files_are_refused(void **state)
{
    (void) state;
    char config[600];
    static char text[CONF_FILE_BYTES_MAX + 2];
    memset(text, '#', sizeof text - 1);
    snprintf(config, sizeof config, "--config=%s", path);
    write_file(path, text);
    assert_int_equal(parse_with(config, "X=1", "--discover=x"), HM_EINVAL);
    assert_non_null(strstr(why.text, "too long"));
    text[CONF_FILE_BYTES_MAX] = '\0';
    write_file(path, text);
    assert_int_equal(parse_with(config, "X=1", "--discover=x"), 0);
}

static void labels_must_fit_their_record(void **state)
{
    (void) state;
    static char text[CONF_FILE_BYTES_MAX];
    char config[600];
    snprintf(config, sizeof config, "--config=%s", path);
    snprintf(text, sizeof text, "discover: x\nlabel:\n");
    for (int i = 0; i < 20; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "  k%d: %0200d\n", i, i);
    }
    write_file(path, text);
    assert_int_equal(parse_with(config, "X=1", NULL), HM_EINVAL);
    assert_non_null(strstr(why.text, "bytes together; at most"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(errors_say_where_and_what_would_be_right),
        cmocka_unit_test(bombs),
        cmocka_unit_test(lines_are_remembered),
        cmocka_unit_test_setup_teardown(file_then_variable_then_flag, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(places, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(large_files_are_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(labels_must_fit_their_record, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
