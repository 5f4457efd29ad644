/* ctl/export.c - guestctl export: files of the guest, as an archive of ours */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/draft.h"
#include "ctl/haul.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/report.h"

enum {
	OPT_BASE = 256,
	OPT_FORMAT,
	OPT_IGNORE,
	OPT_KEEP_OWNER,
	OPT_LEVEL,
	OPT_NAMES,
	OPT_ONE_FILE_SYSTEM,
	OPT_REPRODUCIBLE,
};

static const struct option options[] = {
	{"base", required_argument, NULL, OPT_BASE},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{"keep-owner", no_argument, NULL, OPT_KEEP_OWNER},
	{"level", required_argument, NULL, OPT_LEVEL},
	{"names", no_argument, NULL, OPT_NAMES},
	{"one-file-system", no_argument, NULL, OPT_ONE_FILE_SYSTEM},
	{"output", required_argument, NULL, 'o'},
	{"quiet", no_argument, NULL, 'q'},
	{"reproducible", no_argument, NULL, OPT_REPRODUCIBLE},
	{0},
};

struct export
{
	struct haul haul;
	const char *output; /* NULL: standard output */
	bool format;        /* was given */
	char **ignore;      /* owned */
	size_t n_ignore;
	int skipped; /* the exit status for what was left out */
	int dir;     /* of the output; -1: it is written to in place */
	struct draft draft;
};

static int take_option(const struct ctl *ctl, char **argv, struct export *x, int option)
{
	struct params *p = &x->haul.p;
	uint64_t n;

	switch (option) {
	case 'o':
		x->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
		return 0;
	case 'q':
		x->haul.quiet = true;
		return 0;
	case 'u':
		params_text(p, "user", optarg);
		return 0;
	case OPT_BASE:
		params_text(p, "base", optarg);
		return 0;
	case OPT_FORMAT:
		x->format = true;
		params_text(p, "format", optarg);
		return 0;
	case OPT_IGNORE:
		x->ignore[x->n_ignore++] = optarg;
		return 0;
	case OPT_KEEP_OWNER:
		params_bool(p, "keep_owner", true);
		return 0;
	case OPT_LEVEL:
		if (!parse_uint(optarg, UINT32_MAX, &n))
			return ctl_usage(ctl, "--level takes a number, not %s", optarg);
		params_uint(p, "level", n);
		return 0;
	case OPT_NAMES:
		params_bool(p, "names", true);
		return 0;
	case OPT_ONE_FILE_SYSTEM:
		params_bool(p, "one_file_system", true);
		return 0;
	case OPT_REPRODUCIBLE:
		params_bool(p, "reproducible", true);
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

/* What the name of the output says of it. */
static const char *format_of(const char *path)
{
	static const char *const ends[][2] = {{".tar", "tar"}, {".tar.gz", "tar.gz"},
		{".tgz", "tar.gz"}, {".tar.zst", "tar.zst"}, {".tzst", "tar.zst"}};
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t n = strlen(ends[i][0]);

		if (len > n && strcmp(path + len - n, ends[i][0]) == 0)
			return ends[i][1];
	}
	return NULL;
}

/* -- the output: a file that nobody sees before it is whole ------------------------------------- */

/* 0 or an exit status. */
static int open_output(struct ctl *ctl, struct export *x)
{
	struct stat st;
	char *copy;
	int err;

	if (!x->output) {
		x->haul.out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return x->haul.out_fd < 0 ? ctl_fail(ctl, "standard output: %s", strerror(errno))
					  : 0;
	}
	if (stat(x->output, &st) == 0 && !S_ISREG(st.st_mode)) {
		x->haul.out_fd = open(x->output, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return x->haul.out_fd < 0 ? ctl_fail(ctl, "%s: %s", x->output, strerror(errno)) : 0;
	}
	copy = xstrdup(x->output);
	x->dir = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = x->dir < 0 ? -errno : draft_open(&x->draft, x->dir);
	free(copy);
	if (err)
		return ctl_fail(ctl, "%s: %s", x->output, strerror(-err));
	x->haul.out_fd = x->draft.fd;
	return 0;
}

static unsigned new_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* STATUS says whether all of it has come.  The exit status. */
static int close_output(struct ctl *ctl, struct export *x, int status)
{
	char *copy;
	int err = 0;

	if (x->dir < 0) {
		if (close(take_fd(&x->haul.out_fd)) < 0 && !status)
			return ctl_fail(ctl, "cannot write the archive: %s", strerror(errno));
		return status;
	}
	copy = xstrdup(x->output);
	if (!status)
		err = draft_keep(&x->draft, x->dir, basename(copy), new_mode());
	else
		draft_drop(&x->draft, x->dir);
	free(copy);
	close(x->dir);
	return err ? ctl_fail(ctl, "cannot keep %s: %s", x->output, strerror(-err)) : status;
}

/* -- the command ------------------------------------------------------------------------------- */

/* An archive with something left out is one all the same. */
static int tell(struct haul *h, const struct val *result)
{
	struct export *x = CONTAINER_OF(h, struct export, haul);

	if (h->ctl->json)
		json_write(x->output ? stdout : stderr, result, false);
	x->skipped = report_skipped(h->ctl, result);
	return STATUS_OK;
}

static int export(struct ctl *ctl, struct export *x, char **paths, size_t n)
{
	struct params *p = &x->haul.p;
	int status;

	if (!x->output && isatty(STDOUT_FILENO))
		return ctl_usage(ctl, "an archive does not belong on a terminal: -o names a file");
	if (!x->format && x->output)
		params_text(p, "format", format_of(x->output));
	params_texts(p, "ignore", x->ignore, x->n_ignore);
	/* A raw file is one, and has no list. */
	if (n == 1)
		params_text(p, "path", paths[0]);
	else
		params_texts(p, "paths", paths, n);
	x->haul.name = x->output ? x->output : paths[0];
	status = open_output(ctl, x);
	if (status) {
		fd_close(&x->dir);
		return status;
	}
	status = haul(&x->haul);
	status = close_output(ctl, x, status);
	return status ? status : x->skipped;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct export x = {
		.haul = {.ctl = ctl,
			.method = "tar.export",
			.in_fd = -1,
			.out_fd = -1,
			.result = tell},
		.ignore = xcalloc((size_t)argc, sizeof(char *)),
		.dir = -1,
		.draft.fd = -1,
	};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "o:qu:", options, NULL)) != -1)
		status = take_option(ctl, argv, &x, option);
	if (!status && argc == optind)
		status = ctl_usage(ctl, "one path of the guest at least");
	if (!status)
		status = export(ctl, &x, argv + optind, (size_t)(argc - optind));
	free(x.ignore);
	return status;
}

COMMAND(export) = {
	.name = "export",
	.usage = "[-o FILE] [-q] [-u USER] [--format F] [--reproducible] [--ignore GLOB]… PATH…",
	.doc = "pack files and directories of the guest into an archive",
	.options =
		"  -o, --output FILE    where it goes; else standard output\n"
		"  -q, --quiet          no progress\n" USER_OPTION
		"  --format tar|tar.gz|tar.zst|raw   else as FILE is called, or tar.gz\n"
		"  --level N            how much work to spend on compression\n"
		"  --reproducible       the same tree gives the same bytes everywhere\n"
		"  --keep-owner         with --reproducible, the owners as they are\n"
		"  --names              names of users and groups beside their numbers\n"
		"  --base DIR           what names in the archive are relative to\n"
		"  --one-file-system    nothing that is mounted below\n"
		"  --ignore GLOB        leaves out what matches, and all below it; may be repeated\n",
	.run = run,
};
