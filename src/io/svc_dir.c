/* SPDX-License-Identifier: MPL-2.0 */
/* services.d: see svc_dir.h. */
#define _GNU_SOURCE
#include "io/svc_dir.h"

#include "base/err.h"
#include "base/prng.h"
#include "base/text.h"
#include "io/file.h"
#include "io/svc_yaml.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4608

struct svc_dir {
    log_t *log;
    struct svc_set set;
    struct buf kept;
    char (*names)[HM_SERVICE_FILE_BYTES_MAX + 1];
    size_t name_count;
    size_t last;         /* of as many names as are kept: the one that comes last */
    size_t found_count;  /* names that there are: more than are kept when there are too many */
    uint64_t read_state; /* of the files as they were read; 0: never */
    uint64_t seen_state; /* at the last look */
    struct why error;    /* of the first file with a mistake */
    bool was_denied;     /* it was said that the directory cannot be read */
    char text[SVC_DIR_FILE_BYTES_MAX + 1];
};

svc_dir_t *svc_dir_new(log_t *log)
{
    svc_dir_t *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    d->log = log;
    svc_set_init(&d->set);
    buf_init(&d->kept, SVC_DIR_FILES_MAX * (HM_SERVICE_FILE_BYTES_MAX + 8));
    d->names = calloc(SVC_DIR_FILES_MAX, sizeof *d->names);
    if (d->names == NULL) {
        svc_dir_destroy(&d);
    }
    return d;
}

