/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl backup and restore. A backup is a file of entries as they are stored:
 *
 *     "homemesh backup 1\n"  mesh, node and time as one line of JSON
 *     4 bytes of length (big-endian), so many bytes of entries, and so on; length 0 ends them
 *     32 bytes of BLAKE2b over all before
 *
 * It appears whole or not at all, readable by its owner only. A restore looks at all of it before it
 * sends the first entry. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/be.h"
#include "base/err.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "homemesh backup 1\n"
#define HEAD_LINE_BYTES 1024
#define HASH_BYTES 32

/* The argument FILE; NULL after a line on stderr. The table cannot ask for it: meshd never sees it. */
static const char *file_of(const struct ctl_opts *o)
{
    const struct op_value *file = ops_args_get(o->spec, &o->values, "file");
    if (!file->is_given) {
        ctl_error("%s needs the name of a file: %s", o->spec->name, o->spec->example);
    }
    return file->is_given ? file->text : NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

struct writing {
    FILE *to;
    crypto_generichash_state hash;
    uint64_t entries, bytes;
};

static void put(struct writing *w, const void *data, size_t size)
{
    (void) fwrite(data, 1, size, w->to); /* ferror at the end */
    crypto_generichash_update(&w->hash, data, size);
    w->bytes += size;
}

static void put_part(struct writing *w, const uint8_t *data, size_t size)
{
    uint8_t length[4];
    be_put(length, size, sizeof length);
    put(w, length, sizeof length);
    put(w, data, size);
}

static void put_head(struct writing *w, const json_t *page)
{
    char line[HEAD_LINE_BYTES];
    json_t *head = json_pack("{s:s, s:s, s:s}", "mesh", ctl_text(page, "mesh"), "node",
                             ctl_text(page, "node"), "time", ctl_text(page, "time"));
    char *text = head == NULL ? NULL : json_dumps(head, JSON_COMPACT);
    snprintf(line, sizeof line, "%s%s\n", HEAD, text == NULL ? "{}" : text);
    put(w, line, strlen(line));
    free(text);
    json_decref(head);
}

/* Asks for page after page. An exit code. */
static int write_pages(struct ctl *ctl, struct writing *w)
{
    const struct ctl_opts *o = ctl->opts;
    struct op_values values = o->values;
    uint8_t *next = NULL;
    for (;;) {
        json_t *page = NULL;
        char why[256];
        uint8_t *bytes = NULL;
        size_t size = 0;
        int code = ctl_ask_once(ctl, o->spec, &values, o->timeout_ms, &page, why);
        if (code != HM_OK) {
            free(next);
            return ctl_failed(ctl, code, why);
        }
        if (w->bytes == 0) {
            put_head(w, page);
        }
        if (ctl_json_bytes(json_object_get(page, "entries"), &bytes, &size) == HM_OK) {
            put_part(w, bytes, size);
        }
        w->entries += (uint64_t) ctl_int(page, "count");
        free(bytes);
        free(next);
        next = NULL;
        bool is_last = ctl_json_bytes(json_object_get(page, "next"), &next, &size) != HM_OK;
        json_decref(page);
        if (is_last) {
            return EXIT_DONE;
        }
        if (ops_args_set_bytes(o->spec, ops_args_index(o->spec, "after"), span_of(next, size),
                               &values, why) != HM_OK) {
            free(next);
            return ctl_failed(ctl, HM_EMALFORMED, why);
        }
    }
}

static int write_file(struct ctl *ctl, struct writing *w)
{
    static const uint8_t end[4];
    uint8_t hash[HASH_BYTES];
    crypto_generichash_init(&w->hash, NULL, 0, sizeof hash);
    int exit_code = write_pages(ctl, w);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    put(w, end, sizeof end);
    crypto_generichash_final(&w->hash, hash, sizeof hash);
    (void) fwrite(hash, 1, sizeof hash, w->to);
    if (fflush(w->to) != 0 || ferror(w->to) || fsync(fileno(w->to)) != 0) {
        ctl_error("cannot write the backup: %s", strerror(errno));
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

/* The backup is renamed over what is there, which must not be a device, a pipe or a link: root has
 * /dev/stdout replaced more easily than he thinks. An exit code. */
static int check_place(const char *path)
{
    struct stat st;
    if (strcmp(path, "-") == 0) {
        ctl_error("a backup is a file, whole or not there at all, so - is no place for one: "
                  "meshctl backup homelab.backup");
        return EXIT_USAGE;
    }
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        ctl_error("%s is no regular file, and not replaced: name a file, there already or not", path);
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

/* A new file of our own, whoever else writes a backup to this path now: 0600. */
static FILE *make_beside(const char *path, char *beside, size_t max)
{
    snprintf(beside, max, "%s.new-XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "we");
    if (to == NULL) {
        ctl_error("cannot write a file beside %s: %s", path, strerror(errno));
    }
    return to;
}

int ctl_backup(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    const char *path = file_of(o);
    char beside[OPS_TEXT_BYTES_MAX + 16];
    struct writing w = {.to = NULL};
    (void) out;
    if (path == NULL) {
        return EXIT_USAGE;
    }
    int exit_code = check_place(path);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    w.to = make_beside(path, beside, sizeof beside);
    if (w.to == NULL) {
        return EXIT_REFUSED;
    }
    exit_code = write_file(ctl, &w);
    if (fclose(w.to) != 0 && exit_code == EXIT_DONE) {
        ctl_error("cannot write the backup: %s", strerror(errno));
        exit_code = EXIT_REFUSED;
    }
    if (exit_code == EXIT_DONE && rename(beside, path) != 0) {
        ctl_error("cannot rename %s to %s: %s", beside, path, strerror(errno));
        exit_code = EXIT_REFUSED;
    }
    if (exit_code != EXIT_DONE) {
        unlink(beside);
    } else if (o->format == FORMAT_JSON) {
        printf("{\"entries\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n", w.entries,
               w.bytes + HASH_BYTES);
    } else {
        printf("%" PRIu64 " entries in %s\n", w.entries, path);
    }
    return exit_code;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
    const char *path;
    FILE *from;
    json_t *head;
    uint64_t taken, known, refused;
};

static int damaged(const struct reading *r, const char *what)
{
    ctl_error("%s is no whole backup: %s; nothing was changed", r->path, what);
    return EXIT_REFUSED;
}

static int read_head(struct reading *r, char line[HEAD_LINE_BYTES])
{
    char word[sizeof HEAD];
    if (fgets(word, sizeof word, r->from) == NULL || strcmp(word, HEAD) != 0 ||
        fgets(line, HEAD_LINE_BYTES, r->from) == NULL) {
        return damaged(r, "it does not begin as one that meshctl backup wrote");
    }
    r->head = json_loads(line, 0, NULL);
    return json_is_object(r->head) ? EXIT_DONE : damaged(r, "its second line does not read");
}

/* The next part; size 0: the end. False: cut. The caller frees *ret_bytes. */
static bool read_part(struct reading *r, uint8_t **ret_bytes, size_t *ret_size)
{
    uint8_t length[4];
    *ret_bytes = NULL;
    if (fread(length, 1, sizeof length, r->from) != sizeof length) {
        return false;
    }
    *ret_size = (size_t) be_get(length, sizeof length);
    if (*ret_size == 0) {
        return true;
    }
    if (*ret_size > HM_FRAME_BYTES_MAX) {
        return false;
    }
    *ret_bytes = malloc(*ret_size);
    if (*ret_bytes != NULL && fread(*ret_bytes, 1, *ret_size, r->from) == *ret_size) {
        return true;
    }
    free(*ret_bytes);
    *ret_bytes = NULL;
    return false;
}

/* All of it, once, before anything is sent. */
static int verify(struct reading *r)
{
    char line[HEAD_LINE_BYTES];
    uint8_t expected[HASH_BYTES], found[HASH_BYTES], length[4];
    crypto_generichash_state hash;
    uint8_t *bytes = NULL;
    size_t size = 1;
    int exit_code = read_head(r, line);
    crypto_generichash_init(&hash, NULL, 0, sizeof found);
    crypto_generichash_update(&hash, (const uint8_t *) HEAD, strlen(HEAD));
    crypto_generichash_update(&hash, (const uint8_t *) line, strlen(line));
    while (exit_code == EXIT_DONE && size > 0) {
        if (!read_part(r, &bytes, &size)) {
            return damaged(r, "it ends too early");
        }
        be_put(length, size, sizeof length);
        crypto_generichash_update(&hash, length, sizeof length);
        crypto_generichash_update(&hash, bytes, size);
        free(bytes);
    }
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    crypto_generichash_final(&hash, found, sizeof found);
    if (fread(expected, 1, sizeof expected, r->from) != sizeof expected ||
        sodium_memcmp(expected, found, sizeof found) != 0) {
        return damaged(r, "its bytes have changed since it was written");
    }
    return EXIT_DONE;
}

static int send_part(struct ctl *ctl, struct reading *r, const uint8_t *bytes, size_t size)
{
    const struct ctl_opts *o = ctl->opts;
    struct op_values values = o->values;
    json_t *reply = NULL;
    char why[256];
    int code = ops_args_set_bytes(o->spec, ops_args_index(o->spec, "entries"), span_of(bytes, size),
                                  &values, why);
    if (code == HM_OK) {
        code = ctl_ask_once(ctl, o->spec, &values, o->timeout_ms, &reply, why);
    }
    if (code != HM_OK) {
        return ctl_failed(ctl, code, why);
    }
    r->taken += (uint64_t) ctl_int(reply, "taken");
    r->known += (uint64_t) ctl_int(reply, "known");
    r->refused += (uint64_t) ctl_int(reply, "refused");
    json_decref(reply);
    return EXIT_DONE;
}

static int send_all(struct ctl *ctl, struct reading *r)
{
    char line[HEAD_LINE_BYTES];
    uint8_t *bytes = NULL;
    size_t size = 1;
    rewind(r->from);
    json_decref(r->head);
    int exit_code = read_head(r, line);
    while (exit_code == EXIT_DONE && size > 0) {
        if (!read_part(r, &bytes, &size)) {
            return damaged(r, "it changed while it was read");
        }
        exit_code = size > 0 ? send_part(ctl, r, bytes, size) : EXIT_DONE;
        free(bytes);
    }
    return exit_code;
}

static void print_restored(const struct ctl *ctl, const struct reading *r)
{
    if (ctl->opts->format == FORMAT_JSON) {
        printf("{\"taken\": %" PRIu64 ", \"known\": %" PRIu64 ", \"refused\": %" PRIu64 "}\n",
               r->taken, r->known, r->refused);
        return;
    }
    out_say("backup of %s, mesh %s, %s", ctl_text(r->head, "node"), ctl_text(r->head, "mesh"),
            ctl_text(r->head, "time"));
    fputc('\n', stdout);
    printf("%" PRIu64 " entries brought back, %" PRIu64
           " were known here (kept, changed or deleted since)\n",
           r->taken, r->known);
    if (r->refused > 0) {
        printf("%" PRIu64 " are of other meshes' nodes or of a later version of homemesh, and were left out\n",
               r->refused);
    }
}

int ctl_restore(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    struct reading r = {.path = file_of(o)};
    (void) out;
    if (r.path == NULL) {
        return EXIT_USAGE;
    }
    r.from = fopen(r.path, "re");
    if (r.from == NULL) {
        ctl_error("cannot open %s: %s", r.path, strerror(errno));
        return EXIT_REFUSED;
    }
    int exit_code = verify(&r);
    if (exit_code == EXIT_DONE) {
        exit_code = send_all(ctl, &r);
    }
    if (exit_code == EXIT_DONE) {
        print_restored(ctl, &r);
    }
    json_decref(r.head);
    fclose(r.from);
    return exit_code;
}
