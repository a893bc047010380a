/* SPDX-License-Identifier: MPL-2.0 */
/* What a person sees of the lists beside nodes and events: Zyre peers and limits. */
#define _GNU_SOURCE
#include "cmd/ctl_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

static void add_joined(table_t *table, enum out_style style, json_t *values)
{
    char *text = ctl_joined(values);
    table_add(table, style, text != NULL ? text : "-");
    free(text);
}

void ctl_print_peers(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"NAME", 0, false},  {"ADDRESS", 0, false}, {"GROUPS", 2, false},
        {"HEARD", 3, false}, {"UUID", 5, false},    {"HEADERS", 4, false},
    };
    const json_t *peers = json_object_get(reply, "peers");
    size_t i;
    json_t *peer;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    if (json_array_size(peers) == 0) {
        fputs("none: no Zyre program was heard on this network\n", stdout);
    }
    json_array_foreach(peers, i, peer)
    {
        char text[OUT_TEXT_BYTES];
        char heard[OUT_TEXT_BYTES + 8];
        const char *name = ctl_text(peer, "name");
        snprintf(heard, sizeof heard, "%s ago",
                 out_duration((uint64_t) ctl_int(peer, "last_heard_ms"), text));
        table_add(table, STYLE_BOLD, name[0] != '\0' ? name : "-");
        table_add(table, STYLE_PLAIN, ctl_text(peer, "address"));
        add_joined(table, STYLE_PLAIN, json_object_get(peer, "groups"));
        table_add(table, STYLE_PLAIN, heard);
        table_add(table, STYLE_DIM, ctl_text(peer, "id"));
        add_joined(table, STYLE_DIM, json_object_get(peer, "headers"));
    }
    if (json_array_size(peers) > 0) {
        table_print(table, out);
    }
    table_destroy(&table);
}

void ctl_print_limits(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"LIMIT", 0, false}, {"VALUE", 0, true}, {"UNIT", 0, false}, {"MEANING", 1, false}};
    size_t i;
    json_t *limit;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    json_array_foreach(json_object_get(reply, "limits"), i, limit)
    {
        char value[32];
        snprintf(value, sizeof value, "%" PRId64, ctl_int(limit, "value"));
        table_add(table, STYLE_BOLD, ctl_text(limit, "name"));
        table_add(table, STYLE_PLAIN, value);
        table_add(table, STYLE_PLAIN, ctl_text(limit, "unit"));
        table_add(table, STYLE_DIM, ctl_text(limit, "help"));
    }
    table_print(table, out);
    table_destroy(&table);
}
