/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration: see conf.h. Each option is a row of the table below; its variable is
 * MESHD_ and the flag's name in capitals. */
#define _GNU_SOURCE
#include "io/conf.h"

#include "base/err.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define ENV_PREFIX "MESHD_"
#define FLAG_BYTES_MAX 32
#define LIST_ITEM_BYTES_MAX 600

/* One value on its way into the configuration, and where it was said. */
struct given {
    const char *source; /* "--bind" or "MESHD_BIND" */
    const char *value;
    struct why *why;
};

typedef int set_fn(struct conf *conf, const struct given *given);

struct option {
    const char *name; /* without "--" */
    const char *arg;  /* NULL: takes none */
    bool is_list;     /* may be repeated; in the environment separated by commas */
    set_fn *set;
    const char *help;
};

/* ---- values ---------------------------------------------------------------------------------- */

static int wrong(const struct given *given, const char *expected)
{
    return why_set(given->why, HM_EINVAL, "%s=%.100s: %s", given->source, given->value, expected);
}

/* A DNS label; what would be one is proposed. */
static int set_label_name(const struct given *given, char *to, size_t max)
{
    char folded[HM_NAME_BYTES_MAX + 1];
    size_t len = strlen(given->value);
    if (!text_is_dns_label(given->value, len)) {
        text_fold_name(given->value, folded, sizeof folded);
        return why_set(given->why, HM_EINVAL,
                       "%s=%.100s: a name has 1 to 63 of a-z, 0-9 and '-' and neither begins nor "
                       "ends with '-'; %s=%s would do",
                       given->source, given->value, given->source, folded);
    }
    text_copy(to, max, given->value);
    return HM_OK;
}

static int set_text(const struct given *given, char *to, size_t max)
{
    size_t len = strlen(given->value);
    if (len == 0) {
        return wrong(given, "a value is missing");
    }
    if (!text_is_clean_utf8((const uint8_t *) given->value, len)) {
        return why_set(given->why, HM_EINVAL,
                       "%s: the value has control characters or is not UTF-8", given->source);
    }
    if (!text_copy(to, max, given->value)) {
        return why_set(given->why, HM_EINVAL, "%s: the value is longer than %zu bytes",
                       given->source, max - 1);
    }
    return HM_OK;
}

static int set_discover(struct conf *conf, const struct given *given)
{
    return set_label_name(given, conf->mesh, sizeof conf->mesh);
}

static int set_name(struct conf *conf, const struct given *given)
{
    return set_label_name(given, conf->name, sizeof conf->name);
}

static int set_data_dir(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->data_dir, sizeof conf->data_dir);
}

static int set_key_file(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->key_file, sizeof conf->key_file);
}

static int set_token(struct conf *conf, const struct given *given)
{
    /* Its value is a secret and appears in no message. */
    if (given->value[0] == '\0' || !text_copy(conf->token, sizeof conf->token, given->value)) {
        return why_set(given->why, HM_EINVAL,
                       "%s: that is no token; give `-` to read it from standard input",
                       given->source);
    }
    conf->token_from_argv = given->source[0] == '-' && strcmp(given->value, "-") != 0;
    return HM_OK;
}

static int set_token_file(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->token_file, sizeof conf->token_file);
}

static int set_join(struct conf *conf, const struct given *given)
{
    char host[CONF_JOIN_BYTES_MAX + 1];
    uint16_t port = 0;
    if (conf_split_host(given->value, CONF_PORT_DEFAULT, host, sizeof host, &port) != 0) {
        return wrong(given,
                     "expected HOST, HOST:PORT or [IPV6]:PORT, e.g. nas1.lan or 10.0.0.5:8471");
    }
    if (conf->join_count == CONF_JOIN_MAX) {
        return why_set(given->why, HM_EINVAL, "%s=%.100s: at most %d addresses to join are taken",
                       given->source, given->value, CONF_JOIN_MAX);
    }
    text_copy(conf->join[conf->join_count++], sizeof conf->join[0], given->value);
    return HM_OK;
}

static int set_bind(struct conf *conf, const struct given *given)
{
    static const char expected[] = "expected ADDRESS, ADDRESS:PORT or :PORT with a numeric address "
                                   "of this machine, e.g. 192.168.1.10 or [fd00::1]:8471";
    struct addr addr = {0};
    uint64_t port = 0;
    if (given->value[0] == ':') {
        if (text_to_u64(given->value + 1, 65535, &port) != 0 || port == 0) {
            return wrong(given, expected);
        }
        addr.port = (uint16_t) port;
    } else if (addr_parse(given->value, 0, &addr) != 0) {
        return wrong(given, expected);
    }
    struct addr any = addr_v4(0, 0, 0, 0, 0);
    if (addr_same_ip(&addr, &any)) {
        addr.family = 0;
    }
    conf->bind = addr;
    conf->has_bind = true;
    return HM_OK;
}

