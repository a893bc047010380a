/* SPDX-License-Identifier: MPL-2.0 */
/* What a ZRE peer says of itself: see zre_about.h. */
#include "io/zre_about.h"

#include "base/limits.h"

#include <string.h>

/* Half of the room for each list: many groups must not hide the headers. */
#define LIST_BYTES_MAX (HM_ZRE_ABOUT_BYTES_MAX / 2)

/* Undoes an item that did not fit. */
static bool keep(struct zre_about *about, struct buf *b, size_t size)
{
    if (!buf_failed(b)) {
        return true;
    }
    b->failed = false;
    buf_truncate(b, size);
    about->is_cut = true;
    return false;
}

void zre_about_join(struct zre_about *about, struct span group)
{
    struct zre_list groups = zre_about_groups(about);
    struct span known;
    while (zre_strings_next(&groups, &known)) {
        if (known.size == group.size && memcmp(known.data, group.data, group.size) == 0) {
            return;
        }
    }
    size_t size = about->groups.size;
    zre_strings_add(&about->groups, group);
    about->group_count += keep(about, &about->groups, size) ? 1 : 0;
}

void zre_about_leave(struct zre_about *about, struct span group)
{
    struct zre_list groups = zre_about_groups(about);
    struct span known;
    struct buf kept;
    uint32_t count = 0;
    buf_init(&kept, LIST_BYTES_MAX);
    while (zre_strings_next(&groups, &known)) {
        if (known.size != group.size || memcmp(known.data, group.data, group.size) != 0) {
            zre_strings_add(&kept, known);
            count++;
        }
    }
    if (buf_failed(&kept)) {
        buf_fini(&kept); /* no memory: it goes on being shown */
        return;
    }
    buf_fini(&about->groups);
    about->groups = kept;
    about->group_count = count;
}

void zre_about_hello(struct zre_about *about, const struct zre_msg *hello)
{
    struct zre_list groups = hello->groups;
    struct zre_list headers = hello->headers;
    struct span key;
    struct span value;
    zre_about_fini(about);
    buf_init(&about->groups, LIST_BYTES_MAX);
    buf_init(&about->headers, LIST_BYTES_MAX);
    about->name_bytes =
        hello->name.size < sizeof about->name ? hello->name.size : sizeof about->name;
    if (about->name_bytes > 0) {
        memcpy(about->name, hello->name.data, about->name_bytes);
    }
    while (zre_strings_next(&groups, &key)) {
        zre_about_join(about, key);
    }
    while (zre_headers_next(&headers, &key, &value)) {
        size_t size = about->headers.size;
        zre_headers_add(&about->headers, key, value);
        about->header_count += keep(about, &about->headers, size) ? 1 : 0;
    }
}

void zre_about_fini(struct zre_about *about)
{
    buf_fini(&about->groups);
    buf_fini(&about->headers);
    memset(about, 0, sizeof *about);
}

struct zre_list zre_about_groups(const struct zre_about *about)
{
    struct zre_list list = {buf_span(&about->groups), about->group_count};
    return list;
}

struct zre_list zre_about_headers(const struct zre_about *about)
{
    struct zre_list list = {buf_span(&about->headers), about->header_count};
    return list;
}
