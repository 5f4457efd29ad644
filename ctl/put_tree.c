/*
 * ctl/put_tree.c - a directory from here to the guest
 *
 * Level by level the directories, since what is in one needs it; then all else as fast as the
 * connection takes it: small files in batches, large ones each in a call of its own.
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

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/below.h"
#include "ctl/put.h"
#include "ctl/remote.h"
#include "ctl/text.h"

/* Calls at once: enough to hide the way to the guest and back. */
#define AT_ONCE      8
#define DIRS_AT_ONCE 64

/* A file that is worth no call of its own; and how much of them goes into one. */
#define SMALL       (64u << 10)
#define BATCH_BYTES (512u << 10)
#define BATCH_FILES 256u

struct small {
	uint32_t node;
	uint32_t at, len; /* of the batch's bytes */
};

struct batch {
	struct task task;
	struct put *put;
	uint32_t n;
	struct small file[BATCH_FILES];
};

struct put {
	struct transfer *t;
	const char *path;    /* of the root, in the guest */
	struct below below;  /* of what is read */
	struct batch *batch; /* being filled; owned */
	char *bytes;         /* of its files: BATCH_BYTES + SMALL + 1; owned */
	uint32_t n_bytes;
	uint32_t *again, n_again; /* links whose place is taken; owned */
};

/* What is not a file of a batch. */
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

/* What ERR kept from node I, here. */
static void fail_local(struct put *put, uint32_t i, int err)
{
	char *path = local_path(put, i);

	transfer_fail(put->t, "%s: %s", path, strerror(-err));
	put->t->nodes.list[i].failed = true;
	free(path);
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
	int dir = below_dir(&put->below, i);
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
	below_init(&put->below, &t->nodes, fd);
	for (uint32_t i = 0; i < t->nodes.n && !err; i++) {
		if (t->nodes.list[i].type == NODE_DIR)
			err = scan_dir(put, i);
	}
	return err ? ctl_fail(t->ctl, "cannot read %s: %s", t->from, strerror(-err)) : 0;
}

/* -- directories and links --------------------------------------------------------------------- */

static struct step *step_new(struct put *put, uint32_t i)
{
	struct step *step = xcalloc(1, sizeof(*step));

	*step = (struct step){.task.in_fd = -1, .put = put, .node = i};
	return step;
}

/* Consumes STEP and PATH. */
static void step_start(struct step *step, const char *method, struct params *p, char *path)
{
	struct transfer *t = step->put->t;

	params_text(p, "path", path);
	params_text(p, "user", t->user);
	params_encode(p, flight_call(&t->flight, &step->task, method));
	if (flight_send(&t->flight, &step->task)) {
		transfer_fail(t, "%s: %s", path, client_why(t->ctl->client));
		t->nodes.list[step->node].failed = true;
		free(step);
	}
	free(path);
}

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
	struct step *step = step_new(put, i);
	struct params p = {0};

	step->task.done = mkdir_done;
	params_bool(&p, "parents", i == 0);
	/* What is in it has to be written yet. */
	params_uint(&p, "mode", put->t->nodes.list[i].mode | 0700);
	params_text(&p, "owner", put->t->owner);
	step_start(step, "fs.mkdir", &p, nodes_path(&put->t->nodes, i, put->path));
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

static void symlink_done(struct task *task, const struct val *error, const struct val *result)
{
	struct step *step = CONTAINER_OF(task, struct step, task);
	struct put *put = step->put;

	if (result)
		put->t->symlinks++;
	else if (text_is(val_get(error, "code"), "EEXIST"))
		put->again[put->n_again++] = step->node;
	else
		transfer_ended(put->t, 0, "", error);
	free(step);
}

static void put_symlink(struct put *put, uint32_t i)
{
	struct step *step = step_new(put, i);
	struct params p = {0};

	step->task.done = symlink_done;
	params_text(&p, "target", nodes_target(&put->t->nodes, i));
	params_text(&p, "owner", put->t->owner);
	step_start(step, "fs.symlink", &p, nodes_path(&put->t->nodes, i, put->path));
}

/* -- files ------------------------------------------------------------------------------------- */

