/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl's command line: options of its own (one table); the words are left to ctl_words.c. Options
 * may stand anywhere; --opt=value and --opt value are the same. */
#define _GNU_SOURCE
#include "cmd/ctl_words.h"

#include "base/err.h"
#include "base/text.h"
#include "ops/ops_help.h"
#include "wire/api_msg.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 192 /* words or options that one could have meant */
#define TIMEOUT_DEFAULT_MS 5000

enum option {
    OPT_DATA_DIR,
    OPT_SOCKET,
    OPT_FORMAT,
    OPT_NODE,
    OPT_TIMEOUT,
    OPT_COLOR,
    OPT_ALL,
    OPT_FOLLOW,
    OPT_HELP,
    OPT_VERSION
};

static const struct ctl_option options[] = {
    [OPT_DATA_DIR] = {"data-dir", "D", "ask the node whose data directory this is"},
    [OPT_SOCKET] = {"socket", "S", "ask the node that listens on this socket"},
    [OPT_FORMAT] = {"format", "F", "text (default), json; prometheus for metrics"},
    [OPT_NODE] = {"node", "NAME", "ask that node, through the local one"},
    [OPT_TIMEOUT] = {"timeout", "T", "give up after so long: 500ms, 5s (default), 2m"},
    [OPT_COLOR] = {"color", "WHEN", "auto (default), always, never"},
    [OPT_ALL] = {"all", NULL, "ask every node at once; exit status 4 if some do not answer"},
    [OPT_FOLLOW] = {"follow", NULL, NULL},
    [OPT_HELP] = {"help", NULL, "help, also for one command"},
    [OPT_VERSION] = {"version", NULL, "version of meshctl"},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

const struct ctl_option *ctl_option_at(size_t idx)
{
    return idx < OPTION_COUNT ? &options[idx] : NULL;
}

int ctl_usage(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctl_error("%s", text);
    return EXIT_USAGE;
}

const char *ctl_meant(const char *wrong, const char *const *names, const char *dashes,
                      char text[128])
{
    const char *nearest = text_nearest(wrong, names);
    text[0] = '\0';
    if (nearest != NULL) {
        snprintf(text, 128, "; did you mean \"%s%s\"?", dashes, nearest);
    }
    return text;
}

/* ---- options --------------------------------------------------------------------------------- */

/* The option of any command of that name, NULL: none has it. A word can be given by its name too. */
static const struct op_arg *command_option(const char *option)
{
    char name[64];
    text_copy(name, sizeof name, option);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '-' ? '_' : *at;
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        size_t idx = ops_args_index(spec, name);
        if (idx < spec->arg_count && !spec->args[idx].is_hidden) {
            return &spec->args[idx];
        }
    }
    return NULL;
}

static int unknown_option(const char *name)
{
    const char *names[NAMES_MAX + 1];
    size_t count = 0;
    char text[128];
    static char room[NAMES_MAX][64];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        names[count++] = options[i].name;
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        for (size_t k = 0; k < spec->arg_count && count < NAMES_MAX; k++) {
            if (command_option(spec->args[k].name) != NULL) {
                names[count] = ops_help_option(&spec->args[k], room[count]);
                count++;
            }
        }
    }
    names[count] = NULL;
    return ctl_usage("there is no option --%s%s", name, ctl_meant(name, names, "--", text));
}

static int choose(const char *option, const char *value, const char *const *choices,
                  int *ret_choice)
{
    char text[128];
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], value) == 0) {
            *ret_choice = i;
            return EXIT_DONE;
        }
    }
    char list[128] = "";
    size_t used = 0;
    for (int i = 0; choices[i] != NULL; i++) {
        int size = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", choices[i]);
        used += size > 0 && (size_t) size < sizeof list - used ? (size_t) size : 0;
    }
    return ctl_usage("--%s is \"%s\", but must be one of %s%s", option, value, list,
                     ctl_meant(value, choices, "", text));
}

/* "500ms", "5s", "2m", "5" */
static int parse_timeout(const char *value, uint64_t *ret_ms)
{
    uint64_t ms = 0;
    if (text_to_ms(value, API_DEADLINE_MS_MAX, &ms) == HM_OK && ms > 0) {
        *ret_ms = ms;
        return EXIT_DONE;
    }
    return ctl_usage("--timeout is \"%s\", but must be like 500ms, 5s or 2m, at most 10m", value);
}

static int set_option(struct ctl_opts *o, enum option option, const char *value)
{
    static const char *const formats[] = {"text", "json", "prometheus", NULL};
    static const char *const colors[] = {"auto", "always", "never", NULL};
    int choice = 0;
    int code = EXIT_DONE;
    switch (option) {
    case OPT_DATA_DIR:
        o->data_dir = value;
        break;
    case OPT_SOCKET:
        o->socket = value;
        break;
    case OPT_FORMAT:
        code = choose("format", value, formats, &choice);
        o->format = (enum ctl_format) choice;
        break;
    case OPT_NODE:
        o->node = value;
        break;
    case OPT_TIMEOUT:
        code = parse_timeout(value, &o->timeout_ms);
        break;
    case OPT_COLOR:
        code = choose("color", value, colors, &choice);
        o->color = (enum ctl_color) choice;
        break;
    case OPT_ALL:
        o->all = true;
        break;
    case OPT_FOLLOW:
        o->follow = true;
        break;
    case OPT_HELP:
        o->want_help = true;
        break;
    case OPT_VERSION:
        o->want_version = true;
        break;
    }
    return code;
}

