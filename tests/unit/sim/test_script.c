/* SPDX-License-Identifier: MPL-2.0 */
/* Scenario files: what they say, where they are wrong, and that a plan written as one is the same. */
#define _GNU_SOURCE

#include "../unit.h"

#include "sim/faults.h"
#include "sim/scenarios.h"
#include "sim/script.h"

#include <stdio.h>

static struct script *read_text(const char *text, struct script_error *ret_error)
{
    struct span copy = exact_copy(text, strlen(text));
    struct script *s = script_read(copy, "test", ret_error);
    exact_free(copy);
    return s;
}

/* The plan that a text gives; it must be right. */
static void plan_of(const char *text, uint64_t seed, struct plan *ret_plan)
{
    struct script_error error;
    struct script *s = read_text(text, &error);
    if (s == NULL) {
        print_error("%u:%u: %s\n", error.line, error.column, error.text);
    }
    assert_non_null(s);
    assert_true(script_plan(s, seed, ret_plan));
    script_destroy(&s);
}

static void test_wrong(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        unsigned line, column;
        const char *says;
    } rows[] = {
        {"nodez 5", 1, 1, "\"nodez\": no such setting or statement; nearest: nodes"},
        {"nodes 5\n\n  at 10s crahs n3", 3, 10, "no such fault; nearest: crash"},
        {"at 10s crash n6", 1, 14, "expected a node from n1 to n5"},
        {"at 10s crash n0", 1, 14, "expected a node"},
        {"at 10s crash n1,", 1, 17, "the end of the line: expected a node"},
        {"at 10s crash n3..n1", 1, 14, "the range is empty"},
        {"at 10s crash", 1, 13, "the end of the line"},
        {"at 10s crash n1 n2", 1, 17, "expected the end of the line"},
        {"at ten crash n1", 1, 4, "expected a time like"},
        {"at 10 crash n1", 1, 4, "expected a time like"},
        {"at 10x crash n1", 1, 4, "expected a time like"},
        {"at 200y crash n1", 1, 4, "100 years at most"},
        {"at 20s..10s crash n1", 1, 4, "the range is empty"},
        {"for 5..10s", 1, 5, "a range cannot stand here"},
        {"every 0s crash n1", 1, 10, "would never end"},
        {"at 1s stall n1", 1, 15, "expected how long"},
        {"at 1s clock n1 back 3s", 1, 7, "expected one of jump, drift"},
        {"at 1s clock n1 drift 3s", 1, 22, "expected millionths"},
        {"at 1s clone n1 as n1", 1, 21, "two different nodes"},
        {"at 1s clone n1 to n2", 1, 16, "expected \"as\""},
        {"at 1s flood snow 3/s for 1s", 1, 7, "expected one of icmp, replays, beacons, strangers"},
        {"at 1s storm n1 0/s for 3s", 1, 16, "expected a rate"},
        {"at 1s partition n1 | n2,n1", 1, 27, "n1 is on two sides"},
        {"loss 101%", 1, 6, "expected a percentage"},
        {"loss 5", 1, 6, "expected a percentage"},
        {"loss 5% for 10s", 1, 16, "at 10s loss"},
        {"crash n1", 1, 1, "when? Expected \"at 10s crash n3 for 5s\""},
        {"pair n1 n2", 1, 11, "expected loss, latency, jitter or ok"},
        {"at 1s crash n1\nnodes 9", 2, 7, "nodes must stand before"},
        {"nodes 5000", 1, 7, "expected a whole number from 1 to 4096"},
        {"off any", 1, 8, "any cannot be off"},
        {"broadcast no", 1, 11, "expected on or off"},
        {"expect calm", 1, 8, "no such expectation"},
        {"expect agred within 3s", 1, 8, "nearest: agreed"},
        {"expect alive n1", 1, 16, "when? Expected \"at 30s expect alive"},
        {"expect failed n1", 1, 17, "expected within"},
        {"at 3s expect agreed within 3s", 1, 14, "write it without \"at\""},
        {"every 3s expect alive n1", 1, 10, "an expectation needs one time"},
        {"expect detected any within 3s", 1, 17, "expected the nodes' names"},
        {"\x01\x02", 1, 1, "\"??\": no such"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct script_error error;
        struct script *s = read_text(rows[i].text, &error);
        bool is_right = s == NULL && error.line == rows[i].line && error.column == rows[i].column &&
                        strstr(error.text, rows[i].says) != NULL;
        if (!is_right) {
            print_error("%s: %u:%u: %s\n", rows[i].text, error.line, error.column, error.text);
        }
        script_destroy(&s);
        assert_true(is_right);
    }
}

