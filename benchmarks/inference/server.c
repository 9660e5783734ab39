// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// What the runc pod runs: answers every request on port 8080 at once, and says when it listens.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

static void stop(int number) { _exit(128 + number); }

int main(void) {
  signal(SIGTERM, stop); // the first process of a PID namespace gets no default action
  const int on = 1;
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("server: port 8080");
    return 1;
  }
  puts("server: listening on 0.0.0.0:8080");
  fflush(stdout);
  for (;;) {
    char request[4096];
    const int client = accept(listener, NULL, NULL);
    if (client < 0)
      continue;
    if (read(client, request, sizeof request) > 0 && write(client, answer, sizeof answer - 1) < 0)
      perror("server: answer");
    close(client);
  }
}
