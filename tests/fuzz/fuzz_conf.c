/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's command line and environment. The input is texts that end with NUL: those that begin with
 * "MESHD_" are the environment, the others the flags. Whatever is written there, the result is a
 * configuration within its limits or one line that says what is wrong. */
#include "fuzz_conf.h"

#include "base/err.h"
#include "base/text.h"
#include "io/conf.h"
#include "io/resolve.h"

#define TEXTS_MAX 200

static void check(const struct conf *conf)
{
    FUZZ_ASSERT(ends(conf->mesh, sizeof conf->mesh) && ends(conf->name, sizeof conf->name));
    FUZZ_ASSERT(ends(conf->data_dir, sizeof conf->data_dir));
    FUZZ_ASSERT(ends(conf->key_file, sizeof conf->key_file));
    FUZZ_ASSERT(ends(conf->token, sizeof conf->token) && ends(conf->socket, sizeof conf->socket));
    FUZZ_ASSERT(ends(conf->role, sizeof conf->role));
    FUZZ_ASSERT(ends(conf->capabilities, sizeof conf->capabilities));
    FUZZ_ASSERT(conf->join_count <= CONF_JOIN_MAX && conf->label_count <= HM_LABELS_MAX);
    if (conf->want_help || conf->want_version) {
        return;
    }
    FUZZ_ASSERT(text_is_dns_label(conf->mesh, strlen(conf->mesh)));
    FUZZ_ASSERT(text_is_dns_label(conf->name, strlen(conf->name)));
    for (size_t i = 0; i < conf->join_count; i++) {
        struct resolve_target target;
        FUZZ_ASSERT(ends(conf->join[i], sizeof conf->join[i]));
        FUZZ_ASSERT(resolve_target_read(conf->join[i], 1, &target) == HM_OK);
        FUZZ_ASSERT(strlen(target.host) > 0 && target.port > 0);
    }
    check_labels(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conf conf;
    struct why why;
    char *args[TEXTS_MAX + 2] = {(char *) "meshd"};
    char *vars[TEXTS_MAX + 2] = {(char *) "MESHD_CONFIG=none"}; /* files: fuzz_conf_yaml */
    int arg_count = 1;
    size_t var_count = 1;
    char *texts = malloc(size + 1);
    FUZZ_ASSERT(texts != NULL);
    if (size > 0) {
        memcpy(texts, data, size);
    }
    texts[size] = '\0';
    for (size_t at = 0; at < size && arg_count + (int) var_count < TEXTS_MAX;
         at += strlen(texts + at) + 1) {
        if (strncmp(texts + at, "--config", 8) == 0) {
            continue;
        }
        if (strncmp(texts + at, "MESHD_", 6) == 0) {
            vars[var_count++] = texts + at;
        } else {
            args[arg_count++] = texts + at;
        }
    }
    memset(&why, 0, sizeof why);
    int result = conf_parse(arg_count, args, vars, &conf, &why);
    FUZZ_ASSERT(result == HM_OK || result == HM_EINVAL);
    if (result == HM_OK) {
        check(&conf);
    } else {
        FUZZ_ASSERT(strlen(why.text) > 0 && strchr(why.text, '\n') == NULL);
    }
    free(texts);
    return 0;
}
