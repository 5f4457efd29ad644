/* ctl/get.c - guestctl get: files of the guest, to here */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/cat.h"
#include "ctl/draft.h"
#include "ctl/get.h"
#include "ctl/remote.h"
#include "ctl/text.h"

struct get {
	struct transfer t;
	struct task task;
	/* Where it goes: NAME, of MODE, in DIR; or in place, to a descriptor that has all from the beginning. */
	int dir; /* owned */
	const char *name;
	unsigned mode;
	struct draft draft;
	bool in_place;
	uint64_t got;
};

enum { OPT_LINKS = 256 };

static const struct option options[] = {
	{"links", required_argument, NULL, OPT_LINKS},
	{"quiet", no_argument, NULL, 'q'},
	{"recursive", no_argument, NULL, 'r'},
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct transfer *t, int option)
{
	switch (option) {
	case 'q':
		t->quiet = true;
		return 0;
	case 'r':
		t->recursive = true;
		return 0;
	case 'T':
		t->exact = true;
		return 0;
	case 'u':
		t->user = optarg;
		return 0;
	case OPT_LINKS:
		t->keep_links = strcmp(optarg, "keep") == 0;
		if (t->keep_links || strcmp(optarg, "inside") == 0)
			return 0;
		return ctl_usage(ctl, "--links takes inside or keep, not %s", optarg);
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int parse(const struct ctl *ctl, int argc, char **argv, struct transfer *t)
{
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "qrTu:", options, NULL)) != -1)
		status = take_option(ctl, argv, t, option);
	if (status)
		return status;
	if (argc - optind != 2)
		return ctl_usage(ctl, "one path of the guest, and one of ours or -");
	t->from = argv[optind];
	t->to = argv[optind + 1];
	t->standard = strcmp(argv[optind + 1], "-") == 0;
	if (t->recursive && t->standard)
		return ctl_usage(ctl, "a directory cannot go to standard output");
	return 0;
}

/* -- a file ------------------------------------------------------------------------------------ */

static int take(struct task *task, const char *bytes, size_t len)
{
	struct get *get = CONTAINER_OF(task, struct get, task);

	get->got += len;
	progress_add(&get->t.progress, len);
	return relay_write(get->draft.fd, bytes, len);
}

/* All of it has come.  0 or -errno. */
static int keep(struct get *get)
{
	if (get->in_place)
		return close(take_fd(&get->draft.fd)) < 0 ? -errno : 0;
	return draft_keep(&get->draft, get->dir, get->name, get->mode);
}

static void done(struct task *task, const struct val *error, const struct val *result)
{
	struct get *get = CONTAINER_OF(task, struct get, task);
	struct transfer *t = &get->t;
	uint64_t size;
	int err;

	if (task->err || !result) {
		transfer_ended(t, task->err, t->to, error);
	} else if (!val_uint(val_get(result, "size"), &size) || size != get->got) {
		transfer_fail(t, "%s: not all of its bytes came", t->from);
	} else {
		err = keep(get);
		if (err)
			transfer_fail(t, "cannot keep %s: %s", t->from, strerror(-err));
		t->files += !err;
		t->bytes += err ? 0 : get->got;
	}
}

/* To get->draft. */
static int get_file(struct get *get, uint64_t size)
{
	struct transfer *t = &get->t;
	struct params p = {0};
	int status = transfer_begin(t, t->from, size);

	if (!status) {
		get->task = (struct task){.take = take, .done = done, .in_fd = -1};
		params_text(&p, "path", t->from);
		params_text(&p, "user", t->user);
		params_encode(&p, flight_call(&t->flight, &get->task, "fs.read"));
		if (flight_send(&t->flight, &get->task))
			transfer_fail(t, "%s: %s", t->from, client_why(t->ctl->client));
		status = transfer_end(t);
	}
	draft_drop(&get->draft, get->dir);
	return status;
}

/* To the descriptor FD, which nobody can take back. */
static int get_into(struct get *get, int fd, uint64_t size)
{
	get->draft = (struct draft){.fd = fd};
	get->in_place = true;
	return get_file(get, size);
}

