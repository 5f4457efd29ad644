/* proto/enc.c - writing messages with msgpack-c's packer, straight into a buf */
#include "proto/enc.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/limits.h"

static int add(void *data, const char *bytes, size_t len)
{
	struct enc *e = data;

	if (!e->failed && buf_add(e->buf, bytes, len) < 0)
		e->failed = true;
	return 0;
}

static msgpack_packer packer(struct enc *e)
{
	return (msgpack_packer){.data = e, .callback = add};
}

void enc_frame_begin(struct enc *e, struct buf *buf)
{
	static const char room[FRAME_HEADER];

	*e = (struct enc){.buf = buf, .start = buf_len(buf)};
	add(e, room, sizeof(room));
}

int enc_frame_end(struct enc *e, uint32_t max)
{
	size_t len = buf_len(e->buf) - e->start - FRAME_HEADER;

	if (e->failed || len > max) {
		e->buf->tail = e->buf->head + e->start;
		return e->failed ? -ENOBUFS : -EMSGSIZE;
	}
	frame_header(buf_bytes(e->buf) + e->start, (uint32_t)len);
	return 0;
}

void enc_array(struct enc *e, size_t n)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_array(&pk, n);
}

void enc_nil(struct enc *e)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_nil(&pk);
}

void enc_bool(struct enc *e, bool v)
{
	msgpack_packer pk = packer(e);

	if (v)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void enc_uint(struct enc *e, uint64_t v)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_uint64(&pk, v);
}

void enc_int(struct enc *e, int64_t v)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_int64(&pk, v);
}

void enc_float(struct enc *e, double v)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_double(&pk, v);
}

static void str(struct enc *e, const void *bytes, size_t len)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_str(&pk, len);
	msgpack_pack_str_body(&pk, bytes, len);
}

void enc_str(struct enc *e, const char *s)
{
	str(e, s, strlen(s));
}

void enc_bin_header(struct enc *e, size_t len)
{
	msgpack_packer pk = packer(e);

	msgpack_pack_bin(&pk, len);
}

void enc_bin(struct enc *e, const void *bytes, size_t len)
{
	enc_bin_header(e, len);
	add(e, bytes, len);
}

void enc_text(struct enc *e, const void *bytes, size_t len)
{
	if (utf8_valid(bytes, len))
		str(e, bytes, len);
	else
		enc_bin(e, bytes, len);
}

/* A header with a 16-bit count, to be filled in: three bytes whatever the count. */
static size_t begin(struct enc *e, unsigned char type)
{
	char head[3] = {(char)type, 0, 0};
	size_t mark = buf_len(e->buf);

	add(e, head, sizeof(head));
	return mark;
}

static void end(struct enc *e, size_t mark, size_t n)
{
	char *p;

	if (e->failed)
		return;
	if (n > UINT16_MAX) {
		e->failed = true;
		return;
	}
	p = buf_bytes(e->buf) + mark;
	p[1] = (char)(n >> 8);
	p[2] = (char)n;
}

size_t enc_map_begin(struct enc *e)
{
	return begin(e, 0xde);
}

void enc_map_end(struct enc *e, size_t mark, size_t n)
{
	end(e, mark, n);
}

size_t enc_array_begin(struct enc *e)
{
	return begin(e, 0xdc);
}

void enc_array_end(struct enc *e, size_t mark, size_t n)
{
	end(e, mark, n);
}

void enc_kv_nil(struct enc *e, const char *key)
{
	enc_str(e, key);
	enc_nil(e);
}

void enc_kv_bool(struct enc *e, const char *key, bool v)
{
	enc_str(e, key);
	enc_bool(e, v);
}

void enc_kv_uint(struct enc *e, const char *key, uint64_t v)
{
	enc_str(e, key);
	enc_uint(e, v);
}

void enc_kv_int(struct enc *e, const char *key, int64_t v)
{
	enc_str(e, key);
	enc_int(e, v);
}

void enc_kv_str(struct enc *e, const char *key, const char *s)
{
	enc_str(e, key);
	enc_str(e, s);
}

void enc_kv_text(struct enc *e, const char *key, const char *s)
{
	enc_str(e, key);
	enc_text(e, s, strlen(s));
}

void enc_kv_bin(struct enc *e, const char *key, const void *bytes, size_t len)
{
	enc_str(e, key);
	enc_bin(e, bytes, len);
}

void failure_encode(const struct failure *f, struct enc *e)
{
	size_t n = 2, mark = enc_map_begin(e);

	enc_kv_str(e, "code", err_name(f->err));
	enc_str(e, "message");
	enc_lossy(e, f->message);
	if (f->err < 0) {
		enc_kv_int(e, "errno", -(int64_t)f->err);
		n++;
	}
	if (f->path[0]) {
		enc_kv_text(e, "path", f->path);
		n++;
	}
	if (f->stage) {
		enc_kv_str(e, "stage", f->stage);
		n++;
	}
	if (f->data) {
		enc_str(e, "data");
		if (buf_add(e->buf, buf_bytes(f->data), buf_len(f->data)) < 0)
			e->failed = true;
		n++;
	}
	enc_map_end(e, mark, n);
}

static char *big_endian32(char *p, uint32_t v)
{
	frame_header(p, v);
	return p + 4;
}

size_t enc_data_header(char *out, uint32_t id, unsigned channel, uint32_t len)
{
	char *p = out + FRAME_HEADER;

	ASSERT(len <= MAX_DATA && channel < 128);
	*p++ = (char)0x94;
	*p++ = MSG_DATA;
	*p++ = (char)0xce;
	p = big_endian32(p, id);
	*p++ = (char)channel;
	*p++ = (char)0xc6;
	p = big_endian32(p, len);
	frame_header(out, (uint32_t)(p - out - FRAME_HEADER) + len);
	return (size_t)(p - out);
}

/* Bytes of the character at P, 0 when it is none: RFC 3629, section 4. */
static size_t utf8_char(const unsigned char *p, const unsigned char *end)
{
	unsigned char c = *p;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		len = 2;
	else if (c >= 0xe0 && c <= 0xef)
		len = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		len = 4;
	else
		return 0;
	if ((size_t)(end - p) < len)
		return 0;
	/* Overlong forms, surrogates and what lies above U+10FFFF. */
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
		(c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

bool utf8_valid(const void *bytes, size_t len)
{
	const unsigned char *p = bytes, *end = p + len;

	while (p < end) {
		size_t n = utf8_char(p, end);

		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

void enc_lossy(struct enc *e, const char *s)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + strlen(s);
	struct buf clean;

	buf_init(&clean, strlen(s) + 1);
	while (p < end) {
		size_t n = utf8_char(p, end);

		if (buf_add(&clean, n ? (const char *)p : "?", MAX(n, 1)) < 0)
			e->failed = true;
		p += MAX(n, 1);
	}
	str(e, buf_len(&clean) ? buf_bytes(&clean) : "", buf_len(&clean));
	buf_fini(&clean);
}
