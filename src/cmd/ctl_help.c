/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl's help: all commands, some, or one. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "ops/ops_help.h"

#include <string.h>

#define LIST_COLUMNS 78 /* a longer usage is cut down in a list */

static void print_buf(struct buf *b, FILE *to)
{
    fwrite(b->data, 1, b->size, to);
    buf_fini(b);
}

static void list_commands(const char *group, FILE *to)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        size_t size = group != NULL ? strlen(group) : 0;
        if (group != NULL && (strncmp(spec->name, group, size) != 0 || spec->name[size] != '.')) {
            continue;
        }
        struct buf usage_text;
        buf_init(&usage_text, 512);
        ops_help_usage(spec, &usage_text);
        buf_append(&usage_text, "", 1);
        if (usage_text.size > LIST_COLUMNS) {
            buf_clear(&usage_text);
            ops_help_usage_short(spec, &usage_text);
            buf_append(&usage_text, "", 1);
        }
        const char *text = buf_failed(&usage_text) ? "?" : (const char *) usage_text.data;
        if (strlen(text) <= 30) {
            fprintf(to, "  %-30s  %s\n", text, spec->summary);
        } else {
            fprintf(to, "  %s\n  %-30s  %s\n", text, "", spec->summary);
        }
        buf_fini(&usage_text);
    }
}

static void list_options(FILE *to)
{
    const struct ctl_option *option;
    for (size_t i = 0; (option = ctl_option_at(i)) != NULL; i++) {
        char name[64];
        if (option->help == NULL) {
            continue;
        }
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->value != NULL ? "=" : "",
                 option->value != NULL ? option->value : "");
        fprintf(to, "  %-30s  %s\n", name, option->help);
    }
}

static void help_completion(FILE *to)
{
    fputs("meshctl completion bash|zsh\n\n"
          "Prints the shell's completion of meshctl: commands, options and names of nodes. Where\n"
          "homemesh was installed with its packages the shell has it already.\n\n"
          "Example:\n"
          "  meshctl completion bash > ~/.local/share/bash-completion/completions/meshctl\n",
          to);
}

void ctl_help(const struct ctl_opts *opts, FILE *to)
{
    if (opts->spec != NULL) {
        struct buf b;
        buf_init(&b, 65536);
        ops_help_command(opts->spec, &b);
        print_buf(&b, to);
        return;
    }
    if (opts->want_completion_help) {
        help_completion(to);
        return;
    }
    if (opts->group == NULL) {
        fputs("meshctl [OPTION]... COMMAND [ARGUMENT]...\n\n"
              "Asks the meshd on this machine about its mesh.\n\n",
              to);
    }
    fputs("Commands:\n", to);
    list_commands(opts->group, to);
    if (opts->group == NULL) {
        fprintf(to, "  %-30s  %s\n", "completion bash|zsh", "completion for the shell");
        fprintf(to, "  %-30s  %s\n", "help [COMMAND]",
                "this text, or a command's own with an example");
        fputs("\nOptions, before or after the command:\n", to);
        list_options(to);
        fputs("\nWithout --data-dir and --socket it asks the only running node of this user.\n"
              "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon reachable,\n"
              "4 timed out or not all answered, 5 no such thing.\n",
              to);
    }
}
