/* SPDX-License-Identifier: MPL-2.0 */
/* Facts about this process and its files: see facts.h. */
#define _GNU_SOURCE
#include "io/facts.h"

#include "base/text.h"
#include "io/file.h"

#include <dirent.h>
#include <lmdb.h>
#include <net/if.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define USER_BYTES_MAX 4096 /* an entry of the user database */

static void owner_name(uid_t uid, char *to, size_t max)
{
    char room[USER_BYTES_MAX];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwuid_r(uid, &entry, room, sizeof room, &found) == 0 && found != NULL) {
        text_copy(to, max, entry.pw_name);
    } else {
        snprintf(to, max, "user %u", (unsigned) uid);
    }
}

void facts_secret(const char *path, struct fact_secret *ret_secret)
{
    struct fact_secret secret = {.path = ""};
    struct stat st;
    time_t now = time(NULL);
    text_copy(secret.path, sizeof secret.path, path);
    if (stat(path, &st) != 0) {
        secret.is_gone = true;
    } else {
        secret.mode = st.st_mode & 07777;
        secret.is_exposed = file_is_exposed(path);
        secret.is_foreign = st.st_uid != geteuid();
        secret.age_s = now > st.st_mtime ? (uint64_t) (now - st.st_mtime) : 0;
        owner_name(st.st_uid, secret.owner, sizeof secret.owner);
    }
    *ret_secret = secret;
}

static uint64_t count_descriptors(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

void facts_process(struct facts *facts)
{
    struct rlimit limit;
    int zmq[3];
    int lmdb[3];
    zmq_version(&zmq[0], &zmq[1], &zmq[2]);
    (void) mdb_version(&lmdb[0], &lmdb[1], &lmdb[2]);
    snprintf(facts->libraries, sizeof facts->libraries,
             "libzmq %d.%d.%d, libsodium %s, lmdb %d.%d.%d", zmq[0], zmq[1], zmq[2],
             sodium_version_string(), lmdb[0], lmdb[1], lmdb[2]);
    facts->descriptors = count_descriptors();
    facts->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t) limit.rlim_cur : 0;
}

unsigned facts_mtu(const char *netif)
{
    struct ifreq request;
    unsigned mtu = 0;
    memset(&request, 0, sizeof request);
    text_copy(request.ifr_name, sizeof request.ifr_name, netif);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        mtu = ioctl(fd, SIOCGIFMTU, &request) == 0 ? (unsigned) request.ifr_mtu : 0;
        close(fd);
    }
    return mtu;
}
