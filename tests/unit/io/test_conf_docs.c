/* SPDX-License-Identifier: MPL-2.0 */
/* Every option is in the manuals and in the example file, and the example is right when its comment
 * signs are taken away. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/conf_priv.h"
#include "io/conf_yaml.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>

static char text[CONF_FILE_BYTES_MAX];

static void load(const char *name)
{
    char path[4096];
    size_t size = 0;
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/%s", srcdir != NULL ? srcdir : ".", name);
    if (file_read(path, text, sizeof text, &size, NULL) != HM_OK) {
        print_message("%s is not there: not checked\n", path);
        skip();
    }
}

static void expect(const char *file, const char *format, const struct option *option)
{
    char wanted[128];
    snprintf(wanted, sizeof wanted, format, option->name);
    if (strstr(text, wanted) == NULL) {
        fail_msg("%s does not have \"%s\"", file, wanted);
    }
}

static bool is_key(const struct option *option)
{
    return (option->traits & (OPTION_FLAG_ONLY | OPTION_NO_KEY)) == 0;
}

static void manual_of_meshd(void **state)
{
    (void) state;
    load("docs/man/meshd.8");
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        if (strcmp(option->name, "format") != 0) { /* with --print-config */
            expect("meshd.8", ".It Fl -%s", option);
        }
    }
}

static void manual_of_the_file(void **state)
{
    (void) state;
    load("docs/man/meshd.yaml.5");
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        if (is_key(option)) {
            expect("meshd.yaml.5", ".It Cm %s :", option);
            char wanted[64];
            snprintf(wanted, sizeof wanted, ".It Cm %s :", option->name);
            const char *line = strstr(text, wanted);
            bool is_marked = memmem(line, strcspn(line, "\n"), " No *", 5) != NULL;
            if (is_marked != ((option->traits & OPTION_RELOADS) != 0)) {
                fail_msg("meshd.yaml.5: %s is marked wrongly", option->name);
            }
        }
    }
}

/* Prose is "# " and a word; what may be used is "#key:" or "#  - item". */
static void example(void **state)
{
    (void) state;
    static struct conf conf;
    struct why why = {""};
    load("contrib/meshd.yaml");
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        if (is_key(option) && (option->traits & OPTION_SECRET) == 0) {
            expect("contrib/meshd.yaml", "\n#%s:", option);
        }
    }
    conf.log_level = NOTE_INFO;
    if (conf_yaml_read("example", text, strlen(text), false, &conf, &why) != HM_OK) {
        fail_msg("%s", why.text);
    }
    assert_string_equal(conf.mesh, ""); /* a package must not choose a mesh */
    for (char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n' ? 1 : 0;
        bool is_prose =
            at[0] == '#' && (at[1] == '\n' || at[1] == '#' || (at[1] == ' ' && at[2] != ' '));
        bool is_command = strncmp(at, "#   ", 4) == 0;
        if (at[0] == '#' && !is_prose && !is_command) {
            memmove(at, at + 1, strlen(at));
        }
    }
    if (conf_yaml_read("example", text, strlen(text), false, &conf, &why) != HM_OK) {
        fail_msg("%s\n%s", why.text, text);
    }
    assert_string_equal(conf.mesh, "homelab");
    assert_int_equal(conf.label_count, 2);
    assert_int_equal(conf.join_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_of_meshd),
        cmocka_unit_test(manual_of_the_file),
        cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
