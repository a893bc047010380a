/* SPDX-License-Identifier: MPL-2.0 */
/* What a ZRE peer says of itself: taken, followed, and bounded. */
#include "../unit.h"

#include "base/limits.h"
#include "io/zre_about.h"

#include <stdio.h>

static struct span text_span(const char *text)
{
    return span_of(text, strlen(text));
}

/* A HELLO with so many groups g0, g1, … and headers, in buffers of the caller. */
static struct zre_msg hello_with(struct buf *groups, struct buf *headers, unsigned count)
{
    char text[16];
    buf_init(groups, 65536);
    buf_init(headers, 65536);
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "g%u", i);
        zre_strings_add(groups, text_span(text));
        zre_headers_add(headers, text_span(text), text_span("value"));
    }
    struct zre_msg msg = {.id = ZRE_HELLO,
                          .name = text_span("chatter"),
                          .groups = {buf_span(groups), count},
                          .headers = {buf_span(headers), count}};
    return msg;
}

static bool has_group(const struct zre_about *about, const char *name)
{
    struct zre_list groups = zre_about_groups(about);
    struct span group;
    while (zre_strings_next(&groups, &group)) {
        if (group.size == strlen(name) && memcmp(group.data, name, group.size) == 0) {
            return true;
        }
    }
    return false;
}

static void test_hello_join_leave(void **state)
{
    struct zre_about about = {.name_bytes = 0};
    struct buf groups;
    struct buf headers;
    struct span value;
    (void) state;
    struct zre_msg msg = hello_with(&groups, &headers, 2);
    zre_about_hello(&about, &msg);
    assert_int_equal(about.name_bytes, 7);
    assert_true(has_group(&about, "g0") && has_group(&about, "g1") && !about.is_cut);
    struct zre_list kept = zre_about_headers(&about);
    assert_true(zre_headers_find(&kept, "g1", &value) && value.size == 5);
    zre_about_join(&about, text_span("late"));
    zre_about_join(&about, text_span("late"));
    assert_int_equal(zre_about_groups(&about).count, 3);
    zre_about_leave(&about, text_span("g0"));
    zre_about_leave(&about, text_span("never"));
    assert_int_equal(zre_about_groups(&about).count, 2);
    assert_true(has_group(&about, "late") && has_group(&about, "g1") && !has_group(&about, "g0"));
    /* A second HELLO stands for all that was known. */
    zre_about_hello(&about, &msg);
    assert_false(has_group(&about, "late"));
    zre_about_fini(&about);
    buf_fini(&groups);
    buf_fini(&headers);
}

static void test_what_is_too_much_is_left_out(void **state)
{
    struct zre_about about = {.name_bytes = 0};
    struct buf groups;
    struct buf headers;
    (void) state;
    struct zre_msg msg = hello_with(&groups, &headers, 250);
    zre_about_hello(&about, &msg);
    assert_true(about.is_cut);
    assert_true(about.groups.size + about.headers.size <= HM_ZRE_ABOUT_BYTES_MAX);
    assert_true(has_group(&about, "g0") && !has_group(&about, "g249"));
    struct span group;
    struct zre_list kept = zre_about_groups(&about);
    uint32_t count = kept.count;
    while (zre_strings_next(&kept, &group)) {
        count--;
    }
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < 10000; i++) {
        zre_about_join(&about, text_span("another"));
        zre_about_leave(&about, text_span("g1"));
    }
    assert_true(about.groups.size <= HM_ZRE_ABOUT_BYTES_MAX);
    zre_about_fini(&about);
    buf_fini(&groups);
    buf_fini(&headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_join_leave),
        cmocka_unit_test(test_what_is_too_much_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