static void test_times(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"for 250ms", 250U * MS_NS},
        {"for 1.5m", 90ULL * SECOND_NS},
        {"for 1h30m", 5400ULL * SECOND_NS},
        {"for 2d", 172800ULL * SECOND_NS},
        {"for 1w", 604800ULL * SECOND_NS},
        {"for 1y", 365ULL * 86400 * SECOND_NS},
        {"for 0.123456789s", 123456789U},
        {"for 20.5us", 20500},
        {"for 7min # a comment", 420ULL * SECOND_NS},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct plan p;
        plan_of(rows[i].text, 1, &p);
        if (p.for_ns != rows[i].ns) {
            print_error("%s: %llu\n", rows[i].text, (unsigned long long) p.for_ns);
        }
        assert_true(p.for_ns == rows[i].ns);
        plan_fini(&p);
    }
}

/* Faults other than the starts at the beginning. */
static const struct plan_fault *nth_fault(const struct plan *p, size_t n)
{
    for (size_t i = 0; i < p->fault_count; i++) {
        bool is_beginning = p->faults[i].kind == FAULT_START && p->faults[i].at_ns < SECOND_NS;
        if (!is_beginning && n-- == 0) {
            return &p->faults[i];
        }
    }
    return NULL;
}

static void test_faults(void **state)
{
    (void) state;
    struct plan p;
    plan_of("nodes 6\n"
            "at 10s crash n3 for 5s\n"
            "at 20s partition n1,n2 | n4..n5 for 7s\r\n"
            "at 30s clock n2 jump -1h\n"
            "at 31s clock n2 drift -50ppm\n"
            "at 32s storm n4 100/min for 1m\n"
            "at 33s radio n1 80% for 1s\n"
            "expect agreed within 9s\n"
            "expect told n3 within 2s\n",
            1, &p);
    assert_int_equal(p.nodes, 6);
    assert_true(p.converge_ns == 9ULL * SECOND_NS);
    assert_int_equal(p.expect_count, 1);
    assert_int_equal(p.expects[0].kind, EXPECT_TOLD);
    assert_true(node_set_has(&p.expects[0].who, 2) && !node_set_has(&p.expects[0].who, 1));
    assert_true(p.expects[0].within_ns == 2ULL * SECOND_NS);
    assert_true(p.calm_ns == 92ULL * SECOND_NS);
    const struct plan_fault *f = nth_fault(&p, 0);
    assert_int_equal(f->kind, FAULT_CRASH);
    assert_int_equal(f->a, 2);
    f = nth_fault(&p, 1);
    assert_int_equal(f->kind, FAULT_START);
    assert_true(f->at_ns == 15ULL * SECOND_NS);
    f = nth_fault(&p, 2);
    assert_int_equal(f->kind, FAULT_PARTITION);
    const uint8_t sides[6] = {1, 1, 0, 2, 2, 0};
    assert_memory_equal(p.sides[f->arg].side, sides, sizeof sides);
    assert_int_equal(nth_fault(&p, 3)->kind, FAULT_HEAL);
    assert_true((int64_t) nth_fault(&p, 4)->arg == -3600000);
    assert_true((int64_t) nth_fault(&p, 5)->arg == -50);
    f = nth_fault(&p, 6);
    assert_true(f->kind == FAULT_RESTART && f->every_ns == 600ULL * MS_NS);
    assert_true(f->until_ns == 92ULL * SECOND_NS);
    assert_true(nth_fault(&p, 7)->arg == 800000 && nth_fault(&p, 8)->arg == 0);
    plan_fini(&p);
}

static void test_any(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct plan p;
        plan_of("nodes 6\noff n6\nat 5..9s crash any 3 of n2..n6\nevery 1..2s from 20s until 30s "
                "leave any\n",
                seed, &p);
        unsigned seen = 0;
        uint64_t last_ns = 0;
        for (size_t i = 0; nth_fault(&p, i) != NULL; i++) {
            const struct plan_fault *f = nth_fault(&p, i);
            assert_in_range(f->a, 0, 4);
            if (f->kind == FAULT_CRASH) {
                assert_in_range(f->at_ns, 5ULL * SECOND_NS, 9ULL * SECOND_NS);
                assert_true(f->a >= 1 && (seen & (1U << f->a)) == 0);
                seen |= 1U << f->a;
            } else {
                assert_true(last_ns == 0 || f->at_ns >= last_ns + SECOND_NS);
                assert_in_range(f->at_ns, 20ULL * SECOND_NS, 30ULL * SECOND_NS - 1);
                last_ns = f->at_ns;
            }
        }
        assert_true(seen != 0 && last_ns != 0);
        plan_fini(&p);
    }
}

static void test_clone_waits(void **state)
{
    (void) state;
    struct plan p;
    plan_of("nodes 3\nat 10s clone n1 as n3", 1, &p);
    for (size_t i = 0; i < p.fault_count; i++) {
        assert_true(p.faults[i].kind != FAULT_START || p.faults[i].a != 2);
    }
    plan_fini(&p);
}

