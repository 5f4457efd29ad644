/* tests/unit/test_cobs.c - proto/cobs: published vectors, and lines with noise on them */
#include "proto/cobs.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static void check_vector(const void *plain, size_t len, const void *coded, size_t coded_len)
{
	unsigned char out[700];
	size_t n;

	assert_in_range(COBS_MAX(len), 1, sizeof(out));
	n = cobs_encode(plain, len, out);
	assert_int_equal(n, coded_len);
	assert_memory_equal(out, coded, coded_len);
	assert_int_equal(cobs_decode(coded, coded_len, out), len);
	assert_memory_equal(out, plain, len);
}

/* Those of the paper (Cheshire and Baker, 1999) and of Wikipedia's article on it. */
static void test_vectors(void **state)
{
	(void)state;
	check_vector(LIT(""), LIT("\x01"));
	check_vector(LIT("\x00"), LIT("\x01\x01"));
	check_vector(LIT("\x00\x00"), LIT("\x01\x01\x01"));
	check_vector(LIT("\x00\x11\x00"), LIT("\x01\x02\x11\x01"));
	check_vector(LIT("\x11\x22\x00\x33"), LIT("\x03\x11\x22\x02\x33"));
	check_vector(LIT("\x11\x22\x33\x44"), LIT("\x05\x11\x22\x33\x44"));
	check_vector(LIT("\x11\x00\x00\x00"), LIT("\x02\x11\x01\x01\x01"));
	check_vector(LIT("\x45\x00\x00\x2c\x4c\x79\x00\x00\x40\x06\x4f\x37"),
		LIT("\x02\x45\x01\x04\x2c\x4c\x79\x01\x05\x40\x06\x4f\x37"));
}

/* N bytes counting up from FIRST, modulo 256. */
static size_t ramp(unsigned char *out, unsigned first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)(first + i);
	return n;
}

static void test_runs(void **state)
{
	unsigned char plain[300], coded[300];

	(void)state;
	/* 01 … FE: a full run of 254, no code behind it. */
	ramp(plain, 1, 254);
	coded[0] = 0xff;
	ramp(coded + 1, 1, 254);
	check_vector(plain, 254, coded, 255);
	/* 00 01 … FE */
	ramp(plain, 0, 255);
	coded[0] = 0x01;
	coded[1] = 0xff;
	ramp(coded + 2, 1, 254);
	check_vector(plain, 255, coded, 256);
	/* 01 … FF: one more than a run. */
	ramp(plain, 1, 255);
	coded[0] = 0xff;
	ramp(coded + 1, 1, 254);
	coded[255] = 0x02;
	coded[256] = 0xff;
	check_vector(plain, 255, coded, 257);
	/* 02 … FF 00: a full run, then a zero. */
	ramp(plain, 2, 255);
	coded[0] = 0xff;
	ramp(coded + 1, 2, 254);
	coded[255] = 0x01;
	coded[256] = 0x01;
	check_vector(plain, 255, coded, 257);
	/* 03 … FF 00 01: a run of 253. */
	ramp(plain, 3, 255);
	coded[0] = 0xfe;
	ramp(coded + 1, 3, 253);
	coded[254] = 0x02;
	coded[255] = 0x01;
	check_vector(plain, 255, coded, 256);
	/* Other encoders end a full run with a code of its own: the same bytes. */
	coded[0] = 0xff;
	ramp(coded + 1, 1, 254);
	coded[255] = 0x01;
	assert_int_equal(cobs_decode(coded, 256, plain), 254);
}

static void test_no_cobs(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{LIT("")},
		{LIT("\x00")},
		{LIT("\x02")},
		{LIT("\x03\x11")},
		{LIT("\xff\x01\x02")},
		{LIT("\x03\x11\x00")}, /* a zero inside */
		{LIT("\x02\x11\x00\x11")},
		{LIT("\x02\x11\x05\x11\x22\x33")},
	};
	char out[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(cobs_decode(cases[i].bytes, cases[i].len, out), -EBADMSG);
}

/* Any bytes: no zero in the code, never longer than promised, and back again, also in place. */
static void round_trip(const unsigned char *plain, size_t len)
{
	unsigned char *coded = malloc(COBS_MAX(len)), *out = malloc(COBS_MAX(len));
	size_t n;

	assert_non_null(coded);
	assert_non_null(out);
	n = cobs_encode(plain, len, coded);
	assert_in_range(n, len + 1, COBS_MAX(len));
	assert_null(memchr(coded, 0, n));
	assert_int_equal(cobs_decode(coded, n, out), len);
	assert_memory_equal(out, plain, len);
	assert_int_equal(cobs_decode(coded, n, coded), len);
	assert_memory_equal(coded, plain, len);
	free(coded);
	free(out);
}

static void test_round_trip(void **state)
{
	unsigned char plain[1100];
	uint32_t seed = 6;

	(void)state;
	for (size_t len = 0; len < sizeof(plain); len++) {
		memset(plain, 'x', len);
		round_trip(plain, len);
		memset(plain, 0, len);
		round_trip(plain, len);
		rnd_fill(&seed, plain, len);
		round_trip(plain, len);
		/* Zeros beside the ends of full runs. */
		memset(plain, 'x', len);
		for (size_t i = 253 + rnd_below(&seed, 4); i < len; i += 254 + rnd_below(&seed, 2))
			plain[i] = 0;
		round_trip(plain, len);
	}
}

