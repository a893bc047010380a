/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration: its three sources and their order. See conf.h; the options themselves are
 * in conf_options.c. */
#define _GNU_SOURCE
#include "io/conf.h"

#include "base/err.h"
#include "base/text.h"
#include "io/conf_priv.h"
#include "io/conf_yaml.h"
#include "io/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/meshd/meshd.yaml"
#define LABEL_ROOM_BYTES                                                                           \
    2560 /* for those given; the rest of a labels record is for detected ones */

/* ---- file ------------------------------------------------------------------------------------ */

static const char *env_get(char *const *list, const char *name)
{
    size_t len = strlen(name);
    for (; *list != NULL; list++) {
        if (strncmp(*list, name, len) == 0 && (*list)[len] == '=' && (*list)[len + 1] != '\0') {
            return *list + len + 1;
        }
    }
    return NULL;
}

/* The file that was named, or NULL. Flags and variables are read in full only later, and over what
 * the file says. */
static const char *named_file(int argc, char *const *argv, char *const *environ_list)
{
    static const char flag[] = "--config";
    const char *named = env_get(environ_list, "MESHD_CONFIG");
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], flag, sizeof flag - 1) != 0) {
            continue;
        }
        if (argv[i][sizeof flag - 1] == '=') {
            named = argv[i] + sizeof flag;
        } else if (argv[i][sizeof flag - 1] == '\0' && i + 1 < argc) {
            named = argv[i + 1];
        }
    }
    return named;
}

static int read_file(struct conf *conf, const char *path, bool is_named, bool without_token,
                     struct why *why)
{
    size_t size = 0;
    struct why reading = {""};
    char *text = malloc(CONF_FILE_BYTES_MAX + 1);
    if (text == NULL) {
        return why_set(why, HM_EINVAL, "%s: out of memory", path);
    }
    int rc = file_read(path, text, CONF_FILE_BYTES_MAX + 1, &size, &reading);
    if (rc == HM_OK) {
        text_copy(conf->file, sizeof conf->file, path);
        rc = conf_yaml_read(path, text, size, without_token, conf, why);
    } else if (rc != HM_ENOTFOUND || is_named) {
        rc = why_set(why, HM_EINVAL, "the configuration file: %s", reading.text);
    } else {
        rc = HM_OK;
    }
    explicit_bzero(text, size); /* there may be a token in it */
    free(text);
    return rc == HM_OK ? HM_OK : HM_EINVAL;
}

/* The file that is read unless one is named; false: there is no place for one. */
static bool user_file(char *const *environ_list, char *path, size_t max)
{
    const char *config = env_get(environ_list, "XDG_CONFIG_HOME");
    const char *home = env_get(environ_list, "HOME");
    bool has_config = config != NULL && config[0] == '/';
    if (!has_config && home == NULL) {
        return false;
    }
    snprintf(path, max, "%s/%smeshd/meshd.yaml", has_config ? config : home,
             has_config ? "" : ".config/");
    return true;
}

/* The file named, else that of the system (as root), else the user's own: the first that is
 * there. */
static int parse_file(struct conf *conf, const char *named, char *const *environ_list,
                      bool without_token, struct why *why)
{
    char path[sizeof conf->file];
    if (named != NULL) {
        return strcmp(named, "none") == 0 ? HM_OK
                                          : read_file(conf, named, true, without_token, why);
    }
    if (geteuid() == 0) {
        int rc = read_file(conf, SYSTEM_FILE, false, without_token, why);
        if (rc != HM_OK || conf->file[0] != '\0') {
            return rc;
        }
    }
    return user_file(environ_list, path, sizeof path)
               ? read_file(conf, path, false, without_token, why)
               : HM_OK;
}

void conf_services_path(const struct conf *conf, char *const *environ_list, char *ret_path,
                        size_t max)
{
    char file[sizeof conf->file] = "";
    bool is_none = conf->services_dir[0] == '\0' && strcmp(conf->config, "none") == 0;
    ret_path[0] = '\0';
    if (is_none || strcmp(conf->services_dir, "none") == 0) {
        return;
    }
    if (conf->services_dir[0] != '\0') {
        text_copy(ret_path, max, conf->services_dir);
        return;
    }
    if (conf->file[0] != '\0') {
        text_copy(file, sizeof file, conf->file);
    } else if (geteuid() == 0) {
        text_copy(file, sizeof file, SYSTEM_FILE);
    } else if (!user_file(environ_list, file, sizeof file)) {
        return;
    }
    char *slash = strrchr(file, '/');
    snprintf(ret_path, max, "%.*sservices.d", slash == NULL ? 0 : (int) (slash - file) + 1, file);
}

/* ---- environment ----------------------------------------------------------------------------- */

