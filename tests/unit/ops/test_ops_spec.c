/* SPDX-License-Identifier: MPL-2.0 */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "ops/ops_args.h"
#include "ops/ops_help.h"
#include "wire/api_msg.h"

#include <stdio.h>

static bool is_word(const char *text)
{
    return text[0] >= 'a' && text[0] <= 'z' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);
}

static void test_names(void **state)
{
    (void) state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        assert_true(strlen(spec->name) <= API_OP_BYTES_MAX);
        assert_ptr_equal(ops_spec_find(spec->name), spec);
        assert_true(strspn(spec->name, "abcdefghijklmnopqrstuvwxyz.") == strlen(spec->name));
        for (size_t k = 0; k < i; k++) {
            /* No command is the beginning of another: the longest match would depend on order. */
            const char *other = ops_spec((enum op) k)->name;
            assert_string_not_equal(spec->name, other);
            assert_false(strncmp(spec->name, other, strlen(other)) == 0 &&
                         spec->name[strlen(other)] == '.');
        }
    }
    assert_null(ops_spec_find("nodes"));
    assert_string_equal(ops_spec_nearest("node.list"), "nodes.list");
    assert_null(ops_spec_nearest("zzzzzz"));
}

static void test_arguments(void **state)
{
    (void) state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        unsigned position = 0;
        assert_true(spec->arg_count <= OPS_ARGS_MAX);
        for (size_t k = 0; k < spec->arg_count; k++) {
            const struct op_arg *arg = &spec->args[k];
            bool is_text = arg->type == ARG_NODE || arg->type == ARG_TEXT;
            assert_true(is_word(arg->name));
            assert_true(ops_args_index(spec, arg->name) == k);
            assert_true(arg->position == 0 || arg->position == ++position);
            /* What is required is a word; registering was promised otherwise. */
            assert_true(!arg->is_required || arg->position > 0 || spec->op == OP_SERVICES_REGISTER);
            assert_true(!is_text || (arg->min <= arg->max && arg->max <= OPS_TEXT_BYTES_MAX));
            assert_non_null(arg->value);
            assert_non_null(arg->help);
        }
        if (spec->kind == OP_STREAM) {
            assert_true(ops_args_index(spec, "since") < spec->arg_count);
            assert_true(ops_args_index(spec, "wait") < spec->arg_count);
            assert_non_null(spec->items);
        }
    }
}

/* A cursor is "name id". */
static void test_cursor_fits(void **state)
{
    (void) state;
    assert_true(HM_NAME_BYTES_MAX + 1 + 2 * NODE_ID_BYTES <= OPS_TEXT_BYTES_MAX);
}

static void test_texts(void **state)
{
    (void) state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        size_t end = strlen(spec->help);
        assert_non_null(spec->errors);
        assert_true(strlen(spec->summary) <= 46);
        assert_true(end > 0 && spec->help[end - 1] == '.');
        assert_non_null(strstr(spec->example, "meshctl "));
        for (size_t k = 0; k < spec->field_count; k++) {
            assert_non_null(spec->fields[k].help);
            assert_string_not_equal(field_type_name(spec->fields[k].type), "?");
        }
    }
}

static void test_help_fits_a_terminal(void **state)
{
    (void) state;
    for (size_t i = 0; i < OP_COUNT; i++) {
        struct buf b;
        buf_init(&b, 65536);
        ops_help_command(ops_spec((enum op) i), &b);
        buf_append(&b, "", 1);
        assert_false(buf_failed(&b));
        for (const char *line = (const char *) b.data; *line != '\0';) {
            size_t size = strcspn(line, "\n");
            if (size > 79 || (size > 0 && line[size - 1] == ' ')) {
                print_error("%.*s\n", (int) size, line);
                fail();
            }
            line += size + (line[size] == '\n' ? 1 : 0);
        }
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_cursor_fits),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_help_fits_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
