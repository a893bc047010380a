/* SPDX-License-Identifier: MPL-2.0 */
/* The journal's files as a disk may give them back. The first byte chooses: 0, entries; 1, a file; 2, changes of a
 * good file (place, 2 bytes; what comes there, 1 byte); else content that is sealed into a record. What is
 * found lies in the bytes; a record that is found in a changed file is one that was written, as it was; an entry
 * that is read is written again to the same bytes. */
#include "fuzz.h"

#include "io/journal_record.h"
#include "io/store.h"

#define RECORDS 5
#define FILE_BYTES (16 * JOURNAL_BLOCK_BYTES)

static const uint8_t id[JOURNAL_ID_BYTES] = "fuzz";

static void read_entries(struct span content)
{
    struct span left = content;
    struct store_entry e;
    for (;;) {
        struct span before = left;
        if (!journal_next_entry(&left, &e)) {
            return;
        }
        FUZZ_ASSERT(span_inside(e.key, content) && span_inside(e.value, content));
        FUZZ_ASSERT(e.key.size > 0 && e.key.size <= STORE_KEY_BYTES_MAX);
        size_t size = journal_entry_bytes(&e);
        FUZZ_ASSERT(left.size + size == before.size);
        uint8_t *again = malloc(size);
        FUZZ_ASSERT(again != NULL && journal_put_entry(again, &e) == again + size);
        FUZZ_ASSERT(memcmp(again, before.data, size) == 0);
        free(again);
    }
}

/* Record k has 900 * k bytes of k, from 1 on. Returns the end of the last one. */
static size_t make_good(uint8_t file[FILE_BYTES])
{
    size_t at = JOURNAL_BLOCK_BYTES;
    memset(file, 0, FILE_BYTES);
    journal_file_head(file, id, 0);
    for (unsigned k = 1; k <= RECORDS; k++) {
        memset(file + at + JOURNAL_HEAD_BYTES, (int) k, 900 * k);
        journal_seal(file + at, id, k, 900 * k);
        at += journal_record_bytes(900 * k);
    }
    return at;
}

static unsigned find_records(struct span file, bool is_ours)
{
    struct journal_record r;
    size_t at = 0, before = 0;
    unsigned count = 0;
    while (journal_next_record(file, id, &at, &r)) {
        FUZZ_ASSERT(at > before && span_inside(r.content, file));
        FUZZ_ASSERT(!is_ours || (r.number >= 1 && r.number <= RECORDS));
        FUZZ_ASSERT(!is_ours || r.content.size == 900 * r.number);
        for (size_t i = 0; is_ours && i < r.content.size; i++) {
            FUZZ_ASSERT(r.content.data[i] == r.number);
        }
        read_entries(r.content);
        before = at;
        count++;
    }
    (void) journal_file_head_is_sound(file, id, 0);
    return count;
}

static void change_good(struct span changes)
{
    static uint8_t file[FILE_BYTES];
    size_t end = make_good(file);
    FUZZ_ASSERT(journal_file_head_is_sound(span_of(file, end), id, 0));
    FUZZ_ASSERT(!journal_file_head_is_sound(span_of(file, end), id, 1));
    FUZZ_ASSERT(find_records(span_of(file, end), true) == RECORDS);
    for (size_t i = 0; i + 3 <= changes.size; i += 3) {
        size_t at = ((size_t) changes.data[i] << 8 | changes.data[i + 1]) % end;
        file[at] = changes.data[i + 2];
    }
    find_records(span_of(file, end), true);
}

static void seal_content(struct span content)
{
    size_t bytes = journal_record_bytes(content.size);
    uint8_t *record = malloc(bytes);
    struct journal_record r;
    size_t at = 0;
    FUZZ_ASSERT(record != NULL);
    if (content.size > 0) {
        memcpy(record + JOURNAL_HEAD_BYTES, content.data, content.size);
    }
    journal_seal(record, id, 7, content.size);
    FUZZ_ASSERT(journal_next_record(span_of(record, bytes), id, &at, &r));
    FUZZ_ASSERT(r.number == 7 && r.bytes == bytes && at == bytes && span_eq(r.content, content));
    read_entries(r.content);
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span rest = fuzz_copy(span_of(data + 1, size - 1));
    switch (data[0]) {
    case 0:
        read_entries(rest);
        break;
    case 1:
        find_records(rest, false);
        break;
    case 2:
        change_good(rest);
        break;
    default:
        seal_content(rest);
    }
    fuzz_free(rest);
    return 0;
}
