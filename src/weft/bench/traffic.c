/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic that no packaged tool makes without adding costs of its own: request and response with
 * every latency kept, connections a second, and small UDP packets in batches.
 *
 *   traffic echo ADDRESS PORT             answers one connection after the other until killed
 *   traffic rr ADDRESS PORT SECONDS       one byte there and back, over one connection
 *   traffic connect ADDRESS PORT SECONDS  connect, one byte there and back, abort
 *   traffic sink ADDRESS PORT             counts UDP packets until none came for a while
 *   traffic flood ADDRESS PORT SECONDS    64-byte UDP packets as fast as they go
 *   traffic floods ADDRESS PORT SECONDS N the same of N connections in turn, each once at least: first
 *                                         of all source ports, then of the next destination port
 *   traffic reflect ADDRESS PORT          sends back what UDP packets it gets, on all ports
 *   traffic dns ADDRESS PORT SECONDS NAME A queries, a window of them always under way
 *
 * Whoever measures prints one line of JSON. Servers print "ready" once they listen.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 16, DNS_HEADER = 12, DNS_MAX = 512, DNS_ANSWERS_AT = 6 };
enum { BATCH = 64, PAYLOAD = 64, SINK_IDLE_MS = 300, SINK_BUFFER = 8 << 20, MAX_SAMPLES = 4 << 20 };
enum { FIRST_SOURCE = 1024, SOURCES = 64000, REFLECT_BUFFER = 64 << 20, FRAME = 2048 };

static uint32_t *samples; /* nanoseconds of each round trip */
static size_t sample_count;

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static struct addrinfo *resolve(const char *address, const char *port, int type)
{
	struct addrinfo hints = { .ai_socktype = type, .ai_flags = AI_NUMERICHOST }, *found;
	int error = getaddrinfo(address, port, &hints, &found);

	if (error) {
		fprintf(stderr, "traffic: %s: %s\n", address, gai_strerror(error));
		exit(1);
	}
	return found;
}

static int open_socket(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, to->ai_socktype, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static void set_option(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die("setsockopt");
}

static int dial(const struct addrinfo *to)
{
	int fd = open_socket(to);

	if (connect(fd, to->ai_addr, to->ai_addrlen))
		die("connect");
	if (to->ai_socktype == SOCK_STREAM)
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

static int listen_at(const struct addrinfo *at)
{
	int fd = open_socket(at);

	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, at->ai_addr, at->ai_addrlen))
		die("bind");
	if (at->ai_socktype == SOCK_STREAM && listen(fd, 1024))
		die("listen");
	return fd;
}

static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* One byte to the peer and one back. */
static void exchange(int fd)
{
	char byte = 'w';
	uint64_t begin = now_ns();

	if (write(fd, &byte, 1) != 1)
		die("write");
	if (read(fd, &byte, 1) != 1)
		die("read");
	if (sample_count < MAX_SAMPLES)
		samples[sample_count++] = (uint32_t)(now_ns() - begin);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile_us(double share)
{
	return sample_count ? samples[(size_t)(share * (double)(sample_count - 1))] / 1e3 : 0;
}

static void print_rate(uint64_t count, uint64_t elapsed_ns)
{
	qsort(samples, sample_count, sizeof(*samples), compare);
	printf("{\"rate\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
	       (double)count * 1e9 / (double)elapsed_ns, percentile_us(0.50), percentile_us(0.99));
}

static void echo(const struct addrinfo *at)
{
	int listener = listen_at(at);

	say_ready();
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char byte;

		if (fd < 0)
			die("accept");
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
			;
		close(fd);
	}
}

static void request_response(const struct addrinfo *to, uint64_t duration_ns)
{
	int fd = dial(to);
	uint64_t count = 0, begin, elapsed;

	for (int i = 0; i < 1000; i++) /* warm up */
		exchange(fd);
	sample_count = 0;
	begin = now_ns();
	do {
		exchange(fd);
		count++;
		elapsed = now_ns() - begin;
	} while (elapsed < duration_ns);
	print_rate(count, elapsed);
}

