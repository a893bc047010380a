/* SPDX-License-Identifier: MPL-2.0 */
/* Folds: see fold.h. */
#include "core/fold.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define NAME_FIELDS 3 /* boots, count, sum */

/* ---- lists ----------------------------------------------------------------------------------- */

void fold_list_fini(struct fold_list *list)
{
    free(list->items);
    memset(list, 0, sizeof *list);
}

static int list_add(struct fold_list *list, const struct fold *fold)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 8 : 2 * list->room;
        struct fold *items = realloc(list->items, room * sizeof *items);
        if (items == NULL) {
            return HM_ENOMEM;
        }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = *fold;
    return HM_OK;
}

void fold_list_write(struct buf *b, const struct fold_list *list)
{
    mp_array(b, list->count);
    for (size_t i = 0; i < list->count; i++) {
        mp_array(b, 4);
        mp_id(b, &list->items[i].node);
        mp_uint(b, list->items[i].boots);
        mp_uint(b, list->items[i].count);
        mp_uint(b, list->items[i].sum);
    }
}

/* Of a fold that has that many fields. */
static void read_name(struct mp_reader *r, size_t fields, struct fold *fold)
{
    fold->boots = mp_read_uint(r, UINT64_MAX);
    fold->count = mp_read_uint(r, HM_VECTOR_ORIGINS_MAX);
    fold->sum = mp_read_uint(r, UINT64_MAX);
    mp_skip_many(r, fields < NAME_FIELDS ? 0 : fields - NAME_FIELDS);
}

static bool rises(const struct fold_list *list, const struct fold *next)
{
    const struct fold *last = list->count == 0 ? NULL : &list->items[list->count - 1];
    int order = last == NULL ? -1 : node_id_cmp(&last->node, &next->node);
    return order < 0 || (order == 0 && last->boots < next->boots);
}

int fold_list_read(struct span bytes, struct fold_list *to)
{
    struct mp_reader r;
    struct fold fold;
    int rc = HM_OK;
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    for (size_t i = 0; i < count && rc == HM_OK; i++) {
        size_t fields = mp_read_array(&r);
        mp_read_id(&r, &fold.node);
        read_name(&r, fields > 0 ? fields - 1 : 0, &fold);
        bool is_good = !mp_failed(&r) && fields > NAME_FIELDS && rises(to, &fold);
        rc = is_good ? list_add(to, &fold) : HM_EMALFORMED;
    }
    return rc == HM_OK && (mp_failed(&r) || !mp_at_end(&r)) ? HM_EMALFORMED : rc;
}

/* ---- lives ----------------------------------------------------------------------------------- */

uint64_t fold_life_hash(fold_hash *hash, const struct vector_origin *life)
{
    uint8_t origin[ORIGIN_BYTES];
    struct buf b;
    if (life == NULL) {
        return 0;
    }
    buf_init(&b, SIZE_MAX);
    origin_put(origin, &life->origin);
    buf_append(&b, origin, sizeof origin);
    vector_runs_write(&b, life);
    uint64_t sum = hash(buf_span(&b));
    buf_fini(&b);
    return sum;
}

/* The lives of one node: some items of a vector, which lie together. */
struct lives {
    const struct vector_origin *items;
    size_t count;
};

/* Those of the node at this item. */
static struct lives lives_at(const struct vector *v, size_t i)
{
    struct lives lives = {&v->items[i], 0};
    while (i + lives.count < v->count &&
           node_id_eq(&lives.items[lives.count].origin.node, &lives.items[0].origin.node)) {
        lives.count++;
    }
    return lives;
}

