/* SPDX-License-Identifier: MPL-2.0 */
/* Bytes on their way out: see outq.h. */
#define _GNU_SOURCE
#include "io/outq.h"

#include "base/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* One for the owner, and each block's bytes. Who takes the last one off frees it. */
struct outq {
    atomic_size_t held;
};

struct block {
    struct outq *q;
    size_t size;
    uint8_t bytes[];
};

static void let_go(struct outq *q, size_t count)
{
    if (atomic_fetch_sub(&q->held, count) == count) {
        free(q);
    }
}

outq_t *outq_new(void)
{
    struct outq *q = malloc(sizeof *q);
    if (q != NULL) {
        atomic_init(&q->held, 1);
    }
    return q;
}

void outq_destroy(outq_t **p)
{
    struct outq *q = *p;
    *p = NULL;
    if (q != NULL) {
        let_go(q, 1);
    }
}

size_t outq_bytes(const outq_t *q)
{
    return atomic_load(&q->held) - 1;
}

/* Called by libzmq, from any of its threads. */
static void block_free(void *data, void *hint)
{
    struct block *block = hint;
    struct outq *q = block->q;
    size_t size = block->size;
    (void) data;
    free(block);
    let_go(q, size);
}

static int make_message(outq_t *q, struct span bytes, zmq_msg_t *msg)
{
    if (bytes.size < OUTQ_SMALL_BYTES) {
        if (zmq_msg_init_size(msg, bytes.size) != 0) {
            return HM_ENOMEM;
        }
        if (bytes.size > 0) {
            memcpy(zmq_msg_data(msg), bytes.data, bytes.size);
        }
        return HM_OK;
    }
    struct block *block = malloc(sizeof *block + bytes.size);
    if (block == NULL) {
        return HM_ENOMEM;
    }
    block->q = q;
    block->size = bytes.size;
    memcpy(block->bytes, bytes.data, bytes.size);
    if (zmq_msg_init_data(msg, block->bytes, bytes.size, block_free, block) != 0) {
        free(block);
        return HM_ENOMEM;
    }
    atomic_fetch_add(&q->held, bytes.size);
    return HM_OK;
}

static int result_of(int error)
{
    return error == EAGAIN ? HM_EFULL : HM_EUNREACHABLE;
}

static int send_part(void *socket, struct span part)
{
    int rc;
    do {
        rc = zmq_send(socket, part.data, part.size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? result_of(errno) : HM_OK;
}

static int send_last(void *socket, zmq_msg_t *msg)
{
    int rc;
    do {
        rc = zmq_msg_send(msg, socket, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? result_of(errno) : HM_OK;
}

int outq_send(outq_t *q, void *socket, const struct span *parts, size_t count, struct span body,
              size_t bytes_max)
{
    zmq_msg_t msg;
    if (body.size > bytes_max || outq_bytes(q) > bytes_max - body.size) {
        return HM_EFULL;
    }
    int rc = make_message(q, body, &msg);
    if (rc != HM_OK) {
        return rc;
    }
    for (size_t i = 0; i < count && rc == HM_OK; i++) {
        rc = send_part(socket, parts[i]);
    }
    rc = rc != HM_OK ? rc : send_last(socket, &msg);
    if (rc != HM_OK) {
        zmq_msg_close(&msg);
    }
    return rc;
}
