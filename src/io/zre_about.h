/* SPDX-License-Identifier: MPL-2.0 */
/* What a ZRE peer says of itself: name, groups and headers of its HELLO, groups followed through its
 * JOINs and LEAVEs. Only shown, never believed. At most HM_ZRE_ABOUT_BYTES_MAX bytes of lists are
 * kept per peer; what is beyond is left out and the peer marked as cut. */
#ifndef HM_IO_ZRE_ABOUT_H
#define HM_IO_ZRE_ABOUT_H

#include "base/buf.h"
#include "wire/zre_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zre_about {
    char name[ZRE_STRING_BYTES_MAX];
    size_t name_bytes;
    struct buf groups;
    uint32_t group_count;
    struct buf headers;
    uint32_t header_count;
    bool is_cut;
};

/* Takes a HELLO in place of what was known. A zeroed struct knows nothing. */
void zre_about_hello(struct zre_about *about, const struct zre_msg *hello);
void zre_about_join(struct zre_about *about, struct span group);
void zre_about_leave(struct zre_about *about, struct span group);
void zre_about_fini(struct zre_about *about);

/* Borrowed until the next change. */
struct zre_list zre_about_groups(const struct zre_about *about);
struct zre_list zre_about_headers(const struct zre_about *about);

#endif
