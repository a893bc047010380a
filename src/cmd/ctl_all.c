/* SPDX-License-Identifier: MPL-2.0 */
/* Asking every node: see ctl_all.h.
 *
 * The member list of the local node says who there is. Requests go out in a window: the node that
 * passes them on has 64 places for calls that wait, and other clients want some. A node that does not
 * answer keeps its place until its deadline, so in a large mesh each gets only a part of the time. */
#define _GNU_SOURCE
#include "cmd/ctl_all.h"

#include "base/err.h"
#include "base/text.h"
#include "client/client.h"
#include "cmd/ctl_out.h"
#include "ops/ops_args.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW 16          /* requests under way at once */
#define GRACE_MS 250       /* the daemon's own answer at the deadline says more than ours */
#define REFUSED_WAIT_MS 20 /* until a place may be free again */

/* A request under way. */
struct slot {
    bool is_used;
    uint64_t request_id;
    size_t node;
    size_t pages;        /* that have come */
    struct op_values at; /* of the page that is asked for */
};

struct fan {
    struct ctl *ctl;
    struct ctl_all *all;
    const struct op_spec *spec;
    const struct op_values *values;
    uint64_t deadline_ms;
    struct slot slots[WINDOW];
    size_t used;
    size_t next; /* node not asked yet */
};

