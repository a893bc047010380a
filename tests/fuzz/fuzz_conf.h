/* SPDX-License-Identifier: MPL-2.0 */
/* What must hold of every configuration, whether it was read from the command line or from a file. */
#ifndef HM_FUZZ_CONF_H
#define HM_FUZZ_CONF_H

#include "fuzz.h"

#include "base/text.h"
#include "io/conf.h"

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static void check_labels(const struct conf *conf)
{
    for (size_t i = 0; i < conf->label_count; i++) {
        const struct conf_label *l = &conf->labels[i];
        FUZZ_ASSERT(ends(l->key, sizeof l->key) && ends(l->value, sizeof l->value));
        FUZZ_ASSERT(strlen(l->key) > 0);
        FUZZ_ASSERT(text_is_clean_utf8((const uint8_t *) l->value, strlen(l->value)));
    }
}

#endif
