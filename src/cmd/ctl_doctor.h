/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl doctor: what is wrong, and what to do about it.
 *
 *     ctl_doctor.c        asks, prints, decides the exit code
 *     ctl_doctor_nodes.c  who is there, and does everybody see the same
 *     ctl_doctor_try.c    a TCP connect to who did not answer
 *     ctl_doctor_mesh.c   what all replies together tell: identities, clocks, versions
 *     ctl_doctor_reach.c  who hears whom, by UDP and by broadcast
 *     ctl_doctor_loss.c   how much is lost, and do large datagrams pass
 *     ctl_doctor_local.c  what can be seen while the daemon does not answer */
#ifndef HM_CMD_CTL_DOCTOR_H
#define HM_CMD_CTL_DOCTOR_H

#include "cmd/ctl_all.h"

#define DOCTOR_NAMES_BYTES 256

/* Adds {check, status, node, text, fix}. status: "ok", "warn", "fail"; node NULL: the mesh; fix NULL:
 * nothing to do. */
void doctor_say(json_t *lines, const char *check, const char *status, const char *node,
                const char *fix, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Appends ", name", or the name alone to an empty text. */
void doctor_add_name(char names[DOCTOR_NAMES_BYTES], const char *name);
/* What the one's reply says about the other; NULL: nothing. */
const json_t *doctor_pair(const struct ctl_node *from, const struct ctl_node *to);
/* Did its reply come? */
bool doctor_has_answered(const struct ctl_node *node);
/* The object of a list in a reply whose id is that node's; NULL: none. */
const json_t *doctor_about(const json_t *list, const struct ctl_node *node);
/* The node's address without its port; returns text. */
const char *doctor_ip_of(const struct ctl_node *node, char text[64]);

/* Tries to connect to each node without a reply, and sets its `tried`. Takes 1.3 s at most. */
void doctor_try(struct ctl_all *all);
/* Adds who is there, who is not, and about whom nodes differ. */
void doctor_nodes(json_t *lines, const struct ctl_all *all);
/* Adds what is lost between nodes, where more is than should be. */
void doctor_loss(json_t *lines, const struct ctl_all *all);
/* Do small datagrams arrive between the two and large ones not? */
bool doctor_loses_large(const struct ctl_node *a, const struct ctl_node *b);
/* Is much lost between the two? */
bool doctor_loses(const struct ctl_node *a, const struct ctl_node *b);
/* Adds who does not hear whom. since_ms (ctl_now_ms): when nodes first knocked. */
void doctor_reach(json_t *lines, const struct ctl_all *all, uint64_t since_ms);
/* The same of beacons. */
void doctor_broadcast(json_t *lines, const struct ctl_all *all, uint64_t since_ms);
/* Adds what all replies together say, that among it. */
void doctor_mesh(json_t *lines, const struct ctl_all *all, uint64_t since_ms);
/* Who hears whom by UDP as a table, for a person; nothing if all do or nobody can tell. */
void doctor_print_matrix(struct out *out, const struct ctl_all *all, uint64_t since_ms);

/* Adds what this machine shows of its nodes and of why their daemon does not answer. */
void doctor_local(json_t *lines, const struct ctl *ctl);

/* The command without --all; returns an exit code. */
int ctl_doctor(const struct ctl_opts *opts, struct out *out);
/* Prints lines; also those of one node's reply. */
void ctl_print_doctor(struct out *out, const json_t *lines);
/* EXIT_DONE, or EXIT_REFUSED if a line says "fail". */
int ctl_doctor_exit(const json_t *lines);

#endif