static void test_crc(void **state)
{
	static const char zeros[32];
	char ones[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(crc32_ieee(LIT("123456789")), 0xcbf43926); /* the check value */
	assert_int_equal(crc32_ieee("", 0), 0);
	assert_int_equal(crc32_ieee(LIT("a")), 0xe8b7be43);
	assert_int_equal(crc32_ieee(LIT("abc")), 0x352441c2);
	assert_int_equal(
		crc32_ieee(LIT("The quick brown fox jumps over the lazy dog")), 0x414fa339);
	assert_int_equal(crc32_ieee(zeros, sizeof(zeros)), 0x190a55ad);
	assert_int_equal(crc32_ieee(ones, sizeof(ones)), 0xff6cab0b);
}

/* OUT gets MESSAGE as a serial frame; its length. */
static size_t serial(const void *message, size_t len, unsigned char *out)
{
	unsigned char *room = malloc(len + 4);
	size_t n;

	assert_non_null(room);
	memcpy(room, message, len);
	n = serial_frame_encode(room, len, out);
	assert_memory_equal(room, message, len);
	assert_in_range(n, len + 7, SERIAL_FRAME_MAX(len));
	assert_int_equal(out[0], 0);
	assert_int_equal(out[n - 1], 0);
	assert_null(memchr(out + 1, 0, n - 2));
	free(room);
	return n;
}

static void test_serial_vector(void **state)
{
	unsigned char out[32];
	size_t n = serial("123456789", 9, out);

	(void)state;
	/* The CRC is little-endian. */
	assert_int_equal(n, 16);
	assert_memory_equal(out,
		"\0\x0e"
		"123456789\x26\x39\xf4\xcb\0",
		16);
}

static void test_serial_round_trip(void **state)
{
	unsigned char message[1000], out[SERIAL_FRAME_MAX(1000)];
	uint32_t seed = 7;

	(void)state;
	for (size_t len = 1; len <= sizeof(message); len++) {
		size_t n;

		rnd_fill(&seed, message, len);
		if (len % 3 == 0)
			memset(message, 0, len / 2);
		n = serial(message, len, out);
		assert_int_equal(serial_frame_decode(out + 1, n - 2), len);
		assert_memory_equal(out + 1, message, len);
	}
}

/* Each stretch between two zeros in LINE, as a reader would cut it: how many are taken. */
static int taken(const unsigned char *line, size_t len)
{
	int n = 0;

	for (size_t i = 0, start = 0; i <= len; i++) {
		if (i < len && line[i])
			continue;
		if (i > start) {
			unsigned char *copy = malloc(i - start);

			assert_non_null(copy);
			memcpy(copy, line + start, i - start);
			n += serial_frame_decode(copy, i - start) >= 0;
			free(copy);
		}
		start = i + 1;
	}
	return n;
}

static void flip_every_bit(size_t len, uint32_t seed)
{
	unsigned char message[600], out[SERIAL_FRAME_MAX(600)];
	size_t n;

	rnd_fill(&seed, message, len);
	n = serial(message, len, out);
	assert_int_equal(taken(out, n), 1);
	for (size_t bit = 8; bit < 8 * (n - 1); bit++) {
		out[bit / 8] ^= (unsigned char)(1u << bit % 8);
		if (taken(out, n))
			fail_msg("%zu bytes, seed %u: bit %zu flipped and taken", len, seed, bit);
		out[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
}

static void test_bit_flips(void **state)
{
	(void)state;
	for (size_t len = 1; len < 40; len++)
		flip_every_bit(len, (uint32_t)len);
	flip_every_bit(254, 8);
	flip_every_bit(600, 9);
}

/* A frame with a piece missing, doubled or exchanged: what a serial line really does. */
static void test_lost_bytes(void **state)
{
	unsigned char message[100], out[SERIAL_FRAME_MAX(100)], cut[SERIAL_FRAME_MAX(100)];
	uint32_t seed = 10;
	size_t n;

	(void)state;
	rnd_fill(&seed, message, sizeof(message));
	n = serial(message, sizeof(message), out);
	for (size_t at = 1; at < n - 1; at++) {
		for (size_t lost = 1; at + lost < n; lost++) {
			memcpy(cut, out, at);
			memcpy(cut + at, out + at + lost, n - at - lost);
			assert_int_equal(taken(cut, n - lost), 0);
		}
	}
}

static void test_noise(void **state)
{
	unsigned char line[200];
	uint32_t seed = 11;

	(void)state;
	/* Nothing: not even an empty message, whose CRC is zero. */
	assert_int_equal(taken((const unsigned char *)"\1\1\1\1\1", 5), 0);
	for (int b = 1; b <= 0xff; b++) {
		for (size_t len = 1; len < sizeof(line); len++) {
			memset(line, b, len);
			assert_int_equal(taken(line, len), 0);
		}
	}
	for (int i = 0; i < 100000; i++) {
		size_t len = rnd_below(&seed, sizeof(line) + 1);

		rnd_fill(&seed, line, len);
		assert_int_equal(taken(line, len), 0);
	}
}

/* Kernel messages before, between and behind: the frames still come through. */
static void test_noise_around(void **state)
{
	unsigned char line[400];
	size_t n = 0;

	(void)state;
	memcpy(line, LIT("[    1.5] random: crng init done\r\n"));
	n += 34;
	n += serial("one", 3, line + n);
	memcpy(line + n, LIT("oom-killer"));
	n += 10;
	n += serial("two", 3, line + n);
	n += serial("three", 5, line + n);
	memcpy(line + n, LIT("\n"));
	assert_int_equal(taken(line, n + 1), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_no_cobs),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_serial_vector),
		cmocka_unit_test(test_serial_round_trip),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_lost_bytes),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_noise_around),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
