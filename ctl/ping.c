/* ctl/ping.c - guestctl ping: round trips, as the agent's own work adds next to nothing */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ctl/command.h"

#define COUNT_DEFAULT 10
#define COUNT_MAX     1000000

static int parse(const struct ctl *ctl, int argc, char **argv, size_t *count)
{
	int option;

	*count = COUNT_DEFAULT;
	while ((option = getopt(argc, argv, "+n:")) != -1) {
		char *end;
		long n = option == 'n' ? strtol(optarg, &end, 10) : 0;

		if (option != 'n')
			return ctl_bad_option(ctl, argv);
		if (*end || n < 1 || n > COUNT_MAX)
			return ctl_usage(ctl, "-n takes 1 to %d", COUNT_MAX);
		*count = (size_t)n;
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

/* 0 with the time of one round trip, or an exit status. */
static int round_trip(struct ctl *ctl, uint64_t *us)
{
	uint64_t begin = clock_mono_us();
	struct client_msg msg;
	uint32_t id;

	if (client_request(ctl->client, "system.ping", &id) ||
		client_response(ctl->client, id, ANSWER_TIMEOUT_MS, &msg))
		return ctl_lost(ctl);
	*us = clock_mono_us() - begin;
	return msg.error ? ctl_error(ctl, msg.error) : 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print(const struct ctl *ctl, uint64_t *us, size_t n)
{
	const char *format =
		"%zu round trips: min %" PRIu64 " us, median %" PRIu64 " us, max %" PRIu64 " us\n";

	if (ctl->json)
		format = "{\"count\":%zu,\"min_us\":%" PRIu64 ",\"median_us\":%" PRIu64
			 ",\"max_us\":%" PRIu64 "}\n";
	qsort(us, n, sizeof(*us), compare);
	printf(format, n, us[0], us[n / 2], us[n - 1]);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct client_msg hello;
	size_t count;
	uint64_t *us;
	int status = parse(ctl, argc, argv, &count);

	if (!status)
		status = ctl_connect(ctl, 0, &hello);
	if (status)
		return status;
	us = xcalloc(count, sizeof(*us));
	for (size_t i = 0; i < count && !status; i++)
		status = round_trip(ctl, &us[i]);
	if (!status)
		print(ctl, us, count);
	free(us);
	return status;
}

COMMAND(ping) = {
	.name = "ping",
	.usage = "[-n COUNT]",
	.doc = "measure round trips",
	.options = "  -n COUNT   so many; 10 where left out\n",
	.run = run,
};
