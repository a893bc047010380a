/* SPDX-License-Identifier: MPL-2.0 */
/* Services: entries svc/NODE/ID that their node writes, and that count only while it is a member in good
 * standing.
 *
 * Nothing is written when a node fails or returns: whoever asks looks at the member list, so a service is
 * gone from every answer the moment its node is. A service with a TTL is refreshed at the node that has
 * it, and only that node's clock counts. What was registered is on disk; when a service was last refreshed
 * is not, so after a restart each has a whole TTL. Refreshing writes nothing: memory cards are spared. */
#ifndef HM_CORE_SERVICE_H
#define HM_CORE_SERVICE_H

#include "core/core.h"
#include "wire/svc_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- reading ---- */

struct service_view {
    struct node_id node;
    struct svc svc;        /* borrowed until the registry changes or the step ends */
    struct dot dot;
    uint64_t wall_ms;      /* when it was written, for display */
};

/* Walks the services that count, by node and id. Start zeroed, or with `only` set: those of one node. */
struct service_walk {
    struct node_id only;
    uint8_t at[ENTRY_RECORD_BYTES_MAX];
    size_t at_bytes;
    struct node_id node; /* of the last one, and whether it counts */
    bool is_up;
};
bool core_service_next(core_t *core, struct service_walk *walk, struct service_view *ret_view);
/* One service. HM_ENOTFOUND: it is not there, or its node is not. */
int core_service_get(core_t *core, const struct node_id *node, struct span id,
                     struct service_view *ret_view);

/* Inside the core: the service that is shown of a key, if it reads and is what its key says (HM_ENOTFOUND), and
 * the next key with a prefix, each once however many entries it has. */
int service_read(registry_t *r, enum registry_look look, struct span key,
                 struct service_view *ret_view);
bool service_next_key(registry_t *r, enum registry_look look, struct span prefix,
                      struct service_walk *walk, uint8_t ret_key[HM_KEY_BYTES_MAX],
                      size_t *ret_size);

/* ---- this node's own ---- */

/* Each returns HM_OK with a ticket for core_write_fate, 0 if nothing had to be written and all of it is
 * durable. HM_EBUSY: starting, leaving, standing aside, or the disk is behind; HM_EFULL; HM_ENOMEM. */

/* Registers, or refreshes. The health that a check gave stays; one that was critical for not being
 * refreshed passes again. HM_EEXIST: a file has registered this id; HM_EFULL: too many. */
int core_service_register(core_t *core, const struct svc *s, uint64_t *ret_ticket);
/* The id for a service that was given none: the one that this node's service of the same name and port has,
 * else the name, else, if that is taken, name-port. Lives in text. */
struct span core_service_id(core_t *core, const struct svc *s,
                            char text[HM_SERVICE_ID_BYTES_MAX + 1]);
/* HM_ENOTFOUND; HM_EEXIST: a file has registered it; HM_ESTALE: this node is syncing. */
int core_service_deregister(core_t *core, struct span id, uint64_t *ret_ticket);
/* What a check says of it; refreshes it. A new text alone is written at most once a minute.
 * HM_ENOTFOUND. */
int core_service_check(core_t *core, struct span id, enum svc_health health, struct span text,
                       uint64_t *ret_ticket);
/* The file that has registered it, as its name; "": none has. */
struct span core_service_file(core_t *core, struct span id);

#endif
