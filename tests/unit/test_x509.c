/* tests/unit/test_x509.c - system/x509, system/pem: names of certificates, and their text */
#include "system/x509.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "system/pem.h"
#include "tests/unit/unit.h"

/* Made by tests/rpc/x509.py; the hashes are what `openssl x509 -hash` of OpenSSL 3.0 prints. */
static const struct {
	uint32_t hash;
	const char *base64;
} certificates[] = {
	{0x3387d6d2, /* plain */
		"MIIBwjCCASugAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjA9MQswCQYDVQQGEwJERTEUMBIGA1UECgwL\n"
		"RXhhbXBsZSBMdGQxGDAWBgNVBAMMD0V4YW1wbGUgUm9vdCBDQTCBnzANBgkqhkiG9w0BAQEF\n"
		"AAOBjQAwgYkCgYEAxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcUCAwEAATANBgkqhkiG9w0BAQsFAAOB\n"
		"gQBVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVQ==\n"},
	{0x677f95d6, /* printable */
		"MIIBtDCCAR2gAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjAvMSEwHwYDVQQKExggIE1hbnkgICBCTEFO\n"
		"S1MgCSBoZXJlICAxCjAIBgNVBAMTAXgwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFAgMBAAEwDQYJKoZIhvcNAQELBQADgYEAVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVU=\n"},
	{0xaccbb656, /* non-ascii */
		"MIIBxDCCAS2gAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjA/MSQwIgYDVQQKDBtHcsO2w59lIMOEw5bD\n"
		"nCDmoKrlvI/kvJrnpL4xFzAVBgNVBAMMDsOcbsOvY29kZSDwn5iAMIGfMA0GCSqGSIb3DQEB\n"
		"AQUAA4GNADCBiQKBgQDFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxQIDAQABMA0GCSqGSIb3DQEBCwUA\n"
		"A4GBAFVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"},
	{0xcde4e9f6, /* multi */
		"MIIBwzCCASygAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjA+MQswCQYDVQQGEwJVUzEvMAwGA1UEAwwF\n"
		"WmVicmEwDAYDVQQLDAVhcHBsZTARBgNVBAoTCk1JRERMRSBvbmUwgZ8wDQYJKoZIhvcNAQEB\n"
		"BQADgY0AMIGJAoGBAMXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFAgMBAAEwDQYJKoZIhvcNAQELBQAD\n"
		"gYEAVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU=\n"},
	{0x566d4d2f, /* multi-same */
		"MIIBtTCCAR6gAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjAwMSIwCAYDVQQLDAFBMAgGA1UECwwBYjAM\n"
		"BgNVBAsTBWNjICBDMQowCAYDVQQDDAFtMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxQIDAQABMA0GCSqGSIb3DQEBCwUAA4GBAFVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVV\n"},
	{0xf9f7d328, /* bmp */
		"MIIBuzCCASSgAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjA2MR8wHQYDVQQKHhYARwByAPYA3wBlACAA\n"
		"IGgqXw9PGnk+MRMwEQYDVQQDHgoAIABCAE0AUAAgMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB\n"
		"iQKBgQDFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxQIDAQABMA0GCSqGSIb3DQEBCwUAA4GBAFVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVV\n"},
	{0x422ca237, /* universal */
		"MIIBtDCCAR2gAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjAvMS0wKwYDVQQDHCQAAABHAAAAcgAAAPYA\n"
		"AADfAAAAZQAAACAAAfYAAAAAIAAAAEEwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFAgMBAAEwDQYJKoZIhvcNAQELBQADgYEAVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVU=\n"},
	{0x81ea882e, /* t61 */
		"MIIBpTCCAQ6gAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjAgMRAwDgYDVQQKFAdHcvbfZSDpMQwwCgYD\n"
		"VQQDFANUNjEwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFAgMBAAEwDQYJKoZIhvcNAQELBQADgYEAVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU=\n"},
	{0x4bb064b7, /* numeric */
		"MIIBlDCB/qADAgECAgEBMA0GCSqGSIb3DQEBCwUAMBExDzANBgNVBAMMBmlzc3VlcjAeFw0y\n"
		"MDAxMDEwMDAwMDBaFw00MDAxMDEwMDAwMDBaMBAxDjAMBgNVBAMSBTEyIDM0MIGfMA0GCSqG\n"
		"SIb3DQEBAQUAA4GNADCBiQKBgQDFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxQIDAQABMA0GCSqGSIb3\n"
		"DQEBCwUAA4GBAFVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"},
	{0xeea339da, /* empty */
		"MIIBhDCB7qADAgECAgEBMA0GCSqGSIb3DQEBCwUAMBExDzANBgNVBAMMBmlzc3VlcjAeFw0y\n"
		"MDAxMDEwMDAwMDBaFw00MDAxMDEwMDAwMDBaMAAwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJ\n"
		"AoGBAMXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFAgMBAAEwDQYJKoZIhvcNAQELBQADgYEAVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVU=\n"},
	{0x49cdc5e0, /* line ends */
		"MIIBlzCCAQCgAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZpc3N1ZXIwHhcN\n"
		"MjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjASMRAwDgYDVQQDDAdhDQoLDCBiMIGfMA0G\n"
		"CSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXF\n"
		"xcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxQIDAQABMA0GCSqG\n"
		"SIb3DQEBCwUAA4GBAFVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"
		"VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV\n"},
};

