/* SPDX-License-Identifier: MPL-2.0 */
/* What doctor makes of the answers of several nodes: each way that is shut is named, and no other. */
#include "../unit.h"

#include "base/prng.h"
#include "cmd/ctl_doctor.h"

#include <stdarg.h>
#include <stdio.h>

#define NODES_MAX 8
#define WALL_MS 1795231207125 /* 2026-11-21T03:20:07.125Z */
#define SINCE_MS 100000
#define ANSWERED_MS 101000

/* ctl_out.c's only need of the rest of meshctl. */
void ctl_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprint_error(format, args);
    va_end(args);
}

struct world {
    size_t count;
    bool is_silent[NODES_MAX]; /* it does not answer meshctl */
    enum ctl_tried tried[NODES_MAX];
    bool is_anew;             /* n1 is where n2 was */
    bool is_aside;            /* the node that is asked */
    const char *reason;       /* of those who are suspect or failed */
    bool was_late[NODES_MAX]; /* it did not knock in time */
    bool udp[NODES_MAX][NODES_MAX];
    bool beacon[NODES_MAX][NODES_MAX];
    const char *time[NODES_MAX];
    int own_first_ms;      /* how long beacons have come from the right place */
    bool is_old_elsewhere; /* n2 beacons to n0 on a second interface since long */
    size_t copied;         /* node whose beacons come from elsewhere too; 0: none */
    const char *sees[NODES_MAX][NODES_MAX]; /* status; NULL: alive */
    int answers[NODES_MAX][NODES_MAX];      /* of nine pings */
    int large[NODES_MAX][NODES_MAX];        /* of six */
};

static void open_world(struct world *w, size_t count)
{
    memset(w, 0, sizeof *w);
    w->count = count;
    w->own_first_ms = 60000;
    memset(w->udp, 1, sizeof w->udp);
    for (size_t i = 0; i < NODES_MAX * NODES_MAX; i++) {
        w->answers[i / NODES_MAX][i % NODES_MAX] = 9;
        w->large[i / NODES_MAX][i % NODES_MAX] = 6;
    }
    memset(w->beacon, 1, sizeof w->beacon);
    for (size_t i = 0; i < count; i++) {
        w->time[i] = "2026-11-21T03:20:07.125Z";
    }
}

static json_t *reply_of(const struct world *w, const struct ctl_all *all, size_t at)
{
    json_t *pairs = json_array();
    json_t *beacons = json_array();
    for (size_t i = 0; i < w->count; i++) {
        const char *status = w->sees[at][i] != NULL ? w->sees[at][i] : "alive";
        json_t *arrived = w->udp[i][at] ? json_integer(500) : json_integer(5000);
        if (i != at) {
            json_array_append_new(
                pairs, json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i}", "id", all->nodes[i].id,
                                 "name", all->nodes[i].name, "status", status, "arrived_ms",
                                 arrived, "knocked", 9, "answers", w->answers[at][i],
                                 "knocked_large", 6, "answers_large", w->large[at][i]));
            json_array_append_new(beacons, json_pack("{s:s, s:s, s:i, s:i}", "id", all->nodes[i].id,
                                                     "address", "10.0.0.1:8471", "first_ms",
                                                     (int) w->own_first_ms, "ago_ms",
                                                     w->beacon[i][at] ? 500 : 5000));
        } else {
            json_decref(arrived);
        }
    }
    if (at == 0 && w->is_old_elsewhere) {
        json_array_append_new(beacons,
                              json_pack("{s:s, s:s, s:s, s:i, s:i}", "id", all->nodes[2].id,
                                        "address", "10.0.0.1:8471", "interface", "eth1", "first_ms",
                                        90000, "ago_ms", 500));
    }
    if (at == 0 && w->copied != 0) {
        json_array_append_new(beacons, json_pack("{s:s, s:s, s:i}", "id", all->nodes[w->copied].id,
                                                 "address", "10.0.0.77:8471", "ago_ms", 5000));
    }
    return json_pack("{s:s, s:s, s:[s], s:[s], s:o, s:o}", "time", w->time[at], "version", "0.2.0",
                     "networks", "10.0.0.255", "addresses", "10.0.0.1", "beacons", beacons, "pairs",
                     pairs);
}

