/* fs/walk.c - all that lies below a directory, in a stable order */
#include "fs/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/path.h"
#include "proto/err.h"
#include "proto/limits.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)

/* One getdents64(2). */
#define DENTS_BYTES (32u << 10)

/* Names of one directory: each its type (DT_*), its bytes and a NUL, sorted by the bytes. */
struct names {
	char *text;
	uint32_t *at; /* where each begins in `text` */
	size_t text_len, text_size, n, at_size;
	bool more; /* there are names behind the last one */
};

struct fs_walk_level {
	int fd; /* -1: closed for now */
	dev_t dev;
	ino_t ino;
	size_t path_len;
	struct names names;
	size_t next;
};

/* Of all walks of the agent. */
static atomic_size_t names_bytes;

static size_t names_size(const struct names *n)
{
	return n->text_size + n->at_size * sizeof(*n->at);
}

static void names_free(struct names *n)
{
	atomic_fetch_sub(&names_bytes, names_size(n));
	free(n->text);
	free(n->at);
	*n = (struct names){0};
}

static int resize(struct names *n, size_t text_size, size_t at_size)
{
	char *text = realloc(n->text, text_size);
	uint32_t *at;

	if (!text)
		return -ENOMEM;
	n->text = text;
	at = realloc(n->at, at_size * sizeof(*at));
	if (!at)
		return -ENOMEM;
	n->at = at;
	atomic_fetch_add(&names_bytes, text_size - n->text_size); /* modulo 2^64 */
	atomic_fetch_add(&names_bytes, (at_size - n->at_size) * sizeof(*at));
	n->text_size = text_size;
	n->at_size = at_size;
	return 0;
}

/* What one directory may take of the memory, given how much is taken. */
static size_t names_max(void)
{
	size_t used = atomic_load(&names_bytes);
	size_t left = used < WALK_NAMES_TOTAL ? WALK_NAMES_TOTAL - used : 0;

	return MAX(MIN(left / 4, WALK_NAMES_MAX), WALK_NAMES_MIN);
}

static const char *name_at(const struct names *n, size_t i)
{
	ASSERT(n->at && i < n->n);
	return n->text + n->at[i] + 1;
}

static int compare(const void *a, const void *b, void *text)
{
	const uint32_t *x = a, *y = b;

	return strcmp((const char *)text + *x + 1, (const char *)text + *y + 1);
}

static void sort(struct names *n)
{
	if (n->n)
		qsort_r(n->at, n->n, sizeof(*n->at), compare, n->text);
}

static int add(struct names *n, unsigned char type, const char *name, size_t len)
{
	if (n->text_size - n->text_len < len + 2 || n->n == n->at_size) {
		size_t text_size = MAX(n->text_size, 256), at_size = MAX(n->at_size, 8);
		int err;

		while (text_size - n->text_len < len + 2)
			text_size *= 2;
		if (n->n == at_size)
			at_size *= 2;
		err = resize(n, text_size, at_size);
		if (err)
			return err;
	}
	n->at[n->n++] = (uint32_t)n->text_len;
	n->text[n->text_len] = (char)type;
	memcpy(n->text + n->text_len + 1, name, len + 1);
	n->text_len += len + 2;
	return 0;
}

/* Keeps the first half in the order of the names: the others come when the directory is read again. */
static int drop_half(struct names *n)
{
	struct names half = {.more = true};
	int err = 0;

	ASSERT(n->at && n->n > 1);
	sort(n);
	for (size_t i = 0; !err && i < (n->n + 1) / 2; i++) {
		const char *name = name_at(n, i);

		err = add(&half, (unsigned char)name[-1], name, strlen(name));
	}
	if (err) {
		names_free(&half);
		return err;
	}
	ASSERT(half.at);
	names_free(n);
	*n = half;
	return 0;
}

struct reading {
	struct names names;
	const char *after; /* only names behind this one; NULL: all */
	size_t max;
	size_t last; /* with names.more, where the last name stands: names from it on are left out */
};

