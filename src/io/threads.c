/* SPDX-License-Identifier: MPL-2.0 */
/* Starting threads: see threads.h. Those that are only tried wait at a gate until the last one has started. */
#define _GNU_SOURCE
#include "io/threads.h"

#include "base/err.h"

#include <pthread.h>
#include <signal.h>

static void *pass(void *arg)
{
    pthread_mutex_t *gate = arg;
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

int threads_can_start(size_t count)
{
    pthread_t threads[THREADS_ASKED_MAX];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    size_t started = 0;
    int rc = 0;
    HM_ASSERT(count <= THREADS_ASKED_MAX);
    pthread_mutex_lock(&gate);
    while (rc == 0 && started < count) {
        rc = pthread_create(&threads[started], NULL, pass, &gate);
        started += rc == 0;
    }
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&gate);
    return rc;
}

int threads_start(pthread_t *ret_thread, const pthread_attr_t *attr, const char *name, void *(*run)(void *arg),
                  void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* it inherits that */
    int rc = pthread_create(ret_thread, attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0 && name != NULL) {
        (void) pthread_setname_np(*ret_thread, name); /* for who looks with top -H */
    }
    return rc;
}
