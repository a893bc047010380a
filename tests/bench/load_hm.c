/* SPDX-License-Identifier: MPL-2.0 */
/* homemesh's local protocol over ZMTP 3.0, as a DEALER: see load.h. */
#define _GNU_SOURCE
#include "base/be.h"
#include "base/err.h"
#include "load.h"
#include "wire/api_msg.h"
#include "wire/mpack.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING_BYTES 64
#define FLAG_MORE 1
#define FLAG_LONG 2
#define FLAG_COMMAND 4
#define WATCH_MS 60000

static int open_hm(const char *where)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(where) >= sizeof sa.sun_path) {
        load_die("the path of the socket is too long: %s", where);
    }
    memcpy(sa.sun_path, where, strlen(where) + 1);
    if (fd < 0 || connect(fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        load_die("cannot connect to %s", where);
    }
    return fd;
}

static void put_frame(struct buf *b, unsigned flags, struct span body)
{
    uint8_t head[9];
    bool is_long = body.size > 255;
    head[0] = (uint8_t) (flags | (is_long ? FLAG_LONG : 0));
    be_put(head + 1, body.size, is_long ? 8 : 1);
    buf_append(b, head, is_long ? 9 : 2);
    buf_append(b, body.data, body.size);
}

static void hello_hm(struct load_conn *c)
{
    static const char ready[] = "\5READY\13Socket-Type\0\0\0\6DEALER";
    uint8_t greeting[GREETING_BYTES] = {0xff, [9] = 0x7f, [10] = 3};
    memcpy(greeting + 12, "NULL", 4);
    buf_append(&c->out, greeting, sizeof greeting);
    put_frame(&c->out, FLAG_COMMAND, span_of(ready, sizeof ready - 1));
}

static void ask(struct load_conn *c, const char *op, struct buf *args, uint64_t deadline_ms)
{
    struct api_request request = {.args = buf_span(args), .deadline_ms = deadline_ms};
    struct buf body;
    buf_init(&body, SIZE_MAX);
    snprintf(request.op, sizeof request.op, "%s", op);
    api_request_write(&body, &request);
    put_frame(&c->out, FLAG_MORE, span_of("1", 1));
    put_frame(&c->out, 0, buf_span(&body));
    buf_fini(&body);
}

static void put_hm(struct load_conn *c, struct span key, struct span value)
{
    struct buf args;
    buf_init(&args, SIZE_MAX);
    mp_map(&args, 2);
    mp_str(&args, "key");
    mp_strn(&args, key.data, key.size);
    mp_str(&args, "value");
    mp_strn(&args, value.data, value.size);
    ask(c, "kv.put", &args, 60000);
    buf_fini(&args);
}

static void get_hm(struct load_conn *c, struct span key)
{
    struct buf args;
    buf_init(&args, SIZE_MAX);
    mp_map(&args, 1);
    mp_str(&args, "key");
    mp_strn(&args, key.data, key.size);
    ask(c, "kv.get", &args, 60000);
    buf_fini(&args);
}

static void watch_from(struct load_conn *c)
{
    struct buf args;
    bool is_first = c->place[0] == '\0';
    buf_init(&args, SIZE_MAX);
    mp_map(&args, is_first ? 1 : 3);
    mp_str(&args, "prefix");
    mp_strn(&args, c->message.data, c->message.size);
    if (!is_first) {
        mp_str(&args, "since");
        mp_str(&args, c->place);
        mp_str(&args, "wait");
        mp_bool(&args, true);
    }
    ask(c, "kv.watch", &args, WATCH_MS);
    buf_fini(&args);
}

static void watch_hm(struct load_conn *c, struct span prefix)
{
    buf_append(&c->message, prefix.data, prefix.size);
    watch_from(c);
}

static void read_change(struct mp_reader *r)
{
    for (size_t fields = mp_read_map(r); fields > 0; fields--) {
        struct span name = mp_read_str(r, SIZE_MAX);
        if (name.size == 5 && memcmp(name.data, "value", 5) == 0 && mp_peek(r) == MP_STR) {
            load_changed(mp_read_str(r, SIZE_MAX));
        } else {
            mp_skip(r);
        }
    }
}

/* { changes, next, gap } */
static void read_watch(struct load_conn *c, struct span value)
{
    struct mp_reader r;
    bool is_first = c->place[0] == '\0';
    mp_open(&r, value);
    for (size_t fields = mp_read_map(&r); fields > 0; fields--) {
        char name[16];
        mp_read_text(&r, name, sizeof name);
        if (strcmp(name, "changes") == 0) {
            for (size_t i = mp_read_array(&r); i > 0; i--) {
                read_change(&r);
            }
        } else if (strcmp(name, "next") == 0) {
            mp_read_text(&r, c->place, sizeof c->place);
        } else if (mp_read_bool(&r)) {
            load_die("the watcher was too slow: there is a gap");
        }
    }
    if (mp_failed(&r)) {
        load_die("a reply to kv.watch cannot be read");
    }
    watch_from(c);
    if (is_first) {
        load_watching();
    }
}

static void take_reply(struct load_conn *c, struct span body)
{
    struct api_reply reply;
    if (api_reply_read(body, &reply) != HM_OK) {
        load_die("a reply cannot be read");
    }
    if (!c->is_watching) {
        load_answered(c, reply.code == HM_OK, reply.text);
    } else if (reply.code == HM_OK) {
        read_watch(c, reply.value);
    } else {
        load_die("kv.watch: %s", reply.text);
    }
}

static size_t read_hm(struct load_conn *c)
{
    size_t at = 0;
    if (c->parts == 0) { /* the greeting first, then frames */
        if (c->in.size < GREETING_BYTES) {
            return 0;
        }
        at = GREETING_BYTES;
        c->parts = 1;
    }
    while (c->in.size - at >= 2) {
        const uint8_t *head = c->in.data + at;
        size_t head_bytes = (head[0] & FLAG_LONG) != 0 ? 9 : 2;
        if (c->in.size - at < head_bytes) {
            break;
        }
        size_t size = (size_t) be_get(head + 1, head_bytes - 1);
        if (c->in.size - at < head_bytes + size) {
            break;
        }
        if ((head[0] & FLAG_COMMAND) != 0) {
            c->is_ready = true;
        } else if ((head[0] & FLAG_MORE) == 0) {
            take_reply(c, span_of(head + head_bytes, size));
        }
        at += head_bytes + size;
    }
    return at;
}

const struct load_system load_hm = {.name = "homemesh", .open = open_hm, .hello = hello_hm,
                                    .put = put_hm, .get = get_hm, .watch = watch_hm,
                                    .read = read_hm};
