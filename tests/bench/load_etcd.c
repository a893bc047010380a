/* SPDX-License-Identifier: MPL-2.0 */
/* etcd's v3 protocol: gRPC over HTTP/2, as little of it as puts, gets and a watch take. See load.h.
 *
 * Every request's header block is the same bytes, without Huffman codes and the dynamic table. The
 * headers of answers are not looked at: an answer that has no DATA failed. */
#define _GNU_SOURCE
#include "base/be.h"
#include "load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_HEAD_BYTES 9
#define GRPC_HEAD_BYTES 5
#define WINDOW_BYTES ((uint32_t) 1 << 30)

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
#define END_STREAM 1
#define ACK 1
#define END_HEADERS 4

static int open_etcd(const char *where)
{
    char host[64];
    const char *colon = strrchr(where, ':');
    struct sockaddr_in sa = {.sin_family = AF_INET};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (colon == NULL || (size_t) (colon - where) >= sizeof host) {
        load_die("%s is not ADDRESS:PORT", where);
    }
    snprintf(host, sizeof host, "%.*s", (int) (colon - where), where);
    sa.sin_port = htons((uint16_t) strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &sa.sin_addr) != 1 || fd < 0 ||
        connect(fd, (const struct sockaddr *) &sa, sizeof sa) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
        load_die("cannot connect to %s", where);
    }
    return fd;
}

static void put_head(struct buf *b, size_t size, uint8_t type, uint8_t flags, uint32_t stream)
{
    uint8_t head[FRAME_HEAD_BYTES];
    be_put(head, size, 3);
    head[3] = type;
    head[4] = flags;
    be_put(head + 5, stream, 4);
    buf_append(b, head, sizeof head);
}

static void hello_etcd(struct load_conn *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t setting[6], more[4];
    be_put(setting, 4, 2); /* INITIAL_WINDOW_SIZE */
    be_put(setting + 2, WINDOW_BYTES, 4);
    be_put(more, WINDOW_BYTES, 4);
    buf_append(&c->out, preface, sizeof preface - 1);
    put_head(&c->out, sizeof setting, SETTINGS, 0, 0);
    buf_append(&c->out, setting, sizeof setting);
    put_head(&c->out, sizeof more, WINDOW_UPDATE, 0, 0);
    buf_append(&c->out, more, sizeof more);
    c->window = 65535;
    c->stream = UINT32_MAX; /* the first is 1 */
}

static void put_text(struct buf *b, const char *text)
{
    uint8_t size = (uint8_t) strlen(text);
    buf_append(b, &size, 1);
    buf_append(b, text, size);
}

/* Length-delimited field of a protocol buffer. */
static void put_field(struct buf *b, unsigned number, struct span bytes)
{
    uint8_t head = (uint8_t) (number << 3 | 2);
    size_t rest = bytes.size;
    buf_append(b, &head, 1);
    do {
        uint8_t digit = (uint8_t) ((rest & 127) | (rest > 127 ? 128 : 0));
        buf_append(b, &digit, 1);
        rest >>= 7;
    } while (rest > 0);
    buf_append(b, bytes.data, bytes.size);
}

/* Opens a stream with one message on it. */
static void ask(struct load_conn *c, const char *path, const struct buf *body, bool is_all)
{
    struct buf head;
    uint8_t grpc[GRPC_HEAD_BYTES] = {0};
    buf_init(&head, SIZE_MAX);
    buf_append(&head, "\x83\x86\x04", 3); /* POST, http, :path literal */
    put_text(&head, path);
    buf_append(&head, "\x01", 1); /* :authority */
    put_text(&head, "etcd");
    buf_append(&head, "\x0f\x10", 2); /* content-type */
    put_text(&head, "application/grpc");
    buf_append(&head, "\x00", 1);
    put_text(&head, "te");
    put_text(&head, "trailers");
    c->stream += 2;
    buf_clear(&c->message);
    put_head(&c->out, head.size, HEADERS, END_HEADERS, c->stream);
    buf_append(&c->out, head.data, head.size);
    put_head(&c->out, sizeof grpc + body->size, DATA, is_all ? END_STREAM : 0, c->stream);
    be_put(grpc + 1, body->size, 4);
    buf_append(&c->out, grpc, sizeof grpc);
    buf_append(&c->out, body->data, body->size);
    c->window -= (int64_t) (sizeof grpc + body->size);
    if (c->window < 0) {
        load_die("etcd gave no room to send");
    }
    buf_fini(&head);
}

static void put_etcd(struct load_conn *c, struct span key, struct span value)
{
    struct buf body;
    buf_init(&body, SIZE_MAX);
    put_field(&body, 1, key);
    put_field(&body, 2, value);
    ask(c, "/etcdserverpb.KV/Put", &body, true);
    buf_fini(&body);
}

static void get_etcd(struct load_conn *c, struct span key)
{
    struct buf body;
    buf_init(&body, SIZE_MAX);
    put_field(&body, 1, key);
    ask(c, "/etcdserverpb.KV/Range", &body, true);
    buf_fini(&body);
}

