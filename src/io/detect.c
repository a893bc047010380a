/* SPDX-License-Identifier: MPL-2.0 */
/* A node's labels: see detect.h. */
#define _GNU_SOURCE
#include "io/detect.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"
#include "io/role.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define OS_RELEASE_BYTES_MAX 8192

/* Adds a label unless the key is there already or the table is full. */
static void add(struct detect *detect, const char *key, const char *value)
{
    for (size_t i = 0; i < detect->count; i++) {
        if (strcmp(detect->texts[i].key, key) == 0) {
            return;
        }
    }
    if (detect->count == DETECT_LABELS_MAX) {
        return;
    }
    struct conf_label *text = &detect->texts[detect->count++];
    text_copy(text->key, sizeof text->key, key);
    text_copy(text->value, sizeof text->value, value);
}

static void add_number(struct detect *detect, const char *key, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    add(detect, key, text);
}

const char *detect_arch(const char *machine)
{
    static const struct {
        const char *machine;
        const char *arch;
    } names[] = {
        {"x86_64", "amd64"},    {"aarch64", "arm64"},   {"armv7l", "armv7"}, {"armv8l", "armv7"},
        {"armv6l", "armv6"},    {"i686", "386"},        {"i586", "386"},     {"i386", "386"},
        {"ppc64le", "ppc64le"}, {"riscv64", "riscv64"}, {"s390x", "s390x"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].machine, machine) == 0) {
            return names[i].arch;
        }
    }
    return machine;
}

static unsigned count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (unsigned) CPU_COUNT(&set);
    }
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned) count : 1;
}

static unsigned long long memory_mib(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (unsigned long long) pages * (unsigned long long) page >> 20 : 0;
}

static void add_os(struct detect *detect)
{
    char text[OS_RELEASE_BYTES_MAX];
    size_t size = 0;
    if (file_read("/etc/os-release", text, sizeof text, &size, NULL) != 0 &&
        file_read("/usr/lib/os-release", text, sizeof text, &size, NULL) != 0) {
        add(detect, "os", "linux");
        return;
    }
    const char *at = strncmp(text, "ID=", 3) == 0 ? text : strstr(text, "\nID=");
    char id[64] = "linux";
    if (at != NULL) {
        at = strchr(at, '=') + 1;
        at += strspn(at, "\"'");
        snprintf(id, sizeof id, "%.*s", (int) strcspn(at, "\"'\n"), at);
    }
    bool is_clean = text_is_clean_utf8((const uint8_t *) id, strlen(id)) && id[0] != '\0';
    add(detect, "os", is_clean ? id : "linux");
}

static bool is_socket(const char *dir, const char *name)
{
    char path[512];
    struct stat st;
    return dir != NULL && file_join(path, sizeof path, dir, name) == 0 && stat(path, &st) == 0 &&
           S_ISSOCK(st.st_mode);
}

static void add_runtimes(struct detect *detect)
{
    const char *own = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (is_socket("/run", "docker.sock") || is_socket("/var/run", "docker.sock") ||
        is_socket(own, "docker.sock")) {
        add(detect, "docker", "true");
    }
    if (is_socket("/run/podman", "podman.sock") || is_socket(own, "podman/podman.sock")) {
        add(detect, "podman", "true");
    }
    if (stat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode)) {
        add(detect, "systemd", "true"); /* sd_booted(3) asks the same */
    }
}

static void add_role(struct detect *detect)
{
    struct role_facts facts = {.cpus = count_cpus(), .memory_mib = memory_mib()};
    role_facts_read("", &facts);
    add(detect, "role", role_choose(&facts));
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct conf_label *) a)->key, ((const struct conf_label *) b)->key);
}

void detect_labels(const struct conf *conf, struct detect *ret_detect)
{
    struct utsname uts;
    struct detect *detect = ret_detect;
    detect->count = 0;
    for (size_t i = 0; i < conf->label_count; i++) {
        add(detect, conf->labels[i].key, conf->labels[i].value);
    }
    if (conf->role[0] != '\0') {
        add(detect, "role", conf->role);
    }
    if (conf->auto_role) {
        add_role(detect); /* unless a role was given */
    }
    if (conf->capabilities[0] != '\0') {
        add(detect, "capabilities", conf->capabilities);
    }
    add(detect, "arch", uname(&uts) == 0 ? detect_arch(uts.machine) : "unknown");
    add_number(detect, "cpus", count_cpus());
    add_number(detect, "memory_mib", memory_mib());
    add_os(detect);
    add_runtimes(detect);
    qsort(detect->texts, detect->count, sizeof detect->texts[0], by_key);
    for (size_t i = 0; i < detect->count; i++) {
        detect->labels[i] = (struct label){detect->texts[i].key, detect->texts[i].value};
    }
}
