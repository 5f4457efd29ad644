/*
 * ctl/put_tree.c - a directory from here to the guest
 *
 * The directories level by level, to know which were there: these stay as they are.  Then all else as
 * one archive, packed while it is sent: files and links, and in the end the modes and times of the
 * directories that were made.
 *
 * The agent ends an archive at an entry that it cannot make, and says how many before it are there.
 * So the error is told, and another archive goes on behind that entry.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/put.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "proto/limits.h"
#include "tar/below.h"
#include "tar/links.h"
#include "tar/pax.h"

/* Directories made at once: enough to hide the way to the guest and back. */
#define DIRS_AT_ONCE 64

/* What is read of a file before its size is told: of most all. */
#define FIRST_PIECE (64ul << 10)

/* What waits to be sent: two headers with the longest names, and such a piece. */
#define PACKED_MAX (1ul << 20)

/* Entries that the guest refuses, each of which costs an archive of its own: then nothing more goes. */
#define REFUSED_MAX 1000u

struct put {
	struct transfer *t;
	const char *path;   /* of the root, in the guest */
	struct below below; /* what is read from */

	/* The archive that is on its way. */
	struct task task;
	struct buf out;
	struct links links;
	uint32_t next;          /* turn: see put_turn */
	uint32_t *sent, n_sent; /* the turns of its entries, in their order; owned */
	int fd;                 /* of the file at hand */
	uint64_t size, left;    /* of its bytes */
	char *piece;            /* FIRST_PIECE + 1 bytes; owned */
	bool ended;
	bool cut; /* a file could not be read on: it ends in the middle of that */

	unsigned refused;
	bool again; /* another archive is to follow, from `next` on */
};

/* A directory that is made. */
struct step {
	struct task task;
	struct put *put;
	uint32_t node;
};

/* Node I's path here.  Owned by the caller. */
static char *local_path(const struct put *put, uint32_t i)
{
	return nodes_path(&put->t->nodes, i, put->t->from);
}

/* Node I cannot be read here. */
static void fail_read(struct put *put, uint32_t i, const char *why)
{
	char *path = local_path(put, i);

	transfer_fail(put->t, "%s: %s", path, why);
	put->t->nodes.list[i].failed = true;
	free(path);
}

static void fail_local(struct put *put, uint32_t i, int err)
{
	fail_read(put, i, strerror(-err));
}

/* Node I's name in the archive.  Owned by the caller. */
static char *member_name(const struct put *put, uint32_t i)
{
	char *path = nodes_path(&put->t->nodes, i, "");

	memmove(path, path + 1, strlen(path)); /* "/a/b" */
	return path;
}

/* The directory that is node I, as below_dir(). */
static int local_dir(struct put *put, uint32_t i)
{
	char *name = member_name(put, i);
	int fd = below_dir(&put->below, name, strlen(name), false);

	free(name);
	return fd;
}

/* -- what there is ----------------------------------------------------------------------------- */

struct names {
	char **list;
	size_t n, cap;
};

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i]);
	free(names->list);
}

static void names_add(struct names *names, const char *name)
{
	if (names->n == names->cap) {
		size_t cap = MAX(64, names->cap * 2);
		char **grown = xcalloc(cap, sizeof(*grown));

		if (names->n)
			memcpy(grown, names->list, names->n * sizeof(*grown));
		free(names->list);
		names->list = grown;
		names->cap = cap;
	}
	names->list[names->n++] = xstrdup(name);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted: two runs do the same.  0 or -errno. */
static int read_names(int dir, struct names *names)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	int err;

	if (!d) {
		err = -errno;
		fd_close(&fd);
		return err;
	}
	for (errno = 0; (entry = readdir(d)); errno = 0) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			names_add(names, entry->d_name);
	}
	err = -errno;
	closedir(d);
	if (names->n)
		qsort(names->list, names->n, sizeof(*names->list), by_bytes);
	return err;
}

static enum node_type type_of(mode_t mode)
{
	if (S_ISREG(mode))
		return NODE_FILE;
	if (S_ISDIR(mode))
		return NODE_DIR;
	return S_ISLNK(mode) ? NODE_SYMLINK : NODE_OTHER;
}

