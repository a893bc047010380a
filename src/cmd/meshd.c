/* SPDX-License-Identifier: MPL-2.0 */
/* meshd: a node of a mesh. This file is its start and its end; io/driver runs it.
 *
 * The order matters: what a person got wrong is found before anything is made; the data
 * directory is locked before anything in it is read; the store is checked in a child process
 * before any thread or ZeroMQ context exists; signals are blocked before the first thread, so
 * that only the signalfd gets them. Until the node runs, a failure is one line on stderr and
 * nothing else. Exit codes: 0 stopped as asked, 1 failed or refused, 2 wrong usage. */
#define _GNU_SOURCE
#include "config.h"

#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd_fds.h"
#include "cmd/meshd_reload.h"
#include "cmd/meshd_service.h"
#include "cmd/meshd_services.h"
#include "cmd/meshd_identity.h"
#include "cmd/meshd_show.h"
#include "cmd/meshd_token.h"
#include "io/conf.h"
#include "io/detect.h"
#include "io/driver.h"
#include "io/facts.h"
#include "io/file.h"
#include "io/keys.h"
#include "io/log.h"
#include "io/mesh_file.h"
#include "io/paths.h"
#include "io/rekey.h"
#include "io/store.h"
#include "ops/ops_dispatch.h"

#include <errno.h>
#include <lmdb.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define EXIT_REFUSED 1
#define EXIT_USAGE 2
#define CHECK_TOLD_SECONDS 3     /* a check of the store that takes so long is told of */
#define DESCRIPTORS_WANTED 65536 /* a socket per link, client and peer, with room to spare */
#define DESCRIPTORS_NEEDED 128   /* a small mesh's: 35, and 4 for each link; without one libzmq ends the process */

extern char **environ;

struct meshd {
    struct conf conf;
    struct paths paths;
    struct detect detect;
    struct token token;
    bool has_token;
    bool is_new;     /* there was no identity */
    bool is_renewed; /* there was a store and no identity */
    struct rekey rekey;
    char token_addrs[TOKEN_ADDRS_MAX][ADDR_TEXT_BYTES];
    const char *token_joins[TOKEN_ADDRS_MAX]; /* point into token_addrs */
    size_t token_join_count;
    const char *joins[CONF_JOIN_MAX + TOKEN_ADDRS_MAX];
    size_t join_count;
    log_t *log;
    keys_t *keys;
    store_t *store;
    driver_t *driver;
    struct ops ops;
    struct facts facts; /* as last asked for */
    struct store_condition store_shown;
    struct service service;
    struct services_files services;
    struct reload reload;
    struct why config_error; /* of the file read last; "": none */
    struct why store_moved;  /* it was damaged at the start; "": it was not */
    int signal_fd;
};

/* ---- token ----------------------------------------------------------------------------------- */

static void collect_joins(struct meshd *m)
{
    bool is_own = m->has_token && node_id_eq(&m->token.issuer, keys_id(m->keys));
    for (size_t i = 0; m->has_token && !is_own && i < m->token.addr_count; i++) {
        m->token_joins[m->token_join_count++] = addr_format(&m->token.addrs[i], m->token_addrs[i]);
    }
    token_wipe(&m->token);
    m->join_count = reload_joins(&m->conf, m->token_joins, m->token_join_count, m->joins,
                                 CONF_JOIN_MAX + TOKEN_ADDRS_MAX);
}

/* For the operation `token`. */
static int issue_token(void *ctx, struct buf *out)
{
    const struct meshd *m = ctx;
    struct addr addrs[TOKEN_ADDRS_MAX];
    struct token token;
    char text[TOKEN_TEXT_BYTES];
    size_t count = driver_addresses(m->driver, addrs, TOKEN_ADDRS_MAX);
    keys_token(m->keys, addrs, count, &token);
    token_format(&token, text);
    buf_append(out, text, strlen(text));
    token_wipe(&token);
    sodium_memzero(text, sizeof text);
    return HM_OK;
}

