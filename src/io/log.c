/* SPDX-License-Identifier: MPL-2.0 */
/* The log: see log.h. Callers make the whole line on their stack, then put it into the ring
 * under a lock that nobody holds while writing; the writer copies a piece out and writes it
 * with the lock released. */
#define _GNU_SOURCE
#include "io/log.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/log_limit.h"
#include "io/log_line.h"
#include "io/threads.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WRITE_BYTES 8192
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define DESTROY_WAIT_MS 200
#define WRITER_STACK_BYTES 65536

/* In the ring, while there is a journal: what follows, text for stderr and the journal's entry. */
struct record {
    uint16_t text_size;
    uint16_t entry_size; /* 0: none, the text is what counts */
};
_Static_assert(sizeof(struct record) + sizeof(((struct line *) NULL)->text) +
                       sizeof(((struct entry *) NULL)->text) <=
                   WRITE_BYTES,
               "a record is one piece");

struct log {
    int fd;
    int journal_fd; /* -1: stderr is no journal, or it takes no entries */
    struct sockaddr_un journal;
    _Atomic enum dress dress;
    _Atomic enum note_level level;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;
    char node[HM_NAME_BYTES_MAX + 1];
    bool has_writer;
    bool stopping;
    bool is_done;   /* the writer will not touch this again */
    bool abandoned; /* log_destroy has given up on a stuck writer: it frees this */
    pthread_t writer;
    size_t head; /* next byte to write out */
    size_t used; /* bytes waiting */
    uint64_t lost;
    uint64_t lost_told;
    struct log_limits limits;
    char ring[LOG_RING_BYTES];
};

/* ---- writing --------------------------------------------------------------------------------- */

static void write_out(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void) poll(&wait, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nobody reads any more: the log has no other place to say so */
        }
        text += n;
        size -= (size_t) n;
    }
}

/* Line and entry say the same: the line goes out only where the entry does not. */
static void write_record(const struct log *log, const char *text, size_t text_size,
                         const char *entry, size_t entry_size)
{
    ssize_t sent = -1;
    while (entry_size > 0 && sent < 0) {
        sent = sendto(log->journal_fd, entry, entry_size, MSG_NOSIGNAL,
                      (const struct sockaddr *) &log->journal, sizeof log->journal);
        if (sent < 0 && errno != EINTR) {
            break; /* it is gone, perhaps only for a moment */
        }
    }
    if (sent < 0) {
        write_out(log->fd, text, text_size);
    }
}

static void ring_put(struct log *log, const char *text, size_t size)
{
    size_t at = (log->head + log->used) % LOG_RING_BYTES;
    size_t first = LOG_RING_BYTES - at < size ? LOG_RING_BYTES - at : size;
    memcpy(log->ring + at, text, first);
    memcpy(log->ring, text + first, size - first);
    log->used += size;
}

static size_t ring_take(struct log *log, char *text, size_t max)
{
    size_t size = log->used < max ? log->used : max;
    size_t first = LOG_RING_BYTES - log->head < size ? LOG_RING_BYTES - log->head : size;
    memcpy(text, log->ring + log->head, first);
    memcpy(text + first, log->ring, size - first);
    log->head = (log->head + size) % LOG_RING_BYTES;
    log->used -= size;
    return size;
}