/* One element of fs.write_files' answer, for FILE. */
static void small_done(struct put *put, const struct small *file, const struct val *item)
{
	struct transfer *t = put->t;
	const struct val *error = val_get(item, "error");
	uint64_t size;

	if (error) {
		transfer_ended(t, 0, "", error);
	} else if (!val_uint(val_get(item, "size"), &size) || size != file->len) {
		char *path = local_path(put, file->node);

		transfer_fail(t, "%s: the agent did not take all of it", path);
		free(path);
	} else {
		t->files++;
		t->bytes += file->len;
	}
	progress_add(&t->progress, file->len);
}

static void batch_done(struct task *task, const struct val *error, const struct val *result)
{
	struct batch *batch = CONTAINER_OF(task, struct batch, task);
	const struct val *files = val_get(result, "files");

	if (!result)
		transfer_ended(batch->put->t, 0, "", error);
	for (uint32_t i = 0; result && i < batch->n; i++) {
		bool there = val_type(files) == VAL_ARRAY && i < val_count(files);

		small_done(batch->put, &batch->file[i], there ? val_at(files, i) : NULL);
	}
	free(batch);
}

static void encode_small(const struct put *put, const struct small *file, struct enc *e)
{
	const struct transfer *t = put->t;
	const struct node *node = &t->nodes.list[file->node];
	char *path = nodes_path(&t->nodes, file->node, put->path);
	size_t mark = enc_map_begin(e);

	enc_kv_text(e, "path", path);
	enc_kv_bin(e, "data", put->bytes + file->at, file->len);
	enc_kv_uint(e, "mode", t->mode_given ? t->mode : node->mode);
	if (t->owner)
		enc_kv_text(e, "owner", t->owner);
	enc_map_end(e, mark, t->owner ? 4 : 3);
	free(path);
}

/* What was gathered goes. */
static void send_batch(struct put *put)
{
	struct transfer *t = put->t;
	struct batch *batch = put->batch;
	struct enc *e;
	size_t mark;

	if (!batch || flight_room(&t->flight, AT_ONCE))
		return;
	put->batch = NULL;
	put->n_bytes = 0;
	e = flight_call(&t->flight, &batch->task, "fs.write_files");
	mark = enc_map_begin(e);
	enc_str(e, "files");
	enc_array(e, batch->n);
	for (uint32_t i = 0; i < batch->n; i++)
		encode_small(put, &batch->file[i], e);
	if (t->user)
		enc_kv_text(e, "user", t->user);
	enc_map_end(e, mark, t->user ? 2 : 1);
	if (flight_send(&t->flight, &batch->task) == 0)
		return;
	transfer_fail(t, "%u files: %s", batch->n, client_why(t->ctl->client));
	free(batch);
}

/* As many bytes of FD as there are, up to SMALL + 1, behind the batch.  How many, or -errno. */
static ssize_t read_small(const struct put *put, int fd)
{
	char *bytes = put->bytes + put->n_bytes;
	size_t n = 0;

	while (n < SMALL + 1) {
		ssize_t got = read(fd, bytes + n, SMALL + 1 - n);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)MAX(got, 0);
	}
	return (ssize_t)n;
}

static void add_small(struct put *put, uint32_t i, uint32_t len)
{
	struct batch *batch = put->batch;

	if (!batch) {
		batch = put->batch = xcalloc(1, sizeof(*batch));
		batch->task = (struct task){.done = batch_done, .in_fd = -1};
		batch->put = put;
	}
	batch->file[batch->n++] = (struct small){.node = i, .at = put->n_bytes, .len = len};
	put->n_bytes += len;
	if (batch->n == BATCH_FILES || put->n_bytes >= BATCH_BYTES)
		send_batch(put);
}

/* Consumes FD. */
static void put_large(struct put *put, uint32_t i, int fd)
{
	struct transfer *t = put->t;

	if (flight_room(&t->flight, AT_ONCE)) {
		close(fd);
		return;
	}
	put_file(t, fd, nodes_path(&t->nodes, i, put->path), local_path(put, i),
		t->nodes.list[i].mode);
}

