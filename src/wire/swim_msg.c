/* SPDX-License-Identifier: MPL-2.0 */
/* Membership messages: see swim_msg.h. One table says which fields each type has; writing and reading
 * walk it, so the two cannot disagree. */
#include "wire/swim_msg.h"

#include "base/be.h"
#include "base/err.h"
#include "wire/frame.h"
#include "wire/removal_msg.h"

#include <string.h>

/* n nonce, e echo, h view hash, c coordinate, t target, r record, u updates. */
static const char *fields_of(uint64_t type)
{
    switch (type) {
    case SWIM_JOIN: return "nr";
    case SWIM_ANSWER: return "enrhu";
    case SWIM_CONFIRM: return "er";
    case SWIM_CHALLENGE: return "n";
    case SWIM_ECHO: return "eu";
    case SWIM_PING: return "nhcu";
    case SWIM_ACK: return "ehcu";
    case SWIM_PING_REQ: return "ntu";
    case SWIM_RELAYED: return "et";
    case SWIM_NACK: return "et";
    case SWIM_GOSSIP: return "u";
    case SWIM_DIAL: return "";
    default: return NULL;
    }
}

static void write_coord(struct buf *b, const struct coord_wire *coord)
{
    uint8_t bytes[COORD_WIRE_BYTES];
    for (size_t i = 0; i < COORD_DIMENSIONS; i++) {
        be_put(bytes + 4 * i, (uint32_t) coord->at_us[i], 4);
    }
    be_put(bytes + 16, coord->height_us, 4);
    be_put(bytes + 20, coord->error_ppm, 4);
    mp_bin(b, bytes, sizeof bytes);
}

static void read_coord(struct mp_reader *r, struct coord_wire *coord)
{
    struct span s = mp_read_bin(r, COORD_WIRE_BYTES);
    if (s.size != COORD_WIRE_BYTES) {
        r->failed = true;
        return;
    }
    for (size_t i = 0; i < COORD_DIMENSIONS; i++) {
        uint32_t v = (uint32_t) be_get(s.data + 4 * i, 4);
        memcpy(&coord->at_us[i], &v, sizeof v);
    }
    coord->height_us = (uint32_t) be_get(s.data + 16, 4);
    coord->error_ppm = (uint32_t) be_get(s.data + 20, 4);
}

static void write_field(struct buf *b, char field, const struct swim_msg *msg)
{
    switch (field) {
    case 'n': mp_uint(b, msg->nonce); break;
    case 'e': mp_uint(b, msg->echo); break;
    case 'h': mp_uint(b, msg->view_hash); break;
    case 'c': write_coord(b, &msg->coord); break;
    case 't': mp_id(b, &msg->target); break;
    case 'r': mp_bin(b, msg->record.data, msg->record.size); break;
    case 'u':
        mp_array(b, msg->update_count);
        for (size_t i = 0; i < msg->update_count; i++) {
            buf_append(b, msg->updates[i].data, msg->updates[i].size);
        }
        break;
    default: HM_ASSERT(false);
    }
}

/* PING and ACK have trailing fields that are told apart by their kinds. */
static bool has_trailer(enum swim_type type)
{
    return type == SWIM_PING || type == SWIM_ACK;
}

void swim_msg_write(struct buf *b, const struct swim_msg *msg)
{
    static const uint8_t zeros[DATAGRAM_BODY_BYTES_MAX];
    const char *fields = fields_of((uint64_t) msg->type);
    bool is_padded = msg->padding > 0 && has_trailer(msg->type);
    bool has_registry = msg->registry != 0 && has_trailer(msg->type);
    HM_ASSERT(fields != NULL && msg->padding <= sizeof zeros);
    mp_array(b, strlen(fields) + 1 + (has_registry ? 1 : 0) + (is_padded ? 1 : 0));
    mp_uint(b, (uint64_t) msg->type);
    for (; *fields != '\0'; fields++) {
        write_field(b, *fields, msg);
    }
    if (has_registry) {
        mp_uint(b, msg->registry);
    }
    if (is_padded) {
        mp_bin(b, zeros, msg->padding);
    }
}

