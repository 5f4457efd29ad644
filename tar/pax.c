/* tar/pax.c - the headers of a pax archive */
#include "tar/pax.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/enc.h"
#include "proto/limits.h"

/* POSIX.1-2017, pax, "ustar Interchange Format". */
struct header {
	char name[100];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char target[100];
	char magic[6], version[2];
	char user[32], group[32];
	char major[8], minor[8];
	char prefix[155];
	char unused[12];
};
BUILD_ASSERT(sizeof(struct header) == PAX_BLOCK);

#define OCTAL_7  07777777u
#define OCTAL_11 077777777777u

/* LEN - 1 digits and a NUL; a number that is too large for them stands in a record. */
static void octal(char *field, size_t len, uint64_t value)
{
	if (value >> (3 * (len - 1)))
		value = 0;
	field[--len] = '\0';
	while (len--) {
		field[len] = (char)('0' + (value & 7));
		value >>= 3;
	}
}

/* A field that is full has no NUL. */
static void text(char *field, size_t size, const char *value)
{
	for (size_t i = 0; i < size && value[i]; i++)
		field[i] = value[i];
}

static bool is_ascii(const char *s)
{
	for (; *s; s++) {
		if (*s & 0x80)
			return false;
	}
	return true;
}

static int add(struct buf *out, const void *bytes, size_t len)
{
	return len ? buf_add(out, bytes, len) : 0;
}

int pax_record(struct buf *out, const char *key, const void *value, size_t len)
{
	size_t rest = 1 + strlen(key) + 1 + len + 1, whole = rest, before;
	char number[24];
	char *p;

	/* Its length counts the digits of the length. */
	do {
		before = whole;
		whole = rest + (size_t)snprintf(number, sizeof(number), "%zu", before);
	} while (whole != before);
	p = buf_reserve(out, whole + 1);
	if (!p)
		return -ENOBUFS;
	p += snprintf(p, whole - len + 1, "%zu %s=", whole, key);
	memcpy(p, value, len);
	p[len] = '\n';
	buf_commit(out, whole);
	return 0;
}

/* Records on their way: the first that fails is the last. */
struct records {
	struct buf *out;
	int err;
};

static void put(struct records *r, const char *key, const void *value, size_t len)
{
	if (!r->err)
		r->err = pax_record(r->out, key, value, len);
}

static void put_text(struct records *r, const char *key, const char *value)
{
	put(r, key, value, strlen(value));
}

static void put_number(struct records *r, const char *key, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	put_text(r, key, digits);
}

/* Seconds with as many decimals as there are. */
static void put_time(struct records *r, const char *key, const struct timespec *t)
{
	bool negative = t->tv_sec < 0;
	long long s = t->tv_sec;
	long ns = t->tv_nsec;
	char digits[48];
	size_t n;

	if (negative) { /* -1.25 is kept as -2 and three quarters */
		s = ns ? -(s + 1) : -s;
		ns = ns ? 1000000000 - ns : 0;
	}
	n = (size_t)snprintf(digits, sizeof(digits), "%s%lld.%09ld", negative ? "-" : "", s, ns);
	while (digits[n - 1] == '0')
		n--;
	if (digits[n - 1] == '.')
		n--;
	put(r, key, digits, n);
}

static bool plain_time(const struct timespec *t)
{
	return t->tv_sec >= 0 && (uint64_t)t->tv_sec <= OCTAL_11 && t->tv_nsec == 0;
}

/* The name in two parts, where that is enough for it.  LEN: with the slash of a directory. */
static bool split_name(struct header *h, const char *name, size_t len)
{
	size_t at;

	if (len <= sizeof(h->name)) {
		memcpy(h->name, name, len);
		return true;
	}
	if (len > sizeof(h->prefix) + 1 + sizeof(h->name))
		return false;
	/* The last slash that leaves something behind it. */
	for (at = MIN(len - 2, sizeof(h->prefix)); at > 0 && name[at] != '/'; at--)
		;
	if (at == 0 || len - at - 1 > sizeof(h->name))
		return false;
	memcpy(h->prefix, name, at);
	memcpy(h->name, name + at + 1, len - at - 1);
	return true;
}

static void put_names(struct records *r, struct header *h, const struct pax_entry *e,
	const char *name, size_t name_len)
{
	bool fits = !e->sparse && split_name(h, name, name_len);
	bool long_target = e->target && strlen(e->target) > sizeof(h->target);
	bool name_told = !fits || !is_ascii(name);
	bool target_told = e->target && (long_target || !is_ascii(e->target));
	bool binary = false;

	/* What is no UTF-8 stands raw in the header, where it can: else it has to be said. */
	if (name_told && !utf8_valid(name, name_len))
		binary = name_told = !fits;
	if (target_told && !utf8_valid(e->target, strlen(e->target))) {
		target_told = long_target;
		binary = binary || long_target;
	}
	if (binary)
		put_text(r, "hdrcharset", "BINARY");
	if (e->sparse) {
		text(h->name, sizeof(h->name), "GNUSparseFile.0/file");
		put_text(r, "GNU.sparse.major", "1");
		put_text(r, "GNU.sparse.minor", "0");
		put(r, "GNU.sparse.name", name, name_len);
		put_number(r, "GNU.sparse.realsize", e->real_size);
	} else if (name_told) {
		if (!fits)
			text(h->name, sizeof(h->name), name);
		put(r, "path", name, name_len);
	}
	if (target_told)
		put_text(r, "linkpath", e->target);
}

