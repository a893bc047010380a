/* SPDX-License-Identifier: MPL-2.0 */
/* libhomemesh: what a program needs of the mesh, through the meshd of its machine.
 *
 * A handle (hm_t) is one connection to a meshd. Keys and values are read and written, a part of them is
 * watched, services are registered and found. What a program asks is answered by its own machine's copy of
 * the registry: reads cost microseconds, and work while the network is down.
 *
 * Two ways to use it, also both at once:
 *
 *   - waiting: hm_get and its like ask, wait at most their timeout, and return the answer;
 *   - event loop: hm_get_start and its like return at once; poll hm_fd for reading (it never needs to be
 *     polled for writing), and call hm_dispatch when it is readable: it calls your functions. Any number of
 *     calls may be under way; they travel together and are answered in any order.
 *
 * Connection. When meshd ends or restarts, the handle connects again by itself. A call that was not sent yet
 * waits for that, within its deadline; a read that was under way is asked again; a write that was under way
 * fails with HM_EUNREACHABLE, and may or may not have been done. Watches go on without a gap. Registered
 * services are registered again.
 *
 * Threads. A handle belongs to one thread at a time: it may be handed on, but two threads never use one
 * handle at the same time, and callbacks run in the thread that calls hm_dispatch or a function that waits.
 * Handles are independent of each other: a thread of its own takes a handle of its own. There is no global
 * state, nothing is to be initialised, and no thread is started.
 *
 * Callbacks. They are called only from within hm_dispatch and the functions that wait, never from *_start.
 * They may start calls, cancel, watch and end watches; they must not call hm_close, hm_dispatch or a function
 * that waits (HM_EBUSY), and must not throw C++ exceptions or longjmp out.
 *
 * Ownership. What you pass is copied before the function returns. What is handed to you is borrowed: in a
 * callback until it returns, from a function that waits until the next call on the handle. Texts end with NUL.
 * `x **p` parameters are taken and set to NULL.
 *
 * Errors. Functions return HM_OK (0) or one of the negative codes below, and leave what they return through
 * pointers untouched on failure. hm_why says in words what was wrong. Nothing is printed, nothing aborts,
 * whatever meshd sends.
 *
 * fork and signals. Descriptors are closed on exec. In a child after fork only hm_close may be called on the
 * parent's handles: it frees memory and does not disturb the parent. SIGPIPE is not raised. A signal does
 * not end a wait; a handler must not call this library.
 *
 * Every function that waits can also return: HM_ETIMEDOUT (not answered in time), HM_EUNREACHABLE (no meshd, or
 * it ended while writing), HM_EBUSY (called from a callback, or more is under way at that meshd than may be: try
 * again), HM_EDENIED (the socket is another user's), HM_ENOMEM, HM_EIO, HM_EMALFORMED (what came makes no
 * sense: another version?), HM_EVERSION. These are not named again below. */
#ifndef HOMEMESH_H
#define HOMEMESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HM_API __attribute__((visibility("default")))

/* ---- results --------------------------------------------------------------------------------- */

#ifndef HM_BASE_ERR_H /* homemesh's own sources have the same list from there */
enum hm_err {
    HM_OK = 0,
    HM_EMALFORMED = -1,    /* bytes that make no sense */
    HM_EFULL = -2,         /* a limit is reached; hm_why names it */
    HM_ESTALE = -3,        /* if_version does not hold (any more) */
    HM_EDENIED = -4,       /* not allowed */
    HM_ENOTFOUND = -5,     /* no such thing */
    HM_ETIMEDOUT = -6,     /* not in time */
    HM_ENOMEM = -7,        /* out of memory, here or there */
    HM_EINVAL = -8,        /* an argument that cannot be */
    HM_EIO = -9,           /* a system call or a disk failed */
    HM_EEXIST = -10,       /* is there already, as something else */
    HM_EBUSY = -11,        /* in use; try again */
    HM_EUNREACHABLE = -12, /* nobody answers there */
    HM_EVERSION = -13,     /* another version of the protocol */
    HM_EAMBIGUOUS = -14    /* several things are meant by it */
};
#endif

