/*
 * fs/hash.c - fs.hash: the SHA-256 of a file, or of all that is below a directory
 *
 * Of a directory it is that of its manifest (fs/manifest.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/entry.h"
#include "fs/manifest.h"
#include "fs/path.h"
#include "fs/walk.h"
#include "guestd/method.h"
#include "guestd/sha256.h"
#include "guestd/steps.h"

#define READ_BYTES (128u << 10)

struct hash_args {
	struct who who;
	const char *path;
};

static const struct arg hash_table[] = {
	ARG_INCLUDE(struct hash_args, who, user_table),
	ARG(struct hash_args, path, .required = true, .check = arg_abs_path),
	ARG_END,
};

struct hash {
	struct fs_walk walk;
	struct fs_walk_item item; /* the entry that is being read */
	struct entry entry;
	struct sha256 manifest, content;
	uint64_t size, content_size;
	int fd; /* of the file that is being read, while `reading` */
	bool begun, reading, is_tree;
	char *buf;
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int start_reading(struct hash *h, int dir, const char *name, int flags)
{
	h->fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	if (h->fd < 0)
		return -errno;
	h->reading = true;
	h->content_size = 0;
	sha256_begin(&h->content);
	return 0;
}

/* STEP_MORE, 0 at the end of the file, or -errno. */
static int read_some(struct hash *h)
{
	ssize_t n = read(h->fd, h->buf, READ_BYTES);

	if (n < 0 && errno == EINTR)
		return STEP_MORE;
	if (n > 0) {
		sha256_add(&h->content, h->buf, (size_t)n);
		h->content_size += (uint64_t)n;
		return STEP_MORE;
	}
	return n < 0 ? -errno : 0;
}

static void stop_reading(struct hash *h)
{
	if (h->reading)
		fd_close(&h->fd);
	h->reading = false;
}

/* The path itself may be a link. */
static int begin(struct hash *h, const struct hash_args *a, struct work *w)
{
	struct stat st;
	struct path p;
	int err = path_open(a->path, &p);

	h->begun = true;
	h->buf = malloc(READ_BYTES);
	if (!err && !h->buf)
		err = -ENOMEM;
	if (!err && fstatat(p.dir, p.name, &st, 0) < 0)
		err = -errno;
	if (!err && S_ISREG(st.st_mode))
		err = start_reading(h, p.dir, p.name, 0);
	else if (!err && !S_ISDIR(st.st_mode))
		err = failure_set(&w->failure, -EINVAL, NULL, a->path,
			"%.200s is neither a regular file nor a directory", a->path);
	path_close(&p);
	if (!err && S_ISDIR(st.st_mode)) {
		h->is_tree = true;
		sha256_begin(&h->manifest);
		err = fs_walk_start(&h->walk, a->path, FS_WALK_FOLLOW_ROOT, canceled, w);
	}
	if (err && err != w->failure.err)
		work_fail(w, err, a->path, "cannot read %s", a->path);
	return err;
}

/* The line of h->item, and of h->content where that is a file. */
static void add_line(struct hash *h)
{
	const struct entry *e = &h->entry;
	char hex[SHA256_HEX] = "";

	if (S_ISREG(e->st.st_mode)) {
		sha256_hex(&h->content, hex);
		h->size += h->content_size;
	}
	manifest_add(&h->manifest, &e->st, h->item.below, e->has_target ? e->target : NULL,
		h->content_size, hex);
}

/* The next entry: STEP_MORE, 0 at the end, or an error: a part left out would change the hash. */
static int next_entry(struct hash *h, struct work *w)
{
	const struct fs_walk_item *item = &h->item;
	int err = fs_walk_next(&h->walk, &h->item);

	if (err <= 0)
		return err;
	if (item->what == FS_WALK_LEAVE)
		return STEP_MORE;
	if (item->what == FS_WALK_FAILED)
		return work_fail(w, item->err, item->path, "cannot read %s", item->path);
	err = entry_read(item->dir, item->name, false, &h->entry);
	if (!err && S_ISREG(h->entry.st.st_mode))
		err = start_reading(h, item->dir, item->name, O_NOFOLLOW);
	else if (!err)
		add_line(h);
	if (err == -ENOENT) {
		fs_walk_skip(&h->walk);
		err = 0;
	}
	return err ? work_fail(w, err, item->path, "cannot read %s", item->path) : STEP_MORE;
}

static int hash_some(struct hash *h, const struct hash_args *a, struct work *w)
{
	const char *path = h->is_tree ? h->item.path : a->path;
	int err;

	if (!h->reading)
		return next_entry(h, w);
	err = read_some(h);
	if (err == STEP_MORE)
		return err;
	stop_reading(h);
	if (err)
		return work_fail(w, err, path, "cannot read %s", path);
	if (!h->is_tree)
		return 0;
	add_line(h);
	return STEP_MORE;
}

static int hash_step(struct work *w, struct step *s)
{
	const struct hash_args *a = w->args;
	struct hash *h = w->state;
	int err = h->begun ? 0 : begin(h, a, w);
	char hex[SHA256_HEX];

	if (err)
		return err;
	do {
		err = hash_some(h, a, w);
	} while (err == STEP_MORE && !step_due(s));
	if (err)
		return err;
	sha256_hex(h->is_tree ? &h->manifest : &h->content, hex);
	enc_map_end(&w->result, enc_map_begin(&w->result), 2);
	enc_kv_str(&w->result, "sha256", hex);
	enc_kv_uint(&w->result, "size", h->is_tree ? h->size : h->content_size);
	return 0;
}

static void hash_end(struct work *w)
{
	struct hash *h = w->state;

	stop_reading(h);
	fs_walk_fini(&h->walk);
	free(h->buf);
}

static const struct steps hash_steps = {
	.state_size = sizeof(struct hash),
	.step = hash_step,
	.end = hash_end,
};

METHOD(fs_hash) = {
	.name = "fs.hash",
	.doc = "The SHA-256 of a file; of a directory, that of its manifest, and the bytes of all files in it.",
	.args = hash_table,
	.args_size = sizeof(struct hash_args),
	.steps = &hash_steps,
	WHO(struct hash_args),
};