static void free_log(struct log *log)
{
    if (log->journal_fd >= 0) {
        close(log->journal_fd);
    }
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

/* The next piece to write out; 0: stopping, and all is written or nobody waits for it. */
static size_t next_piece(struct log *log, char *piece, size_t max)
{
    pthread_mutex_lock(&log->mutex);
    while (log->used == 0 && !log->stopping) {
        pthread_cond_wait(&log->wake, &log->mutex);
    }
    size_t size = 0;
    if (!log->abandoned && log->used > 0 && log->journal_fd >= 0) {
        struct record record;
        (void) ring_take(log, (char *) &record, sizeof record);
        memcpy(piece, &record, sizeof record);
        size = sizeof record +
               ring_take(log, piece + sizeof record, record.text_size + record.entry_size);
    } else if (!log->abandoned) {
        size = ring_take(log, piece, max);
    }
    pthread_mutex_unlock(&log->mutex);
    return size;
}

static void *writer_main(void *arg)
{
    struct log *log = arg;
    char piece[WRITE_BYTES];
    for (size_t size; (size = next_piece(log, piece, sizeof piece)) > 0;) {
        if (log->journal_fd >= 0) {
            struct record record;
            memcpy(&record, piece, sizeof record);
            const char *text = piece + sizeof record;
            write_record(log, text, record.text_size, text + record.text_size, record.entry_size);
        } else {
            write_out(log->fd, piece, size);
        }
    }
    pthread_mutex_lock(&log->mutex);
    log->is_done = true;
    bool abandoned = log->abandoned;
    pthread_mutex_unlock(&log->mutex);
    if (abandoned) {
        free_log(log);
    }
    return NULL;
}

/* Mutex held. */
static size_t size_in_ring(const struct log *log, const struct line *line,
                           const struct entry *entry)
{
    return line->size + (log->journal_fd >= 0 ? sizeof(struct record) + entry->size : 0);
}

static void put_in_ring(struct log *log, const struct line *line, const struct entry *entry)
{
    struct record record = {(uint16_t) line->size, (uint16_t) entry->size};
    if (log->journal_fd >= 0) {
        ring_put(log, (const char *) &record, sizeof record);
    }
    ring_put(log, line->text, line->size);
    if (log->journal_fd >= 0) {
        ring_put(log, entry->text, entry->size);
    }
}

/* Mutex held. Says how many lines were lost as soon as there is room again. */
static void tell_lost(struct log *log)
{
    struct line line;
    struct entry entry = {.size = 0};
    enum dress dress = log->dress;
    char count[24];
    if (log->lost == log->lost_told || log->used + LOG_LINE_BYTES_MAX > LOG_RING_BYTES / 2) {
        return;
    }
    snprintf(count, sizeof count, "%" PRIu64, log->lost - log->lost_told);
    line_start(&line, dress, log->node, NOTE_WARN, "log lines were lost because nobody read them");
    line_field(&line, dress, "count", count);
    line_end(&line, dress);
    put_in_ring(log, &line, &entry);
    log->lost_told = log->lost;
}

static void emit(struct log *log, const struct line *line, const struct entry *entry)
{
    pthread_mutex_lock(&log->mutex);
    bool is_direct = !log->has_writer;
    if (!is_direct) {
        tell_lost(log);
        if (log->used + size_in_ring(log, line, entry) > LOG_RING_BYTES) {
            log->lost++;
        } else {
            put_in_ring(log, line, entry);
        }
        pthread_cond_signal(&log->wake);
    }
    pthread_mutex_unlock(&log->mutex);
    if (is_direct) {
        write_record(log, line->text, line->size, entry->text, entry->size);
    }
}

/* ---- the object ------------------------------------------------------------------------------ */

/* systemd tells in JOURNAL_STREAM which device and inode stderr had when it was the journal. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char expected[64];
    struct stat st;
    if (stream == NULL || fstat(fd, &st) != 0) {
        return false;
    }
    snprintf(expected, sizeof expected, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
    return strcmp(stream, expected) == 0;
}

static enum dress choose_dress(int fd, enum log_format format)
{
    const char *no_color = getenv("NO_COLOR");
    if (format == LOG_JSON) {
        return DRESS_JSON;
    }
    if (is_journal(fd)) {
        return DRESS_JOURNAL;
    }
    bool wants_colour = no_color == NULL || *no_color == '\0';
    return isatty(fd) && wants_colour ? DRESS_TERMINAL : DRESS_PLAIN;
}

/* The journal's own socket, where stderr is the journal. */
static void open_journal(struct log *log, const char *path)
{
    path = path != NULL ? path : JOURNAL_SOCKET;
    log->journal_fd = -1;
    if (is_journal(log->fd) && strlen(path) < sizeof log->journal.sun_path) {
        log->journal.sun_family = AF_UNIX;
        text_copy(log->journal.sun_path, sizeof log->journal.sun_path, path);
        log->journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
}

log_t *log_new(const struct log_conf *conf)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return NULL;
    }
    log->fd = conf->fd;
    open_journal(log, conf->journal_path);
    log->dress = choose_dress(conf->fd, conf->format);
    log->level = conf->level;
    text_copy(log->node, sizeof log->node, conf->node);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->wake, NULL);
    return log;
}

int log_start(log_t *log)
{
    pthread_attr_t attr;
    HM_ASSERT(!log->has_writer);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WRITER_STACK_BYTES);
    int rc = threads_start(&log->writer, &attr, "meshd-log", writer_main, log);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        return HM_EIO;
    }
    log->has_writer = true;
    return HM_OK;
}

/* False: the writer is stuck and has been left to itself, with the log. (Not cancelled: what a
 * cancelled thread leaves behind is nothing a sanitizer or a reader can follow.) */
static bool stop_writer(struct log *log)
{
    struct timespec until;
    pthread_t writer = log->writer;
    pthread_mutex_lock(&log->mutex);
    log->stopping = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->mutex);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += DESTROY_WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    if (pthread_timedjoin_np(writer, NULL, &until) == 0) {
        return true;
    }
    pthread_mutex_lock(&log->mutex);
    bool is_done = log->is_done;
    log->abandoned = !is_done;
    pthread_mutex_unlock(&log->mutex);
    if (is_done) {
        pthread_join(writer, NULL);
    } else {
        pthread_detach(writer);
    }
    return is_done;
}