/* The text of a code, for a log: never NULL, static storage. */
HM_API const char *hm_strerror(int code);

/* ---- the handle ------------------------------------------------------------------------------ */

typedef struct hm hm_t;

#define HM_WHY_BYTES 256

struct hm_conf {
    const char *socket;    /* path of meshd's socket; NULL: found as below */
    const char *data_dir;  /* of the meshd to ask; NULL: the only one that this user may ask */
    unsigned timeout_ms;   /* of calls that give 0; 0 here: 5000. At most 600000 */
    bool may_lack;         /* hm_open succeeds though no meshd is there yet */
    uint64_t reserved[6];  /* zeros */
};

/* Connects: waits at most conf->timeout_ms. conf NULL: all zeros. why (may be NULL) gets a sentence on
 * failure. HM_EUNREACHABLE: no meshd runs here or there; HM_EAMBIGUOUS: several do, why lists them; HM_EDENIED:
 * its socket is closed to this user; HM_EINVAL: a path that is too long, or a timeout.
 * With may_lack only HM_EINVAL and HM_ENOMEM are left: the handle goes on looking for a meshd. */
HM_API int hm_open(const struct hm_conf *conf, hm_t **ret_hm, char why[HM_WHY_BYTES]);

/* Ends watches and calls (their functions are not called any more) and frees all. Registered services are not
 * deregistered: their TTL ends them, unless another process goes on refreshing. *p may be NULL. Not from a callback. */
HM_API void hm_close(hm_t **p);

/* What was wrong with the last call that failed on this handle; "" if none did. Borrowed until the next. */
HM_API const char *hm_why(const hm_t *hm);

/* True while connected. The path of the socket in use, "" before it is known. */
HM_API bool hm_is_connected(const hm_t *hm);
HM_API const char *hm_socket(const hm_t *hm);

/* The descriptor to poll for reading; the same for the handle's life. Not to be read, closed or put to other
 * use. */
HM_API int hm_fd(const hm_t *hm);

/* Does all that is ready: sends, receives, connects again, refreshes services, calls callbacks. Waits until
 * something is ready, at most timeout_ms: 0 not at all, negative for ever. HM_OK also when nothing was. HM_EBUSY:
 * from a callback; HM_EIO, HM_ENOMEM. */
HM_API int hm_dispatch(hm_t *hm, int timeout_ms);

/* ---- keys and values ------------------------------------------------------------------------- */

enum hm_type {
    HM_REGISTER = 1, /* one value; of concurrent writes one is shown, the others are kept as conflicts */
    HM_SET = 2,      /* elements; adding wins over taking out at the same time */
    HM_COUNTER = 3   /* a sum that everybody adds to */
};

struct hm_bytes {
    const void *data; /* a NUL follows, which size does not count */
    size_t size;
};

#define HM_VERSION_BYTES 25 /* with its NUL */

struct hm_entry {
    const char *key;
    enum hm_type type;
    struct hm_bytes value;           /* a register's; a counter's sum as decimal text; of a set empty */
    const struct hm_bytes *elements; /* a set's, in the order of their bytes */
    size_t element_count;
    bool is_cut;           /* the set has more elements than fit */
    const char *version;   /* opaque; another one after each write */
    const char *origin;    /* name, or id, of the node that wrote it */
    uint64_t modified_ms;  /* by that node's clock, since 1970 */
    unsigned conflicts;    /* other values beside the shown one */
};

/* key: 1 to 512 bytes of UTF-8 without control characters. timeout_ms: 0: the handle's.
 * HM_ENOTFOUND: no such key; HM_EINVAL: no key can be so. */
