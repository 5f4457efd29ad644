/* ctl/put.c - guestctl put: files from here, to the guest */
#include "ctl/put.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/mode.h"
#include "ctl/remote.h"

static const struct option options[] = {
	{"mode", required_argument, NULL, 'm'},
	{"owner", required_argument, NULL, 'o'},
	{"quiet", no_argument, NULL, 'q'},
	{"recursive", no_argument, NULL, 'r'},
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct transfer *t, int option)
{
	switch (option) {
	case 'm':
		t->mode_given = true;
		if (mode_parse(optarg, &t->mode))
			return 0;
		return ctl_usage(ctl, "--mode takes an octal number, not %s", optarg);
	case 'o':
		t->owner = optarg;
		return 0;
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
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int parse(const struct ctl *ctl, int argc, char **argv, struct transfer *t)
{
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "m:o:qrTu:", options, NULL)) != -1)
		status = take_option(ctl, argv, t, option);
	if (status)
		return status;
	if (argc - optind != 2)
		return ctl_usage(ctl, "one path of ours or -, and one of the guest");
	t->from = argv[optind];
	t->to = argv[optind + 1];
	t->standard = strcmp(argv[optind], "-") == 0;
	if (t->standard && (t->recursive || path_is_dir(argv[optind + 1])))
		return ctl_usage(ctl, "standard input is one file, and needs the name of one");
	return 0;
}

/* -- a file ------------------------------------------------------------------------------------ */

struct upload {
	struct task task;
	struct transfer *t;
	int fd;     /* owned; task.in_fd as long as it is read */
	char *name; /* of ours; owned */
	uint64_t sent;
};

static void fed(struct task *task, size_t len)
{
	struct upload *u = CONTAINER_OF(task, struct upload, task);

	u->sent += len;
	progress_add(&u->t->progress, len);
}

static void upload_free(struct upload *u)
{
	fd_close(&u->fd);
	free(u->name);
	free(u);
}

static void done(struct task *task, const struct val *error, const struct val *result)
{
	struct upload *u = CONTAINER_OF(task, struct upload, task);
	struct transfer *t = u->t;
	uint64_t size;

	if (task->err || !result) {
		transfer_ended(t, task->err, u->name, error);
	} else if (!val_uint(val_get(result, "size"), &size) || size != u->sent) {
		transfer_fail(t, "%s: the agent did not take all of it", u->name);
	} else {
		t->files++;
		t->bytes += size;
	}
	upload_free(u);
}

/*
 * FD, open to read and called NAME here, as PATH of the guest; MODE or, negative, the guest's own.
 * Consumes FD, PATH and NAME.
 */
static void put_file(struct transfer *t, int fd, char *path, char *name, int mode)
{
	struct upload *u = xcalloc(1, sizeof(*u));
	struct params p = {0};

	*u = (struct upload){
		.task = {.fed = fed, .done = done, .in_fd = fd},
		.t = t,
		.fd = fd,
		.name = name,
	};
	params_text(&p, "path", path);
	params_text(&p, "user", t->user);
	params_text(&p, "owner", t->owner);
	if (t->mode_given)
		params_uint(&p, "mode", t->mode);
	else if (mode >= 0)
		params_uint(&p, "mode", (unsigned)mode);
	params_encode(&p, flight_call(&t->flight, &u->task, "fs.write"));
	if (flight_send(&t->flight, &u->task)) {
		transfer_fail(t, "%s: %s", name, client_why(t->ctl->client));
		upload_free(u);
	}
	free(path);
}

/* FD, which is T->from, as PATH.  Consumes both. */
static int put_single(struct transfer *t, int fd, const struct stat *st, char *path)
{
	bool regular = S_ISREG(st->st_mode);
	int status = transfer_begin(t, t->from, regular ? (uint64_t)st->st_size : 0);

	if (status) {
		close(fd);
		free(path);
		return status;
	}
	put_file(t, fd, path, xstrdup(t->from), regular ? (int)(st->st_mode & 0777) : -1);
	return transfer_end(t);
}

/* -- the command ------------------------------------------------------------------------------- */

static int open_from(const struct transfer *t)
{
	if (t->standard)
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(t->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

/* Consumes FD. */
static int put_found(struct transfer *t, int fd, const struct stat *st)
{
	char *path = NULL;
	int status = 0;

	if (S_ISDIR(st->st_mode) && !t->recursive)
		status = ctl_fail(t->ctl, "%s is a directory; -r takes all of it", t->from);
	else if (t->exact || t->standard)
		path = xstrdup(t->to);
	else
		status = remote_target(t->ctl, t->user, t->from, t->to, &path);
	if (!status && !S_ISDIR(st->st_mode))
		return put_single(t, fd, st, path);
	if (!status)
		status = put_tree(t, path);
	close(fd);
	free(path);
	return status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct transfer t = {.ctl = ctl, .from = "", .to = ""};
	struct stat st;
	int fd, status = parse(ctl, argc, argv, &t);

	if (status)
		return status;
	fd = open_from(&t);
	if (fd < 0 || fstat(fd, &st) < 0)
		status = ctl_fail(ctl, "%s: %s", t.from, strerror(errno));
	else
		status = put_found(&t, take_fd(&fd), &st);
	fd_close(&fd);
	nodes_fini(&t.nodes);
	return transfer_result(&t, status);
}

COMMAND(put) = {
	.name = "put",
	.usage = "[-r] [-T] [-q] [-u USER] [-o USER[:GROUP]] [-m MODE] LOCAL|- REMOTE",
	.doc = "copy a file, or with -r a directory, to the guest",
	.options =
		"  -r              a directory with all that is in it, modes and links included\n"
		"  -T              REMOTE is the copy itself, also where it is a directory\n"
		"  -q, --quiet     no progress\n"
		"  -o, --owner USER[:GROUP]   what is created belongs to them\n"
		"  -m, --mode MODE            of each file, instead of its own\n" USER_OPTION
		"  LOCAL           - is standard input\n",
	.run = run,
};