static uint64_t wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec < 0 ? 0 : (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* ---- who is there ---------------------------------------------------------------------------- */

int ctl_all_init(struct ctl *ctl, struct ctl_all *all, uint64_t deadline_ms)
{
    const struct op_spec *spec = ops_spec(OP_NODES_LIST);
    struct op_values values;
    json_t *reply = NULL;
    size_t i;
    json_t *member;
    memset(all, 0, sizeof *all);
    ops_args_init(spec, &values);
    int exit_code = ctl_ask_op(ctl, spec, &values, deadline_ms, &reply);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    const json_t *members = json_object_get(reply, "nodes");
    all->nodes = calloc(json_array_size(members) + 1, sizeof all->nodes[0]);
    if (all->nodes == NULL) {
        json_decref(reply);
        return ctl_failed(ctl, HM_ENOMEM, "");
    }
    json_array_foreach(members, i, member)
    {
        struct ctl_node *node = &all->nodes[all->count];
        text_copy(node->id, sizeof node->id, ctl_text(member, "id"));
        text_copy(node->name, sizeof node->name, ctl_text(member, "name"));
        text_copy(node->status, sizeof node->status, ctl_text(member, "status"));
        node->is_self = ctl_bool(member, "self");
        node->member = member;
        all->count += strcmp(node->status, "left") != 0 ? 1 : 0;
    }
    all->members = reply;
    return EXIT_DONE;
}

static void forget(struct ctl_node *node)
{
    json_decref(node->reply);
    node->reply = NULL;
    node->code = HM_OK;
    node->error[0] = '\0';
}

void ctl_all_fini(struct ctl_all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        forget(&all->nodes[i]);
    }
    free(all->nodes);
    json_decref(all->members);
    memset(all, 0, sizeof *all);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void node_failed(struct ctl_node *node, int code, const char *why)
{
    forget(node);
    node->code = code;
    text_copy(node->error, sizeof node->error, why[0] != '\0' ? why : hm_strerror(code));
    ctl_clean(node->error);
}

/* Time for one request: all there is, but no more than half while others wait for the place. */
static uint64_t share_ms(const struct fan *f)
{
    uint64_t now = ctl_now_ms();
    uint64_t left = now < f->deadline_ms ? f->deadline_ms - now : 0;
    return f->all->count > WINDOW ? left / 2 : left;
}

/* Sends a node's request in a slot. False if it could not be sent: the node has its error. */
static bool send_slot(struct fan *f, struct slot *slot)
{
    struct ctl_node *node = &f->all->nodes[slot->node];
    struct api_request request;
    struct buf args;
    int code = ctl_request(f->spec, &slot->at, node->is_self ? NULL : node->id, share_ms(f), &args,
                           &request);
    if (code == HM_OK && request.deadline_ms == 0) {
        code = HM_ETIMEDOUT;
    }
    if (code == HM_OK) {
        node->asked_wall_ms = wall_ms();
        code = client_send(f->ctl->client, &request, &slot->request_id);
    }
    buf_fini(&args);
    if (code != HM_OK) {
        node_failed(node, code,
                    code == HM_ETIMEDOUT ? "not asked: the others took all the time" : "");
    }
    return code == HM_OK;
}

static void fill_window(struct fan *f)
{
    for (size_t i = 0; i < WINDOW && f->next < f->all->count; i++) {
        struct slot *slot = &f->slots[i];
        while (!slot->is_used && f->next < f->all->count) {
            struct ctl_node *node = &f->all->nodes[f->next];
            char text[128];
            slot->node = f->next++;
            slot->at = *f->values;
            slot->pages = 0;
            if (strcmp(node->status, "failed") == 0) {
                snprintf(text, sizeof text, "%s is failed and cannot be asked", node->name);
                node_failed(node, HM_EUNREACHABLE, text);
                continue;
            }
            slot->is_used = send_slot(f, slot);
            f->used += slot->is_used ? 1 : 0;
        }
    }
}

/* Takes one page. True if the next one has been asked for. */
static bool take_page(struct fan *f, struct slot *slot, json_t *page)
{
    struct ctl_node *node = &f->all->nodes[slot->node];
    int64_t last = ctl_int(node->reply != NULL ? node->reply : page, "last");
    bool is_on = ++slot->pages < CTL_PAGES_MAX && ctl_next_page(f->spec, page, last, &slot->at);
    if (node->reply == NULL) {
        node->reply = page;
    } else {
        int failed = json_array_extend(json_object_get(node->reply, f->spec->items),
                                       json_object_get(page, f->spec->items));
        json_decref(page);
        if (failed) {
            node_failed(node, HM_EMALFORMED, "its answer makes no sense: is it another version?");
            return false;
        }
    }
    return is_on && send_slot(f, slot);
}

/* What came for a slot. True while the slot goes on. */
static bool take_reply(struct fan *f, struct slot *slot, int code, const struct api_reply *reply)
{
    struct ctl_node *node = &f->all->nodes[slot->node];
    node->answered_wall_ms = wall_ms();
    node->answered_ms = ctl_now_ms();
    if (code == HM_OK && reply->code == HM_EFULL && ctl_now_ms() < f->deadline_ms) {
        const struct timespec pause = {.tv_nsec = REFUSED_WAIT_MS * 1000000};
        nanosleep(&pause, NULL);
        return send_slot(f, slot);
    }
    if (code != HM_OK || reply->code != HM_OK) {
        node_failed(node, code != HM_OK ? code : reply->code, code == HM_OK ? reply->text : "");
        return false;
    }
    json_t *json = ctl_json_of(reply->value.data, reply->value.size);
    if (!json_is_object(json)) {
        json_decref(json);
        node_failed(node, HM_EMALFORMED, "its answer makes no sense: is it another version?");
        return false;
    }
    return take_page(f, slot, json);
}

static struct slot *slot_of(struct fan *f, uint64_t request_id)
{
    for (size_t i = 0; i < WINDOW; i++) {
        if (f->slots[i].is_used && f->slots[i].request_id == request_id) {
            return &f->slots[i];
        }
    }
    return NULL;
}

static void give_up(struct fan *f, int code)
{
    char text[160];
    for (size_t i = 0; i < WINDOW; i++) {
        struct slot *slot = &f->slots[i];
        if (slot->is_used) {
            struct ctl_node *node = &f->all->nodes[slot->node];
            snprintf(text, sizeof text, "%s did not answer in time", node->name);
            node_failed(node, code, code == HM_ETIMEDOUT ? text : "");
            slot->is_used = false;
        }
    }
    f->used = 0;
}

int ctl_all_ask(struct ctl *ctl, struct ctl_all *all, const struct op_spec *spec,
                const struct op_values *values, uint64_t deadline_ms)
{
    struct fan f = {
        .ctl = ctl, .all = all, .spec = spec, .values = values, .deadline_ms = deadline_ms};
    for (size_t i = 0; i < all->count; i++) {
        forget(&all->nodes[i]);
    }
    for (fill_window(&f); f.used > 0; fill_window(&f)) {
        struct api_reply reply;
        uint64_t request_id = 0;
        uint64_t now = ctl_now_ms();
        uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
        int code = client_receive(ctl->client, left + GRACE_MS, &request_id, &reply);
        struct slot *slot = request_id != 0 ? slot_of(&f, request_id) : NULL;
        if (request_id == 0) {
            give_up(&f, code);
            if (code != HM_ETIMEDOUT) {
                return code;
            }
        } else if (slot != NULL && !take_reply(&f, slot, code, &reply)) {
            slot->is_used = false;
            f.used--;
        }
    }
    return HM_OK;
}

/* ---- --all ----------------------------------------------------------------------------------- */

static void print_json(const struct ctl *ctl, const struct ctl_all *all)
{
    json_t *nodes = json_object();
    json_t *errors = json_object();
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        if (node->reply == NULL) {
            json_object_set_new(errors, node->id, json_string(node->error));
        } else {
            json_object_set(nodes, node->id, ctl_json_shown(ctl->opts->spec, node->reply));
        }
    }
    json_t *both = json_pack("{s:o, s:o}", "nodes", nodes, "errors", errors);
    ctl_json_print(both, false);
    json_decref(both);
}