void log_destroy(log_t **p)
{
    struct log *log = *p;
    *p = NULL;
    if (log != NULL && (!log->has_writer || stop_writer(log))) {
        free_log(log);
    }
}

bool log_wants(const log_t *log, enum note_level level)
{
    return log != NULL && level >= log->level;
}

void log_set_level(log_t *log, enum note_level level)
{
    log->level = level;
}

void log_set_format(log_t *log, enum log_format format)
{
    log->dress = choose_dress(log->fd, format);
}

void log_set_node(log_t *log, const char *name)
{
    pthread_mutex_lock(&log->mutex);
    text_copy(log->node, sizeof log->node, name);
    pthread_mutex_unlock(&log->mutex);
}

uint64_t log_lost(const log_t *log)
{
    struct log *own = (struct log *) log; /* the mutex is no part of what the caller sees */
    pthread_mutex_lock(&own->mutex);
    uint64_t lost = own->lost;
    pthread_mutex_unlock(&own->mutex);
    return lost;
}

/* ---- what callers use ------------------------------------------------------------------------ */

/* event: what a program looks for, NULL: it is among the fields, or there is none. */
static void log_message(struct log *log, enum note_level level, const char *event,
                        const struct log_field *fields, uint64_t left_out, const char *message)
{
    static const struct log_field none = {NULL, NULL};
    struct line line;
    struct entry entry = {.size = 0};
    enum dress dress = log->dress; /* may change at any time */
    char node[HM_NAME_BYTES_MAX + 1];
    char count[24] = "";
    fields = fields != NULL ? fields : &none;
    pthread_mutex_lock(&log->mutex);
    text_copy(node, sizeof node, log->node);
    pthread_mutex_unlock(&log->mutex);
    if (left_out > 0) {
        snprintf(count, sizeof count, "%" PRIu64, left_out);
    }
    line_start(&line, dress, node, level, message);
    for (const struct log_field *field = fields; field->key != NULL; field++) {
        line_field(&line, dress, field->key, field->value);
    }
    line_field(&line, dress, "left_out", left_out > 0 ? count : NULL);
    line_end(&line, dress);
    if (log->journal_fd >= 0 && dress == DRESS_JOURNAL) {
        entry_start(&entry, node, level, &line);
        entry_field(&entry, "event", event);
        for (const struct log_field *field = fields; field->key != NULL; field++) {
            entry_field(&entry, field->key, field->value);
        }
        entry_field(&entry, "left_out", left_out > 0 ? count : NULL);
    }
    emit(log, &line, &entry);
}

/* Never 0. */
static uint64_t boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000 + 1;
}

static bool key_passes(struct log *log, const char *key, uint64_t *ret_left_out)
{
    uint64_t now_ms = boot_ms();
    pthread_mutex_lock(&log->mutex);
    bool passes = log_limit_key(&log->limits, key, now_ms, ret_left_out);
    pthread_mutex_unlock(&log->mutex);
    return passes;
}

static bool note_passes(struct log *log, enum note_code code, uint64_t *ret_left_out)
{
    uint64_t now_ms = boot_ms();
    pthread_mutex_lock(&log->mutex);
    bool passes = log_limit_note(&log->limits, code, now_ms, ret_left_out);
    pthread_mutex_unlock(&log->mutex);
    return passes;
}

void log_line(log_t *log, enum note_level level, const struct log_field *fields, const char *format,
              ...)
{
    char message[LOG_LINE_BYTES_MAX];
    va_list args;
    if (!log_wants(log, level)) {
        return;
    }
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    log_message(log, level, NULL, fields, 0, message);
}

void log_stranger(log_t *log, enum note_level level, const char *key,
                  const struct log_field *fields, const char *format, ...)
{
    char message[LOG_LINE_BYTES_MAX];
    uint64_t left_out = 0;
    va_list args;
    if (!log_wants(log, level) || !key_passes(log, key, &left_out)) {
        return;
    }
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    log_message(log, level, key, fields, left_out, message);
}

void log_note(log_t *log, const struct note *note)
{
    struct note_text text;
    struct log_field fields[NOTE_FIELDS_MAX + 1];
    uint64_t left_out = 0;
    if (!log_wants(log, note->level) || !note_passes(log, note->code, &left_out)) {
        return;
    }
    note_format(note, &text);
    for (size_t i = 0; i < text.field_count; i++) {
        fields[i] = (struct log_field){text.fields[i].key, text.fields[i].value};
    }
    fields[text.field_count] = (struct log_field){NULL, NULL};
    log_message(log, note->level, NULL, fields, left_out, text.message);
}