/* As PATH, which is, or will be, an ordinary file. */
static int get_whole(struct get *get, const char *path, unsigned mode, uint64_t size)
{
	struct transfer *t = &get->t;
	const char *slash = strrchr(path, '/');
	char *parent = slash ? xasprintf("%.*s", (int)(slash - path) + 1, path) : xstrdup(".");
	int err, status;

	get->name = slash ? slash + 1 : path;
	get->mode = mode;
	get->dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = get->dir < 0 ? -errno : 0;
	if (err)
		status = ctl_fail(t->ctl, "%s: %s", parent, strerror(-err));
	else if ((err = draft_open(&get->draft, get->dir)))
		status = ctl_fail(t->ctl, "cannot make a file for %s: %s", t->from, strerror(-err));
	else
		status = get_file(get, size);
	fd_close(&get->dir);
	free(parent);
	return status;
}

/* As PATH; what a link there leads to is replaced, a device or a fifo is written to. */
static int get_single(struct get *get, const char *path, unsigned mode, uint64_t size)
{
	struct transfer *t = &get->t;
	struct stat st;
	char *real;
	int fd, status;

	if (stat(path, &st) < 0)
		return get_whole(get, path, mode, size);
	if (S_ISDIR(st.st_mode))
		return ctl_fail(t->ctl, "%s is a directory", path);
	if (!S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? ctl_fail(t->ctl, "%s: %s", path, strerror(errno))
			      : get_into(get, fd, size);
	}
	real = realpath(path, NULL);
	status = get_whole(get, real ? real : path, mode, size);
	free(real);
	return status;
}

static int get_stdout(struct get *get, uint64_t size)
{
	struct transfer *t = &get->t;
	int fd;

	if (t->ctl->json || isatty(STDOUT_FILENO))
		return cat(t->ctl, t->from, t->user);
	fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? ctl_fail(t->ctl, "standard output: %s", strerror(errno))
		      : get_into(get, fd, size);
}

/* -- the command ------------------------------------------------------------------------------- */

/* Is it a directory of ours, or meant to be one? */
static bool local_dir(const char *path)
{
	struct stat st;

	return path_is_dir(path) || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int get_found(struct get *get, const struct val *entry)
{
	struct transfer *t = &get->t;
	bool dir = text_is(val_get(entry, "type"), "dir");
	bool into = !t->exact && local_dir(t->to);
	char *name = into ? path_name(t->from) : NULL;
	char *path = name ? path_join(t->to, name) : xstrdup(t->to);
	uint64_t mode = 0, size = 0;
	int status;

	val_uint(val_get(entry, "mode"), &mode);
	val_uint(val_get(entry, "size"), &size);
	mode &= 0777;
	if (dir && !t->recursive)
		status = ctl_fail(t->ctl, "%s is a directory; -r takes all of it", t->from);
	else if (dir)
		status = get_tree(t, entry, path, !name);
	else if (t->standard)
		status = get_stdout(get, size);
	else
		status = get_single(get, path, (unsigned)mode, size);
	free(path);
	free(name);
	return status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct get get = {.t = {.ctl = ctl, .from = "", .to = ""}, .dir = -1, .draft.fd = -1};
	struct params p = {0};
	const struct val *entry;
	int status = parse(ctl, argc, argv, &get.t);

	if (status)
		return status;
	params_text(&p, "path", get.t.from);
	params_text(&p, "user", get.t.user);
	params_flag(&p, "follow", true);
	status = ask(ctl, "fs.stat", &p, &entry);
	if (!status)
		status = get_found(&get, entry);
	/* On standard output is the file. */
	if (get.t.standard)
		return !status && get.t.failed ? STATUS_FAILED : status;
	return transfer_result(&get.t, status);
}

COMMAND(get) = {
	.name = "get",
	.usage = "[-r] [-T] [-q] [-u USER] [--links inside|keep] REMOTE LOCAL|-",
	.doc = "copy a file, or with -r a directory, from the guest",
	.options = "  -r            a directory with all that is in it, modes and links included\n"
		   "  -T            LOCAL is the copy itself, also where it is a directory\n"
		   "  -q, --quiet   no progress\n" USER_OPTION
		   "  --links keep  with -r, symbolic links that lead out of LOCAL, too\n"
		   "  LOCAL         - is standard output\n",
	.run = run,
};
