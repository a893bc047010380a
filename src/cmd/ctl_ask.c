/* SPDX-License-Identifier: MPL-2.0 */
/* Finding the daemon, asking it, and saying what went wrong with the exit code that belongs to
 * it. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "client/client.h"
#include "io/paths.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The daemon's own answer at the deadline says more than ours: let it come first. */
#define GRACE_MS 250
#define END_WAIT_MS 3000 /* meshd ends within a second of leaving */
#define END_POLL_MS 10
#define STARTING_MAX 16 /* data directories looked at when none is named */

void ctl_error(const char *format, ...)
{
    char text[4096 + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *at = text; *at != '\0'; at++) {
        if (((unsigned char) *at < 0x20 && *at != '\n') || *at == 0x7f) {
            *at = '?';
        }
    }
    fflush(stdout);
    fprintf(stderr, "meshctl: %s\n", text);
}

uint64_t ctl_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* ---- which daemon ---------------------------------------------------------------------------- */

static void print_quoted(const char *text, FILE *to)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=:,@%+~[]";
    if (text[0] != '\0' && strspn(text, plain) == strlen(text)) {
        fputs(text, to);
        return;
    }
    fputc('\'', to);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", to);
        } else {
            fputc((unsigned char) *text < 0x20 ? '?' : *text, to);
        }
    }
    fputc('\'', to);
}

static int choose_among(const struct ctl_opts *o, const struct paths_node *nodes, size_t count)
{
    ctl_error("%zu nodes run on this machine; say which one to ask:", count);
    for (size_t i = 0; i < count; i++) {
        char option[PATHS_BYTES + 16];
        fprintf(stderr, "  %s in %s:  meshctl ", nodes[i].name, nodes[i].mesh);
        snprintf(option, sizeof option, "--data-dir=%s", nodes[i].data_dir);
        print_quoted(option, stderr);
        for (int k = 1; k < o->argc; k++) {
            fputc(' ', stderr);
            print_quoted(o->argv[k], stderr);
        }
        fputc('\n', stderr);
    }
    return EXIT_USAGE;
}

static int use_node(struct ctl *ctl, const struct paths_node *node)
{
    text_copy(ctl->data_dir, sizeof ctl->data_dir, node->data_dir);
    text_copy(ctl->socket, sizeof ctl->socket, node->socket);
    return EXIT_DONE;
}

static int find_by_dir(struct ctl *ctl, const char *data_dir, bool is_quiet)
{
    struct paths_node node;
    struct why why = {.text = ""};
    int code = paths_node_at(data_dir, &node, &why);
    if (code == HM_OK) {
        return use_node(ctl, &node);
    }
    if (is_quiet) {
        return EXIT_NO_DAEMON;
    }
    ctl_error("%s", why.text[0] != '\0' ? why.text : hm_strerror(code));
    return EXIT_NO_DAEMON;
}

/* A large store on a slow disk makes a start long. */
static bool tell_starting(void)
{
    static char dirs[STARTING_MAX][PATHS_BYTES];
    static struct paths_node node;
    size_t count = paths_guess_dirs(dirs, STARTING_MAX);
    for (size_t i = 0; i < count; i++) {
        struct why why = {.text = ""};
        if (paths_node_at(dirs[i], &node, &why) == HM_EBUSY) {
            ctl_error("%s", why.text);
            return true;
        }
    }
    return false;
}

static void tell_none(void)
{
    static struct paths_closed closed;
    if (tell_starting()) {
        return;
    }
    if (!paths_find_closed(&closed)) {
        ctl_error("no meshd of this user runs on this machine; start one with "
                  "\"meshd --discover=MESH\", or name one with --data-dir or --socket");
    } else if (closed.group[0] == '\0') {
        ctl_error("the meshd on %s answers only root: run meshctl with sudo", closed.data_dir);
    } else {
        ctl_error("the meshd on %s answers only root and the group %s: run meshctl with sudo, or "
                  "let this user in with \"sudo usermod -aG %s $USER\" and log in again",
                  closed.data_dir, closed.group, closed.group);
    }
}

