/* SPDX-License-Identifier: MPL-2.0 */
/* The load generator's loop: see load.h. Prints one line of JSON.
 *
 * Usage: load homemesh|etcd WHERE put|get|watch [OPTION]...
 *   --clients=N   connections (1); --depth=N requests under way on each (1)
 *   --seconds=S   how long (5); of a watcher: how long at most
 *   --count=N     end after so many requests instead; of a watcher: after so many changes
 *   --rate=N      so many a second, evenly; without: as many as go
 *   --keys=N      keys used in turn (10000); --first=N the number of the first; --prefix=P
 *   --bytes=N     of a value (100)
 *
 * A value begins with the time at which it was to be sent, so that a watcher, on the same clock, knows
 * how old it is. With --rate that is the time of the plan: what waits for a free client counts. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 256
#define TIME_DIGITS 16

static struct {
    const struct load_system *system;
    const char *where, *mode, *prefix;
    uint64_t clients, depth, seconds, count, rate, keys, first, bytes;
} opt = {.prefix = "bench/", .clients = 1, .depth = 1, .seconds = 5, .keys = 10000, .bytes = 100};

static struct load_conn conns[CLIENTS_MAX];
static size_t conn_count, busy;
static uint64_t begun_ns, planned, started, done, failed;
static uint64_t *taken; /* ns of each that was done */
static size_t taken_room;
static char failure[256];

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

void load_die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, list);
    fputs("\n", stderr);
    va_end(list);
    exit(1);
}

static void note_taken(uint64_t ns)
{
    if (done == taken_room) {
        taken_room = taken_room == 0 ? 65536 : 2 * taken_room;
        taken = realloc(taken, taken_room * sizeof *taken);
        if (taken == NULL) {
            load_die("out of memory");
        }
    }
    taken[done++] = ns;
}

void load_answered(struct load_conn *c, bool is_ok, const char *text)
{
    if (is_ok) {
        note_taken(now_ns() - c->asked_ns[c->first]);
    } else if (failed++ == 0) {
        snprintf(failure, sizeof failure, "%s", text);
    }
    c->first = (c->first + 1) % LOAD_DEPTH_MAX;
    c->under_way--;
    busy--;
}

void load_changed(struct span value)
{
    char digits[TIME_DIGITS + 1] = "";
    if (value.size >= TIME_DIGITS) {
        memcpy(digits, value.data, TIME_DIGITS);
        note_taken(now_ns() - strtoull(digits, NULL, 16));
    }
}

void load_watching(void)
{
    fputs("watching\n", stderr);
}

/* ---- the sockets ----------------------------------------------------------------------------- */

static void flush(struct load_conn *c)
{
    for (size_t at = 0; at < c->out.size;) {
        ssize_t sent = send(c->fd, c->out.data + at, c->out.size - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            load_die("%s does not listen any more", opt.system->name);
        }
        at += sent > 0 ? (size_t) sent : 0;
    }
    buf_clear(&c->out);
}

static void receive(struct load_conn *c)
{
    size_t before = c->in.size;
    uint8_t *to = buf_extend(&c->in, 65536);
    if (to == NULL) {
        load_die("out of memory");
    }
    ssize_t got = recv(c->fd, to, 65536, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        load_die("%s ended the connection", opt.system->name);
    }
    buf_truncate(&c->in, before + (got > 0 ? (size_t) got : 0));
    size_t used = opt.system->read(c);
    memmove(c->in.data, c->in.data + used, c->in.size - used);
    buf_truncate(&c->in, c->in.size - used);
    flush(c);
}

static void open_all(int epoll)
{
    for (conn_count = 0; conn_count < opt.clients; conn_count++) {
        struct load_conn *c = &conns[conn_count];
        struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = c}};
        buf_init(&c->in, SIZE_MAX);
        buf_init(&c->out, SIZE_MAX);
        buf_init(&c->message, SIZE_MAX);
        c->fd = opt.system->open(opt.where);
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev);
        opt.system->hello(c);
        flush(c);
    }
}

static size_t ready_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < conn_count; i++) {
        count += conns[i].is_ready;
    }
    return count;
}

/* ---- the load -------------------------------------------------------------------------------- */

static void start_one(struct load_conn *c)
{
    char key[256], value[4096];
    uint64_t now = now_ns();
    uint64_t at = opt.rate > 0 ? begun_ns + started * 1000000000 / opt.rate : now;
    int key_bytes = snprintf(key, sizeof key, "%s%08" PRIu64, opt.prefix,
                             opt.first + started % opt.keys);
    memset(value, 'v', sizeof value);
    int time_bytes = snprintf(value, sizeof value, "%016" PRIx64, at);
    value[time_bytes] = ' ';
    struct span k = span_of(key, (size_t) key_bytes);
    c->asked_ns[(c->first + c->under_way++) % LOAD_DEPTH_MAX] = at;
    started++;
    busy++;
    if (strcmp(opt.mode, "put") == 0) {
        opt.system->put(c, k, span_of(value, opt.bytes));
    } else {
        opt.system->get(c, k);
    }
}

static bool is_over(uint64_t now)
{
    return opt.count > 0 ? started >= opt.count : now - begun_ns >= opt.seconds * 1000000000;
}

