/* SPDX-License-Identifier: MPL-2.0 */
/* Reads scenario files: see script.h.
 *
 * A line is cut into words as it is read; ',' '|' and '>' are words of their own. The first word
 * chooses the table, its entry's arguments say what must follow. The first error ends the reading:
 * every function returns false from then on. */
#include "sim/script_read.h"

#include "base/err.h"
#include "base/text.h"
#include "sim/faults.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NODES_DEFAULT 5
#define LOAD_KEYS 10
#define LOAD_KEYS_MAX 1000000U
#define LOAD_BYTES 20
#define LOAD_BYTES_MAX 100000U

/* ---- words and errors ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_mark(uint8_t c)
{
    return c == ',' || c == '|' || c == '>';
}

void reader_next(struct reader *r)
{
    const uint8_t *at = r->text.data;
    while (r->pos < r->text.size && is_space(at[r->pos])) {
        r->pos++;
    }
    r->word = r->pos;
    bool is_end = r->pos >= r->text.size || at[r->pos] == '\n' || at[r->pos] == '#';
    if (!is_end && is_mark(at[r->pos])) {
        r->pos++;
    } else if (!is_end) {
        while (r->pos < r->text.size && !is_space(at[r->pos]) && !is_mark(at[r->pos]) &&
               at[r->pos] != '\n' && at[r->pos] != '#') {
            r->pos++;
        }
    }
    r->size = r->pos - r->word;
    size_t kept = r->size < sizeof r->text_of_word - 1 ? r->size : sizeof r->text_of_word - 1;
    if (kept > 0) {
        memcpy(r->text_of_word, at + r->word, kept);
    }
    r->text_of_word[kept] = '\0';
}

bool reader_is(const struct reader *r, const char *word)
{
    return r->size == strlen(word) && strcmp(r->text_of_word, word) == 0;
}

bool reader_skip(struct reader *r, const char *word)
{
    if (!reader_is(r, word)) {
        return false;
    }
    reader_next(r);
    return true;
}

/* What stands there, fit for a message: no control bytes, not long. */
static void show_word(const struct reader *r, char shown[48])
{
    if (r->size == 0) {
        memcpy(shown, "the end of the line", sizeof "the end of the line");
        return;
    }
    size_t n = 0;
    shown[n++] = '"';
    for (const char *c = r->text_of_word; *c != '\0' && n < 44; c++) {
        shown[n++] = *c >= ' ' && *c <= '~' ? *c : '?';
    }
    shown[n++] = '"';
    shown[n] = '\0';
}

bool reader_fail(struct reader *r, const char *format, ...)
{
    if (r->failed) {
        return false;
    }
    r->failed = true;
    char shown[48];
    show_word(r, shown);
    r->error->line = r->line;
    r->error->column = (unsigned) (r->word - r->line_start) + 1;
    int used = snprintf(r->error->text, sizeof r->error->text, "%s: ", shown);
    va_list args;
    va_start(args, format);
    vsnprintf(r->error->text + used, sizeof r->error->text - (size_t) used, format, args);
    va_end(args);
    return false;
}

/* The word is none of these: names the nearest. */
bool reader_fail_word(struct reader *r, const char *what, const char *const *words)
{
    const char *near = text_nearest(r->text_of_word, words);
    return reader_fail(r, "no such %s%s%s; see meshsim --help=scenario", what,
                       near != NULL ? "; nearest: " : "", near != NULL ? near : "");
}

/* True if the rest of the line has this word. */
bool reader_line_has(const struct reader *r, const char *word)
{
    struct reader copy = *r;
    while (copy.size > 0) {
        if (reader_is(&copy, word)) {
            return true;
        }
        reader_next(&copy);
    }
    return false;
}

/* ---- settings ---- */

static bool read_on_off(struct reader *r, bool *ret)
{
    if (!reader_is(r, "on") && !reader_is(r, "off")) {
        return reader_fail(r, "expected on or off");
    }
    *ret = reader_is(r, "on");
    reader_next(r);
    return true;
}