/* A MESHD_ variable that is no option: an error if it is nearly one, else perhaps somebody
 * else's (a container runtime makes variables of service names) and worth a warning only. */
static int unknown_variable(struct conf *conf, const char *variable, size_t len, struct why *why)
{
    char name[CONF_NAME_BYTES_MAX] = "";
    char right[CONF_NAME_BYTES_MAX + sizeof CONF_ENV_PREFIX];
    size_t prefix = strlen(CONF_ENV_PREFIX);
    for (size_t i = prefix; i < len && i - prefix < sizeof name - 1; i++) {
        char c = variable[i];
        name[i - prefix] = c == '_' ? '-' : (char) tolower((unsigned char) c);
    }
    const char *nearest = conf_option_nearest(name, OPTION_FLAG_ONLY);
    if (nearest != NULL) {
        conf_env_name(nearest, right, sizeof right);
        return why_set(why, HM_EINVAL, "%.*s: no such variable; did you mean %s?", (int) len,
                       variable, right);
    }
    snprintf(conf->warning, sizeof conf->warning,
             "the environment variable %.*s is none of meshd's and is ignored",
             (int) (len < 64 ? len : 64), variable);
    return HM_OK;
}

/* The option of the variable whose name has len bytes; its name goes to variable. */
static const struct option *find_variable(const char *entry, size_t len, char *variable, size_t max)
{
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        if ((option->traits & OPTION_FLAG_ONLY) == 0) {
            conf_env_name(option->name, variable, max);
            if (strlen(variable) == len && memcmp(variable, entry, len) == 0) {
                return option;
            }
        }
    }
    return NULL;
}

static int parse_environment(struct conf *conf, char *const *list, bool without_token,
                             struct why *why)
{
    for (; *list != NULL; list++) {
        const char *equals = strchr(*list, '=');
        if (strncmp(*list, CONF_ENV_PREFIX, strlen(CONF_ENV_PREFIX)) != 0 || equals == NULL) {
            continue;
        }
        size_t len = (size_t) (equals - *list);
        char variable[CONF_NAME_BYTES_MAX + sizeof CONF_ENV_PREFIX] = "";
        const struct option *option = find_variable(*list, len, variable, sizeof variable);
        struct given given = {CONF_FROM_VARIABLE, option, "", variable, "=", equals + 1, why};
        int rc = HM_OK;
        if (option == NULL) {
            rc = unknown_variable(conf, *list, len, why);
        } else if (equals[1] != '\0' && /* an empty variable says nothing */
                   !(without_token && (option->traits & OPTION_SECRET) != 0)) {
            bool is_list = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
            rc = is_list ? conf_set_list(conf, option, true, 0, &given)
                         : conf_set(conf, option, true, 0, &given);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
    return HM_OK;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static int unknown_flag(const char *arg, size_t name_len, struct why *why)
{
    char name[CONF_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof name, "%.*s",
             (int) (name_len < CONF_NAME_BYTES_MAX ? name_len : CONF_NAME_BYTES_MAX), arg + 2);
    const char *nearest = conf_option_nearest(name, 0);
    if (nearest == NULL) {
        return why_set(why, HM_EINVAL, "%.100s: no such option; meshd --help lists them", arg);
    }
    return why_set(why, HM_EINVAL, "%.100s: no such option; did you mean --%s?", arg, nearest);
}

/* The value of the flag at argv[*i], which may be the next argument. */
static int flag_value(const struct option *option, int argc, char *const *argv, int *i,
                      const char **ret_value, struct why *why)
{
    const char *equals = strchr(argv[*i], '=');
    *ret_value = equals != NULL ? equals + 1 : NULL;
    if (option->kind == OPTION_ACTION && equals != NULL) {
        return why_set(why, HM_EINVAL, "--%s takes no value", option->name);
    }
    if (option->kind == OPTION_SWITCH && equals == NULL) {
        *ret_value = "true";
    } else if (option->kind != OPTION_ACTION && equals == NULL) {
        *ret_value = *i + 1 < argc ? argv[++*i] : NULL;
        if (*ret_value == NULL || strncmp(*ret_value, "--", 2) == 0) {
            return why_set(why, HM_EINVAL, "--%s: the value is missing: --%s=%s", option->name,
                           option->name, option->arg);
        }
    }
    return HM_OK;
}

static int parse_flags(struct conf *conf, int argc, char *const *argv, bool without_token,
                       struct why *why)
{
    bool is_seen[CONF_OPTIONS_MAX] = {false};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
            return why_set(why, HM_EINVAL,
                           "%.100s: only options are expected, e.g. meshd --discover=homelab", arg);
        }
        size_t name_len = strcspn(arg + 2, "=");
        const struct option *option = conf_option_find(arg + 2, name_len);
        if (option == NULL) {
            return unknown_flag(arg, name_len, why);
        }
        char name[CONF_NAME_BYTES_MAX + 3];
        snprintf(name, sizeof name, "--%s", option->name);
        struct given given = {CONF_FROM_FLAG, option, "", name, "=", NULL, why};
        int rc = flag_value(option, argc, argv, &i, &given.value, why);
        if (rc != HM_OK) {
            return rc;
        }
        if (without_token && (option->traits & OPTION_SECRET) != 0) {
            continue;
        }
        bool *seen = &is_seen[conf_option_index(option)];
        rc = conf_set(conf, option, !*seen, 0, &given);
        if (rc != HM_OK) {
            return rc;
        }
        *seen = true;
    }
    return HM_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void default_name(struct conf *conf)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0) {
        host[0] = '\0';
    }
    text_fold_name(host, conf->name, sizeof conf->name);
}

