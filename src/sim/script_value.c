/* SPDX-License-Identifier: MPL-2.0 */
/* The values of scenario files, and their expectations: see script_read.h. */
#include "sim/script_read.h"

#include "base/err.h"
#include "base/text.h"
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", MS_NS},
    {"s", SECOND_NS},
    {"m", 60ULL * SECOND_NS},
    {"min", 60ULL * SECOND_NS},
    {"h", 3600ULL * SECOND_NS},
    {"d", 86400ULL * SECOND_NS},
    {"w", 7ULL * 86400 * SECOND_NS},
    {"y", 365ULL * 86400 * SECOND_NS},
};

/* A number with a fraction as whole and billionths. Returns where it ends; the text itself: none. */
static const char *scan_decimal(const char *text, uint64_t *ret_whole, uint64_t *ret_nano)
{
    const char *c = text;
    uint64_t whole = 0;
    uint64_t nano = 0;
    uint64_t place = 100000000;
    if (*c < '0' || *c > '9') {
        return text;
    }
    for (; *c >= '0' && *c <= '9'; c++) {
        whole = whole > UINT64_MAX / 20 ? UINT64_MAX / 20 : whole * 10 + (uint64_t) (*c - '0');
    }
    if (c[0] == '.' && c[1] >= '0' && c[1] <= '9') {
        for (c++; *c >= '0' && *c <= '9'; c++) {
            nano += (uint64_t) (*c - '0') * place;
            place /= 10;
        }
    }
    *ret_whole = whole;
    *ret_nano = nano;
    return c;
}

/* The unit's ns, 0 if there is none of this name. */
static uint64_t unit_of(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == size && memcmp(units[i].name, name, size) == 0) {
            return units[i].ns;
        }
    }
    return 0;
}

static bool scale(uint64_t whole, uint64_t nano, uint64_t unit, uint64_t *ret)
{
    if (whole > SCRIPT_TIME_MAX_NS / unit) {
        return false;
    }
    /* Billionths of the larger units: in two parts, so that nothing overflows. */
    uint64_t fraction = unit >= 1000000000U ? nano * (unit / 1000000000U) +
                                                  nano * (unit % 1000000000U) / 1000000000U
                                            : nano * unit / 1000000000U;
    *ret = whole * unit + fraction;
    return *ret <= SCRIPT_TIME_MAX_NS;
}

#define TIME_WANTED "expected a time like 250ms, 10s, 1h30m, 2d, 1w or 1y (100 years at most)"

/* "1h30m" in ns; a number without a unit is in default_unit_ns, if that is not 0. Returns where it
 * ends; the text itself: no time. */
static const char *scan_time(const char *text, uint64_t default_unit_ns, uint64_t *ret_ns)
{
    const char *c = text;
    uint64_t sum = 0;
    do {
        uint64_t whole, nano, part;
        const char *unit = scan_decimal(c, &whole, &nano);
        size_t size = strspn(unit, "abcdefghijklmnopqrstuvwxyz");
        uint64_t unit_ns = size > 0 ? unit_of(unit, size) : default_unit_ns;
        if (unit == c || unit_ns == 0 || !scale(whole, nano, unit_ns, &part)) {
            return text;
        }
        sum += part;
        c = unit + size;
        default_unit_ns = 0;
    } while (*c >= '0' && *c <= '9' && sum <= SCRIPT_TIME_MAX_NS);
    *ret_ns = sum;
    return sum <= SCRIPT_TIME_MAX_NS ? c : text;
}

/* The last unit of a time, for "5..10s". */
static uint64_t last_unit(const char *text)
{
    const char *c = text + strlen(text);
    while (c > text && c[-1] >= 'a' && c[-1] <= 'z') {
        c--;
    }
    return unit_of(c, strlen(c));
}