/* NAME in directory DIR, node PARENT.  0 or -errno; gone meanwhile is fine. */
static int scan_one(struct put *put, int dir, uint32_t parent, const char *name)
{
	struct node_info info = {.name = name, .name_len = strlen(name)};
	struct stat st;
	char *target = NULL;
	int err;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	info.type = type_of(st.st_mode);
	info.mode = st.st_mode & 0777;
	info.size = (uint64_t)st.st_size;
	if (info.type == NODE_SYMLINK) {
		ssize_t n;

		target = xmalloc(PATH_MAX);
		n = readlinkat(dir, name, target, PATH_MAX);
		info.target = target;
		info.target_len = (size_t)MAX(n, 0);
	}
	err = nodes_add(&put->t->nodes, parent, &info);
	free(target);
	return err;
}

static int scan_dir(struct put *put, uint32_t i)
{
	struct names names = {0};
	int dir = local_dir(put, i);
	int err = dir < 0 ? dir : read_names(dir, &names);

	if (err)
		fail_local(put, i, err);
	err = 0;
	for (size_t k = 0; k < names.n && !err; k++)
		err = scan_one(put, dir, i, names.list[k]);
	names_free(&names);
	return err;
}

/* The whole tree, level by level.  0 or an exit status. */
static int scan(struct put *put)
{
	struct transfer *t = put->t;
	struct stat st = {0};
	int fd = open(t->from, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

	nodes_init(&t->nodes, st.st_mode & 0777);
	below_begin(&put->below, fd);
	for (uint32_t i = 0; i < t->nodes.n && !err; i++) {
		if (t->nodes.list[i].type == NODE_DIR)
			err = scan_dir(put, i);
	}
	return err ? ctl_fail(t->ctl, "cannot read %s: %s", t->from, strerror(-err)) : 0;
}

/* -- directories ------------------------------------------------------------------------------- */

static void mkdir_done(struct task *task, const struct val *error, const struct val *result)
{
	struct step *step = CONTAINER_OF(task, struct step, task);
	struct transfer *t = step->put->t;
	struct node *node = &t->nodes.list[step->node];

	node->failed = node->failed || !result;
	t->directories += result != NULL;
	val_bool(val_get(result, "created"), &node->made);
	if (!result)
		transfer_ended(t, 0, "", error);
	free(step);
}

static void put_dir(struct put *put, uint32_t i)
{
	struct transfer *t = put->t;
	struct step *step = xcalloc(1, sizeof(*step));
	char *path = nodes_path(&t->nodes, i, put->path);
	struct params p = {0};

	*step = (struct step){.task = {.in_fd = -1, .done = mkdir_done}, .put = put, .node = i};
	params_text(&p, "path", path);
	params_text(&p, "user", t->user);
	params_bool(&p, "parents", i == 0);
	/* What is in it has to be written yet. */
	params_uint(&p, "mode", t->nodes.list[i].mode | 0700);
	params_text(&p, "owner", t->owner);
	params_encode(&p, flight_call(&t->flight, &step->task, "fs.mkdir"));
	if (flight_send(&t->flight, &step->task)) {
		transfer_fail(t, "%s: %s", path, client_why(t->ctl->client));
		t->nodes.list[i].failed = true;
		free(step);
	}
	free(path);
}

static void put_dirs(struct put *put)
{
	struct transfer *t = put->t;
	uint32_t depth = 0;

	for (uint32_t i = 0; i < t->nodes.n; i++) {
		const struct node *node = &t->nodes.list[i];

		if (node->type != NODE_DIR)
			continue;
		if (flight_room(&t->flight, node->depth > depth ? 1 : DIRS_AT_ONCE))
			return;
		depth = node->depth;
		/* One that cannot be read here is made all the same. */
		if (i == 0 || !nodes_lost(&t->nodes, node->parent))
			put_dir(put, i);
	}
	(void)!flight_room(&t->flight, 1);
}

/* -- the archive ------------------------------------------------------------------------------- */

static void add_zeros(struct put *put, size_t len)
{
	char *room = len ? buf_reserve(&put->out, len) : NULL;

	if (!len)
		return;
	ASSERT(room); /* there is some for the largest of entries */
	memset(room, 0, len);
	buf_commit(&put->out, len);
}

/* The header E of node I, whose turn it is.  0 or -errno. */
static int add_header(struct put *put, uint32_t i, struct pax_entry *e, const struct stat *st)
{
	const struct transfer *t = put->t;
	char *name = member_name(put, i);
	int err;

	/* By its number root's: nobody but root may give files away, and then these are its own. */
	e->name = name;
	e->mode = e->type == PAX_FILE && t->mode_given ? (mode_t)t->mode : st->st_mode & 0777;
	e->mtime = st->st_mtim;
	err = strlen(name) > TAR_NAME_MAX ? -ENAMETOOLONG : pax_header(&put->out, e);
	free(name);
	if (!err)
		put->sent[put->n_sent++] = put->next;
	return err;
}

/* As many bytes of FD as there are, up to FIRST_PIECE + 1.  How many, or -errno. */
static ssize_t read_piece(const struct put *put, int fd)
{
	size_t n = 0;

	while (n < FIRST_PIECE + 1) {
		ssize_t got = read(fd, put->piece + n, FIRST_PIECE + 1 - n);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)MAX(got, 0);
	}
	return (ssize_t)n;
}

