/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of meshctl share: exit codes, options, output, and asking. */
#ifndef HM_CMD_CTL_H
#define HM_CMD_CTL_H

#include "ops/ops_args.h"
#include "ops/ops_spec.h"
#include "wire/api_msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes: public, see meshctl(1). */
enum ctl_exit {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_DAEMON = 3,
    EXIT_TIMEOUT = 4,
    EXIT_NO_SUCH = 5,
};

enum ctl_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS };
enum ctl_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* An option of meshctl itself. */
struct ctl_option {
    const char *name;
    const char *value; /* NULL: a switch */
    const char *help;  /* NULL: shown with the commands that have it */
};
/* NULL behind the last. */
const struct ctl_option *ctl_option_at(size_t idx);

struct ctl_opts {
    const char *data_dir; /* NULL: not given; as all texts, points into argv or the environment */
    const char *socket;
    const char *node;
    enum ctl_format format;
    enum ctl_color color;
    uint64_t timeout_ms;
    bool follow;
    bool all;
    bool want_help;
    bool want_version;
    bool want_completion_help;
    const char *completion; /* "bash", "zsh": print it and nothing else; or NULL */
    const struct op_spec *spec; /* the command; NULL with want_help or want_version */
    struct op_values values;
    const char *group; /* want_help for all commands that begin with this word, or NULL */
    int argc;          /* as given, to repeat it in what to type instead */
    char *const *argv;
};

/* EXIT_DONE, or EXIT_USAGE after one line on stderr. */
int ctl_opts_parse(int argc, char *const *argv, struct ctl_opts *ret_opts);
/* Help: all commands, those of opts->group, or one command (opts->spec). */
void ctl_help(const struct ctl_opts *opts, FILE *to);

/* The completion of opts->completion (ctl_complete.c). */
void ctl_print_completion(const struct ctl_opts *opts);

/* One line on stderr, "meshctl: …"; control characters of foreign texts become '?'. */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Asking (ctl_ask.c). */
struct ctl {
    const struct ctl_opts *opts;
    struct client *client;
    char data_dir[4096]; /* where the daemon was found; "": by its socket only */
    char socket[4096];
};

/* Finds the daemon and connects. An exit code; what is wrong is on stderr unless is_quiet. */
int ctl_connect(struct ctl *ctl, bool is_quiet);
void ctl_disconnect(struct ctl *ctl);
/* Waits, at most a few seconds, until the daemon has ended and its data directory is free.
 * False: it has not. */
bool ctl_wait_end(struct ctl *ctl);
/* Asks the command's operation, all pages. On EXIT_DONE the caller owns *ret_reply: the object that
 * was answered, lists joined. */
int ctl_ask(struct ctl *ctl, const struct op_values *values, json_t **ret_reply);
/* The same of any operation, of --node or the local node, until a deadline (ctl_now_ms). */
int ctl_ask_op(struct ctl *ctl, const struct op_spec *spec, const struct op_values *values,
               uint64_t deadline_ms, json_t **ret_reply);
/* One request with its own timeout; the reply's object. HM_OK or HM_E*; why has the daemon's
 * text. */
int ctl_ask_once(struct ctl *ctl, const struct op_spec *spec, const struct op_values *values,
                 uint64_t timeout_ms, json_t **ret_reply, char why[256]);
/* Fills a request to a node (NULL or "": the local one) whose arguments are kept in args (made
 * here; buf_fini). HM_OK, HM_EINVAL (node too long), HM_ENOMEM. */
int ctl_request(const struct op_spec *spec, const struct op_values *values, const char *node,
                uint64_t timeout_ms, struct buf *args, struct api_request *ret_request);
/* Where the next page begins, as arguments. False: this was the last. `last` is the field of that
 * name in the first page of a stream. */
bool ctl_next_page(const struct op_spec *spec, const json_t *page, int64_t last,
                   struct op_values *values);
