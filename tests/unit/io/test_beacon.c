/* SPDX-License-Identifier: MPL-2.0 */
/* Beacons on loopback: every process of the machine hears every other, itself not, and garbage is
 * counted. Also which addresses the interfaces give. Skipped where the port cannot be shared. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/beacon.h"
#include "wire/zre_msg.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 2000

static struct addr loopback(uint8_t last)
{
    return addr_v4(127, 0, 0, last, 0);
}

static beacon_t *open_beacon(uint8_t number, uint8_t last, struct metrics *metrics)
{
    struct node_id id;
    struct netif_list list;
    struct netif_wish wish = {.bind = loopback(last)};
    beacon_t *b = NULL;
    memset(&id, number, sizeof id);
    assert_int_equal(netif_list_read(&wish, &list), HM_OK);
    assert_int_equal(list.count, 1);
    struct beacon_conf conf = {
        .id = id, .port = (uint16_t) (1000 + number), .metrics = metrics};
    assert_int_equal(beacon_new(&conf, &b), HM_OK);
    beacon_set_interfaces(b, &list, true);
    return b;
}

/* Takes the next beacon of that number, skipping those of strangers on this machine. */
static bool hear(beacon_t *b, uint8_t number, struct addr *ret_from)
{
    for (int i = 0; i < 100; i++) {
        struct node_id id;
        struct pollfd pfd = {beacon_fd(b, 0), POLLIN, 0};
        if (beacon_take(b, ret_from, &id) == HM_OK) {
            if (id.b[0] == number && id.b[15] == number) {
                return true;
            }
        } else if (poll(&pfd, 1, WAIT_MS) <= 0) {
            return false;
        }
    }
    return false;
}

static void test_neighbours_hear_each_other(void **state)
{
    (void) state;
    struct metrics metrics[3] = {{{0}}};
    beacon_t *b[3];
    struct addr from;
    for (uint8_t i = 0; i < 3; i++) {
        b[i] = open_beacon((uint8_t) (i + 1), (uint8_t) (i + 1), &metrics[i]);
    }
    if (beacon_problem(b[0]) != NULL) {
        print_message("%s\n", beacon_problem(b[0]));
        skip();
    }
    for (uint8_t i = 0; i < 3; i++) {
        beacon_send(b[i]);
        assert_int_equal(metrics[i].value[M_BEACONS_SENT], 1);
        for (uint8_t k = 0; k < 3; k++) {
            if (k != i) {
                assert_true(hear(b[k], (uint8_t) (i + 1), &from));
                struct addr expected = loopback((uint8_t) (i + 1));
                expected.port = (uint16_t) (1000 + i + 1);
                assert_true(addr_eq(&from, &expected));
            }
        }
    }
    /* Its own are not among what it took, and a goodbye is no address. */
    uint64_t before = metrics[1].value[M_BEACONS_RECEIVED];
    beacon_destroy(&b[0]);
    struct pollfd pfd = {beacon_fd(b[1], 0), POLLIN, 0};
    struct node_id id;
    for (int i = 0; i < 100 && metrics[1].value[M_BEACONS_RECEIVED] == before; i++) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        if (beacon_take(b[1], &from, &id) == HM_OK) {
            assert_int_not_equal(id.b[0], 1);
            assert_int_not_equal(id.b[0], 2);
        }
    }
    beacon_destroy(&b[1]);
    beacon_destroy(&b[2]);
}

static void test_garbage_is_counted(void **state)
{
    (void) state;
    struct metrics metrics = {{0}};
    beacon_t *b = open_beacon(1, 1, &metrics);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ZRE_BEACON_PORT)};
    struct addr from;
    struct node_id id;
    uint8_t bytes[2000] = {'Z', 'R', 'E', 1};
    static const size_t sizes[] = {0, 1, 21, 23, 54, 64, 2000};
    int one = 1;
    if (beacon_problem(b) != NULL) {
        skip();
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
    inet_pton(AF_INET, "127.255.255.255", &to.sin_addr);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        assert_true(sendto(fd, bytes, sizes[i], 0, (struct sockaddr *) &to, sizeof to) >= 0);
    }
    close(fd);
    struct pollfd pfd = {beacon_fd(b, 0), POLLIN, 0};
    while (metrics.value[M_BEACONS_MALFORMED] < ARRAY_COUNT(sizes)) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
        beacon_take(b, &from, &id);
    }
    beacon_destroy(&b);
}

static void test_addresses_to_tell(void **state)
{
    (void) state;
    struct netif_list list = {.count = 0};
    struct netif_wish none = {.named_count = 0};
    struct addr addrs[4];
    struct addr lo = loopback(1);
    /* Nothing but loopback. */
    list.items[list.count++] = (struct netif){.name = "lo", .addr = lo, .is_loopback = true};
    assert_int_equal(netif_addresses(&list, &none, addrs, 4), 1);
    assert_true(addr_eq(&addrs[0], &lo));
    list.count = 0;
    assert_int_equal(netif_addresses(&list, &none, addrs, 4), 1);
    assert_true(addr_eq(&addrs[0], &lo));
    /* A real one: loopback is told to nobody. */
    list.items[0] = (struct netif){.name = "eth0", .addr = addr_v4(10, 0, 0, 2, 0)};
    list.items[1] = (struct netif){.name = "lo", .addr = lo, .is_loopback = true};
    list.count = 2;
    assert_int_equal(netif_addresses(&list, &none, addrs, 4), 1);
    assert_true(addr_eq(&addrs[0], &list.items[0].addr));
    /* Bound: that and nothing else. */
    struct netif_wish bind = {.bind = addr_v4(10, 0, 0, 2, 77)};
    assert_int_equal(netif_addresses(&list, &bind, addrs, 4), 1);
    assert_true(addr_eq(&addrs[0], &list.items[0].addr));
}

static void test_interfaces_are_read(void **state)
{
    (void) state;
    struct netif_list list, again;
    struct netif_wish any = {.named_count = 0};
    struct netif_wish nowhere = {.bind = addr_v4(192, 0, 2, 1, 0)};
    size_t loopbacks = 0;
    int fd = -1;
    assert_int_equal(netif_list_read(&any, &list), HM_OK);
    assert_int_equal(netif_list_read(&any, &again), HM_OK);
    assert_true(netif_lists_equal(&list, &again));
    for (size_t i = 0; i < list.count; i++) {
        loopbacks += list.items[i].is_loopback;
    }
    assert_int_equal(loopbacks, 1);
    assert_true(list.items[list.count - 1].is_loopback);
    assert_int_equal(netif_list_read(&nowhere, &list), HM_OK);
    assert_int_equal(list.count, 0);
    assert_int_equal(netif_watch_open(&fd), HM_OK);
    assert_false(netif_watch_take(fd));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbours_hear_each_other),
        cmocka_unit_test(test_garbage_is_counted),
        cmocka_unit_test(test_addresses_to_tell),
        cmocka_unit_test(test_interfaces_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