static size_t find_option(const char *name)
{
    size_t i = 0;
    while (i < OPTION_COUNT && strcmp(options[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* An option of this name that the command has which the words begin with, although meshctl has one too: so
 * behind the words of `services list`, --node is whose services, and before them who is asked. */
static const struct op_arg *own_option(const struct words *w, const char *name)
{
    for (size_t i = 0; i < OP_COUNT && w->count > 1; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        const char *dot = strchr(spec->name, '.');
        size_t idx = ops_args_index(spec, name);
        size_t size = dot == NULL ? 0 : (size_t) (dot - spec->name);
        if (size > 0 && idx < spec->arg_count && spec->args[idx].position == 0 &&
            strlen(w->word[0]) == size && strncmp(w->word[0], spec->name, size) == 0 &&
            strcmp(w->word[1], dot + 1) == 0) {
            return &spec->args[idx];
        }
    }
    return NULL;
}

/* Takes the option at argv[*at] and its value. */
static int take_option(struct ctl_opts *o, struct words *w, int *at)
{
    char name[64];
    const char *text = o->argv[*at] + 2;
    const char *equals = strchr(text, '=');
    size_t size = equals != NULL ? (size_t) (equals - text) : strlen(text);
    if (size >= sizeof name) {
        return ctl_usage("there is no option %s", o->argv[*at]);
    }
    memcpy(name, text, size);
    name[size] = '\0';
    size_t option = find_option(name);
    const struct op_arg *arg =
        option == OPTION_COUNT ? command_option(name) : own_option(w, name);
    if (option == OPTION_COUNT && arg == NULL) {
        return unknown_option(name);
    }
    bool is_switch = arg != NULL && arg->type == ARG_BOOL;
    bool has_value = arg != NULL ? !is_switch : options[option].value != NULL;
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (is_switch && value == NULL) {
        value = "true";
    } else if (!has_value && value != NULL && !is_switch) {
        return ctl_usage("--%s takes no value", name);
    }
    if (has_value && value == NULL) {
        if (*at + 1 >= o->argc) {
            return ctl_usage("--%s needs a value: --%s=%s", name, name,
                             arg != NULL ? arg->value : options[option].value);
        }
        value = o->argv[++*at];
    }
    if (has_value && value[0] == '\0' && (arg == NULL || arg->type != ARG_BYTES)) {
        return ctl_usage("--%s has an empty value", name);
    }
    if (arg == NULL) {
        return set_option(o, (enum option) option, value);
    }
    if (w->given_count == GIVEN_MAX) {
        return ctl_usage("too many options");
    }
    w->given_name[w->given_count] = arg->name;
    w->given_value[w->given_count++] = value;
    return EXIT_DONE;
}

/* "-5" is what is added to a counter. */
static bool is_number(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

static int take_arguments(struct ctl_opts *o, struct words *w)
{
    bool only_words = false;
    for (int i = 1; i < o->argc; i++) {
        const char *text = o->argv[i];
        int code = EXIT_DONE;
        if (!only_words && strcmp(text, "--") == 0) {
            only_words = true;
        } else if (!only_words && strcmp(text, "-h") == 0) {
            o->want_help = true;
        } else if (!only_words && strncmp(text, "--", 2) == 0) {
            code = take_option(o, w, &i);
        } else if (!only_words && text[0] == '-' && text[1] != '\0' && !is_number(text + 1)) {
            code = ctl_usage("there is no option %s; options begin with two dashes, and a value that "
                             "begins with a dash goes behind --",
                             text);
        } else if (w->count == WORDS_MAX) {
            code = ctl_usage("too many arguments, from \"%s\" on", text);
        } else {
            w->word[w->count++] = text;
        }
        if (code != EXIT_DONE) {
            return code;
        }
    }
    return EXIT_DONE;
}

/* Flags win over the environment, and a flag of one kind over a variable of the other. */
static int set_target(struct ctl_opts *o)
{
    const char *socket = getenv("MESHD_SOCKET");
    const char *data_dir = getenv("MESHD_DATA_DIR");
    if (o->data_dir != NULL && o->socket != NULL) {
        return ctl_usage("--data-dir and --socket both say which node to ask: give one");
    }
    if (o->data_dir == NULL && o->socket == NULL) {
        if (socket != NULL && socket[0] != '\0') {
            o->socket = socket;
        } else if (data_dir != NULL && data_dir[0] != '\0') {
            o->data_dir = data_dir;
        }
    }
    return EXIT_DONE;
}

int ctl_opts_parse(int argc, char *const *argv, struct ctl_opts *ret_opts)
{
    struct words w = {.count = 0};
    struct ctl_opts *o = ret_opts;
    memset(o, 0, sizeof *o);
    o->argc = argc;
    o->argv = argv;
    o->timeout_ms = TIMEOUT_DEFAULT_MS;
    int code = take_arguments(o, &w);
    if (code != EXIT_DONE) {
        return code;
    }
    bool is_help = w.count > 0 && strcmp(w.word[0], "help") == 0;
    size_t from = is_help ? 1 : 0;
    o->want_help = o->want_help || is_help;
    if (o->want_version || (o->want_help && (w.count == from || ctl_set_group(o, &w, from)))) {
        return EXIT_DONE;
    }
    if (w.count == 0) {
        ctl_help(o, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(w.word[from], "completion") == 0) {
        o->want_completion_help = o->want_help;
        return o->want_help ? EXIT_DONE : ctl_set_completion(o, &w);
    }
    code = ctl_set_command(o, &w, from);
    return code == EXIT_DONE ? set_target(o) : code;
}
