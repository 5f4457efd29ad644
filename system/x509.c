/*
 * system/x509.c - as much of X.509 as a directory of certificates wants
 *
 *	Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
 *		[0] version OPTIONAL, serialNumber INTEGER, signature SEQUENCE, issuer Name,
 *		validity SEQUENCE, subject Name, subjectPublicKeyInfo SEQUENCE, ... }, ... }
 *	Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
 *
 * RFC 5280; the canonical encoding is OpenSSL's: the sets without the sequence around them, strings
 * as UTF8String in lower case (of ASCII alone), without blanks around, with one blank for several inside.
 */
#include "system/x509.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "guestd/sha1.h"

enum { TAG_INTEGER = 0x02, TAG_OID = 0x06, TAG_UTF8 = 0x0c, TAG_SEQUENCE = 0x30, TAG_SET = 0x31 };

struct der {
	const unsigned char *at;
	size_t len;
};

struct tlv {
	unsigned tag;
	struct der value;
	struct der whole;
};

/* The first element of D, which then begins behind it.  Lengths as DER has them. */
static bool der_next(struct der *d, struct tlv *out)
{
	size_t head = 2, len;

	if (d->len < 2 || (d->at[0] & 0x1f) == 0x1f)
		return false;
	len = d->at[1];
	if (len & 0x80) {
		size_t n = len & 0x7f;

		if (n == 0 || n > 3 || d->len < 2 + n || d->at[2] == 0)
			return false;
		len = 0;
		for (size_t i = 0; i < n; i++)
			len = len << 8 | d->at[2 + i];
		if (len < 0x80)
			return false;
		head += n;
	}
	if (len > d->len - head)
		return false;
	out->tag = d->at[0];
	out->value = (struct der){d->at + head, len};
	out->whole = (struct der){d->at, head + len};
	d->at += head + len;
	d->len -= head + len;
	return true;
}

static bool der_expect(struct der *d, unsigned tag, struct tlv *out)
{
	return der_next(d, out) && out->tag == tag;
}

/* Output that was measured before: what it can be at most. */
struct out {
	unsigned char *at;
	size_t len;
};

static void put(struct out *o, const void *bytes, size_t len)
{
	if (len)
		memcpy(o->at + o->len, bytes, len);
	o->len += len;
}

static void put_byte(struct out *o, unsigned byte)
{
	o->at[o->len++] = (unsigned char)byte;
}

/* Tag and length before the bytes from START on. */
static void wrap(struct out *o, size_t start, unsigned tag)
{
	unsigned char head[5] = {(unsigned char)tag};
	size_t len = o->len - start, n = 0;

	if (len < 0x80) {
		head[1] = (unsigned char)len;
	} else {
		for (size_t rest = len; rest; rest >>= 8)
			n++;
		head[1] = (unsigned char)(0x80 | n);
		for (size_t i = 0; i < n; i++)
			head[2 + i] = (unsigned char)(len >> 8 * (n - 1 - i));
	}
	memmove(o->at + start + 2 + n, o->at + start, len);
	memcpy(o->at + start, head, 2 + n);
	o->len += 2 + n;
}