void svc_dir_destroy(svc_dir_t **p)
{
    svc_dir_t *d = *p;
    if (d == NULL) {
        return;
    }
    svc_set_fini(&d->set);
    buf_fini(&d->kept);
    free(d->names);
    free(d);
    *p = NULL;
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool is_wanted_name(const char *name)
{
    size_t size = strlen(name);
    bool is_yaml = (size > 5 && strcmp(name + size - 5, ".yaml") == 0) ||
                   (size > 4 && strcmp(name + size - 4, ".yml") == 0);
    return is_yaml && name[0] != '.' && svc_text_wrong(SVC_FILE_NAME, span_of(name, size)) == NULL;
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

static uint64_t mix(uint64_t state, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        state = (state ^ bytes[i]) * 0x100000001b3U;
    }
    return prng_mix(state);
}

/* Keeps the names that come first: in which order a directory has them is not ours to say. */
static void keep_name(svc_dir_t *d, const char *name)
{
    d->found_count++;
    if (d->name_count == SVC_DIR_FILES_MAX) {
        if (strcmp(name, d->names[d->last]) > 0) {
            return;
        }
        text_copy(d->names[d->last], sizeof d->names[0], name);
    } else {
        text_copy(d->names[d->name_count++], sizeof d->names[0], name);
    }
    if (d->name_count == SVC_DIR_FILES_MAX) {
        d->last = 0;
        for (size_t i = 1; i < d->name_count; i++) {
            d->last = strcmp(d->names[i], d->names[d->last]) > 0 ? i : d->last;
        }
    }
}

/* The names, sorted. HM_ENOTFOUND: no such directory; HM_EIO. */
static int list_names(svc_dir_t *d, const char *path)
{
    DIR *dir = opendir(path);
    d->name_count = d->found_count = 0;
    if (dir == NULL) {
        return errno == ENOENT || errno == ENOTDIR ? HM_ENOTFOUND : HM_EIO;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (is_wanted_name(entry->d_name)) {
            keep_name(d, entry->d_name);
        }
    }
    int failed = errno;
    closedir(dir);
    if (failed != 0) {
        errno = failed;
        return HM_EIO;
    }
    qsort(d->names, d->name_count, sizeof d->names[0], name_cmp);
    return HM_OK;
}

/* What the files look like from outside: another number when one has changed. Never 0. */
static uint64_t state_of(const svc_dir_t *d, const char *path)
{
    uint64_t state = mix(1, path, strlen(path));
    state = mix(state, &d->found_count, sizeof d->found_count);
    char file[PATH_BYTES];
    for (size_t i = 0; i < d->name_count; i++) {
        struct stat st = {.st_size = 0};
        if (file_join(file, sizeof file, path, d->names[i]) == HM_OK) {
            (void) stat(file, &st); /* gone or shut: that is a state too */
        }
        state = mix(state, d->names[i], strlen(d->names[i]));
        state = mix(state, &st.st_ino, sizeof st.st_ino);
        state = mix(state, &st.st_size, sizeof st.st_size);
        state = mix(state, &st.st_mtim, sizeof st.st_mtim);
        state = mix(state, &st.st_ctim, sizeof st.st_ctim);
    }
    return state == 0 ? 1 : state;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_one(svc_dir_t *d, const char *path, const char *name, struct why *why)
{
    char file[PATH_BYTES];
    size_t size = 0;
    int rc = file_join(file, sizeof file, path, name);
    if (rc != HM_OK) {
        return why_set(why, rc, "%s/%s: the path is too long", path, name);
    }
    rc = file_read(file, d->text, sizeof d->text, &size, why);
    return rc == HM_OK ? svc_yaml_read(file, name, d->text, size, &d->set, why) : rc;
}

static void read_all(svc_dir_t *d, const char *path)
{
    size_t wrong = 0;
    d->error.text[0] = '\0';
    svc_set_clear(&d->set);
    buf_clear(&d->kept);
    for (size_t i = 0; i < d->name_count; i++) {
        struct why why = {""};
        if (read_one(d, path, d->names[i], &why) == HM_OK) {
            continue;
        }
        d->error = wrong == 0 ? why : d->error;
        wrong++;
        mp_str(&d->kept, d->names[i]);
        log_line(d->log, NOTE_ERROR,
                 LOG_FIELDS({"event", "services-wrong"}, {"file", d->names[i]}),
                 "services: %s; what this file said before stays", why.text);
    }
    if (d->found_count > d->name_count) {
        log_line(d->log, NOTE_WARN, LOG_FIELDS({"event", "services-many"}, {"path", path}),
                 "of %zu files of services only the first %d, by name, are read: put several services into one file",
                 d->found_count, SVC_DIR_FILES_MAX);
    }
    if (d->name_count > 0 || d->read_state != 0) {
        log_line(d->log, NOTE_INFO, LOG_FIELDS({"event", "services-read"}, {"path", path}),
                 "services: %zu in %zu file%s", d->set.count, d->name_count - wrong,
                 d->name_count - wrong == 1 ? "" : "s");
    }
}

enum svc_dir_look svc_dir_look(svc_dir_t *d, const char *path, bool now)
{
    int rc = path[0] == '\0' ? HM_ENOTFOUND : list_names(d, path);
    if (rc == HM_EIO) {
        if (!d->was_denied) {
            log_line(d->log, NOTE_ERROR, LOG_FIELDS({"path", path}),
                     "services: the directory cannot be read: %s; its services stay as they are",
                     strerror(errno));
        }
        d->was_denied = true;
        return SVC_DIR_SAME;
    }
    if (rc != HM_OK) {
        d->name_count = d->found_count = 0;
    }
    d->was_denied = false;
    uint64_t state = state_of(d, path);
    bool is_settled = state == d->seen_state;
    d->seen_state = state;
    if (!now && state == d->read_state) {
        return SVC_DIR_SAME;
    }
    if (!now && !is_settled) {
        return SVC_DIR_STIRS;
    }
    read_all(d, path);
    d->read_state = state;
    return SVC_DIR_READ;
}

struct span svc_dir_wanted(const svc_dir_t *d)
{
    return buf_span(&d->set.wanted);
}

struct span svc_dir_kept(const svc_dir_t *d)
{
    return buf_span(&d->kept);
}

const char *svc_dir_error(const svc_dir_t *d)
{
    return d->error.text;
}