static int take(struct reading *r, const struct dirent64 *d)
{
	struct names *n = &r->names;
	size_t len = strlen(d->d_name);
	int err;

	if (r->after && strcmp(d->d_name, r->after) <= 0)
		return 0;
	if (n->more && strcmp(d->d_name, n->text + r->last + 1) >= 0)
		return 0;
	/* Two at least: one that is kept, and one that goes. */
	if (n->text_len + len + 2 + (n->n + 1) * sizeof(*n->at) > r->max && n->n > 1) {
		err = drop_half(n);
		if (err)
			return err;
		r->last = n->at[n->n - 1];
		if (strcmp(d->d_name, n->text + r->last + 1) >= 0)
			return 0;
	}
	return add(n, d->d_type, d->d_name, len);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static bool canceled(const struct fs_walk *w)
{
	return w->canceled && w->canceled(w->ctx);
}

/*
 * The names in FD behind AFTER, as many as there is memory for.  0 or -errno; then those up to the
 * error are there all the same.
 */
static int read_names(const struct fs_walk *w, int fd, const char *after, struct names *out)
{
	struct reading r = {.after = after, .max = names_max()};
	char *dents = malloc(DENTS_BYTES);
	int err = dents ? 0 : -ENOMEM;

	while (!err) {
		ssize_t len = getdents64(fd, (void *)dents, DENTS_BYTES);
		const struct dirent64 *d;

		if (len <= 0) {
			err = len < 0 ? -errno : 0;
			break;
		}
		for (ssize_t at = 0; !err && at < len; at += d->d_reclen) {
			d = (const void *)(dents + at);
			if (!is_dots(d->d_name))
				err = take(&r, d);
		}
		if (!err && canceled(w))
			err = -ECANCELED;
	}
	free(dents);
	sort(&r.names);
	if (r.names.n)
		(void)!resize(&r.names, r.names.text_len, r.names.n); /* smaller: cannot matter */
	*out = r.names;
	return err;
}

/* Levels */

static struct fs_walk_level *top(const struct fs_walk *w)
{
	return &w->level[w->n_levels - 1];
}

static void set_path_len(struct fs_walk *w, size_t len)
{
	w->path.tail = w->path.head + len + 1;
	buf_bytes(&w->path)[len] = '\0';
}

static size_t path_len(const struct fs_walk *w)
{
	return buf_len(&w->path) - 1;
}

static int append(struct fs_walk *w, const char *name)
{
	size_t len = path_len(w), n = strlen(name);
	char *p = buf_reserve(&w->path, n + 1);

	if (!p)
		return -ENOMEM;
	p = buf_bytes(&w->path) + len;
	*p = '/';
	memcpy(p + 1, name, n + 1);
	buf_commit(&w->path, n + 1);
	return 0;
}

static int stamp(struct fs_walk_level *l)
{
	struct stat st;

	if (fstat(l->fd, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static bool is_level(int fd, const struct fs_walk_level *l)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

/* Closes all but the root's and the KEEP innermost. */
static bool close_some(struct fs_walk *w, size_t keep)
{
	bool closed = false;

	for (size_t i = w->n_levels - MIN(keep, w->n_levels); i-- > 1 && w->level[i].fd >= 0;) {
		fd_close(&w->level[i].fd);
		closed = true;
	}
	return closed;
}

/* Takes FD over, whose path is w->path. */
static int push(struct fs_walk *w, int fd)
{
	struct fs_walk_level *l;
	int err;

	if (w->n_levels == w->levels_size) {
		size_t size = MAX(2 * w->levels_size, 16);
		struct fs_walk_level *level = realloc(w->level, size * sizeof(*level));

		if (!level) {
			fd_close(&fd);
			return -ENOMEM;
		}
		w->level = level;
		w->levels_size = size;
	}
	l = &w->level[w->n_levels];
	*l = (struct fs_walk_level){.fd = fd, .path_len = path_len(w)};
	err = stamp(l);
	if (err) {
		fd_close(&l->fd);
		return err;
	}
	w->n_levels++;
	close_some(w, FS_WALK_HELD - 1);
	w->failed = read_names(w, l->fd, NULL, &l->names);
	return 0;
}

static void drop_top(struct fs_walk *w)
{
	struct fs_walk_level *l = top(w);

	fd_close(&l->fd);
	names_free(&l->names);
	w->n_levels--;
}

/* The directory at hand, in the one above it. */
static int open_entry(struct fs_walk *w)
{
	const char *name = strrchr(buf_bytes(&w->path), '/') + 1;
	int fd;

	if (w->n_levels > WALK_DEPTH_MAX)
		return ERR_LIMIT;
	fd = openat(top(w)->fd, name, OPEN_DIR | O_NOFOLLOW);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && close_some(w, 1))
		fd = openat(top(w)->fd, name, OPEN_DIR | O_NOFOLLOW);
	return fd < 0 ? -errno : push(w, fd);
}

/* From the innermost directory that is open down to the one at hand again, the way that was noted. */
static int descend(struct fs_walk *w)
{
	const char *path = buf_bytes(&w->path);
	size_t i = w->n_levels - 1;
	int fd;

	while (w->level[i].fd < 0)
		i--;
	fd = fcntl(w->level[i].fd, F_DUPFD_CLOEXEC, 0);
	while (fd >= 0 && ++i < w->n_levels) {
		size_t start = w->level[i - 1].path_len + 1;
		char name[PATH_MAX];
		int next;

		memcpy(name, path + start, w->level[i].path_len - start);
		name[w->level[i].path_len - start] = '\0';
		next = openat(fd, name, OPEN_DIR | O_NOFOLLOW);
		fd_close(&fd);
		fd = next;
		if (fd >= 0 && !is_level(fd, &w->level[i])) {
			fd_close(&fd);
			errno = ENOENT;
		}
		if (canceled(w) && fd >= 0) {
			fd_close(&fd);
			errno = ECANCELED;
		}
	}
	return fd < 0 ? -errno : fd;
}

/*
 * Leaves the innermost directory, for the one around it: through "..", or where somebody moved
 * either of them, from above.  0, or why that is not to be reached any more.
 */
static int pop(struct fs_walk *w)
{
	struct fs_walk_level *l = top(w), *up = l - 1;
	int fd = -1;

	if (up->fd < 0 && l->fd >= 0)
		fd = openat(l->fd, "..", OPEN_DIR);
	drop_top(w);
	if (up->fd >= 0)
		return 0;
	if (fd >= 0 && !is_level(fd, up))
		fd_close(&fd);
	if (fd < 0)
		fd = descend(w);
	up->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

int fs_walk_start(struct fs_walk *w, const char *root, unsigned flags,
	bool (*canceled_fn)(const void *ctx), const void *ctx)
{
	bool follow = flags & FS_WALK_FOLLOW_ROOT;
	char name[PATH_MAX];
	struct path p;
	int err = follow ? path_open(root, &p) : path_open_plain(root, &p, name), fd = -1;

	if (!err) {
		fd = openat(p.dir, p.name, OPEN_DIR | (follow ? 0 : O_NOFOLLOW));
		err = fd < 0 ? -errno : 0;
	}
	path_close(&p);
	return err ? err : fs_walk_start_fd(w, fd, root, canceled_fn, ctx);
}

int fs_walk_start_fd(struct fs_walk *w, int fd, const char *root,
	bool (*canceled_fn)(const void *ctx), const void *ctx)
{
	size_t len = strlen(root);

	w->canceled = canceled_fn;
	w->ctx = ctx;
	while (len && root[len - 1] == '/')
		len--;
	w->root_len = len;
	buf_init(&w->path, len + 1 + (size_t)(WALK_DEPTH_MAX + 1) * (NAME_MAX + 1));
	if (buf_add(&w->path, root, len) < 0 || buf_add(&w->path, "", 1) < 0) {
		fd_close(&fd);
		return -ENOMEM;
	}
	return push(w, fd);
}

static void fill(const struct fs_walk *w, enum fs_walk_what what, struct fs_walk_item *item)
{
	const char *path = buf_bytes(&w->path), *below = path + w->root_len;

	*item = (struct fs_walk_item){
		.what = what,
		.err = what == FS_WALK_FAILED ? w->failed : 0,
		.dir = what == FS_WALK_FAILED ? -1 : top(w)->fd,
		.name = *below ? strrchr(below, '/') + 1 : below,
		.path = *path ? path : "/",
		.below = *below ? below + 1 : below,
		.type = w->type,
	};
}

static int tell_failed(struct fs_walk *w, struct fs_walk_item *item)
{
	w->type = DT_DIR;
	fill(w, FS_WALK_FAILED, item);
	item->depth = w->leave ? w->n_levels : w->n_levels - 1;
	w->failed = 0;
	return 1;
}

static int tell_leave(struct fs_walk *w, struct fs_walk_item *item)
{
	w->type = DT_DIR;
	w->leave = false;
	fill(w, FS_WALK_LEAVE, item);
	item->depth = w->n_levels;
	return 1;
}

static unsigned char type_of(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return DT_UNKNOWN;
	return IFTODT(st.st_mode);
}

static int tell_entry(struct fs_walk *w, struct fs_walk_item *item)
{
	struct fs_walk_level *l = top(w);
	const char *name = name_at(&l->names, l->next++);

	w->type = (unsigned char)name[-1];
	if (w->type == DT_UNKNOWN)
		w->type = type_of(l->fd, name);
	if (append(w, name) < 0) { /* there is nothing that we could tell it with */
		w->failed = -ENOMEM;
		return tell_failed(w, item);
	}
	w->enter = w->type == DT_DIR;
	fill(w, FS_WALK_ENTRY, item);
	item->depth = w->n_levels;
	return 1;
}

/* The names behind those that are done. */
static void read_on(struct fs_walk *w)
{
	struct fs_walk_level *l = top(w);
	struct names next = {0};

	w->failed = lseek(l->fd, 0, SEEK_SET) < 0 ? -errno : 0;
	if (!w->failed)
		w->failed = read_names(w, l->fd, name_at(&l->names, l->names.n - 1), &next);
	names_free(&l->names);
	l->names = next;
	l->next = 0;
}

/* 0 where there was only the root left. */
static int go_up(struct fs_walk *w)
{
	if (w->n_levels == 1) {
		fs_walk_fini(w);
		return 0;
	}
	w->failed = pop(w);
	if (w->failed) { /* it cannot be told as left, and of the one around it nothing more is seen */
		names_free(&top(w)->names);
		top(w)->next = 0;
		set_path_len(w, top(w)->path_len);
	} else {
		w->leave = true;
	}
	return 1;
}

int fs_walk_next(struct fs_walk *w, struct fs_walk_item *item)
{
	if (w->n_levels && w->enter) {
		w->enter = false;
		w->failed = open_entry(w);
		w->leave = w->failed != 0;
		if (w->failed == -ENOENT) /* it is gone: nothing that a caller would miss */
			w->failed = 0;
	}
	while (w->n_levels) {
		struct fs_walk_level *l = top(w);

		if (w->failed == -ECANCELED || canceled(w))
			return -ECANCELED;
		if (w->failed)
			return tell_failed(w, item);
		if (w->leave)
			return tell_leave(w, item);
		set_path_len(w, l->path_len);
		if (l->next < l->names.n)
			return tell_entry(w, item);
		if (l->names.more)
			read_on(w);
		else if (!go_up(w))
			break;
	}
	return 0;
}

void fs_walk_skip(struct fs_walk *w)
{
	w->enter = false;
}

void fs_walk_fini(struct fs_walk *w)
{
	while (w->n_levels)
		drop_top(w);
	free(w->level);
	w->level = NULL;
	w->levels_size = 0;
	buf_fini(&w->path);
}
