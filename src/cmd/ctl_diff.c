/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl registry diff: the keys of two nodes side by side. Both are asked page after page, and since keys
 * come in the same order everywhere, no more than a page of each is held. What is written meanwhile
 * may show as a difference. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/err.h"

#include <string.h>

/* The keys of one node, one after the other. */
struct keys {
    struct ctl ctl; /* asks this node */
    struct ctl_opts opts;
    const struct op_spec *spec;
    struct op_values values;
    json_t *page;
    size_t at;
    bool is_last;
};

static void keys_init(struct keys *k, const struct ctl *ctl, const char *node)
{
    memset(k, 0, sizeof *k);
    k->opts = *ctl->opts;
    k->opts.node = node;
    k->ctl = *ctl;
    k->ctl.opts = &k->opts;
    k->spec = ops_spec(OP_KV_LIST);
    ops_args_init(k->spec, &k->values);
}

/* The next one, borrowed until the one after it; NULL behind the last. An exit code. */
static int keys_next(struct keys *k, const json_t **ret_item)
{
    char why[256];
    *ret_item = NULL;
    while (k->page == NULL || k->at == json_array_size(json_object_get(k->page, "keys"))) {
        if (k->page != NULL) {
            k->is_last = !ctl_next_page(k->spec, k->page, 0, &k->values);
            json_decref(k->page);
            k->page = NULL;
            k->at = 0;
        }
        if (k->is_last) {
            return EXIT_DONE;
        }
        int code = ctl_ask_once(&k->ctl, k->spec, &k->values, k->opts.timeout_ms, &k->page, why);
        if (code != HM_OK) {
            return ctl_failed(&k->ctl, code, why);
        }
    }
    *ret_item = json_array_get(json_object_get(k->page, "keys"), k->at++);
    return EXIT_DONE;
}

struct diff {
    struct out *out;
    const char *node;
    bool is_json;
    size_t differences;
};

/* here or there may be NULL: not held. */
static void tell(struct diff *d, const json_t *here, const json_t *there)
{
    const char *key = ctl_text(here != NULL ? here : there, "key");
    if (d->is_json) {
        json_t *line = json_pack("{s:s, s:s?, s:s?}", "key", key, "here",
                                 here != NULL ? ctl_text(here, "version") : NULL, "there",
                                 there != NULL ? ctl_text(there, "version") : NULL);
        fputs(d->differences == 0 ? "[\n  " : ",\n  ", stdout);
        json_dumpf(line, stdout, 0);
        json_decref(line);
    } else {
        out_put(d->out, STYLE_BOLD, key, 0);
        if (here == NULL || there == NULL) {
            out_say(": only %s%s", there == NULL ? "here" : "at ", there == NULL ? "" : d->node);
        } else {
            out_say(": differs, written by %s here and by %s there", ctl_text(here, "origin"),
                    ctl_text(there, "origin"));
        }
        fputc('\n', stdout);
    }
    d->differences++;
}

static int compare(struct diff *d, struct keys *here, struct keys *there)
{
    const json_t *a, *b;
    int exit_code = keys_next(here, &a);
    exit_code = exit_code == EXIT_DONE ? keys_next(there, &b) : exit_code;
    while (exit_code == EXIT_DONE && (a != NULL || b != NULL)) {
        int order = a == NULL   ? 1
                    : b == NULL ? -1
                                : strcmp(ctl_text(a, "key"), ctl_text(b, "key"));
        bool is_same = order == 0 && strcmp(ctl_text(a, "version"), ctl_text(b, "version")) == 0 &&
                       ctl_int(a, "conflicts") == ctl_int(b, "conflicts");
        if (!is_same) {
            tell(d, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
        }
        exit_code = order <= 0 ? keys_next(here, &a) : EXIT_DONE;
        exit_code = exit_code == EXIT_DONE && order >= 0 ? keys_next(there, &b) : exit_code;
    }
    return exit_code;
}

int registry_diff(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    const struct op_value *node = ops_args_get(o->spec, &o->values, "other");
    struct diff d = {.out = out, .node = node->text, .is_json = o->format == FORMAT_JSON};
    struct keys here, there;
    if (!node->is_given) {
        ctl_error("registry diff needs the name of another node: %s", o->spec->example);
        return EXIT_USAGE;
    }
    keys_init(&here, ctl, o->node);
    keys_init(&there, ctl, node->text);
    int exit_code = compare(&d, &here, &there);
    json_decref(here.page);
    json_decref(there.page);
    if (exit_code == EXIT_DONE && d.is_json) {
        fputs(d.differences == 0 ? "[]\n" : "\n]\n", stdout);
    } else if (exit_code == EXIT_DONE && d.differences == 0) {
        printf("the same keys and values as at %s\n", d.node);
    }
    return exit_code;
}
