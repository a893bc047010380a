/* SPDX-License-Identifier: MPL-2.0 */
/* Which interfaces are used and why, and which addresses others are told, from made-up interfaces. */
#define _GNU_SOURCE
#include "../unit.h"

#include "io/netif.h"
#include "io/sockaddr.h"

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ENTRIES_MAX 128
#define MANY 16 /* interfaces, of which each has an address */
#define UP (IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST)

/* A machine: interfaces in order, each with its addresses. */
struct machine {
    struct ifaddrs entries[ENTRIES_MAX];
    struct sockaddr_storage addrs[ENTRIES_MAX];
    struct sockaddr_storage masks[ENTRIES_MAX];
    size_t count;
    int last_index;
    struct netif_facts facts;
};

static struct ifaddrs *add_entry(struct machine *m, const char *name, unsigned flags)
{
    struct ifaddrs *e = &m->entries[m->count];
    assert_true(m->count < ENTRIES_MAX);
    *e = (struct ifaddrs){.ifa_name = (char *) (uintptr_t) name, .ifa_flags = flags};
    if (m->count > 0) {
        m->entries[m->count - 1].ifa_next = e;
    }
    m->count++;
    return e;
}

static void add_link(struct machine *m, const char *name, unsigned flags)
{
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = ++m->last_index};
    struct ifaddrs *e = add_entry(m, name, flags);
    memcpy(&m->addrs[e - m->entries], &link, sizeof link);
    e->ifa_addr = (struct sockaddr *) &m->addrs[e - m->entries];
}

static void add_addr(struct machine *m, const char *name, unsigned flags, const char *text)
{
    struct addr a;
    struct addr mask = addr_v4(255, 255, 255, 0, 0);
    assert_int_equal(addr_parse(text, 0, &a), 0);
    struct ifaddrs *e = add_entry(m, name, flags);
    if (addr_is_link_local(&a)) {
        a.scope = (uint32_t) m->last_index;
    }
    sockaddr_of_addr(&a, &m->addrs[e - m->entries]);
    sockaddr_of_addr(&mask, &m->masks[e - m->entries]);
    e->ifa_addr = (struct sockaddr *) &m->addrs[e - m->entries];
    e->ifa_netmask = (struct sockaddr *) &m->masks[e - m->entries];
}

static void add(struct machine *m, const char *name, unsigned flags, const char *addr)
{
    add_link(m, name, flags);
    if (addr != NULL) {
        add_addr(m, name, flags, addr);
    }
}

static void add_loopback(struct machine *m)
{
    add(m, "lo", IFF_UP | IFF_RUNNING | IFF_LOOPBACK, "127.0.0.1");
    add_addr(m, "lo", IFF_UP | IFF_RUNNING | IFF_LOOPBACK, "::1");
}

static enum netif_why why_of(const struct netif_list *list, const char *name)
{
    for (size_t i = 0; i < list->look_count; i++) {
        if (strcmp(list->looks[i].name, name) == 0) {
            return list->looks[i].why;
        }
    }
    fail_msg("no word about %s", name);
    return NETIF_ABSENT;
}

/* The addresses told, as one text. */
static const char *told(const struct netif_list *list, const struct netif_wish *wish, size_t max,
                        char text[512])
{
    struct addr addrs[8];
    char one[ADDR_TEXT_BYTES];
    size_t count = netif_addresses(list, wish, addrs, max);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, 512 - len, "%s%s", i > 0 ? " " : "", addr_format_ip(&addrs[i], one));
    }
    return text;
}

static struct machine home_server(void)
{
    struct machine m = {.count = 0};
    add_loopback(&m);
    add(&m, "docker0", UP, "172.17.0.1");
    add(&m, "eth0", UP, "192.168.1.5");
    add_addr(&m, "eth0", UP, "10.99.0.1"); /* an alias */
    add_addr(&m, "eth0", UP, "fd00::5");
    add_addr(&m, "eth0", UP, "fe80::5");
    add(&m, "wlan0", UP, "192.168.2.5");
    add(&m, "eth1", IFF_BROADCAST, "192.168.3.5"); /* switched off */
    add(&m, "eth2", UP, NULL);
    add(&m, "wg0", UP & ~(unsigned) IFF_BROADCAST, "10.8.0.1");
    add(&m, "veth12ab", UP, "169.254.3.4");
    memcpy(m.facts.default_route, "wlan0", 6);
    return m;
}

