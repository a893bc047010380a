/* SPDX-License-Identifier: MPL-2.0 */
/* A program that keeps a configuration value: it has the value at its start, and every change of it at once,
 * from whichever machine it comes. Try it:
 *
 *   cc watch-config.c $(pkg-config --cflags --libs homemesh) -o watch-config
 *   ./watch-config app/greeting &
 *   meshctl kv put app/greeting "good morning"
 *
 * It runs until it is stopped, and through restarts of meshd. */
#include <homemesh.h>

#include <stdio.h>
#include <string.h>

static void changed(void *ctx, const struct hm_change *change)
{
    const char *key = ctx;
    if (change->op == HM_SYNCED) {
        printf("up to date\n");
    } else if (strcmp(change->entry->key, key) != 0) {
        return; /* another key that begins so */
    } else if (change->op == HM_PUT) {
        printf("%s is \"%s\" (by %s)\n", key, (const char *) change->entry->value.data,
               change->entry->origin);
    } else {
        printf("%s is not set\n", key);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct hm_conf conf = {.socket = argc > 2 ? argv[2] : NULL, .may_lack = true};
    char why[HM_WHY_BYTES];
    hm_t *hm = NULL;
    hm_watch_t *watch = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: watch-config KEY [SOCKET]\n");
        return 2;
    }
    if (hm_open(&conf, &hm, why) != HM_OK) {
        fprintf(stderr, "watch-config: %s\n", why);
        return 1;
    }
    int code = hm_watch(hm, argv[1], changed, argv[1], &watch);
    while (code == HM_OK) {
        code = hm_dispatch(hm, -1); /* or: poll hm_fd(hm) with the descriptors of your own */
    }
    fprintf(stderr, "watch-config: %s\n", hm_why(hm));
    hm_close(&hm);
    return 1;
}
