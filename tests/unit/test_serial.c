/* tests/unit/test_serial.c - proto/serial: the same messages whatever stands around them */
#include "proto/serial.h"

#include <string.h>

#include "proto/cobs.h"
#include "tests/unit/unit.h"

#define LONGEST 1000

/* Appends MESSAGE as a frame of the line to OUT; the new length. */
static size_t add(unsigned char *out, size_t at, const char *message)
{
	char room[LONGEST + 4];

	memcpy(room, message, strlen(message));
	return at + serial_frame_encode(room, strlen(message), out + at);
}

static size_t add_noise(unsigned char *out, size_t at, const char *noise, size_t len)
{
	memcpy(out + at, noise, len);
	return at + len;
}

/* Pushes LINE in pieces of STEP bytes; what comes out, each message behind a '|', is WANT. */
static void expect(const unsigned char *line, size_t len, size_t step, const char *want)
{
	struct serial_reader r;
	char got[1 << 14];
	size_t n = 0;

	serial_init(&r, LONGEST);
	for (size_t at = 0; at < len; at += step) {
		const char *message;
		size_t size;

		serial_push(&r, (const char *)line + at, MIN(step, len - at));
		while (serial_next(&r, &message, &size) == 1) {
			got[n++] = '|';
			memcpy(got + n, message, size);
			n += size;
		}
	}
	got[n] = '\0';
	assert_string_equal(got, want);
	serial_fini(&r);
}

static void expect_in_any_pieces(const unsigned char *line, size_t len, const char *want)
{
	static const size_t steps[] = {1, 2, 3, 7, 64, 100000};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		expect(line, len, steps[i], want);
}

static void test_messages(void **state)
{
	unsigned char line[4 * LONGEST];
	size_t n = add(line, 0, "one");

	(void)state;
	n = add(line, n, "two");
	n = add(line, n, "three");
	expect_in_any_pieces(line, n, "|one|two|three");
}

static void test_noise(void **state)
{
	unsigned char line[4 * LONGEST];
	size_t n = add_noise(line, 0, LIT("half a line of the kernel\r\n"));

	(void)state;
	n = add(line, n, "one");
	n = add_noise(line, n, LIT("[ 1.0] between\r\n\0\0\0more"));
	n = add(line, n, "two");
	n = add_noise(line, n, LIT("\1\1\1\1\1"));
	n = add(line, n, "three");
	expect_in_any_pieces(line, n, "|one|two|three");
}

static void test_a_wrong_byte_costs_its_message_alone(void **state)
{
	(void)state;
	for (size_t i = 1; i < 8; i++) {
		unsigned char line[4 * LONGEST];
		size_t n = add(line, 0, "one");

		line[i] ^= 0x40;
		n = add(line, n, "two");
		n = add(line, n, "three");
		expect_in_any_pieces(line, n, "|two|three");
	}
}

static void test_a_cut_message_costs_itself_alone(void **state)
{
	unsigned char line[4 * LONGEST];
	size_t n = add(line, 0, "one") - 3;

	(void)state;
	n = add(line, n, "two");
	expect_in_any_pieces(line, n, "|two");
}

static void test_what_is_longer_than_any_frame(void **state)
{
	static unsigned char line[20 * LONGEST];
	size_t n = add(line, 0, "one");

	(void)state;
	memset(line + n, 'x', 15 * LONGEST);
	n = add(line, n + 15 * LONGEST, "two");
	expect_in_any_pieces(line, n, "|one|two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_a_wrong_byte_costs_its_message_alone),
		cmocka_unit_test(test_a_cut_message_costs_itself_alone),
		cmocka_unit_test(test_what_is_longer_than_any_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
