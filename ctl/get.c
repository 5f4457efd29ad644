/*
 * ctl/get.c - guestctl get: files of the guest, to here
 *
 * A guest is not trusted.  Nothing is written outside of what the command line names: see below.h.
 * Nor does it get a setuid program, or a symbolic link that leads out, to a place of its choice.
 */
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
#include "ctl/below.h"
#include "ctl/cat.h"
#include "ctl/remote.h"
#include "ctl/text.h"
#include "ctl/transfer.h"

/* Files read at once: enough to hide the way to the guest and back. */
#define AT_ONCE 32

struct get {
	struct transfer t;
	struct below below; /* of what is created */
};

/* A file on its way. */
struct download {
	struct task task;
	struct get *get;
	uint32_t node;
	char *path;         /* of the guest; owned */
	struct draft draft; /* or, in place, a descriptor that has all from the beginning */
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

/* -- files ------------------------------------------------------------------------------------- */

static int take(struct task *task, const char *bytes, size_t len)
{
	struct download *d = CONTAINER_OF(task, struct download, task);

	d->got += len;
	progress_add(&d->get->t.progress, len);
	return relay_write(d->draft.fd, bytes, len);
}

/* All of it has come.  0 or -errno. */
static int keep(struct download *d)
{
	struct get *get = d->get;
	const struct node *node = &get->t.nodes.list[d->node];
	int dir;

	if (d->in_place)
		return close(take_fd(&d->draft.fd)) < 0 ? -errno : 0;
	dir = below_dir(&get->below, node->parent);
	if (dir < 0)
		return dir;
	return draft_keep(&d->draft, dir, nodes_name(&get->t.nodes, d->node), node->mode);
}

static void drop(struct download *d)
{
	struct get *get = d->get;
	int dir = -1;

	if (*d->draft.name)
		dir = below_dir(&get->below, get->t.nodes.list[d->node].parent);
	draft_drop(&d->draft, dir);
}

static void done(struct task *task, const struct val *error, const struct val *result)
{
	struct download *d = CONTAINER_OF(task, struct download, task);
	struct transfer *t = &d->get->t;
	uint64_t size;
	int err;

	if (task->err || !result) {
		transfer_ended(t, task->err, t->recursive ? d->path : t->to, error);
	} else if (!val_uint(val_get(result, "size"), &size) || size != d->got) {
		transfer_fail(t, "%s: not all of its bytes came", d->path);
	} else {
		err = keep(d);
		if (err)
			transfer_fail(t, "cannot keep %s: %s", d->path, strerror(-err));
		t->files += !err;
		t->bytes += err ? 0 : d->got;
	}
	drop(d);
	free(d->path);
	free(d);
}

/* Takes D, whose file is open, and its path. */
static void start(struct download *d)
{
	struct transfer *t = &d->get->t;
	struct params p = {0};

	d->task.take = take;
	d->task.done = done;
	d->task.in_fd = -1;
	params_text(&p, "path", d->path);
	params_text(&p, "user", t->user);
	params_encode(&p, flight_call(&t->flight, &d->task, "fs.read"));
	if (flight_send(&t->flight, &d->task) == 0)
		return;
	transfer_fail(t, "%s: %s", d->path, client_why(t->ctl->client));
	drop(d);
	free(d->path);
	free(d);
}

/* Node I, a file, which is PATH in the guest.  Consumes PATH. */
static void get_file(struct get *get, uint32_t i, char *path)
{
	struct download *d = xcalloc(1, sizeof(*d));
	int err = below_dir(&get->below, get->t.nodes.list[i].parent);

	*d = (struct download){.get = get, .node = i, .path = path, .draft.fd = -1};
	if (err >= 0)
		err = draft_open(&d->draft, err);
	if (err >= 0) {
		start(d);
		return;
	}
	transfer_fail(&get->t, "cannot make a file for %s: %s", path, strerror(-err));
	free(path);
	free(d);
}

/* -- directories ------------------------------------------------------------------------------- */

/* 0 or -errno. */
static int get_dir(struct get *get, uint32_t i)
{
	struct node *node = &get->t.nodes.list[i];
	int dir = below_dir(&get->below, node->parent);

	if (dir < 0)
		return dir;
	node->made = mkdirat(dir, nodes_name(&get->t.nodes, i), 0700) == 0;
	if (!node->made && errno != EEXIST)
		return -errno;
	/* What stands there has to be a directory itself, not a way to one. */
	dir = below_dir(&get->below, i);
	return dir < 0 ? dir : 0;
}

/* 0 or -errno. */
static int get_symlink(struct get *get, uint32_t i)
{
	const struct nodes *nodes = &get->t.nodes;
	int dir = below_dir(&get->below, nodes->list[i].parent);

	return dir < 0 ? dir : below_symlink(dir, nodes_name(nodes, i), nodes_target(nodes, i));
}

static bool leads_outside(const struct transfer *t, uint32_t i)
{
	const struct node *node = &t->nodes.list[i];

	return node->type == NODE_SYMLINK && !t->keep_links &&
	       !below_inside(nodes_target(&t->nodes, i), node->depth - 1);
}

static void get_other(struct get *get, uint32_t i, char *path)
{
	struct transfer *t = &get->t;
	struct node *node = &t->nodes.list[i];
	int err = 0;

	if (node->type == NODE_OTHER)
		transfer_fail(t, "left out %s: neither a file nor a directory or link", path);
	else if (leads_outside(t, i))
		transfer_fail(t,
			"left out %s: a link that leads, or may lead, outside; see --links", path);
	else
		err = node->type == NODE_DIR ? get_dir(get, i) : get_symlink(get, i);
	if (err)
		transfer_fail(t, "cannot make %s here: %s", path,
			err == -ENOTDIR || err == -ELOOP ? "something else stands in its place"
							 : strerror(-err));
	node->failed = err != 0;
	t->directories += !err && node->type == NODE_DIR;
	t->symlinks += !err && node->type == NODE_SYMLINK && !leads_outside(t, i);
}

static void get_node(struct get *get, uint32_t i)
{
	struct transfer *t = &get->t;
	char *path;

	if (nodes_lost(&t->nodes, i))
		return;
	path = nodes_path(&t->nodes, i, t->from);
	if (t->nodes.list[i].type == NODE_FILE) {
		get_file(get, i, path);
	} else {
		get_other(get, i, path);
		free(path);
	}
}

/* Only now, since nobody can write into a directory that is read-only. */
static void set_modes(struct get *get)
{
	struct transfer *t = &get->t;

	for (uint32_t i = t->nodes.n; i-- > 0;) {
		const struct node *node = &t->nodes.list[i];
		int dir;

		if (!node->made)
			continue;
		dir = below_dir(&get->below, i);
		if (dir < 0 || fchmodat(dir, ".", node->mode, 0) < 0)
			transfer_fail(t, "cannot set the mode of %s here: %s",
				nodes_name(&t->nodes, i), strerror(dir < 0 ? -dir : errno));
	}
}

/* The directory that the tree goes to, made where it is not there.  A descriptor or -errno. */
static int open_root(struct get *get, const char *path, bool follow)
{
	struct node *root = &get->t.nodes.list[0];
	int fd, flags = O_PATH | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);