/* What doctor says of such a world; the caller owns it. */
static json_t *diagnose(const struct world *w)
{
    static struct ctl_node nodes[NODES_MAX];
    struct ctl_all all = {.nodes = nodes, .count = w->count};
    char address[64];
    json_t *lines = json_array();
    all.members = json_pack("{s:s}", "time", "2026-11-21T03:20:07.125Z");
    memset(nodes, 0, sizeof nodes);
    for (size_t i = 0; i < w->count; i++) {
        snprintf(nodes[i].name, sizeof nodes[i].name, "n%zu", i);
        snprintf(nodes[i].id, sizeof nodes[i].id, "%032zu", i);
        snprintf(nodes[i].status, sizeof nodes[i].status, "%s",
                 w->sees[0][i] != NULL ? w->sees[0][i] : "alive");
        nodes[i].is_self = i == 0;
        nodes[i].has_knocked = !w->was_late[i];
        nodes[i].asked_wall_ms = WALL_MS - 5;
        nodes[i].answered_wall_ms = WALL_MS + 5;
        nodes[i].answered_ms = ANSWERED_MS;
        nodes[i].tried = w->tried[i];
        nodes[i].is_aside = i == 0 && w->is_aside;
        snprintf(address, sizeof address, "10.0.0.%zu:8471", w->is_anew && i == 2 ? i : i + 1);
        nodes[i].member = json_pack("{s:s, s:s, s:s?}", "address", address, "since",
                                    "2026-11-21T03:20:01.125Z", "reason", w->reason);
    }
    for (size_t i = 0; i < w->count; i++) {
        nodes[i].reply = w->is_silent[i] ? NULL : reply_of(w, &all, i);
    }
    doctor_nodes(lines, &all);
    doctor_mesh(lines, &all, SINCE_MS);
    for (size_t i = 0; i < w->count; i++) {
        json_decref(nodes[i].reply);
        json_decref((json_t *) nodes[i].member);
    }
    json_decref(all.members);
    return lines;
}

/* The line of that check whose text has all of a text in it. */
static const json_t *line_with(const json_t *lines, const char *check, const char *text)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *) lines, i, line)
    {
        if (strcmp(ctl_text(line, "check"), check) == 0 &&
            strstr(ctl_text(line, "text"), text) != NULL) {
            return line;
        }
    }
    return NULL;
}

static size_t count_not_ok(const json_t *lines, const char *check)
{
    size_t count = 0;
    size_t i;
    json_t *line;
    json_array_foreach((json_t *) lines, i, line)
    {
        bool is_its = check == NULL || strcmp(ctl_text(line, "check"), check) == 0;
        count += is_its && strcmp(ctl_text(line, "status"), "ok") != 0 ? 1 : 0;
    }
    return count;
}

