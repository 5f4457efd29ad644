/*
 * proto/enc.h - writing messages
 *
 * Encodes straight into a buf.  Failure (the buf's maximum) is remembered and asked once, at
 * the end.  A map's size need not be known beforehand: enc_map_begin leaves room that
 * enc_map_end fills, so optional fields cost no counting.
 *
 * Thread: one at a time.
 */
#ifndef PROTO_ENC_H
#define PROTO_ENC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/err.h"

struct enc {
	struct buf *buf;
	size_t start; /* where the frame begins, counted from the buf's head */
	bool failed;
};

/* Message types: the first element of every message. */
enum msg_type {
	MSG_REQUEST = 0,
	MSG_RESPONSE = 1,
	MSG_NOTIFICATION = 2,
	MSG_DATA = 3,
	MSG_END = 4,
	MSG_EVENT = 5,
	MSG_CREDIT = 6,
	MSG_CANCEL = 7,
};

/* Starts a frame at the tail of BUF: its length follows with enc_frame_end. */
void enc_frame_begin(struct enc *e, struct buf *buf);

/* 0, or -EMSGSIZE (longer than MAX) or -ENOBUFS; then the buf is as it was before the frame. */
MUST_CHECK int enc_frame_end(struct enc *e, uint32_t max);

void enc_array(struct enc *e, size_t n);
void enc_nil(struct enc *e);
void enc_bool(struct enc *e, bool v);
void enc_uint(struct enc *e, uint64_t v);
void enc_int(struct enc *e, int64_t v);
void enc_float(struct enc *e, double v);
void enc_str(struct enc *e, const char *s);
void enc_bin(struct enc *e, const void *bytes, size_t len);

/* The header of a bin of LEN bytes; the caller adds them to the buf. */
void enc_bin_header(struct enc *e, size_t len);

/* str where the bytes are UTF-8, bin where they are not: names are bytes. */
void enc_text(struct enc *e, const void *bytes, size_t len);

/* str always: what is no UTF-8 becomes a question mark.  For people, not for names. */
void enc_lossy(struct enc *e, const char *s);

/* Returns the mark that enc_map_end (enc_array_end) wants, with the number of pairs (elements). */
size_t enc_map_begin(struct enc *e);
void enc_map_end(struct enc *e, size_t mark, size_t n);
size_t enc_array_begin(struct enc *e);
void enc_array_end(struct enc *e, size_t mark, size_t n);

/* A pair of a map each. */
void enc_kv_nil(struct enc *e, const char *key);
void enc_kv_bool(struct enc *e, const char *key, bool v);
void enc_kv_uint(struct enc *e, const char *key, uint64_t v);
void enc_kv_int(struct enc *e, const char *key, int64_t v);
void enc_kv_str(struct enc *e, const char *key, const char *s);
void enc_kv_text(struct enc *e, const char *key, const char *s);
void enc_kv_bin(struct enc *e, const char *key, const void *bytes, size_t len);

/* The error map of a response. */
void failure_encode(const struct failure *f, struct enc *e);

/* A whole data message but its payload: OUT has DATA_HEADER_MAX bytes; how many were written. */
size_t enc_data_header(char *out, uint32_t id, unsigned channel, uint32_t len);

/* Are these bytes well-formed UTF-8? */
bool utf8_valid(const void *bytes, size_t len);

#endif