static bool show_peer(void *ctx, size_t idx, struct fact_peer *ret_peer)
{
    const struct meshd *m = ctx;
    return driver_peer(m->driver, idx, ret_peer);
}

/* For the operation `doctor`. */
static const struct facts *show_facts(void *ctx)
{
    struct meshd *m = ctx;
    memset(&m->facts, 0, sizeof m->facts);
    driver_facts(m->driver, &m->facts);
    facts_secret(m->paths.ring, &m->facts.ring);
    facts_secret(m->paths.identity, &m->facts.identity);
    facts_process(&m->facts);
    text_copy(m->facts.data_dir, sizeof m->facts.data_dir, m->paths.data_dir);
    text_copy(m->facts.config_error, sizeof m->facts.config_error, m->config_error.text);
    text_copy(m->facts.services_error, sizeof m->facts.services_error,
              services_files_error(&m->services));
    text_copy(m->facts.store_moved, sizeof m->facts.store_moved, m->store_moved.text);
    return &m->facts;
}

static size_t show_gauges(void *ctx, struct fact_gauge ret[FACT_GAUGES_MAX])
{
    const struct meshd *m = ctx;
    return driver_gauges(m->driver, ret);
}

static const struct store_condition *show_store(void *ctx)
{
    struct meshd *m = ctx;
    driver_store(m->driver, &m->store_shown);
    return &m->store_shown;
}

static int begin_store_work(void *ctx, enum store_work_kind kind, uint64_t *ret_number)
{
    const struct meshd *m = ctx;
    return driver_store_work(m->driver, kind, ret_number);
}

static void measure(void *ctx)
{
    const struct meshd *m = ctx;
    driver_measure(m->driver);
}

/* ---- process --------------------------------------------------------------------------------- */

/* False: it may not have as many as are needed, and that was said. */
static bool raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_WANTED) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
        if (limit.rlim_cur < DESCRIPTORS_NEEDED) {
            fprintf(stderr,
                    "meshd: it may have only %llu files and sockets open, and needs %d: raise that limit "
                    "(ulimit -n, LimitNOFILE= of a unit, --ulimit nofile= of a container)\n",
                    (unsigned long long) limit.rlim_cur, DESCRIPTORS_NEEDED);
            return false;
        }
        (void) setrlimit(RLIMIT_NOFILE, &limit); /* what we have will do for small meshes */
    }
    return true;
}

/* A reload asked for during the start (the check of a large store takes seconds) waits for its end. */
static void hold_reload(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* From here on these signals arrive at the signalfd only. */
static int open_signals(struct meshd *m, struct why *why)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signal_fd < 0) {
        return why_set(why, HM_EIO, "cannot receive signals: %s", strerror(errno));
    }
    return HM_OK;
}

static bool read_signal(void *ctx)
{
    struct meshd *m = ctx;
    struct signalfd_siginfo info;
    if (read(m->signal_fd, &info, sizeof info) != (ssize_t) sizeof info) {
        return false;
    }
    if (info.ssi_signo == SIGHUP) {
        service_reloading(&m->service);
        reload_config(&m->reload);
        services_files_reload(&m->services);
        service_reloaded(&m->service);
        return true;
    }
    log_line(m->log, NOTE_INFO, LOG_FIELDS({"signal", info.ssi_signo == SIGINT ? "INT" : "TERM"}),
             "stopping");
    service_stopping(&m->service);
    driver_shutdown(m->driver);
    return true;
}

/* Older ones fall to bytes that anybody can send (CVE-2019-6250, CVE-2019-13132). */
static bool libzmq_is_old(void)
{
    int v[3];
    zmq_version(&v[0], &v[1], &v[2]);
    return v[0] < 4 || (v[0] == 4 && (v[1] < 3 || (v[1] == 3 && v[2] < 2)));
}