static int set_socket(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->socket, sizeof conf->socket);
}

static int set_group(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->group, sizeof conf->group);
}

static int set_role(struct conf *conf, const struct given *given)
{
    return set_text(given, conf->role, sizeof conf->role);
}

static int set_capabilities(struct conf *conf, const struct given *given)
{
    for (const char *at = given->value;; at++) {
        size_t len = strcspn(at, ",");
        bool clean = len > 0;
        for (size_t i = 0; i < len; i++) {
            clean = clean && (isalnum((unsigned char) at[i]) || strchr("-_.", at[i]) != NULL);
        }
        if (!clean) {
            return wrong(given, "expected words of letters, digits, '-', '_' and '.' with commas "
                                "between, e.g. gpu,zigbee");
        }
        at += len;
        if (*at == '\0') {
            break;
        }
    }
    return set_text(given, conf->capabilities, sizeof conf->capabilities);
}

static bool is_label_key(const char *key, size_t len)
{
    if (len == 0 || len > HM_LABEL_KEY_BYTES_MAX || !isalnum((unsigned char) key[0])) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char) key[i]) && strchr("-_./", key[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static int set_label(struct conf *conf, const struct given *given)
{
    const char *equals = strchr(given->value, '=');
    size_t key_len = equals == NULL ? 0 : (size_t) (equals - given->value);
    if (!is_label_key(given->value, key_len)) {
        return wrong(given,
                     "expected KEY=VALUE, the key of at most 63 letters, digits, '-', '_', '.' "
                     "and '/', e.g. rack=cellar");
    }
    struct conf_label label = {.key = ""};
    memcpy(label.key, given->value, key_len);
    struct given value = {given->source, equals + 1, given->why};
    if (equals[1] != '\0') {
        int rc = set_text(&value, label.value, sizeof label.value);
        if (rc != 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < conf->label_count; i++) {
        if (strcmp(conf->labels[i].key, label.key) == 0) {
            conf->labels[i] = label; /* the last one said counts */
            return HM_OK;
        }
    }
    if (conf->label_count == HM_LABELS_MAX) {
        return why_set(given->why, HM_EINVAL, "%s=%.100s: at most %d labels are taken",
                       given->source, given->value, HM_LABELS_MAX);
    }
    conf->labels[conf->label_count++] = label;
    return HM_OK;
}

/* The index of value in words (NULL at the end), or an error that names the nearest. */
static int choose_word(const struct given *given, const char *const *words, size_t *ret_idx)
{
    char all[128] = "";
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], given->value) == 0) {
            *ret_idx = i;
            return HM_OK;
        }
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    const char *nearest = text_nearest(given->value, words);
    return why_set(given->why, HM_EINVAL, "%s=%.100s: expected one of %s%s%s%s", given->source,
                   given->value, all, nearest != NULL ? "; did you mean " : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

static int set_log_format(struct conf *conf, const struct given *given)
{
    static const char *const words[] = {"text", "json", NULL};
    size_t idx = 0;
    int rc = choose_word(given, words, &idx);
    conf->log_format = idx == 1 ? LOG_JSON : LOG_TEXT;
    return rc;
}

static int set_log_level(struct conf *conf, const struct given *given)
{
    static const char *const words[] = {"debug", "info", "warn", "error", NULL};
    static const enum note_level levels[] = {NOTE_DEBUG, NOTE_INFO, NOTE_WARN, NOTE_ERROR};
    size_t idx = 0;
    int rc = choose_word(given, words, &idx);
    conf->log_level = levels[idx];
    return rc;
}

static int set_help(struct conf *conf, const struct given *given)
{
    (void) given;
    conf->want_help = true;
    return HM_OK;
}

static int set_version(struct conf *conf, const struct given *given)
{
    (void) given;
    conf->want_version = true;
    return HM_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct option options[] = {
    {"discover", "MESH", false, set_discover, "the mesh to find, join and serve (required)"},
    {"name", "N", false, set_name, "this node's name (default: the host name)"},
    {"data-dir", "D", false, set_data_dir,
     "where everything of this node lives (default: /var/lib/meshd/MESH/NAME as root,\n"
     "else $XDG_STATE_HOME/meshd/MESH/NAME)"},
    {"key-file", "F", false, set_key_file,
     "the mesh's key ring, made there if absent (default: `key` one level above D, shared by\n"
     "all nodes whose directories are there)"},
    {"token", "-", false, set_token,
     "take the mesh's key from a token on standard input (`meshctl token` prints one)"},
    {"token-file", "F", false, set_token_file,
     "take the mesh's key from a token in this file; an empty file says nothing"},
    {"join", "H[:P]", true, set_join, "also look for the mesh at this host; may be repeated"},
    {"bind", "ADDR[:PORT]", false, set_bind,
     "listen on this address only (default: all, port 8471 or the next free one)"},
    {"socket", "S", false, set_socket, "where meshctl connects (default: D/meshd.sock)"},
    {"group", "G", false, set_group,
     "members of this group of users may run meshctl here (default: this user and root)"},
    {"role", "R", false, set_role, "what this machine is for; the same as --label role=R"},
    {"capabilities", "A,B", false, set_capabilities, "what it can do, as the label capabilities"},
    {"label", "K=V", true, set_label, "a label of this node; may be repeated"},
    {"log-format", "text|json", false, set_log_format, "how lines on stderr look (default: text)"},
    {"log-level", "L", false, set_log_level, "debug, info, warn or error (default: info)"},
    {"help", NULL, false, set_help, "print this and exit"},
    {"version", NULL, false, set_version, "print the version and exit"},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static const char *nearest_option(const char *name)
{
    const char *words[OPTION_COUNT + 1];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        words[i] = options[i].name;
    }
    words[OPTION_COUNT] = NULL;
    return text_nearest(name, words);
}

/* "data-dir" is "MESHD_DATA_DIR". */
static void env_name(const char *name, char *text, size_t max)
{
    size_t len = (size_t) snprintf(text, max, ENV_PREFIX "%s", name);
    HM_ASSERT(len < max);
    for (char *at = text + strlen(ENV_PREFIX); *at != '\0'; at++) {
        *at = *at == '-' ? '_' : (char) toupper((unsigned char) *at);
    }
}

/* Takes back what the environment said of a list, so that flags replace it as they do all else. */
static void clear_list(struct conf *conf, const struct option *option)
{
    if (option->set == set_join) {
        conf->join_count = 0;
    } else if (option->set == set_label) {
        conf->label_count = 0;
    }
}

/* ---- environment ----------------------------------------------------------------------------- */

static int set_list(struct conf *conf, const struct option *option, const struct given *given)
{
    char item[LIST_ITEM_BYTES_MAX];
    for (const char *at = given->value; *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len >= sizeof item) {
            return wrong(given, "an item of the list is too long");
        }
        memcpy(item, at, len);
        item[len] = '\0';
        struct given one = {given->source, item, given->why};
        int rc = len > 0 ? option->set(conf, &one) : HM_OK;
        if (rc != HM_OK) {
            return rc;
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
    return HM_OK;
}

/* A MESHD_ variable that is no option: an error if it is nearly one, else perhaps somebody
 * else's (a container runtime makes variables of service names) and worth a warning only. */
static int unknown_variable(struct conf *conf, const char *variable, size_t len, struct why *why)
{
    char name[FLAG_BYTES_MAX] = "";
    char right[FLAG_BYTES_MAX + sizeof ENV_PREFIX];
    size_t prefix = strlen(ENV_PREFIX);
    for (size_t i = prefix; i < len && i - prefix < sizeof name - 1; i++) {
        char c = variable[i];
        name[i - prefix] = c == '_' ? '-' : (char) tolower((unsigned char) c);
    }
    const char *nearest = nearest_option(name);
    if (nearest != NULL) {
        env_name(nearest, right, sizeof right);
        return why_set(why, HM_EINVAL, "%.*s: no such variable; did you mean %s?", (int) len,
                       variable, right);
    }
    snprintf(conf->warning, sizeof conf->warning,
             "the environment variable %.*s is none of meshd's and is ignored",
             (int) (len < 64 ? len : 64), variable);
    return HM_OK;
}

static int parse_environment(struct conf *conf, char *const *list, struct why *why)
{
    for (; *list != NULL; list++) {
        const char *equals = strchr(*list, '=');
        if (strncmp(*list, ENV_PREFIX, strlen(ENV_PREFIX)) != 0 || equals == NULL) {
            continue;
        }
        size_t len = (size_t) (equals - *list);
        const struct option *option = NULL;
        char variable[FLAG_BYTES_MAX + sizeof ENV_PREFIX] = "";
        for (size_t i = 0; i < OPTION_COUNT && option == NULL; i++) {
            env_name(options[i].name, variable, sizeof variable);
            bool same = strlen(variable) == len && memcmp(variable, *list, len) == 0;
            option = same && options[i].arg != NULL ? &options[i] : NULL;
        }
        int rc = HM_OK;
        if (option == NULL) {
            rc = unknown_variable(conf, *list, len, why);
        } else if (equals[1] != '\0') { /* an empty variable says nothing */
            struct given given = {variable, equals + 1, why};
            rc = option->is_list ? set_list(conf, option, &given) : option->set(conf, &given);
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
    char name[FLAG_BYTES_MAX + 1];
    snprintf(name, sizeof name, "%.*s",
             (int) (name_len < FLAG_BYTES_MAX ? name_len : FLAG_BYTES_MAX), arg + 2);
    const char *nearest = nearest_option(name);
    if (nearest == NULL) {
        return why_set(why, HM_EINVAL, "%.100s: no such option; meshd --help lists them", arg);
    }
    return why_set(why, HM_EINVAL, "%.100s: no such option; did you mean --%s?", arg, nearest);
}

static int parse_flags(struct conf *conf, int argc, char *const *argv, struct why *why)
{
    bool is_seen[OPTION_COUNT] = {false};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "-h") == 0) {
            arg = "--help";
        }
        if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
            return why_set(why, HM_EINVAL,
                           "%.100s: only options are expected, e.g. meshd --discover=homelab", arg);
        }
        size_t name_len = strcspn(arg + 2, "=");
        const struct option *option = find_option(arg + 2, name_len);
        if (option == NULL) {
            return unknown_flag(arg, name_len, why);
        }
        char source[FLAG_BYTES_MAX + 3];
        snprintf(source, sizeof source, "--%s", option->name);
        const char *value = arg[2 + name_len] == '=' ? arg + 3 + name_len : NULL;
        if (option->arg == NULL && value != NULL) {
            return why_set(why, HM_EINVAL, "%s takes no value", source);
        }
        if (option->arg != NULL && value == NULL) {
            value = i + 1 < argc ? argv[++i] : NULL;
            if (value == NULL || strncmp(value, "--", 2) == 0) {
                return why_set(why, HM_EINVAL, "%s: the value is missing: %s=%s", source, source,
                               option->arg);
            }
        }
        if (!is_seen[option - options]) {
            is_seen[option - options] = true;
            clear_list(conf, option);
        }
        struct given given = {source, value, why};
        int rc = option->set(conf, &given);
        if (rc != HM_OK) {
            return rc;
        }
    }
    return HM_OK;
}

static void default_name(struct conf *conf)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0) {
        host[0] = '\0';
    }
    text_fold_name(host, conf->name, sizeof conf->name);
}

