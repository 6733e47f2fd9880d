/*
 * The floor of the relay benchmark: what relayd does with the bytes, in C and with nothing else.
 *
 * usage: floor LISTEN_ADDRESS TARGET_ADDRESS PORT
 *
 * A connection has two threads; each moves one direction with blocking splice(2) through a pipe of a mebibyte, as
 * relayd does. No policy, no pacing, no figures: what relayd costs beyond this is its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIPE = 1 << 20, BACKLOG = 600 };

struct direction {
    int from, to;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Moves bytes until the end of file or a failure; the end is passed on. */
static void *move(void *given)
{
    struct direction way = *(struct direction *)given;
    int ends[2];

    free(given);
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe2");
    fcntl(ends[1], F_SETPIPE_SZ, PIPE);
    for (;;) {
        ssize_t waiting = splice(way.from, NULL, ends[1], NULL, PIPE, SPLICE_F_MOVE);

        if (waiting < 0 && errno == EINTR)
            continue;
        if (waiting <= 0)
            break;
        while (waiting > 0) {
            ssize_t moved = splice(ends[0], NULL, way.to, NULL, waiting, SPLICE_F_MOVE);

            if (moved < 0 && errno == EINTR)
                continue;
            if (moved <= 0)
                goto over;
            waiting -= moved;
        }
    }
over:
    shutdown(way.to, SHUT_WR);
    shutdown(way.from, SHUT_RD);
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

static void start(int from, int to)
{
    struct direction *way = malloc(sizeof *way);
    pthread_t thread;

    if (!way)
        die("malloc");
    *way = (struct direction){from, to};
    if (pthread_create(&thread, NULL, move, way) != 0)
        die("pthread_create");
    pthread_detach(thread);
}

int main(int count, char **words)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET};
    int one = 1, listener;

    if (count != 4) {
        fprintf(stderr, "usage: floor LISTEN_ADDRESS TARGET_ADDRESS PORT\n");
        return 2;
    }
    inet_pton(AF_INET, words[1], &here.sin_addr);
    inet_pton(AF_INET, words[2], &there.sin_addr);
    here.sin_port = there.sin_port = htons(atoi(words[3]));
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, BACKLOG) < 0)
        die("listen");
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (client < 0)
            die("accept");
        if (connect(server, (struct sockaddr *)&there, sizeof there) < 0) {
            close(server);
            close(client);
            continue;
        }
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        start(client, server);
        start(server, client);
    }
}