static bool names_way(const json_t *lines, size_t from, size_t to)
{
    char text[8][96];
    size_t low = from < to ? from : to;
    size_t high = from < to ? to : from;
    snprintf(text[0], 96, "UDP from n%zu does not arrive at n%zu;", from, to);
    snprintf(text[1], 96, "UDP between n%zu and n%zu arrives neither way", low, high);
    snprintf(text[2], 96, "UDP between n%zu and n%zu arrives neither way", high, low);
    snprintf(text[3], 96, "no UDP from n%zu arrives at any", from);
    snprintf(text[4], 96, "others arrives at n%zu", to);
    for (size_t i = 0; i < 5; i++) {
        if (line_with(lines, "reach", text[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_all_well(void **state)
{
    struct world w;
    (void) state;
    for (size_t count = 1; count <= NODES_MAX; count++) {
        open_world(&w, count);
        json_t *lines = diagnose(&w);
        assert_int_equal(count_not_ok(lines, NULL), 0);
        assert_int_equal(ctl_doctor_exit(lines), EXIT_DONE);
        assert_true(count == 1 || line_with(lines, "reach", "both ways") != NULL);
        json_decref(lines);
    }
}

/* Random worlds: exactly the ways that are shut are named. */
static void test_each_shut_way_is_named(void **state)
{
    struct prng prng;
    (void) state;
    prng_init(&prng, 20261121);
    for (size_t round = 0; round < 2000; round++) {
        struct world w;
        open_world(&w, 2 + prng_below(&prng, 5));
        size_t shut = prng_below(&prng, w.count * w.count);
        for (size_t i = 0; i < shut; i++) {
            w.udp[prng_below(&prng, w.count)][prng_below(&prng, w.count)] = false;
        }
        json_t *lines = diagnose(&w);
        for (size_t from = 0; from < w.count; from++) {
            for (size_t to = 0; to < w.count; to++) {
                if (from != to && names_way(lines, from, to) != !w.udp[from][to]) {
                    char *text = json_dumps(lines, JSON_INDENT(1));
                    print_error("round %zu, n%zu to n%zu is %s: %s\n", round, from, to,
                                w.udp[from][to] ? "open" : "shut", text);
                    free(text);
                    fail();
                }
            }
        }
        json_decref(lines);
    }
}

static void test_broadcast(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 4);
    memset(w.beacon, 0, sizeof w.beacon);
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "broadcast"), 1);
    assert_non_null(line_with(lines, "broadcast", "the network drops broadcast"));
    json_decref(lines);
    open_world(&w, 4);
    memset(w.beacon[2], 0, sizeof w.beacon[2]);
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "broadcast"), 1);
    assert_string_equal(ctl_text(line_with(lines, "broadcast", "hears its beacons"), "node"), "n2");
    json_decref(lines);
    open_world(&w, 4);
    w.beacon[0][3] = false;
    lines = diagnose(&w);
    assert_string_equal(ctl_text(line_with(lines, "broadcast", "of n0"), "node"), "n3");
    json_decref(lines);
}

/* Of a way that could not be tried nothing is claimed. */
static void test_way_back_unknown(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 4);
    w.udp[0][2] = w.udp[2][0] = false;
    w.was_late[2] = true;
    json_t *lines = diagnose(&w);
    assert_non_null(line_with(lines, "reach",
                              "from n0 does not arrive at n2; from n2 to n0 it could "
                              "not be tried"));
    json_decref(lines);
}

/* Who did not knock proves nothing by its silence. */
static void test_no_knock_no_finding(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 4);
    memset(w.udp[2], 0, sizeof w.udp[2]);
    memset(w.beacon[2], 0, sizeof w.beacon[2]);
    w.was_late[2] = true;
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    json_decref(lines);
    w.was_late[2] = false;
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "reach"), 1);
    assert_int_equal(count_not_ok(lines, "broadcast"), 0); /* said already */
    assert_int_equal(ctl_doctor_exit(lines), EXIT_DONE);   /* they are alive over TCP */
    json_decref(lines);
    w.sees[0][2] = w.sees[1][2] = "suspect";
    lines = diagnose(&w);
    assert_int_equal(ctl_doctor_exit(lines), EXIT_REFUSED);
    json_decref(lines);
}

/* Beacons with a node's identity from where it is not. */
static void test_copied_identity(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 3);
    w.copied = 2;
    json_t *lines = diagnose(&w);
    const json_t *line = line_with(lines, "identity", "10.0.0.77");
    assert_string_equal(ctl_text(line, "node"), "n2");
    assert_string_equal(ctl_text(line, "status"), "fail");
    assert_int_equal(count_not_ok(lines, NULL), 1);
    json_decref(lines);
    w.is_old_elsewhere = true; /* it has moved, and is heard on its other interface for long */
    w.own_first_ms = 3000;
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    json_decref(lines);
    w.is_old_elsewhere = false;
    w.own_first_ms = 3000; /* it has just moved: the others came from its address of before */
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    json_decref(lines);
}

