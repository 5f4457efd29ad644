/*
 * fs/watch_fanotify.c - changes as fanotify(7) tells of them: of whole file systems
 *
 * A directory is named by its file handle; the key is a digest of that.  Events of one process about
 * one name are merged by the kernel into the oldest of them that was not read, so what they say is
 * the beginning of a thought only: each is followed by a look at what is there.  What is not there may
 * be so by an event that is still to come; without one it is gone (watch_absent).
 *
 * It does not tell of an unmount, which takes the mark away: inotify does, of the root alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/watch_kernel.h"

#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#endif
#ifndef FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
#define FAN_EVENT_INFO_TYPE_OLD_DFID_NAME 10
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif

/* What is read at once: one event becomes up to six in the queue of the pipe. */
#define READ_MAX 8192u

/* One descriptor for both. */
static int start_waiting(struct watch_kernel *k, struct failure *f)
{
	struct epoll_event ev = {.events = EPOLLIN};

	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (k->epoll_fd >= 0 && epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, k->fd, &ev) == 0 &&
		epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, k->root_fd, &ev) == 0)
		return 0;
	return failure_set(f, -errno, NULL, NULL, "cannot wait for fanotify: %s", strerror(errno));
}

static int fanotify_start(struct watch_kernel *k, struct failure *f)
{
	char limit[80];
	int err = watch_inotify.start(k, f);

	if (err)
		return err;
	k->root_fd = k->fd;
	k->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_NONBLOCK | FAN_CLOEXEC,
		O_RDONLY | O_CLOEXEC);
	if (k->fd >= 0)
		return start_waiting(k, f);
	if (errno == EMFILE) {
		watch_kernel_limit("fs.fanotify.max_user_groups", limit, sizeof(limit));
		return failure_set(f, ERR_LIMIT, NULL, NULL,
			"%s, or the agent has too many open files: this watch needs one more",
			limit);
	}
	return failure_set(
		f, ERR_UNSUPPORTED, NULL, NULL, "cannot start fanotify: %s", strerror(errno));
}

static uint64_t digest(uint64_t h, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	/* FNV-1a; nobody gains by two directories with one key but who made them. */
	while (len--)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t key_of(const void *fsid, const struct file_handle *handle)
{
	uint64_t h = digest(UINT64_C(0xcbf29ce484222325), fsid, 8);

	h = digest(h, &handle->handle_type, sizeof(handle->handle_type));
	h = digest(h, handle->f_handle, handle->handle_bytes);
	return h ? h : 1;
}

static int handle_of(int fd, const char *path, struct file_handle *handle)
{
	int mount;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(fd, path, handle, &mount, AT_EMPTY_PATH | AT_HANDLE_FID) == 0)
		return 0;
	if (errno != EINVAL) /* before Linux 6.5 */
		return -errno;
	handle->handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(fd, path, handle, &mount, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The file system of FD. */
static int mark(struct watch_kernel *k, int fd, uint64_t fsid, bool *marked)
{
	uint64_t mask = FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ONDIR;
	int err;

	*marked = true;
	for (size_t i = 0; i < k->n_marked; i++) {
		if (k->marked[i] == fsid)
			return 0;
	}
	*marked = false;
	if (k->n_marked == WATCH_MARKED_MAX)
		return -EOVERFLOW;
	if (k->modified)
		mask |= FAN_MODIFY | FAN_CLOSE_WRITE;
	if (k->attributes)
		mask |= FAN_ATTRIB;
	err = fanotify_mark(k->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, fd, NULL) < 0 ? -errno
											   : 0;
	if (!err)
		k->marked[k->n_marked++] = fsid;
	return err;
}

/* Tells when the directory FD, the root, is unmounted. */
static int watch_root(struct watch_kernel *k, int fd, const char *path, struct failure *f)
{
	const uint32_t mask = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
	char by_fd[40], limit[80];
	int wd;

	snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(k->root_fd, by_fd, mask);
	if (wd < 0 && errno == ENOENT) /* there is no /proc */
		wd = inotify_add_watch(k->root_fd, path, mask | IN_DONT_FOLLOW);
	if (wd >= 0)
		return 0;
	if (errno != ENOSPC)
		return failure_set(
			f, -errno, NULL, path, "cannot watch %s: %s", path, strerror(errno));
	watch_kernel_limit("fs.inotify.max_user_watches", limit, sizeof(limit));
	return failure_set(f, ERR_LIMIT, NULL, path, "%s, and that is reached: %s needs one more",
		limit, path);
}

static int fanotify_watch(struct watch_kernel *k, int fd, const char *path, bool root,
	uint64_t *key, struct failure *f)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h;
	struct statfs fs = {0};
	uint64_t fsid;
	bool marked;
	int err;

	h.handle.handle_type = 0;
	err = fstatfs(fd, &fs) < 0 ? -errno : handle_of(fd, "", &h.handle);
	memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	if (!err)
		err = mark(k, fd, fsid, &marked);
	if (err == -ENOSPC) {
		char limit[80];

		watch_kernel_limit("fs.fanotify.max_user_marks", limit, sizeof(limit));
		return failure_set(f, ERR_LIMIT, NULL, path, "%s: %s needs one more", limit, path);
	}
	if (err)
		return failure_set(f, err, NULL, path,
			"fanotify cannot watch the file system of %s: %s", path, strerror(-err));
	*key = key_of(&fs.f_fsid, &h.handle);
	if (!root)
		return 0;
	k->root_key = *key;
	return watch_root(k, fd, path, f);
}

static int fanotify_around(
	struct watch_kernel *k, const char *path, bool file, uint64_t *key, struct failure *f)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)file;
	if (fd < 0)
		return failure_set(
			f, -errno, NULL, path, "cannot open %s: %s", path, strerror(errno));
	return fanotify_watch(k, fd, path, false, key, f);
}