/* "10s", or "5..10s" and "5s..10s" if a range may be. */
static bool scan_range(struct reader *r, bool may_be_range, struct script_range *ret)
{
    const char *text = r->text_of_word;
    const char *dots = strstr(text, "..");
    const char *end = scan_time(text, dots != NULL ? last_unit(dots + 2) : 0, &ret->low);
    if (end == text || r->size >= sizeof r->text_of_word) {
        return reader_fail(r, TIME_WANTED);
    }
    ret->high = ret->low;
    if (*end == '\0') {
        return true;
    }
    if (end != dots || !may_be_range) {
        return reader_fail(r,
                           dots == NULL ? TIME_WANTED : "a range cannot stand here; " TIME_WANTED);
    }
    end = scan_time(dots + 2, 0, &ret->high);
    if (end == dots + 2 || *end != '\0') {
        return reader_fail(r, "expected a range like 5..10s or 500ms..1m30s");
    }
    return ret->low <= ret->high || reader_fail(r, "the range is empty");
}

bool reader_time_range(struct reader *r, struct script_range *ret)
{
    if (!scan_range(r, true, ret)) {
        return false;
    }
    reader_next(r);
    return true;
}

bool reader_time(struct reader *r, uint64_t *ret_ns)
{
    struct script_range range;
    if (!scan_range(r, false, &range)) {
        return false;
    }
    *ret_ns = range.low;
    reader_next(r);
    return true;
}

bool reader_number(struct reader *r, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    if (text_to_u64(r->text_of_word, max, &value) != HM_OK || value < min ||
        r->size >= sizeof r->text_of_word) {
        return reader_fail(r, "expected a whole number from %llu to %llu", (unsigned long long) min,
                           (unsigned long long) max);
    }
    *ret = value;
    reader_next(r);
    return true;
}

bool reader_percent(struct reader *r, uint32_t *ret_ppm)
{
    uint64_t whole, nano;
    const char *end = scan_decimal(r->text_of_word, &whole, &nano);
    if (end == r->text_of_word || strcmp(end, "%") != 0 || whole > 100 ||
        (whole == 100 && nano > 0)) {
        return reader_fail(r, "expected a percentage from 0%% to 100%%");
    }
    *ret_ppm = (uint32_t) (whole * 10000U + nano / 100000U);
    reader_next(r);
    return true;
}

bool reader_rate(struct reader *r, uint64_t *ret_every_ns)
{
    uint64_t whole, nano;
    const char *slash = scan_decimal(r->text_of_word, &whole, &nano);
    if (slash == r->text_of_word || *slash != '/') {
        return (reader_time(r, ret_every_ns) && *ret_every_ns > 0) ||
               reader_fail(r, "expected a rate like 100/min or 20/s, or the time between two");
    }
    uint64_t unit = unit_of(slash + 1, strlen(slash + 1));
    uint64_t milli = whole > 1000000000U ? 0 : whole * 1000U + nano / 1000000U;
    if (unit < SECOND_NS || milli == 0 || unit > UINT64_MAX / 1000U ||
        unit / milli * 1000U + unit % milli * 1000U / milli == 0) {
        return reader_fail(r, "expected a rate like 100/min or 20/s");
    }
    *ret_every_ns = unit / milli * 1000U + unit % milli * 1000U / milli;
    reader_next(r);
    return true;
}

/* Steps over a sign; the rest is read as without. */
static bool take_sign(struct reader *r)
{
    bool is_minus = r->text_of_word[0] == '-';
    if (is_minus || r->text_of_word[0] == '+') {
        memmove(r->text_of_word, r->text_of_word + 1, sizeof r->text_of_word - 1);
        r->size--;
    }
    return is_minus;
}

bool reader_jump(struct reader *r, uint64_t *ret_ms)
{
    bool is_minus = take_sign(r);
    uint64_t ns;
    if (!reader_time(r, &ns)) {
        return false;
    }
    int64_t ms = (int64_t) (ns / MS_NS);
    *ret_ms = (uint64_t) (is_minus ? -ms : ms);
    return true;
}

bool reader_drift(struct reader *r, uint64_t *ret_ppm)
{
    bool is_minus = take_sign(r);
    uint64_t whole, nano;
    const char *end = scan_decimal(r->text_of_word, &whole, &nano);
    if (end == r->text_of_word || strcmp(end, "ppm") != 0 || whole > SCRIPT_DRIFT_MAX) {
        return reader_fail(r, "expected millionths like 200ppm or -50ppm, at most %d",
                           SCRIPT_DRIFT_MAX);
    }
    *ret_ppm = (uint64_t) (is_minus ? -(int64_t) whole : (int64_t) whole);
    reader_next(r);
    return true;
}