static void read_updates(struct mp_reader *r, struct swim_msg *msg)
{
    msg->update_count = mp_read_array(r);
    const uint8_t *start = r->at;
    mp_skip_many(r, msg->update_count);
    msg->update_bytes = mp_failed(r) ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

static void read_field(struct mp_reader *r, char field, struct swim_msg *msg)
{
    switch (field) {
    case 'n': msg->nonce = mp_read_uint(r, UINT64_MAX); break;
    case 'e': msg->echo = mp_read_uint(r, UINT64_MAX); break;
    case 'h': msg->view_hash = mp_read_uint(r, UINT64_MAX); break;
    case 'c': read_coord(r, &msg->coord); break;
    case 't': mp_read_id(r, &msg->target); break;
    case 'r': msg->record = mp_read_bin(r, HM_RECORD_BYTES_MAX); break;
    case 'u': read_updates(r, msg); break;
    default: HM_ASSERT(false);
    }
}

int swim_msg_read(struct span bytes, struct swim_msg *ret_msg)
{
    struct mp_reader r;
    struct swim_msg msg;
    memset(&msg, 0, sizeof msg);
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    uint64_t type = mp_read_uint(&r, UINT64_MAX);
    if (mp_failed(&r)) {
        return HM_EMALFORMED;
    }
    const char *fields = fields_of(type);
    if (fields == NULL) {
        mp_skip_many(&r, count - 1);
        return mp_failed(&r) || !mp_at_end(&r) ? HM_EMALFORMED : HM_ENOTFOUND;
    }
    size_t known = strlen(fields) + 1;
    if (count < known) {
        return HM_EMALFORMED;
    }
    msg.type = (enum swim_type) type;
    for (; *fields != '\0'; fields++) {
        read_field(&r, *fields, &msg);
    }
    if (count > known && has_trailer(msg.type) && mp_peek(&r) == MP_UINT) {
        msg.registry = mp_read_uint(&r, UINT64_MAX);
        known++;
    }
    if (count > known && has_trailer(msg.type) && mp_peek(&r) == MP_BIN) {
        size_t size = mp_read_bin(&r, UINT32_MAX).size;
        msg.padding = size < DATAGRAM_BODY_BYTES_MAX ? size : DATAGRAM_BODY_BYTES_MAX;
        known++;
    }
    mp_skip_many(&r, count - known);
    if (mp_failed(&r) || !mp_at_end(&r)) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void swim_update_write_record(struct buf *b, struct span record)
{
    mp_array(b, 2);
    mp_uint(b, UPDATE_RECORD);
    mp_bin(b, record.data, record.size);
}

void swim_update_write_removal(struct buf *b, struct span entry)
{
    mp_array(b, 2);
    mp_uint(b, UPDATE_REMOVAL);
    mp_bin(b, entry.data, entry.size);
}

/* One number: bit 0 known, 1 link, 2 to 5 health, 6 to 9 helpers; higher bits are for later. */
static uint64_t pack_evidence(const struct evidence *e)
{
    return !e->is_known ? 0
                        : 1U | (e->by_link ? 2U : 0U) | (unsigned) (e->health & EVIDENCE_MAX) << 2 |
                              (unsigned) (e->helpers & EVIDENCE_MAX) << 6;
}

static struct evidence unpack_evidence(uint64_t packed)
{
    struct evidence e = {.is_known = (packed & 1) != 0,
                         .by_link = (packed & 2) != 0,
                         .health = (uint8_t) (packed >> 2 & EVIDENCE_MAX),
                         .helpers = (uint8_t) (packed >> 6 & EVIDENCE_MAX)};
    return e;
}

void swim_update_write_claim(struct buf *b, const struct claim *claim)
{
    bool with_record = claim->record.data != NULL;
    mp_array(b, with_record ? 8 : 7);
    mp_uint(b, UPDATE_CLAIM);
    mp_uint(b, (uint64_t) claim->kind);
    mp_id(b, &claim->target);
    mp_uint(b, claim->incarnation);
    mp_uint(b, claim->reason);
    mp_array(b, claim->observer_count);
    for (size_t i = 0; i < claim->observer_count; i++) {
        mp_id(b, &claim->observers[i]);
    }
    mp_uint(b, pack_evidence(&claim->evidence));
    if (with_record) {
        mp_bin(b, claim->record.data, claim->record.size);
    }
}

static void read_claim(struct mp_reader *r, struct claim *claim)
{
    uint64_t kind = mp_read_uint(r, CLAIM_REFUSED);
    mp_read_id(r, &claim->target);
    claim->incarnation = mp_read_uint(r, UINT64_MAX - 1);
    claim->reason = (uint8_t) mp_read_uint(r, UINT8_MAX);
    claim->observer_count = mp_read_array(r);
    if (kind < CLAIM_SUSPECT || claim->observer_count > HM_OBSERVERS_MAX) {
        r->failed = true;
        return;
    }
    claim->kind = (enum claim_kind) kind;
    for (size_t i = 0; i < claim->observer_count; i++) {
        mp_read_id(r, &claim->observers[i]);
    }
    claim->evidence = unpack_evidence(mp_read_uint(r, UINT64_MAX));
}

bool swim_update_next(struct mp_reader *r, struct swim_update *ret_update)
{
    while (!mp_at_end(r)) {
        struct swim_update u;
        memset(&u, 0, sizeof u);
        size_t count = mp_read_array(r);
        uint64_t kind = mp_read_uint(r, UINT64_MAX);
        size_t known = kind == UPDATE_RECORD || kind == UPDATE_REMOVAL ? 2
                       : kind == UPDATE_CLAIM                         ? 7
                                                                      : 1;
        if (mp_failed(r) || count < known) {
            r->failed = true;
            return false;
        }
        if (kind == UPDATE_RECORD) {
            u.record = mp_read_bin(r, HM_RECORD_BYTES_MAX);
        } else if (kind == UPDATE_REMOVAL) {
            u.record = mp_read_bin(r, REMOVAL_ENTRY_BYTES_MAX);
        } else if (kind == UPDATE_CLAIM) {
            read_claim(r, &u.claim);
            if (count > known && mp_peek(r) == MP_BIN) {
                u.claim.record = mp_read_bin(r, HM_RECORD_BYTES_MAX);
                known++;
            }
        }
        mp_skip_many(r, count - known);
        if (mp_failed(r)) {
            return false;
        }
        if (known > 1) {
            u.kind = (enum update_kind) kind;
            *ret_update = u;
            return true;
        }
    }
    return false;
}