static int find_only(struct ctl *ctl, bool is_quiet)
{
    struct paths_node *nodes = NULL;
    size_t count = 0;
    int code = paths_find_nodes(&nodes, &count);
    int exit_code = EXIT_NO_DAEMON;
    if (code == HM_OK && count == 1) {
        exit_code = use_node(ctl, &nodes[0]);
    } else if (code == HM_OK && count > 1) {
        exit_code = is_quiet ? EXIT_USAGE : choose_among(ctl->opts, nodes, count);
    } else if (!is_quiet) {
        if (code == HM_OK) {
            tell_none();
        } else {
            ctl_error("%s", hm_strerror(code));
        }
    }
    free(nodes);
    return exit_code;
}

/* Once found, it stays the same node: a follower comes back to it after a restart. */
static int find_daemon(struct ctl *ctl, bool is_quiet)
{
    if (ctl->opts->socket != NULL) {
        text_copy(ctl->socket, sizeof ctl->socket, ctl->opts->socket);
        return EXIT_DONE;
    }
    if (ctl->data_dir[0] != '\0') {
        char data_dir[sizeof ctl->data_dir];
        text_copy(data_dir, sizeof data_dir, ctl->data_dir);
        return find_by_dir(ctl, data_dir, is_quiet);
    }
    return ctl->opts->data_dir != NULL ? find_by_dir(ctl, ctl->opts->data_dir, is_quiet)
                                       : find_only(ctl, is_quiet);
}

int ctl_connect(struct ctl *ctl, bool is_quiet)
{
    int exit_code = find_daemon(ctl, is_quiet);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    int code = client_new(ctl->socket, &ctl->client);
    if (code == HM_OK) {
        return EXIT_DONE;
    }
    if (is_quiet) {
        return EXIT_NO_DAEMON;
    }
    switch (code) {
    case HM_EUNREACHABLE:
        ctl_error("no meshd listens on %s", ctl->socket);
        return EXIT_NO_DAEMON;
    case HM_EDENIED:
        ctl_error("the socket %s belongs to another user: run meshctl as the user of that meshd",
                  ctl->socket);
        return EXIT_NO_DAEMON;
    case HM_EINVAL:
        ctl_error("the socket path %s is longer than 107 bytes; name the node with --data-dir",
                  ctl->socket);
        return EXIT_USAGE;
    default:
        ctl_error("cannot connect to %s: %s", ctl->socket, hm_strerror(code));
        return EXIT_REFUSED;
    }
}

void ctl_disconnect(struct ctl *ctl)
{
    client_destroy(&ctl->client);
}