/* ---- nodes ---- */

/* "n3" as 2. Returns where it ends; the text itself: no node. */
static const char *scan_node(const struct reader *r, const char *text, unsigned *ret_idx)
{
    const char *c = text + 1;
    unsigned number = 0;
    if (*text != 'n' || *c < '1' || *c > '9') {
        return text;
    }
    for (; *c >= '0' && *c <= '9' && number <= SIM_NODES_MAX; c++) {
        number = number * 10 + (unsigned) (*c - '0');
    }
    if (number > r->script->nodes) {
        return text;
    }
    *ret_idx = number - 1;
    return c;
}

static bool fail_node(struct reader *r)
{
    return reader_fail(r, "expected a node from n1 to n%u", r->script->nodes);
}

bool reader_node(struct reader *r, unsigned *ret_idx)
{
    const char *end = scan_node(r, r->text_of_word, ret_idx);
    if (*end != '\0' || end == r->text_of_word) {
        return fail_node(r);
    }
    reader_next(r);
    return true;
}

/* "n3" or "n4..n6". */
static bool read_some(struct reader *r, struct node_set *set)
{
    unsigned first, last;
    const char *end = scan_node(r, r->text_of_word, &first);
    last = first;
    if (end != r->text_of_word && strncmp(end, "..", 2) == 0) {
        const char *second = end + 2;
        end = scan_node(r, second, &last);
        end = end == second ? r->text_of_word : end;
    }
    if (end == r->text_of_word || *end != '\0') {
        return fail_node(r);
    }
    if (last < first) {
        return reader_fail(r, "the range is empty");
    }
    for (unsigned i = first; i <= last; i++) {
        node_set_add(set, i);
    }
    reader_next(r);
    return true;
}

static bool read_list(struct reader *r, struct node_set *set)
{
    do {
        if (!read_some(r, set)) {
            return false;
        }
    } while (reader_skip(r, ","));
    return true;
}

bool reader_set(struct reader *r, struct script_set *ret)
{
    memset(ret, 0, sizeof *ret);
    if (reader_skip(r, "all")) {
        node_set_all(&ret->nodes, r->script->nodes);
        return true;
    }
    if (!reader_skip(r, "any")) {
        return read_list(r, &ret->nodes);
    }
    uint64_t count = 1;
    if (r->size > 0 && r->text_of_word[0] >= '0' && r->text_of_word[0] <= '9' &&
        strspn(r->text_of_word, "0123456789") == strlen(r->text_of_word)) {
        if (!reader_number(r, 1, r->script->nodes, &count)) {
            return false;
        }
    }
    ret->is_any = true;
    ret->count = (unsigned) count;
    if (reader_skip(r, "of")) {
        return read_list(r, &ret->nodes);
    }
    node_set_all(&ret->nodes, r->script->nodes);
    return true;
}

bool reader_sides(struct reader *r, struct script_statement *st)
{
    st->sides = calloc(1, sizeof *st->sides);
    HM_ASSERT(st->sides != NULL);
    if (reader_is(r, "any")) {
        return reader_set(r, &st->who);
    }
    for (unsigned side = 1;; side++) {
        struct node_set set = {{0}};
        if (side > 255) {
            return reader_fail(r, "more than 255 sides");
        }
        if (!read_list(r, &set)) {
            return false;
        }
        for (unsigned i = 0; i < r->script->nodes; i++) {
            if (node_set_has(&set, i) && st->sides->side[i] != 0) {
                return reader_fail(r, "n%u is on two sides before this", i + 1);
            }
            st->sides->side[i] = node_set_has(&set, i) ? (uint8_t) side : st->sides->side[i];
        }
        if (!reader_skip(r, "|")) {
            return true;
        }
    }
}

/* ---- expectations ---- */