/* Of one answer; 8192 members with all their labels need 160. */
#define CTL_PAGES_MAX 256
/* A monotonic clock. */
uint64_t ctl_now_ms(void);
/* Says what went wrong and returns the exit code for it. */
int ctl_failed(const struct ctl *ctl, int code, const char *why);
/* Only the exit code. */
int ctl_exit_of(int code);

/* Any msgpack value as JSON (bytes become {"base64": …}); NULL: malformed or out of memory. */
json_t *ctl_json_of(const void *data, size_t size);
/* The bytes of a text or {"base64": …}; the caller frees *ret_bytes. HM_EMALFORMED: it is neither. */
int ctl_json_bytes(const json_t *value, uint8_t **ret_bytes, size_t *ret_size);
/* Prints one value: indented for a document, on one line for a stream. */
void ctl_json_print(const json_t *json, bool is_line);

/* Fields of replies; a missing one of an older daemon, or one of another type, is "", 0 or false. */
const char *ctl_text(const json_t *object, const char *field);
const char *ctl_text_of(const json_t *value); /* of an item of a list, a label's value */
/* "a, b" of a list of texts, "k=v, …" of a map; "-" for none. The caller frees it. NULL: no memory. */
char *ctl_joined(json_t *values);
int64_t ctl_int(const json_t *object, const char *field);
bool ctl_bool(const json_t *object, const char *field);

/* Makes a text of another node one that can be shown, and that JSON takes: control characters, and
 * all bytes beyond ASCII of what is no UTF-8, become '?'. */
void ctl_clean(char *text);

/* Commands: each prints a reply for a person. */
struct out;
void ctl_print_text(struct out *out, enum op op, const json_t *reply);
/* What --format=json shows of a reply: borrowed from it. */
json_t *ctl_json_shown(const struct op_spec *spec, json_t *reply);
void ctl_print_status(struct out *out, const json_t *reply);
void ctl_print_nodes(struct out *out, const json_t *reply);
void ctl_print_node(struct out *out, const json_t *reply);
void ctl_print_rtt(struct out *out, const json_t *reply);
void ctl_print_peers(struct out *out, const json_t *reply);
void ctl_print_limits(struct out *out, const json_t *reply);
void ctl_print_rename(struct out *out, const json_t *reply);
void ctl_print_removed(struct out *out, const json_t *reply);
void ctl_print_leave(struct out *out, const json_t *reply);
void ctl_print_token(struct out *out, const json_t *reply);
void ctl_print_metrics(struct out *out, const json_t *reply);
void ctl_print_version(struct out *out, const json_t *reply);
void ctl_print_events(struct out *out, const json_t *reply);
void ctl_print_kv(struct out *out, enum op op, const json_t *reply);
void ctl_print_registry(struct out *out, const json_t *reply);
void ctl_print_entries(struct out *out, const json_t *reply);
void ctl_print_services(struct out *out, enum op op, const json_t *reply);
/* Services as they are, then each change, without an end; returns an exit code. */
int ctl_watch_services(struct ctl *ctl, struct out *out);
/* True if the command is one that ctl_run_kv runs. */
bool ctl_is_kv(enum op op);
/* Commands on keys that read a value, write one as it is, or have no end; returns an exit code. */
int ctl_run_kv(struct ctl *ctl, struct out *out);
/* Prometheus's text format. */
void ctl_print_prometheus(const json_t *reply);
/* True if nobody reads our output any more, after at most wait_ms. */
bool ctl_is_unread(int wait_ms);
/* Asks once; HM_OK when there was an answer. why: what to say of a failure, may stay "". */
typedef int ctl_once_fn(void *ctx, char why[256]);
/* Asks again and again, also while the daemon is gone for a while, until what went wrong is not worth
 * waiting for, or nobody reads stdout any more. An exit code. */
int ctl_keep_asking(struct ctl *ctl, ctl_once_fn *once, void *ctx);
/* Runs until killed or nobody reads; returns an exit code. */
int ctl_follow(struct ctl *ctl, struct out *out);

#endif
