/* SPDX-License-Identifier: MPL-2.0 */
/* Ordered map: see omap.h. An AVL tree (Adelson-Velsky and Landis, 1962) without parent pointers:
 * a change notes the slots on its way down and levels them on its way up. Not a treap with hashed
 * keys, although that is a little less code: who chooses keys could make that one a list. A node is
 * one block with key and value behind it; replacing a value replaces the node. */
#include "base/omap.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* An AVL tree of n nodes is at most 1.44 log2(n + 2) high: 93 for any n that memory can hold. */
#define HEIGHT_MAX 96

struct node {
    struct node *child[2]; /* below, above */
    uint64_t tag;
    size_t key_size;
    size_t value_size;
    uint8_t height; /* 1: a leaf */
    bool has_value;
    uint8_t bytes[]; /* key, value */
};

struct omap {
    struct node *root;
    size_t count;
    size_t bytes;
};

/* The slots from the root to a place in the tree. */
struct path {
    struct node **slots[HEIGHT_MAX];
    size_t count;
};

omap_t *omap_new(void)
{
    return calloc(1, sizeof(omap_t));
}

void omap_destroy(omap_t **p)
{
    if (*p != NULL) {
        omap_clear(*p);
        free(*p);
        *p = NULL;
    }
}

/* Turns the tree into a list to the right while it goes, so it needs no stack. */
void omap_clear(omap_t *m)
{
    struct node *n = m->root;
    while (n != NULL) {
        struct node *below = n->child[0];
        if (below != NULL) {
            n->child[0] = below->child[1];
            below->child[1] = n;
            n = below;
        } else {
            struct node *above = n->child[1];
            free(n);
            n = above;
        }
    }
    memset(m, 0, sizeof *m);
}

size_t omap_count(const omap_t *m)
{
    return m->count;
}

size_t omap_bytes(const omap_t *m)
{
    return m->bytes;
}

static struct span key_of(const struct node *n)
{
    return span_of(n->bytes, n->key_size);
}

static struct span value_of(const struct node *n)
{
    return n->has_value ? span_of(n->bytes + n->key_size, n->value_size) : span_of(NULL, 0);
}

