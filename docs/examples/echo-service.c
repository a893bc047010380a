/* SPDX-License-Identifier: MPL-2.0 */
/* A service that others find by its name, and a client that finds it. The service sends back what it gets, from
 * a port that the kernel chose. Try it on any two machines of a mesh:
 *
 *   cc echo-service.c $(pkg-config --cflags --libs homemesh) -o echo-service
 *   ./echo-service serve            on one
 *   ./echo-service ask hello        on the other
 *
 * When the service ends, or its machine does, it is not found any more. */
#define _GNU_SOURCE
#include <homemesh.h>

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t is_stopped;

static void stop(int signal)
{
    (void) signal;
    is_stopped = 1;
}

static int listen_anywhere(unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &at, size) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *) &at, &size) != 0) {
        perror("echo-service");
        return -1;
    }
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void echo(int listener)
{
    char bytes[512];
    int fd = accept(listener, NULL, NULL);
    ssize_t got = fd >= 0 ? recv(fd, bytes, sizeof bytes, 0) : 0;
    if (got > 0) {
        (void) !send(fd, bytes, (size_t) got, MSG_NOSIGNAL);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int serve(hm_t *hm)
{
    struct hm_service_conf conf = {.name = "echo", .ttl_ms = 5000};
    struct sigaction action = {.sa_handler = stop};
    hm_registered_t *registered = NULL;
    int listener = listen_anywhere(&conf.port);
    if (listener < 0 || hm_register(hm, &conf, 0, &registered) != HM_OK) {
        fprintf(stderr, "echo-service: cannot register: %s\n", hm_why(hm));
        return 1;
    }
    sigaction(SIGTERM, &action, NULL); /* no SA_RESTART: poll ends */
    sigaction(SIGINT, &action, NULL);
    printf("registered as %s on port %u\n", hm_registered_id(registered), conf.port);
    fflush(stdout);
    while (!is_stopped) {
        struct pollfd polls[2] = {{.fd = listener, .events = POLLIN},
                                  {.fd = hm_fd(hm), .events = POLLIN}};
        if (poll(polls, 2, -1) <= 0) {
            continue;
        }
        if (polls[0].revents != 0) {
            echo(listener);
        }
        if (polls[1].revents != 0) {
            hm_dispatch(hm, 0); /* refreshes the registration, among other things */
        }
    }
    return hm_deregister(&registered, 0) == HM_OK ? 0 : 1;
}

struct found {
    char host[256], port[8];
};

static bool take_first(void *ctx, const struct hm_service *service)
{
    struct found *found = ctx;
    snprintf(found->host, sizeof found->host, "%s", service->address);
    snprintf(found->port, sizeof found->port, "%u", service->port);
    return false; /* enough */
}

static int ask(hm_t *hm, const char *text)
{
    struct found found = {.host = ""};
    struct hm_filter filter = {.name = "echo", .health = HM_PASSING};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *at = NULL;
    char bytes[512];
    if (hm_find(hm, &filter, 0, take_first, &found) != HM_OK || found.host[0] == '\0') {
        fprintf(stderr, "echo-service: no echo service is there\n");
        return 1;
    }
    int fd = getaddrinfo(found.host, found.port, &hints, &at) == 0
                 ? socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)
                 : -1;
    bool is_there = fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0 &&
                    send(fd, text, strlen(text), MSG_NOSIGNAL) >= 0;
    ssize_t got = is_there ? recv(fd, bytes, sizeof bytes, 0) : -1;
    if (got >= 0) {
        printf("%s:%s says %.*s\n", found.host, found.port, (int) got, bytes);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (at != NULL) {
        freeaddrinfo(at);
    }
    return got >= 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool is_asking = argc > 2 && strcmp(argv[1], "ask") == 0;
    const char *path = argc > 2 + is_asking ? argv[2 + is_asking] : NULL;
    struct hm_conf conf = {.socket = path};
    char why[HM_WHY_BYTES];
    hm_t *hm = NULL;
    if (argc < 2 || (!is_asking && strcmp(argv[1], "serve") != 0)) {
        fprintf(stderr, "usage: echo-service serve [SOCKET]\n       echo-service ask TEXT [SOCKET]\n");
        return 2;
    }
    if (hm_open(&conf, &hm, why) != HM_OK) {
        fprintf(stderr, "echo-service: %s\n", why);
        return 1;
    }
    int status = is_asking ? ask(hm, argv[2]) : serve(hm);
    hm_close(&hm);
    return status;
}