HM_API int hm_get(hm_t *hm, const char *key, unsigned timeout_ms, const struct hm_entry **ret_entry);

struct hm_put {
    enum hm_type type;      /* 0: HM_REGISTER. The value is added to a set or a counter */
    const char *if_version; /* registers: only if it has this version here now, or "absent"; NULL: in any case */
    uint64_t reserved[2];   /* zeros */
};

/* HM_OK: the value is on the disk of this node. how: NULL: all zeros. A value has at most 1 MiB; to a counter
 * it is a decimal number, such as "-5". ret_version (may be NULL): of this write.
 * HM_ESTALE: if_version does not hold; HM_EEXIST: the key is of another type; HM_EFULL: too large, or the
 * mesh is full; HM_EINVAL. */
HM_API int hm_put(hm_t *hm, const char *key, const void *value, size_t value_bytes,
                  const struct hm_put *how, unsigned timeout_ms,
                  char ret_version[HM_VERSION_BYTES]);

/* element (NULL: the whole key): takes only this one out of a set. if_version as in hm_put, without "absent".
 * HM_ENOTFOUND, HM_ESTALE, HM_EINVAL. */
HM_API int hm_delete(hm_t *hm, const char *key, const struct hm_bytes *element,
                     const char *if_version, unsigned timeout_ms);

/* Calls each(ctx, entry) for every key that begins with prefix ("" all), in the order of their bytes, while it
 * returns true. Each page of them has the timeout. each runs as a callback. HM_EINVAL. */
typedef bool hm_each_fn(void *ctx, const struct hm_entry *entry);
HM_API int hm_list(hm_t *hm, const char *prefix, unsigned timeout_ms, hm_each_fn *each, void *ctx);

/* ---- the same for event loops ---------------------------------------------------------------- */

struct hm_reply {
    int code;                     /* as the function that waits would return */
    const char *why;              /* what was wrong; "" if nothing was */
    const struct hm_entry *entry; /* of get: what is there; of put: version alone; else, and on failure, NULL */
};

/* Called once for every call that was started and not cancelled. */
typedef void hm_reply_fn(void *ctx, const struct hm_reply *reply);

/* Arguments as above. ret_call (may be NULL) names the call. HM_EFULL: 65,536 calls are under way; HM_EINVAL:
 * a key or a value is too large; HM_ENOMEM. What else can be wrong comes with the reply. */
HM_API int hm_get_start(hm_t *hm, const char *key, unsigned timeout_ms, hm_reply_fn *done, void *ctx,
                        uint64_t *ret_call);
HM_API int hm_put_start(hm_t *hm, const char *key, const void *value, size_t value_bytes,
                        const struct hm_put *how, unsigned timeout_ms, hm_reply_fn *done, void *ctx,
                        uint64_t *ret_call);
HM_API int hm_delete_start(hm_t *hm, const char *key, const struct hm_bytes *element,
                           const char *if_version, unsigned timeout_ms, hm_reply_fn *done,
                           void *ctx, uint64_t *ret_call);

/* The function of that call is not called any more; what it asks for may be done nevertheless.
 * HM_ENOTFOUND: it is over. */
HM_API int hm_cancel(hm_t *hm, uint64_t call);

/* ---- watching -------------------------------------------------------------------------------- */

typedef struct hm_watch hm_watch_t;

enum hm_op {
    HM_PUT = 1,    /* entry is what the key has now */
    HM_DELETE = 2, /* entry->key is gone; of the rest nothing may be known */
    HM_SYNCED = 3  /* entry is NULL: all there is has been told, what comes now are changes */
};

struct hm_change {
    enum hm_op op;
    const struct hm_entry *entry;
};
typedef void hm_change_fn(void *ctx, const struct hm_change *change);

