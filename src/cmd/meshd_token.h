/* SPDX-License-Identifier: MPL-2.0 */
/* The token that meshd is started with: by flag, variable or configuration, on standard input, or in
 * a file. It is a secret: wiped wherever it was, once it has been taken. */
#ifndef HM_CMD_MESHD_TOKEN_H
#define HM_CMD_MESHD_TOKEN_H

#include "io/conf.h"
#include "io/keys.h"

#include <stdbool.h>

/* Takes it from where conf says, and out of conf. *ret_has: there is one. HM_EINVAL: it is none, or of
 * another mesh; HM_EIO and others: its file cannot be read. */
int meshd_token_take(struct conf *conf, struct token *ret_token, bool *ret_has, struct why *why);

/* What a process was started with stays readable in /proc/PID/environ and cmdline after unsetenv:
 * the token is overwritten there. */
void meshd_token_wipe_given(int argc, char **argv);

#endif
