/* SPDX-License-Identifier: MPL-2.0 */
/* meshd --print-config and --check-config: see meshd_show.h. */
#define _GNU_SOURCE
#include "cmd/meshd_show.h"

#include "base/err.h"
#include "base/text.h"
#include "io/paths.h"

#include <stdio.h>

#define EXIT_REFUSED 1
#define EXIT_USAGE 2

int meshd_show(struct conf *conf)
{
    struct paths paths;
    struct why why = {""};
    if (conf->mesh[0] != '\0' && paths_init(&paths, conf, &why) != HM_OK) {
        fprintf(stderr, "meshd: %s\n", why.text);
        return EXIT_USAGE;
    }
    if (conf->warning[0] != '\0') {
        fprintf(stderr, "meshd: %s\n", conf->warning);
    }
    if (conf->want_check) {
        printf("%s%s\n", conf->file[0] != '\0' ? conf->file : "no configuration file is read",
               conf->file[0] != '\0' ? ": ok" : "; environment and flags are ok");
        return fflush(stdout) == 0 ? 0 : EXIT_REFUSED;
    }
    if (conf->mesh[0] != '\0') {
        text_copy(conf->data_dir, sizeof conf->data_dir, paths.data_dir);
        text_copy(conf->key_file, sizeof conf->key_file, paths.ring);
        text_copy(conf->socket, sizeof conf->socket,
                  conf->socket[0] != '\0' ? paths.wanted_socket : paths.socket);
    }
    return (conf->print_json ? conf_print_json(stdout, conf) : conf_print(stdout, conf)) == HM_OK
               ? 0
               : EXIT_REFUSED;
}