/* Tells the keys that begin with prefix ("": all) as they are (HM_PUT for each, then HM_SYNCED), then every
 * change, from any node, as it reaches this one. Nothing is left out and nothing is told twice: after meshd was
 * away, what differs is told, and HM_SYNCED again. Of several writes in quick succession while it was away only
 * the last is told. Works also before a meshd is there. Needs hm_dispatch, or functions that wait.
 * HM_EFULL: the handle has 64 watches already; HM_EINVAL, HM_ENOMEM. */
HM_API int hm_watch(hm_t *hm, const char *prefix, hm_change_fn *changed, void *ctx,
                    hm_watch_t **ret_watch);
/* Its function is not called any more. *p may be NULL. Before hm_close of its handle, which ends all. */
HM_API void hm_unwatch(hm_watch_t **p);

/* ---- services -------------------------------------------------------------------------------- */

struct hm_pair {
    const char *key;
    const char *value;
};

enum hm_health { HM_PASSING = 1, HM_WARNING = 2, HM_CRITICAL = 3 };

struct hm_service_conf {
    const char *name;    /* as a host name: what it is found by. Required */
    unsigned port;       /* 1 to 65535. Required */
    const char *id;      /* tells it from others of this node; NULL: the name, or name-port */
    const char *address; /* NULL: the node's, also when that changes */
    const char *version; /* NULL: none */
    const char *const *tags;
    size_t tag_count;
    const struct hm_pair *meta;
    size_t meta_count;
    unsigned ttl_ms;      /* at least 1000. 0: 10000 */
    uint64_t reserved[4]; /* zeros */
};

typedef struct hm_registered hm_registered_t;

/* Registers a service of this node, which all nodes find then, and keeps its TTL up: three times in each TTL it
 * is refreshed, and it is registered again after meshd was away. That happens in hm_dispatch and in functions that
 * wait, on the calling thread, so it also says that the program is not stuck. A program that waits elsewhere for
 * longer than a third of the TTL runs hm_dispatch(hm, -1) for a handle of its own in a thread of its own.
 * HM_EINVAL, HM_EEXIST: the id belongs to something else; HM_EFULL. */
HM_API int hm_register(hm_t *hm, const struct hm_service_conf *conf, unsigned timeout_ms,
                       hm_registered_t **ret_registered);
/* Its id. Borrowed for its life. */
HM_API const char *hm_registered_id(const hm_registered_t *registered);
/* Says how it is, now and with each refresh; text (may be NULL) for people: at most 255 bytes are kept, and line
 * breaks, control characters and bytes that are not UTF-8 become blanks. Does not wait. HM_EINVAL. */
HM_API int hm_check(hm_registered_t *registered, enum hm_health health, const char *text);
/* Takes it away and ends the refreshing; the latter in any case. *p may be NULL. HM_ENOTFOUND: it was not there
 * any more. */
HM_API int hm_deregister(hm_registered_t **p, unsigned timeout_ms);

struct hm_service {
    const char *id;
    const char *name;
    const char *version; /* "": none */
    const char *address; /* an IP address or a host name */
    unsigned port;
    const struct hm_bytes *tags;
    size_t tag_count;
    const struct hm_pair *meta;
    size_t meta_count;
    const char *node; /* name of the node that has it */
    enum hm_health health;
};

/* NULL and 0 in any of them: all. */
struct hm_filter {
    const char *name;
    const char *tag;
    const char *version;
    const char *node;
    enum hm_health health;
    const char *near; /* a node: those with the shortest round trip to it first */
    uint64_t reserved[4];
};

/* Calls each(ctx, service) for the services of all nodes that are alive and match (filter NULL: all), while it
 * returns true. each runs as a callback. HM_ENOTFOUND, HM_EAMBIGUOUS: of node and near; HM_EINVAL. */
typedef bool hm_found_fn(void *ctx, const struct hm_service *service);
HM_API int hm_find(hm_t *hm, const struct hm_filter *filter, unsigned timeout_ms, hm_found_fn *each,
                   void *ctx);

#ifdef __cplusplus
}
#endif
#endif
