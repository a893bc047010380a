/* SPDX-License-Identifier: MPL-2.0 */
/* Whether threads can be had: see threads.h. They wait at a gate until the last one has started. */
#define _GNU_SOURCE
#include "io/threads.h"

#include "base/err.h"

#include <pthread.h>

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