int conf_parse(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
               struct why *why)
{
    struct conf *conf = ret_conf;
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
    int rc = parse_environment(conf, environ_list, why);
    if (rc == HM_OK) {
        rc = parse_flags(conf, argc, argv, why);
    }
    if (rc == HM_OK && conf->mesh[0] == '\0') {
        rc = why_set(why, HM_EINVAL,
                     "--discover is missing: which mesh? e.g. meshd --discover=homelab");
    }
    if (rc == HM_OK && conf->name[0] == '\0') {
        default_name(conf);
    }
    return rc;
}

void conf_help(FILE *to)
{
    fputs("Usage: meshd --discover=MESH [OPTION]...\n"
          "Find the other nodes of a mesh, join them, and serve. Runs in the foreground.\n\n",
          to);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--%s%s%s", options[i].name, options[i].arg != NULL ? "=" : "",
                 options[i].arg != NULL ? options[i].arg : "");
        fprintf(to, "  %-24s ", flag);
        for (const char *at = options[i].help; *at != '\0'; at++) {
            fputc(*at, to);
            if (*at == '\n') {
                fprintf(to, "%27s", "");
            }
        }
        fputc('\n', to);
    }
    fputs("\nEach option is also an environment variable: MESHD_DISCOVER, MESHD_DATA_DIR, ...\n"
          "(lists with commas); flags win. A secret does not belong on the command line: use\n"
          "--token=- or MESHD_TOKEN.\n\n"
          "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage.\n",
          to);
}