static bool read_setting(struct reader *r, const struct script_setting *set)
{
    struct script *s = r->script;
    uint64_t number = 0;
    struct script_set nodes;
    switch (set->code) {
    case SET_NODES:
        if (s->count > 0 || r->has_off) {
            return reader_fail(r, "nodes must stand before what names them");
        }
        if (!reader_number(r, 1, SIM_NODES_MAX, &number)) {
            return false;
        }
        s->nodes = (unsigned) number;
        return true;
    case SET_SEED:
        s->has_seed = true;
        return reader_number(r, 0, UINT64_MAX, &s->seed);
    case SET_FOR:
        return reader_time(r, &s->for_ns);
    case SET_CALM:
        return reader_time(r, &s->calm_ns);
    case SET_OFF:
        r->has_off = true;
        if (!reader_set(r, &nodes)) {
            return false;
        }
        for (size_t i = 0; i < sizeof s->off.bits / sizeof s->off.bits[0]; i++) {
            s->off.bits[i] |= nodes.nodes.bits[i];
        }
        return !nodes.is_any || reader_fail(r, "any cannot be off: name the nodes");
    case SET_DUPLICATE:
        return reader_percent(r, &s->net.duplicate_ppm);
    case SET_REORDER:
        return reader_percent(r, &s->net.reorder_ppm) && reader_time(r, &s->net.reorder_ns);
    case SET_SPREAD:
        return reader_time(r, &s->net.spread_ns);
    case SET_BROADCAST:
        return read_on_off(r, &s->net.broadcast);
    case SET_SEGMENT:
        if (!reader_number(r, 0, SIM_NODES_MAX, &number)) {
            return false;
        }
        s->net.segment_nodes = (unsigned) number;
        return true;
    case SET_QUEUE:
        if (!reader_number(r, 1, SIM_LINK_FRAMES_MAX, &number)) {
            return false;
        }
        s->net.link_frames = (unsigned) number;
        return true;
    case SET_DISK:
        return reader_time(r, &s->net.disk_ns);
    }
    return false;
}

/* ---- statements ---- */

struct script_statement *reader_add(struct reader *r)
{
    struct script *s = r->script;
    if (s->count == SCRIPT_STATEMENTS_MAX) {
        reader_fail(r, "more than %u statements", SCRIPT_STATEMENTS_MAX);
        return NULL;
    }
    if (s->count == s->room) {
        s->room = s->room == 0 ? 8 : 2 * s->room;
        s->statements = realloc(s->statements, s->room * sizeof *s->statements);
        HM_ASSERT(s->statements != NULL);
    }
    struct script_statement *st = &s->statements[s->count++];
    memset(st, 0, sizeof *st);
    st->from_ns = SCRIPT_NOT_SET;
    st->until_ns = SCRIPT_NOT_SET;
    st->for_ns.low = SCRIPT_NOT_SET;
    return st;
}

static bool read_path(struct reader *r, struct path_conf *path)
{
    if (reader_skip(r, "ok")) {
        return true;
    }
    bool any = false;
    for (;; any = true) {
        if (reader_skip(r, "loss")) {
            if (!reader_percent(r, &path->loss_ppm)) {
                return false;
            }
        } else if (reader_skip(r, "latency")) {
            if (!reader_time(r, &path->latency_ns)) {
                return false;
            }
        } else if (reader_skip(r, "jitter")) {
            if (!reader_time(r, &path->jitter_ns)) {
                return false;
            }
        } else {
            return any || reader_fail(r, "expected loss, latency, jitter or ok");
        }
    }
}

static bool read_for(struct reader *r, struct script_range *for_ns, bool is_needed)
{
    if (!reader_skip(r, "for") && (!is_needed || r->size == 0)) {
        return !is_needed || reader_fail(r, "expected how long: for 10s");
    }
    return reader_time_range(r, for_ns);
}