static void test_too_many(void **state)
{
    (void) state;
    static const char *const texts[] = {"every 1ms until 1y crash n1", "every 1s until 1y heal",
                                        "every 1s until 1h pair n1 n2 loss 5%",
                                        "every 1s until 1d partition any"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct script_error error;
        struct plan p;
        struct script *s = read_text(texts[i], &error);
        assert_non_null(s);
        assert_false(script_plan(s, 1, &p));
        assert_in_range(p.fault_count, 1, SCRIPT_FAULTS_MAX);
        plan_fini(&p);
        script_destroy(&s);
    }
}

static struct script *read_back(const struct plan *p)
{
    char *text = NULL;
    size_t size = 0;
    struct script_error error;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    plan_write(p, out);
    fclose(out);
    struct script *s = script_read(span_of(text, size), "again", &error);
    if (s == NULL) {
        print_error("%u:%u: %s\n%s\n", error.line, error.column, error.text, text);
    }
    assert_non_null(s);
    free(text);
    return s;
}

static void assert_same_plan(const struct plan *a, const struct plan *b)
{
    assert_int_equal(a->nodes, b->nodes);
    assert_true(a->for_ns == b->for_ns && a->calm_ns == b->calm_ns);
    assert_true(a->converge_ns == b->converge_ns);
    assert_memory_equal(&a->net, &b->net, sizeof a->net);
    assert_int_equal(a->fault_count, b->fault_count);
    for (size_t i = 0; i < a->fault_count; i++) {
        const struct plan_fault *x = &a->faults[i];
        const struct plan_fault *y = &b->faults[i];
        if (x->kind != y->kind || x->at_ns != y->at_ns || x->a != y->a) {
            print_error("fault %zu: %d %d\n", i, (int) x->kind, (int) y->kind);
        }
        assert_true(x->kind == y->kind && x->at_ns == y->at_ns && x->a == y->a && x->b == y->b);
        assert_true(x->every_ns == y->every_ns && x->until_ns == y->until_ns);
        if (x->kind == FAULT_PARTITION) {
            for (unsigned j = 0; j < a->nodes; j++) {
                for (unsigned k = 0; k < a->nodes; k++) {
                    const uint8_t *p = a->sides[x->arg].side, *q = b->sides[y->arg].side;
                    assert_true((p[j] == p[k]) == (q[j] == q[k]));
                }
            }
        } else if (x->kind == FAULT_PATH) {
            assert_memory_equal(&a->paths[x->arg], &b->paths[y->arg], sizeof a->paths[0]);
        } else if (x->kind == FAULT_WRITE) {
            assert_memory_equal(&a->loads[x->arg], &b->loads[y->arg], sizeof a->loads[0]);
        } else if (x->kind != FAULT_EXPECT) {
            assert_true(x->arg == y->arg);
        }
    }
}

/* Whatever a scenario draws, its file says the same. */
static void test_written(void **state)
{
    (void) state;
    for (unsigned i = 0; i < scenario_count; i++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            const struct scenario *sc = &scenarios[i];
            struct plan first, second;
            struct prng net_prng;
            plan_init(&first, seed, sc->nodes_min + (unsigned) seed % 5);
            prng_init(&net_prng, seed);
            faults_net_default(&first.net);
            if (sc->net != NULL) {
                sc->net(&first.net, &net_prng, first.nodes);
            }
            first.for_ns = sc->for_ms * MS_NS;
            first.converge_ns = sc->converge_ms * MS_NS;
            sc->plan(&first);
            struct script *s = read_back(&first);
            assert_true(script_plan(s, seed, &second));
            assert_same_plan(&first, &second);
            script_destroy(&s);
            plan_fini(&first);
            plan_fini(&second);
        }
    }
}

/* Every example that --help=scenario shows is right. */
static void test_examples(void **state)
{
    (void) state;
    for (size_t i = 0; i < script_verb_count; i++) {
        char text[128];
        struct plan p;
        snprintf(text, sizeof text, "at 10s %s\n", script_verbs[i].example);
        plan_of(text, 1, &p);
        assert_int_equal(nth_fault(&p, 0)->kind, script_verbs[i].kind);
        plan_fini(&p);
    }
    for (size_t i = 0; i < script_setting_count; i++) {
        struct plan p;
        plan_of(script_settings[i].example, 1, &p);
        plan_fini(&p);
    }
    for (size_t i = 0; i < script_expect_count; i++) {
        struct plan p;
        plan_of(script_expects[i].example, 1, &p);
        plan_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong),       cmocka_unit_test(test_times),
        cmocka_unit_test(test_faults),      cmocka_unit_test(test_any),
        cmocka_unit_test(test_clone_waits), cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_written),     cmocka_unit_test(test_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