int conf_split_host(const char *text, uint16_t default_port, char *ret_host, size_t host_max,
                    uint16_t *ret_port)
{
    struct addr addr;
    uint64_t port = default_port;
    if (addr_parse(text, default_port, &addr) == 0) {
        char ip[ADDR_TEXT_BYTES];
        *ret_port = addr.port;
        return addr.port != 0 && text_copy(ret_host, host_max, addr_format_ip(&addr, ip))
                   ? HM_OK
                   : HM_EMALFORMED;
    }
    size_t len = strcspn(text, ":");
    if (text[len] == ':' && (text_to_u64(text + len + 1, 65535, &port) != 0 || port == 0)) {
        return HM_EMALFORMED;
    }
    bool is_host = len > 0 && len <= 253 && len < host_max && text[0] != '-' && text[0] != '.';
    for (size_t i = 0; i < len; i++) {
        is_host = is_host && (isalnum((unsigned char) text[i]) || strchr("-_.", text[i]) != NULL);
    }
    /* Digits and dots alone are a mistyped address, not a name. */
    if (!is_host || strspn(text, "0123456789.") == len) {
        return HM_EMALFORMED;
    }
    memcpy(ret_host, text, len);
    ret_host[len] = '\0';
    *ret_port = (uint16_t) port;
    return HM_OK;
}
