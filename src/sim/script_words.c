/* SPDX-License-Identifier: MPL-2.0 */
/* The words of scenario files: see script.h. A new fault needs its line here and its doing in
 * faults.c. */
#include "core/core.h"
#include "sim/script.h"

#define NOTHING (-1)

/* One name's lines stand together. */
const struct script_verb script_verbs[] = {
    {"start", NULL, FAULT_START, NOTHING, "S", "start n5", "switches on what is off and starts it"},
    {"crash", NULL, FAULT_CRASH, FAULT_START, "Sf", "crash n3 for 5s",
     "kill -9: the machine goes on"},
    {"crash-midway", NULL, FAULT_CRASH_BETWEEN, FAULT_START, "Sf", "crash-midway n3 for 5s",
     "the same between two actions of one step"},
    {"unplug", NULL, FAULT_SILENCE, FAULT_START, "Sf", "unplug n3 for 1h",
     "the machine loses its power, silently"},
    {"leave", NULL, FAULT_LEAVE, FAULT_START, "Sf", "leave n3", "SIGTERM: it says goodbye"},
    {"restart", NULL, FAULT_RESTART, NOTHING, "S", "restart n3",
     "crashes and starts again within 200 ms"},
    {"storm", NULL, FAULT_RESTART, NOTHING, "SRF", "storm n4 100/min for 5m",
     "such restarts again and again"},
    {"stall", NULL, FAULT_STALL, NOTHING, "SF", "stall n2 for 10s",
     "the process is held up (SIGSTOP, swapping)"},
    {"sleep", NULL, FAULT_SLEEP, NOTHING, "SF", "sleep n2 for 8h",
     "the machine is suspended: it hears nothing either"},
    {"partition", NULL, FAULT_PARTITION, FAULT_HEAL, "|f", "partition n1,n2 | n3 for 20s",
     "the sides do not reach each other; who is not named is a side"},
    {"cut-segments", NULL, FAULT_SEGMENTS, FAULT_HEAL, "f", "cut-segments for 90s",
     "no segment reaches another"},
    {"oneway", NULL, FAULT_CUT, FAULT_HEAL, "A{>}Bf", "oneway n1 > n2 for 1m",
     "nothing that n1 sends reaches n2"},
    {"reject", NULL, FAULT_REJECT, FAULT_HEAL, "ABf", "reject n1 n2 for 1m",
     "a firewall at n1 rejects n2, both ways"},
    {"no-udp", NULL, FAULT_NO_UDP, FAULT_HEAL, "Sf", "no-udp n3 for 10m",
     "its firewall drops datagrams, and TCP passes"},
    {"closed", NULL, FAULT_CLOSED, FAULT_HEAL, "Sf", "closed n3 for 10m",
     "its firewall lets nobody connect; it connects to others"},
    {"deaf", NULL, FAULT_DEAF, FAULT_HEAL, "Sf", "deaf n3 for 20s", "sends, but hears nobody"},
    {"ear", NULL, FAULT_EAR, FAULT_EAR, "S%f", "ear n3 60% for 20s",
     "loses so much of what it hears"},
    {"radio", NULL, FAULT_RADIO, FAULT_RADIO, "S%f", "radio n3 80% for 20s",
     "loses so much both ways"},
    {"heal", NULL, FAULT_HEAL, NOTHING, "", "heal",
     "ends partitions, one-way cuts, rejects, no-udp, closed and deafness"},
    {"pair", NULL, FAULT_PATH, FAULT_PATH, "ABpf", "pair n1 n2 loss 20% latency 40ms",
     "between the two, besides the network's; \"ok\": nothing"},
    {"path", NULL, FAULT_PATH, FAULT_PATH, "A{>}Bpf", "path n1 > n2 loss 50%",
     "the same in one direction"},
    {"loss", NULL, FAULT_LOSS, FAULT_LOSS, "%f", "loss 5%", "of all packets"},
    {"latency", NULL, FAULT_LATENCY, FAULT_LATENCY, "Tf", "latency 2ms", "one way"},
    {"jitter", NULL, FAULT_JITTER, FAULT_JITTER, "Tf", "jitter 300ms",
     "up to so much more for each packet"},
    {"move", NULL, FAULT_READDRESS, NOTHING, "S", "move n2", "gets another address"},
    {"clock", "jump", FAULT_CLOCK, NOTHING, "S{jump}J", "clock n2 jump -1y",
     "its wall clock jumps (not before 1970)"},
    {"clock", "drift", FAULT_DRIFT, NOTHING, "S{drift}Q", "clock n2 drift 200ppm",
     "all its clocks run fast, or slow"},
    {"clone", NULL, FAULT_CLONE, NOTHING, "A{as}B", "clone n1 as n5",
     "the unused machine n5 starts with a copy of n1's disk"},
    {"disk-fails", NULL, FAULT_DISK_FAILS, FAULT_DISK_MENDED, "Sf", "disk-fails n3 for 10s",
     "its disk refuses to store"},
    {"disk-mended", NULL, FAULT_DISK_MENDED, NOTHING, "S", "disk-mended n3", "and works again"},
    {"disk-new", NULL, FAULT_DISK_NEW, NOTHING, "S", "disk-new n3",
     "an empty disk, if it does not run"},
    {"backup", NULL, FAULT_BACKUP, NOTHING, "S", "backup n3", "a copy of its disk is kept"},
    {"restore", NULL, FAULT_RESTORE, NOTHING, "S", "restore n3",
     "its disk is that copy again, if it does not run"},
    {"write", NULL, FAULT_WRITE, NOTHING, "SRwF", "write n1,n2 5/s keys 10 for 1m",
     "each writes to the registry; also: deletes 10% bytes 100"},
    {"remove", NULL, FAULT_REMOVE, NOTHING, "A{by}B", "remove n5 by n1",
     "n1 takes n5 off the mesh for good (nodes remove)"},
    {"join", NULL, FAULT_JOIN, NOTHING, "AB", "join n1 n2", "n1 is told the address of n2"},
    {"flood", "icmp", FAULT_ICMP, NOTHING, "{icmp}RF", "flood icmp 50/s for 40s",
     "forged port-unreachable reports"},
    {"flood", "replays", FAULT_REPLAY, NOTHING, "{replays}RF", "flood replays 20/s for 80s",
     "datagrams that were taken, again"},
    {"flood", "beacons", FAULT_BEACON, NOTHING, "{beacons}RF", "flood beacons 2000/s for 60s",
     "forged beacons of random identities"},
    {"flood", "strangers", FAULT_STRANGER, NOTHING, "{strangers}RF",
     "flood strangers 100/s for 60s", "datagrams under another key"},
    {"forge", NULL, FAULT_FORGE, NOTHING, "F", "forge for 60s",
     "a member hands out records it could not sign"},
};
const size_t script_verb_count = sizeof script_verbs / sizeof script_verbs[0];

