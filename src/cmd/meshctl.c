/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl: asks the meshd on this machine. One request, one answer, one exit code; see
 * meshctl(1). */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "cmd/cmd_fds.h"
#include "cmd/ctl_all.h"
#include "cmd/ctl_doctor.h"
#include "cmd/ctl_out.h"
#include "cmd/ctl_store.h"
#include "config.h"

#include <errno.h>
#include <string.h>

static void print_reply(struct out *out, const struct ctl_opts *opts, json_t *reply)
{
    switch (opts->format) {
    case FORMAT_TEXT:
        ctl_print_text(out, opts->spec->op, reply);
        break;
    case FORMAT_JSON:
        ctl_json_print(ctl_json_shown(opts->spec, reply), false);
        break;
    case FORMAT_PROMETHEUS:
        ctl_print_prometheus(reply);
        break;
    }
}

static int ask_and_print(struct ctl *ctl, struct out *out)
{
    json_t *reply = NULL;
    int exit_code = ctl_ask(ctl, &ctl->opts->values, &reply);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    print_reply(out, ctl->opts, reply);
    json_decref(reply);
    /* "meshctl leave && meshd …" must find the data directory free. */
    if (ctl->opts->spec->op == OP_LEAVE && ctl->opts->node == NULL && !ctl_wait_end(ctl)) {
        ctl_error("meshd has not ended yet");
    }
    return EXIT_DONE;
}

static int run(const struct ctl_opts *opts)
{
    struct ctl ctl = {.opts = opts};
    struct out out;
    out_init(&out, opts->color);
    if (opts->spec->op == OP_DOCTOR && !opts->all) {
        return ctl_doctor(opts, &out);
    }
    int exit_code = ctl_connect(&ctl, false);
    if (exit_code != EXIT_DONE) {
        if (opts->spec->op == OP_VERSION && opts->format == FORMAT_TEXT) {
            printf("meshctl %s\n", PACKAGE_VERSION);
        }
        return exit_code;
    }
    exit_code = ctl_is_kv(opts->spec->op) ? ctl_run_kv(&ctl, &out)
                : opts->spec->op == OP_SERVICES_WATCH ? ctl_watch_services(&ctl, &out)
                : ctl_is_store_work(opts->spec->op) ? ctl_run_store_work(&ctl, &out)
                : opts->follow ? ctl_follow(&ctl, &out)
                : opts->all  ? ctl_run_all(&ctl, &out)
                             : ask_and_print(&ctl, &out);
    ctl_disconnect(&ctl);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct ctl_opts opts;
    cmd_hold_fds();
    int exit_code = ctl_opts_parse(argc, argv, &opts);
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    if (opts.want_help) {
        ctl_help(&opts, stdout);
    } else if (opts.want_version) {
        printf("meshctl %s\n", PACKAGE_VERSION);
    } else if (opts.completion != NULL) {
        ctl_print_completion(&opts);
    } else {
        exit_code = run(&opts);
    }
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == EXIT_DONE) {
        ctl_error("cannot write the answer: %s", errno != 0 ? strerror(errno) : "output failed");
        exit_code = EXIT_REFUSED;
    }
    return exit_code;
}
