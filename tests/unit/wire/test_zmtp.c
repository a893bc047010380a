/* SPDX-License-Identifier: MPL-2.0 */
/* ZMTP: what libzmq 4.3.4 really sends, whole, byte by byte and cut; and streams that lie. */
#include "../unit.h"

#include "base/limits.h"
#include "wire/zmtp.h"

/* Recorded from a DEALER with the routing id 01 00 01 … 0f that heartbeats, and from a ROUTER. */
#define DEALER_GREETING                                                                            \
    "ff 00 00 00 00 00 00 00 12 7f 03 01 4e 55 4c 4c 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" \
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" \
    "00 00 "
#define DEALER_READY                                                                               \
    "04 3a 05 52 45 41 44 59 0b 53 6f 63 6b 65 74 2d 54 79 70 65 00 00 00 06 44 45 41 4c 45 52 08" \
    "49 64 65 6e 74 69 74 79 00 00 00 11 01 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f "
#define DEALER_MESSAGE "01 06 aa a1 06 02 00 01 00 03 78 78 78 " /* two frames */
#define DEALER_PING "04 07 04 50 49 4e 47 00 00 "
#define ROUTER_GREETING                                                                            \
    "ff 00 00 00 00 00 00 00 01 7f 03 01 4e 55 4c 4c 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" \
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" \
    "00 00 "
#define ROUTER_READY                                                                               \
    "04 29 05 52 45 41 44 59 0b 53 6f 63 6b 65 74 2d 54 79 70 65 00 00 00 06 52 4f 55 54 45 52 08" \
    "49 64 65 6e 74 69 74 79 00 00 00 00 "

static const uint8_t ids[] = {1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void assert_span(struct span s, const void *bytes, size_t size)
{
    assert_int_equal(s.size, size);
    assert_true(size == 0 || memcmp(s.data, bytes, size) == 0);
}

/* Feeds in pieces of `step` bytes; writes a letter for each event: G R M P, or X for broken. */
static void feed(struct zmtp *z, const uint8_t *bytes, size_t size, size_t step, char *letters)
{
    size_t count = strlen(letters);
    for (size_t at = 0; at < size; at += step) {
        size_t n = step < size - at ? step : size - at;
        struct span copy = exact_copy(bytes + at, n);
        struct span left = copy;
        while (left.size > 0) {
            enum zmtp_event event = zmtp_take(z, &left);
            if (event == ZMTP_MORE) {
                break;
            }
            letters[count++] = "?GRMPX"[event];
            letters[count] = '\0';
            if (event == ZMTP_BROKEN) {
                exact_free(copy);
                return;
            }
        }
        assert_int_equal(left.size, 0);
        exact_free(copy);
    }
}

static void feed_hex(struct zmtp *z, const char *hex, size_t step, char *letters)
{
    uint8_t bytes[512];
    feed(z, bytes, hex_bytes(hex, bytes, sizeof bytes), step, letters);
}

static void test_what_libzmq_sends(void **state)
{
    (void) state;
    const char *all = DEALER_GREETING DEALER_READY DEALER_MESSAGE DEALER_PING DEALER_MESSAGE;
    for (size_t step = 1; step < 200; step++) {
        struct zmtp z;
        char letters[32] = "";
        zmtp_init(&z, ZMTP_ROUTER);
        feed_hex(&z, all, step, letters);
        assert_string_equal(letters, "GRMPM");
        assert_span(zmtp_identity(&z), ids, sizeof ids);
        assert_span(zmtp_body(&z), "\xaa\xa1\x06\x02\x00\x01", 6);
        zmtp_fini(&z);
        letters[0] = '\0';
        zmtp_init(&z, ZMTP_DEALER);
        feed_hex(&z, ROUTER_GREETING ROUTER_READY DEALER_PING, step, letters);
        assert_string_equal(letters, "GRP");
        assert_int_equal(zmtp_identity(&z).size, 0);
        assert_int_equal(zmtp_context(&z).size, 0);
        zmtp_fini(&z);
    }
}

/* Cut anywhere, it waits, and never wants more than there is up to the next event. */
static void test_cut_anywhere(void **state)
{
    (void) state;
    uint8_t bytes[512];
    size_t size = hex_bytes(DEALER_GREETING DEALER_READY DEALER_MESSAGE, bytes, sizeof bytes);
    struct zmtp z;
    zmtp_init(&z, ZMTP_ROUTER);
    for (size_t at = 0; at < size;) {
        size_t want = zmtp_want(&z);
        assert_true(want > 0 && want <= size - at);
        struct span part = span_of(bytes + at, want);
        zmtp_take(&z, &part);
        assert_int_equal(part.size, 0);
        at += want;
    }
    assert_span(zmtp_body(&z), "\xaa\xa1\x06\x02\x00\x01", 6);
    zmtp_fini(&z);
    for (size_t cut = 0; cut < size; cut++) {
        char letters[32] = "";
        zmtp_init(&z, ZMTP_ROUTER);
        feed(&z, bytes, cut, cut == 0 ? 1 : cut, letters);
        assert_null(strchr(letters, 'X'));
        assert_null(strchr(letters, 'M'));
        zmtp_fini(&z);
    }
}

static void test_what_we_send(void **state)
{
    (void) state;
    uint8_t bytes[512];
    uint8_t large[256] = {7};
    struct buf b;
    buf_init(&b, 1024);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_ROUTER, span_of(NULL, 0));
    assert_span(buf_span(&b), bytes, hex_bytes(ROUTER_GREETING ROUTER_READY, bytes, sizeof bytes));
    buf_clear(&b);
    zmtp_ready_write(&b, ZMTP_DEALER, span_of(ids, sizeof ids));
    assert_span(buf_span(&b), bytes, hex_bytes(DEALER_READY, bytes, sizeof bytes));
    buf_clear(&b);
    zmtp_pong_write(&b, span_of("ab", 2));
    assert_span(buf_span(&b), bytes, hex_bytes("04 07 04 50 4f 4e 47 61 62", bytes, sizeof bytes));
    buf_clear(&b);
    zmtp_message_write(&b, span_of(large, 255));
    assert_span(span_of(b.data, 3), "\x00\xff\x07", 3);
    assert_int_equal(b.size, 2 + 255);
    buf_clear(&b);
    zmtp_message_write(&b, span_of(large, 256));
    assert_span(span_of(b.data, 10), "\x02\0\0\0\0\0\0\x01\x00\x07", 10);
    assert_int_equal(b.size, 9 + 256);
    assert_false(buf_failed(&b));
    buf_fini(&b);
}

