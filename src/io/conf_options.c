/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's options: one row each, with how a value is checked and taken, and how it is shown again.
 * A text that set() takes is one that get() gives, and the other way round: --print-config and
 * the comparison of two configurations rest on that. */
#define _GNU_SOURCE
#include "io/conf_priv.h"

#include "base/err.h"
#include "base/text.h"
#include "io/resolve.h"
#include "io/sockaddr.h"

#include <ctype.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

int conf_wrong(const struct given *given, const char *expected)
{
    return why_set(given->why, HM_EINVAL, "%s%s%s%.100s: %s", given->where, given->name,
                   given->between, given->value, expected);
}

/* A DNS label; what would be one is proposed. */
static int set_label_name(const struct given *given, char *to, size_t max)
{
    char folded[HM_NAME_BYTES_MAX + 1];
    size_t len = strlen(given->value);
    if (!text_is_dns_label(given->value, len)) {
        text_fold_name(given->value, folded, sizeof folded);
        return why_set(
            given->why, HM_EINVAL,
            "%s%s%s%.100s: a name has 1 to 63 of a-z, 0-9 and '-' and neither begins nor "
            "ends with '-'; %s%s%s would do",
            given->where, given->name, given->between, given->value, given->name, given->between,
            folded);
    }
    text_copy(to, max, given->value);
    return HM_OK;
}

static int set_text(const struct given *given, char *to, size_t max)
{
    size_t len = strlen(given->value);
    if (len == 0) {
        return conf_wrong(given, "a value is missing");
    }
    if (!text_is_clean_utf8((const uint8_t *) given->value, len)) {
        return why_set(given->why, HM_EINVAL,
                       "%s%s: the value has control characters or is not UTF-8", given->where,
                       given->name);
    }
    if (!text_copy(to, max, given->value)) {
        return why_set(given->why, HM_EINVAL, "%s%s: the value is longer than %zu bytes",
                       given->where, given->name, max - 1);
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

static int set_token(struct conf *conf, const struct given *given)
{
    /* Its value is a secret and appears in no message. */
    if (given->value[0] == '\0' || !text_copy(conf->token, sizeof conf->token, given->value)) {
        return why_set(given->why, HM_EINVAL,
                       "%s%s: that is no token; give `-` to read it from standard input",
                       given->where, given->name);
    }
    conf->token_from_file = given->from == CONF_FROM_FILE;
    conf->token_from_argv = given->from == CONF_FROM_FLAG && strcmp(given->value, "-") != 0;
    return HM_OK;
}

static int set_join(struct conf *conf, const struct given *given)
{
    struct resolve_target target;
    if (resolve_target_read(given->value, CONF_PORT_DEFAULT, &target) != HM_OK) {
        return conf_wrong(given, "expected HOST, HOST:PORT, [IPV6]:PORT or dns+srv:NAME, e.g. "
                                 "nas1.lan, 10.0.0.5:8471 or dns+srv:_homemesh._udp.lan");
    }
    if (conf->join_count == CONF_JOIN_MAX) {
        return why_set(given->why, HM_EINVAL,
                       "%s%s%s%.100s: at most %d addresses to join are taken", given->where,
                       given->name, given->between, given->value, CONF_JOIN_MAX);
    }
    text_copy(conf->join[conf->join_count++], sizeof conf->join[0], given->value);
    return HM_OK;
}

static int set_plain(struct conf *conf, const struct given *given)
{
    return set_text(given, (char *) conf + given->option->at, given->option->size);
}

static int set_bind(struct conf *conf, const struct given *given)
{
    static const char expected[] = "expected ADDRESS, ADDRESS:PORT or :PORT with a numeric address "
                                   "of this machine, e.g. 192.168.1.10 or [fd00::1]:8471";
    struct addr addr = {0};
    char zone[SOCKADDR_ZONE_BYTES] = "";
    uint64_t port = 0;
    if (given->value[0] == ':') {
        if (text_to_u64(given->value + 1, 65535, &port) != 0 || port == 0) {
            return conf_wrong(given, expected);
        }
        addr.port = (uint16_t) port;
    } else if (addr_parse_zone(given->value, 0, &addr, zone) != 0) {
        return conf_wrong(given, expected);
    }
    if (addr_is_link_local(&addr)) {
        addr.scope = zone[0] != '\0' ? zone_index(zone) : 0;
        if (addr.scope == 0) {
            return conf_wrong(given, zone[0] == '\0'
                                         ? "a link-local address needs its interface, as in "
                                           "[fe80::1%eth0]:8471"
                                         : "no interface has that name (ip link lists them)");
        }
    }
    struct addr any = addr_v4(0, 0, 0, 0, 0);
    if (addr_same_ip(&addr, &any)) {
        addr.family = 0;
    }
    conf->bind = addr;
    conf->has_bind = true;
    return HM_OK;
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
            return conf_wrong(given,
                              "expected words of letters, digits, '-', '_' and '.' with commas "
                              "between, e.g. gpu,zigbee");
        }
        at += len;
        if (*at == '\0') {
            break;
        }
    }
    size_t have = strlen(conf->capabilities);
    size_t room = sizeof conf->capabilities - have;
    int size = snprintf(conf->capabilities + have, room, "%s%s", have > 0 ? "," : "", given->value);
    if (size < 0 || (size_t) size >= room) {
        conf->capabilities[have] = '\0';
        return why_set(given->why, HM_EINVAL, "%s%s: together they are longer than %zu bytes",
                       given->where, given->name, sizeof conf->capabilities - 1);
    }
    return HM_OK;
}

