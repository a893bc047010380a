/* SPDX-License-Identifier: MPL-2.0 */
/* The pages of the stored file: see store_pages.h. The layout is that of LMDB 0.9's mdb.c: numbers
 * in the machine's order and word size.
 *
 *   page    number (word), pad (2), flags (2), then lower (2) and upper (2) or a page count (4);
 *           offsets of the nodes (2 each) up to lower; nodes from upper to the end
 *   node    low (2), high (2), flags (2), key size (2), key, data; in a leaf low and high are the
 * size of the data, in a branch low, high and flags are the number of the page below tree    pad
 * (4), flags (2), depth (2), branch, leaf and overflow pages, entries, root (words) meta    magic
 * (4), version (4), address, map size (words), two trees (free pages, tables), last page,
 * transaction (words) */
#include "io/store_pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORD sizeof(size_t)
#define PAGE_HEAD_BYTES (WORD + 8)
#define NODE_HEAD_BYTES 8
#define TREE_BYTES (8 + 5 * WORD)
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define DEPTH_MAX 32 /* LMDB's cursor stack */
#define KEY_BYTES_MAX 511
#define PAGE_BYTES_MAX 32768
#define PAGES_MAX ((size_t) 1 << 24) /* 64 GiB of 4 KiB pages: bounds the map of uses */
#define PAGES_UNWRITTEN_MAX 4096     /* free pages at the end that were never written */

