/* SPDX-License-Identifier: MPL-2.0 */
/* What commands that never end have in common: they ask again and again, outlive the daemon they ask, and
 * end when nobody reads what they print. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "base/err.h"
#include "client/client.h"

#include <poll.h>
#include <unistd.h>

#define RETRY_MS 200 /* between two tries to reach a daemon that is gone */

bool ctl_is_unread(int wait_ms)
{
    struct pollfd pfd = {.fd = STDOUT_FILENO, .events = 0};
    return poll(&pfd, 1, wait_ms) > 0 && (pfd.revents & POLLERR) != 0;
}

/* Until the daemon is back. False: nobody reads us any more. */
static bool reconnect(struct ctl *ctl)
{
    ctl_disconnect(ctl);
    do {
        if (ctl_is_unread(RETRY_MS)) {
            return false;
        }
    } while (ctl_connect(ctl, true) != EXIT_DONE);
    client_watch_output(ctl->client, STDOUT_FILENO);
    return true;
}

static bool is_worth_waiting(int code)
{
    return code == HM_EUNREACHABLE || code == HM_ETIMEDOUT || code == HM_EBUSY;
}

int ctl_keep_asking(struct ctl *ctl, ctl_once_fn *once, void *ctx)
{
    bool has_answered = false;
    bool was_lost = false;
    client_watch_output(ctl->client, STDOUT_FILENO);
    for (;;) {
        char why[256] = "";
        int code = once(ctx, why);
        if (code == HM_OK) {
            if (was_lost) {
                ctl_error("it answers again");
            }
            has_answered = true;
            was_lost = false;
            continue;
        }
        if (code == HM_EIO && ctl_is_unread(0)) {
            return EXIT_REFUSED;
        }
        if (!has_answered || !is_worth_waiting(code)) {
            return ctl_failed(ctl, code, why);
        }
        if (!was_lost) {
            ctl_error("%s%s", why,
                      why[0] != '\0' ? "; trying again"
                                     : "meshd is gone; waiting for it to come back");
            was_lost = true;
        }
        if (!reconnect(ctl)) {
            return EXIT_REFUSED;
        }
    }
}