/* A machine may have been copied: its pointers are set last. */
static void connect_all(struct machine *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct ifaddrs *e = &m->entries[i];
        e->ifa_addr = (struct sockaddr *) &m->addrs[i];
        e->ifa_netmask = e->ifa_netmask == NULL ? NULL : (struct sockaddr *) &m->masks[i];
        e->ifa_next = i + 1 < m->count ? e + 1 : NULL;
    }
}

static void list_of(struct machine *m, const struct netif_wish *wish, struct netif_list *list)
{
    connect_all(m);
    netif_list_make(wish, m->entries, &m->facts, list);
}

static void test_real_ones(void **state)
{
    (void) state;
    struct machine m = home_server();
    struct netif_wish wish = {.named_count = 0};
    struct netif_list list;
    char text[512];
    list_of(&m, &wish, &list);
    assert_int_equal(why_of(&list, "eth0"), NETIF_REAL);
    assert_int_equal(why_of(&list, "wlan0"), NETIF_REAL);
    assert_int_equal(why_of(&list, "lo"), NETIF_LOOPBACK);
    assert_int_equal(why_of(&list, "docker0"), NETIF_MADE);
    assert_int_equal(why_of(&list, "veth12ab"), NETIF_MADE);
    assert_int_equal(why_of(&list, "wg0"), NETIF_MADE);
    assert_int_equal(why_of(&list, "eth1"), NETIF_DOWN);
    assert_int_equal(why_of(&list, "eth2"), NETIF_NO_ADDRESS);
    /* Each interface's first, then IPv6, and the alias last. */
    assert_string_equal(told(&list, &wish, 4, text), "192.168.2.5 192.168.1.5 fd00::5 10.99.0.1");
    assert_string_equal(told(&list, &wish, 2, text), "192.168.2.5 fd00::5");
    assert_string_equal(told(&list, &wish, 8, text),
                        "192.168.2.5 192.168.1.5 fd00::5 10.99.0.1 fe80::5");
    /* One beacon per interface and IPv4 address, and one to the IPv6 group from the local address. */
    size_t groups = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct netif *n = &list.items[i];
        if (n->beacon_to.family == 6) {
            assert_true(addr_is_link_local(&n->addr));
            assert_int_equal(n->beacon_to.scope, n->index);
            groups++;
        } else {
            assert_int_equal(n->beacon_to.family, n->addr.family == 4 ? 4 : 0);
        }
    }
    assert_int_equal(groups, 1);
    assert_true(list.items[list.count - 1].is_loopback);
}

static void test_named(void **state)
{
    (void) state;
    struct machine m = home_server();
    struct netif_wish wish = {.named = {"wg0", "usb0"}, .named_count = 2};
    struct netif_list list;
    char text[512];
    list_of(&m, &wish, &list);
    assert_int_equal(why_of(&list, "wg0"), NETIF_NAMED);
    assert_int_equal(why_of(&list, "eth0"), NETIF_NOT_NAMED);
    assert_int_equal(why_of(&list, "docker0"), NETIF_NOT_NAMED);
    assert_int_equal(why_of(&list, "usb0"), NETIF_ABSENT);
    assert_int_equal(why_of(&list, "lo"), NETIF_LOOPBACK);
    assert_string_equal(told(&list, &wish, 4, text), "10.8.0.1");
}

static void test_bound(void **state)
{
    (void) state;
    struct machine m = home_server();
    struct netif_wish wish = {.bind = addr_v4(192, 168, 1, 5, 9)};
    struct netif_list list;
    char text[512];
    list_of(&m, &wish, &list);
    assert_int_equal(why_of(&list, "eth0"), NETIF_BOUND);
    assert_int_equal(why_of(&list, "wlan0"), NETIF_NOT_BOUND);
    assert_int_equal(list.count, 1);
    assert_string_equal(told(&list, &wish, 4, text), "192.168.1.5");
    /* Every IPv6 address, and only those. */
    wish.bind = (struct addr){.family = 6};
    list_of(&m, &wish, &list);
    assert_int_equal(why_of(&list, "eth0"), NETIF_REAL);
    assert_int_equal(why_of(&list, "wlan0"), NETIF_NO_ADDRESS);
    assert_string_equal(told(&list, &wish, 4, text), "fd00::5 fe80::5");
}

