/* tests/unit/test_ip.c - init/ip: what ip= on a kernel command line means */
#include "init/ip.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *address, *gateway, *interface, *dns[2];
	} cases[] = {
		{"10.0.0.2", "10.0.0.2/8", NULL, "", {NULL}},
		{"172.16.0.2::172.16.0.1", "172.16.0.2/16", "172.16.0.1", "", {NULL}},
		{"192.168.1.2:::", "192.168.1.2/24", NULL, "", {NULL}},
		{"172.16.0.2::172.16.0.1:255.255.255.252::eth0:off", "172.16.0.2/30", "172.16.0.1",
			"eth0", {NULL}},
		{"10.0.0.2::10.0.0.1:255.255.0.0:name:eth1:none:1.1.1.1:8.8.8.8", "10.0.0.2/16",
			"10.0.0.1", "eth1", {"1.1.1.1", "8.8.8.8"}},
		{"10.0.0.2:10.0.0.9::255.255.255.255::eth1:off::8.8.8.8:10.0.0.3", "10.0.0.2/32",
			NULL, "eth1", {"8.8.8.8"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = "";
		struct ip ip;

		assert_true(ip_parse(cases[i].text, &ip, &why));
		assert_null(why);
		assert_string_equal(ip.net.address, cases[i].address);
		assert_string_equal(ip.net.interface, cases[i].interface);
		assert_int_equal(!ip.net.gateway, !cases[i].gateway);
		if (ip.net.gateway)
			assert_string_equal(ip.net.gateway, cases[i].gateway);
		for (size_t d = 0; d < 2 && cases[i].dns[d]; d++)
			assert_string_equal(ip.net.dns[d], cases[i].dns[d]);
		assert_int_equal(ip.net.n_dns, !!cases[i].dns[0] + !!cases[i].dns[1]);
	}
}

static void test_none(void **state)
{
	static const struct {
		const char *text;
		bool told;
	} cases[] = {
		{"off", false},
		{"none", false},
		{"", true},
		{"dhcp", true},
		{":::::eth0:dhcp", true},
		{"10.0.0", true},
		{"[fd00::1]", true},
		{"10.0.0.2:::255.0.255.0", true},
		{"10.0.0.2:::24", true},
	};
	char longest[300];
	struct ip ip;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(ip_parse(cases[i].text, &ip, &why));
		assert_int_equal(why != NULL, cases[i].told);
	}
	memset(longest, ':', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(ip_parse(longest, &ip, &why));
	assert_non_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
