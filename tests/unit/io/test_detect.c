/* SPDX-License-Identifier: MPL-2.0 */
/* Labels: what the user says wins, what is detected is there, the order is by key. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/text.h"
#include "io/detect.h"

#include <stdio.h>

static const char *value_of(const struct detect *detect, const char *key)
{
    for (size_t i = 0; i < detect->count; i++) {
        if (strcmp(detect->labels[i].key, key) == 0) {
            return detect->labels[i].value;
        }
    }
    return NULL;
}

static void detects_this_machine(void **state)
{
    (void) state;
    static struct conf conf;
    static struct detect detect;
    detect_labels(&conf, &detect);
    assert_non_null(value_of(&detect, "arch"));
    assert_non_null(value_of(&detect, "os"));
    uint64_t number = 0;
    assert_int_equal(text_to_u64(value_of(&detect, "cpus"), 100000, &number), 0);
    assert_true(number > 0);
    assert_int_equal(text_to_u64(value_of(&detect, "memory_mib"), 1 << 30, &number), 0);
    assert_true(number > 0);
    assert_null(value_of(&detect, "role"));
    for (size_t i = 1; i < detect.count; i++) {
        assert_true(strcmp(detect.labels[i - 1].key, detect.labels[i].key) < 0);
    }
}

static void the_user_wins(void **state)
{
    (void) state;
    static struct conf conf;
    static struct detect detect;
    text_copy(conf.role, sizeof conf.role, "storage");
    text_copy(conf.capabilities, sizeof conf.capabilities, "gpu,zigbee");
    conf.label_count = HM_LABELS_MAX;
    for (size_t i = 0; i < HM_LABELS_MAX; i++) {
        snprintf(conf.labels[i].key, sizeof conf.labels[i].key, "k%zu", i);
    }
    text_copy(conf.labels[0].key, sizeof conf.labels[0].key, "arch");
    text_copy(conf.labels[0].value, sizeof conf.labels[0].value, "pdp11");
    detect_labels(&conf, &detect);
    assert_int_equal(detect.count, HM_LABELS_MAX);
    assert_string_equal(value_of(&detect, "arch"), "pdp11");
    assert_null(value_of(&detect, "cpus")); /* no room left: the user's own come first */
    conf.label_count = 1;
    detect_labels(&conf, &detect);
    assert_string_equal(value_of(&detect, "role"), "storage");
    assert_string_equal(value_of(&detect, "capabilities"), "gpu,zigbee");
    assert_non_null(value_of(&detect, "cpus"));
}

static void architectures_have_one_name(void **state)
{
    (void) state;
    assert_string_equal(detect_arch("x86_64"), "amd64");
    assert_string_equal(detect_arch("aarch64"), "arm64");
    assert_string_equal(detect_arch("armv7l"), "armv7");
    assert_string_equal(detect_arch("vax"), "vax");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detects_this_machine),
        cmocka_unit_test(the_user_wins),
        cmocka_unit_test(architectures_have_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