const struct script_setting script_settings[] = {
    {"nodes", SET_NODES, "nodes 5", "n1 to n5 (default 5)"},
    {"for", SET_FOR, "for 2h", "virtual time (default: a minute after the last fault)"},
    {"seed", SET_SEED, "seed 7", "of the draws, if the command line names none (default 1)"},
    {"off", SET_OFF, "off n4,n5", "do not start at the beginning, as the others do"},
    {"duplicate", SET_DUPLICATE, "duplicate 1%", "of the datagrams come twice"},
    {"reorder", SET_REORDER, "reorder 5% 20ms", "of the datagrams come later by up to this"},
    {"spread", SET_SPREAD, "spread 300us", "a fixed part of each pair's latency, up to this"},
    {"broadcast", SET_BROADCAST, "broadcast off", "whether beacons arrive"},
    {"segment", SET_SEGMENT, "segment 10",
     "so many neighbours in number share a broadcast domain (0: all)"},
    {"link-queue", SET_QUEUE, "link-queue 3", "frames that a link holds"},
    {"disk", SET_DISK, "disk 900ms", "a batch is durable after up to this"},
    {"calm", SET_CALM, "calm 2m", "from when the time to agree counts (default: the last fault)"},
};
const size_t script_setting_count = sizeof script_settings / sizeof script_settings[0];

const struct script_expect script_expects[] = {
    {"no-failed", WANT_NO_FAILED, 0, "expect no-failed among n1..n3",
     "none of these (default: all) holds another failed that runs"},
    {"some-failed", WANT_SOME_FAILED, 0, "expect some-failed",
     "running nodes held failed are counted, not judged"},
    {"agreed", WANT_AGREED, 0, "expect agreed within 10s",
     "after the last fault all are right about all (default 60s)"},
    {"equal", WANT_EQUAL, 0, "expect equal within 10s",
     "after the last fault all registries are equal (default: as agreed)"},
    {"detected", WANT_DETECTED, 0, "expect detected n3 within 3s",
     "each end of n3 (default: of any) is known to all by then"},
    {"told", WANT_TOLD, 0, "expect told within 1s",
     "the same, from when the first one knows it"},
    {"false-failures", WANT_FALSE_FAILURES, 0, "expect false-failures 0",
     "at most so many running, reachable nodes were held failed by somebody"},
    {"incarnation", WANT_INCARNATION, 0, "expect incarnation n1 below 50",
     "nobody ever sees it higher"},
    {"idle", WANT_IDLE, 0, "expect idle", "the idle budget holds at the end"},
    {"alive", WANT_STATUS, STATUS_ALIVE, "at 30s expect alive n2 by n1,n3",
     "the running others (or those named) hold it so then"},
    {"suspect", WANT_STATUS, STATUS_SUSPECT, "at 12s expect suspect n2", "the same"},
    {"failed", WANT_STATUS, STATUS_FAILED, "at 30s expect failed n2", "the same; or as detected"},
    {"left", WANT_STATUS, STATUS_LEFT, "at 30s expect left n2", "the same"},
};
const size_t script_expect_count = sizeof script_expects / sizeof script_expects[0];

void script_print_words(FILE *out)
{
    fprintf(out, "A scenario file has one statement a line; # begins a comment.\n\n"
                 "Settings:\n");
    for (size_t i = 0; i < script_setting_count; i++) {
        fprintf(out, "  %-32s %s\n", script_settings[i].example, script_settings[i].summary);
    }
    fprintf(out, "\nFaults, after \"at TIME\" or \"every TIME [from TIME] [until TIME]\" (loss,\n"
                 "latency, jitter, pair and path also alone, from the beginning on):\n");
    for (size_t i = 0; i < script_verb_count; i++) {
        fprintf(out, "  %-32s %s\n", script_verbs[i].example, script_verbs[i].summary);
    }
    fprintf(out, "\nExpectations:\n");
    for (size_t i = 0; i < script_expect_count; i++) {
        fprintf(out, "  %-32s %s\n", script_expects[i].example, script_expects[i].summary);
    }
    fprintf(out,
            "\nTimes: 250ms, 10s, 1h30m, 2d, 1w, 1y; a range is drawn from: 10s..20s, 5..10s.\n"
            "Nodes: n3; n1,n4..n6; all; any; any 2. Rates: 100/min, 20/s, or the time between "
            "two.\n");
}
