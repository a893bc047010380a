/* SPDX-License-Identifier: MPL-2.0 */
/* See later_format.h. */
#include "later_format.h"

#include "base/err.h"
#include "wire/entry_msg.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define LATER_HEAD 0x93 /* msgpack: an array of three */
#define LATER_FORMAT 2
#define ENTRY_HEAD 0x92

/* An entry that was read borrows from its copy. */
struct copy {
    struct copy *next;
    uint8_t bytes[];
};

bool later_format_is_next;
bool later_format_writes;
static struct copy *copies;

int __real_entry_read(struct span bytes, struct entry *ret_entry);
int __wrap_entry_read(struct span bytes, struct entry *ret_entry);
void __real_entry_write(struct buf *b, struct span body, struct span signature);
void __wrap_entry_write(struct buf *b, struct span body, struct span signature);
void __real_entry_body_write(struct buf *b, const struct entry *e);
void __wrap_entry_body_write(struct buf *b, const struct entry *e);

void later_format_release(void)
{
    while (copies != NULL) {
        struct copy *copy = copies;
        copies = copy->next;
        free(copy);
    }
}

int __wrap_entry_read(struct span bytes, struct entry *ret_entry)
{
    int rc = __real_entry_read(bytes, ret_entry);
    if (rc != HM_EVERSION || !later_format_is_next) {
        return rc;
    }
    HM_ASSERT(bytes.data[0] == LATER_HEAD && bytes.data[1] == LATER_FORMAT);
    struct copy *copy = malloc(sizeof *copy + bytes.size);
    if (copy == NULL) {
        return HM_ENOMEM;
    }
    copy->next = copies;
    copies = copy;
    memcpy(copy->bytes, bytes.data, bytes.size);
    copy->bytes[1] = ENTRY_HEAD;
    rc = __real_entry_read(span_of(copy->bytes + 1, bytes.size - 1), ret_entry);
    ret_entry->bytes = bytes;
    return rc;
}

void __wrap_entry_write(struct buf *b, struct span body, struct span signature)
{
    size_t before = b->size;
    bool is_later = later_format_is_next && later_format_writes;
    if (is_later) {
        mp_uint(b, LATER_FORMAT); /* its place becomes that of the head, which goes before it */
    }
    __real_entry_write(b, body, signature);
    if (is_later) {
        b->data[before] = LATER_HEAD;
        b->data[before + 1] = LATER_FORMAT;
    }
}

void __wrap_entry_body_write(struct buf *b, const struct entry *e)
{
    struct entry written = *e;
    size_t before = b->size;
    if (later_format_is_next && e->key.size >= 6 && memcmp(e->key.data, "kv/odd", 6) == 0) {
        written.type = LATER_ODD_TYPE;
    }
    __real_entry_body_write(b, &written);
    if (later_format_is_next) {
        b->data[before]++;
        mp_str(b, "of the next version");
    }
}