static void test_nothing_real(void **state)
{
    (void) state;
    struct machine m = {.count = 0};
    struct netif_wish wish = {.named_count = 0};
    struct netif_list list;
    char text[512];
    add_loopback(&m);
    add(&m, "veth0", UP, "10.1.1.1");
    add(&m, "tun0", UP, "10.2.2.2");
    list_of(&m, &wish, &list);
    assert_int_equal(why_of(&list, "veth0"), NETIF_FOR_WANT);
    assert_string_equal(told(&list, &wish, 4, text), "10.1.1.1 10.2.2.2");
    m.count = 3; /* loopback alone */
    list_of(&m, &wish, &list);
    assert_string_equal(told(&list, &wish, 4, text), "127.0.0.1");
}

/* A cable that is out puts its addresses behind the others; an address that is not ours yet is none. */
static void test_cable_and_unfit(void **state)
{
    (void) state;
    struct machine m = {.count = 0};
    struct netif_wish wish = {.named_count = 0};
    struct netif_list list, before;
    char text[512];
    add_loopback(&m);
    add(&m, "eth0", UP, "10.0.0.1");
    add(&m, "eth1", UP, "10.0.1.1");
    add_addr(&m, "eth1", UP, "fe80::1");
    list_of(&m, &wish, &before);
    assert_string_equal(told(&before, &wish, 4, text), "10.0.0.1 10.0.1.1 fe80::1");
    for (size_t i = 0; i < m.count; i++) {
        if (strcmp(m.entries[i].ifa_name, "eth0") == 0) {
            m.entries[i].ifa_flags &= ~(unsigned) IFF_RUNNING;
        }
    }
    m.facts.unfit[m.facts.unfit_count++] = (struct addr){.family = 6, .ip = {0xfe, 0x80, [15] = 1}};
    list_of(&m, &wish, &list);
    assert_string_equal(told(&list, &wish, 4, text), "10.0.1.1 10.0.0.1");
    assert_false(netif_lists_equal(&list, &before));
}

/* No room is left for what does not fit, however much there is. */
static void test_many(void **state)
{
    (void) state;
    struct machine m = {.count = 0};
    struct netif_wish wish = {.named_count = 0};
    struct netif_list list;
    static char names[MANY][NETIF_NAME_BYTES];
    char text[512];
    for (int i = 0; i < MANY; i++) {
        char addr[32];
        snprintf(names[i], sizeof names[i], "eth%d", i);
        snprintf(addr, sizeof addr, "10.0.%d.1", i);
        add(&m, names[i], UP, addr);
    }
    list_of(&m, &wish, &list);
    assert_int_equal(list.count, MANY);
    assert_string_equal(told(&list, &wish, 4, text), "10.0.0.1 10.0.1.1 10.0.2.1 10.0.3.1");
}

/* A card that comes after a hundred containers is used, by itself and when it is asked for. */
static void test_more_than_fit(void **state)
{
    (void) state;
    static char names[NETIF_MAX + 4][NETIF_NAME_BYTES];
    struct machine m = {.count = 0};
    struct netif_wish free_choice = {.named_count = 0};
    struct netif_wish named = {.named = {"wg9", "absent0"}, .named_count = 2};
    struct netif_wish bound = {.bind = addr_v4(10, 8, 0, 9, 0)};
    struct netif_list list;
    char text[512];
    add_loopback(&m);
    for (int i = 0; i < NETIF_MAX + 4; i++) {
        char addr[32];
        snprintf(names[i], sizeof names[i], "veth%d", i);
        snprintf(addr, sizeof addr, "172.17.%d.1", i);
        add(&m, names[i], UP, addr);
    }
    add(&m, "wg9", UP, "10.8.0.9");
    add(&m, "wlan0", UP, "192.168.1.5");
    list_of(&m, &free_choice, &list);
    assert_string_equal(told(&list, &free_choice, 4, text), "192.168.1.5");
    assert_int_equal(why_of(&list, "wlan0"), NETIF_REAL);
    assert_int_equal(list.look_count, NETIF_MAX);
    list_of(&m, &named, &list);
    assert_string_equal(told(&list, &named, 4, text), "10.8.0.9");
    assert_int_equal(why_of(&list, "wg9"), NETIF_NAMED);
    assert_int_equal(why_of(&list, "absent0"), NETIF_ABSENT);
    list_of(&m, &bound, &list);
    assert_int_equal(why_of(&list, "wg9"), NETIF_BOUND);
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].index > NETIF_MAX);
}