static void print_version(void)
{
    int zmq[3];
    int lmdb[3];
    zmq_version(&zmq[0], &zmq[1], &zmq[2]);
    (void) mdb_version(&lmdb[0], &lmdb[1], &lmdb[2]);
    printf("meshd %s\nlibzmq %d.%d.%d, libsodium %s, lmdb %d.%d.%d\n", PACKAGE_VERSION, zmq[0], zmq[1],
           zmq[2], sodium_version_string(), lmdb[0], lmdb[1], lmdb[2]);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void check_goes_on(void *ctx, unsigned seconds)
{
    struct meshd *m = ctx;
    service_starting(&m->service, "looking whether the store is sound, for %u s now", seconds);
    if (seconds == CHECK_TOLD_SECONDS) {
        log_line(m->log, NOTE_INFO, LOG_FIELDS({"path", m->paths.data_dir}),
                 "looking whether the store is sound: all of it is read, which a slow disk makes long");
    }
}

static int check_store(struct meshd *m, struct why *moved, struct why *why)
{
    struct why said = {""};
    const struct store_check_watch watch = {check_goes_on, m};
    switch (store_check(m->paths.data_dir, &watch, &said)) {
    case STORE_MOVED:
        *moved = said; /* told once it is clear that the node starts */
        return HM_OK;
    case STORE_REFUSED:
        *why = said;
        return HM_EIO;
    case STORE_SOUND:
        break;
    }
    return HM_OK;
}

/* What lies there without the file that belongs to it: something was lost, and is made anew. */
static void warn_of_losses(struct meshd *m)
{
    if (m->is_renewed) {
        log_line(m->log, NOTE_WARN, LOG_FIELDS({"path", m->paths.identity}),
                 "there was a store but no identity: this is a new node now, and the one it was "
                 "stays on the others' lists; restore the identity from a backup to be that one");
    }
    if (m->rekey.is_ring_lost) {
        log_line(m->log, NOTE_WARN, LOG_FIELDS({"path", m->paths.ring}),
                 "there are other members on the roster but there was no mesh key: a new one was "
                 "made, which they do not have; stop this node and copy the file from one of "
                 "them, or start it with a token of theirs (meshctl token)");
    }
}

/* What happened to the mesh's key. */
static void tell_of_key(struct meshd *m)
{
    const struct rekey *rekey = &m->rekey;
    if (rekey->kept[0] != '\0') {
        log_line(m->log, NOTE_WARN, LOG_FIELDS({"path", m->paths.ring}, {"kept", rekey->kept}),
                 "this node had no other members: it has taken the token's mesh key in place of "
                 "its own, which is kept");
    }
    if (rekey->shared_with[0] != '\0') {
        log_line(m->log, NOTE_WARN,
                 LOG_FIELDS({"path", m->paths.ring}, {"mesh", rekey->shared_with},
                            {"dir", rekey->shared_at}),
                 "two meshes share one key here, so a token of one lets its holder into the other: "
                 "give one of them a key of its own with --key-file=F");
    }
}

/* At info: the mesh, where things are, and what was made because there was none. */
static void tell_of_start(struct meshd *m)
{
    if (m->is_new) {
        log_line(m->log, NOTE_INFO, LOG_FIELDS({"path", m->paths.identity}),
                 "a new node: its identity was made");
    }
    if (m->rekey.is_ring_made) {
        log_line(m->log, NOTE_INFO, LOG_FIELDS({"path", m->paths.ring}), "%s",
                 m->has_token ? "the mesh key was taken from the token"
                              : "a new mesh key was made: `meshctl token` lets others in");
    }
    log_line(
        m->log, NOTE_INFO,
        LOG_FIELDS({"mesh", m->conf.mesh}, {"dir", m->paths.data_dir}, {"socket", m->paths.socket}),
        "starting");
}

static void warn(struct meshd *m, const struct why *moved)
{
    warn_of_losses(m);
    tell_of_key(m);
    if (m->paths.runtime_link[0] == '\0') {
        log_line(m->log, NOTE_WARN, NULL, "%s; meshctl finds this node only with --data-dir=%s",
                 m->paths.unfindable.text, m->paths.data_dir);
    }
    if (m->conf.warning[0] != '\0') {
        log_line(m->log, NOTE_WARN, NULL, "%s", m->conf.warning);
    }
    if (moved->text[0] != '\0') {
        log_line(m->log, NOTE_WARN, NULL, "%s", moved->text);
        m->store_moved = *moved;
    }
    if (m->conf.token_from_argv) {
        log_line(m->log, NOTE_WARN, NULL,
                 "the token was given on the command line, where other users of this machine can "
                 "see it; "
                 "use --token=- or MESHD_TOKEN");
    }
    if (m->conf.token_from_file && file_is_exposed(m->conf.file)) {
        log_line(m->log, NOTE_WARN, LOG_FIELDS({"path", m->conf.file}),
                 "others may read the token in the configuration file: give it in a file of its "
                 "own with token-file, or chmod 600 this one");
    }
    const char *files[] = {m->paths.identity, m->paths.ring};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (file_is_exposed(files[i])) {
            log_line(m->log, NOTE_WARN, LOG_FIELDS({"path", files[i]}),
                     "others may read or write this secret: chmod 600 it");
        }
    }
}

