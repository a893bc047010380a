/* SPDX-License-Identifier: MPL-2.0 */
/* Starting threads, and whether they can be had. libzmq ends the process when one of its threads does not start: who
 * is about to make some asks here first, while a line can still say what is wrong. */
#ifndef HM_IO_THREADS_H
#define HM_IO_THREADS_H

#include <pthread.h>
#include <stddef.h>

#define THREADS_ASKED_MAX 16

/* Starts so many threads at one time, of the usual size, and ends them. 0, or the errno of the one that
 * did not start. Signals are as the caller has them. */
int threads_can_start(size_t count);

/* Starts one that takes no signals, under that name (15 bytes at most; NULL, as for a detached one, which may have
 * ended by then: the process's). attr NULL: an ordinary one, to be joined. 0 or errno. */
int threads_start(pthread_t *ret_thread, const pthread_attr_t *attr, const char *name, void *(*run)(void *arg),
                  void *arg);

#endif
