/* SPDX-License-Identifier: MPL-2.0 */
/* Records of the store: the check before each value; and what LMDB's codes mean. See store_db.h. */
#define _GNU_SOURCE
#include "io/store_db.h"

#include "base/err.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static void hash_record(enum store_table table, MDB_val key, struct span value,
                        uint8_t ret_hash[STORE_HASH_BYTES])
{
    crypto_generichash_state state;
    uint8_t head[3] = {(uint8_t) table, (uint8_t) (key.mv_size >> 8), (uint8_t) key.mv_size};
    crypto_generichash_init(&state, NULL, 0, STORE_HASH_BYTES);
    crypto_generichash_update(&state, head, sizeof head);
    crypto_generichash_update(&state, key.mv_data, key.mv_size);
    if (value.size > 0) {
        crypto_generichash_update(&state, value.data, value.size);
    }
    crypto_generichash_final(&state, ret_hash, STORE_HASH_BYTES);
}

/* SipHash-2-4, keyed with the table and with the hash of the record's key: a fourth of what BLAKE2b costs.
 * It is against worn out cards, not against people: they could write any check. */
static void short_hash_record(enum store_table table, MDB_val key, struct span value,
                              uint8_t ret_check[STORE_CHECK_BYTES])
{
    uint8_t hash_key[crypto_shorthash_KEYBYTES] = {(uint8_t) table};
    _Static_assert(crypto_shorthash_BYTES == STORE_CHECK_BYTES, "a check is one hash");
    _Static_assert(sizeof hash_key == 8 + STORE_CHECK_BYTES, "two words");
    uint8_t of_key[STORE_CHECK_BYTES];
    crypto_shorthash(of_key, key.mv_data, key.mv_size, hash_key);
    memcpy(hash_key + 8, of_key, sizeof of_key);
    crypto_shorthash(ret_check, value.data, value.size, hash_key);
}

size_t store_record_check_bytes(enum store_table table)
{
    return table <= STORE_ROSTER ? STORE_HASH_BYTES : STORE_CHECK_BYTES;
}

void store_record_check(enum store_table table, MDB_val key, struct span value,
                        uint8_t ret_check[STORE_HASH_BYTES])
{
    if (store_record_check_bytes(table) == STORE_CHECK_BYTES) {
        short_hash_record(table, key, value, ret_check);
    } else {
        hash_record(table, key, value, ret_check);
    }
}

bool store_db_value(enum store_table table, MDB_val key, MDB_val value, struct span *ret_value)
{
    uint8_t check[STORE_HASH_BYTES];
    size_t size = store_record_check_bytes(table);
    if (value.mv_size < size) {
        return false;
    }
    const uint8_t *bytes = value.mv_data;
    struct span inner = span_of(bytes + size, value.mv_size - size);
    store_record_check(table, key, inner, check);
    if (memcmp(check, bytes, size) != 0) {
        return false;
    }
    *ret_value = inner;
    return true;
}

/* ---- codes ----------------------------------------------------------------------------------- */

int store_db_code(int rc)
{
    switch (rc) {
    case 0:
        return HM_OK;
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return HM_EFULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return HM_EDENIED;
    case ENOMEM:
        return HM_ENOMEM;
    default:
        return HM_EIO;
    }
}

const char *store_db_text(int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
        return "the store has reached its largest size";
    case MDB_TXN_FULL:
        return "too much at once for one transaction";
    case MDB_PANIC:
        return "the disk failed while the store was being written";
    default:
        return mdb_strerror(rc);
    }
}