/* Names of interfaces as the kernel allows them, or a pattern's beginning. */
static int set_interface(struct conf *conf, const struct given *given)
{
    size_t len = strlen(given->value);
    bool clean = len > 0 && len < CONF_INTERFACE_BYTES;
    for (size_t i = 0; i < len; i++) {
        clean = clean && given->value[i] > ' ' && given->value[i] < 0x7f && given->value[i] != '/';
    }
    if (!clean) {
        return conf_wrong(
            given, "expected the name of a network interface, e.g. eth0 (ip link lists them)");
    }
    if (conf->interface_count == CONF_INTERFACES_MAX) {
        return why_set(given->why, HM_EINVAL, "%s%s%s%.100s: at most %d interfaces are taken",
                       given->where, given->name, given->between, given->value,
                       CONF_INTERFACES_MAX);
    }
    text_copy(conf->interfaces[conf->interface_count++], CONF_INTERFACE_BYTES, given->value);
    return HM_OK;
}

static int set_beacon_port(struct conf *conf, const struct given *given)
{
    uint64_t port;
    if (text_to_u64(given->value, 65535, &port) != HM_OK || port == 0) {
        return conf_wrong(given, "expected a port, 1 to 65535, e.g. 5670");
    }
    conf->beacon_port = (uint16_t) port;
    return HM_OK;
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
        return conf_wrong(
            given, "expected KEY=VALUE, the key of at most 63 letters, digits, '-', '_', '.' "
                   "and '/', e.g. rack=cellar");
    }
    struct conf_label label = {.key = ""};
    memcpy(label.key, given->value, key_len);
    struct given value = *given;
    value.value = equals + 1;
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
        return why_set(given->why, HM_EINVAL, "%s%s%s%.100s: at most %d labels are taken",
                       given->where, given->name, given->between, given->value, HM_LABELS_MAX);
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
    return why_set(given->why, HM_EINVAL, "%s%s%s%.100s: expected one of %s%s%s%s", given->where,
                   given->name, given->between, given->value, all,
                   nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "?" : "");
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

static int set_format(struct conf *conf, const struct given *given)
{
    static const char *const words[] = {"text", "json", NULL};
    size_t idx = 0;
    int rc = choose_word(given, words, &idx);
    conf->print_json = idx == 1;
    return rc;
}