static void test_clocks(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 4);
    w.time[3] = "1970-01-01T00:00:10.000Z";
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "clock"), 1);
    assert_string_equal(ctl_text(line_with(lines, "clock", "56 years behind"), "node"), "n3");
    json_decref(lines);
    open_world(&w, 2);
    w.time[0] = "2026-11-21T03:21:07.125Z";
    lines = diagnose(&w);
    assert_non_null(line_with(lines, "clock", "the clock of n1 is 59 s behind that of n0"));
    json_decref(lines);
}

static void test_nodes_and_views(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 3);
    w.is_silent[2] = true;
    json_t *lines = diagnose(&w);
    assert_string_equal(ctl_text(line_with(lines, "nodes", "does not answer"), "node"), "n2");
    assert_int_equal(ctl_doctor_exit(lines), EXIT_REFUSED);
    assert_int_equal(count_not_ok(lines, "reach"), 0);
    json_decref(lines);
    open_world(&w, 3);
    w.sees[1][2] = "failed";
    lines = diagnose(&w);
    assert_string_equal(
        ctl_text(line_with(lines, "views", "seen as failed by n1, as alive by n0"), "node"), "n2");
    json_decref(lines);
    w.sees[1][2] = "suspect"; /* a suspicion is its own, for moments */
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    json_decref(lines);
    open_world(&w, 3);
    w.is_silent[2] = true;
    w.sees[0][2] = w.sees[1][2] = "failed";
    lines = diagnose(&w);
    assert_non_null(line_with(lines, "nodes", "failed for 6 s"));
    assert_int_equal(count_not_ok(lines, "views"), 0);
    json_decref(lines);
}

static const json_t *fix_has(const json_t *lines, const char *node, const char *text)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *) lines, i, line)
    {
        if (strcmp(ctl_text(line, "node"), node) == 0 &&
            strstr(ctl_text(line, "fix"), text) != NULL) {
            return line;
        }
    }
    return NULL;
}

/* What a plain connect tells of a node that failed decides what is to be done. */
static void test_what_to_do_about_the_absent(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 5);
    w.reason = "no-ack";
    for (size_t i = 1; i < 4; i++) {
        w.is_silent[i] = true;
        w.sees[0][i] = w.sees[4][i] = "failed";
    }
    w.tried[1] = TRIED_OPEN;
    w.tried[2] = TRIED_REFUSED;
    w.tried[3] = TRIED_SILENT;
    json_t *lines = diagnose(&w);
    assert_non_null(
        line_with(lines, "nodes", "it answers no probe; its machine takes connections"));
    assert_non_null(fix_has(lines, "n1", "is its meshd stopped"));
    assert_non_null(fix_has(lines, "n2", "systemctl start meshd"));
    assert_non_null(fix_has(lines, "n3", "ping 10.0.0.4"));
    assert_int_equal(count_not_ok(lines, NULL), 3);
    json_decref(lines);
    w.reason = "refused";
    w.tried[1] = TRIED_NOT;
    lines = diagnose(&w);
    assert_non_null(line_with(lines, "nodes", "its machine is up, its meshd is not"));
    assert_non_null(fix_has(lines, "n1", "systemctl start meshd"));
    json_decref(lines);
}

