/* SPDX-License-Identifier: MPL-2.0 */
/* Completion of meshctl for shells, made from the operation table.
 *
 * Both shells get the same three functions: the values of an option, the options of a command, and
 * the next word of a command. What differs is how a shell hands over the line and takes the words.
 * Names of nodes come from "meshctl nodes list", asked with the line's own --data-dir or --socket. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "ops/ops_help.h"

#include <string.h>

/* Every line of the table's commands once: the words, and how many nodes may follow them. */
static unsigned node_words(const struct op_spec *spec)
{
    unsigned count = 0;
    for (size_t i = 0; i < spec->arg_count; i++) {
        bool is_node = spec->args[i].type == ARG_NODE && spec->args[i].position > 0;
        count += is_node && !spec->args[i].is_hidden ? 1 : 0;
    }
    return count;
}

/* First words of commands, or second ones behind `after`, each once, blank between. */
static void put_words(const char *after)
{
    char last[64] = "";
    for (size_t i = 0; i < OP_COUNT; i++) {
        char words[64];
        const char *word = ops_help_words(ops_spec((enum op) i), words);
        char *blank = strchr(words, ' ');
        if (after != NULL) {
            size_t size = strlen(after);
            if (blank == NULL || (size_t) (blank - words) != size ||
                strncmp(words, after, size) != 0) {
                continue;
            }
            word = blank + 1;
        } else if (blank != NULL) {
            *blank = '\0';
        }
        if (strcmp(last, word) != 0) {
            printf("%s%s", last[0] != '\0' ? " " : "", word);
            snprintf(last, sizeof last, "%s", word);
        }
    }
}

static void put_option_values(void)
{
    fputs("_meshctl_values()\n{\n"
          "    case $1 in\n"
          "    --format) _meshctl_add \"text json prometheus\" ;;\n"
          "    --color) _meshctl_add \"auto always never\" ;;\n"
          "    --timeout) _meshctl_add \"1s 5s 30s 2m\" ;;\n"
          "    --node) _meshctl_nodes ;;\n"
          "    --data-dir) _meshctl_files -d ;;\n"
          "    --socket) _meshctl_files -f ;;\n"
          "    esac\n}\n\n",
          stdout);
}

static void put_own_options(bool with_all)
{
    const struct ctl_option *option;
    for (size_t i = 0; (option = ctl_option_at(i)) != NULL; i++) {
        bool is_all = strcmp(option->name, "all") == 0;
        if (option->help != NULL && (!is_all || with_all)) {
            printf(" --%s%s", option->name, option->value != NULL ? "=" : "");
        }
    }
}

static void put_options(void)
{
    fputs("_meshctl_options()\n{\n    case $1 in\n", stdout);
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        char words[64];
        ops_help_words(spec, words);
        printf("    \"%s\" | \"%s \"*) _meshctl_add \"", words, words);
        for (size_t k = 0; k < spec->arg_count; k++) {
            if (spec->args[k].position == 0 && !spec->args[k].is_hidden) {
                char option[64];
                ops_help_option(&spec->args[k], option);
                printf("--%s%s ", option, spec->args[k].type == ARG_BOOL ? "" : "=");
            }
        }
        fputs(spec->kind == OP_STREAM && !spec->never_ends ? "--follow" : "", stdout);
        put_own_options(spec->scope == SCOPE_ALL);
        fputs("\" ;;\n", stdout);
    }
    fputs("    *) _meshctl_add \"", stdout);
    put_own_options(true);
    fputs("\" ;;\n    esac\n}\n\n", stdout);
}

/* The patterns of one command, the longest first: behind its last node there is nothing to say. */
static void put_nodes_of(const struct op_spec *spec)
{
    char words[64];
    ops_help_words(spec, words);
    unsigned count = node_words(spec);
    for (unsigned left = count + 1; left-- > 0 && count > 0;) {
        printf("    \"%s\"", words);
        for (unsigned i = 0; i < left; i++) {
            fputs("\" \"*", stdout);
        }
        fputs(left == count ? ") ;;\n" : ") _meshctl_nodes ;;\n", stdout);
    }
}

static void put_next_word(void)
{
    char last[64] = "";
    fputs("_meshctl_word()\n{\n    case $1 in\n    \"\") _meshctl_add \"", stdout);
    put_words(NULL);
    fputs(" completion help\" ;;\n    help) _meshctl_add \"", stdout);
    put_words(NULL);
    fputs(" completion\" ;;\n    completion) _meshctl_add \"bash zsh\" ;;\n", stdout);
    for (size_t i = 0; i < OP_COUNT; i++) {
        char words[64];
        ops_help_words(ops_spec((enum op) i), words);
        char *blank = strchr(words, ' ');
        if (blank == NULL) {
            continue;
        }
        *blank = '\0';
        if (strcmp(last, words) != 0) {
            printf("    \"%s\" | \"help %s\") _meshctl_add \"", words, words);
            put_words(words);
            fputs("\" ;;\n", stdout);
            snprintf(last, sizeof last, "%s", words);
        }
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        put_nodes_of(ops_spec((enum op) i));
    }
    fputs("    esac\n}\n\n", stdout);
}

/* clang-format off */
/* Of the words before the cursor, those that are no options and no values of options; and the
 * options that say which node to ask. bash cuts --opt=value into three words, zsh does not. */
static const char bash_head[] =
    "# bash completion of meshctl, made by \"meshctl completion bash\".\n\n"
    "_meshctl_add()\n{\n"
    "    mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n}\n\n"
    "_meshctl_files()\n{\n"
    "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n}\n\n"
    "_meshctl_nodes()\n{\n"
    "    _meshctl_add \"$(\"${COMP_WORDS[0]}\" \"${where[@]}\" --timeout=1s nodes list "
    "2>/dev/null </dev/null |\n        while read -r name _; do "
    "[ \"$name\" = NAME ] || printf '%s ' \"$name\"; done)\"\n}\n\n";