/* A descriptor of node I, which still is a file; or -errno. */
static int open_file(struct put *put, uint32_t i)
{
	const struct nodes *nodes = &put->t->nodes;
	int dir = below_dir(&put->below, nodes->list[i].parent);
	cleanup_fd int fd = -1;
	struct stat st;

	if (dir < 0)
		return dir;
	fd = openat(dir, nodes_name(nodes, i),
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

static void put_node_file(struct put *put, uint32_t i)
{
	int fd = open_file(put, i);
	ssize_t n = fd;

	if (fd >= 0 && put->t->nodes.list[i].size <= SMALL)
		n = read_small(put, fd);
	else if (fd >= 0)
		n = SMALL + 1;
	if (n < 0) {
		fail_local(put, i, (int)n);
	} else if (n <= SMALL) {
		add_small(put, i, (uint32_t)n);
	} else if (lseek(fd, 0, SEEK_SET) < 0) {
		fail_local(put, i, -errno);
	} else {
		put_large(put, i, take_fd(&fd));
	}
	fd_close(&fd);
}

static void put_node(struct put *put, uint32_t i)
{
	struct transfer *t = put->t;
	char *path;

	switch ((enum node_type)t->nodes.list[i].type) {
	case NODE_FILE:
		put_node_file(put, i);
		break;
	case NODE_SYMLINK:
		put_symlink(put, i);
		break;
	case NODE_OTHER:
		path = local_path(put, i);
		transfer_fail(t, "left out %s: neither a file nor a directory or link", path);
		free(path);
		break;
	case NODE_DIR:
	default:
		break;
	}
}

static void put_nodes(struct put *put)
{
	struct transfer *t = put->t;

	for (uint32_t i = 1; i < t->nodes.n && !flight_room(&t->flight, FLIGHT_MAX); i++) {
		if (!nodes_lost(&t->nodes, i))
			put_node(put, i);
	}
	send_batch(put);
}

/* -- what comes last --------------------------------------------------------------------------- */

/* Something is in the place of link I: another one is renamed over it. */
static int replace_symlink(struct put *put, uint32_t i)
{
	struct transfer *t = put->t;
	char *path = nodes_path(&t->nodes, i, put->path);
	char *draft = xasprintf(
		"%.*s/.guestctl.%d", (int)(strrchr(path, '/') - path), path, (int)getpid());
	struct params link = {0}, move = {0}, gone = {0};
	const struct val *result;
	int status;

	params_text(&link, "target", nodes_target(&t->nodes, i));
	params_text(&link, "path", draft);
	params_text(&link, "owner", t->owner);
	params_text(&link, "user", t->user);
	params_text(&move, "from", draft);
	params_text(&move, "to", path);
	params_text(&move, "user", t->user);
	params_text(&gone, "path", draft);
	params_text(&gone, "user", t->user);
	status = ask(t->ctl, "fs.symlink", &link, &result);
	if (!status) {
		status = ask(t->ctl, "fs.move", &move, &result);
		if (status && status != STATUS_UNREACHABLE)
			(void)!ask(t->ctl, "fs.delete", &gone, &result);
	}
	t->symlinks += !status;
	t->failed += status == STATUS_FAILED;
	free(draft);
	free(path);
	return status_final(status) ? status : 0;
}

/* Directories that their owner may not write or enter: only now, as all is in them. */
static int set_mode(struct put *put, uint32_t i)
{
	struct transfer *t = put->t;
	const struct node *node = &t->nodes.list[i];
	char *path = nodes_path(&t->nodes, i, put->path);
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_uint(&p, "mode", node->mode);
	params_text(&p, "user", t->user);
	status = ask(t->ctl, "fs.chmod", &p, &result);
	t->failed += status == STATUS_FAILED;
	free(path);
	return status_final(status) ? status : 0;
}

static int finish(struct put *put)
{
	const struct nodes *nodes = &put->t->nodes;
	int status = 0;

	for (uint32_t i = 0; i < put->n_again && !status; i++)
		status = replace_symlink(put, put->again[i]);
	for (uint32_t i = nodes->n; i-- > 0 && !status;) {
		const struct node *node = &nodes->list[i];

		if (node->type == NODE_DIR && node->made && (node->mode & 0700) != 0700)
			status = set_mode(put, i);
	}
	return status;
}

int put_tree(struct transfer *t, const char *path)
{
	struct put put = {.t = t, .path = path};
	int status = scan(&put);

	put.bytes = xmalloc(BATCH_BYTES + SMALL + 1);
	put.again = xcalloc(t->nodes.n, sizeof(*put.again));
	if (!status)
		status = transfer_begin(t, t->from, t->nodes.bytes);
	if (!status) {
		put_dirs(&put);
		put_nodes(&put);
		status = transfer_end(t);
	}
	if (!status)
		status = finish(&put);
	below_fini(&put.below);
	free(put.batch);
	free(put.bytes);
	free(put.again);
	return status;
}
