/* tests/unit/test_words.c - guestd/words: configuration as text */
#include "guestd/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

/* The words of TEXT as "<name>=<value>" or "<name>", for comparison. */
static void expect_words(const char *text, const char *want)
{
	char *copy = strdup(text), *rest = copy, *name, *value;
	char got[1024] = "";
	size_t n = 0;

	assert_non_null(copy);
	while (words_next(&rest, &name, &value))
		n += (size_t)snprintf(
			got + n, sizeof(got) - n, value ? "<%s>=<%s>" : "<%s>", name, value);
	assert_string_equal(got, want);
	assert_false(words_next(&rest, &name, &value));
	free(copy);
}

static void test_words(void **state)
{
	(void)state;
	expect_words("", "");
	expect_words(" \t\n", "");
	expect_words("quiet", "<quiet>");
	expect_words("  a=1 b \n", "<a>=<1><b>");
	expect_words("a=b=c", "<a>=<b=c>");
	expect_words("a=", "<a>=<>");
	expect_words("=a", "<=a>");
	expect_words("=a=b", "<=a>=<b>");
}

static void test_quotes(void **state)
{
	(void)state;
	expect_words("k=\"/bin/foo a b\" x", "<k>=</bin/foo a b><x>");
	expect_words("\"k=/bin/foo a b\" x", "<k>=</bin/foo a b><x>");
	expect_words("\"a b\"", "<a b>");
	expect_words("k=a\" \"b c", "<k>=<a\" \"b><c>");
	expect_words("k=a\" b\"", "<k>=<a\" b\">");
	expect_words("k=\"\"", "<k>=<>");
	expect_words("\"\"", "<>");
	expect_words("\"\" a", "<><a>");
	/* Not closed: to the end. */
	expect_words("k=\"a b", "<k>=<a b>");
	expect_words("\"k=a b", "<k>=<a b>");
	expect_words("k=\"", "<k>=<>");
	expect_words("\"", "<>");
	/* Who quotes twice gets what the kernel gives. */
	expect_words("\"k=\"a\"\"", "<k>=<a\">");
}

static void expect_line(const char *text, int result, const char *key, const char *value)
{
	char copy[200], *k = NULL, *v = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	assert_int_equal(words_line(copy, &k, &v), result);
	if (key)
		assert_string_equal(k, key);
	if (value)
		assert_string_equal(v, value);
}

static void test_lines(void **state)
{
	(void)state;
	expect_line("", 0, NULL, NULL);
	expect_line(" \t\r", 0, NULL, NULL);
	expect_line("# a = b", 0, NULL, NULL);
	expect_line("  a=b", 1, "a", "b");
	expect_line("a = b c \r", 1, "a", "b c");
	expect_line("a = \"b\" # c", 1, "a", "\"b\" # c");
	expect_line("a =", 1, "a", "");
	expect_line("=", 1, "", "");
	expect_line("deny proc.exec", -EINVAL, "deny", NULL);
}

static void expect_mount(const char *text, const char *const want[4])
{
	char copy[200];
	const char *why = NULL;
	struct words_mount m;

	snprintf(copy, sizeof(copy), "%s", text);
	if (!want) {
		assert_int_equal(words_mount(copy, &m, &why), -EINVAL);
		assert_non_null(why);
		return;
	}
	assert_int_equal(words_mount(copy, &m, &why), 0);
	assert_string_equal(m.source, want[0]);
	assert_string_equal(m.target, want[1]);
	assert_string_equal(m.fstype, want[2]);
	assert_string_equal(m.options, want[3]);
}

static void test_mounts(void **state)
{
	static const char *const plain[] = {"/dev/vdb", "/data", "ext4", ""};
	static const char *const options[] = {"UUID=a-b", "/a/b", "xfs", "ro,x=y:z"};
	static const char *const colons[] = {"tag:1", "/mnt", "virtiofs", ""};
	static const char *const bad[] = {"", ":", "/dev/vdb", "/dev/vdb:/data",
		"/dev/vdb:/data:", "/dev/vdb:data:ext4", ":/data:ext4", "/dev/vdb:/data::ro"};

	(void)state;
	expect_mount("/dev/vdb:/data:ext4", plain);
	expect_mount("/dev/vdb:/data:ext4:", plain);
	expect_mount("UUID=a-b:/a/b:xfs:ro,x=y:z", options);
	expect_mount("tag:1:/mnt:virtiofs", colons);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect_mount(bad[i], NULL);
}

static void test_nets(void **state)
{
	static const char *const bad[] = {"", ",", "address=1.2.3.4", "eth0,", "eth0,mtu",
		"eth0,mtu=", "eth0,mtu=-1", "eth0,mtu=67", "eth0,mtu=65536", "eth0,mtu=15x",
		"eth0,mtu=99999999999999999999", "eth0,adress=1.2.3.4", "eth0,,"};
	char text[] = "eth0,address=10.0.0.2/24,gateway=10.0.0.1,dns=1.1.1.1,mtu=1420,dns=fd00::1";
	char many[400] = "eth0";
	struct words_net n;
	const char *why;

	(void)state;
	assert_int_equal(words_net(text, &n, &why), 0);
	assert_string_equal(n.interface, "eth0");
	assert_string_equal(n.address, "10.0.0.2/24");
	assert_string_equal(n.gateway, "10.0.0.1");
	assert_int_equal(n.mtu, 1420);
	assert_int_equal(n.n_dns, 2);
	assert_string_equal(n.dns[1], "fd00::1");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char copy[100];

		snprintf(copy, sizeof(copy), "%s", bad[i]);
		assert_int_equal(words_net(copy, &n, &why), -EINVAL);
	}
	for (size_t i = 0; i <= WORDS_DNS_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",dns=::1");
	assert_int_equal(words_net(many, &n, &why), -EINVAL);
}

static void test_sysctls(void **state)
{
	static const struct {
		const char *text, *path, *value;
	} good[] = {
		{"vm.swappiness=10", "vm/swappiness", "10"},
		{"net.ipv4.ping_group_range = 0 1", "net/ipv4/ping_group_range", "0 1"},
		{"net/ipv4/conf/eth0.5/forwarding=1", "net/ipv4/conf/eth0.5/forwarding", "1"},
		{"kernel.core_pattern=|/bin/x a=b", "kernel/core_pattern", "|/bin/x a=b"},
		{"a=", "a", ""},
	};
	static const char *const bad[] = {"", "=", "vm.swappiness", "=1", ".a=1", "a.=1", "a..b=1",
		"../x=1", "a/../b=1", "a/..=1", "/a=1", "a//b=1", "./a=1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const char *path, *value, *why;
		char copy[100];

		snprintf(copy, sizeof(copy), "%s", good[i].text);
		assert_int_equal(words_sysctl(copy, &path, &value, &why), 0);
		assert_string_equal(path, good[i].path);
		assert_string_equal(value, good[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *path, *value, *why;
		char copy[100];

		snprintf(copy, sizeof(copy), "%s", bad[i]);
		assert_int_equal(words_sysctl(copy, &path, &value, &why), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_sysctls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
