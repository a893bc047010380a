/* SPDX-License-Identifier: MPL-2.0 */
/* Two configurations of one process: what differs, and what of it can be taken over now. Values are
 * compared as text, so whatever an option keeps inside is compared in full. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/conf_priv.h"

#include <string.h>

static bool is_same(const struct conf *a, const struct conf *b, const struct option *option)
{
    char left[CONF_VALUE_BYTES_MAX];
    char right[CONF_VALUE_BYTES_MAX];
    for (size_t i = 0;; i++) {
        bool in_a = option->get(a, option, i, left, sizeof left);
        bool in_b = option->get(b, option, i, right, sizeof right);
        if (in_a != in_b || (in_a && strcmp(left, right) != 0)) {
            return false;
        }
        if (!in_a) {
            return true;
        }
    }
}

/* All values of an option with commas between, cut if long. */
static void join_values(const struct conf *conf, const struct option *option, char *text,
                        size_t max)
{
    char value[CONF_VALUE_BYTES_MAX];
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; size < max && option->get(conf, option, i, value, sizeof value); i++) {
        int len = snprintf(text + size, max - size, "%s%s", i > 0 ? "," : "", value);
        size += len > 0 ? (size_t) len : 0;
    }
}

size_t conf_compare(const struct conf *running, const struct conf *fresh,
                    struct conf_change ret_changes[CONF_OPTIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        const unsigned no_part = OPTION_SECRET | OPTION_NO_KEY;
        if (option->get == NULL || (option->traits & no_part) != 0 ||
            is_same(running, fresh, option)) {
            continue;
        }
        struct conf_change *change = &ret_changes[count++];
        change->option = option->name;
        change->is_live = (option->traits & OPTION_RELOADS) != 0;
        join_values(running, option, change->before, sizeof change->before);
        join_values(fresh, option, change->after, sizeof change->after);
        conf_source_text(fresh, option, change->from, sizeof change->from);
    }
    return count;
}

void conf_take_over(struct conf *running, const struct conf *fresh)
{
    running->log_level = fresh->log_level;
    running->log_format = fresh->log_format;
    running->auto_role = fresh->auto_role;
    running->label_count = fresh->label_count;
    running->join_count = fresh->join_count;
    memcpy(running->labels, fresh->labels, sizeof running->labels);
    memcpy(running->join, fresh->join, sizeof running->join);
    memcpy(running->role, fresh->role, sizeof running->role);
    memcpy(running->capabilities, fresh->capabilities, sizeof running->capabilities);
    memcpy(running->file, fresh->file, sizeof running->file);
    memcpy(running->services_dir, fresh->services_dir, sizeof running->services_dir);
    for (size_t i = 0; i < conf_option_count(); i++) {
        if ((conf_option(i)->traits & OPTION_RELOADS) != 0) {
            running->origins[i] = fresh->origins[i];
        }
    }
}
