/* SPDX-License-Identifier: MPL-2.0 */
/* Metrics for a person, and in Prometheus's text format (exposition format 0.0.4). */
#define _GNU_SOURCE
#include "cmd/ctl_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void put_value(FILE *to, const json_t *value)
{
    if (json_is_integer(value)) {
        fprintf(to, "%" PRId64, (int64_t) json_integer_value(value));
    } else {
        fprintf(to, "%.15g", json_number_value(value));
    }
}

/* In help \ and line feed are escaped, in label values also the quote. */
static void put_escaped(FILE *to, const char *text, bool with_quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || (*text == '"' && with_quote)) {
            fputc('\\', to);
            fputc(*text, to);
        } else if (*text == '\n') {
            fputs("\\n", to);
        } else {
            fputc(*text, to);
        }
    }
}

/* name{label="value"} */
static void put_sample(FILE *to, const json_t *metric)
{
    const char *key;
    json_t *value;
    const char *separator = "{";
    fputs(ctl_text(metric, "name"), to);
    json_object_foreach(json_object_get(metric, "labels"), key, value)
    {
        fprintf(to, "%s%s=\"", separator, key);
        put_escaped(to, ctl_text_of(value), true);
        fputc('"', to);
        separator = ",";
    }
    if (separator[0] == ',') {
        fputc('}', to);
    }
}

void ctl_print_prometheus(const json_t *reply)
{
    const char *last = "";
    size_t i;
    json_t *metric;
    json_array_foreach(json_object_get(reply, "metrics"), i, metric)
    {
        const char *name = ctl_text(metric, "name");
        if (strcmp(name, last) != 0) {
            printf("# HELP %s ", name);
            put_escaped(stdout, ctl_text(metric, "help"), false);
            printf("\n# TYPE %s %s\n", name, ctl_text(metric, "type"));
            last = name;
        }
        put_sample(stdout, metric);
        fputc(' ', stdout);
        put_value(stdout, json_object_get(metric, "value"));
        fputc('\n', stdout);
    }
}

/* Writes sample or value as text; the caller frees. */
static char *as_text(void (*put)(FILE *to, const json_t *json), const json_t *json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return NULL;
    }
    put(stream, json);
    fclose(stream);
    return text;
}

void ctl_print_metrics(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"METRIC", 0, false},
        {"VALUE", 0, true},
        {"MEANING", 1, false},
    };
    size_t i;
    json_t *metric;
    table_t *table = table_new(columns, 3);
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    json_array_foreach(json_object_get(reply, "metrics"), i, metric)
    {
        /* Which node this is stands in status; here it would be one very long line. */
        if (strcmp(ctl_text(metric, "name"), "mesh_info") == 0) {
            continue;
        }
        char *name = as_text(put_sample, metric);
        char *value = as_text(put_value, json_object_get(metric, "value"));
        table_add(table, STYLE_PLAIN, name != NULL ? name : "?");
        table_add(table, STYLE_BOLD, value != NULL ? value : "?");
        table_add(table, STYLE_DIM, ctl_text(metric, "help"));
        free(name);
        free(value);
    }
    table_print(table, out);
    table_destroy(&table);
}