/* Any of these, in any order. */
static bool read_load(struct reader *r, struct plan_load *load)
{
    uint64_t number = 0;
    *load = (struct plan_load){.keys = LOAD_KEYS, .bytes = LOAD_BYTES};
    for (;;) {
        if (reader_skip(r, "keys")) {
            if (!reader_number(r, 1, LOAD_KEYS_MAX, &number)) {
                return false;
            }
            load->keys = (unsigned) number;
        } else if (reader_skip(r, "bytes")) {
            if (!reader_number(r, 0, LOAD_BYTES_MAX, &number)) {
                return false;
            }
            load->bytes = (unsigned) number;
        } else if (reader_skip(r, "deletes")) {
            if (!reader_percent(r, &load->deletes_ppm)) {
                return false;
            }
        } else {
            return true;
        }
    }
}

static bool read_literal(struct reader *r, const char **c)
{
    char word[16];
    size_t n = 0;
    for ((*c)++; **c != '}'; (*c)++) {
        word[n++] = **c;
    }
    word[n] = '\0';
    return reader_skip(r, word) || reader_fail(r, "expected \"%s\"", word);
}

static bool read_argument(struct reader *r, struct script_statement *st, const char **c)
{
    uint32_t ppm = 0;
    bool ok;
    switch (**c) {
    case 'S':
        return reader_set(r, &st->who);
    case 'A':
        return reader_node(r, &st->a);
    case 'B':
        return reader_node(r, &st->b) &&
               (st->a != st->b || reader_fail(r, "expected two different nodes"));
    case '|':
        return reader_sides(r, st);
    case 'T':
        return reader_time(r, &st->amount);
    case 'J':
        return reader_jump(r, &st->amount);
    case 'Q':
        return reader_drift(r, &st->amount);
    case '%':
        ok = reader_percent(r, &ppm);
        st->amount = ppm;
        return ok;
    case 'R':
        return reader_rate(r, &st->amount);
    case 'p':
        return read_path(r, &st->path);
    case 'w':
        return read_load(r, &st->load);
    case 'f':
    case 'F':
        return read_for(r, &st->for_ns, **c == 'F');
    default: /* '{' */
        return read_literal(r, c);
    }
}

static bool read_arguments(struct reader *r, struct script_statement *st)
{
    for (const char *c = st->verb->arguments; *c != '\0'; c++) {
        if (!read_argument(r, st, &c)) {
            return false;
        }
    }
    return true;
}

static const struct script_verb *find_verb(struct reader *r)
{
    const char *words[64] = {NULL};
    const char *keys[64] = {NULL};
    size_t key_count = 0;
    for (size_t i = 0; i < script_verb_count && i < 63; i++) {
        const struct script_verb *v = &script_verbs[i];
        words[i] = v->name;
        if (reader_is(r, v->name)) {
            if (v->key == NULL || reader_line_has(r, v->key)) {
                return v;
            }
            keys[key_count++] = v->key;
        }
    }
    if (key_count == 0) {
        reader_fail_word(r, "fault", words);
    } else {
        reader_fail(r, "expected one of %s, %s%s%s%s%s in this line", keys[0], keys[1],
                    key_count > 2 ? ", " : "", key_count > 2 ? keys[2] : "",
                    key_count > 3 ? ", " : "", key_count > 3 ? keys[3] : "");
    }
    return NULL;
}

static bool read_verb(struct reader *r, struct script_statement *st)
{
    st->verb = find_verb(r);
    if (st->verb == NULL) {
        return false;
    }
    reader_next(r);
    return read_arguments(r, st);
}

static bool read_timed(struct reader *r, bool is_every)
{
    struct script_statement *st = reader_add(r);
    if (st == NULL) {
        return false;
    }
    st->is_every = is_every;
    if (!reader_time_range(r, &st->when)) {
        return false;
    }
    if (is_every && st->when.low == 0) {
        return reader_fail(r, "\"every 0s\" would never end; expected a time above 0");
    }
    while (is_every && (reader_is(r, "from") || reader_is(r, "until"))) {
        uint64_t *to = reader_is(r, "from") ? &st->from_ns : &st->until_ns;
        reader_next(r);
        if (!reader_time(r, to)) {
            return false;
        }
    }
    if (reader_is(r, "expect")) {
        if (is_every || st->when.low != st->when.high) {
            return reader_fail(r, "an expectation needs one time: at 30s expect …");
        }
        reader_next(r);
        return reader_expect(r, st);
    }
    return read_verb(r, st);
}

