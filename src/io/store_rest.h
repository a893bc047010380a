/* SPDX-License-Identifier: MPL-2.0 */
/* What was read of the store stays mapped until the process ends, and counts as its memory. While nobody
 * writes it is let go: it stays in the kernel's cache as long as there is room, and the next read maps it
 * again, 64 KiB at a time. */
#ifndef HM_IO_STORE_REST_H
#define HM_IO_STORE_REST_H

#include <stdbool.h>
#include <stdint.h>

struct store_rest {
    uint64_t commits; /* seen last, */
    uint64_t since_ns; /* at that time */
    bool is_resting;  /* let go since */
};

/* True once, when nothing has been committed for a while. */
bool store_rest_is_due(struct store_rest *rest, uint64_t commits, uint64_t now_ns);
/* Lets go of the store below that path. HM_OK; HM_ENOTFOUND: it is not mapped, or the kernel does not tell
 * where; HM_EIO. */
int store_rest_unmap(const char *path);

#endif
