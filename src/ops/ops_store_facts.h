/* SPDX-License-Identifier: MPL-2.0 */
/* How the store is, as plain data for handlers, which cannot look themselves: io/store fills it. */
#ifndef HM_OPS_OPS_STORE_FACTS_H
#define HM_OPS_OPS_STORE_FACTS_H

#include "core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_WORK_DAMAGED_MAX 32 /* damaged records that a check lists */
#define STORE_FIGURES_TABLES 7    /* one more than the highest number in enum store_table */
#define STORE_FACT_KEY_BYTES 511  /* of a stored key: LMDB's bound */

/* As LMDB and people know it; NULL: there is no such table. */
const char *store_table_name(enum store_table table);

/* Since the start; what the kernel does not tell of bytes is not known. */
struct store_counts {
    uint64_t commits;       /* groups of batches made durable */
    uint64_t checkpoints;   /* times that what the journal had was put into the tables */
    uint64_t syncs;         /* that the disk was told to, for these */
    uint64_t bytes_written; /* to journal and tables, also by compacting */
    uint64_t bytes_copied;  /* of these, by compacting */
    bool is_bytes_known;
};

/* How large it is. */
struct store_figures {
    uint64_t format;
    uint64_t file_bytes;
    uint64_t map_bytes; /* the file cannot become larger */
    uint64_t page_bytes;
    uint64_t pages;                         /* that the file has */
    uint64_t free_pages;                    /* of these, not in use; a compaction gives them back */
    uint64_t entries[STORE_FIGURES_TABLES]; /* by enum store_table; 0: not used */
};

enum store_work_kind { STORE_WORK_NONE, STORE_WORK_CHECK, STORE_WORK_COMPACT };

struct store_damaged_record {
    enum store_table table;
    size_t key_size;
    uint8_t key[STORE_FACT_KEY_BYTES];
};

/* Something that takes long and is done beside all else. */
struct store_work {
    enum store_work_kind kind;
    uint64_t number;   /* rises */
    bool is_done;      /* all below holds */
    bool is_by_itself; /* nobody asked: most of the file was free at the start */
    int code;          /* HM_OK: it was done; text says why not */
    char text[160];
    uint64_t took_ns;
    uint64_t bytes_before, bytes_after; /* of the file, STORE_WORK_COMPACT */
    /* STORE_WORK_CHECK: */
    uint64_t records;
    bool is_file_damaged; /* its pages: LMDB may crash on it; text says what */
    uint64_t damaged_count;
    struct store_damaged_record damaged[STORE_WORK_DAMAGED_MAX]; /* the first of them */
};

struct store_condition {
    const char *path; /* all pointers: borrowed until the next call */
    struct store_figures figures;
    struct store_counts counts;
    bool are_figures_known;
    uint64_t today_bytes; /* written since midnight (UTC) or the start */
    uint64_t journal_bytes; /* of records that are not in the tables yet */
    bool is_full;         /* the last batch found no room, or what the journal has did not */
    const char *error;    /* of the batch that failed last; "": none did */
    uint64_t error_wall_ms;
    uint64_t damaged;              /* store_damaged */
    const struct store_work *work; /* the last one; kind STORE_WORK_NONE: none was yet */
};

#endif
