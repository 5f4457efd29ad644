/* tests/unit/test_net_sockets.c - net/sockets, net/address: lines of /proc/net/tcp, addresses as text */
#include "net/address.h"
#include "net/sockets.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define REST " 00000000:00000000 00:00000000 00000000  1000        0 "

static void test_a_line(void **state)
{
	struct listening l;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	/* Words of an address are in the machine's order; this one's is little-endian. */
	assert_true(sockets_parse(
		"   0: 0100007F:1F90 00000000:0000 0A" REST "12345 1 0000 100 0\n", AF_INET, &l));
	assert_int_equal(l.port, 8080);
	assert_int_equal(l.inode, 12345);
	listening_text(&l, text);
	assert_string_equal(text, "127.0.0.1");
	assert_true(sockets_parse(" 999: 00000000000000000000000001000000:0050 "
				  "00000000000000000000000000000000:0000 0A" REST
				  "18446744073709551615 1 00\n",
		AF_INET6, &l));
	listening_text(&l, text);
	assert_string_equal(text, "::1");
	assert_true(l.inode == UINT64_MAX);
}

static void test_no_line(void **state)
{
	static const char *const lines[] = {
		"",
		"\n",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
		"   0: 0100007F:1F90 00000000:0000 01" REST "12345 1\n", /* a connection */
		"   0: 0100007F:1F90 00000000:0000 0A\n",
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n",
		"   0: 0100007:1F90 00000000:0000 0A" REST "12345 1\n",
		"   0: 0100007F1F90 00000000:0000 0A" REST "12345 1\n",
		"   0: 0100007G:1F90 00000000:0000 0A" REST "12345 1\n",
		"   0: 0100007F:1F9Z 00000000:0000 0A" REST "12345 1\n",
		"   0: 00000000000000000000000001000000:0050 0:0 0A" REST "12345 1\n",
	};
	struct listening l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_false(sockets_parse(lines[i], AF_INET, &l));
}

static void test_sorting(void **state)
{
	struct listening at[] = {
		{.port = 2, .family = AF_INET, .inode = 9},
		{.port = 1, .family = AF_INET6, .inode = 1},
		{.port = 2, .family = AF_INET, .inode = 3},
		{.port = 2, .family = AF_INET, .inode = 9},
		{.port = 1, .family = AF_INET, .addr = {127, 0, 0, 1}, .inode = 5},
		{.port = 1, .family = AF_INET, .addr = {10}, .inode = 6},
	};
	static const uint64_t inodes[] = {6, 5, 1, 3, 9};
	struct sockets s = {.at = at, .n = ARRAY_LEN(at)};

	(void)state;
	sockets_sort(&s);
	assert_int_equal(s.n, ARRAY_LEN(inodes));
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(at[i].inode, inodes[i]);
	assert_int_equal(sockets_compare(&at[3], &at[4]), 0);
	assert_true(sockets_compare(&at[0], &at[1]) < 0);
}

static void test_this_host(void **state)
{
	struct sockets s = {0};

	(void)state;
	assert_int_equal(sockets_find(&s), 0);
	sockets_fini(&s);
	assert_null(s.at);
}

static void assert_parses(const char *host, size_t n, const char *first)
{
	struct address at[MAX_ADDRESSES];
	struct failure f;
	char text[ADDRESS_TEXT_MAX];

	assert_int_equal(address_parse(host, at, &f), n);
	address_text(&at[0], text);
	assert_string_equal(text, first);
}

static void test_hosts(void **state)
{
	static const char *const bad[] = {"", ".", "localhost..", ".localhost", "127.1",
		"1.2.3.4.5", "0x7f.0.0.1", "2130706433", "[::1]", "::1%", "host", " 127.0.0.1",
		"::g"};
	struct address at[MAX_ADDRESSES];
	struct failure f;

	(void)state;
	assert_parses(NULL, 2, "127.0.0.1");
	assert_parses("localhost", 2, "127.0.0.1");
	assert_parses("x.LocalHost.", 2, "127.0.0.1");
	assert_parses("0.0.0.0", 1, "127.0.0.1");
	assert_parses("::", 1, "::1");
	assert_parses("::ffff:10.1.2.3", 1, "10.1.2.3");
	assert_parses("::ffff:0.0.0.0", 1, "127.0.0.1");
	assert_parses("fe80::1%7", 1, "fe80::1%7");
	assert_parses("fe80::1%lo", 1, "fe80::1%1");
	assert_parses("2001:db8::1%7", 1, "2001:db8::1");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(address_parse(bad[i], at, &f), 0);
		assert_int_equal(f.err, ERR_BAD_PARAMS);
	}
}

static bool is_loopback(const char *host)
{
	struct address at[MAX_ADDRESSES];
	struct failure f;

	assert_true(address_parse(host, at, &f) > 0);
	return address_is_loopback(&at[0]);
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(is_loopback("127.255.255.254"));
	assert_true(is_loopback("::1"));
	assert_true(is_loopback("::ffff:127.0.0.1"));
	assert_true(is_loopback("::"));
	assert_false(is_loopback("128.0.0.1"));
	assert_false(is_loopback("::127.0.0.1"));
	assert_false(is_loopback("::2"));
	assert_false(is_loopback("fe80::1%1"));
	assert_false(is_loopback("::ffff:8.8.8.8"));
	assert_false(is_loopback("64:ff9b::7f00:1"));
}

static bool reaches(const char *host, const struct listening *l)
{
	struct address at[MAX_ADDRESSES];
	struct failure f;

	assert_true(address_parse(host, at, &f) > 0);
	return address_reaches(&at[0], l);
}

static void test_who_is_reached(void **state)
{
	const struct listening any4 = {.family = AF_INET}, any6 = {.family = AF_INET6};
	const struct listening one = {.family = AF_INET, .addr = {10, 0, 0, 1}};
	const struct listening mapped = {
		.family = AF_INET6, .addr = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}};

	(void)state;
	assert_true(reaches("10.0.0.1", &any4));
	assert_false(reaches("::1", &any4));
	assert_true(reaches("::1", &any6));
	assert_true(reaches("10.0.0.1", &any6));
	assert_true(reaches("10.0.0.1", &one));
	assert_false(reaches("10.0.0.2", &one));
	assert_true(reaches("10.0.0.1", &mapped));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line),
		cmocka_unit_test(test_no_line),
		cmocka_unit_test(test_sorting),
		cmocka_unit_test(test_this_host),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_who_is_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
