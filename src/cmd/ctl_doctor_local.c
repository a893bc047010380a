/* SPDX-License-Identifier: MPL-2.0 */
/* What this machine shows without its daemon: see ctl_doctor.h.
 *
 * For each data directory that is meant or found: can it be looked into, does a process hold its lock
 * and what does that process do, does its socket answer, can its disk be written. And whether the
 * default port is free. Nothing is changed but for a test file that is written and removed. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "base/err.h"
#include "base/text.h"
#include "client/client.h"
#include "io/driver.h"
#include "io/paths.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DIRS_MAX 16            /* data directories looked at when none is named */
#define ROOM_MIN (16ull << 20) /* free bytes; the store of a small mesh needs less than one */

/* ---- the process ----------------------------------------------------------------------------- */

/* The state letter of a process, '?' if there is none or it cannot be seen. */
static char process_state(pid_t pid)
{
    char path[64];
    char text[512];
    char state = '?';
    snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return '?';
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    /* The name in parentheses may hold anything, the state follows the last one. */
    const char *end = strrchr(text, ')');
    if (end != NULL && end[1] == ' ' && end[2] != '\0') {
        state = end[2];
    }
    fclose(file);
    return state;
}

static void say_process(json_t *lines, const struct paths_node *node)
{
    char fix[128];
    int pid = (int) node->pid;
    switch (process_state(node->pid)) {
    case 'T':
    case 't':
        snprintf(fix, sizeof fix, "kill -CONT %d", pid);
        doctor_say(lines, "daemon", "fail", node->name, fix,
                   "its meshd (pid %d) is stopped: a signal or a debugger holds it", pid);
        break;
    case 'D':
        doctor_say(lines, "daemon", "fail", node->name, "look at its disk: dmesg, iostat -x 1",
                   "its meshd (pid %d) waits for a disk or a network file system", pid);
        break;
    case 'Z':
    case 'X':
        doctor_say(lines, "daemon", "fail", node->name, "start it again; its log says why it ended",
                   "its meshd (pid %d) has ended and was not cleared away", pid);
        break;
    case '?':
        doctor_say(lines, "daemon", "fail", node->name,
                   "is it in a container or another user's? Ask from there",
                   "its lock is held by pid %d, which cannot be seen from here", pid);
        break;
    default:
        doctor_say(lines, "daemon", "warn", node->name,
                   "is the machine overloaded? uptime; its log may say more",
                   "its meshd (pid %d) runs", pid);
        break;
    }
}

static void say_socket(json_t *lines, const char *name, const char *socket_path)
{
    client_t *client = NULL;
    int code = client_new(socket_path, &client);
    client_destroy(&client);
    if (code == HM_OK) {
        doctor_say(lines, "socket", "ok", name, NULL, "something listens at %s", socket_path);
    } else if (code == HM_EDENIED) {
        doctor_say(lines, "socket", "fail", name, "run meshctl as the user of that meshd",
                   "the socket %s belongs to another user", socket_path);
    } else {
        doctor_say(lines, "socket", "fail", name, "start its meshd again",
                   "nobody listens at the socket %s", socket_path);
    }
}

/* ---- the directory --------------------------------------------------------------------------- */

static void say_disk(json_t *lines, const char *dir)
{
    char path[PATHS_BYTES + 16];
    struct statvfs vfs;
    snprintf(path, sizeof path, "%s/doctor-test", dir);
    uint64_t begun = ctl_now_ms();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool is_written = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0;
    int error = errno;
    uint64_t took = ctl_now_ms() - begun;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    uint64_t room = statvfs(dir, &vfs) == 0 ? (uint64_t) vfs.f_bavail * vfs.f_frsize : UINT64_MAX;
    if (!is_written) {
        doctor_say(lines, "disk", "fail", NULL, "make room, or mount it writable: df, mount, dmesg",
                   "cannot write in %s: %s", dir, strerror(error));
    } else if (room < ROOM_MIN) {
        doctor_say(lines, "disk", "warn", NULL, "make room", "only %" PRIu64 " KiB are free in %s",
                   room / 1024, dir);
    } else {
        doctor_say(lines, "disk", "ok", NULL, NULL,
                   "a small file in %s is written and synced in %" PRIu64 " ms", dir, took);
    }
}