/* Everything before the first thread. */
static int prepare(struct meshd *m, struct why *moved, struct why *why)
{
    int rc = meshd_token_take(&m->conf, &m->token, &m->has_token, why);
    hold_reload();
    if (rc == HM_OK) {
        rc = paths_init(&m->paths, &m->conf, why);
    }
    if (rc == HM_OK) {
        rc = paths_lock(&m->paths, why);
    }
    if (rc == HM_OK) {
        rc = mesh_file_claim(m->paths.data_dir, m->conf.mesh, why);
    }
    if (rc == HM_OK) {
        m->is_new = access(m->paths.identity, F_OK) != 0;
        m->is_renewed = m->is_new && store_is_there(m->paths.data_dir);
        rc = keys_new(m->conf.mesh, m->paths.identity, &m->keys, why);
    }
    if (rc == HM_OK) {
        rc = check_store(m, moved, why);
    }
    if (rc == HM_OK) {
        rc = open_signals(m, why);
    }
    return rc;
}

static int start(struct meshd *m, struct why *why)
{
    struct ops_env env = {
        .token = issue_token, .peer = show_peer, .facts = show_facts, .measure = measure,
        .store = show_store, .store_work = begin_store_work, .gauges = show_gauges, .ctx = m};
    env.limits = driver_limits(&env.limit_count);
    int rc = store_open(m->paths.data_dir, &m->store, why);
    if (rc == HM_OK) {
        rc = rekey_open_ring(&m->paths, m->keys, m->store, m->has_token ? m->token.key : NULL,
                             &m->rekey, why);
    }
    if (rc == HM_OK) {
        rc = paths_publish(&m->paths, keys_id(m->keys), &m->conf, why);
    }
    if (rc != HM_OK) {
        return rc;
    }
    collect_joins(m);
    detect_labels(&m->conf, &m->detect);
    ops_init(&m->ops, &env);
    struct netif_wish netif = {.bind = m->conf.bind, .named_count = m->conf.interface_count};
    _Static_assert(sizeof netif.named == sizeof m->conf.interfaces, "the same names");
    memcpy(netif.named, m->conf.interfaces, sizeof netif.named);
    struct driver_conf conf = {.mesh = m->conf.mesh,
                               .name = m->conf.name,
                               .name_given = m->conf.name_given,
                               .version = PACKAGE_VERSION,
                               .is_founder = m->rekey.is_ring_made && !m->has_token,
                               .socket_path = m->paths.socket,
                               .store = m->store,
                               .keys = m->keys,
                               .log = m->log,
                               .netif = netif,
                               .beacon_port = m->conf.beacon_port,
                               .joins = m->joins,
                               .join_count = m->join_count,
                               .labels = m->detect.labels,
                               .label_count = m->detect.count,
                               .calls = &m->ops.handler};
    rc = driver_new(&conf, &m->driver, why);
    if (rc != HM_OK) {
        return rc;
    }
    m->store = NULL; /* the driver's now */
    if (driver_watch_fd(m->driver, m->signal_fd, read_signal, m) != HM_OK) {
        return why_set(why, HM_ENOMEM, "cannot start: out of memory");
    }
    return paths_let_group_in(&m->paths, why);
}

