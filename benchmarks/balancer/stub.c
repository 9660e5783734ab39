// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// The upstreams: `stub EVENTS GAP_MS PORT...` answers as a model server would, but at once and for next to no processor
// time, since it shares the machine with what is measured. One thread; every port of the loopback is one upstream.
// A POST gets a completion, or with "stream": true so many events with so many milliseconds between two; a GET the models.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 8192, BUFFER = 16384, BATCH = 256 };

#define HEAD(type) "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\n"
#define CHUNK \
  "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"stub\",\"choices\":[{\"index\":0," \
  "\"delta\":{\"role\":\"assistant\",\"content\":\" word\"},\"finish_reason\":null}]}"
static const char Models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"stub\",\"object\":\"model\",\"created\":1,\"owned_by\":\"x\"}]}";
static const char Completion[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"stub\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"The capital of France is Paris.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":7,\"total_tokens\":23}}";
static const char Event[] = "data: " CHUNK "\n\n";
static const char Done[] = "data: [DONE]\n\n";

struct connection {
  int length;    // bytes in `in`
  int left;      // events that are still to be sent
  uint32_t life; // tells a descriptor's users apart
  char in[BUFFER];
};
static struct connection *Connections[MAX_CONNECTIONS];

// Events to come. All gaps are alike, so what comes in first is due first.
struct due {
  uint64_t at;
  uint32_t life;
  int fd;
};
static struct due Queue[MAX_CONNECTIONS];
static unsigned First, Last;

static int Poll, Events;
static uint64_t Gap; // nanoseconds
static char Piece[1024], LastPiece[1024], Whole[2048], List[1024];
static int PieceLength, LastLength, WholeLength, ListLength;

static void fail(const char *What) {
  perror(What);
  exit(1);
}

static uint64_t now(void) {
  struct timespec Time;
  clock_gettime(CLOCK_MONOTONIC, &Time);
  return (uint64_t)Time.tv_sec * 1000000000U + (uint64_t)Time.tv_nsec;
}

static void drop(int Fd) {
  close(Fd);
  Connections[Fd]->life++;
  Connections[Fd]->length = Connections[Fd]->left = 0;
}

// Replies are far smaller than a socket's buffer: one that does not fit is of a client that does not read.
static bool say(int Fd, const char *Bytes, int Length) {
  if (send(Fd, Bytes, (size_t)Length, MSG_NOSIGNAL) == Length) {
    return true;
  }
  drop(Fd);
  return false;
}

static void later(int Fd) {
  Queue[Last++ % MAX_CONNECTIONS] = (struct due){now() + Gap, Connections[Fd]->life, Fd};
}

static void next_event(int Fd) {
  struct connection *It = Connections[Fd];
  It->left--;
  if (It->left > 0 ? say(Fd, Piece, PieceLength) : say(Fd, LastPiece, LastLength)) {
    if (It->left > 0) {
      later(Fd);
    }
  }
}

static void begin_stream(int Fd) {
  char Bytes[2048];
  const int Length = snprintf(Bytes, sizeof(Bytes), HEAD("text/event-stream") "Transfer-Encoding: chunked\r\n\r\n%s", Piece);
  Connections[Fd]->left = Events;
  if (say(Fd, Bytes, Length)) {
    Connections[Fd]->left--;
    later(Fd);
  }
}

// Bytes of the body that the head asks for.
static int body_length(const char *Head, const char *End) {
  for (const char *Line = Head; (Line = memmem(Line, (size_t)(End - Line), "\r\n", 2)) != NULL;) {
    Line += 2;
    if (strncasecmp(Line, "content-length:", 15) == 0) {
      return atoi(Line + 15);
    }
  }
  return 0;
}

// Answers the requests that are there as a whole; a stream's end comes before the next one.
static void answer(int Fd) {
  struct connection *It = Connections[Fd];
  while (It->left == 0 && It->length > 0) {
    const char *End = memmem(It->in, (size_t)It->length, "\r\n\r\n", 4);
    if (End == NULL) {
      return;
    }
    const int Head = (int)(End - It->in) + 4;
    const int Body = body_length(It->in, End + 2);
    if (Body < 0 || Body > BUFFER - Head) {
      drop(Fd);
      return;
    }
    if (It->length < Head + Body) {
      return;
    }
    const bool Get = It->in[0] == 'G';
    const bool Stream = memmem(It->in + Head, (size_t)Body, "\"stream\": true", 14) != NULL;
    It->length -= Head + Body;
    memmove(It->in, It->in + Head + Body, (size_t)It->length);
    if (Stream) {
      begin_stream(Fd);
    } else if (!say(Fd, Get ? List : Whole, Get ? ListLength : WholeLength)) {
      return;
    }
  }
}

static void receive(int Fd) {
  struct connection *It = Connections[Fd];
  const ssize_t Count = recv(Fd, It->in + It->length, (size_t)(BUFFER - It->length), MSG_DONTWAIT);
  if (Count > 0) {
    It->length += (int)Count;
    answer(Fd);
  } else if (Count == 0 || errno != EAGAIN) {
    drop(Fd);
  }
}

static void watch(int Fd) {
  struct epoll_event Event_ = {.events = EPOLLIN, .data.fd = Fd};
  if (epoll_ctl(Poll, EPOLL_CTL_ADD, Fd, &Event_) != 0) {
    fail("epoll_ctl");
  }
}

static void welcome(int Listener) {
  const int Fd = accept4(Listener, NULL, NULL, SOCK_CLOEXEC);
  if (Fd < 0) {
    return;
  }
  if (Fd >= MAX_CONNECTIONS) {
    close(Fd);
    return;
  }
  if (Connections[Fd] == NULL && (Connections[Fd] = calloc(1, sizeof(struct connection))) == NULL) {
    fail("calloc");
  }
  const int On = 1;
  setsockopt(Fd, IPPROTO_TCP, TCP_NODELAY, &On, sizeof(On));
  watch(Fd);
}

static int open_port(int Port) {
  const int Fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), On = 1;
  const struct sockaddr_in Address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)Port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(Fd, SOL_SOCKET, SO_REUSEADDR, &On, sizeof(On));
  if (Fd < 0 || bind(Fd, (const struct sockaddr *)&Address, sizeof(Address)) != 0 || listen(Fd, 1024) != 0) {
    fail("port");
  }
  watch(Fd);
  return Fd;
}