	root->made = mkdir(path, 0700) == 0;
	if (!root->made && errno != EEXIST)
		return -errno;
	fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

/* The directory, of MODE, as PATH here; FOLLOW where the command line itself names that. */
static int get_tree(struct get *get, unsigned mode, const char *path, bool follow)
{
	struct transfer *t = &get->t;
	struct params p = {0};
	bool skipped = false;
	int fd, status;

	params_text(&p, "path", t->from);
	params_text(&p, "user", t->user);
	nodes_init(&t->nodes, mode);
	status = nodes_fetch(&t->nodes, t->ctl, &p, &skipped);
	if (status)
		return status;
	t->failed += skipped;
	fd = open_root(get, path, follow);
	if (fd < 0)
		return ctl_fail(t->ctl, "cannot make the directory %s: %s", path, strerror(-fd));
	below_init(&get->below, &t->nodes, fd);
	t->directories++;
	status = transfer_begin(t, t->from, t->nodes.bytes);
	if (!status) {
		for (uint32_t i = 1; i < t->nodes.n && !flight_room(&t->flight, AT_ONCE); i++)
			get_node(get, i);
		status = transfer_end(t);
	}
	set_modes(get);
	below_fini(&get->below);
	return status;
}

/* -- a single file ----------------------------------------------------------------------------- */

/* To the descriptor FD, which nobody can take back. */
static int get_into(struct get *get, int fd, uint64_t size)
{
	struct transfer *t = &get->t;
	struct download *d;
	int status = transfer_begin(t, t->from, size);

	if (status) {
		close(fd);
		return status;
	}
	d = xcalloc(1, sizeof(*d));
	*d = (struct download){
		.get = get, .path = xstrdup(t->from), .draft.fd = fd, .in_place = true};
	start(d);
	return transfer_end(t);
}

/* As PATH, which is, or will be, an ordinary file. */
static int get_whole(struct get *get, const char *path, unsigned mode, uint64_t size)
{
	struct transfer *t = &get->t;
	struct node_info info = {.type = NODE_FILE, .mode = mode, .size = size};
	const char *slash = strrchr(path, '/');
	char *parent = slash ? xasprintf("%.*s", (int)(slash - path) + 1, path) : xstrdup(".");
	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int status;

	if (fd < 0)
		status = ctl_fail(t->ctl, "%s: %s", parent, strerror(errno));
	free(parent);
	if (fd < 0)
		return status;
	info.name = slash ? slash + 1 : path;
	info.name_len = strlen(info.name);
	nodes_init(&t->nodes, 0);
	ASSERT(nodes_add(&t->nodes, 0, &info) == 0);
	below_init(&get->below, &t->nodes, fd);
	status = transfer_begin(t, t->from, size);
	if (!status) {
		get_file(get, 1, xstrdup(t->from));
		status = transfer_end(t);
	}
	below_fini(&get->below);
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
		status = get_tree(get, (unsigned)mode, path, !name);
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
	struct get get = {.t = {.ctl = ctl, .from = "", .to = ""}};
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
	nodes_fini(&get.t.nodes);
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