static int compare(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int height(const struct node *n)
{
    return n == NULL ? 0 : n->height;
}

static void measure(struct node *n)
{
    int below = height(n->child[0]), above = height(n->child[1]);
    n->height = (uint8_t) (1 + (below > above ? below : above));
}

/* The child on that side comes up in its parent's place. */
static void rotate(struct node **slot, int side)
{
    struct node *parent = *slot, *child = parent->child[side];
    parent->child[side] = child->child[!side];
    child->child[!side] = parent;
    *slot = child;
    measure(parent);
    measure(child);
}

/* Makes the two sides differ by at most one again. True: it is as high as before, and so are those above it. */
static bool level(struct node **slot)
{
    struct node *n = *slot;
    int before = n->height;
    int lean = height(n->child[1]) - height(n->child[0]);
    if (lean >= -1 && lean <= 1) {
        measure(n);
        return n->height == before;
    }
    int side = lean > 0;
    struct node *heavy = n->child[side];
    if (height(heavy->child[!side]) > height(heavy->child[side])) {
        rotate(&n->child[side], !side);
    }
    rotate(slot, side);
    return (*slot)->height == before;
}

static void level_up(struct path *path)
{
    while (path->count > 0 && !level(path->slots[path->count - 1])) {
        path->count--;
    }
}

static void push(struct path *path, struct node **slot)
{
    HM_ASSERT(path->count < HEIGHT_MAX);
    path->slots[path->count++] = slot;
}

/* Returns the slot of that key, an empty one if it is not there; the path holds those before it. */
static struct node **walk(omap_t *m, struct span key, struct path *path)
{
    struct node **slot = &m->root;
    path->count = 0;
    while (*slot != NULL) {
        int order = compare(key, key_of(*slot));
        if (order == 0) {
            break;
        }
        push(path, slot);
        slot = &(*slot)->child[order > 0];
    }
    return slot;
}

static struct node *node_new(struct span key, struct span value, uint64_t tag)
{
    struct node *n = malloc(sizeof *n + key.size + value.size);
    if (n == NULL) {
        return NULL;
    }
    memset(n, 0, sizeof *n);
    n->tag = tag;
    n->height = 1;
    n->key_size = key.size;
    n->has_value = value.data != NULL;
    n->value_size = n->has_value ? value.size : 0;
    if (key.size > 0) {
        memcpy(n->bytes, key.data, key.size);
    }
    if (n->value_size > 0) {
        memcpy(n->bytes + key.size, value.data, value.size);
    }
    return n;
}

static void node_free(omap_t *m, struct node *n)
{
    m->count--;
    m->bytes -= n->key_size + n->value_size;
    free(n);
}

int omap_put(omap_t *m, struct span key, struct span value, uint64_t tag)
{
    return omap_exchange(m, key, value, tag, NULL);
}

int omap_exchange(omap_t *m, struct span key, struct span value, uint64_t tag, uint64_t *ret_old_tag)
{
    struct node *n = node_new(key, value, tag);
    if (n == NULL) {
        return HM_ENOMEM;
    }
    m->count++;
    m->bytes += n->key_size + n->value_size;
    struct path path;
    struct node **slot = walk(m, key_of(n), &path);
    struct node *old = *slot;
    *slot = n;
    if (ret_old_tag != NULL) {
        *ret_old_tag = old == NULL ? 0 : old->tag;
    }
    if (old != NULL) {
        memcpy(n->child, old->child, sizeof n->child);
        n->height = old->height;
        node_free(m, old);
    } else {
        level_up(&path);
    }
    return HM_OK;
}

/* Takes a node with two children out: the next one above it comes into its place. */
static void take_inner(struct node **slot, struct path *path)
{
    struct node *n = *slot;
    push(path, slot);
    size_t behind = path->count;
    struct node **next = &n->child[1];
    while ((*next)->child[0] != NULL) {
        push(path, next);
        next = &(*next)->child[0];
    }
    struct node *heir = *next;
    *next = heir->child[1];
    memcpy(heir->child, n->child, sizeof heir->child);
    heir->height = n->height; /* what those above count on */
    *slot = heir;
    if (behind < path->count) {
        path->slots[behind] = &heir->child[1]; /* was n's */
    }
}

bool omap_remove(omap_t *m, struct span key)
{
    return omap_remove_tagged(m, key, 0, UINT64_MAX);
}

bool omap_remove_tagged(omap_t *m, struct span key, uint64_t tag_min, uint64_t tag_max)
{
    struct path path;
    struct node **slot = walk(m, key, &path);
    struct node *n = *slot;
    if (n == NULL || n->tag < tag_min || n->tag > tag_max) {
        return false;
    }
    if (n->child[0] != NULL && n->child[1] != NULL) {
        take_inner(slot, &path);
    } else {
        *slot = n->child[n->child[0] == NULL];
    }
    level_up(&path);
    node_free(m, n);
    return true;
}

static bool give(const struct node *n, struct span *ret_key, struct span *ret_value,
                 uint64_t *ret_tag)
{
    if (n == NULL) {
        return false;
    }
    if (ret_key != NULL) {
        *ret_key = key_of(n);
    }
    if (ret_value != NULL) {
        *ret_value = value_of(n);
    }
    if (ret_tag != NULL) {
        *ret_tag = n->tag;
    }
    return true;
}

bool omap_get(const omap_t *m, struct span key, struct span *ret_value, uint64_t *ret_tag)
{
    const struct node *n = m->root;
    while (n != NULL) {
        int order = compare(key, key_of(n));
        if (order == 0) {
            break;
        }
        n = n->child[order > 0];
    }
    return give(n, NULL, ret_value, ret_tag);
}

bool omap_next(const omap_t *m, struct span from, bool inclusive, struct span *ret_key,
               struct span *ret_value, uint64_t *ret_tag)
{
    const struct node *n = m->root, *best = NULL;
    while (n != NULL) {
        int order = compare(from, key_of(n));
        bool is_in = inclusive ? order <= 0 : order < 0;
        if (is_in) {
            best = n;
        }
        n = n->child[!is_in];
    }
    return give(best, ret_key, ret_value, ret_tag);
}