static int set_auto_role(struct conf *conf, const struct given *given)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", NULL};
    char folded[8] = "";
    struct given lower = *given;
    size_t idx = 0;
    if (strlen(given->value) < sizeof folded) { /* YAML also has True and NO */
        for (size_t i = 0; given->value[i] != '\0'; i++) {
            folded[i] = (char) tolower((unsigned char) given->value[i]);
        }
        lower.value = folded;
    }
    int rc = choose_word(&lower, words, &idx);
    conf->auto_role = rc == HM_OK && idx % 2 == 0;
    return rc;
}

/* What to do instead of running. */
static int set_action(struct conf *conf, const struct given *given)
{
    *(bool *) ((char *) conf + given->option->at) = true;
    return HM_OK;
}

/* ---- values, back to text ---- */

static bool get_text(const char *value, size_t idx, char *text, size_t max)
{
    return idx == 0 && value[0] != '\0' && text_copy(text, max, value);
}

static bool get_plain(const struct conf *conf, const struct option *option, size_t idx, char *text,
                      size_t max)
{
    return get_text((const char *) conf + option->at, idx, text, max);
}

static bool get_join(const struct conf *conf, const struct option *option, size_t idx, char *text,
                     size_t max)
{
    (void) option;
    return idx < conf->join_count && get_text(conf->join[idx], 0, text, max);
}

static bool get_beacon_port(const struct conf *conf, const struct option *option, size_t idx,
                            char *text, size_t max)
{
    (void) option;
    return idx == 0 && conf->beacon_port != 0 && snprintf(text, max, "%u", conf->beacon_port) > 0;
}

static bool get_bind(const struct conf *conf, const struct option *option, size_t idx, char *text,
                     size_t max)
{
    (void) option;
    char at[ADDR_TEXT_BYTES];
    if (idx > 0 || !conf->has_bind) {
        return false;
    }
    if (conf->bind.family == 0) {
        return snprintf(text, max, conf->bind.port == 0 ? "0.0.0.0" : ":%u", conf->bind.port) > 0;
    }
    if (conf->bind.scope != 0) {
        return snprintf(text, max, "[%s%%%u]:%u", addr_format_ip(&conf->bind, at),
                        (unsigned) conf->bind.scope, conf->bind.port) > 0;
    }
    return get_text(conf->bind.port == 0 ? addr_format_ip(&conf->bind, at)
                                         : addr_format(&conf->bind, at),
                    0, text, max);
}

static bool get_interface(const struct conf *conf, const struct option *option, size_t idx,
                          char *text, size_t max)
{
    (void) option;
    return idx < conf->interface_count && get_text(conf->interfaces[idx], 0, text, max);
}

static bool get_auto_role(const struct conf *conf, const struct option *option, size_t idx,
                          char *text, size_t max)
{
    (void) option;
    return get_text(conf->auto_role ? "true" : "false", idx, text, max);
}

static bool get_capabilities(const struct conf *conf, const struct option *option, size_t idx,
                             char *text, size_t max)
{
    (void) option;
    const char *at = conf->capabilities;
    for (; idx > 0 && *at != '\0'; idx--) {
        at += strcspn(at, ",");
        at += *at == ',' ? 1 : 0;
    }
    size_t len = strcspn(at, ",");
    return len > 0 && len < max && snprintf(text, max, "%.*s", (int) len, at) > 0;
}

static bool get_label(const struct conf *conf, const struct option *option, size_t idx, char *text,
                      size_t max)
{
    (void) option;
    return idx < conf->label_count &&
           snprintf(text, max, "%s=%s", conf->labels[idx].key, conf->labels[idx].value) < (int) max;
}

static bool get_log_format(const struct conf *conf, const struct option *option, size_t idx,
                           char *text, size_t max)
{
    (void) option;
    return get_text(conf->log_format == LOG_JSON ? "json" : "text", idx, text, max);
}

