/* tests/unit/test_endpoint.c - vsock/endpoint: what stands on a command line */
#include "vsock/endpoint.h"

#include <errno.h>

#include "tests/unit/unit.h"

#define PATH_20  "/aaaaaaaaaaaaaaaaaaa"
#define PATH_100 PATH_20 PATH_20 PATH_20 PATH_20 PATH_20

static void test_good(void **state)
{
	static const struct {
		const char *text;
		struct endpoint want;
	} cases[] = {
		{"vsock:1024", {.kind = ENDPOINT_VSOCK, .port = 1024, .fd = -1}},
		{"vsock:0", {.kind = ENDPOINT_VSOCK, .fd = -1}},
		{"vsock:4294967295", {.kind = ENDPOINT_VSOCK, .port = UINT32_MAX, .fd = -1}},
		{"vsock:3:1024", {.kind = ENDPOINT_VSOCK,
					 .has_cid = true,
					 .cid = 3,
					 .port = 1024,
					 .fd = -1}},
		{"vsock:4294967295:1", {.kind = ENDPOINT_VSOCK,
					       .has_cid = true,
					       .cid = UINT32_MAX,
					       .port = 1,
					       .fd = -1}},
		{"unix:/run/guestd/agent.sock",
			{.kind = ENDPOINT_UNIX, .path = "/run/guestd/agent.sock", .fd = -1}},
		{"unix:a", {.kind = ENDPOINT_UNIX, .path = "a", .fd = -1}},
		{"unix:with:colons:1", {.kind = ENDPOINT_UNIX, .path = "with:colons:1", .fd = -1}},
		{"unix:" PATH_100 "1234567",
			{.kind = ENDPOINT_UNIX, .path = PATH_100 "1234567", .fd = -1}},
		{"uds:/tmp/v.sock:1024",
			{.kind = ENDPOINT_UDS, .path = "/tmp/v.sock", .port = 1024, .fd = -1}},
		{"uds:a:b:5", {.kind = ENDPOINT_UDS, .path = "a:b", .port = 5, .fd = -1}},
		{"uds:" PATH_100 "1234567:1",
			{.kind = ENDPOINT_UDS, .path = PATH_100 "1234567", .port = 1, .fd = -1}},
		{"fd:0", {.kind = ENDPOINT_FD, .fd = 0}},
		{"fd:3", {.kind = ENDPOINT_FD, .fd = 3}},
		{"fd:2147483647", {.kind = ENDPOINT_FD, .fd = INT32_MAX}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct endpoint *want = &cases[i].want;
		char why[300] = "";
		struct endpoint ep;

		if (endpoint_parse(cases[i].text, &ep, why, sizeof(why)))
			fail_msg("%s", why);
		assert_int_equal(ep.kind, want->kind);
		assert_string_equal(ep.path, want->path);
		assert_int_equal(ep.has_cid, want->has_cid);
		assert_int_equal(ep.cid, want->cid);
		assert_int_equal(ep.port, want->port);
		assert_int_equal(ep.fd, want->fd);
	}
}

static void test_bad(void **state)
{
	static const char *const cases[] = {
		"",
		":",
		"vsock",
		"vsock:",
		"vsock::",
		"vsock::1024",
		"vsock:3:",
		"vsock:3:4:5",
		"vsock:-1",
		"vsock:+1",
		"vsock: 1",
		"vsock:1 ",
		"vsock:0x10",
		"vsock:4294967296",
		"vsock:99999999999999999999",
		"vsock:4294967296:1",
		"vsock:9999999999",
		"VSOCK:1",
		"vsock1:1",
		"unix:",
		"unix",
		"unix:" PATH_100 "12345678",
		"uds:",
		"uds:/tmp/v.sock",
		"uds:/tmp/v.sock:",
		"uds::1024",
		"uds:1024",
		"uds:/tmp/v.sock:port",
		"uds:" PATH_100 "12345678:1",
		"fd:",
		"fd:-1",
		"fd:2147483648",
		"fd:3x",
		"tcp:localhost:80",
		"/run/agent.sock",
		"1024",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[400] = "";
		struct endpoint ep;

		if (endpoint_parse(cases[i], &ep, why, sizeof(why)) != -EINVAL)
			fail_msg("%s is taken", cases[i]);
		/* The sentence says what was wrong and what would be right. */
		assert_int_equal(strncmp(why, cases[i], strlen(cases[i])), 0);
		assert_non_null(strstr(why, "vsock:PORT"));
	}
}

static void test_why_is_cut(void **state)
{
	struct endpoint ep;
	char why[8];

	(void)state;
	memset(why, 'x', sizeof(why));
	assert_int_equal(endpoint_parse("nonsense", &ep, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "nonsens");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_why_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