static struct lives lives_of(const struct vector *v, const struct node_id *node)
{
    size_t low = 0, high = v->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (node_id_cmp(&v->items[middle].origin.node, node) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_there = low < v->count && node_id_eq(&v->items[low].origin.node, node);
    return is_there ? lives_at(v, low) : (struct lives){0};
}

/* Adds the lives below a counter to a fold that has those before *at. */
static void fold_up_to(const struct lives *lives, uint64_t boots, fold_hash *hash, size_t *at,
                       struct fold *fold)
{
    for (; *at < lives->count && lives->items[*at].origin.boots < boots; ++*at) {
        fold->sum += fold_life_hash(hash, &lives->items[*at]);
        fold->count++;
    }
    fold->boots = boots;
}

/* ---- telling --------------------------------------------------------------------------------- */

static struct fold fold_of_older(const struct lives *lives, fold_hash *hash)
{
    struct fold fold = {.node = lives->items[0].origin.node};
    size_t at = 0;
    fold_up_to(lives, lives->items[lives->count - 1].origin.boots, hash, &at, &fold);
    return fold;
}

/* The longest of what was offered that is the same here, and leaves a life to be told with it. */
static struct fold fold_of_offers(const struct lives *lives, fold_hash *hash,
                                  const struct fold *offers, size_t count)
{
    struct fold best = {.node = lives->items[0].origin.node};
    struct fold ours = best;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        fold_up_to(lives, offers[i].boots, hash, &at, &ours);
        if (at < lives->count && ours.count == offers[i].count && ours.sum == offers[i].sum) {
            best = ours;
        }
    }
    return best;
}

/* What is folded of one node. `next` is the first offer that was not looked at. */
static struct fold choose(const struct lives *lives, fold_hash *hash,
                          const struct fold_list *offers, size_t *next)
{
    const struct node_id *node = &lives->items[0].origin.node;
    size_t end = *next;
    while (end < offers->count && node_id_cmp(&offers->items[end].node, node) < 0) {
        end++;
    }
    size_t begin = end;
    while (end < offers->count && node_id_eq(&offers->items[end].node, node)) {
        end++;
    }
    *next = end;
    return begin == end ? fold_of_older(lives, hash)
                        : fold_of_offers(lives, hash, &offers->items[begin], end - begin);
}

static void tell_life(struct buf *b, const struct vector_origin *o, const struct fold *fold)
{
    mp_array(b, fold == NULL ? 4 : 5);
    mp_id(b, &o->origin.node);
    mp_uint(b, o->origin.boots);
    mp_uint(b, o->origin.random);
    vector_runs_write(b, o);
    if (fold != NULL) {
        mp_array(b, 3);
        mp_uint(b, fold->boots);
        mp_uint(b, fold->count);
        mp_uint(b, fold->sum);
    }
}

/* The lives of one node: those of the fold are the first ones. Returns how many were told. */
static size_t tell_lives(struct buf *b, const struct lives *lives, const struct fold *fold)
{
    size_t folded = (size_t) fold->count;
    for (size_t i = folded; i < lives->count; i++) {
        bool is_last = i + 1 == lives->count;
        tell_life(b, &lives->items[i], is_last && folded > 0 ? fold : NULL);
    }
    return lives->count - folded;
}

int fold_tell(struct buf *b, const struct vector *v, fold_hash *hash, const struct fold_list *offers)
{
    static const struct fold_list nothing;
    struct buf told;
    size_t count = 0, offer = 0;
    buf_init(&told, SIZE_MAX);
    for (size_t i = 0; i < v->count;) {
        struct lives lives = lives_at(v, i);
        struct fold fold = choose(&lives, hash, offers == NULL ? &nothing : offers, &offer);
        count += tell_lives(&told, &lives, &fold);
        i += lives.count;
    }
    mp_array(b, count);
    buf_append(b, told.data, told.size);
    int rc = buf_failed(&told) ? HM_ENOMEM : HM_OK;
    buf_fini(&told);
    return rc;
}

/* ---- being told ------------------------------------------------------------------------------ */

/* The folds among the bytes of what was read as a vector. */
static int read_folds(struct span bytes, struct fold_list *to)
{
    struct mp_reader r;
    struct fold fold;
    int rc = HM_OK;
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    for (size_t i = 0; i < count && rc == HM_OK; i++) {
        size_t fields = mp_read_array(&r);
        mp_read_id(&r, &fold.node);
        mp_skip_many(&r, 3);
        if (fields > 4 && !mp_try_nil(&r)) {
            size_t inner = mp_read_array(&r);
            read_name(&r, inner, &fold);
            bool is_good = !mp_failed(&r) && inner >= NAME_FIELDS && fold.count > 0 &&
                           (to->count == 0 ||
                            !node_id_eq(&to->items[to->count - 1].node, &fold.node));
            rc = is_good ? list_add(to, &fold) : HM_EMALFORMED;
        }
        mp_skip_many(&r, fields > 5 ? fields - 5 : 0);
    }
    return rc == HM_OK && mp_failed(&r) ? HM_EMALFORMED : rc;
}

