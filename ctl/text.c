/* ctl/text.c - what a guest said, for a person's terminal */
#include "ctl/text.h"

#include <inttypes.h>
#include <string.h>

#include "proto/enc.h"

/* Bytes of a character that begins with C. */
static size_t char_len(unsigned char c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Bytes of the character at P: 0 when it is a control character or none. */
static size_t printable(const char *p, size_t left)
{
	unsigned char c = (unsigned char)*p;
	size_t n = char_len(c);

	if (c < 0x20 || c == 0x7f || n > left || !utf8_valid(p, n))
		return 0;
	/* U+0080 to U+009F are control characters too: C1. */
	return c == 0xc2 && (unsigned char)p[1] < 0xa0 ? 0 : n;
}

/* KEEP: control characters that stay. */
static void clean(FILE *f, const char *bytes, size_t len, const char *keep)
{
	while (len) {
		size_t n = printable(bytes, len);

		if (*bytes && strchr(keep, *bytes))
			n = 1;
		if (n)
			fwrite(bytes, 1, n, f);
		else
			fprintf(f, "\\x%02x", (unsigned char)*bytes);
		n += n == 0;
		bytes += n;
		len -= n;
	}
}

void text_clean(FILE *f, const char *bytes, size_t len)
{
	clean(f, bytes, len, "");
}

void text_lines(FILE *f, const char *bytes, size_t len)
{
	clean(f, bytes, len, "\n\t");
}

size_t text_whole(const char *bytes, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = (unsigned char)bytes[len - back];

		if (c >= 0xc0)
			return char_len(c) > back ? len - back : len;
	}
	return len;
}

void text_size(FILE *f, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double n = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		fprintf(f, "%" PRIu64 " B", bytes);
		return;
	}
	/* 1023.95 would be printed as 1024.0. */
	for (; n >= 1023.95; i++)
		n /= 1024;
	fprintf(f, "%.1f %ciB", n, units[i]);
}

void text_duration(FILE *f, uint64_t seconds)
{
	if (seconds >= 3600)
		fprintf(f, "%" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60);
	else
		fprintf(f, "%" PRIu64, seconds / 60);
	fprintf(f, ":%02" PRIu64, seconds % 60);
}

static void array(FILE *f, const struct val *v)
{
	for (size_t i = 0; i < val_count(v); i++) {
		if (i)
			fputc(' ', f);
		text_val(f, val_at(v, i));
	}
}

static void map(FILE *f, const struct val *v)
{
	for (size_t i = 0; i < val_count(v); i++) {
		if (i)
			fputc(' ', f);
		text_val(f, val_key(v, i));
		fputc('=', f);
		text_val(f, val_value(v, i));
	}
}

static void number(FILE *f, const struct val *v)
{
	uint64_t u;
	int64_t i;
	double d;

	if (val_uint(v, &u))
		fprintf(f, "%" PRIu64, u);
	else if (val_int(v, &i))
		fprintf(f, "%" PRId64, i);
	else if (val_float(v, &d))
		fprintf(f, "%g", d);
}

void text_val(FILE *f, const struct val *v)
{
	const char *bytes;
	size_t len;
	bool yes;

	if (val_bytes(v, &bytes, &len))
		text_clean(f, bytes, len);
	else if (val_bool(v, &yes))
		fprintf(f, "%s", yes ? "yes" : "no");
	else if (val_type(v) == VAL_ARRAY)
		array(f, v);
	else if (val_type(v) == VAL_MAP)
		map(f, v);
	else
		number(f, v);
}

static size_t key_len(const struct val *table, size_t i)
{
	const char *bytes;
	size_t len;

	return val_bytes(val_key(table, i), &bytes, &len) ? len : 0;
}

void text_table(FILE *f, const struct val *table)
{
	size_t n = val_type(table) == VAL_MAP ? val_count(table) : 0;
	size_t width = 0;

	for (size_t i = 0; i < n; i++)
		width = MAX(width, key_len(table, i));
	for (size_t i = 0; i < n; i++) {
		text_val(f, val_key(table, i));
		fprintf(f, "%*s", (int)(width - key_len(table, i)) + 2, "");
		text_val(f, val_value(table, i));
		fputc('\n', f);
	}
}

bool text_is(const struct val *v, const char *s)
{
	const char *bytes;
	size_t len;

	return val_bytes(v, &bytes, &len) && len == strlen(s) && memcmp(bytes, s, len) == 0;
}
