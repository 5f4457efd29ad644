/* tar/pack.c - a tree as the bytes of a pax archive */
#include "tar/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestd/users.h"
#include "proto/limits.h"
#include "tar/pax.h"
#include "tar/xattrs.h"

/* Headers with their records, and the map of a sparse file. */
#define HEAD_MAX (4 * TAR_RECORDS_MAX)

/* How st_blocks counts, whatever the block size (stat(2)). */
#define STAT_BLOCK 512

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

int pack_begin(struct pack *p, struct work *w, const struct pack_options *options)
{
	p->w = w;
	p->options = *options;
	p->fd = -1;
	buf_init(&p->head, HEAD_MAX);
	buf_init(&p->records, TAR_RECORDS_MAX / 2);
	skipped_begin(&p->skipped, w);
	if (options->names)
		p->users = users_hold();
	return members_begin(
		&p->members, w, options->members, options->base, options->one_file_system);
}

/* One entry */

static struct timespec time_of(const struct pack *p, const struct stat *st)
{
	int64_t us = p->options.mtime_us, s = us / 1000000;

	if (!p->options.reproducible)
		return st->st_mtim;
	s -= us % 1000000 < 0;
	return (struct timespec){.tv_sec = s, .tv_nsec = (us - s * 1000000) * 1000};
}

static void set_owner(const struct pack *p, const struct stat *st, struct pax_entry *e)
{
	if (p->options.reproducible && !p->options.keep_owner)
		return;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	if (p->users) {
		e->user = users_user_name(p->users, st->st_uid);
		e->group = users_group_name(p->users, st->st_gid);
	}
}

static void add_xattrs(struct pack *p, struct xattrs_of of, const struct stat *st, const char *path)
{
	int err;

	if (p->has_plain_dev && st->st_dev == p->plain_dev)
		return;
	err = xattrs_records(of, p->options.reproducible, &p->records);
	if (err == -EOPNOTSUPP) {
		p->plain_dev = st->st_dev;
		p->has_plain_dev = true;
	} else if (err == -E2BIG) {
		skipped_tell(&p->skipped, path, err,
			"it is stored without some of its extended attributes: they are too long");
	} else if (err) {
		skipped_tell(&p->skipped, path, err,
			"it is stored without some of its extended attributes: they cannot be read");
	}
}

/* Into p->head.  FD: of what it is, open or held. */
static int add_header(struct pack *p, struct xattrs_of of, const struct stat *st,
	const struct members_item *item, struct pax_entry *e)
{
	const char *first = NULL;
	int err;

	e->name = item->member;
	e->mode = st->st_mode;
	e->mtime = time_of(p, st);
	e->records = &p->records;
	set_owner(p, st, e);
	/* With a longer name it might not get an entry, which others could be links to. */
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 && strlen(item->member) < TAR_RECORDS_MAX / 4)
		first = links_find(&p->links, st, item->member);
	if (first) { /* attributes came with the first name */
		e->type = PAX_LINK;
		e->target = first;
		e->size = 0;
		e->sparse = false;
		e->major = e->minor = 0;
	} else {
		add_xattrs(p, of, st, item->path);
	}
	err = pax_header(&p->head, e);
	buf_clear(&p->records);
	if (err)
		return -E2BIG; /* more than anybody would read */
	p->files += !S_ISDIR(st->st_mode);
	return 0;
}

/* What is told of an entry that cannot be stored, or not as it was. */
static void tell_changed(struct pack *p, const char *why)
{
	if (!p->told)
		skipped_tell(&p->skipped, p->path, ERR_BUSY, why);
	p->told = true;
}

static void next_piece(struct pack *p)
{
	const struct piece *piece = &p->pieces.piece[p->piece++];

	/* It tells what a later read fails with: past the end there is nothing. */
	(void)!lseek(p->fd, (off_t)piece->at, SEEK_SET);
	p->left = piece->len;
}

/* A file of the size that it has now. */
static int begin_contents(struct pack *p, const struct members_item *item, int fd)
{
	p->path = strdup(item->path);
	if (!p->path)
		return -ENOMEM;
	p->fd = fd;
	p->told = false;
	p->piece = 0;
	p->left = 0;
	p->bytes += (uint64_t)p->st.st_size;
	if (p->sparse) {
		p->zeros = pax_padding(p->pieces.bytes);
		if (p->pieces.n)
			next_piece(p);
	} else {
		p->left = (uint64_t)p->st.st_size;
		p->zeros = pax_padding(p->left);
	}
	return 0;
}

