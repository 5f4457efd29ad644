/* tests/unit/test_err.c - proto/err: the names on the wire, and failures on their way to it */
#include "proto/err.h"

#include <errno.h>
#include <limits.h>

#include "tests/unit/unit.h"

static void test_codes(void **state)
{
	static const struct {
		int err;
		const char *want;
	} cases[] = {
		{ERR_PROTOCOL, "protocol_error"}, {ERR_BAD_REQUEST, "bad_request"},
		{ERR_UNKNOWN_METHOD, "unknown_method"}, {ERR_BAD_PARAMS, "bad_params"},
		{ERR_UNAUTHORIZED, "unauthorized"}, {ERR_NOT_FOUND, "not_found"},
		{ERR_EXISTS, "exists"}, {ERR_LIMIT, "limit"}, {ERR_BUSY, "busy"},
		{ERR_TIMEOUT, "timeout"}, {ERR_CANCELED, "canceled"},
		{ERR_UNSUPPORTED, "unsupported"}, {ERR_DISABLED, "disabled"}, {ERR_GAP, "gap"},
		{ERR_FROZEN, "frozen"}, {ERR_INTERNAL, "internal"}, {-ENOENT, "ENOENT"},
		{-EPERM, "EPERM"}, {-EACCES, "EACCES"}, {-EEXIST, "EEXIST"}, {-ENOTDIR, "ENOTDIR"},
		{-EISDIR, "EISDIR"}, {-ENOSPC, "ENOSPC"}, {-ENOTEMPTY, "ENOTEMPTY"},
		{-EROFS, "EROFS"}, {-EPIPE, "EPIPE"}, {-EDQUOT, "EDQUOT"},
		{-EHWPOISON, "EHWPOISON"}, /* the last one */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(err_name(cases[i].err), cases[i].want);
}

static void test_closed_set(void **state)
{
	(void)state;
	for (int a = 1; a < N_RPC_ERR; a++) {
		for (int b = 1; b < a; b++)
			assert_string_not_equal(err_name(a), err_name(b));
	}
	assert_string_equal(err_name(0), "internal");
	assert_string_equal(err_name(N_RPC_ERR), "internal");
	assert_string_equal(err_name(INT_MAX), "internal");
	assert_string_equal(err_name(INT_MIN), "internal");
	assert_string_equal(err_name(-INT_MAX), "internal");
	assert_string_equal(err_name(-4095), "internal");
	assert_string_equal(err_name(-EHWPOISON - 1), "internal");
}

#ifdef __GLIBC__
/* Each errno has the name that the C library gives it, or, the exotic ones, none. */
static void test_errno_names(void **state)
{
	int named = 0;

	(void)state;
	for (int e = 1; e < 200; e++) {
		const char *want = strerrorname_np(e), *have = err_name(-e);

		if (strcmp(have, "internal") == 0)
			continue;
		assert_non_null(want);
		assert_string_equal(have, want);
		named++;
	}
	assert_in_range(named, 90, 134);
}
#endif

static void test_failure(void **state)
{
	char long_path[5000];
	struct failure f;

	(void)state;
	assert_int_equal(
		failure_set(&f, -ENOENT, "exec", "/bin/x", "no %s, %d", "file", 7), -ENOENT);
	assert_int_equal(f.err, -ENOENT);
	assert_string_equal(f.stage, "exec");
	assert_string_equal(f.path, "/bin/x");
	assert_string_equal(f.message, "no file, 7");

	assert_int_equal(failure_set(&f, ERR_LIMIT, NULL, NULL, "x"), ERR_LIMIT);
	assert_null(f.stage);
	assert_string_equal(f.path, "");
	assert_string_equal(f.message, "x");

	memset(long_path, 'p', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(failure_set(&f, ERR_LIMIT, NULL, long_path, "%s", long_path), ERR_LIMIT);
	assert_int_equal(strlen(f.path), sizeof(f.path) - 1);
	assert_int_equal(strlen(f.message), sizeof(f.message) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_closed_set),
#ifdef __GLIBC__
		cmocka_unit_test(test_errno_names),
#endif
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