bool ctl_wait_end(struct ctl *ctl)
{
    uint64_t deadline_ms = ctl_now_ms() + END_WAIT_MS;
    const struct timespec pause = {.tv_nsec = END_POLL_MS * 1000000};
    struct paths_node node;
    if (client_wait_end(ctl->client, END_WAIT_MS) != HM_OK) {
        return false;
    }
    /* The socket closes shortly before the process ends. */
    while (ctl->data_dir[0] != '\0' && paths_node_at(ctl->data_dir, &node, NULL) == HM_OK) {
        if (ctl_now_ms() >= deadline_ms) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int ctl_exit_of(int code)
{
    switch (code) {
    case HM_EUNREACHABLE:
        return EXIT_NO_DAEMON;
    case HM_ETIMEDOUT:
        return EXIT_TIMEOUT;
    case HM_ENOTFOUND:
        return EXIT_NO_SUCH;
    case HM_EINVAL:
    case HM_EAMBIGUOUS:
        return EXIT_USAGE;
    default:
        return EXIT_REFUSED;
    }
}

int ctl_failed(const struct ctl *ctl, int code, const char *why)
{
    if (why[0] != '\0') {
        ctl_error("%s", why);
    } else if (code == HM_EUNREACHABLE) {
        ctl_error("meshd ended the connection");
    } else if (code == HM_ETIMEDOUT) {
        ctl_error("meshd at %s did not answer within %" PRIu64 " ms", ctl->socket,
                  ctl->opts->timeout_ms);
    } else if (code == HM_EMALFORMED) {
        ctl_error("what meshd answered makes no sense: is it another version?");
    } else {
        ctl_error("%s", hm_strerror(code));
    }
    return ctl_exit_of(code);
}

int ctl_request(const struct op_spec *spec, const struct op_values *values, const char *node,
                uint64_t timeout_ms, struct buf *args, struct api_request *ret_request)
{
    struct api_request request = {.deadline_ms = timeout_ms};
    text_copy(request.op, sizeof request.op, spec->name);
    buf_init(args, HM_REQUEST_BYTES_MAX);
    if (node != NULL && !text_copy(request.node, sizeof request.node, node)) {
        return HM_EINVAL;
    }
    ops_args_write(spec, values, args);
    request.args = buf_span(args);
    *ret_request = request;
    return buf_failed(args) ? HM_ENOMEM : HM_OK;
}

int ctl_ask_once(struct ctl *ctl, const struct op_spec *spec, const struct op_values *values,
                 uint64_t timeout_ms, json_t **ret_reply, char why[256])
{
    struct api_request request;
    struct api_reply reply;
    struct buf args;
    why[0] = '\0';
    int code = ctl_request(spec, values, ctl->opts->node, timeout_ms, &args, &request);
    if (code == HM_EINVAL) {
        text_copy(why, 256, "--node is longer than a name or an id can be");
    }
    code = code == HM_OK ? client_call(ctl->client, &request, timeout_ms + GRACE_MS, &reply) : code;
    buf_fini(&args);
    if (code != HM_OK) {
        return code;
    }
    if (reply.code != HM_OK) {
        text_copy(why, 256, reply.text);
        ctl_clean(why);
        return reply.code;
    }
    json_t *json = ctl_json_of(reply.value.data, reply.value.size);
    if (!json_is_object(json)) {
        json_decref(json);
        return HM_EMALFORMED;
    }
    *ret_reply = json;
    return HM_OK;
}

bool ctl_next_page(const struct op_spec *spec, const json_t *page, int64_t last,
                   struct op_values *values)
{
    const json_t *next = json_object_get(page, "next");
    char why[OPS_WHY_BYTES];
    if (spec->items == NULL) {
        return false;
    }
    if (spec->kind == OP_STREAM) {
        struct op_value *since = &values->v[ops_args_index(spec, "since")];
        uint64_t at = (uint64_t) json_integer_value(next);
        bool is_on = at > since->number && json_integer_value(next) < last;
        *since = (struct op_value){.is_given = true, .number = at};
        return is_on;
    }
    size_t idx = ops_args_index(spec, "after");
    return json_is_string(next) && idx < spec->arg_count &&
           ops_args_set(spec, idx, json_string_value(next), values, why) == HM_OK;
}

int ctl_ask_op(struct ctl *ctl, const struct op_spec *spec, const struct op_values *values,
               uint64_t deadline_ms, json_t **ret_reply)
{
    struct op_values at = *values;
    json_t *all = NULL;
    bool is_on = true;
    for (int i = 0; i < CTL_PAGES_MAX && is_on; i++) {
        char why[256] = "";
        json_t *page = NULL;
        uint64_t now = ctl_now_ms();
        int code = now < deadline_ms ? ctl_ask_once(ctl, spec, &at, deadline_ms - now, &page, why)
                                     : HM_ETIMEDOUT;
        if (code != HM_OK) {
            json_decref(all);
            return ctl_failed(ctl, code, why);
        }
        is_on = ctl_next_page(spec, page, ctl_int(all != NULL ? all : page, "last"), &at);
        if (all == NULL) {
            all = page;
            continue;
        }
        int failed = json_array_extend(json_object_get(all, spec->items),
                                       json_object_get(page, spec->items));
        json_decref(page);
        if (failed) {
            json_decref(all);
            return ctl_failed(ctl, HM_EMALFORMED, "");
        }
    }
    *ret_reply = all;
    return EXIT_DONE;
}

int ctl_ask(struct ctl *ctl, const struct op_values *values, json_t **ret_reply)
{
    return ctl_ask_op(ctl, ctl->opts->spec, values, ctl_now_ms() + ctl->opts->timeout_ms,
                      ret_reply);
}