static int run(struct meshd *m)
{
    struct why why = {""};
    struct why moved = {""};
    int rc = prepare(m, &moved, &why);
    if (rc == HM_OK) {
        rc = start(m, &why);
    }
    if (rc != HM_OK) {
        log_line(m->log, NOTE_ERROR, NULL, "%s", why.text[0] != '\0' ? why.text : hm_strerror(rc));
        return EXIT_REFUSED;
    }
    tell_of_start(m);
    warn(m, &moved);
    if (log_start(m->log) != HM_OK) {
        log_line(m->log, NOTE_WARN, NULL,
                 "no thread for the log: a stuck stderr would stop this node");
    }
    m->reload.conf = &m->conf;
    m->reload.ret_error = &m->config_error;
    m->reload.log = m->log;
    m->reload.driver = m->driver;
    m->reload.more_joins = m->token_joins;
    m->reload.more_join_count = m->token_join_count;
    service_started(&m->service, m->driver);
    services_files_start(&m->services, m->driver, &m->conf, m->log);
    int code = driver_run(m->driver);
    service_stopping(&m->service); /* also after `meshctl leave` */
    return code;
}

static void finish(struct meshd *m)
{
    driver_destroy(&m->driver);
    services_files_fini(&m->services);
    service_fini(&m->service);
    if (m->store != NULL) {
        store_close(&m->store);
    }
    paths_fini(&m->paths);
    keys_destroy(&m->keys);
    token_wipe(&m->token);
    if (m->signal_fd >= 0) {
        close(m->signal_fd);
    }
    log_destroy(&m->log);
}

int main(int argc, char **argv)
{
    static struct meshd m; /* 100 KiB: rather not on the stack */
    struct why why = {""};
    cmd_hold_fds();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow (ulimit -f) is a full disk, not our end */
    umask(077);
    m.signal_fd = -1;
    m.paths.lock_fd = m.paths.dir_fd = -1;
    m.service.notify.fd = -1;
    if (conf_parse(argc, argv, environ, &m.conf, &why) != HM_OK) {
        fprintf(stderr, "meshd: %s\n", why.text);
        return EXIT_USAGE;
    }
    if (m.conf.want_help) {
        conf_help(stdout);
        return 0;
    }
    if (m.conf.want_print || m.conf.want_check) {
        return meshd_show(&m.conf);
    }
    if (m.conf.want_new_identity) {
        return meshd_new_identity(&m.conf);
    }
    if (sodium_init() < 0) {
        fprintf(stderr,
                "meshd: libsodium does not start: is there a random source (/dev/urandom)?\n");
        return EXIT_REFUSED;
    }
    if (m.conf.want_version) {
        print_version();
        return 0;
    }
    if (libzmq_is_old()) {
        fprintf(stderr, "meshd: this libzmq has holes that strangers can use (meshd --version says "
                        "which it is): install 4.3.2 or newer\n");
        return EXIT_REFUSED;
    }
    meshd_token_wipe_given(argc, argv);
    service_init(&m.service);
    m.reload.argc = argc;
    m.reload.argv = argv;
    if (!raise_descriptor_limit()) {
        return EXIT_REFUSED;
    }
    struct log_conf log = {.fd = STDERR_FILENO,
                           .format = m.conf.log_format,
                           .level = m.conf.log_level,
                           .node = m.conf.name};
    m.log = log_new(&log);
    int code = m.log != NULL ? run(&m) : EXIT_REFUSED;
    finish(&m);
    return code;
}