/* Aborts each connection, so that none lingers in TIME_WAIT and no port is used up. */
static void connect_rate(const struct addrinfo *to, uint64_t duration_ns)
{
	const struct linger abort = { .l_onoff = 1, .l_linger = 0 };
	uint64_t begin = now_ns(), count = 0, elapsed;

	do {
		uint64_t start = now_ns();
		size_t kept = sample_count;
		int fd = dial(to);

		exchange(fd);
		if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)))
			die("setsockopt");
		close(fd);
		if (kept < MAX_SAMPLES) {
			samples[kept] = (uint32_t)(now_ns() - start);
			sample_count = kept + 1;
		}
		count++;
		elapsed = now_ns() - begin;
	} while (elapsed < duration_ns);
	print_rate(count, elapsed);
}

static struct mmsghdr *batch_of(char *buffers)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec vectors[BATCH];

	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ buffers + i * PAYLOAD, PAYLOAD };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	return messages;
}

static void sink(const struct addrinfo *at)
{
	static char buffers[BATCH * PAYLOAD];
	struct mmsghdr *messages = batch_of(buffers);
	struct timeval idle = { .tv_usec = SINK_IDLE_MS * 1000 };
	uint64_t first = 0, last = 0, count = 0;
	int fd = listen_at(at), got;

	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SINK_BUFFER);
	say_ready();
	got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle)))
		die("setsockopt");
	first = now_ns();
	while (got > 0) {
		last = now_ns();
		count += (uint64_t)got;
		got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
	}
	printf("{\"packets\": %llu, \"rate\": %.1f}\n", (unsigned long long)count,
	       last > first ? (double)count * 1e9 / (double)(last - first) : 0.0);
}

