/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl store: how the store is, and what takes long: begun, then asked about until it has ended. */
#define _GNU_SOURCE
#include "cmd/ctl_store.h"

#include "base/err.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define POLL_MS 100
#define POLLS_QUICK 10 /* most are done in an instant */

/* ---- for a person ---------------------------------------------------------------------------- */

/* "512 B", "18.2 KiB", "1.5 GiB" */
static const char *bytes_text(int64_t bytes, char text[OUT_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double) bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(text, OUT_TEXT_BYTES, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
    return text;
}

static void line(struct out *out, const char *label)
{
    out_put(out, STYLE_DIM, label, 11);
}

static void print_file(struct out *out, const json_t *reply)
{
    char file[OUT_TEXT_BYTES], unused[OUT_TEXT_BYTES], most[OUT_TEXT_BYTES];
    int64_t page = ctl_int(reply, "page_bytes");
    line(out, "store");
    out_put(out, STYLE_BOLD, ctl_text(reply, "path"), 0);
    printf(", format %" PRId64 "\n", ctl_int(reply, "format"));
    line(out, "file");
    printf("%s, %s of it free; it may grow to %s\n", bytes_text(ctl_int(reply, "file_bytes"), file),
           bytes_text(ctl_int(reply, "free_pages") * page, unused),
           bytes_text(ctl_int(reply, "map_bytes"), most));
}

/* What is durable there and not in the file yet. */
static void print_journal(struct out *out, const json_t *reply)
{
    char waiting[OUT_TEXT_BYTES];
    line(out, "journal");
    printf("%s of writes not in the file yet\n",
           bytes_text(ctl_int(reply, "journal_bytes"), waiting));
}

static void print_records(struct out *out, const json_t *reply)
{
    const json_t *records = json_object_get(reply, "records");
    line(out, "records");
    int64_t marks = ctl_int(records, "marks");
    int64_t others = ctl_int(records, "roster");
    printf("%" PRId64 " entries of the registry, %" PRId64 " deletion mark%s among them; %" PRId64
           " other member%s\n",
           ctl_int(records, "entries"), marks, marks == 1 ? "" : "s", others,
           others == 1 ? "" : "s");
}

static void print_written(struct out *out, const json_t *reply)
{
    char all[OUT_TEXT_BYTES], today[OUT_TEXT_BYTES];
    line(out, "written");
    if (json_is_integer(json_object_get(reply, "written_bytes"))) {
        printf("%s today, %s since the start; ",
               bytes_text(ctl_int(reply, "written_today_bytes"), today),
               bytes_text(ctl_int(reply, "written_bytes"), all));
    }
    printf("%" PRId64 " commits, %" PRId64 " syncs\n", ctl_int(reply, "commits"),
           ctl_int(reply, "syncs"));
}

static void print_damaged_records(struct out *out, const json_t *reply)
{
    size_t i;
    json_t *record;
    json_array_foreach(json_object_get(reply, "damaged_records"), i, record)
    {
        line(out, "");
        out_say("%s ", ctl_text(record, "table"));
        out_put(out, STYLE_PLAIN, ctl_text(record, "key"), 0);
        fputc('\n', stdout);
    }
}

static void print_trouble(struct out *out, const json_t *reply)
{
    char when[OUT_TEXT_BYTES];
    if (ctl_bool(reply, "full")) {
        line(out, "full");
        out_put(out, STYLE_RED, "no room for the last write: make room, it is tried again", 0);
        fputc('\n', stdout);
    }
    if (ctl_text(reply, "error")[0] != '\0') {
        line(out, "last error");
        out_put(out, ctl_bool(reply, "full") ? STYLE_RED : STYLE_YELLOW, ctl_text(reply, "error"),
                0);
        out_say(", %s", out_time(ctl_text(reply, "error_time"), when));
        fputc('\n', stdout);
    }
    if (ctl_int(reply, "damaged") > 0) {
        line(out, "damaged");
        out_put(out, STYLE_YELLOW, "", 0);
        printf("met %" PRId64 " times since the start: the log says what; \"meshctl store check\" "
               "lists damaged records\n",
               ctl_int(reply, "damaged"));
    }
}

static void print_work(struct out *out, const json_t *reply)
{
    const json_t *work = json_object_get(reply, "work");
    char took[OUT_TEXT_BYTES], before[OUT_TEXT_BYTES], after[OUT_TEXT_BYTES];
    bool is_check = strcmp(ctl_text(work, "kind"), "check") == 0;
    bool is_bad = ctl_int(work, "damaged") > 0 || ctl_bool(work, "file_damaged");
    const char *state = ctl_text(work, "state");
    snprintf(took, sizeof took, "%.1f s", (double) ctl_int(work, "took_ms") / 1000);
    line(out, is_check ? "check" : "compaction");
    if (strcmp(state, "running") == 0) {
        fputs("under way\n", stdout);
    } else if (strcmp(state, "failed") == 0) {
        out_put(out, STYLE_RED,
                ctl_bool(work, "file_damaged") ? "the file is damaged: " : "failed: ", 0);
        out_put(out, STYLE_PLAIN, ctl_text(work, "error"), 0);
        fputc('\n', stdout);
    } else if (is_check) {
        out_put(out, is_bad ? STYLE_RED : STYLE_GREEN, is_bad ? "damaged" : "sound", 0);
        printf(": %" PRId64 " of %" PRId64 " records are damaged (%s)\n", ctl_int(work, "damaged"),
               ctl_int(work, "records"), took);
    } else {
        printf("from %s to %s in %s%s\n", bytes_text(ctl_int(work, "bytes_before"), before),
               bytes_text(ctl_int(work, "bytes_after"), after), took,
               ctl_bool(work, "by_itself") ? ", by itself" : "");
    }
}

void ctl_print_store(struct out *out, const json_t *reply)
{
    print_file(out, reply);
    print_journal(out, reply);
    print_records(out, reply);
    print_written(out, reply);
    print_trouble(out, reply);
    if (json_is_object(json_object_get(reply, "work"))) {
        print_work(out, reply);
        print_damaged_records(out, reply);
    }
}

/* ---- what takes long ------------------------------------------------------------------------- */

static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

/* Until the work of that number has ended. On EXIT_DONE the caller owns *ret_status. */
static int wait_work(struct ctl *ctl, int64_t number, json_t **ret_status)
{
    const struct op_spec *spec = ops_spec(OP_STORE_STATUS);
    struct op_values none = {0};
    for (unsigned polls = 0;; polls++) {
        json_t *reply = NULL;
        char why[256];
        int code = ctl_ask_once(ctl, spec, &none, ctl->opts->timeout_ms, &reply, why);
        if (code != HM_OK) {
            return ctl_failed(ctl, code, why);
        }
        const json_t *work = json_object_get(reply, "work");
        if (ctl_int(work, "number") > number || strcmp(ctl_text(work, "state"), "running") != 0) {
            *ret_status = reply;
            return EXIT_DONE;
        }
        json_decref(reply);
        sleep_ms(polls < POLLS_QUICK ? POLL_MS / 10 : POLL_MS);
    }
}

/* What to do is told where a person sees it. */
static int judge(const json_t *status)
{
    const json_t *work = json_object_get(status, "work");
    if (ctl_bool(work, "file_damaged")) {
        ctl_error(
            "start this meshd again: it will set the damaged file aside, and the members tell "
            "again what they know; look at the disk (dmesg, smartctl -a)");
        return EXIT_REFUSED;
    }
    if (strcmp(ctl_text(work, "state"), "done") != 0) {
        return EXIT_REFUSED;
    }
    if (ctl_int(work, "damaged") > 0) {
        ctl_error("entries come again from other members; look at the disk (dmesg, smartctl -a: a "
                  "worn SD card?)");
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

bool ctl_is_store_work(enum op op)
{
    return op == OP_STORE_CHECK || op == OP_STORE_COMPACT;
}

int ctl_run_store_work(struct ctl *ctl, struct out *out)
{
    json_t *reply = NULL;
    int exit_code = ctl_ask(ctl, &ctl->opts->values, &reply);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    int64_t number = ctl_int(reply, "work");
    json_decref(reply);
    exit_code = wait_work(ctl, number, &reply);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    if (ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(reply, false);
    } else {
        print_work(out, reply);
        print_damaged_records(out, reply);
    }
    exit_code = judge(reply);
    json_decref(reply);
    return exit_code;
}