static unsigned char der[4096];

/* The certificate I, decoded; its length. */
static size_t decoded(size_t i)
{
	char text[8192];
	const char *why;
	ssize_t n;

	snprintf(text, sizeof(text), "what it is\n" PEM_BEGIN "%s" PEM_END "and more",
		certificates[i].base64);
	n = pem_decode(text, strlen(text), der, &why);
	assert_true(n > 0);
	return (size_t)n;
}

static void test_hashes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		size_t len = decoded(i);
		uint32_t hash = 0;

		assert_int_equal(x509_subject_hash(der, len, &hash), 0);
		assert_int_equal(hash, certificates[i].hash);
	}
}

/* Any byte another one, any length shorter: an answer, and nothing is read that is not there. */
static void test_damaged(void **state)
{
	uint32_t seed = 3, hash;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		size_t len = decoded(i);

		for (size_t n = 0; n < len; n++) {
			unsigned char *exact = malloc(n + 1);

			assert_non_null(exact);
			memcpy(exact + 1, der, n); /* its end is that of the block */
			assert_int_equal(x509_subject_hash(exact + 1, n, &hash), -EINVAL);
			free(exact);
		}
		for (int k = 0; k < 3000; k++) {
			unsigned char *exact = malloc(len);
			int err;

			assert_non_null(exact);
			memcpy(exact, der, len);
			exact[rnd_below(&seed, (uint32_t)len)] = (unsigned char)rnd(&seed);
			exact[rnd_below(&seed, 200)] ^= (unsigned char)(1u << rnd_below(&seed, 8));
			err = x509_subject_hash(exact, len, &hash);
			assert_true(err == 0 || err == -EINVAL);
			free(exact);
		}
	}
}

static void test_pem_round_trip(void **state)
{
	unsigned char in[300], out[300];
	char text[PEM_SIZE((size_t)300)];
	const char *why;
	uint32_t seed = 5;

	(void)state;
	for (size_t len = 1; len <= sizeof(in); len++) {
		size_t n;

		rnd_fill(&seed, in, len);
		n = pem_encode(in, len, text);
		assert_int_equal(n, strlen(text));
		assert_true(n < PEM_SIZE(len));
		assert_int_equal(pem_decode(text, n, out, &why), len);
		assert_memory_equal(in, out, len);
	}
}

static void test_pem_refused(void **state)
{
	static const char *const bad[] = {"", "AAAA", "-----BEGIN CERTIFICATE-----",
		PEM_BEGIN "AAAA", PEM_BEGIN PEM_END, PEM_BEGIN "A\n" PEM_END,
		PEM_BEGIN "AAA\n" PEM_END, PEM_BEGIN "AA=A" PEM_END, PEM_BEGIN "A===" PEM_END,
		PEM_BEGIN "AA==AAAA" PEM_END, PEM_BEGIN "AA==\n=\n" PEM_END,
		PEM_BEGIN "AA-A" PEM_END,
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		PEM_BEGIN "AAAA\n" PEM_END PEM_BEGIN "AAAA\n" PEM_END,
		PEM_BEGIN "AAAA\n" PEM_END
			  "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"};
	unsigned char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *why = NULL;

		assert_int_equal(pem_decode(bad[i], strlen(bad[i]), out, &why), -EINVAL);
		assert_non_null(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_pem_round_trip),
		cmocka_unit_test(test_pem_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