/* Of the network: may stand alone, from the beginning on. */
static bool is_of_network(const struct script_verb *v)
{
    return v->kind == FAULT_LOSS || v->kind == FAULT_LATENCY || v->kind == FAULT_JITTER ||
           v->kind == FAULT_PATH;
}

static bool read_network(struct reader *r)
{
    struct script_statement st = {.for_ns = {SCRIPT_NOT_SET, 0}};
    st.from_ns = SCRIPT_NOT_SET;
    if (!read_verb(r, &st)) {
        return false;
    }
    if (st.for_ns.low != SCRIPT_NOT_SET) {
        return reader_fail(r, "with \"for\" this is a fault: at 10s %s …", st.verb->name);
    }
    if (st.verb->kind == FAULT_LOSS) {
        r->script->net.loss_ppm = (uint32_t) st.amount;
    } else if (st.verb->kind == FAULT_LATENCY) {
        r->script->net.latency_ns = st.amount;
    } else if (st.verb->kind == FAULT_JITTER) {
        r->script->net.jitter_ns = st.amount;
    } else {
        struct script_statement *kept = reader_add(r);
        if (kept == NULL) {
            return false;
        }
        *kept = st;
    }
    return true;
}

static bool read_first_word(struct reader *r)
{
    const char *words[96] = {"at", "every", "expect"};
    size_t count = 3;
    if (reader_skip(r, "at")) {
        return read_timed(r, false);
    }
    if (reader_skip(r, "every")) {
        return read_timed(r, true);
    }
    if (reader_skip(r, "expect")) {
        return reader_expect(r, NULL);
    }
    for (size_t i = 0; i < script_setting_count; i++) {
        words[count++] = script_settings[i].name;
        if (reader_skip(r, script_settings[i].name)) {
            return read_setting(r, &script_settings[i]);
        }
    }
    for (size_t i = 0; i < script_verb_count && count < 95; i++) {
        const struct script_verb *v = &script_verbs[i];
        words[count++] = v->name;
        if (reader_is(r, v->name)) {
            return is_of_network(v) ? read_network(r)
                                    : reader_fail(r, "when? Expected \"at 10s %s\"", v->example);
        }
    }
    return reader_fail_word(r, "setting or statement", words);
}

static void read_line(struct reader *r)
{
    reader_next(r);
    if (r->size > 0 && read_first_word(r) && r->size > 0) {
        reader_fail(r, "too much: expected the end of the line");
    }
    while (r->pos < r->text.size && r->text.data[r->pos] != '\n') {
        r->pos++;
    }
    r->pos++;
    r->line++;
    r->line_start = r->pos;
}

struct script *script_read(struct span text, const char *name, struct script_error *ret_error)
{
    memset(ret_error, 0, sizeof *ret_error);
    if (text.size > SCRIPT_BYTES_MAX) {
        ret_error->line = 1;
        ret_error->column = 1;
        snprintf(ret_error->text, sizeof ret_error->text, "larger than %u bytes", SCRIPT_BYTES_MAX);
        return NULL;
    }
    struct script *s = calloc(1, sizeof *s);
    HM_ASSERT(s != NULL);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->nodes = NODES_DEFAULT;
    s->seed = 1;
    s->for_ns = SCRIPT_NOT_SET;
    s->calm_ns = SCRIPT_NOT_SET;
    s->converge_ns = SCRIPT_NOT_SET;
    s->equal_ns = SCRIPT_NOT_SET;
    faults_net_default(&s->net);
    struct reader r = {.script = s, .error = ret_error, .text = text, .line = 1};
    while (!r.failed && r.pos < text.size) {
        read_line(&r);
    }
    if (r.failed) {
        script_destroy(&s);
    }
    return s;
}

void script_destroy(struct script **p)
{
    struct script *s = *p;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        free(s->statements[i].sides);
    }
    free(s->statements);
    free(s);
    *p = NULL;
}
