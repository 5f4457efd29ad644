/* net/sockets.c - the listening TCP sockets of the guest's network namespace */
#include "net/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "base/fd.h"
#include "base/mem.h"
#include "proto/limits.h"

/* What the kernel fills at once: netlink(7) suggests 8 KiB at least. */
#define DUMP_CHUNK (32u << 10)

/* The kernel answers while it is asked; this is for one that does not. */
#define DUMP_TIMEOUT_S 5

/* Of the same address and port, SO_REUSEPORT: more sockets than MAX_PORTS, but not without end. */
#define MAX_SOCKETS (4 * (size_t)MAX_PORTS)

static int add(struct sockets *s, const struct listening *l)
{
	if (s->n == MAX_SOCKETS) {
		s->truncated = true;
		return 0;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct listening *at = realloc(s->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		s->at = at;
		s->cap = cap;
	}
	s->at[s->n++] = *l;
	return 0;
}

/* By netlink */

static int add_message(struct sockets *s, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct listening l = {0};

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return -EPROTO;
	/* A kernel that knows no filter by state sends them all. */
	if (m->idiag_state != TCP_LISTEN)
		return 0;
	l.port = ntohs(m->id.idiag_sport);
	l.family = m->idiag_family;
	l.device = m->id.idiag_if;
	l.inode = m->idiag_inode;
	memcpy(l.addr, m->id.idiag_src, l.family == AF_INET6 ? 16 : 4);
	return add(s, &l);
}

/* One buffer of answers: 1 when it was the last, 0, or -errno. */
static int add_messages(struct sockets *s, const char *bytes, size_t len)
{
	const struct nlmsghdr *h = (const void *)bytes;
	int err = 0;

	for (; !err && NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) || !e->error ? -EPROTO
										    : e->error;
		}
		err = add_message(s, h);
	}
	return err;
}

static int ask(int fd, int family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 req;
	} m = {
		.header = {.nlmsg_len = sizeof(m),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = (uint8_t)family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1u << TCP_LISTEN},
	};

	return send(fd, &m, sizeof(m), 0) < 0 ? -errno : 0;
}

static int dump(struct sockets *s, int fd, int family, char *chunk)
{
	int err = ask(fd, family);

	while (!err) {
		ssize_t n = recv(fd, chunk, DUMP_CHUNK, 0);

		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n >= 0)
			err = n ? add_messages(s, chunk, (size_t)n) : -EPROTO;
	}
	return err < 0 ? err : 0;
}

static int find_by_netlink(struct sockets *s)
{
	struct timeval limit = {.tv_sec = DUMP_TIMEOUT_S};
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	char *chunk;
	int err;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	chunk = xmalloc(DUMP_CHUNK);
	err = dump(s, fd, AF_INET, chunk);
	if (!err)
		err = dump(s, fd, AF_INET6, chunk);
	free(chunk);
	return err;
}

/* From /proc */

/* An address as the kernel prints it: words of 32 bits, each in the machine's order. */
static bool parse_addr(const char *text, size_t words, uint8_t *out)
{
	for (size_t i = 0; i < words; i++) {
		char word[9], *end;
		uint32_t v;

		memcpy(word, text + 8 * i, 8);
		word[8] = '\0';
		v = (uint32_t)strtoul(word, &end, 16);
		if (*end)
			return false;
		memcpy(out + 4 * i, &v, sizeof(v));
	}
	return true;
}

/* The fields of a line that matter, as they are numbered from 0. */
enum { LOCAL = 1, STATE = 3, INODE = 9, N_FIELDS };

bool sockets_parse(const char *line, int family, struct listening *out)
{
	size_t words = family == AF_INET6 ? 4 : 1;
	const char *field[N_FIELDS];
	char *end;

	for (size_t i = 0; i < N_FIELDS; i++) {
		line += strspn(line, " ");
		field[i] = line;
		line += strcspn(line, " \n");
		if (line == field[i])
			return false;
	}
	*out = (struct listening){.family = (uint8_t)family};
	if (strtoul(field[STATE], NULL, 16) != TCP_LISTEN ||
		strcspn(field[LOCAL], ": ") != 8 * words ||
		!parse_addr(field[LOCAL], words, out->addr) || field[LOCAL][8 * words] != ':')
		return false;
	out->port = (uint16_t)strtoul(field[LOCAL] + 8 * words + 1, &end, 16);
	out->inode = strtoull(field[INODE], NULL, 10);
	return *end == ' ';
}

static int find_in_file(struct sockets *s, const char *path, int family)
{
	FILE *f = fopen(path, "re");
	struct listening l;
	char line[256];
	int err = 0;

	if (!f)
		return -errno;
	while (!err && fgets(line, sizeof(line), f)) {
		if (sockets_parse(line, family, &l))
			err = add(s, &l);
	}
	fclose(f);
	return err;
}

/* Of the thread: that of the process is the namespace of whoever leads it, which is the same. */
static int find_in_proc(struct sockets *s)
{
	int err = find_in_file(s, "/proc/net/tcp", AF_INET);
	int err6 = err ? err : find_in_file(s, "/proc/net/tcp6", AF_INET6);

	return err6 == -ENOENT && !err ? 0 : err6; /* a kernel without IPv6 */
}

int sockets_find(struct sockets *s)
{
	size_t before = s->n;
	int err = find_by_netlink(s);

	if (!err || err == -ENOMEM)
		return err;
	s->n = before;
	return find_in_proc(s);
}

void sockets_fini(struct sockets *s)
{
	free(s->at);
	*s = (struct sockets){0};
}

int sockets_compare(const struct listening *a, const struct listening *b)
{
	int diff = (a->port > b->port) - (a->port < b->port);

	if (!diff)
		diff = (a->family > b->family) - (a->family < b->family);
	if (!diff)
		diff = memcmp(a->addr, b->addr, sizeof(a->addr));
	if (!diff)
		diff = (a->device > b->device) - (a->device < b->device);
	return diff;
}

static int by_inode_too(const void *a, const void *b)
{
	const struct listening *x = a, *y = b;
	int diff = sockets_compare(x, y);

	return diff ? diff : (x->inode > y->inode) - (x->inode < y->inode);
}

void sockets_sort(struct sockets *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->at, s->n, sizeof(*s->at), by_inode_too);
	for (size_t i = 0; i < s->n; i++) {
		if (!n || by_inode_too(&s->at[n - 1], &s->at[i]) != 0)
			s->at[n++] = s->at[i];
	}
	s->n = n;
}
