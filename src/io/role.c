/* SPDX-License-Identifier: MPL-2.0 */
/* A role by what the machine has: see role.h. */
#define _GNU_SOURCE
#include "io/role.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512
#define SECTOR_BYTES 512 /* the unit of /sys/block/X/size, whatever the disk's own */
#define ROUTES_BYTES_MAX 16384
#define CARDS_MAX 16 /* more make it no more of a gateway */

/* The first line of root/dir/name/file; "" if it cannot be read. */
static void read_line(const char *root, const char *dir, const char *name, const char *file,
                      char *line, size_t max)
{
    char path[PATH_BYTES];
    size_t size = 0;
    line[0] = '\0';
    int len = snprintf(path, sizeof path, "%s%s/%s/%s", root, dir, name, file);
    if (len > 0 && (size_t) len < sizeof path && file_read(path, line, max, &size, NULL) == HM_OK) {
        line[strcspn(line, "\n")] = '\0';
    } else {
        line[0] = '\0';
    }
}

static void each_entry(const char *root, const char *dir, struct role_facts *facts,
                       void (*visit)(const char *root, const char *name, struct role_facts *facts))
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s", root, dir);
    DIR *open = opendir(path);
    if (open == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        if (entry->d_name[0] != '.') {
            visit(root, entry->d_name, facts);
        }
    }
    closedir(open);
}

/* Batteries of mice and of an uninterruptible supply's far end have the scope "Device". */
static void visit_supply(const char *root, const char *name, struct role_facts *facts)
{
    static const char dir[] = "/sys/class/power_supply";
    char type[32];
    char scope[32];
    read_line(root, dir, name, "type", type, sizeof type);
    read_line(root, dir, name, "scope", scope, sizeof scope);
    facts->has_battery |= strcmp(type, "Battery") == 0 && strcmp(scope, "Device") != 0;
}

static void visit_disk(const char *root, const char *name, struct role_facts *facts)
{
    static const char *const no_disks[] = {"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"};
    char text[32];
    uint64_t sectors = 0;
    for (size_t i = 0; i < sizeof no_disks / sizeof no_disks[0]; i++) {
        if (strncmp(name, no_disks[i], strlen(no_disks[i])) == 0) {
            return;
        }
    }
    read_line(root, "/sys/block", name, "removable", text, sizeof text);
    if (strcmp(text, "0") != 0) {
        return;
    }
    read_line(root, "/sys/block", name, "size", text, sizeof text);
    if (text_to_u64(text, UINT64_MAX / SECTOR_BYTES / 1024, &sectors) == HM_OK) {
        facts->disk_bytes += sectors * SECTOR_BYTES;
    }
}

static bool is_card(const char *root, const char *name)
{
    char path[PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s/sys/class/net/%s/device", root, name);
    return len > 0 && (size_t) len < sizeof path && access(path, F_OK) == 0;
}

/* Counts the real cards that have a directly connected network which no other card has. Lines of
 * /proc/net/route: Iface Destination Gateway … */
static unsigned count_networks(const char *root)
{
    char text[ROUTES_BYTES_MAX];
    char names[CARDS_MAX][32];
    char networks[CARDS_MAX][16];
    unsigned count = 0;
    size_t size = 0;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/net/route", root);
    if (file_read(path, text, sizeof text, &size, NULL) != HM_OK) {
        return 0;
    }
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        const char *name = strsep(&line, "\t");
        const char *network = strsep(&line, "\t");
        const char *gateway = strsep(&line, "\t");
        bool is_own = gateway != NULL && strcmp(gateway, "00000000") == 0 &&
                      strcmp(network, "00000000") != 0 && strlen(network) < sizeof networks[0] &&
                      strlen(name) < sizeof names[0] && is_card(root, name);
        for (unsigned i = 0; is_own && i < count; i++) {
            is_own = strcmp(names[i], name) != 0 && strcmp(networks[i], network) != 0;
        }
        if (is_own && count < CARDS_MAX) {
            text_copy(names[count], sizeof names[0], name);
            text_copy(networks[count++], sizeof networks[0], network);
        }
    }
    return count;
}

void role_facts_read(const char *root, struct role_facts *facts)
{
    char text[32];
    read_line(root, "/proc/sys/net", "ipv4", "ip_forward", text, sizeof text);
    facts->forwards = strcmp(text, "1") == 0;
    facts->networks = count_networks(root);
    facts->has_battery = false;
    facts->disk_bytes = 0;
    each_entry(root, "/sys/class/power_supply", facts, visit_supply);
    each_entry(root, "/sys/block", facts, visit_disk);
}

const char *role_choose(const struct role_facts *facts)
{
    if (facts->has_battery) {
        return "portable";
    }
    if (facts->forwards && facts->networks >= 2) {
        return "gateway";
    }
    if (facts->disk_bytes >= ROLE_STORAGE_BYTES) {
        return "storage";
    }
    if (facts->cpus >= ROLE_COMPUTE_CPUS && facts->memory_mib >= ROLE_COMPUTE_MIB) {
        return "compute";
    }
    return "edge";
}