/* Loss is told of the one node, the one pair, or the network, that has it. */
static void test_loss(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 5);
    w.answers[1][2] = 8; /* one of many is none */
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    assert_non_null(line_with(lines, "loss", "179 of 180 pings"));
    json_decref(lines);
    for (size_t i = 0; i < 5; i++) {
        w.answers[3][i] = w.answers[i][3] = 6;
    }
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_string_equal(ctl_text(line_with(lines, "loss", "of 72 pings"), "node"), "n3");
    json_decref(lines);
    open_world(&w, 5);
    w.answers[1][4] = w.answers[4][1] = 5;
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_non_null(line_with(lines, "loss", "of 18 pings between n1 and n4, 8"));
    json_decref(lines);
    for (size_t i = 0; i < 25; i++) {
        w.answers[i / 5][i % 5] = 5;
    }
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_non_null(line_with(lines, "loss", "between all nodes, 80 had no answer"));
    w.is_silent[2] = true; /* and so its answer did not come */
    json_decref(lines);
    lines = diagnose(&w);
    assert_string_equal(ctl_text(line_with(lines, "nodes", "many packets"), "status"), "warn");
    json_decref(lines);
}

static void test_large_datagrams(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 5);
    for (size_t i = 0; i < 5; i++) {
        w.large[3][i] = w.large[i][3] = 0;
    }
    w.is_silent[3] = true;
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "loss"), 1);
    const json_t *line = line_with(lines, "loss", "large datagrams between it and 4 others");
    assert_string_equal(ctl_text(line, "node"), "n3");
    assert_non_null(strstr(ctl_text(line, "fix"), "From n0: ping"));
    assert_non_null(line_with(lines, "nodes", "large packets on the way to it"));
    json_decref(lines);
    open_world(&w, 5);
    w.large[0][1] = w.large[1][0] = 0;
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_non_null(line_with(lines, "loss", "large datagrams between n0 and n1"));
    w.large[1][0] = 1; /* it was chance */
    json_decref(lines);
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 0);
    json_decref(lines);
}

/* A machine that was set up anew is there under another identity. */
static void test_set_up_anew(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 3);
    w.sees[0][2] = w.sees[1][2] = "failed";
    w.is_silent[2] = true;
    w.is_anew = true;
    json_t *lines = diagnose(&w);
    assert_non_null(line_with(lines, "nodes", "at its address 10.0.0.2:8471 there is n1 now"));
    assert_int_equal(ctl_doctor_exit(lines), EXIT_DONE);
    json_decref(lines);
}

/* Nobody answers: one line about the node that was asked, none about the others. */
static void test_cut_off(void **state)
{
    struct world w;
    (void) state;
    open_world(&w, 5);
    for (size_t i = 1; i < 5; i++) {
        w.is_silent[i] = true;
        w.tried[i] = TRIED_SILENT;
        w.udp[i][0] = false;
        w.answers[0][i] = w.large[0][i] = 0;
    }
    w.sees[0][1] = w.sees[0][2] = "failed";
    w.sees[0][3] = "suspect";
    json_t *lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_non_null(line_with(lines, "nodes", "none of the 4 others answers n0"));
    assert_non_null(line_with(lines, "nodes", "failed n1, n2; suspect n3; still alive to it n4"));
    json_decref(lines);
    w.tried[4] = TRIED_OPEN; /* there is a network */
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, "nodes"), 4 + 1); /* each, and that they are many */
    json_decref(lines);
    w.tried[4] = TRIED_SILENT;
    w.udp[4][0] = true;
    lines = diagnose(&w); /* UDP of one comes in */
    assert_non_null(line_with(lines, "nodes", "alive by UDP, but TCP from n0 to it does not pass"));
    assert_non_null(line_with(lines, "nodes", "3 of 5 nodes are silent at once; n0, n4 still"));
    json_decref(lines);
    w.is_aside = true; /* the copy of another node asks nobody */
    lines = diagnose(&w);
    assert_int_equal(count_not_ok(lines, NULL), 1);
    assert_non_null(line_with(lines, "nodes", "it keeps out of the mesh"));
    assert_int_equal(ctl_doctor_exit(lines), EXIT_DONE);
    json_decref(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_well),
        cmocka_unit_test(test_each_shut_way_is_named),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_no_knock_no_finding),
        cmocka_unit_test(test_way_back_unknown),
        cmocka_unit_test(test_copied_identity),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_nodes_and_views),
        cmocka_unit_test(test_what_to_do_about_the_absent),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_set_up_anew),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_large_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
