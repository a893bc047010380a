/* SPDX-License-Identifier: MPL-2.0 */
/* Where members are looked for, and what follows when they, or we, move. */
#include "../unit.h"

#include "core/core_priv.h"
#include "mini.h"

static const struct addr lan = {.family = 4, .ip = {10, 0, 0, 1}, .port = 8471};
static const struct addr wlan = {.family = 4, .ip = {10, 1, 0, 1}, .port = 8471};
static const struct addr local = {
    .family = 6, .ip = {0xfe, 0x80, [15] = 1}, .port = 8471, .scope = 3};

/* A record of peer 1 with these addresses; scopes do not travel. */
static struct span record_at(struct mini *m, uint64_t incarnation, const struct addr *addrs,
                             size_t count)
{
    struct node_record rec = {.mesh_tag = mini_hash(span_of("home", 4)),
                              .state = RECORD_ALIVE,
                              .incarnation = incarnation,
                              .name = "moves",
                              .addr_count = count,
                              .port = 8471,
                              .link_port = 9000,
                              .version_min = 1,
                              .version_max = 1};
    memcpy(rec.key, m->peer[1].key, 32);
    memcpy(rec.addrs, addrs, count * sizeof *addrs);
    buf_clear(&m->b);
    node_record_write(&m->b, &rec);
    struct span body = buf_span(&m->b);
    uint8_t *signature = buf_extend(&m->b, SIGNATURE_BYTES);
    assert_non_null(signature);
    mini_sign_as(m->peer[1].key, span_of(m->b.data, body.size), signature);
    return buf_span(&m->b);
}

static void tell_record(struct mini *m, size_t from, uint64_t incarnation, const struct addr *addrs,
                        size_t count)
{
    struct buf b;
    buf_init(&b, 1000);
    swim_update_write_record(&b, record_at(m, incarnation, addrs, count));
    mini_tell(m, from, buf_span(&b));
    buf_fini(&b);
}

static void link_up(struct mini *m, size_t peer)
{
    struct event ev = {.type = EV_LINK_UP, .as.link = {.peer = m->peer[peer].id}};
    mini_step(m, &ev);
}

static void tell_own(struct mini *m, const struct addr *addrs, size_t count)
{
    struct event ev = {.type = EV_ADDRESSES, .as.addresses = {addrs, count}};
    mini_step(m, &ev);
}

/* Pings to that place since `from` in the log. */
static size_t pings_to(const struct mini *m, size_t from, const struct addr *to)
{
    size_t count = 0;
    for (size_t i = from; i < m->log_count; i++) {
        const struct mini_fx *l = &m->log[i];
        count += l->type == FX_DATAGRAM && l->swim == SWIM_PING && addr_eq(&l->to, to);
    }
    return count;
}

static void own_address_is_lost(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct addr own[2] = {mini_addr(0), wlan};
    mini_meet_all(m, 2);
    link_up(m, 1);
    mini_run(m, 5 * MINI_SECOND);
    uint64_t incarnation = m->core->self->rec.incarnation;
    /* One more address: told, and nothing is torn down. */
    tell_own(m, own, 2);
    assert_int_equal(m->core->self->rec.incarnation, incarnation + 1);
    assert_int_equal(mini_count(m, FX_HANGUP, 0, 1), 0);
    /* The first is gone: links may stand on it. */
    size_t beacons = mini_count(m, FX_BEACON, 0, MINI_PEERS);
    tell_own(m, own + 1, 1);
    assert_int_equal(m->core->self->rec.incarnation, incarnation + 2);
    assert_int_equal(mini_count(m, FX_HANGUP, 0, 1), 1);
    /* A new network: a beacon at once, not at the next turn. */
    mini_run(m, 1 * MINI_MS);
    assert_int_equal(mini_count(m, FX_BEACON, 0, MINI_PEERS), beacons + 1);
    mini_free(&m);
}

static void same_addresses_again(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct addr own = mini_addr(0);
    mini_meet_all(m, 1);
    mini_run(m, 5 * MINI_SECOND);
    uint64_t incarnation = m->core->self->rec.incarnation;
    size_t beacons = mini_count(m, FX_BEACON, 0, MINI_PEERS);
    tell_own(m, &own, 1); /* the cable was out and is in again */
    mini_run(m, 1 * MINI_MS);
    assert_int_equal(m->core->self->rec.incarnation, incarnation);
    assert_int_equal(mini_count(m, FX_BEACON, 0, MINI_PEERS), beacons + 1);
    mini_free(&m);
}