/* Another name of a file that is in the archive?  1, 0 or -errno. */
static int add_link(struct put *put, uint32_t i, const struct stat *st)
{
	char *name = st->st_nlink > 1 ? member_name(put, i) : NULL;
	const char *first = name ? links_find(&put->links, st, name) : NULL;
	struct pax_entry e = {.type = PAX_LINK, .target = first};
	int err = first ? add_header(put, i, &e, st) : 0;

	free(name);
	if (!first || err)
		return err;
	progress_add(&put->t->progress, put->t->nodes.list[i].size);
	put->t->progress.files++;
	put->t->nodes.list[i].size = 0;
	return 1;
}

/* A descriptor of node I, which still is a file, and what it is; or -errno. */
static int open_file(struct put *put, uint32_t i, struct stat *st)
{
	const struct nodes *nodes = &put->t->nodes;
	int dir = local_dir(put, nodes->list[i].parent);
	cleanup_fd int fd = -1;

	if (dir < 0)
		return dir;
	fd = openat(dir, nodes_name(nodes, i),
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, st) < 0)
		return -errno;
	return S_ISREG(st->st_mode) ? take_fd(&fd) : -EINVAL;
}

/* Consumes FD, whose first N bytes were read. */
static int add_file(struct put *put, uint32_t i, int fd, const struct stat *st, size_t n)
{
	struct transfer *t = put->t;
	uint64_t size = n <= FIRST_PIECE ? n : MAX((uint64_t)st->st_size, n);
	struct pax_entry e = {.type = PAX_FILE, .size = size};
	int err;

	err = add_header(put, i, &e, st);
	if (!err && n)
		err = buf_add(&put->out, put->piece, n);
	if (err) {
		close(fd);
		return err;
	}
	progress_add(&t->progress, n);
	t->progress.files++;
	t->nodes.list[i].size = put->size = size;
	put->fd = fd;
	put->left = size - n;
	return 0;
}

static int put_file_node(struct put *put, uint32_t i)
{
	struct stat st = {0};
	cleanup_fd int fd = open_file(put, i, &st);
	ssize_t n = fd < 0 ? fd : read_piece(put, fd);
	int linked = n < 0 ? 0 : add_link(put, i, &st);

	if (n < 0 || linked)
		return n < 0 ? (int)n : MIN(linked, 0);
	return add_file(put, i, take_fd(&fd), &st, (size_t)n);
}

