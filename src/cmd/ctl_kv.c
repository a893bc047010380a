/* SPDX-License-Identifier: MPL-2.0 */
/* Commands on keys that are more than a request and a table: a value comes from an argument, a
 * file or stdin; a value is printed as it is; a list has any number of pages. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct op_value *value_of(struct op_values *values, const struct op_spec *spec,
                                 const char *name)
{
    return &values->v[ops_args_index(spec, name)];
}

/* ---- put ------------------------------------------------------------------------------------- */

static int read_fd(int fd, const char *what, struct buf *to)
{
    for (;;) {
        uint8_t *at = buf_extend(to, 65536);
        if (at == NULL) {
            ctl_error("out of memory");
            return EXIT_REFUSED;
        }
        ssize_t got = read(fd, at, 65536);
        buf_truncate(to, to->size - 65536 + (got > 0 ? (size_t) got : 0));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            ctl_error("cannot read the value from %s: %s", what, strerror(errno));
            return EXIT_REFUSED;
        }
        if (to->size > HM_VALUE_BYTES_MAX) {
            ctl_error("the value in %s has more than %d bytes (1 MiB): keep large things in files, "
                      "and where they are in the registry",
                      what, HM_VALUE_BYTES_MAX);
            return EXIT_REFUSED;
        }
        if (got == 0) {
            return EXIT_DONE;
        }
    }
}

static int read_file(const char *path, struct buf *to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ctl_error("cannot open %s: %s", path, strerror(errno));
        return EXIT_REFUSED;
    }
    int exit_code = read_fd(fd, path, to);
    close(fd);
    return exit_code;
}

/* Where the value comes from; a counter that is given none counts one. */
static int read_value(const struct ctl_opts *o, struct op_values *values, struct buf *bytes)
{
    struct op_value *value = value_of(values, o->spec, "value");
    const struct op_value *file = value_of(values, o->spec, "file");
    const struct op_value *type = value_of(values, o->spec, "type");
    char why[OPS_WHY_BYTES];
    bool is_dash = value->is_given && value->bytes.size == 1 && value->bytes.data[0] == '-';
    bool is_counter = type->is_given && strcmp(type->text, "counter") == 0;
    if (!file->is_given && ((value->is_given && !is_dash) || (!value->is_given && is_counter))) {
        return EXIT_DONE;
    }
    if (!file->is_given && isatty(STDIN_FILENO) == 1) {
        fputs("meshctl: reading the value from the terminal; end it with Ctrl-D\n", stderr);
    }
    int exit_code =
        file->is_given ? read_file(file->text, bytes) : read_fd(STDIN_FILENO, "stdin", bytes);
    if (exit_code == EXIT_DONE &&
        ops_args_set_bytes(o->spec, ops_args_index(o->spec, "value"),
                           span_of(bytes->data, bytes->size), values, why) != HM_OK) {
        ctl_error("%s", why);
        exit_code = EXIT_REFUSED;
    }
    return exit_code;
}

static int put(struct ctl *ctl, struct out *out)
{
    (void) out;
    const struct ctl_opts *o = ctl->opts;
    struct op_values values = o->values;
    struct buf bytes;
    json_t *reply = NULL;
    buf_init(&bytes, HM_VALUE_BYTES_MAX + 2 * 65536);
    int exit_code = read_value(o, &values, &bytes);
    exit_code = exit_code == EXIT_DONE ? ctl_ask(ctl, &values, &reply) : exit_code;
    if (exit_code == EXIT_DONE && o->format == FORMAT_JSON) {
        ctl_json_print(reply, false);
    }
    json_decref(reply);
    buf_fini(&bytes);
    return exit_code;
}

/* ---- get ------------------------------------------------------------------------------------- */

static int get(struct ctl *ctl, struct out *out)
{
    (void) out;
    json_t *reply = NULL;
    int exit_code = ctl_ask(ctl, &ctl->opts->values, &reply);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    if (ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(reply, false);
    } else if (kv_print_raw(json_object_get(reply, "value")) == HM_EMALFORMED) {
        exit_code = ctl_failed(ctl, HM_EMALFORMED, "");
    }
    json_decref(reply);
    return exit_code;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Each page has the whole timeout: how many there are, nobody knows before. */
static int list(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    struct kv_printer printer = {.out = out,
                                 .is_json = o->format == FORMAT_JSON,
                                 .is_conflicts = o->spec->op == OP_KV_CONFLICTS,
                                 .is_report = o->spec->op == OP_REGISTRY_REPORT};
    struct op_values values = o->values;
    bool is_on = true;
    while (is_on) {
        json_t *page = NULL;
        char why[256];
        int code = ctl_ask_once(ctl, o->spec, &values, o->timeout_ms, &page, why);
        if (code != HM_OK) {
            kv_print_end(&printer, NULL);
            return ctl_failed(ctl, code, why);
        }
        kv_print_page(&printer, json_object_get(page, "keys"));
        is_on = ctl_next_page(o->spec, page, 0, &values);
        json_decref(page);
        if (ferror(stdout)) {
            return EXIT_DONE; /* main says so */
        }
    }
    kv_print_end(&printer, printer.is_conflicts ? "no conflicts: every key has one value"
                           : printer.is_report ? "nothing collided: no key was written on two sides"
                           : value_of(&values, o->spec, "prefix")->is_given
                               ? "no key begins so"
                               : "no keys yet: \"meshctl kv put KEY VALUE\" writes one");
    return EXIT_DONE;
}

typedef int run_fn(struct ctl *ctl, struct out *out);

static run_fn *runner_of(enum op op)
{
    static const struct {
        enum op op;
        run_fn *run;
    } runners[] = {
        {OP_KV_PUT, put},
        {OP_KV_GET, get},
        {OP_KV_LIST, list},
        {OP_KV_CONFLICTS, list},
        {OP_REGISTRY_REPORT, list}, {OP_REGISTRY_DIFF, registry_diff},
        {OP_KV_WATCH, kv_watch},
        {OP_REGISTRY_EXPORT, registry_export},
        {OP_REGISTRY_IMPORT, registry_import},
        {OP_BACKUP, ctl_backup},
        {OP_RESTORE, ctl_restore},
    };
    for (size_t i = 0; i < sizeof runners / sizeof runners[0]; i++) {
        if (runners[i].op == op) {
            return runners[i].run;
        }
    }
    return NULL;
}

bool ctl_is_kv(enum op op)
{
    return runner_of(op) != NULL;
}

int ctl_run_kv(struct ctl *ctl, struct out *out)
{
    return runner_of(ctl->opts->spec->op)(ctl, out);
}