static void member_moves(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct addr both[2] = {mini_addr(1), wlan};
    mini_meet_all(m, 2);
    link_up(m, 1);
    tell_record(m, 2, 6, both, 2);
    assert_int_equal(mini_count(m, FX_HANGUP, 0, 1), 0);
    tell_record(m, 2, 7, &wlan, 1);
    assert_int_equal(mini_count(m, FX_HANGUP, 0, 1), 1);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    mini_free(&m);
}

/* Known by hearsay: nobody can say which of its addresses is any good. */
static void all_addresses_are_asked(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct addr three[3] = {lan, wlan, local};
    three[2].scope = 0;
    mini_meet(m, 2, 5);
    m->peer[2].answers = true;
    tell_record(m, 2, 5, three, 3);
    size_t from = m->log_count;
    mini_run(m, 2 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pings_to(m, from, &three[i]) > 0);
    }
    /* Failed, it is looked for at each of them, again and again. */
    mini_run(m, 30 * MINI_SECOND);
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    from = m->log_count;
    mini_run(m, 3 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pings_to(m, from, &three[i]) >= 2);
    }
    mini_free(&m);
}

static void hear_from(struct mini *m, const struct addr *from, enum datagram_class cls,
                      const struct swim_msg *msg)
{
    struct buf b;
    buf_init(&b, 2000);
    swim_msg_write(&b, msg);
    struct event ev = {.type = EV_DATAGRAM,
                       .as.datagram = {.from = *from,
                                       .cls = cls,
                                       .sender = m->peer[1].id,
                                       .session = 1001,
                                       .counter = ++m->peer[1].counter,
                                       .body = buf_span(&b)}};
    mini_step(m, &ev);
    buf_fini(&b);
}

/* A record cannot say on which of our interfaces a link-local address is; where it came from can. */
static void link_local_is_proven_with_its_scope(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct addr bare = local;
    struct swim_msg answer, challenge;
    bare.scope = 0;
    struct addr told[2] = {lan, bare};
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5, .record = record_at(m, 5, told, 2)};
    size_t from = m->log_count;
    hear_from(m, &local, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer));
    assert_true(addr_eq(&m->log[from].to, &local));
    struct swim_msg confirm = {
        .type = SWIM_CONFIRM, .echo = answer.nonce, .record = record_at(m, 5, told, 2)};
    hear_from(m, &local, DATAGRAM_MESH, &confirm);
    assert_true(mini_sent(m, SWIM_CHALLENGE, &challenge));
    struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce};
    hear_from(m, &local, DATAGRAM_PAIR, &echo);
    struct member_view view;
    assert_true(mini_view(m, 1, &view));
    assert_true(addr_eq(&view.addr, &local));
    /* Others could not use it: they get the one that says where by itself. */
    assert_true(addr_eq(&view.told_addr, &lan));
    from = m->log_count;
    mini_run(m, 1500 * MINI_MS);
    assert_true(pings_to(m, from, &local) > 0);
    assert_int_equal(pings_to(m, from, &bare), 0);
    mini_free(&m);
}

/* Behind NAT a machine does not know the address that others see; its record names one that leads nowhere.
 * What it asks is answered where it asks from, or it would never be a member. */
static void answers_go_where_questions_come_from(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    const struct addr outside = addr_v4(192, 168, 7, 7, 40001);
    struct swim_msg answer, challenge;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5, .record = record_at(m, 5, &lan, 1)};
    size_t from = m->log_count;
    hear_from(m, &outside, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer));
    assert_true(addr_eq(&m->log[from].to, &outside));
    struct swim_msg confirm = {
        .type = SWIM_CONFIRM, .echo = answer.nonce, .record = record_at(m, 5, &lan, 1)};
    hear_from(m, &outside, DATAGRAM_MESH, &confirm);
    assert_true(mini_sent(m, SWIM_CHALLENGE, &challenge));
    struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce};
    hear_from(m, &outside, DATAGRAM_PAIR, &echo);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 9};
    from = m->log_count;
    hear_from(m, &outside, DATAGRAM_PAIR, &ping);
    size_t acks = 0;
    for (size_t i = from; i < m->log_count; i++) {
        acks += m->log[i].swim == SWIM_ACK && addr_eq(&m->log[i].to, &outside);
    }
    assert_int_equal(acks, 1);
    /* Where it is reached is what its record says: what comes from elsewhere may have been sent on. */
    struct member_view view;
    assert_true(mini_view(m, 1, &view));
    assert_true(addr_eq(&view.addr, &lan));
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_address_is_lost),
        cmocka_unit_test(same_addresses_again),
        cmocka_unit_test(member_moves),
        cmocka_unit_test(all_addresses_are_asked),
        cmocka_unit_test(link_local_is_proven_with_its_scope),
        cmocka_unit_test(answers_go_where_questions_come_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
