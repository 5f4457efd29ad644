/* ctl/resumed.c - guestctl resumed: what is to be made right after a restore, by this machine's clock */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/relay.h"

#define ENTROPY_LEN 32

/* A guest that is being restored takes a moment until it answers. */
#define WAIT_MS 10000

enum { OPT_HOSTNAME = 256, OPT_MACHINE_ID, OPT_KEY };

static const struct option options[] = {
	{"hostname", required_argument, NULL, OPT_HOSTNAME},
	{"machine-id", no_argument, NULL, OPT_MACHINE_ID},
	{"key", required_argument, NULL, OPT_KEY},
	{0},
};

struct resumed {
	const char *hostname, *key;
	bool machine_id;
	unsigned char entropy[ENTROPY_LEN];
};

/* The time is read last of all: what comes between makes the guest's clock late. */
static void encode(void *ctx, struct enc *e)
{
	const struct resumed *r = ctx;
	size_t mark = enc_map_begin(e), n = 3;

	enc_kv_bool(e, "machine_id", r->machine_id);
	enc_kv_bin(e, "entropy", r->entropy, sizeof(r->entropy));
	if (r->hostname) {
		enc_kv_text(e, "hostname", r->hostname);
		n++;
	}
	if (r->key) {
		enc_kv_text(e, "key", r->key);
		n++;
	}
	enc_kv_uint(e, "time_us", clock_real_us());
	enc_map_end(e, mark, n);
}

static int parse(const struct ctl *ctl, int argc, char **argv, struct resumed *r)
{
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return ctl_bad_option(ctl, argv);
		r->hostname = option == OPT_HOSTNAME ? optarg : r->hostname;
		r->key = option == OPT_KEY ? optarg : r->key;
		r->machine_id |= option == OPT_MACHINE_ID;
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static void print(const struct val *result)
{
	uint64_t epoch = 0;
	int64_t step = 0;

	(void)val_uint(val_get(result, "epoch"), &epoch);
	(void)val_int(val_get(result, "clock_step_us"), &step);
	printf("epoch %" PRIu64 ", clock stepped by %.6f s\n", epoch, (double)step / 1e6);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct resumed args = {0};
	struct relay r = {.method = "system.resumed", .params = encode, .ctx = &args, .in_fd = -1};
	const struct val *result;
	int status = parse(ctl, argc, argv, &args);

	if (status)
		return status;
	if (getrandom(args.entropy, sizeof(args.entropy), 0) != (ssize_t)sizeof(args.entropy))
		return ctl_fail(ctl, "cannot draw random bytes: %s", strerror(errno));
	if (!ctl->wait_given)
		ctl->wait_ms = WAIT_MS;
	status = relay_run(ctl, &r, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	else if (!status)
		print(result);
	return status;
}

COMMAND(resumed) = {
	.name = "resumed",
	.usage = "[--hostname NAME] [--machine-id] [--key KEY]",
	.doc = "set a restored guest right: time and randomness of this machine",
	.options = "  --hostname NAME   its name from now on\n"
		   "  --machine-id      another machine id\n"
		   "  --key KEY         the same key again changes nothing\n",
	.run = run,
};
