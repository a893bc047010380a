/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration file. Whatever is written there, the result is a configuration within its
 * limits, or one line that names the file. */
#include "fuzz_conf.h"

#include "base/err.h"
#include "base/text.h"
#include "io/conf_yaml.h"

/* libfyaml 0.7.12 loses a buffer of 4 KiB in some of its own errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static void check(const struct conf *conf)
{
    FUZZ_ASSERT(conf->mesh[0] == '\0' || text_is_dns_label(conf->mesh, strlen(conf->mesh)));
    FUZZ_ASSERT(conf->name[0] == '\0' || text_is_dns_label(conf->name, strlen(conf->name)));
    FUZZ_ASSERT(ends(conf->data_dir, sizeof conf->data_dir));
    FUZZ_ASSERT(ends(conf->key_file, sizeof conf->key_file));
    FUZZ_ASSERT(ends(conf->token, sizeof conf->token) && ends(conf->socket, sizeof conf->socket));
    FUZZ_ASSERT(ends(conf->role, sizeof conf->role));
    FUZZ_ASSERT(ends(conf->capabilities, sizeof conf->capabilities));
    FUZZ_ASSERT(conf->join_count <= CONF_JOIN_MAX && conf->label_count <= HM_LABELS_MAX);
    FUZZ_ASSERT(conf->interface_count <= CONF_INTERFACES_MAX);
    for (size_t i = 0; i < conf->interface_count; i++) {
        FUZZ_ASSERT(ends(conf->interfaces[i], sizeof conf->interfaces[i]));
    }
    for (size_t i = 0; i < conf->join_count; i++) {
        FUZZ_ASSERT(ends(conf->join[i], sizeof conf->join[i]) && conf->join[i][0] != '\0');
    }
    check_labels(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conf conf;
    struct why why = {""};
    if (size > CONF_FILE_BYTES_MAX) {
        return 0; /* never read */
    }
    char *text = malloc(size + 1);
    FUZZ_ASSERT(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    memset(&conf, 0, sizeof conf);
    int rc = conf_yaml_read("/m.yaml", text, size, false, &conf, &why);
    FUZZ_ASSERT(rc == HM_OK || rc == HM_EINVAL);
    if (rc == HM_OK) {
        check(&conf);
    } else {
        FUZZ_ASSERT(strncmp(why.text, "/m.yaml:", 8) == 0 && strchr(why.text, '\n') == NULL);
    }
    free(text);
    return 0;
}
