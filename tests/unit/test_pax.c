/* tests/unit/test_pax.c - the headers of a pax archive, where they are at their limits */
#include "tar/pax.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "tar/links.h"
#include "tests/unit/unit.h"

static struct buf out;

static int set_up(void **state)
{
	(void)state;
	buf_init(&out, 4 * TAR_RECORDS_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

/* A record says its own length, whose digits count. */
static void test_records(void **state)
{
	char value[1200], want[1300];

	(void)state;
	for (size_t len = 0; len < sizeof(value); len++) {
		char *end;
		size_t whole;

		memset(value, 'v', len);
		assert_int_equal(pax_record(&out, "key", value, len), 0);
		whole = strtoul(buf_bytes(&out), &end, 10);
		assert_int_equal(whole, buf_len(&out));
		snprintf(want, sizeof(want), "%zu key=%.*s\n", whole, (int)len, value);
		assert_memory_equal(buf_bytes(&out), want, whole);
		buf_clear(&out);
	}
}

static unsigned long field(const char *block, size_t at, size_t len)
{
	char digits[16] = "";

	memcpy(digits, block + at, len);
	return strtoul(digits, NULL, 8);
}

static void check_sum(const char *block)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < PAX_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)block[i];
	assert_int_equal(field(block, 148, 7), sum);
}

/* The headers of a name of LEN bytes, each byte of it from NAME; how many blocks. */
static size_t blocks_of(const char *name)
{
	const struct pax_entry e = {.type = PAX_FILE, .name = name, .size = 5};
	size_t n;

	assert_int_equal(pax_header(&out, &e), 0);
	n = buf_len(&out) / PAX_BLOCK;
	assert_int_equal(buf_len(&out) % PAX_BLOCK, 0);
	check_sum(buf_bytes(&out));
	check_sum(buf_bytes(&out) + (n - 1) * PAX_BLOCK);
	assert_int_equal(field(buf_bytes(&out) + (n - 1) * PAX_BLOCK, 124, 11), 5);
	return n;
}

static void test_names_that_fit(void **state)
{
	char name[400];

	(void)state;
	for (size_t slash = 0; slash < 260; slash++) {
		for (size_t len = slash + 2; len < 300; len += len < 255 ? 7 : 1) {
			bool plain =
				len <= 100 || (slash > 0 && slash <= 155 && len - slash - 1 <= 100);
			const char *h;
			char joined[300];

			memset(name, 'n', len);
			name[len] = '\0';
			if (slash)
				name[slash] = '/';
			assert_int_equal(blocks_of(name), plain ? 1 : 3);
			h = buf_bytes(&out) + buf_len(&out) - PAX_BLOCK;
			if (plain) {
				snprintf(joined, sizeof(joined), "%.155s%s%.100s", h + 345,
					h[345] ? "/" : "", h);
				assert_string_equal(joined, name);
			} else {
				assert_non_null(strstr(buf_bytes(&out) + PAX_BLOCK, name));
			}
			buf_clear(&out);
		}
	}
}

static void test_numbers_that_do_not_fit(void **state)
{
	struct pax_entry e = {.type = PAX_FILE, .name = "f", .size = 077777777777};

	(void)state;
	e.uid = e.gid = 07777777;
	e.mtime.tv_sec = 077777777777;
	assert_int_equal(pax_header(&out, &e), 0);
	assert_int_equal(buf_len(&out), PAX_BLOCK);
	assert_int_equal(field(buf_bytes(&out), 124, 11), e.size);
	assert_int_equal(field(buf_bytes(&out), 108, 7), e.uid);
	buf_clear(&out);
	e.size++;
	e.uid++;
	e.gid++;
	e.mtime.tv_sec++;
	assert_int_equal(pax_header(&out, &e), 0);
	assert_int_equal(buf_len(&out), 3 * PAX_BLOCK);
	assert_string_equal(buf_bytes(&out) + PAX_BLOCK,
		"19 size=8589934592\n15 uid=2097152\n15 gid=2097152\n20 mtime=8589934592\n");
}

static void test_times(void **state)
{
	static const struct {
		struct timespec t;
		const char *want;
	} times[] = {
		{{0, 1}, "21 mtime=0.000000001\n"},
		{{5, 500000000}, "13 mtime=5.5\n"},
		{{-1, 0}, "12 mtime=-1\n"},
		{{-1, 750000000}, "15 mtime=-0.25\n"},
		{{-2, 750000000}, "15 mtime=-1.25\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		const struct pax_entry e = {.type = PAX_FILE, .name = "f", .mtime = times[i].t};

		assert_int_equal(pax_header(&out, &e), 0);
		assert_string_equal(buf_bytes(&out) + PAX_BLOCK, times[i].want);
		buf_clear(&out);
	}
}

/* More than anybody reads: nothing is written. */
static void test_too_much(void **state)
{
	struct pax_entry e = {.type = PAX_DIR};
	char *name = malloc(TAR_RECORDS_MAX + 1);

	(void)state;
	assert_non_null(name);
	memset(name, 'n', TAR_RECORDS_MAX);
	name[TAR_RECORDS_MAX] = '\0';
	e.name = name;
	assert_int_equal(pax_header(&out, &e), -ENOBUFS);
	assert_int_equal(buf_len(&out), 0);
	free(name);
}

/* Each file is found again, until there is no more memory for them; then that is told. */
static void test_links(void **state)
{
	struct links l = {.n = 0};
	struct stat st = {.st_dev = 1};
	char name[200];
	unsigned n;

	(void)state;
	for (n = 0; !l.lost; n++) {
		st.st_ino = n;
		snprintf(name, sizeof(name), "%0180u", n);
		assert_null(links_find(&l, &st, name));
		assert_true(n < 1000000);
	}
	assert_true(n > 10000);
	for (unsigned i = 0; i + 1 < n; i++) {
		st.st_ino = i;
		snprintf(name, sizeof(name), "%0180u", i);
		assert_string_equal(links_find(&l, &st, "other"), name);
	}
	st.st_dev = 2;
	assert_null(links_find(&l, &st, "other"));
	links_fini(&l);
	assert_null(links_find(&l, &st, "first"));
	assert_string_equal(links_find(&l, &st, "second"), "first");
	links_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_that_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_numbers_that_do_not_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_much, set_up, tear_down),
		cmocka_unit_test(test_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
