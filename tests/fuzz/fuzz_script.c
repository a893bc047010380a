/* SPDX-License-Identifier: MPL-2.0 */
/* Scenario files: whatever is in them gives a script or an error with its place; a script's plan is
 * bounded, and the plan written as a file is read again as the same. */
#define _GNU_SOURCE

#include "fuzz.h"

#include "sim/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITTEN_FAULTS_MAX 500U

static void check_written(const struct plan *p)
{
    char *text = NULL;
    size_t size = 0;
    struct script_error error;
    struct plan again;
    FILE *out = open_memstream(&text, &size);
    FUZZ_ASSERT(out != NULL);
    plan_write(p, out);
    fclose(out);
    struct script *s = script_read(span_of(text, size), "again", &error);
    FUZZ_ASSERT(s != NULL);
    FUZZ_ASSERT(script_plan(s, 1, &again));
    FUZZ_ASSERT(again.fault_count == p->fault_count);
    FUZZ_ASSERT(again.nodes == p->nodes && again.calm_ns == p->calm_ns);
    plan_fini(&again);
    script_destroy(&s);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script_error error;
    struct plan plan;
    struct script *s = script_read(span_of(data, size), "fuzz", &error);
    if (s == NULL) {
        FUZZ_ASSERT(error.line > 0 && error.column > 0 && error.text[0] != '\0');
        return 0;
    }
    bool ok = script_plan(s, 1, &plan);
    FUZZ_ASSERT(plan.fault_count <= SCRIPT_FAULTS_MAX);
    for (size_t i = 0; i < plan.fault_count; i++) {
        FUZZ_ASSERT(plan.faults[i].a < plan.nodes && plan.faults[i].b < plan.nodes);
    }
    if (ok && plan.fault_count <= WRITTEN_FAULTS_MAX) {
        check_written(&plan);
    }
    plan_fini(&plan);
    script_destroy(&s);
    return 0;
}