static int put_symlink(struct put *put, uint32_t i)
{
	const struct nodes *nodes = &put->t->nodes;
	struct pax_entry e = {.type = PAX_SYMLINK, .target = nodes_target(nodes, i)};
	int dir = local_dir(put, nodes->list[i].parent);
	struct stat st;

	if (dir < 0)
		return dir;
	if (fstatat(dir, nodes_name(nodes, i), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return add_header(put, i, &e, &st);
}

/* Its mode and time: only now, as all is in it. */
static int put_dir_end(struct put *put, uint32_t i)
{
	struct pax_entry e = {.type = PAX_DIR};
	struct stat st;
	int dir = local_dir(put, i);

	if (dir < 0)
		return dir;
	return fstat(dir, &st) < 0 ? -errno : add_header(put, i, &e, &st);
}

/* First it is each node's turn, in their order, then that of the directories, backwards. */
static uint32_t node_of(const struct put *put, uint32_t turn)
{
	uint32_t n = put->t->nodes.n;

	return turn < n ? turn : 2 * n - 1 - turn;
}

static void put_turn(struct put *put)
{
	struct transfer *t = put->t;
	uint32_t i = node_of(put, put->next);
	const struct node *node = &t->nodes.list[i];
	bool second = put->next >= t->nodes.n;
	char *path;
	int err = 0;

	if (nodes_lost(&t->nodes, i) || second != (node->type == NODE_DIR))
		return;
	switch ((enum node_type)node->type) {
	case NODE_FILE:
		err = put_file_node(put, i);
		break;
	case NODE_SYMLINK:
		err = put_symlink(put, i);
		break;
	case NODE_DIR:
		err = node->made ? put_dir_end(put, i) : 0;
		break;
	case NODE_OTHER:
	default:
		path = local_path(put, i);
		transfer_fail(t, "left out %s: neither a file nor a directory or link", path);
		free(path);
	}
	if (err)
		fail_local(put, i, err);
}

/* The file at hand goes on.  How many bytes of it, or 0: then it is over, in one way or the other. */
static size_t pull_file(struct put *put, char *bytes, size_t size)
{
	ssize_t n;

	if (!put->left) {
		add_zeros(put, pax_padding(put->size));
		fd_close(&put->fd);
		return 0;
	}
	do
		n = read(put->fd, bytes, MIN(size, put->left));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		put->left -= (uint64_t)n;
		progress_add(&put->t->progress, (uint64_t)n);
		return (size_t)n;
	}
	/* The agent keeps no half file where the archive ends in one. */
	fail_read(put, node_of(put, put->next), n < 0 ? strerror(errno) : "it has become shorter");
	put->cut = put->ended = true;
	fd_close(&put->fd);
	return 0;
}

static size_t pull(struct task *task, char *bytes, size_t size)
{
	struct put *put = CONTAINER_OF(task, struct put, task);
	size_t n;

	while (!buf_len(&put->out) && !put->ended) {
		n = put->fd >= 0 ? pull_file(put, bytes, size) : 0;
		if (n)
			return n;
		if (put->fd >= 0 || put->ended || buf_len(&put->out))
			continue;
		/* The root's own turn is another one's: finish_root. */
		if (++put->next < 2 * put->t->nodes.n - 1) {
			put_turn(put);
		} else {
			add_zeros(put, PAX_END);
			put->ended = true;
		}
	}
	n = MIN(size, buf_len(&put->out));
	if (n) {
		memcpy(bytes, buf_bytes(&put->out), n);
		buf_consume(&put->out, n);
	}
	return n;
}

/* -- what came of it --------------------------------------------------------------------------- */

/* The first N entries of the archive are in the guest. */
static void count_sent(struct put *put, uint32_t n)
{
	struct transfer *t = put->t;

	for (uint32_t k = 0; k < n; k++) {
		const struct node *node = &t->nodes.list[node_of(put, put->sent[k])];

		t->files += node->type == NODE_FILE;
		t->symlinks += node->type == NODE_SYMLINK;
		t->bytes += node->size;
	}
}

static void told_error(struct put *put, const struct val *error)
{
	struct transfer *t = put->t;
	uint64_t n = 0;
	bool known = val_uint(val_get(val_get(error, "data"), "written_total"), &n);

	n = MIN(n, put->n_sent);
	count_sent(put, (uint32_t)n);
	if (put->cut && n + 1 == put->n_sent) { /* that was said */
		put->again = true;
		return;
	}
	transfer_ended(t, 0, "", error);
	if (!known || n == put->n_sent || t->flight.status)
		return;
	put->next = put->sent[n];
	t->nodes.list[node_of(put, put->next)].failed = true;
	put->again = ++put->refused < REFUSED_MAX;
	if (!put->again)
		transfer_fail(t, "%u entries were refused: what follows was not sent", REFUSED_MAX);
}

static void archive_done(struct task *task, const struct val *error, const struct val *result)
{
	struct put *put = CONTAINER_OF(task, struct put, task);
	const struct val *lost = val_get(result, "lost");

	if (result && (!put->ended || put->cut || buf_len(&put->out))) {
		transfer_fail(put->t, "%s: the agent did not take all of it", put->t->from);
	} else if (result) {
		count_sent(put, put->n_sent);
		if (lost)
			report_note(put->t->ctl, "not all modes and times could be kept");
	} else {
		told_error(put, error);
	}
	buf_clear(&put->out);
	fd_close(&put->fd);
	links_fini(&put->links);
	put->links = (struct links){0};
	put->ended = put->cut = false;
	if (put->again) {
		put->t->progress.done = put->t->bytes;
		put->t->progress.files = put->t->files;
	}
	put->left = put->n_sent = 0;
}

static int put_archive(struct put *put)
{
	struct transfer *t = put->t;
	struct params p = {0};

	put->again = false;
	put->task = (struct task){.pull = pull, .done = archive_done, .in_fd = -1};
	params_text(&p, "path", put->path);
	params_text(&p, "user", t->user);
	params_text(&p, "owner", t->owner);
	params_text(&p, "format", "tar");
	params_text(&p, "links", "keep");
	params_encode(&p, flight_call(&t->flight, &put->task, "tar.import"));
	if (flight_send(&t->flight, &put->task))
		transfer_fail(t, "%s: %s", put->path, client_why(t->ctl->client));
	return flight_room(&t->flight, 1);
}

/* The agent leaves the directory alone that it unpacks into, unless it is empty. */
static int finish_root(struct put *put)
{
	struct transfer *t = put->t;
	const struct node *root = &t->nodes.list[0];
	struct params mode = {0}, times = {0};
	const struct val *result;
	struct stat st;
	int status = 0;

	if (!root->made || root->failed || fstat(put->below.root, &st) < 0)
		return 0;
	params_text(&times, "path", put->path);
	params_text(&times, "user", t->user);
	params_uint(&times, "mtime_us",
		(uint64_t)MAX(st.st_mtim.tv_sec, 0) * 1000000 +
			(uint64_t)st.st_mtim.tv_nsec / 1000);
	params_text(&mode, "path", put->path);
	params_text(&mode, "user", t->user);
	params_uint(&mode, "mode", root->mode);
	status = ask(t->ctl, "fs.utimes", &times, &result);
	if (!status && (root->mode & 0700) != 0700)
		status = ask(t->ctl, "fs.chmod", &mode, &result);
	t->failed += status == STATUS_FAILED;
	return status_final(status) ? status : 0;
}

int put_tree(struct transfer *t, const char *path)
{
	struct put put = {.t = t, .path = path, .fd = -1};
	int status = scan(&put);

	buf_init(&put.out, PACKED_MAX);
	put.piece = xmalloc(FIRST_PIECE + 1);
	put.sent = xcalloc(t->nodes.n, sizeof(*put.sent));
	if (!status)
		status = transfer_begin(t, t->from, t->nodes.bytes);
	if (!status) {
		put_dirs(&put);
		put.again = !nodes_lost(&t->nodes, 0);
		while (put.again && !put_archive(&put))
			;
		status = transfer_end(t);
	}
	if (!status)
		status = finish_root(&put);
	below_end(&put.below);
	buf_fini(&put.out);
	free(put.piece);
	free(put.sent);
	return status;
}
