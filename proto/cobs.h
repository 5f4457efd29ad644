/*
 * proto/cobs.h - frames for serial lines: COBS between zero bytes, with a CRC-32
 *
 * COBS (Cheshire and Baker, 1999) rewrites bytes so that none is zero; a zero then always
 * separates frames, and a reader that joined late or saw noise is back in step after the next
 * one.  Overhead: one byte in 254.
 */
#ifndef PROTO_COBS_H
#define PROTO_COBS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The most bytes that LEN bytes can become. */
#define COBS_MAX(len) ((len) + (len) / 254 + 1)

/* OUT has COBS_MAX(len) bytes.  How many were written; none of them is zero. */
size_t cobs_encode(const void *bytes, size_t len, void *out);

/* OUT has LEN bytes (it may be BYTES itself).  How many were written, -EBADMSG for no COBS. */
ssize_t cobs_decode(const void *bytes, size_t len, void *out);

/* A whole serial frame: 0x00, COBS(message, CRC-32 little-endian), 0x00. */
#define SERIAL_FRAME_MAX(len) (COBS_MAX((len) + 4) + 2)

/* OUT has SERIAL_FRAME_MAX(len) bytes.  MESSAGE has room for the CRC: four bytes more. */
size_t serial_frame_encode(void *message, size_t len, void *out);

/*
 * What stood between two zero bytes, decoded in place.  The message's length, or -EBADMSG when
 * it is noise: to be dropped silently.  No message is empty: five bytes of 0x01 would be one.
 */
ssize_t serial_frame_decode(void *bytes, size_t len);

/* CRC-32 as in IEEE 802.3 and zlib's crc32(0, bytes, len). */
uint32_t crc32_ieee(const void *bytes, size_t len);

#endif