static const struct script_expect *find_expect(struct reader *r)
{
    const char *words[32] = {NULL};
    for (size_t i = 0; i < script_expect_count && i < 31; i++) {
        words[i] = script_expects[i].name;
        if (reader_is(r, words[i])) {
            return &script_expects[i];
        }
    }
    reader_fail_word(r, "expectation", words);
    return NULL;
}

/* A set in which "any" makes no sense. */
static bool read_named(struct reader *r, struct node_set *ret)
{
    struct script_set set;
    if (reader_is(r, "any")) {
        return reader_fail(r, "expected the nodes' names, or all");
    }
    if (!reader_set(r, &set)) {
        return false;
    }
    *ret = set.nodes;
    return true;
}

static bool read_within(struct reader *r, uint64_t *ret_ns)
{
    return (reader_skip(r, "within") || reader_fail(r, "expected within and a time")) &&
           reader_time(r, ret_ns);
}

static bool read_status(struct reader *r, const struct script_expect *want, bool is_at,
                        struct expect *e)
{
    e->status = want->status;
    if (!read_named(r, &e->who)) {
        return false;
    }
    if (!is_at) {
        e->kind = EXPECT_DETECTED;
        if (want->status != STATUS_FAILED) {
            return reader_fail(r, "when? Expected \"at 30s expect %s …\"", want->name);
        }
        return read_within(r, &e->within_ns);
    }
    e->kind = EXPECT_STATUS;
    node_set_all(&e->by, r->script->nodes);
    return !reader_skip(r, "by") || read_named(r, &e->by);
}

/* What is about the whole run; nothing of it is kept as an expectation of its own. */
static bool read_of_run(struct reader *r, const struct script_expect *want)
{
    if (want->code == WANT_AGREED) {
        return read_within(r, &r->script->converge_ns);
    }
    if (want->code == WANT_EQUAL) {
        return read_within(r, &r->script->equal_ns);
    }
    r->script->flags |= (unsigned) (want->code == WANT_IDLE ? PLAN_IDLE : PLAN_LENIENT);
    return true;
}

static bool read_wanted(struct reader *r, const struct script_expect *want, bool is_at,
                        struct expect *e)
{
    node_set_all(&e->who, r->script->nodes);
    switch (want->code) {
    case WANT_NO_FAILED:
        e->kind = EXPECT_NO_FAILED;
        return !reader_skip(r, "among") || read_named(r, &e->who);
    case WANT_DETECTED:
    case WANT_TOLD:
        e->kind = want->code == WANT_TOLD ? EXPECT_TOLD : EXPECT_DETECTED;
        return (reader_is(r, "within") || read_named(r, &e->who)) && read_within(r, &e->within_ns);
    case WANT_FALSE_FAILURES:
        e->kind = EXPECT_FALSE_FAILURES;
        return reader_number(r, 0, UINT64_MAX, &e->limit);
    case WANT_INCARNATION:
        e->kind = EXPECT_INCARNATION;
        return read_named(r, &e->who) &&
               (reader_skip(r, "below") || reader_fail(r, "expected below and a number")) &&
               reader_number(r, 1, UINT64_MAX, &e->limit);
    case WANT_STATUS:
        return read_status(r, want, is_at, e);
    case WANT_SOME_FAILED:
    case WANT_AGREED:
    case WANT_EQUAL:
    case WANT_IDLE:
        break;
    }
    return false;
}

bool reader_expect(struct reader *r, struct script_statement *st)
{
    const struct script_expect *want = find_expect(r);
    if (want == NULL) {
        return false;
    }
    if (st != NULL && want->code != WANT_STATUS) {
        return reader_fail(r, "is about the whole run: write it without \"at\"");
    }
    reader_next(r);
    if (want->code == WANT_AGREED || want->code == WANT_EQUAL || want->code == WANT_IDLE ||
        want->code == WANT_SOME_FAILED) {
        return read_of_run(r, want);
    }
    struct expect e = {.kind = EXPECT_STATUS};
    if (!read_wanted(r, want, st != NULL, &e)) {
        return false;
    }
    struct script_statement *to = st != NULL ? st : reader_add(r);
    if (to == NULL) {
        return false;
    }
    to->expect = e;
    return true;
}