static const char bash_tail[] =
    "_meshctl()\n{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i option\n"
    "    local before=() where=()\n"
    "    COMPREPLY=()\n"
    "    if [ \"$cur\" = \"=\" ]; then\n"
    "        cur=\n"
    "    elif [ \"$prev\" = \"=\" ]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        @VALUED@)\n"
    "            option=${COMP_WORDS[i]}\n"
    "            [ \"${COMP_WORDS[i + 1]}\" != \"=\" ] || ((i++))\n"
    "            ((++i < COMP_CWORD)) || break\n"
    "            case $option in\n"
    "            --data-dir | --socket) where+=(\"$option=${COMP_WORDS[i]}\") ;;\n"
    "            esac\n"
    "            ;;\n"
    "        -*) ;;\n"
    "        *) before+=(\"${COMP_WORDS[i]}\") ;;\n"
    "        esac\n"
    "    done\n"
    "    case $prev in\n"
    "    @VALUED@)\n"
    "        _meshctl_values \"$prev\"\n"
    "        return\n"
    "        ;;\n"
    "    esac\n"
    "    case $cur in\n"
    "    -*)\n"
    "        _meshctl_options \"${before[*]}\"\n"
    "        case ${COMPREPLY[0]} in\n"
    "        *=) compopt -o nospace 2>/dev/null ;;\n"
    "        esac\n"
    "        ;;\n"
    "    *) _meshctl_word \"${before[*]}\" ;;\n"
    "    esac\n}\n\n"
    "complete -F _meshctl meshctl\n";

static const char zsh_head[] =
    "#compdef meshctl\n"
    "# zsh completion of meshctl, made by \"meshctl completion zsh\".\n\n"
    "_meshctl_add()\n{\n    local word\n    for word in ${=1}; do\n"
    "        case $word in\n"
    "        *=) compadd -S '' -- $word ;;\n"
    "        *) compadd -- $word ;;\n"
    "        esac\n    done\n}\n\n"
    "_meshctl_files()\n{\n    if [[ $1 = -d ]]; then _files -/; else _files; fi\n}\n\n"
    "_meshctl_nodes()\n{\n"
    "    _meshctl_add \"$($words[1] $where --timeout=1s nodes list 2>/dev/null </dev/null |\n"
    "        while read -r name rest; do [[ $name = NAME ]] || print -r -- $name; done)\"\n}\n\n";

static const char zsh_tail[] =
    "_meshctl()\n{\n"
    "    local -a before where\n"
    "    local i option cur=$words[CURRENT] prev=$words[CURRENT-1]\n"
    "    for ((i = 2; i < CURRENT; i++)); do\n"
    "        case $words[i] in\n"
    "        --data-dir=* | --socket=*) where+=($words[i]) ;;\n"
    "        @VALUED@)\n"
    "            option=$words[i]\n"
    "            ((++i < CURRENT)) || break\n"
    "            case $option in\n"
    "            --data-dir | --socket) where+=($option=$words[i]) ;;\n"
    "            esac\n"
    "            ;;\n"
    "        -*) ;;\n"
    "        *) before+=($words[i]) ;;\n"
    "        esac\n"
    "    done\n"
    "    case $prev in\n"
    "    @VALUED@)\n"
    "        _meshctl_values $prev\n"
    "        return\n"
    "        ;;\n"
    "    esac\n"
    "    case $cur in\n"
    "    --*=*)\n"
    "        compset -P '*='\n"
    "        _meshctl_values ${cur%%=*}\n"
    "        ;;\n"
    "    -*) _meshctl_options \"$before\" ;;\n"
    "    *) _meshctl_word \"$before\" ;;\n"
    "    esac\n}\n\n"
    "_meshctl \"$@\"\n";
/* clang-format on */

/* "--node | --format | …": every option that has a value. */
static bool is_valued(const struct op_arg *arg)
{
    return arg->position == 0 && !arg->is_hidden && arg->type != ARG_BOOL;
}

/* No command before has an option of that name. */
static bool is_first(size_t op, size_t idx)
{
    const char *name = ops_spec((enum op) op)->args[idx].name;
    for (size_t i = 0; i < op; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        size_t at = ops_args_index(spec, name);
        if (at < spec->arg_count && is_valued(&spec->args[at])) {
            return false;
        }
    }
    return true;
}

static void put_valued(void)
{
    const struct ctl_option *option;
    const char *separator = "";
    for (size_t i = 0; (option = ctl_option_at(i)) != NULL; i++) {
        if (option->value != NULL) {
            printf("%s--%s", separator, option->name);
            separator = " | ";
        }
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        for (size_t k = 0; k < spec->arg_count; k++) {
            const struct op_arg *arg = &spec->args[k];
            char name[64];
            if (is_valued(arg) && is_first(i, k)) {
                printf(" | --%s", ops_help_option(arg, name));
            }
        }
    }
}

/* The text, with every @VALUED@ in it replaced. */
static void put_script(const char *text)
{
    static const char mark[] = "@VALUED@";
    const char *at;
    while ((at = strstr(text, mark)) != NULL) {
        fwrite(text, 1, (size_t) (at - text), stdout);
        put_valued();
        text = at + sizeof mark - 1;
    }
    fputs(text, stdout);
}

void ctl_print_completion(const struct ctl_opts *opts)
{
    bool is_bash = strcmp(opts->completion, "bash") == 0;
    put_script(is_bash ? bash_head : zsh_head);
    put_option_values();
    put_options();
    put_next_word();
    put_script(is_bash ? bash_tail : zsh_tail);
}