static int wait_ready(struct epoll_event *Ready) {
  if (First == Last) {
    return epoll_wait(Poll, Ready, BATCH, -1);
  }
  const uint64_t At = Queue[First % MAX_CONNECTIONS].at, Now = now(), Rest = At > Now ? At - Now : 0;
  const struct timespec Time = {(time_t)(Rest / 1000000000U), (long)(Rest % 1000000000U)};
  return epoll_pwait2(Poll, Ready, BATCH, &Time, NULL);
}

static void send_due(void) {
  const uint64_t Now = now();
  while (First != Last && Queue[First % MAX_CONNECTIONS].at <= Now) {
    const struct due Due = Queue[First++ % MAX_CONNECTIONS];
    if (Connections[Due.fd]->life == Due.life) {
      next_event(Due.fd);
      if (Connections[Due.fd]->left == 0) {
        answer(Due.fd);
      }
    }
  }
}

static void compose(void) {
  PieceLength = snprintf(Piece, sizeof(Piece), "%zx\r\n%s\r\n", sizeof(Event) - 1, Event);
  LastLength = snprintf(LastPiece, sizeof(LastPiece), "%zx\r\n%s%s\r\n0\r\n\r\n", sizeof(Event) + sizeof(Done) - 2, Event, Done);
  WholeLength = snprintf(Whole, sizeof(Whole), HEAD("application/json") "Content-Length: %zu\r\n\r\n%s", sizeof(Completion) - 1,
                         Completion);
  ListLength =
      snprintf(List, sizeof(List), HEAD("application/json") "Content-Length: %zu\r\n\r\n%s", sizeof(Models) - 1, Models);
}

int main(int Count, char **Words) {
  if (Count < 4 || (Events = atoi(Words[1])) < 2) {
    fprintf(stderr, "usage: stub EVENTS GAP_MS PORT...   (two events at least)\n");
    return 2;
  }
  Gap = (uint64_t)(atof(Words[2]) * 1e6);
  compose();
  Poll = epoll_create1(EPOLL_CLOEXEC);
  bool Listens[MAX_CONNECTIONS] = {false};
  for (int I = 3; I < Count; ++I) {
    Listens[open_port(atoi(Words[I]))] = true;
  }
  for (;;) {
    struct epoll_event Ready[BATCH];
    const int Found = wait_ready(Ready);
    for (int I = 0; I < Found; ++I) {
      const int Fd = Ready[I].data.fd;
      if (Listens[Fd]) {
        welcome(Fd);
      } else {
        receive(Fd);
      }
    }
    send_due();
  }
}
