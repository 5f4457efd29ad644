/* ctl/main.c - guestctl: global options, dispatch, help */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/parse.h"
#include "proto/version.h"

enum { OPT_JSON = 256, OPT_TOKEN, OPT_WAIT, OPT_VERSION };

static const struct option options[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"token-file", required_argument, NULL, OPT_TOKEN},
	{"wait", required_argument, NULL, OPT_WAIT},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char usage[] =
	"usage: guestctl [-c ENDPOINT] [--json] [--token-file FILE] [--wait S] COMMAND …\n";

static const char global_help[] =
	"\n"
	"  -c ENDPOINT         vsock:CID:PORT, unix:PATH, uds:PATH:PORT, serial:PATH; else $GUESTD_ENDPOINT\n"
	"  --json              results and errors as JSON\n"
	"  --token-file FILE   the token that the agent asks for\n"
	"  --wait S            dial again for S seconds while nobody answers; a process that is followed\n"
	"                      is come back to when the connection is lost\n"
	"  --version, --help\n"
	"\n";

/* The linker's order depends on the build; --help does not. */
static int by_name(const void *a, const void *b)
{
	const struct command *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void print_help(void)
{
	size_t n = (size_t)(__stop_commands - __start_commands);
	const struct command **sorted = calloc(n, sizeof(*sorted));

	printf("%s%s", usage, global_help);
	if (!sorted)
		return;
	memcpy(sorted, __start_commands, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++)
		printf("  %-9s %s\n", sorted[i]->name, sorted[i]->doc);
	printf("\nguestctl COMMAND --help tells more.\n");
	free(sorted);
}

static void print_command_help(const struct command *command)
{
	printf("usage: guestctl %s %s\n\n%s\n", command->name, command->usage, command->doc);
	if (command->options)
		printf("\n%s", command->options);
}

static const struct command *find(const char *name)
{
	for (const struct command *const *c = __start_commands; c < __stop_commands; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 0) {
		fputs(usage, stderr);
		return STATUS_USAGE;
	}
	ctl->command = find(argv[0]);
	if (!ctl->command)
		return ctl_usage(ctl, "no such command: %s; see guestctl --help", argv[0]);
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		print_command_help(ctl->command);
		return STATUS_OK;
	}
	optind = 0; /* glibc: start over, also with its own state */
	opterr = 0; /* ctl_bad_option tells */
	return ctl->command->run(ctl, argc, argv);
}

static int parse(struct ctl *ctl, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ctl->endpoint = optarg;
			break;
		case OPT_JSON:
			ctl->json = true;
			break;
		case OPT_TOKEN:
			ctl->token_file = optarg;
			break;
		case OPT_WAIT:
			if (!parse_seconds(optarg, &ctl->wait_ms))
				return ctl_usage(ctl, "--wait takes seconds, not %s", optarg);
			ctl->wait_given = true;
			break;
		case OPT_VERSION:
			printf("guestctl %s\n", GUESTD_VERSION);
			return STATUS_OK;
		case 'h':
			print_help();
			return STATUS_OK;
		default:
			fputs(usage, stderr);
			return STATUS_USAGE;
		}
	}
	return run(ctl, argc - optind, argv + optind);
}

/* A descriptor of ours must never become the standard output of somebody who closed it. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct ctl ctl = {.endpoint = getenv("GUESTD_ENDPOINT")};
	int status;

	open_standard_fds();
	status = parse(&ctl, argc, argv);
	client_close(ctl.client);
	if ((fflush(stdout) || ferror(stdout)) && status == STATUS_OK) {
		fprintf(stderr, "guestctl: cannot write to standard output\n");
		status = STATUS_FAILED;
	}
	return status;
}
