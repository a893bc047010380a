/* SPDX-License-Identifier: MPL-2.0 */
/* Keys and values in meshctl: between ctl_kv.c, which asks, and ctl_kv_print.c, which shows. */
#ifndef HM_CMD_CTL_KV_H
#define HM_CMD_CTL_KV_H

#include "cmd/ctl.h"
#include "cmd/ctl_out.h"

/* A list that comes in pages, each printed as it comes. */
struct kv_printer {
    struct out *out;
    bool is_json;
    bool is_conflicts;
    bool is_report;
    bool is_begun;  /* something was printed */
    table_t *table; /* rows of keys, so that the columns of many pages stand below each other */
    size_t rows;
};
void kv_print_page(struct kv_printer *p, const json_t *keys);
/* Behind the last page; none: what to say when there was nothing. NULL: the rest was not to be had,
 * so nothing is said of it. */
void kv_print_end(struct kv_printer *p, const char *none);

/* Commands of their own: an exit code (ctl_kv_watch.c, ctl_registry.c). */
int kv_watch(struct ctl *ctl, struct out *out);
/* ctl_backup.c */
int ctl_backup(struct ctl *ctl, struct out *out);
int ctl_restore(struct ctl *ctl, struct out *out);
int registry_diff(struct ctl *ctl, struct out *out);
int registry_export(struct ctl *ctl, struct out *out);
int registry_import(struct ctl *ctl, struct out *out);
/* The changes of one key. */
void kv_print_history(struct out *out, const json_t *reply);

/* A value as text for a table, of which the beginning is enough; the caller frees it. NULL: out of
 * memory. */
char *kv_shown(const json_t *value);
/* Prints a value as it was put. HM_EMALFORMED: it is none; HM_EIO. */
int kv_print_raw(const json_t *value);

#endif