enum page_flag { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum node_flag { NODE_BIG = 1, NODE_TREE = 2 };
enum tree_flag { TREE_INTEGER_KEY = 8 };

/* What a tree holds decides what its leaves may be. */
enum tree_kind { TREE_FREE, TREE_TABLES, TREE_TABLE };

struct tree {
    uint32_t pad;
    uint16_t flags;
    uint16_t depth;
    size_t branch_pages;
    size_t leaf_pages;
    size_t overflow_pages;
    size_t entries;
    size_t root;
};

struct meta {
    struct tree trees[2];
    size_t page_last;
    size_t txn;
};

struct check {
    struct span file;
    size_t page_bytes;
    size_t page_last;
    size_t txn;
    uint8_t *uses;       /* a bit for each page: used or free */
    uint8_t *node_bytes; /* a byte for each byte of a page: part of a node */
    const char *fault;
};

/* A walk down one tree; the key before is the last one seen in order. */
struct walk {
    struct check *check;
    enum tree_kind kind;
    struct tree found; /* counts of what was seen */
    unsigned depth;
    struct span key_before;
    bool before_is_separator; /* then the next key may equal it */
};

static const char *walk_tree(struct check *c, const struct tree *t, enum tree_kind kind);

static uint16_t read_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static size_t read_word(const uint8_t *at)
{
    size_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The lower half of a node's number is stored first on little-endian machines, last on others. */
static void read_halves(const uint8_t *node, size_t *ret_low, size_t *ret_high)
{
    const uint16_t one = 1;
    bool is_little = *(const uint8_t *) &one == 1;
    *ret_low = read_u16(node + (is_little ? 0 : 2));
    *ret_high = read_u16(node + (is_little ? 2 : 0));
}

static struct tree read_tree(const uint8_t *at)
{
    struct tree t = {.pad = read_u32(at), .flags = read_u16(at + 4), .depth = read_u16(at + 6)};
    t.branch_pages = read_word(at + 8);
    t.leaf_pages = read_word(at + 8 + WORD);
    t.overflow_pages = read_word(at + 8 + 2 * WORD);
    t.entries = read_word(at + 8 + 3 * WORD);
    t.root = read_word(at + 8 + 4 * WORD);
    return t;
}

/* Marks pages as used (or free); false if one is none of the file's or has a use already. */
static bool claim(struct check *c, size_t page, size_t count)
{
    if (page < 2 || page > c->page_last || count == 0 || count > c->page_last - page + 1) {
        return false;
    }
    for (size_t i = page; i < page + count; i++) {
        uint8_t bit = (uint8_t) (1u << (i % 8));
        if (c->uses[i / 8] & bit) {
            return false;
        }
        c->uses[i / 8] |= bit;
    }
    return true;
}

/* The bytes of a page that is in use, or NULL. */
static const uint8_t *use_pages(struct check *c, size_t page, size_t count, uint16_t flags)
{
    if (!claim(c, page, count) || page + count > c->file.size / c->page_bytes) {
        return NULL;
    }
    const uint8_t *at = c->file.data + page * c->page_bytes;
    bool is_right = read_word(at) == page && read_u16(at + WORD + 2) == flags;
    return is_right ? at : NULL;
}

/* ---- one page -------------------------------------------------------------------------------- */

struct node {
    size_t at; /* in its page */
    size_t bytes;
    uint16_t flags;
    struct span key;
    size_t number;       /* leaf: size of the data; branch: page below */
    const uint8_t *data; /* leaf: the data, or the number of the page that has it */
};

static bool read_node(const struct check *c, const uint8_t *page, size_t idx, bool is_leaf,
                      struct node *ret)
{
    struct node n = {.at = read_u16(page + PAGE_HEAD_BYTES + 2 * idx)};
    size_t low, high;
    if (n.at % 2 != 0 || n.at > c->page_bytes - NODE_HEAD_BYTES) {
        return false;
    }
    const uint8_t *at = page + n.at;
    read_halves(at, &low, &high);
    n.flags = read_u16(at + 4);
    size_t key_bytes = read_u16(at + 6);
    n.number = low | high << 16;
    if (!is_leaf && WORD > 4) {
        n.number |= (size_t) n.flags << (WORD > 4 ? 32 : 0);
    }
    size_t data_bytes = !is_leaf ? 0 : (n.flags & NODE_BIG) ? WORD : n.number;
    size_t room = c->page_bytes - n.at - NODE_HEAD_BYTES;
    if (key_bytes > KEY_BYTES_MAX || key_bytes > room || data_bytes > room - key_bytes) {
        return false;
    }
    n.key = span_of(at + NODE_HEAD_BYTES, key_bytes);
    n.data = at + NODE_HEAD_BYTES + key_bytes;
    n.bytes = (NODE_HEAD_BYTES + key_bytes + data_bytes + 1) & ~(size_t) 1;
    *ret = n;
    return n.at + n.bytes <= c->page_bytes;
}

/* Nodes lie between upper and the page's end and fill it exactly, without overlap. */
static const char *check_bounds(struct check *c, const uint8_t *page, bool is_leaf,
                                size_t *ret_count)
{
    size_t lower = read_u16(page + WORD + 4);
    size_t upper = read_u16(page + WORD + 6);
    if (lower < PAGE_HEAD_BYTES || lower % 2 != 0 || lower > upper || upper > c->page_bytes) {
        return "the bounds of a page are wrong";
    }
    size_t count = (lower - PAGE_HEAD_BYTES) / 2;
    size_t filled = 0;
    if (count < (is_leaf ? 1 : 2)) {
        return "a page has too few entries";
    }
    memset(c->node_bytes, 0, c->page_bytes);
    for (size_t i = 0; i < count; i++) {
        struct node n;
        if (!read_node(c, page, i, is_leaf, &n) || n.at < upper ||
            memchr(c->node_bytes + n.at, 1, n.bytes) != NULL) {
            return "an entry of a page is out of bounds";
        }
        memset(c->node_bytes + n.at, 1, n.bytes);
        filled += n.bytes;
    }
    *ret_count = count;
    return filled == c->page_bytes - upper ? NULL : "a page has gaps";
}

static int compare_keys(const struct walk *w, struct span a, struct span b)
{
    if (w->kind == TREE_FREE) {
        size_t x = read_word(a.data);
        size_t y = read_word(b.data);
        return x < y ? -1 : x > y;
    }
    int rc = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return rc != 0 ? rc : a.size < b.size ? -1 : a.size > b.size;
}

/* Keys rise; a branch's separator is at most the first key below it. */
static bool take_key(struct walk *w, struct span key, bool is_separator)
{
    if (key.size == 0 || (w->kind == TREE_FREE && key.size != WORD)) {
        return false;
    }
    if (w->key_before.data != NULL) {
        int rc = compare_keys(w, w->key_before, key);
        if (rc > 0 || (rc == 0 && (!w->before_is_separator || is_separator))) {
            return false;
        }
    }
    w->key_before = key;
    w->before_is_separator = is_separator;
    return true;
}

/* ---- what leaves hold ------------------------------------------------------------------------ */

/* A count and so many page numbers, each smaller than the one before. */
static const char *check_free_list(struct check *c, struct span key, const uint8_t *data,
                                   size_t size)
{
    size_t before = SIZE_MAX;
    if (read_word(key.data) > c->txn) {
        return "free pages of a transaction that never was";
    }
    if (size < WORD || read_word(data) > size / WORD - 1) {
        return "the list of free pages is cut";
    }
    size_t count = read_word(data);
    for (size_t i = 1; i <= count; i++) {
        size_t page = read_word(data + i * WORD);
        if (page >= before || !claim(c, page, 1)) {
            return "a free page is in use or listed twice";
        }
        before = page;
    }
    return NULL;
}

/* How many pages a large value says it has; 0 if it lies outside the file. */
static size_t count_pages(const struct check *c, size_t first)
{
    if (first < 2 || first >= c->file.size / c->page_bytes) {
        return 0;
    }
    return read_u32(c->file.data + first * c->page_bytes + WORD + 4);
}

static const char *check_value(struct walk *w, const struct node *n)
{
    struct check *c = w->check;
    const uint8_t *data = n->data;
    if (n->flags & NODE_BIG) {
        /* There may be more than it needs: a shorter value keeps the pages of the one before. */
        size_t needed = (PAGE_HEAD_BYTES - 1 + n->number) / c->page_bytes + 1;
        size_t first = read_word(n->data);
        size_t pages = count_pages(c, first);
        const uint8_t *page = use_pages(c, first, pages, PAGE_OVERFLOW);
        if (page == NULL || pages < needed) {
            return "the pages of a large value are not its own";
        }
        w->found.overflow_pages += pages;
        data = page + PAGE_HEAD_BYTES;
    }
    if (w->kind == TREE_FREE) {
        return check_free_list(c, n->key, data, n->number);
    }
    if (w->kind == TREE_TABLES) {
        if (n->number != TREE_BYTES) {
            return "a table is described wrongly";
        }
        struct tree below = read_tree(data);
        return walk_tree(c, &below, TREE_TABLE);
    }
    return NULL;
}

static const char *check_leaf(struct walk *w, const uint8_t *page, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct node n;
        read_node(w->check, page, i, true, &n);
        uint16_t wanted = w->kind == TREE_TABLES ? NODE_TREE : n.flags & NODE_BIG;
        if (n.flags != wanted) {
            return "an entry is of a wrong kind";
        }
        if (!take_key(w, n.key, false)) {
            return "keys are not in order";
        }
        const char *fault = check_value(w, &n);
        if (fault != NULL) {
            return fault;
        }
        w->found.entries++;
    }
    return NULL;
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* At most DEPTH_MAX deep, twice (a table is reached through the tree of tables). */
static const char *walk_page(struct walk *w, size_t number, unsigned level)
{
    struct check *c = w->check;
    bool is_leaf = level == w->depth;
    size_t count = 0;
    const uint8_t *page = use_pages(c, number, 1, is_leaf ? PAGE_LEAF : PAGE_BRANCH);
    if (page == NULL) {
        return "a page is missing, of a wrong kind or used twice";
    }
    const char *fault = check_bounds(c, page, is_leaf, &count);
    if (fault != NULL) {
        return fault;
    }
    if (is_leaf) {
        w->found.leaf_pages++;
        return check_leaf(w, page, count);
    }
    w->found.branch_pages++;
    for (size_t i = 0; i < count && fault == NULL; i++) {
        struct node n;
        read_node(c, page, i, false, &n);
        /* The first separator of a branch is never looked at, and usually empty. */
        if (i > 0 && !take_key(w, n.key, true)) {
            return "keys are not in order";
        }
        fault = walk_page(w, n.number, level + 1);
    }
    return fault;
}

static const char *walk_tree(struct check *c, const struct tree *t, enum tree_kind kind)
{
    struct walk w = {.check = c, .kind = kind, .depth = t->depth};
    bool is_empty = t->root == SIZE_MAX;
    if (t->flags != (kind == TREE_FREE ? TREE_INTEGER_KEY : 0) ||
        (kind != TREE_FREE && t->pad != 0)) {
        return "a tree is of a wrong kind";
    }
    if (t->depth > DEPTH_MAX || is_empty != (t->depth == 0)) {
        return "a tree has a wrong depth";
    }
    const char *fault = is_empty ? NULL : walk_page(&w, t->root, 1);
    if (fault != NULL) {
        return fault;
    }
    return w.found.branch_pages == t->branch_pages && w.found.leaf_pages == t->leaf_pages &&
                   w.found.overflow_pages == t->overflow_pages && w.found.entries == t->entries
               ? NULL
               : "a tree does not have what it should";
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool read_meta(struct span file, size_t page, size_t page_bytes, struct meta *ret)
{
    const uint8_t *at = file.data + page * page_bytes;
    const uint8_t *meta = at + PAGE_HEAD_BYTES;
    const uint8_t *trees = meta + 8 + 2 * WORD;
    if (read_word(at) != page || read_u16(at + WORD + 2) != PAGE_META ||
        read_u32(meta) != META_MAGIC || read_u32(meta + 4) != META_VERSION) {
        return false;
    }
    ret->trees[0] = read_tree(trees);
    ret->trees[1] = read_tree(trees + TREE_BYTES);
    ret->page_last = read_word(trees + 2 * TREE_BYTES);
    ret->txn = read_word(trees + 2 * TREE_BYTES + WORD);
    return ret->trees[0].pad == page_bytes;
}

/* The size of a page is told by the first meta page. */
static bool read_page_bytes(struct span file, size_t *ret_page_bytes)
{
    if (file.size < 2 * (PAGE_HEAD_BYTES + 8 + 2 * WORD + 2 * TREE_BYTES + 2 * WORD)) {
        return false;
    }
    size_t bytes = read_u32(file.data + PAGE_HEAD_BYTES + 8 + 2 * WORD);
    *ret_page_bytes = bytes;
    return bytes >= 512 && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0 &&
           file.size >= 2 * bytes;
}

/* Transaction n writes meta page n % 2, so the two are one apart: LMDB takes the newer one, and a
 * changed number would make it go back by a transaction without a word. In a new file both are 0. */
static bool metas_are_a_pair(const struct meta metas[2])
{
    size_t newest = metas[metas[0].txn < metas[1].txn].txn;
    return newest == 0 ||
           (metas[newest % 2].txn == newest && metas[(newest + 1) % 2].txn == newest - 1);
}

const char *store_pages_check(struct span file)
{
    struct meta metas[2];
    struct check c = {.file = file};
    if (file.size == 0) {
        return NULL;
    }
    if (!read_page_bytes(file, &c.page_bytes) || !read_meta(file, 0, c.page_bytes, &metas[0]) ||
        !read_meta(file, 1, c.page_bytes, &metas[1])) {
        return "its first pages are no database's";
    }
    if (!metas_are_a_pair(metas)) {
        return "its first pages do not belong together";
    }
    const struct meta *newest = &metas[metas[0].txn < metas[1].txn];
    if (newest->page_last < 1 || newest->page_last >= PAGES_MAX ||
        newest->page_last > file.size / c.page_bytes + PAGES_UNWRITTEN_MAX) {
        return "its number of pages is wrong";
    }
    c.page_last = newest->page_last;
    c.txn = newest->txn;
    c.uses = calloc(c.page_last / 8 + 1, 1);
    c.node_bytes = malloc(c.page_bytes);
    const char *fault = NULL;
    if (c.uses == NULL || c.node_bytes == NULL) {
        goto done; /* no memory to doubt it with: liblmdb's own walk follows */
    }
    fault = walk_tree(&c, &newest->trees[1], TREE_TABLES);
    if (fault == NULL) {
        fault = walk_tree(&c, &newest->trees[0], TREE_FREE);
    }
done:
    free(c.uses);
    free(c.node_bytes);
    return fault;
}