/* The name of a user or a group. */
static void put_owner(struct records *r, const char *key, const char *name)
{
	const struct header *h = NULL;

	if (name && (strlen(name) >= sizeof(h->user) || !is_ascii(name)))
		put_text(r, key, name);
}

/* All that H cannot hold.  0 or -ENOBUFS. */
static int add_records(struct buf *out, struct header *h, const struct pax_entry *e,
	const char *name, size_t name_len)
{
	struct records r = {.out = out};

	put_names(&r, h, e, name, name_len);
	if (e->size > OCTAL_11)
		put_number(&r, "size", e->size);
	if (e->uid > OCTAL_7)
		put_number(&r, "uid", e->uid);
	if (e->gid > OCTAL_7)
		put_number(&r, "gid", e->gid);
	put_owner(&r, "uname", e->user);
	put_owner(&r, "gname", e->group);
	if (!plain_time(&e->mtime))
		put_time(&r, "mtime", &e->mtime);
	if (!r.err && e->records)
		r.err = add(out, buf_bytes(e->records), buf_len(e->records));
	return r.err;
}

static void finish(struct header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += bytes[i];
	octal(h->checksum, sizeof(h->checksum) - 1, sum);
}

static void fill(struct header *h, const struct pax_entry *e)
{
	octal(h->mode, sizeof(h->mode), e->mode & 07777);
	octal(h->uid, sizeof(h->uid), e->uid);
	octal(h->gid, sizeof(h->gid), e->gid);
	octal(h->size, sizeof(h->size), e->size);
	octal(h->mtime, sizeof(h->mtime), e->mtime.tv_sec < 0 ? 0 : (uint64_t)e->mtime.tv_sec);
	octal(h->major, sizeof(h->major), e->major);
	octal(h->minor, sizeof(h->minor), e->minor);
	h->type = (char)e->type;
	if (e->target)
		text(h->target, sizeof(h->target), e->target);
	if (e->user)
		text(h->user, sizeof(h->user) - 1, e->user);
	if (e->group)
		text(h->group, sizeof(h->group) - 1, e->group);
	finish(h);
}

/* The header of the records: readers that do not know them make a file of it. */
static void fill_extended(struct header *h, const char *name, size_t name_len, uint64_t size)
{
	static const char dir[] = "PaxHeaders/";
	const size_t room = sizeof(h->name) - (sizeof(dir) - 1);

	memcpy(h->name, dir, sizeof(dir) - 1);
	memcpy(h->name + sizeof(dir) - 1, name + name_len - MIN(name_len, room),
		MIN(name_len, room));
	octal(h->mode, sizeof(h->mode), 0644);
	octal(h->uid, sizeof(h->uid), 0);
	octal(h->gid, sizeof(h->gid), 0);
	octal(h->size, sizeof(h->size), size);
	octal(h->mtime, sizeof(h->mtime), 0);
	h->type = 'x';
	finish(h);
}

int pax_header(struct buf *out, const struct pax_entry *e)
{
	static const char zeros[PAX_BLOCK];
	size_t name_len = strlen(e->name), before = buf_len(out);
	struct header h = {.name = ""}, extended = {.name = ""};
	char *with_slash = NULL;
	const char *name = e->name;
	struct buf records;
	int err;

	buf_init(&records, TAR_RECORDS_MAX);
	if (e->type == PAX_DIR) {
		with_slash = malloc(name_len + 2);
		if (!with_slash)
			return -ENOBUFS;
		memcpy(with_slash, name, name_len);
		memcpy(with_slash + name_len++, "/", 2);
		name = with_slash;
	}
	err = add_records(&records, &h, e, name, name_len);
	fill(&h, e);
	if (!err && buf_len(&records)) {
		size_t len = buf_len(&records);

		fill_extended(&extended, e->name, strlen(e->name), len);
		err = add(out, &extended, sizeof(extended));
		if (!err)
			err = add(out, buf_bytes(&records), len);
		if (!err)
			err = add(out, zeros, pax_padding(len));
	}
	if (!err)
		err = add(out, &h, sizeof(h));
	if (err)
		out->tail = out->head + before;
	buf_fini(&records);
	free(with_slash);
	return err;
}