static bool is_twin(const struct ctl_all *all, size_t i)
{
    return (i > 0 && strcmp(all->nodes[i].name, all->nodes[i - 1].name) == 0) ||
           (i + 1 < all->count && strcmp(all->nodes[i].name, all->nodes[i + 1].name) == 0);
}

static void print_text(const struct ctl *ctl, struct out *out, const struct ctl_all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        char head[128];
        snprintf(head, sizeof head, is_twin(all, i) ? "== %s (%.8s)" : "== %s", node->name,
                 node->id);
        fputs(i > 0 ? "\n" : "", stdout);
        out_put(out, STYLE_BOLD, head, 0);
        fputc('\n', stdout);
        if (node->reply == NULL) {
            out_put_wrapped(out, STYLE_RED, node->error, 0);
        } else {
            ctl_print_text(out, ctl->opts->spec->op, node->reply);
        }
    }
}

/* 4 when some have answered and some have not; when none has, what was wrong with the first. */
static int exit_code_of(const struct ctl_all *all)
{
    const struct ctl_node *first = NULL;
    size_t errors = 0;
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        if (node->reply != NULL) {
            continue;
        }
        int size =
            snprintf(names + used, sizeof names - used, "%s%s", errors > 0 ? ", " : "", node->name);
        used += size > 0 && (size_t) size < sizeof names - used ? (size_t) size : 0;
        names[used] = '\0';
        first = errors == 0 ? node : first;
        errors++;
    }
    if (errors == 0) {
        return EXIT_DONE;
    }
    if (errors == all->count) {
        ctl_error("%s", first->error);
        return ctl_exit_of(first->code);
    }
    ctl_error("%zu of %zu nodes did not answer: %s", errors, all->count, names);
    return EXIT_TIMEOUT;
}

int ctl_run_all(struct ctl *ctl, struct out *out)
{
    uint64_t deadline_ms = ctl_now_ms() + ctl->opts->timeout_ms;
    struct ctl_all all;
    int exit_code = ctl_all_init(ctl, &all, deadline_ms);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    int code = ctl_all_ask(ctl, &all, ctl->opts->spec, &ctl->opts->values, deadline_ms);
    if (code != HM_OK) {
        exit_code = ctl_failed(ctl, code, "");
    } else {
        if (ctl->opts->format == FORMAT_JSON) {
            print_json(ctl, &all);
        } else {
            print_text(ctl, out, &all);
        }
        exit_code = exit_code_of(&all);
    }
    ctl_all_fini(&all);
    return exit_code;
}