static bool get_log_level(const struct conf *conf, const struct option *option, size_t idx,
                          char *text, size_t max)
{
    (void) option;
    return get_text(log_level_name(conf->log_level), idx, text, max);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define FIELD(field) offsetof(struct conf, field), sizeof(((struct conf *) NULL)->field)
#define PLAIN(field) set_plain, get_plain, FIELD(field)
#define ACTION(field) set_action, NULL, FIELD(field)
#define NO_FIELD 0, 0

static const struct option options[] = {
    {"discover", "MESH", OPTION_TEXT, 0, set_discover, get_plain, FIELD(mesh),
     "the mesh to find, join and serve (required)"},
    {"name", "N", OPTION_TEXT, 0, set_name, get_plain, FIELD(name),
     "this node's name (default: the host name)"},
    {"data-dir", "D", OPTION_TEXT, 0, PLAIN(data_dir),
     "where everything of this node lives (default: /var/lib/meshd/MESH/NAME as root,\n"
     "else $XDG_STATE_HOME/meshd/MESH/NAME)"},
    {"key-file", "F", OPTION_TEXT, 0, PLAIN(key_file),
     "the mesh's key ring, made there if absent (default: `key` one level above D, shared by\n"
     "all nodes whose directories are there)"},
    {"token", "-", OPTION_TEXT, OPTION_SECRET, set_token, get_plain, FIELD(token),
     "take the mesh's key from a token on standard input (`meshctl token` prints one)"},
    {"token-file", "F", OPTION_TEXT, 0, PLAIN(token_file),
     "take the mesh's key from a token in this file; an empty file says nothing"},
    {"join", "H[:P]", OPTION_LIST, OPTION_RELOADS, set_join, get_join, NO_FIELD,
     "also look for the mesh at this host; may be repeated"},
    {"bind", "ADDR[:PORT]", OPTION_TEXT, 0, set_bind, get_bind, NO_FIELD,
     "listen on this address only (default: all, port 8471 or the next free one)"},
    {"interface", "I", OPTION_LIST, 0, set_interface, get_interface, NO_FIELD,
     "use this network interface, whatever it is called, and no others but those named; may\n"
     "be repeated (default: every real one, not those of containers and tunnels)"},
    {"beacon-port", "PORT", OPTION_TEXT, 0, set_beacon_port, get_beacon_port, NO_FIELD,
     "the UDP port of beacons, the same on all nodes that are to find each other (default:\n"
     "5670, which Zyre uses too)"},
    {"socket", "S", OPTION_TEXT, 0, PLAIN(socket),
     "where meshctl connects (default: D/meshd.sock)"},
    {"group", "G", OPTION_TEXT, 0, PLAIN(group),
     "members of this group of users may run meshctl here (default: this user and root)"},
    {"services-dir", "D", OPTION_TEXT, OPTION_RELOADS, PLAIN(services_dir),
     "register the services that the files in this directory say, or `none` (default:\n"
     "services.d beside the configuration file, or where that would be)"},
    {"role", "R", OPTION_TEXT, OPTION_RELOADS, PLAIN(role),
     "what this machine is for; the same as --label role=R"},
    {"auto-role", "true|false", OPTION_SWITCH, OPTION_RELOADS, set_auto_role, get_auto_role,
     NO_FIELD,
     "without --role, choose one by what the machine has: portable, gateway, storage,\n"
     "compute or edge"},
    {"capabilities", "A,B", OPTION_LIST, OPTION_RELOADS, set_capabilities, get_capabilities,
     NO_FIELD, "what it can do, as the label capabilities"},
    {"label", "K=V", OPTION_MAP, OPTION_RELOADS, set_label, get_label, NO_FIELD,
     "a label of this node; may be repeated"},
    {"log-format", "text|json", OPTION_TEXT, OPTION_RELOADS, set_log_format, get_log_format,
     NO_FIELD, "how lines on stderr look (default: text)"},
    {"log-level", "L", OPTION_TEXT, OPTION_RELOADS, set_log_level, get_log_level, NO_FIELD,
     "debug, info, warn or error (default: info)"},
    {"config", "F", OPTION_TEXT, OPTION_NO_KEY, PLAIN(config),
     "read this file, or `none` (default: /etc/meshd/meshd.yaml as root, else\n"
     "$XDG_CONFIG_HOME/meshd/meshd.yaml, if it is there)"},
    {"print-config", NULL, OPTION_ACTION, OPTION_FLAG_ONLY, ACTION(want_print),
     "print every option, its value and where it came from, and exit"},
    {"format", "text|json", OPTION_TEXT, OPTION_FLAG_ONLY, set_format, NULL, NO_FIELD,
     "how --print-config prints (default: text)"},
    {"check-config", NULL, OPTION_ACTION, OPTION_FLAG_ONLY, ACTION(want_check),
     "say whether file, environment and flags are right, and exit"},
    {"new-identity", NULL, OPTION_ACTION, OPTION_FLAG_ONLY, ACTION(want_new_identity),
     "move this node's identity aside, so that the next start makes a new one, and exit: for\n"
     "a copied data directory"},
    {"help", NULL, OPTION_ACTION, OPTION_FLAG_ONLY, ACTION(want_help), "print this and exit"},
    {"version", NULL, OPTION_ACTION, OPTION_FLAG_ONLY, ACTION(want_version),
     "print the version and exit"},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])
