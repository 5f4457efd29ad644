/*
 * tar/records.c - extended headers: records "LENGTH KEY=VALUE\n"
 *
 * What they say takes the place of what the ustar header says.  Extended attributes and ACLs stay in
 * the header until tar_attr() is asked for them.
 */
#include <errno.h>
#include <string.h>

#include "proto/limits.h"
#include "tar/reader.h"

struct record {
	char *key, *value; /* each ended by a NUL */
	size_t len;        /* of the value */
};

/*
 * The record at *AT, which moves on.  It is asked for several times: the first time puts the NULs.
 * 1, 0 at the end, or -1 where there is none.
 */
static int next_record(struct tar_bytes *b, size_t *at, struct record *out)
{
	char *p, *end, *equals;
	size_t len = 0, digits = 0;

	if (*at == b->len)
		return 0;
	p = b->at + *at;
	end = b->at + b->len;
	while (p + digits < end && p[digits] >= '0' && p[digits] <= '9' && digits < 9)
		len = 10 * len + (size_t)(p[digits++] - '0');
	if (!digits || p + digits == end || p[digits] != ' ' || len > (size_t)(end - p) ||
		len < digits + 3 || (p[len - 1] != '\n' && p[len - 1] != '\0'))
		return -1;
	*at += len;
	end = p + len - 1;
	p += digits + 1;
	equals = memchr(p, '=', (size_t)(end - p));
	if (!equals)
		return -1;
	*end = '\0';
	*out = (struct record){.key = p, .value = equals + 1, .len = (size_t)(end - equals - 1)};
	return 1;
}

static bool key_is(const struct record *rec, const char *key)
{
	size_t len = strlen(key);

	return strncmp(rec->key, key, len) == 0 && rec->key[len] == '=';
}

/* The key begins with PREFIX: what follows, up to the `=`.  NULL: it does not. */
static char *key_behind(const struct record *rec, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(rec->key, prefix, len) == 0 ? rec->key + len : NULL;
}

/* Decimal digits from *TEXT on, which moves behind them. */
static bool digits(const char **text, uint64_t *out)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > TAR_SIZE_MAX)
			return false;
		v = 10 * v + (uint64_t)(*p - '0');
	}
	if (p == *text)
		return false;
	*text = p;
	*out = v;
	return true;
}

static int no_number(const struct tar_reader *r, const struct record *rec, struct failure *f)
{
	return tar_broken(r, f, ERR_BAD_PARAMS, "its %.*s is no number",
		(int)MIN(strcspn(rec->key, "="), 40), rec->key);
}

static int take_count(
	const struct tar_reader *r, const struct record *rec, uint64_t *out, struct failure *f)
{
	const char *p = rec->value;
	uint64_t v;

	if (!digits(&p, &v) || p != rec->value + rec->len)
		return no_number(r, rec, f);
	*out = v;
	return 0;
}

/* Seconds, with a fraction perhaps. */
static int take_time(const struct tar_reader *r, const struct record *rec, struct timespec *out,
	struct failure *f)
{
	const char *p = rec->value;
	bool negative = *p == '-';
	uint64_t seconds;
	long ns = 0, unit = 100000000;

	p += negative;
	if (!digits(&p, &seconds))
		return no_number(r, rec, f);
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ns += unit * (*p - '0');
	}
	if (p != rec->value + rec->len)
		return no_number(r, rec, f);
	out->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
	out->tv_nsec = ns;
	if (negative && ns) {
		out->tv_sec--;
		out->tv_nsec = 1000000000 - ns;
	}
	return 0;
}

/* *OUT becomes it, unless it is empty. */
static int take_text(
	const struct tar_reader *r, const struct record *rec, char **out, struct failure *f)
{
	if (!rec->len) /* as if it had not been given */
		return 0;
	if (strlen(rec->value) != rec->len)
		return tar_broken(r, f, ERR_BAD_PARAMS, "its name has a NUL in it");
	if (rec->len > TAR_NAME_MAX)
		return tar_broken(r, f, ERR_LIMIT, "its name is longer than %u bytes (tar_name)",
			TAR_NAME_MAX);
	*out = rec->value;
	return 0;
}

/* -- GNU.sparse.*: three formats in turn -------------------------------------------------------- */

/* "offset,length,offset,length" */
static int take_map(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	const char *p = rec->value, *end = p + rec->len;

	r->sparse_given = true;
	r->n_pieces = 0;
	while (p < end) {
		uint64_t at, len;
		int err;

		if (!digits(&p, &at) || *p++ != ',' || !digits(&p, &len) ||
			(p < end && *p++ != ','))
			return no_number(r, rec, f);
		err = tar_add_piece(r, at, len, f);
		if (err)
			return err;
	}
	return 0;
}

static int take_offset(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	if (r->has_half_piece)
		return no_number(r, rec, f);
	r->sparse_given = r->has_half_piece = true;
	return take_count(r, rec, &r->half_piece, f);
}

static int take_length(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	uint64_t len = 0;
	int err = take_count(r, rec, &len, f);

	if (err)
		return err;
	if (!r->has_half_piece)
		return no_number(r, rec, f);
	r->has_half_piece = false;
	return tar_add_piece(r, r->half_piece, len, f);
}

