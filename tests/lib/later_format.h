/* SPDX-License-Identifier: MPL-2.0 */
#ifndef HM_TESTS_LATER_FORMAT_H
#define HM_TESTS_LATER_FORMAT_H
/* Entries as an artificial next version might write them: a field more in each, a type that this version
 * does not know for keys that begin with "kv/odd", and, if it writes later ones, a format of which this
 * version reads nothing: [2, body, signature]. The next version reads all of it.
 *
 * Nothing of that is in the core: it is put around its entry_read, entry_write and entry_body_write, so a
 * program is linked with $(later_format_wrap) of tests/net/files.am. One thread. */
#include <stdbool.h>

enum {
    LATER_ODD_TYPE = 9,
};

extern bool later_format_is_next; /* who reads and writes is of the next version */
extern bool later_format_writes;  /* the next version writes the later format */

/* What was read has ended: entries borrow from copies that live until then. */
void later_format_release(void);

#endif