/* For when the next one is planned. */
static void arm(int timer)
{
    uint64_t at_ns = begun_ns + (planned * 1000000000 + opt.rate - 1) / opt.rate;
    struct itimerspec at = {.it_value = {.tv_sec = (time_t) (at_ns / 1000000000),
                                         .tv_nsec = (long) (at_ns % 1000000000)}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) != 0) {
        load_die("no timer");
    }
}

static void start_some(int timer)
{
    uint64_t now = now_ns();
    uint64_t planned_before = planned;
    planned = opt.rate > 0 ? (now - begun_ns) * opt.rate / 1000000000 + 1 : UINT64_MAX;
    for (size_t i = 0; i < conn_count; i++) {
        while (conns[i].under_way < opt.depth && started < planned && !is_over(now)) {
            start_one(&conns[i]);
        }
        flush(&conns[i]);
    }
    if (planned != planned_before && opt.rate > 0) {
        arm(timer);
    }
}

static int timer_new(uint64_t every_ns)
{
    struct itimerspec at = {.it_interval = {.tv_nsec = (long) every_ns},
                            .it_value = {.tv_nsec = (long) every_ns}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0 || timerfd_settime(fd, 0, &at, NULL) != 0) {
        load_die("no timer");
    }
    return fd;
}

/* Waits for whatever comes, once. */
static void turn(int epoll, int timer, int wait_ms)
{
    struct epoll_event events[CLIENTS_MAX];
    int count = epoll_wait(epoll, events, CLIENTS_MAX, wait_ms);
    for (int i = 0; i < count; i++) {
        uint64_t expired;
        if (events[i].data.ptr != NULL) {
            receive(events[i].data.ptr);
        } else if (read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN) {
            load_die("no timer");
        }
    }
}

static void run_load(int epoll, int timer)
{
    while (ready_count() < conn_count) {
        turn(epoll, timer, 10000);
    }
    begun_ns = now_ns();
    start_some(timer);
    while (busy > 0 || !is_over(now_ns())) {
        turn(epoll, timer, 1000);
        start_some(timer);
    }
}

static void run_watch(int epoll, int timer)
{
    begun_ns = now_ns();
    while (!conns[0].is_ready) {
        turn(epoll, timer, 10000);
    }
    conns[0].is_watching = true;
    opt.system->watch(&conns[0], span_of(opt.prefix, strlen(opt.prefix)));
    flush(&conns[0]);
    while ((opt.count == 0 || done < opt.count) &&
           now_ns() - begun_ns < opt.seconds * 1000000000) {
        turn(epoll, timer, 100);
    }
}

/* ---- the result ------------------------------------------------------------------------------ */

static int cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

static double percentile_ms(unsigned percent)
{
    return done == 0 ? 0 : (double) taken[(done - 1) * percent / 100] / 1e6;
}

static void print_result(uint64_t ended_ns)
{
    struct rusage usage;
    double seconds = (double) (ended_ns - begun_ns) / 1e9;
    getrusage(RUSAGE_SELF, &usage);
    qsort(taken, done, sizeof *taken, cmp);
    printf("{\"done\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"seconds\": %.4f, \"rate\": %.1f, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"cpu_seconds\": %.3f, "
           "\"failure\": \"%s\"}\n",
           done, failed, seconds, (double) done / seconds, percentile_ms(50), percentile_ms(99),
           percentile_ms(100),
           (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           failure);
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"clients", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'n'},   {"rate", required_argument, NULL, 'r'},
        {"keys", required_argument, NULL, 'k'},    {"first", required_argument, NULL, 'f'},
        {"prefix", required_argument, NULL, 'p'},  {"bytes", required_argument, NULL, 'b'},
        {"depth", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        uint64_t *to = o == 'c'   ? &opt.clients
                       : o == 'd' ? &opt.depth
                       : o == 's' ? &opt.seconds
                       : o == 'n' ? &opt.count
                       : o == 'r' ? &opt.rate
                       : o == 'k' ? &opt.keys
                       : o == 'f' ? &opt.first
                                  : &opt.bytes;
        if (o == 'p') {
            opt.prefix = optarg;
        } else if (o == '?') {
            exit(2);
        } else {
            *to = strtoull(optarg, NULL, 10);
        }
    }
    if (argc - optind != 3 || opt.clients < 1 || opt.clients > CLIENTS_MAX || opt.keys < 1 ||
        opt.depth < 1 || opt.depth > LOAD_DEPTH_MAX ||
        opt.bytes < TIME_DIGITS + 1 || opt.bytes > 4000 || opt.prefix[0] == '\0' ||
        strlen(opt.prefix) > 200) {
        fputs("usage: load homemesh|etcd WHERE put|get|watch [OPTION]... (see tests/bench/load.c)\n",
              stderr);
        exit(2);
    }
    opt.system = strcmp(argv[optind], "etcd") == 0 ? &load_etcd : &load_hm;
    opt.where = argv[optind + 1];
    opt.mode = argv[optind + 2];
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timer_new(100000000); /* so that a run ends in time; with --rate, armed for each request */
    struct epoll_event ev = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &ev);
    open_all(epoll);
    if (strcmp(opt.mode, "watch") == 0) {
        run_watch(epoll, timer);
    } else {
        run_load(epoll, timer);
    }
    print_result(now_ns());
    return failed > 0 ? 1 : 0;
}