/* WatchRequest { create_request = 1: { key = 1, range_end = 2 } } */
static void watch_etcd(struct load_conn *c, struct span prefix)
{
    struct buf create, body, end;
    buf_init(&create, SIZE_MAX);
    buf_init(&body, SIZE_MAX);
    buf_init(&end, SIZE_MAX);
    buf_append(&end, prefix.data, prefix.size);
    end.data[end.size - 1]++;
    put_field(&create, 1, prefix);
    put_field(&create, 2, buf_span(&end));
    put_field(&body, 1, buf_span(&create));
    ask(c, "/etcdserverpb.Watch/Watch", &body, false);
    buf_fini(&create);
    buf_fini(&body);
    buf_fini(&end);
}

/* The next field; a number's value is in ret_bytes->size. False: the end. */
static bool next_field(struct span *rest, unsigned *ret_number, struct span *ret_bytes)
{
    uint64_t words[2] = {0, 0};
    size_t at = 0;
    if (rest->size == 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        unsigned shift = 0;
        uint8_t digit;
        do {
            if (at == rest->size || shift > 63) {
                load_die("a message of etcd cannot be read");
            }
            digit = rest->data[at++];
            words[i] |= (uint64_t) (digit & 127) << shift;
            shift += 7;
        } while (digit > 127);
    }
    *ret_number = (unsigned) (words[0] >> 3);
    bool has_bytes = (words[0] & 7) == 2;
    if (has_bytes && words[1] > rest->size - at) {
        load_die("a message of etcd is cut short");
    }
    *ret_bytes = span_of(has_bytes ? rest->data + at : NULL, (size_t) words[1]);
    at += has_bytes ? (size_t) words[1] : 0;
    *rest = span_of(rest->data + at, rest->size - at);
    return true;
}

/* WatchResponse { created = 3, events = 11: { kv = 2: { value = 5 } } } */
static void read_watch(struct span response)
{
    struct span part, event, kv;
    unsigned number;
    while (next_field(&response, &number, &part)) {
        if (number == 3) {
            load_watching();
        }
        while (number == 11 && next_field(&part, &number, &event)) {
            while (number == 2 && next_field(&event, &number, &kv)) {
                if (number == 5) {
                    load_changed(kv);
                }
                number = 2;
            }
            number = 11;
        }
    }
}

static void take_data(struct load_conn *c, struct span bytes)
{
    size_t at = 0;
    c->answers += bytes.size > 0;
    if (!c->is_watching) {
        return;
    }
    buf_append(&c->message, bytes.data, bytes.size);
    while (c->message.size - at >= GRPC_HEAD_BYTES) {
        size_t size = (size_t) be_get(c->message.data + at + 1, 4);
        if (c->message.size - at < GRPC_HEAD_BYTES + size) {
            break;
        }
        read_watch(span_of(c->message.data + at + GRPC_HEAD_BYTES, size));
        at += GRPC_HEAD_BYTES + size;
    }
    memmove(c->message.data, c->message.data + at, c->message.size - at);
    buf_truncate(&c->message, c->message.size - at);
}

static void take_frame(struct load_conn *c, const uint8_t *head, struct span body)
{
    bool is_whole = be_get(head + 5, 4) == 0;
    bool is_end = (head[3] == DATA || head[3] == HEADERS) && (head[4] & END_STREAM) != 0;
    switch (head[3]) {
    case SETTINGS:
        if ((head[4] & ACK) == 0) {
            put_head(&c->out, 0, SETTINGS, ACK, 0);
            c->is_ready = true;
        }
        break;
    case PING:
        if ((head[4] & ACK) == 0) {
            put_head(&c->out, body.size, PING, ACK, 0);
            buf_append(&c->out, body.data, body.size);
        }
        break;
    case WINDOW_UPDATE:
        c->window += is_whole ? (int64_t) be_get(body.data, 4) : 0;
        break;
    case DATA:
        take_data(c, body);
        break;
    case RST_STREAM:
    case GOAWAY:
        load_die("etcd ended the %s", head[3] == GOAWAY ? "connection" : "request");
    default:
        break;
    }
    if (is_end) {
        if (c->is_watching) {
            load_die("etcd ended the watch");
        }
        load_answered(c, c->answers > 0, "refused");
        c->answers -= c->answers > 0;
    }
}

static size_t read_etcd(struct load_conn *c)
{
    size_t at = 0;
    while (c->in.size - at >= FRAME_HEAD_BYTES) {
        const uint8_t *head = c->in.data + at;
        size_t size = (size_t) be_get(head, 3);
        if (c->in.size - at < FRAME_HEAD_BYTES + size) {
            break;
        }
        take_frame(c, head, span_of(head + FRAME_HEAD_BYTES, size));
        at += FRAME_HEAD_BYTES + size;
    }
    return at;
}

const struct load_system load_etcd = {.name = "etcd", .open = open_etcd, .hello = hello_etcd,
                                      .put = put_etcd, .get = get_etcd, .watch = watch_etcd,
                                      .read = read_etcd};
