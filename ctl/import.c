/* ctl/import.c - guestctl import: an archive of ours, unpacked in the guest */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/haul.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

enum { OPT_DEVICES = 256, OPT_FORMAT, OPT_LINKS, OPT_NO_OVERWRITE, OPT_STRIP };

static const struct option options[] = {
	{"devices", no_argument, NULL, OPT_DEVICES},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"links", required_argument, NULL, OPT_LINKS},
	{"no-overwrite", no_argument, NULL, OPT_NO_OVERWRITE},
	{"owner", required_argument, NULL, 'o'},
	{"quiet", no_argument, NULL, 'q'},
	{"strip", required_argument, NULL, OPT_STRIP},
	{"strip-components", required_argument, NULL, OPT_STRIP}, /* as tar(1) has it */
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct haul *h, int option)
{
	uint64_t n;

	switch (option) {
	case 'o':
		params_text(&h->p, "owner", optarg);
		return 0;
	case 'q':
		h->quiet = true;
		return 0;
	case 'u':
		params_text(&h->p, "user", optarg);
		return 0;
	case OPT_DEVICES:
		params_bool(&h->p, "devices", true);
		return 0;
	case OPT_FORMAT:
		params_text(&h->p, "format", optarg);
		return 0;
	case OPT_LINKS:
		params_text(&h->p, "links", optarg);
		return 0;
	case OPT_NO_OVERWRITE:
		params_bool(&h->p, "overwrite", false);
		return 0;
	case OPT_STRIP:
		if (!parse_uint(optarg, UINT32_MAX, &n))
			return ctl_usage(ctl, "--strip takes a number, not %s", optarg);
		params_uint(&h->p, "strip", n);
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int tell(struct haul *h, const struct val *result)
{
	const struct val *lost = val_get(result, "lost");

	if (h->ctl->json)
		json_write(stdout, result, false);
	if (!lost)
		return STATUS_OK;
	if (!h->ctl->json) {
		fprintf(stderr, "guestctl: import: not all could be kept as it is: ");
		text_val(stderr, lost);
		fputc('\n', stderr);
	}
	return STATUS_OK;
}

/* A descriptor, or -1 with the status. */
static int open_archive(const struct ctl *ctl, struct haul *h, const char *path, int *status)
{
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	off_t pos;

	if (fd < 0 || fstat(fd, &st) < 0) {
		*status = ctl_fail(ctl, "%s: %s", path, strerror(errno));
		fd_close(&fd);
		return -1;
	}
	pos = lseek(fd, 0, SEEK_CUR);
	if (S_ISREG(st.st_mode) && pos >= 0 && pos < st.st_size)
		h->total = (uint64_t)(st.st_size - pos);
	return fd;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct haul h = {.ctl = ctl, .method = "tar.import", .out_fd = -1, .result = tell};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "o:qu:", options, NULL)) != -1)
		status = take_option(ctl, argv, &h, option);
	if (status)
		return status;
	if (argc - optind != 2)
		return ctl_usage(ctl, "an archive of ours or -, and a directory of the guest");
	h.name = argv[optind];
	params_text(&h.p, "path", argv[optind + 1]);
	params_flag(&h.p, "progress", !h.quiet && !ctl->json && isatty(STDERR_FILENO));
	h.in_fd = open_archive(ctl, &h, argv[optind], &status);
	if (h.in_fd < 0)
		return status;
	status = haul(&h);
	fd_close(&h.in_fd);
	return status;
}

COMMAND(import) = {
	.name = "import",
	.usage =
		"[-q] [-u USER] [-o USER[:GROUP]] [--strip N] [--no-overwrite] [--links inside|keep] [--devices]"
		" FILE|- DIR",
	.doc = "unpack a tar archive, compressed or not, in the guest",
	.options =
		"  -o, --owner USER[:GROUP]   whom all of it belongs to, instead of the archive's\n"
		"  -q, --quiet                no progress\n" USER_OPTION
		"  --format tar|tar.gz|tar.zst   what it is; else its first bytes tell\n"
		"  --strip N                  without the first N parts of each name\n"
		"  --no-overwrite             a file that is there is an error\n"
		"  --links keep               symbolic links that lead out of DIR, too\n"
		"  --devices                  device nodes, too\n"
		"  FILE                       - is standard input\n",
	.run = run,
};
