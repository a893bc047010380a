/* SPDX-License-Identifier: MPL-2.0 */
/* What meshctl makes of the reply of another node, which may lie: each command's view of it, and
 * what doctor concludes from it. No crash, and no control character on the terminal.
 *
 * The input is one MessagePack value: an object is the reply of every command; a list of objects
 * is the replies of as many nodes to doctor. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "cmd/ctl_doctor.h"
#include "cmd/ctl_out.h"

#include <jansson.h>

#define NODES_MAX 4
#define SINCE_MS 1000

static void check_printed(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char) text[i];
        FUZZ_ASSERT((c >= 0x20 || c == '\n') && c != 0x7f);
    }
}

static void show(const json_t *reply, size_t width)
{
    struct out out = {.width = width};
    for (int op = 0; op < OP_COUNT; op++) {
        FILE *before = stdout;
        char *text = NULL;
        size_t size = 0;
        stdout = open_memstream(&text, &size);
        FUZZ_ASSERT(stdout != NULL);
        ctl_print_text(&out, (enum op) op, reply);
        fclose(stdout);
        stdout = before;
        check_printed(text, size);
        free(text);
    }
}

static void diagnose(const json_t *replies)
{
    static const char *const names[NODES_MAX] = {"a", "b", "b~2", "c"};
    struct ctl_node nodes[NODES_MAX] = {{.is_self = false}};
    struct ctl_all all = {.nodes = nodes, .members = json_object()};
    json_t *lines = json_array();
    json_t *reply;
    size_t i;
    json_array_foreach((json_t *) replies, i, reply)
    {
        if (i == NODES_MAX) {
            break;
        }
        struct ctl_node *node = &nodes[all.count++];
        snprintf(node->id, sizeof node->id, "%032zu", i);
        snprintf(node->name, sizeof node->name, "%s", names[i]);
        snprintf(node->status, sizeof node->status, "alive");
        node->member = reply;
        node->is_self = i == 0;
        node->has_knocked = true;
        node->reply = json_is_object(reply) ? reply : NULL;
        node->answered_ms = SINCE_MS + 500;
    }
    doctor_mesh(lines, &all, SINCE_MS);
    json_array_foreach(lines, i, reply)
    {
        FUZZ_ASSERT(json_is_object(reply) && ctl_text(reply, "text")[0] != '\0');
    }
    json_decref(lines);
    json_decref(all.members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = fuzz_copy(span_of(data, size));
    json_t *reply = ctl_json_of(bytes.data, bytes.size);
    fuzz_free(bytes);
    if (json_is_object(reply)) {
        show(reply, 0);
        show(reply, 40);
    } else if (json_is_array(reply)) {
        diagnose(reply);
    }
    json_decref(reply);
    return 0;
}
