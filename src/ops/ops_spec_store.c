/* SPDX-License-Identifier: MPL-2.0 */
/* The part of the operation table that is about the store: see ops_spec.h. */
#include "base/err.h"
#include "ops/ops_spec.h"

/* Tables read best with one entry a line. */
/* clang-format off */

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

static const struct op_field status_fields[] = {
    {"path", NULL, FIELD_TEXT, false, "its directory"},
    {"format", NULL, FIELD_UINT, false, "version of its tables"},
    {"file_bytes", NULL, FIELD_UINT, false, "size of its file"},
    {"map_bytes", NULL, FIELD_UINT, false, "what the file may grow to"},
    {"page_bytes", NULL, FIELD_UINT, false, "size of a page"},
    {"used_pages", NULL, FIELD_UINT, false, "pages in use"},
    {"free_pages", NULL, FIELD_UINT, false, "pages that are used before the file grows; compacting gives them back"},
    {"records", NULL, FIELD_OBJECT, false, "how many there are"},
    {"records.self", NULL, FIELD_UINT, false, "about this node"},
    {"records.roster", NULL, FIELD_UINT, false, "members"},
    {"records.vector", NULL, FIELD_UINT, false, "lives of writers that something is known of, and totals"},
    {"records.entries", NULL, FIELD_UINT, false, "entries of the registry"},
    {"records.dots", NULL, FIELD_UINT, false, "the same by writer and number"},
    {"records.marks", NULL, FIELD_UINT, false, "of these, deletion marks"},
    {"commits", NULL, FIELD_UINT, false, "times that writes were made durable since the start of meshd"},
    {"checkpoints", NULL, FIELD_UINT, false, "times that what the journal had was put into the file"},
    {"syncs", NULL, FIELD_UINT, false, "times the disk was told to sync for both"},
    {"journal_bytes", NULL, FIELD_UINT, false, "of the journal that wait to be put into the file"},
    {"written_bytes", NULL, FIELD_UINT, true, "written to journal and file since then; null: the kernel does not tell"},
    {"written_today_bytes", NULL, FIELD_UINT, true, "the same since midnight UTC"},
    {"full", NULL, FIELD_BOOL, false, "the last write found no room"},
    {"error", NULL, FIELD_TEXT, true, "why a write failed last"},
    {"error_time", NULL, FIELD_TIME, true, "when"},
    {"damaged", NULL, FIELD_UINT, false, "damaged records, and journals, met since the start"},
    {"work", NULL, FIELD_OBJECT, true, "the check or compaction that was the last, or is under way"},
    {"work.number", NULL, FIELD_UINT, false, "its number; rises"},
    {"work.kind", NULL, FIELD_TEXT, false, "check or compact"},
    {"work.state", NULL, FIELD_TEXT, false, "running, done or failed"},
    {"work.by_itself", NULL, FIELD_BOOL, false, "nobody asked for it"},
    {"work.error", NULL, FIELD_TEXT, true, "why it failed"},
    {"work.took_ms", NULL, FIELD_UINT, false, "how long it took"},
    {"work.bytes_before", NULL, FIELD_UINT, false, "size of the file before a compaction"},
    {"work.bytes_after", NULL, FIELD_UINT, false, "and after it"},
    {"work.records", NULL, FIELD_UINT, false, "records that a check looked at"},
    {"work.damaged", NULL, FIELD_UINT, false, "of these, damaged"},
    {"work.file_damaged", NULL, FIELD_BOOL, false, "the file itself is damaged: see error"},
    {"damaged_records", NULL, FIELD_LIST, false, "the damaged records that the last check found, at most 32"},
    {"damaged_records.table", NULL, FIELD_TEXT, false, "self, roster, vector, entries, dots, marks"},
    {"damaged_records.key", NULL, FIELD_TEXT, false, "the entry's key; in other tables hex digits"},
};
static const struct op_field work_fields[] = {
    {"work", NULL, FIELD_UINT, false, "its number, for the field work of store.status"},
};

static const int errors_none[] = {0};
static const int errors_work[] = {HM_EBUSY, 0};

#define FIELDS(f) .fields = (f), .field_count = COUNT_OF(f)
#define AT(op) [(op) - OPS_STORE_FIRST]

const struct op_spec ops_spec_store[] = {
    AT(OP_STORE_STATUS) = {
        .op = OP_STORE_STATUS, .name = "store.status", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, FIELDS(status_fields), .errors = errors_none,
        .summary = "how large and how well the store on disk is",
        .help = "Shows the store of this node: its file, what is in use and what is free, records "
                "by table, what was written to the disk since the start and today, and what went "
                "wrong last.",
        .example = "meshctl store status"},
    AT(OP_STORE_CHECK) = {
        .op = OP_STORE_CHECK, .name = "store.check", .kind = OP_ASYNC, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, FIELDS(work_fields), .errors = errors_work,
        .summary = "look at every stored record",
        .help = "Looks at every page and every record of the store while the node works on, waits "
                "for it, and lists what is damaged. Exit status 1 if something is. Entries of the "
                "registry come again from other members.",
        .example = "meshctl store check"},
    AT(OP_STORE_COMPACT) = {
        .op = OP_STORE_COMPACT, .name = "store.compact", .kind = OP_ASYNC, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, FIELDS(work_fields), .errors = errors_work,
        .summary = "give free pages of the store back to the disk",
        .help = "Copies what is in use to a file of its own, which then takes the place of the "
                "store's, and waits for it. Reading goes on, writes wait. Nothing is lost if the "
                "power goes. There must be room for the copy.",
        .example = "meshctl store compact"},
};

/* clang-format on */

const size_t ops_spec_store_count = COUNT_OF(ops_spec_store);