static void fanotify_unwatch(struct watch_kernel *k, uint64_t key)
{
	/* There is one mark for all. */
	(void)k, (void)key;
}

/* What an event says of where. */
struct place {
	uint64_t key;
	const char *name;
	size_t len;
};

static bool read_place(const char *info, size_t len, struct place *out)
{
	const size_t head = sizeof(struct fanotify_event_info_fid) + sizeof(struct file_handle);
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h;
	struct fanotify_event_info_fid fid;

	if (len < head)
		return false;
	memcpy(&fid, info, sizeof(fid));
	memcpy(&h.handle, info + sizeof(fid), sizeof(h.handle));
	if (h.handle.handle_bytes > MAX_HANDLE_SZ || head + h.handle.handle_bytes >= len)
		return false;
	memcpy(h.room + sizeof(h.handle), info + head, h.handle.handle_bytes);
	out->key = key_of(&fid.fsid, &h.handle);
	out->name = info + head + h.handle.handle_bytes;
	out->len = strnlen(out->name, len - head - h.handle.handle_bytes);
	if (out->len == 1 && *out->name == '.') /* the directory itself */
		out->len = 0;
	return true;
}

static void feed(struct watch_pipe *p, enum watch_kind kind, bool dir, const struct place *at,
	const struct place *to)
{
	struct watch_event ev = {
		.kind = kind,
		.dir = dir,
		.key = at->key,
		.name = at->name,
		.name_len = at->len,
		.to_name = "",
	};

	if (to) {
		ev.to_key = to->key;
		ev.to_name = to->name;
		ev.to_len = to->len;
	}
	watch_pipe_feed(p, &ev);
}

static void translate(struct watch_pipe *p, uint64_t mask, const struct place *at)
{
	static const struct {
		uint64_t mask;
		enum watch_kind kind;
	} kinds[] = {
		{FAN_DELETE, WATCH_DELETE}, /* of what was known; then there may be another one */
		{FAN_CREATE, WATCH_CREATE},
		{FAN_MODIFY, WATCH_MODIFY},
		{FAN_CLOSE_WRITE, WATCH_CLOSE},
		{FAN_ATTRIB, WATCH_ATTRIB},
	};
	bool dir = mask & FAN_ONDIR;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (mask & kinds[i].mask)
			feed(p, kinds[i].kind, dir, at, NULL);
	}
	if (at->len && mask & (FAN_CREATE | FAN_DELETE))
		feed(p, WATCH_CHECK, dir, at, NULL);
}

static void translate_rename(
	struct watch_pipe *p, bool dir, const struct place *from, const struct place *to)
{
	feed(p, WATCH_RENAME, dir, from, to);
	feed(p, WATCH_CHECK, dir, from, NULL);
	feed(p, WATCH_CHECK, dir, to, NULL);
}

static void take(struct watch_pipe *p, const struct fanotify_event_metadata *meta, const char *at)
{
	struct place place = {0, "", 0}, from = place, to = place;
	size_t offset = meta->metadata_len;
	unsigned seen = 0;

	if (meta->mask & FAN_Q_OVERFLOW) {
		feed(p, WATCH_OVERFLOW, false, &place, NULL);
		return;
	}
	while (offset + sizeof(struct fanotify_event_info_header) <= meta->event_len) {
		struct fanotify_event_info_header info;
		struct place *out = NULL;

		memcpy(&info, at + offset, sizeof(info));
		if (info.len < sizeof(info) || offset + info.len > meta->event_len)
			break;
		if (info.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME)
			out = &place;
		else if (info.info_type == FAN_EVENT_INFO_TYPE_OLD_DFID_NAME)
			out = &from;
		else if (info.info_type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME)
			out = &to;
		if (out && read_place(at + offset, info.len, out))
			seen |= out == &place ? 1u : out == &from ? 2u : 4u;
		offset += info.len;
	}
	if (meta->mask & FAN_RENAME && seen & 6u)
		translate_rename(p, meta->mask & FAN_ONDIR, &from, &to);
	else if (seen & 1u)
		translate(p, meta->mask, &place);
}

/* What becomes of the root, when all else has been told. */
static int read_root(struct watch_kernel *k, struct watch_pipe *p)
{
	const struct place root = {k->root_key, "", 0};
	ssize_t n = read(k->root_fd, k->buf, WATCH_READ_MAX);

	if (n > 0)
		feed(p, WATCH_SELF, true, &root, NULL);
	return n > 0;
}

static int fanotify_read(struct watch_kernel *k, struct watch_pipe *p)
{
	struct fanotify_event_metadata meta;
	size_t n, at = 0;

	if (watch_pipe_room(p) < 6 * (size_t)READ_MAX)
		return 0;
	n = watch_kernel_read(k, READ_MAX);
	while (at + sizeof(meta) <= n) {
		memcpy(&meta, k->buf + at, sizeof(meta));
		if (meta.event_len < sizeof(meta) || at + meta.event_len > n)
			break;
		take(p, &meta, k->buf + at);
		at += meta.event_len;
	}
	return n > 0 ? 1 : read_root(k, p);
}

const struct watch_backend watch_fanotify = {
	.name = "fanotify",
	.own_attributes = true,
	.start = fanotify_start,
	.watch = fanotify_watch,
	.around = fanotify_around,
	.unwatch = fanotify_unwatch,
	.read = fanotify_read,
};