/* Rows: what comes after the handshake (or, with an 'h' before it, instead), and the events. */
static void test_streams(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        const char *events;
    } rows[] = {
        {"00 00", "M"},
        {"02 00 00 00 00 00 00 00 01 61", "M"}, /* a length may be longer than it need be */
        {"01 01 61 04 07 04 50 49 4e 47 00 00 00 01 62", "PM"}, /* PING between two frames */
        {"04 06 04 50 49 4e 47 00", "X"},                       /* no TTL */
        {"04 17 04 50 49 4e 47 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "P"},
        {"04 18 04 50 49 4e 47 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "X"},
        {"04 05 04 50 4f 4e 47 00 00", "M"}, /* PONG, and a message */
        {"05 05 04 50 4f 4e 47", "X"},       /* a command has no MORE */
        {"04 00", "X"},                      /* or no name */
        {"04 05 ff 50 4f 4e 47", "X"},
        {"06 00 00 00 00 00 00 04 01", "X"}, /* a command above the bound */
        {"06 00 00 00 00 00 00 00 05 04 50 4f 4e 47 00 00", "M"},
        {"08 00", "X"},
        {"80 00", "X"},
        {"02 00 00 00 00 00 00 20 01", "X"}, /* 8,193 bytes */
        {"02 ff ff ff ff ff ff ff ff", "X"},
        {"01 00 02 00 00 00 00 00 01 00 01", "X"}, /* content of 65,537 */
        {"04 0d 05 45 52 52 4f 52 06 64 65 6e 69 65 64", "X"},
        {DEALER_READY, "X"},
        {"h 00", "X"},
        {"h ff 00 00 00 00 00 00 00 01 7e", "X"},
        {"h ff 00 00 00 00 00 00 00 01 7f 02", "X"},
        {"h ff 00 00 00 00 00 00 00 01 7f 03 00 43", "X"}, /* CURVE */
        {"h ff 00 00 00 00 00 00 00 01 7f 03 00 4e 55 4c 4c 45", "X"},
        {"h " ROUTER_GREETING "00 01 61", "GX"},
        {"h " ROUTER_GREETING DEALER_PING, "GX"},
        {"h " ROUTER_GREETING "04 06 05 52 45 41 44 59", "GX"}, /* no Socket-Type */
        {"h " ROUTER_GREETING ROUTER_READY, "GR"},
        /* socket-type: REQ, and a property we do not know */
        {"h " ROUTER_GREETING "04 1f 05 52 45 41 44 59 0b 73 6f 63 6b 65 74 2d 74 79 70 65"
         "00 00 00 03 52 45 51 01 58 00 00 00 00",
         "GR"},
        {"h " ROUTER_GREETING
         "04 19 05 52 45 41 44 59 0b 53 6f 63 6b 65 74 2d 54 79 70 65 00 00 00 03 53 55 42",
         "GX"}, /* SUB */
        {"h " ROUTER_GREETING
         "04 19 05 52 45 41 44 59 0b 53 6f 63 6b 65 74 2d 54 79 70 65 00 00 00 04 52 45 51",
         "GX"}, /* a value that is cut */
        {"h " ROUTER_GREETING "04 07 05 52 45 41 44 59 00", "GX"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t step = 1; step < 400; step += 397) {
            struct zmtp z;
            char letters[32] = "";
            bool is_whole = rows[i].hex[0] == 'h';
            zmtp_init(&z, ZMTP_ROUTER);
            if (!is_whole) {
                feed_hex(&z, DEALER_GREETING DEALER_READY, step, letters);
                assert_string_equal(letters, "GR");
                letters[0] = '\0';
            }
            feed_hex(&z, rows[i].hex + is_whole, step, letters);
            if (strcmp(letters, rows[i].events) != 0) {
                print_error("row %zu, steps of %zu: %s\n", i, step, letters);
            }
            assert_string_equal(letters, rows[i].events);
            struct span more = span_of("\0\0", 2);
            if (strchr(letters, 'X') != NULL) {
                assert_int_equal(zmtp_take(&z, &more), ZMTP_BROKEN);
                assert_int_equal(zmtp_want(&z), 0);
            }
            zmtp_fini(&z);
        }
    }
}

static void open_router(struct zmtp *z)
{
    char letters[32] = "";
    zmtp_init(z, ZMTP_ROUTER);
    feed_hex(z, DEALER_GREETING DEALER_READY, 7, letters);
    assert_string_equal(letters, "GR");
}

/* Frames with MORE and no last one: as many as may be, and only the first is kept. */
static void test_endless_more(void **state)
{
    (void) state;
    static uint8_t frame[9 + HM_ZMTP_CONTENT_BYTES_MAX] = {3, 0, 0, 0, 0, 0, 1};
    struct zmtp z;
    char letters[8] = "";
    open_router(&z);
    feed(&z, (const uint8_t *) "\x01\x02hi", 4, 4, letters);
    for (unsigned i = 1; i < HM_ZMTP_FRAMES_MAX; i++) {
        feed(&z, frame, sizeof frame, 4096, letters);
        assert_string_equal(letters, "");
        assert_span(zmtp_body(&z), "hi", 2);
    }
    assert_true(z.body.room <= 64 && z.command.room <= HM_ZMTP_COMMAND_BYTES_MAX);
    feed(&z, frame, sizeof frame, 4096, letters);
    assert_string_equal(letters, "X");
    zmtp_fini(&z);
    /* The last that may be, without MORE. */
    letters[0] = '\0';
    open_router(&z);
    for (unsigned i = 1; i < HM_ZMTP_FRAMES_MAX; i++) {
        feed(&z, (const uint8_t *) "\x01\x00", 2, 1, letters);
    }
    feed(&z, (const uint8_t *) "\x00\x01x\x00\x01y", 6, 6, letters);
    assert_string_equal(letters, "MM");
    assert_span(zmtp_body(&z), "y", 1);
    zmtp_fini(&z);
}

/* A second frame is kept up to a datagram's size; a larger one is passed over as a whole. */
static void test_content(void **state)
{
    (void) state;
    static uint8_t content[HM_DATAGRAM_BYTES_MAX + 1];
    memset(content, 'c', sizeof content);
    for (size_t size = 0; size <= sizeof content; size += size < 1100 ? 100 : 1) {
        bool fits = size <= HM_DATAGRAM_BYTES_MAX;
        for (size_t step = 1; step <= 1500; step += 499) {
            struct zmtp z;
            struct buf b;
            char letters[8] = "";
            buf_init(&b, 4096);
            zmtp_content_write(&b, span_of("hi", 2), span_of(content, size));
            zmtp_message_write(&b, span_of("y", 1));
            assert_false(buf_failed(&b));
            open_router(&z);
            feed(&z, b.data, b.size - 3, step, letters);
            assert_string_equal(letters, "M");
            assert_span(zmtp_body(&z), "hi", 2);
            assert_span(zmtp_content(&z), content, fits ? size : 0);
            feed(&z, b.data + b.size - 3, 3, step, letters);
            assert_string_equal(letters, "MM");
            assert_span(zmtp_body(&z), "y", 1);
            assert_int_equal(zmtp_content(&z).size, 0); /* nothing is left of the one before */
            zmtp_fini(&z);
            buf_fini(&b);
        }
    }
}

/* Memory follows what came, not what was announced. */
static void test_first_frame_at_its_bound(void **state)
{
    (void) state;
    static uint8_t frame[9 + HM_ZMTP_KEPT_BYTES_MAX] = {2, 0, 0, 0, 0, 0, 0, 0x20, 0};
    struct zmtp z;
    char letters[8] = "";
    open_router(&z);
    feed(&z, frame, 10, 10, letters);
    assert_true(z.body.room <= 64);
    feed(&z, frame + 10, sizeof frame - 10, 1000, letters);
    assert_string_equal(letters, "M");
    assert_int_equal(zmtp_body(&z).size, HM_ZMTP_KEPT_BYTES_MAX);
    zmtp_fini(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_what_libzmq_sends), cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_what_we_send),      cmocka_unit_test(test_streams),
        cmocka_unit_test(test_endless_more),      cmocka_unit_test(test_first_frame_at_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