/* Appends to `named` the lives that a fold names: all of ours below its counter that were not told. They
 * borrow our runs. False: they are not that set, and nothing was appended. */
static bool name_lives(const struct fold *fold, const struct vector *ours, fold_hash *hash,
                       bool is_range, const struct vector *told, struct vector *named)
{
    struct lives lives = lives_of(ours, &fold->node);
    size_t before = named->count, runs_before = named->run_count;
    uint64_t sum = 0;
    for (size_t i = 0; i < lives.count && lives.items[i].origin.boots < fold->boots; i++) {
        if (vector_find(told, &lives.items[i].origin) == NULL) {
            named->items[named->count++] = lives.items[i];
            named->run_count += lives.items[i].count;
            sum += fold_life_hash(hash, &lives.items[i]);
        }
    }
    if (is_range || (named->count - before == fold->count && sum == fold->sum)) {
        return true;
    }
    named->count = before;
    named->run_count = runs_before;
    return false;
}

static int name_all(const struct fold_list *folds, const struct vector *ours, fold_hash *hash,
                    bool is_range, struct vector *to, struct fold_list *ret_unnamed)
{
    struct vector named = {.items = malloc((ours->count + 1) * sizeof *named.items)};
    int rc = named.items == NULL ? HM_ENOMEM : HM_OK;
    for (size_t i = 0; i < folds->count && rc == HM_OK; i++) {
        if (!name_lives(&folds->items[i], ours, hash, is_range, to, &named) &&
            ret_unnamed != NULL) {
            rc = list_add(ret_unnamed, &folds->items[i]);
        }
    }
    if (rc == HM_OK) {
        rc = vector_merge(to, &named);
    }
    free(named.items);
    return rc;
}

int fold_told(struct span bytes, const struct vector *ours, fold_hash *hash, bool is_range,
              struct vector *to, struct fold_list *ret_unnamed)
{
    struct fold_list folds = {0};
    int rc = vector_read(bytes, to);
    if (rc == HM_OK) {
        rc = read_folds(bytes, &folds);
    }
    if (rc == HM_OK && folds.count > 0) {
        rc = name_all(&folds, ours, hash, is_range, to, ret_unnamed);
    }
    if (rc != HM_OK) {
        vector_clear(to);
    }
    fold_list_fini(&folds);
    return rc;
}

/* ---- offering -------------------------------------------------------------------------------- */

static bool is_power_of_two(size_t n)
{
    return (n & (n - 1)) == 0;
}

static int offer_lives(const struct lives *lives, fold_hash *hash, struct fold *fold,
                       struct fold_list *to)
{
    size_t at = 0;
    int rc = HM_OK;
    for (size_t i = 1; i < lives->count && rc == HM_OK; i++) {
        uint64_t boots = lives->items[i].origin.boots;
        if (is_power_of_two(lives->count - i) && lives->items[i - 1].origin.boots < boots) {
            fold_up_to(lives, boots, hash, &at, fold);
            rc = list_add(to, fold);
        }
    }
    return rc;
}

int fold_offer(const struct vector *ours, const struct fold_list *unnamed, fold_hash *hash,
               struct fold_list *to)
{
    int rc = HM_OK;
    for (size_t i = 0; i < unnamed->count && rc == HM_OK; i++) {
        struct fold fold = {.node = unnamed->items[i].node};
        struct lives lives = lives_of(ours, &fold.node);
        rc = list_add(to, &fold);
        if (rc == HM_OK) {
            rc = offer_lives(&lives, hash, &fold, to);
        }
    }
    return rc;
}