static void look_at(json_t *lines, const char *dir)
{
    static struct paths_node node;
    struct why why = {""};
    struct stat st;
    if (stat(dir, &st) != 0) {
        doctor_say(lines, "data-dir", "fail", NULL,
                   errno == EACCES ? "run meshctl as the user of that meshd"
                                   : "check the path; \"meshd --data-dir=D\" makes it",
                   "cannot look at the data directory %s: %s", dir, strerror(errno));
        return;
    }
    int code = paths_node_at(dir, &node, &why);
    if (code == HM_OK) {
        doctor_say(lines, "data-dir", "ok", node.name, NULL, "%s is in use by pid %d, mesh %s", dir,
                   (int) node.pid, node.mesh);
        say_process(lines, &node);
        say_socket(lines, node.name, node.socket);
    } else if (code == HM_EBUSY) {
        doctor_say(lines, "daemon", "fail", NULL, "wait for it: all of a large store is read first", "%s",
                   why.text);
    } else if (code == HM_ESTALE) {
        doctor_say(lines, "daemon", "fail", NULL, "restart it: systemctl restart meshd, or by hand", "%s", why.text);
    } else if (code == HM_ENOTFOUND) {
        doctor_say(lines, "daemon", "fail", NULL,
                   "start it: systemctl start meshd, or meshd as before; its log says why it ended",
                   "%s", why.text[0] != '\0' ? why.text : "no meshd runs");
    } else {
        doctor_say(lines, "data-dir", "fail", NULL, NULL, "%s",
                   why.text[0] != '\0' ? why.text : hm_strerror(code));
        return;
    }
    say_disk(lines, dir);
}

/* ---- the port -------------------------------------------------------------------------------- */

static bool is_free(int type, uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (type == SOCK_STREAM) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    bool free = fd >= 0 && bind(fd, (const struct sockaddr *) &any, sizeof any) == 0;
    bool is_taken = !free && errno == EADDRINUSE;
    if (fd >= 0) {
        close(fd);
    }
    return !is_taken;
}

static void say_ports(json_t *lines)
{
    bool udp = is_free(SOCK_DGRAM, DRIVER_PORT_DEFAULT);
    bool tcp = is_free(SOCK_STREAM, DRIVER_PORT_DEFAULT);
    if (udp && tcp) {
        doctor_say(lines, "ports", "ok", NULL, NULL, "UDP and TCP %d are free: no meshd has them",
                   DRIVER_PORT_DEFAULT);
    } else {
        doctor_say(
            lines, "ports", "ok", NULL, NULL,
            "%s %d is taken, by a meshd or another program (ss -lnptu); a meshd takes the next "
            "free one",
            udp ? "TCP" : "UDP", DRIVER_PORT_DEFAULT);
    }
}

void doctor_local(json_t *lines, const struct ctl *ctl)
{
    static char dirs[DIRS_MAX][PATHS_BYTES];
    size_t count = 0;
    if (ctl->data_dir[0] != '\0' || ctl->opts->data_dir != NULL) {
        text_copy(dirs[count++], PATHS_BYTES,
                  ctl->data_dir[0] != '\0' ? ctl->data_dir : ctl->opts->data_dir);
    } else if (ctl->opts->socket != NULL) {
        say_socket(lines, NULL, ctl->opts->socket);
    } else {
        count = paths_guess_dirs(dirs, DIRS_MAX);
        if (count == 0) {
            doctor_say(lines, "data-dir", "fail", NULL, "start one: meshd --discover=MESH",
                       "no node has ever run here, as far as this user can see");
        }
    }
    for (size_t i = 0; i < count; i++) {
        look_at(lines, dirs[i]);
    }
    say_ports(lines);
}