static int take_sparse(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	uint64_t v = 0;
	int err = 0;

	if (key_is(rec, "GNU.sparse.map"))
		return take_map(r, rec, f);
	if (key_is(rec, "GNU.sparse.offset"))
		return take_offset(r, rec, f);
	if (key_is(rec, "GNU.sparse.numbytes"))
		return take_length(r, rec, f);
	if (key_is(rec, "GNU.sparse.name"))
		return take_text(r, rec, &r->sparse_name, f);
	if (key_is(rec, "GNU.sparse.major")) {
		err = take_count(r, rec, &v, f);
		r->sparse_given = true;
		r->sparse_major = (unsigned)MIN(v, 9);
	} else if (key_is(rec, "GNU.sparse.size") || key_is(rec, "GNU.sparse.realsize")) {
		err = take_count(r, rec, &r->real_size, f);
		if (!err && r->real_size > TAR_SIZE_MAX)
			return no_number(r, rec, f);
		r->has_real_size = true;
	}
	return err; /* minor, numblocks: nothing to be learned */
}

/* -- the rest ---------------------------------------------------------------------------------- */

static int take_size(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	int err = take_count(r, rec, &r->left, f);

	if (!err && r->left > TAR_SIZE_MAX)
		return tar_broken(r, f, ERR_LIMIT, "it is larger than %llu bytes (tar_size)",
			(unsigned long long)TAR_SIZE_MAX);
	return err;
}

static int take_record(struct tar_reader *r, const struct record *rec, struct failure *f)
{
	struct tar_entry *e = &r->entry;

	if (key_is(rec, "path"))
		return take_text(r, rec, &e->path, f);
	if (key_is(rec, "linkpath"))
		return take_text(r, rec, &e->target, f);
	if (key_is(rec, "size"))
		return take_size(r, rec, f);
	if (key_is(rec, "uid"))
		return take_count(r, rec, &e->uid, f);
	if (key_is(rec, "gid"))
		return take_count(r, rec, &e->gid, f);
	if (key_is(rec, "mtime"))
		return take_time(r, rec, &e->mtime, f);
	if (key_is(rec, "atime")) {
		e->has_atime = true;
		return take_time(r, rec, &e->atime, f);
	}
	return key_behind(rec, "GNU.sparse.") ? take_sparse(r, rec, f) : 0;
}

int tar_pax_apply(struct tar_reader *r, struct tar_bytes *b, struct failure *f)
{
	struct record rec;
	size_t at = 0;
	int more, err;

	while ((more = next_record(b, &at, &rec)) > 0) {
		err = take_record(r, &rec, f);
		if (err)
			return err;
	}
	return more ? tar_broken(r, f, ERR_BAD_PARAMS, "its extended header is broken") : 0;
}

/* -- attributes -------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	static const char digits16[] = "0123456789abcdef";
	const char *found = c ? strchr(digits16, c | 0x20) : NULL;

	return found ? (int)(found - digits16) : -1;
}

/* In place: "%41" is what bsdtar writes for some bytes of a name; GNU tar ONLY for `=` and `%`. */
static void percent_decode(char *s, const char *only)
{
	char *out = s;

	while (*s) {
		int high = s[0] == '%' ? hex_digit(s[1]) : -1;
		int low = high >= 0 ? hex_digit(s[2]) : -1;
		char c = (char)(high * 16 + low);

		if (low >= 0 && c && (!only || strchr(only, c))) {
			*out++ = c;
			s += 3;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

static int base64_digit(char c)
{
	static const char digits64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits64, c) : NULL;

	return found ? (int)(found - digits64) : -1;
}

/* In place, up to what is no digit; how many bytes it came to. */
static size_t base64_decode(char *s, size_t len)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len && base64_digit(s[i]) >= 0; i++) {
		bits = bits << 6 | (uint32_t)base64_digit(s[i]);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			s[n++] = (char)(bits >> n_bits);
		}
	}
	return n;
}

static bool attr_of(const struct record *rec, struct tar_attr *attr)
{
	char *name;

	*attr = (struct tar_attr){.value = rec->value, .len = rec->len};
	rec->value[-1] = '\0'; /* the `=`: what is told of is not asked for again */
	if ((name = key_behind(rec, "SCHILY.xattr."))) {
		percent_decode(name, "=%");
		attr->name = name;
	} else if ((name = key_behind(rec, "LIBARCHIVE.xattr."))) {
		percent_decode(name, NULL);
		attr->name = name;
		attr->len = base64_decode(attr->value, attr->len);
	} else if (strcmp(rec->key, "RHT.security.selinux") == 0) {
		attr->name = "security.selinux";
	} else if (strcmp(rec->key, "SCHILY.acl.access") == 0) {
		attr->kind = TAR_ACL_ACCESS;
	} else if (strcmp(rec->key, "SCHILY.acl.default") == 0) {
		attr->kind = TAR_ACL_DEFAULT;
	} else if (strcmp(rec->key, "SCHILY.fflags") == 0 ||
		   strcmp(rec->key, "SCHILY.acl.ace") == 0) {
		attr->kind = TAR_UNKNOWN;
		attr->name = rec->key;
	} else {
		return false;
	}
	return true;
}

bool tar_attr(struct tar_reader *r, struct tar_attr *attr)
{
	struct record rec;

	while (next_record(&r->local, &r->attr_at, &rec) > 0) {
		if (attr_of(&rec, attr))
			return true;
	}
	return false;
}
