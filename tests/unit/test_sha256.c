/* tests/unit/test_sha256.c - guestd/sha256: the digests of FIPS 180-4's examples, in any pieces */
#include "guestd/sha256.h"

#include "tests/unit/unit.h"

static void assert_digest(const char *bytes, size_t len, const char *want)
{
	struct sha256 s;
	char hex[SHA256_HEX];

	sha256_begin(&s);
	sha256_add(&s, bytes, len);
	sha256_hex(&s, hex);
	assert_string_equal(hex, want);
}

static void test_known(void **state)
{
	(void)state;
	assert_digest(LIT(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_digest(
		LIT("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_digest(LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* A million times "a", in pieces of every length up to 4096; and it begins anew by itself. */
static void test_pieces(void **state)
{
	enum { TOTAL = 1000000 };
	char hex[SHA256_HEX], piece[4096];
	uint32_t seed = 7;
	struct sha256 s;

	(void)state;
	memset(piece, 'a', sizeof(piece));
	sha256_begin(&s);
	for (int round = 0; round < 2; round++) {
		for (size_t left = TOTAL; left;) {
			size_t n = MIN(left, rnd_below(&seed, sizeof(piece) + 1));

			sha256_add(&s, piece, n);
			left -= n;
		}
		sha256_hex(&s, hex);
		assert_string_equal(
			hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
