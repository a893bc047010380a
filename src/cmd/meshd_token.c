/* SPDX-License-Identifier: MPL-2.0 */
/* The token that meshd is started with: see meshd_token.h. */
#define _GNU_SOURCE
#include "cmd/meshd_token.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the first line of standard input. */
static int read_stdin_line(char *text, size_t max, struct why *why)
{
    size_t size = 0;
    char *end = NULL;
    while (end == NULL && size < max - 1) {
        ssize_t n = read(STDIN_FILENO, text + size, max - 1 - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        end = memchr(text + size, '\n', (size_t) n);
        size += (size_t) n;
    }
    text[end != NULL ? (size_t) (end - text) : size] = '\0';
    if (size == 0) {
        return why_set(why, HM_EINVAL, "--token=-: no token came on standard input");
    }
    return HM_OK;
}

void meshd_token_wipe_given(int argc, char **argv)
{
    static const char flag[] = "--token=";
    char *given = getenv("MESHD_TOKEN");
    if (given != NULL) {
        sodium_memzero(given, strlen(given));
        unsetenv("MESHD_TOKEN");
    }
    for (int i = 1; i < argc; i++) {
        char *value = NULL;
        if (strncmp(argv[i], flag, sizeof flag - 1) == 0) {
            value = argv[i] + sizeof flag - 1;
        } else if (strcmp(argv[i - 1], "--token") == 0) {
            value = argv[i];
        }
        if (value != NULL) {
            sodium_memzero(value, strlen(value));
        }
    }
}

/* Takes the token in --token-file; an empty file is none. A token said elsewhere wins. */
static int read_token_file(struct conf *conf, struct why *why)
{
    char text[sizeof conf->token];
    size_t size = 0;
    int rc = file_read(conf->token_file, text, sizeof text, &size, why);
    if (rc == HM_OK) {
        text[strcspn(text, " \t\r\n")] = '\0';
        text_copy(conf->token, sizeof conf->token, text);
    }
    sodium_memzero(text, sizeof text);
    return rc;
}

int meshd_token_take(struct conf *conf, struct token *ret_token, bool *ret_has, struct why *why)
{
    int rc = HM_OK;
    if (conf->token[0] == '\0' && conf->token_file[0] != '\0') {
        rc = read_token_file(conf, why);
    }
    if (rc != HM_OK || conf->token[0] == '\0') {
        return rc;
    }
    if (strcmp(conf->token, "-") == 0) {
        rc = read_stdin_line(conf->token, sizeof conf->token, why);
    }
    if (rc == HM_OK) {
        rc = token_parse(conf->token, ret_token, why);
    }
    sodium_memzero(conf->token, sizeof conf->token);
    if (rc == HM_OK && strcmp(ret_token->mesh, conf->mesh) != 0) {
        rc = why_set(
            why, HM_EINVAL,
            "the token is of the mesh %s, but --discover says %s: use a token of that mesh, or "
            "--discover=%s",
            ret_token->mesh, conf->mesh, ret_token->mesh);
    }
    *ret_has = rc == HM_OK;
    return rc;
}