static void flood(const struct addrinfo *to, uint64_t duration_ns)
{
	static char buffers[BATCH * PAYLOAD];
	struct mmsghdr *messages = batch_of(buffers);
	uint64_t begin, sent = 0;
	int fd = dial(to);

	begin = now_ns();
	do {
		int done = sendmmsg(fd, messages, BATCH, 0);

		if (done < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
			die("sendmmsg");
		sent += done > 0 ? (uint64_t)done : 0;
	} while (now_ns() - begin < duration_ns);
	printf("{\"packets\": %llu, \"rate\": %.1f}\n", (unsigned long long)sent,
	       (double)sent * 1e9 / (double)(now_ns() - begin));
}

struct datagram {
	struct iphdr ip;
	struct udphdr udp;
	char payload[PAYLOAD];
};

/* By a socket that takes packets with their headers and gets none, so that there may be any number of
 * connections. A checksum of zero is none (RFC 768). */
static void floods(const struct addrinfo *to, uint64_t duration_ns, uint64_t flows)
{
	static struct datagram datagrams[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec vectors[BATCH];
	const struct sockaddr_in *address = (const struct sockaddr_in *)to->ai_addr;
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_addr = address->sin_addr };
	uint64_t begin, sent = 0, next = 0;
	int fd;

	if (to->ai_family != AF_INET || !flows) {
		fprintf(stderr, "traffic: floods are of IPv4, and of one connection at least\n");
		exit(1);
	}
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0 || connect(fd, (struct sockaddr *)&there, sizeof(there)))
		die("raw socket");
	for (int i = 0; i < BATCH; i++) {
		datagrams[i].ip = (struct iphdr){
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.daddr = address->sin_addr.s_addr,
		};
		datagrams[i].udp.len = htons(sizeof(struct datagram) - sizeof(struct iphdr));
		vectors[i] = (struct iovec){ &datagrams[i], sizeof(datagrams[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	begin = now_ns();
	do {
		int done;

		for (int i = 0; i < BATCH; i++) {
			uint64_t flow = (next + (uint64_t)i) % flows;
			uint64_t port = ntohs(address->sin_port) + flow / SOURCES;

			datagrams[i].udp.source = htons((uint16_t)(FIRST_SOURCE + flow % SOURCES));
			datagrams[i].udp.dest = htons((uint16_t)port);
		}
		done = sendmmsg(fd, messages, BATCH, 0);
		if (done < 0 && errno != ENOBUFS && errno != EPERM)
			die("sendmmsg");
		next += done > 0 ? (uint64_t)done : 0;
		sent += done > 0 ? (uint64_t)done : 0;
	} while (sent < flows || now_ns() - begin < duration_ns);
	printf("{\"packets\": %llu, \"rate\": %.1f}\n", (unsigned long long)sent,
	       (double)sent * 1e9 / (double)(now_ns() - begin));
}

/* A frame becomes its answer. False: it is none that is answered. */
static int turn_round(unsigned char *frame, size_t length, uint32_t address_be)
{
	struct ether_header *link = (struct ether_header *)frame;
	struct iphdr *ip = (struct iphdr *)(link + 1);
	struct udphdr *udp = (struct udphdr *)(ip + 1);
	unsigned char mac[ETH_ALEN];
	uint16_t port;

	if (length < sizeof(*link) + sizeof(*ip) + sizeof(*udp) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP || ip->daddr != address_be)
		return 0;
	memcpy(mac, link->ether_shost, ETH_ALEN);
	memcpy(link->ether_shost, link->ether_dhost, ETH_ALEN);
	memcpy(link->ether_dhost, mac, ETH_ALEN);
	ip->daddr = ip->saddr; /* both checksums stay as they are */
	ip->saddr = address_be;
	port = udp->source;
	udp->source = udp->dest;
	udp->dest = port;
	return 1;
}

static void reflect(const struct addrinfo *at)
{
	static unsigned char frames[BATCH][FRAME];
	static struct sockaddr_ll devices[BATCH];
	static struct mmsghdr got[BATCH], answers[BATCH];
	static struct iovec rooms[BATCH], vectors[BATCH];
	const struct sockaddr_in *address = (const struct sockaddr_in *)at->ai_addr;
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE_IP));

	if (fd < 0 || at->ai_family != AF_INET)
		die("packet socket");
	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, REFLECT_BUFFER);
	for (int i = 0; i < BATCH; i++)
		rooms[i] = (struct iovec){ frames[i], FRAME };
	say_ready();
	for (;;) {
		int count, ready = 0;

		for (int i = 0; i < BATCH; i++)
			got[i].msg_hdr = (struct msghdr){ .msg_name = &devices[i],
							  .msg_namelen = sizeof(devices[i]),
							  .msg_iov = &rooms[i],
							  .msg_iovlen = 1 };
		count = recvmmsg(fd, got, BATCH, MSG_WAITFORONE, NULL);
		if (count < 0)
			die("recvmmsg");
		for (int i = 0; i < count; i++) {
			if (devices[i].sll_pkttype != PACKET_HOST ||
			    !turn_round(frames[i], got[i].msg_len, address->sin_addr.s_addr))
				continue;
			vectors[ready] = (struct iovec){ frames[i], got[i].msg_len };
			answers[ready].msg_hdr = (struct msghdr){ .msg_name = &devices[i],
								  .msg_namelen = sizeof(devices[i]),
								  .msg_iov = &vectors[ready],
								  .msg_iovlen = 1 };
			ready++;
		}
		for (int done = 0, sent; done < ready; done += sent) {
			sent = sendmmsg(fd, answers + done, (unsigned int)(ready - done), 0);
			if (sent < 0 && errno != ENOBUFS)
				die("sendmmsg");
			if (sent <= 0)
				break;
		}
	}
}

/* A query for the A record of a name, RFC 1035 section 4.1. */
static size_t encode_query(uint8_t *query, const char *name)
{
	static const uint8_t header[DNS_HEADER] = { 0, 0, 1, 0, 0, 1 }; /* RD, one question */
	static const uint8_t type_and_class[] = { 0, 1, 0, 1 };
	uint8_t *at = query + DNS_HEADER;

	memcpy(query, header, sizeof(header));
	while (*name) {
		size_t length = strcspn(name, ".");

		if (length > 63 || at + length + 8 > query + DNS_MAX) {
			fprintf(stderr, "traffic: name too long\n");
			exit(1);
		}
		*at++ = (uint8_t)length;
		memcpy(at, name, length);
		at += length;
		name += length + (name[length] == '.');
	}
	*at++ = 0;
	memcpy(at, type_and_class, sizeof(type_and_class));
	return (size_t)(at - query) + sizeof(type_and_class);
}

static void ask(int fd, uint8_t *query, size_t length, uint16_t id, uint64_t *asked_at)
{
	query[0] = (uint8_t)(id >> 8);
	query[1] = (uint8_t)id;
	asked_at[id % WINDOW] = now_ns();
	if (send(fd, query, length, 0) != (ssize_t)length)
		die("send");
}

/* Each slot of the window has one query under way; an answer makes room for the next. */
static void dns(const struct addrinfo *to, uint64_t duration_ns, const char *name)
{
	static uint8_t query[DNS_MAX + 16], answer[4096];
	struct timeval patience = { .tv_sec = 1 };
	uint64_t asked_at[WINDOW], begin, elapsed, count = 0, lost = 0, empty = 0;
	size_t length = encode_query(query, name);
	int fd = dial(to);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		die("setsockopt");
	begin = now_ns();
	for (uint16_t id = 0; id < WINDOW; id++)
		ask(fd, query, length, id, asked_at);
	do {
		ssize_t got = recv(fd, answer, sizeof(answer), 0);

		if (got < DNS_HEADER) {
			if (got < 0 && errno != EAGAIN)
				die("recv");
			lost += WINDOW;
			for (uint16_t id = 0; id < WINDOW; id++)
				ask(fd, query, length, id, asked_at);
		} else {
			uint16_t id = (uint16_t)(answer[0] << 8 | answer[1]);

			if (sample_count < MAX_SAMPLES)
				samples[sample_count++] =
					(uint32_t)(now_ns() - asked_at[id % WINDOW]);
			empty += !answer[DNS_ANSWERS_AT] && !answer[DNS_ANSWERS_AT + 1];
			count++;
			ask(fd, query, length, (uint16_t)(id + WINDOW), asked_at);
		}
		elapsed = now_ns() - begin;
	} while (elapsed < duration_ns);
	if (!count || empty) {
		fprintf(stderr, "traffic: %s: %llu answers, %llu of them without an address\n",
			name, (unsigned long long)count, (unsigned long long)empty);
		exit(1);
	}
	qsort(samples, sample_count, sizeof(*samples), compare);
	printf("{\"rate\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"lost\": %llu}\n",
	       (double)count * 1e9 / (double)elapsed, percentile_us(0.50), percentile_us(0.99),
	       (unsigned long long)lost);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int is_udp = strcmp(mode, "echo") && strcmp(mode, "rr") && strcmp(mode, "connect");
	uint64_t duration_ns = argc > 4 ? (uint64_t)(atof(argv[4]) * 1e9) : 0;
	struct addrinfo *address;

	if (argc < 4) {
		fprintf(stderr, "usage: traffic MODE ADDRESS PORT [SECONDS [N or NAME]]\n");
		return 2;
	}
	samples = calloc(MAX_SAMPLES, sizeof(*samples));
	if (!samples)
		die("calloc");
	address = resolve(argv[2], argv[3], is_udp ? SOCK_DGRAM : SOCK_STREAM);
	if (!strcmp(mode, "echo"))
		echo(address);
	else if (!strcmp(mode, "rr"))
		request_response(address, duration_ns);
	else if (!strcmp(mode, "connect"))
		connect_rate(address, duration_ns);
	else if (!strcmp(mode, "sink"))
		sink(address);
	else if (!strcmp(mode, "flood"))
		flood(address, duration_ns);
	else if (!strcmp(mode, "reflect"))
		reflect(address);
	else if (!strcmp(mode, "floods") && argc > 5)
		floods(address, duration_ns, strtoull(argv[5], NULL, 10));
	else if (!strcmp(mode, "dns") && argc > 5)
		dns(address, duration_ns, argv[5]);
	else
		return 2;
	return 0;
}