static void put_utf8(struct out *o, uint32_t c)
{
	if (c < 0x80) {
		put_byte(o, c);
	} else if (c < 0x800) {
		put_byte(o, 0xc0 | c >> 6);
		put_byte(o, 0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		put_byte(o, 0xe0 | c >> 12);
		put_byte(o, 0x80 | (c >> 6 & 0x3f));
		put_byte(o, 0x80 | (c & 0x3f));
	} else {
		put_byte(o, 0xf0 | (c >> 18 & 7));
		put_byte(o, 0x80 | (c >> 12 & 0x3f));
		put_byte(o, 0x80 | (c >> 6 & 0x3f));
		put_byte(o, 0x80 | (c & 0x3f));
	}
}

/* Bytes of a character in a string of this tag; 0: UTF-8 already; -1: it is not folded. */
static int char_width(unsigned tag)
{
	switch (tag) {
	case TAG_UTF8:
		return 0;
	case 0x13: /* PrintableString */
	case 0x14: /* T61String, read as Latin-1 as everybody does */
	case 0x16: /* IA5String */
	case 0x1a: /* VisibleString */
		return 1;
	case 0x1c: /* UniversalString */
		return 4;
	case 0x1e: /* BMPString */
		return 2;
	default:
		return -1;
	}
}

static bool to_utf8(const struct tlv *string, int width, struct out *o)
{
	const struct der *v = &string->value;

	if (width == 0) {
		put(o, v->at, v->len);
		return true;
	}
	if (v->len % (size_t)width)
		return false;
	for (size_t i = 0; i < v->len; i += (size_t)width) {
		uint32_t c = 0;

		for (int k = 0; k < width; k++)
			c = c << 8 | v->at[i + (size_t)k];
		put_utf8(o, c);
	}
	return true;
}

/* As isspace(3) in the C locale. */
static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text from START on: in lower case, blanks trimmed and folded. */
static void fold(struct out *o, size_t start)
{
	unsigned char *text = o->at + start;
	size_t from = 0, end = o->len - start, to = 0;

	while (from < end && is_space(text[from]))
		from++;
	while (end > from && is_space(text[end - 1]))
		end--;
	while (from < end) {
		unsigned char c = text[from++];

		if (is_space(c)) {
			c = ' ';
			while (is_space(text[from]))
				from++;
		} else if (c >= 'A' && c <= 'Z') {
			c = (unsigned char)(c - 'A' + 'a');
		}
		text[to++] = c;
	}
	o->len = start + to;
}

/* One SEQUENCE { type, value } of a name. */
static bool put_attribute(struct out *o, const struct tlv *attribute)
{
	struct der d = attribute->value;
	struct tlv type, value;
	size_t start = o->len, text;
	int width;

	if (attribute->tag != TAG_SEQUENCE || !der_expect(&d, TAG_OID, &type) ||
		!der_next(&d, &value) || d.len)
		return false;
	put(o, type.whole.at, type.whole.len);
	width = char_width(value.tag);
	if (width < 0) {
		put(o, value.whole.at, value.whole.len);
	} else {
		text = o->len;
		if (!to_utf8(&value, width, o))
			return false;
		fold(o, text);
		wrap(o, text, TAG_UTF8);
	}
	wrap(o, start, TAG_SEQUENCE);
	return true;
}

static int compare_der(const void *a, const void *b)
{
	const struct der *x = a, *y = b;
	int order = memcmp(x->at, y->at, MIN(x->len, y->len));

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* The elements of a set that were put from START on, in the order that DER wants. */
static bool sort_set(struct out *o, size_t start)
{
	struct der rest = {o->at + start, o->len - start}, at[64];
	unsigned char *copy;
	struct tlv e;
	size_t n = 0;

	while (rest.len) {
		if (n == ARRAY_LEN(at) || !der_next(&rest, &e))
			return false;
		at[n++] = e.whole;
	}
	if (n < 2)
		return true;
	qsort(at, n, sizeof(*at), compare_der);
	copy = malloc(o->len - start);
	if (!copy)
		return false;
	rest.len = 0;
	for (size_t i = 0; i < n; i++) {
		memcpy(copy + rest.len, at[i].at, at[i].len);
		rest.len += at[i].len;
	}
	memcpy(o->at + start, copy, rest.len);
	free(copy);
	return true;
}

static bool put_name(struct out *o, struct der name)
{
	struct tlv set, attribute;

	while (name.len) {
		size_t start = o->len;

		if (!der_expect(&name, TAG_SET, &set) || !set.value.len)
			return false;
		while (set.value.len) {
			if (!der_next(&set.value, &attribute) || !put_attribute(o, &attribute))
				return false;
		}
		if (!sort_set(o, start))
			return false;
		wrap(o, start, TAG_SET);
	}
	return true;
}

static bool find_subject(struct der der, struct der *subject)
{
	struct tlv cert, tbs, e;

	if (!der_expect(&der, TAG_SEQUENCE, &cert) || der.len)
		return false;
	if (!der_expect(&cert.value, TAG_SEQUENCE, &tbs) ||
		!der_expect(&cert.value, TAG_SEQUENCE, &e) || /* signatureAlgorithm */
		!der_expect(&cert.value, 0x03, &e) || cert.value.len)
		return false;
	if (!der_next(&tbs.value, &e))
		return false;
	if (e.tag == 0xa0 && !der_next(&tbs.value, &e)) /* version */
		return false;
	if (e.tag != TAG_INTEGER || !der_expect(&tbs.value, TAG_SEQUENCE, &e) || /* signature */
		!der_expect(&tbs.value, TAG_SEQUENCE, &e) ||                     /* issuer */
		!der_expect(&tbs.value, TAG_SEQUENCE, &e))                       /* validity */
		return false;
	if (!der_expect(&tbs.value, TAG_SEQUENCE, &e))
		return false;
	*subject = e.value;
	return der_expect(&tbs.value, TAG_SEQUENCE, &e); /* the key */
}

int x509_subject_hash(const void *der, size_t len, uint32_t *hash)
{
	struct der subject;
	unsigned char digest[SHA1_BYTES];
	struct out o = {0};
	bool good;

	if (len > X509_MAX || !find_subject((struct der){der, len}, &subject))
		return -EINVAL;
	/*
	 * A byte becomes two at most, as UTF-8, and heads grow by three bytes, of things of at least two
	 * bytes; a NUL is where a string ends.
	 */
	o.at = calloc(1, 8 * subject.len + 64);
	if (!o.at)
		return -ENOMEM;
	good = put_name(&o, subject);
	if (good)
		sha1(o.at, o.len, digest);
	free(o.at);
	if (!good)
		return -EINVAL;
	*hash = (uint32_t)digest[0] | (uint32_t)digest[1] << 8 | (uint32_t)digest[2] << 16 |
		(uint32_t)digest[3] << 24;
	return 0;
}