static int find_holes(struct pack *p, int fd)
{
	const struct stat *st = &p->st;
	int err;

	p->sparse = false;
	if (p->options.reproducible ||
		(uint64_t)st->st_blocks * STAT_BLOCK >= (uint64_t)st->st_size)
		return 0;
	err = pieces_read(&p->pieces, fd, (uint64_t)st->st_size, canceled, p->w);
	p->sparse = !err;
	/* Looking for them has moved it. */
	return err != -ENODATA ? err : lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int open_file(const struct members_item *item)
{
	int flags =
		O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (item->nofollow ? O_NOFOLLOW : 0);
	/* Reading a tree should leave no trace in it; only its owner may ask for that. */
	int fd = openat(item->dir, item->name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(item->dir, item->name, flags);
	return fd < 0 ? -errno : fd;
}

static int add_file(struct pack *p, const struct members_item *item)
{
	cleanup_fd int fd = open_file(item);
	struct pax_entry e = {.type = PAX_FILE};
	struct stat *st = &p->st;
	struct buf map;
	int err;

	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -ESTALE; /* it was one a moment ago */
	err = find_holes(p, fd);
	if (err)
		return err;
	buf_init(&map, HEAD_MAX / 2);
	e.size = (uint64_t)st->st_size;
	if (p->sparse) {
		err = pieces_map(&p->pieces, e.size, &map);
		e.sparse = true;
		e.real_size = e.size;
		e.size = buf_len(&map) + p->pieces.bytes;
	}
	if (!err)
		err = add_header(p, (struct xattrs_of){.fd = fd}, st, item, &e);
	if (!err && e.type == PAX_FILE) {
		if (buf_len(&map))
			err = buf_add(&p->head, buf_bytes(&map), buf_len(&map));
		ASSERT(!err); /* there is room for both */
		err = begin_contents(p, item, take_fd(&fd));
	}
	buf_fini(&map);
	return err;
}

static int add_dir(struct pack *p, const struct members_item *item)
{
	cleanup_fd int fd = openat(item->dir, item->name,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK |
			(item->nofollow ? O_NOFOLLOW : 0));
	struct xattrs_of of = {.fd = fd};
	struct pax_entry e = {.type = PAX_DIR};
	struct stat st;

	/* It has a name and attributes, even where nobody may look into it: the walk tells that. */
	if (fd < 0 && fstatat(item->dir, item->name, &st, item->nofollow) < 0)
		return -errno;
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ESTALE;
	if (fd < 0) {
		fd = openat(item->dir, item->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		of = (struct xattrs_of){.fd = fd, .held = true};
	}
	return add_header(p, of, &st, item, &e);
}

/* A link, a fifo, a device. */
static int add_special(struct pack *p, const struct members_item *item)
{
	cleanup_fd int fd = openat(
		item->dir, item->name, O_PATH | O_CLOEXEC | (item->nofollow ? O_NOFOLLOW : 0));
	struct pax_entry e = {.major = 0};
	struct stat st;
	char *target = NULL;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFLNK:
		e.type = PAX_SYMLINK;
		target = calloc(1, PATH_MAX);
		if (!target)
			return -ENOMEM;
		if (readlinkat(fd, "", target, PATH_MAX - 1) < 0) {
			err = -errno;
			free(target);
			return err;
		}
		e.target = target;
		break;
	case S_IFIFO:
		e.type = PAX_FIFO;
		break;
	case S_IFCHR:
	case S_IFBLK:
		e.type = S_ISCHR(st.st_mode) ? PAX_CHAR : PAX_BLOCK_DEVICE;
		e.major = major(st.st_rdev);
		e.minor = minor(st.st_rdev);
		break;
	case S_IFSOCK:
		skipped_tell(&p->skipped, item->path, ERR_UNSUPPORTED,
			"a socket cannot be stored in an archive");
		return 0;
	default:
		return -ESTALE;
	}
	err = add_header(p, (struct xattrs_of){.fd = fd, .held = true}, &st, item, &e);
	free(target);
	return err;
}

static int add_entry(struct pack *p, const struct members_item *item)
{
	if (item->type == DT_REG)
		return add_file(p, item);
	if (item->type == DT_DIR)
		return add_dir(p, item);
	return add_special(p, item);
}

static void end_file(struct pack *p)
{
	fd_close(&p->fd);
	free(p->path);
	p->path = NULL;
	pieces_free(&p->pieces);
}

/* The next one's header into p->head.  STEP_MORE, 0 when there is none, or an error. */
static int next_entry(struct pack *p)
{
	struct members_item item;
	char *end;
	int err = members_next(&p->members, &item);

	if (err < 0 || err > 1)
		return err;
	if (err == 0) {
		end = buf_reserve(&p->head, PAX_END);
		if (!end)
			return -ENOMEM;
		memset(end, 0, PAX_END);
		buf_commit(&p->head, PAX_END);
		return 0;
	}
	err = item.err ? item.err : add_entry(p, &item);
	if (err == -ECANCELED)
		return err;
	if (err == -ESTALE || err == -ELOOP || err == -ENOTDIR)
		skipped_tell(&p->skipped, item.path, ERR_BUSY,
			"something else took its place while it was read");
	else if (err == -ENOENT) /* it went between the look at its directory and the look at it */
		skipped_tell(&p->skipped, item.path, err, "it was gone before it could be read");
	else if (err)
		skipped_add(&p->skipped, item.path, err);
	/* What has no entry has none below it either. */
	if (err && !item.err && item.type == DT_DIR)
		members_skip(&p->members);
	return STEP_MORE;
}

/* Contents */

static size_t take_head(struct pack *p, char *out, size_t len)
{
	size_t n = MIN(len, buf_len(&p->head));

	memcpy(out, buf_bytes(&p->head), n);
	buf_consume(&p->head, n);
	return n;
}

static size_t fill_zeros(char *out, size_t len, uint64_t *left)
{
	size_t n = (size_t)MIN(len, *left);

	memset(out, 0, n);
	*left -= n;
	return n;
}

/* All data is there: is the file still as it was? */
static void end_data(struct pack *p, bool one_read, bool grew)
{
	struct stat st;

	if (grew) {
		tell_changed(
			p, "it grew while it was read: it is stored as long as it was at first");
		return;
	}
	if (!one_read && fstat(p->fd, &st) == 0 &&
		(st.st_size != p->st.st_size || st.st_mtim.tv_sec != p->st.st_mtim.tv_sec ||
			st.st_mtim.tv_nsec != p->st.st_mtim.tv_nsec))
		tell_changed(p,
			"it changed while it was read: it is stored as it was found, piece by piece");
}

/*
 * Reads on, one byte more than there should be where that costs nothing: so one call tells the data and
 * that it ends there.
 */
static size_t read_data(struct pack *p, char *out, size_t len)
{
	bool whole = !p->sparse && p->left < len;
	ssize_t n = read(p->fd, out, whole ? (size_t)p->left + 1 : (size_t)MIN(len, p->left));
	bool grew;

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		if (n < 0 && !p->told) {
			skipped_tell(&p->skipped, p->path, -errno,
				"it could not be read to its end: the rest is stored as zeros");
			p->told = true;
		}
		tell_changed(p, "it shrank while it was read: the rest is stored as zeros");
		return fill_zeros(out, len, &p->left);
	}
	grew = (uint64_t)n > p->left;
	n = (ssize_t)MIN((uint64_t)n, p->left);
	p->left -= (uint64_t)n;
	if (!p->left && (!p->sparse || p->piece == p->pieces.n))
		end_data(p, whole && n == p->st.st_size, grew);
	return (size_t)n;
}

/* Is there more of it than its size says?  Asked of what is empty: the kernel's own files. */
static void look_behind(struct pack *p)
{
	char byte;

	if (!p->st.st_size && read(p->fd, &byte, 1) == 1)
		tell_changed(
			p, "it is no plain file, or grew while it was read: it is stored empty");
}

/* Bytes of the file at hand; where none are left it is closed. */
static size_t take_file(struct pack *p, char *out, size_t len)
{
	uint64_t zeros = p->zeros;
	size_t n;

	if (p->left)
		return read_data(p, out, len);
	if (p->sparse && p->piece < p->pieces.n) {
		next_piece(p);
		return 0;
	}
	n = fill_zeros(out, len, &zeros);
	p->zeros = (size_t)zeros;
	if (!zeros) {
		look_behind(p);
		end_file(p);
	}
	return n;
}

int pack_fill(struct pack *p, struct step *s, char *out, size_t len, size_t *used)
{
	int err = STEP_MORE;

	*used = 0;
	while (*used < len && err == STEP_MORE) {
		if (buf_len(&p->head)) {
			*used += take_head(p, out + *used, len - *used);
		} else if (p->ended) {
			return 0;
		} else if (p->fd >= 0) {
			*used += take_file(p, out + *used, len - *used);
		} else {
			err = next_entry(p);
			p->ended = err == 0;
			if (!err)
				err = STEP_MORE;
		}
		if (step_due(s))
			break;
	}
	return err;
}

void pack_fini(struct pack *p)
{
	if (!p->w)
		return;
	end_file(p);
	members_fini(&p->members);
	links_fini(&p->links);
	skipped_fini(&p->skipped);
	buf_fini(&p->head);
	buf_fini(&p->records);
	if (p->users)
		users_release(p->users);
}