/* What no single value can show to be wrong. */
static int check_whole(const struct conf *conf, struct why *why)
{
    size_t bytes = strlen(conf->role) + strlen(conf->capabilities);
    if (conf->mesh[0] == '\0' && conf->want_print) {
        return HM_OK; /* what is missing shows */
    }
    if (conf->mesh[0] == '\0' && conf->file[0] != '\0') {
        return why_set(why, HM_EINVAL,
                       "which mesh? %s does not say: write `discover: homelab` there, or start "
                       "meshd --discover=homelab",
                       conf->file);
    }
    if (conf->mesh[0] == '\0') {
        return why_set(why, HM_EINVAL,
                       "--discover is missing: which mesh? e.g. meshd --discover=homelab");
    }
    for (size_t i = 0; i < conf->label_count; i++) {
        bytes += strlen(conf->labels[i].key) + strlen(conf->labels[i].value) + 6;
    }
    if (bytes > LABEL_ROOM_BYTES) {
        return why_set(why, HM_EINVAL,
                       "label: all labels, the role and the capabilities have %zu bytes together; "
                       "at most %d are carried",
                       bytes, LABEL_ROOM_BYTES);
    }
    return HM_OK;
}

static int parse(int argc, char *const *argv, char *const *environ_list, bool without_token,
                 struct conf *conf, struct why *why)
{
    memset(conf, 0, sizeof *conf);
    conf->log_level = NOTE_INFO;
    /* Flags first for --help and --version alone: a broken environment must not hide them. */
    for (int i = 1; i < argc; i++) {
        conf->want_help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        conf->want_version |= strcmp(argv[i], "--version") == 0;
    }
    if (conf->want_help || conf->want_version) {
        return HM_OK;
    }
    int rc =
        parse_file(conf, named_file(argc, argv, environ_list), environ_list, without_token, why);
    if (rc == HM_OK) {
        rc = parse_environment(conf, environ_list, without_token, why);
    }
    if (rc == HM_OK) {
        rc = parse_flags(conf, argc, argv, without_token, why);
    }
    if (rc == HM_OK) {
        rc = check_whole(conf, why);
    }
    conf->name_given = conf->name[0] != '\0';
    if (rc == HM_OK && !conf->name_given) {
        default_name(conf);
    }
    return rc;
}

int conf_parse(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
               struct why *why)
{
    return parse(argc, argv, environ_list, false, ret_conf, why);
}

int conf_parse_again(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
                     struct why *why)
{
    return parse(argc, argv, environ_list, true, ret_conf, why);
}

void conf_help(FILE *to)
{
    fputs("Usage: meshd --discover=MESH [OPTION]...\n"
          "Find the other nodes of a mesh, join them, and serve. Runs in the foreground.\n\n",
          to);
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        bool is_optional = option->kind == OPTION_SWITCH;
        char flag[64];
        snprintf(flag, sizeof flag, "--%s%s%s%s%s", option->name, is_optional ? "[" : "",
                 option->arg != NULL ? "=" : "", option->arg != NULL ? option->arg : "",
                 is_optional ? "]" : "");
        fprintf(to, "  %-24s ", flag);
        for (const char *at = option->help; *at != '\0'; at++) {
            fputc(*at, to);
            if (*at == '\n') {
                fprintf(to, "%27s", "");
            }
        }
        fputc('\n', to);
    }
    fputs(
        "\nEach option is also a key of the configuration file (discover: homelab) and a variable\n"
        "(MESHD_DISCOVER, MESHD_DATA_DIR, ...; lists with commas). Variables win over the file,\n"
        "flags over both. A secret does not belong on the command line: use --token=-,\n"
        "--token-file or MESHD_TOKEN.\n\n"
        "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration.\n",
        to);
}