/* An address with a label ("eth0:1") is its interface's; one that is named is taken alone. */
static void test_labels(void **state)
{
    (void) state;
    struct machine m = {.count = 0};
    struct netif_wish whole = {.named = {"eth0"}, .named_count = 1};
    struct netif_wish part = {.named = {"eth0:2"}, .named_count = 1};
    struct netif_wish free_choice = {.named_count = 0};
    struct netif_list list;
    char text[512];
    add_loopback(&m);
    add(&m, "wlan0", UP, "10.0.1.1");
    add(&m, "eth0", UP, NULL);
    add_addr(&m, "eth0:1", UP, "10.0.0.1");
    add_addr(&m, "eth0:2", UP, "10.0.0.2");
    memcpy(m.facts.default_route, "eth0", 5);
    list_of(&m, &whole, &list);
    assert_string_equal(told(&list, &whole, 4, text), "10.0.0.1 10.0.0.2");
    assert_int_equal(why_of(&list, "eth0"), NETIF_NAMED);
    assert_int_equal(list.items[0].index, m.last_index);
    list_of(&m, &part, &list);
    assert_string_equal(told(&list, &part, 4, text), "10.0.0.2");
    list_of(&m, &free_choice, &list);
    assert_string_equal(told(&list, &free_choice, 4, text), "10.0.0.1 10.0.1.1 10.0.0.2");
    assert_int_equal(list.look_count, 3);
}

static void test_reasons_have_words(void **state)
{
    (void) state;
    for (int why = NETIF_REAL; why <= NETIF_ABSENT; why++) {
        assert_true(strlen(netif_why_text((enum netif_why) why)) > 5);
    }
}

/* A tunnel is used once a member is heard on it, beside the real ones; what containers made is not. */
static void test_heard_tunnel(void **state)
{
    (void) state;
    struct machine *m = calloc(1, sizeof *m);
    struct netif_wish wish = {0};
    struct netif_list list;
    struct addr addrs[4];
    assert_non_null(m);
    add_loopback(m);
    add(m, "eth0", UP, "192.168.1.2");
    add(m, "wg0", IFF_UP | IFF_RUNNING | IFF_POINTOPOINT | IFF_NOARP, "10.8.0.2");
    add(m, "docker0", UP, "172.17.0.1");
    netif_list_make(&wish, m->entries, &m->facts, &list);
    assert_int_equal(why_of(&list, "wg0"), NETIF_MADE);
    assert_int_equal(netif_addresses(&list, &wish, addrs, 4), 1);
    assert_false(netif_hear(&wish, &list, 0)); /* not known where it came in */
    assert_false(netif_hear(&wish, &list, 2)); /* eth0 */
    assert_false(netif_hear(&wish, &list, 4)); /* docker0 */
    assert_true(netif_hear(&wish, &list, 3));
    netif_list_make(&wish, m->entries, &m->facts, &list);
    assert_int_equal(why_of(&list, "wg0"), NETIF_HEARD);
    assert_int_equal(why_of(&list, "docker0"), NETIF_MADE);
    assert_int_equal(netif_addresses(&list, &wish, addrs, 4), 2);
    assert_int_equal(addrs[0].ip[0], 192);
    assert_int_equal(addrs[1].ip[0], 10);
    assert_false(netif_hear(&wish, &list, 3)); /* it is used already */
    /* The user's word goes first. */
    snprintf(wish.named[wish.named_count++], NETIF_NAME_BYTES, "eth0");
    netif_list_make(&wish, m->entries, &m->facts, &list);
    assert_int_equal(why_of(&list, "wg0"), NETIF_NOT_NAMED);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_ones),       cmocka_unit_test(test_named),
        cmocka_unit_test(test_bound),           cmocka_unit_test(test_nothing_real),
        cmocka_unit_test(test_cable_and_unfit), cmocka_unit_test(test_many),
        cmocka_unit_test(test_more_than_fit),   cmocka_unit_test(test_labels),
        cmocka_unit_test(test_reasons_have_words), cmocka_unit_test(test_heard_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
