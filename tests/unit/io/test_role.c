/* SPDX-License-Identifier: MPL-2.0 */
/* Which role a machine gets, and what of it is read where. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/file.h"
#include "io/role.h"
#include "scratch.h"

static char root[SCRATCH_BYTES];

static int setup(void **state)
{
    (void) state;
    scratch_make(root);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    scratch_remove(root);
    return 0;
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[SCRATCH_BYTES];
    char file[2 * SCRATCH_BYTES];
    scratch_path(root, dir, path);
    assert_int_equal(file_make_dirs(path, NULL), 0);
    snprintf(file, sizeof file, "%s/%s", path, name);
    scratch_write(file, text, strlen(text));
}

static struct role_facts facts(void)
{
    struct role_facts f = {.cpus = 2, .memory_mib = 2000};
    role_facts_read(root, &f);
    return f;
}

static void first_that_fits(void **state)
{
    (void) state;
    static const struct {
        struct role_facts facts;
        const char *role;
    } rows[] = {
        {{false, false, 1, 0, 2, 2000}, "edge"},
        {{false, false, 1, 1999999999999, 3, 64000}, "edge"},
        {{false, false, 1, 0, 64, 7167}, "edge"},
        {{false, false, 1, 0, 4, 7168}, "compute"},
        {{false, false, 1, 2000000000000, 4, 7168}, "storage"},
        {{false, true, 1, 2000000000000, 4, 7168}, "storage"},
        {{false, false, 2, 2000000000000, 4, 7168}, "storage"},
        {{false, true, 2, 2000000000000, 4, 7168}, "gateway"},
        {{true, true, 2, 2000000000000, 4, 7168}, "portable"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_string_equal(role_choose(&rows[i].facts), rows[i].role);
    }
}

static void nothing_there(void **state)
{
    (void) state;
    struct role_facts f = facts();
    assert_false(f.has_battery || f.forwards);
    assert_int_equal(f.networks, 0);
    assert_int_equal(f.disk_bytes, 0);
    assert_string_equal(role_choose(&f), "edge");
}

static void batteries(void **state)
{
    (void) state;
    put("sys/class/power_supply/AC", "type", "Mains\n");
    put("sys/class/power_supply/mouse", "type", "Battery\n");
    put("sys/class/power_supply/mouse", "scope", "Device\n");
    assert_false(facts().has_battery);
    put("sys/class/power_supply/BAT0", "type", "Battery\n");
    assert_true(facts().has_battery);
}

static void fixed_disks_only(void **state)
{
    (void) state;
    put("sys/block/sda", "removable", "0\n");
    put("sys/block/sda", "size", "3907029168\n");
    put("sys/block/sdb", "removable", "1\n");
    put("sys/block/sdb", "size", "99999999999\n");
    put("sys/block/loop0", "removable", "0\n");
    put("sys/block/loop0", "size", "99999999999\n");
    put("sys/block/md0", "removable", "0\n");
    put("sys/block/md0", "size", "99999999999\n");
    put("sys/block/nvme0n1", "removable", "0\n");
    put("sys/block/nvme0n1", "size", "nonsense\n");
    struct role_facts f = facts();
    assert_int_equal(f.disk_bytes, 3907029168ULL * 512);
    assert_string_equal(role_choose(&f), "storage");
}

/* Docker forwards too, but between no real cards; two cards in one network are no gateway. */
static void networks(void **state)
{
    (void) state;
    static const char head[] = "Iface\tDestination\tGateway \tFlags\n";
    char text[1024];
    put("proc/sys/net/ipv4", "ip_forward", "1\n");
    put("sys/class/net/eth0/device", "x", "");
    put("sys/class/net/wlan0/device", "x", "");
    snprintf(text, sizeof text,
             "%seth0\t00000000\t0101A8C0\t0003\neth0\t0001A8C0\t00000000\t0001\n"
             "docker0\t000011AC\t00000000\t0001\nwlan0\t0001A8C0\t00000000\t0001\n",
             head);
    put("proc/net", "route", text);
    assert_true(facts().forwards);
    assert_int_equal(facts().networks, 1);
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, "wlan0\t0002A8C0\t00000000\t0001\n\n\t\neth0\n");
    put("proc/net", "route", text);
    struct role_facts f = facts();
    assert_int_equal(f.networks, 2);
    assert_string_equal(role_choose(&f), "gateway");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_that_fits),
        cmocka_unit_test_setup_teardown(nothing_there, setup, teardown),
        cmocka_unit_test_setup_teardown(batteries, setup, teardown),
        cmocka_unit_test_setup_teardown(fixed_disks_only, setup, teardown),
        cmocka_unit_test_setup_teardown(networks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