_Static_assert(OPTION_COUNT <= CONF_OPTIONS_MAX, "struct conf keeps the source of each option");

size_t conf_option_count(void)
{
    return OPTION_COUNT;
}

const struct option *conf_option(size_t idx)
{
    HM_ASSERT(idx < OPTION_COUNT);
    return &options[idx];
}

size_t conf_option_index(const struct option *option)
{
    return (size_t) (option - options);
}

const struct option *conf_option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

const char *conf_option_nearest(const char *name, unsigned without)
{
    const char *words[OPTION_COUNT + 1];
    size_t count = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((options[i].traits & without) == 0) {
            words[count++] = options[i].name;
        }
    }
    words[count] = NULL;
    return text_nearest(name, words);
}

/* ---- setting --------------------------------------------------------------------------------- */

/* Takes back what a weaker source said of a list, so that a stronger one replaces it as it does
 * all else. */
static void clear_list(struct conf *conf, const struct option *option)
{
    if (option->set == set_join) {
        conf->join_count = 0;
    } else if (option->set == set_label) {
        conf->label_count = 0;
    } else if (option->set == set_capabilities) {
        conf->capabilities[0] = '\0';
    } else if (option->set == set_interface) {
        conf->interface_count = 0;
    }
}

int conf_set(struct conf *conf, const struct option *option, bool is_first, unsigned line,
             const struct given *given)
{
    if (is_first) {
        clear_list(conf, option);
        conf->origins[conf_option_index(option)] = (struct conf_origin){given->from, line};
    }
    struct given own = *given;
    own.option = option;
    return option->set(conf, &own);
}

int conf_set_list(struct conf *conf, const struct option *option, bool is_first, unsigned line,
                  const struct given *given)
{
    char item[CONF_VALUE_BYTES_MAX];
    int rc = HM_OK;
    for (const char *at = given->value; *at != '\0' && rc == HM_OK;) {
        size_t len = strcspn(at, ",");
        if (len >= sizeof item) {
            return conf_wrong(given, "an item of the list is too long");
        }
        memcpy(item, at, len);
        item[len] = '\0';
        struct given one = *given;
        one.value = item;
        if (len > 0) {
            rc = conf_set(conf, option, is_first, line, &one);
            is_first = false;
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
    return rc;
}

/* "data-dir" is "MESHD_DATA_DIR". */
void conf_env_name(const char *name, char *text, size_t max)
{
    size_t len = (size_t) snprintf(text, max, CONF_ENV_PREFIX "%s", name);
    HM_ASSERT(len < max);
    for (char *at = text + strlen(CONF_ENV_PREFIX); *at != '\0'; at++) {
        *at = *at == '-' ? '_' : (char) toupper((unsigned char) *at);
    }
}
