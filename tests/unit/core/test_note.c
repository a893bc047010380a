/* SPDX-License-Identifier: MPL-2.0 */
/* Every note has a name, a sentence and its fields; public names never change. */
#include "../unit.h"

#include "core/note.h"

#define LAST_NOTE NOTE_SERVICE_TAKEN

static struct note full(enum note_code code)
{
    struct note n = {.level = NOTE_WARN,
                     .code = code,
                     .reason = REASON_NO_ACK,
                     .value = UINT64_MAX,
                     .addr = {.family = 6, .port = 65535}};
    memset(n.addr.ip, 0xff, sizeof n.addr.ip);
    memset(n.node.b, 0xab, sizeof n.node.b);
    memset(n.observer.b, 0xcd, sizeof n.observer.b);
    memset(n.name, 'n', sizeof n.name - 1);
    memset(n.observer_name, 'o', sizeof n.observer_name - 1);
    return n;
}

static void every_note_reads(void **state)
{
    (void) state;
    for (int code = 0; code <= (int) LAST_NOTE; code++) {
        struct note_text text;
        struct note empty = {.code = (enum note_code) code}, n = full((enum note_code) code);
        assert_true(strlen(note_code_name((enum note_code) code)) > 0);
        for (int i = 0; i < 2; i++) {
            memset(&text, 0xee, sizeof text);
            note_format(i == 0 ? &n : &empty, &text);
            assert_non_null(memchr(text.message, '\0', sizeof text.message));
            assert_true(strlen(text.message) > 0);
            assert_null(strchr(text.message, '%'));
            assert_true(text.field_count <= NOTE_FIELDS_MAX);
            for (size_t j = 0; j < text.field_count; j++) {
                assert_true(strlen(text.fields[j].key) > 0);
                assert_non_null(memchr(text.fields[j].value, '\0', sizeof text.fields[j].value));
            }
        }
        for (int other = 0; other < code; other++) {
            assert_string_not_equal(note_code_name((enum note_code) code),
                                    note_code_name((enum note_code) other));
        }
    }
}

static bool has_field(const struct note_text *text, const char *value)
{
    for (size_t i = 0; i < text->field_count; i++) {
        if (strstr(text->fields[i].value, value) != NULL) {
            return true;
        }
    }
    return false;
}

/* R1.13: whoever reads of a change sees whom, by whom and why. */
static void member_changes_say_who_and_why(void **state)
{
    (void) state;
    static const enum note_code codes[] = {NOTE_MEMBER_ALIVE, NOTE_MEMBER_SUSPECT,
                                           NOTE_MEMBER_FAILED, NOTE_MEMBER_LEFT,
                                           NOTE_MEMBER_UPDATED};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        struct note n = full(codes[i]);
        struct note_text text;
        memcpy(n.name, "nas1", 5);
        memcpy(n.observer_name, "pi2", 4);
        note_format(&n, &text);
        assert_true(strstr(text.message, "nas1") != NULL || has_field(&text, "nas1"));
        assert_true(has_field(&text, "pi2"));
        assert_true(has_field(&text, "no-ack"));
        assert_true(has_field(&text, "abababababababababababababababab"));
    }
}

static void reason_names_never_change(void **state)
{
    (void) state;
    static const struct {
        enum reason reason;
        const char *name;
    } rows[] = {
        {REASON_JOINED, "joined"},       {REASON_REFUTED, "refuted"},
        {REASON_RECOVERED, "recovered"}, {REASON_NO_ACK, "no-ack"},
        {REASON_REFUSED, "refused"},     {REASON_LEFT, "left"},
        {REASON_UPDATED, "updated"},     {REASON_REMEMBERED, "remembered"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_string_equal(reason_name(rows[i].reason), rows[i].name);
    }
    assert_string_equal(reason_name((enum reason) 99), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_note_reads),
        cmocka_unit_test(member_changes_say_who_and_why),
        cmocka_unit_test(reason_names_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
