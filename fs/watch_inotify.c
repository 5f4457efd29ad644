/* fs/watch_inotify.c - changes as inotify(7) tells of them; the key of a directory is its wd */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/watch_kernel.h"

#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

/* What is read at once: twice as long in the queue of the pipe. */
#define READ_MAX WATCH_READ_MAX

static int inotify_start(struct watch_kernel *k, struct failure *f)
{
	cleanup_fd int spare = -1;
	char limit[80];

	k->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (k->fd >= 0)
		return 0;
	if (errno != EMFILE)
		return failure_set(
			f, -errno, NULL, NULL, "cannot start inotify: %s", strerror(errno));
	/* Of descriptors, or of instances? */
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (spare < 0)
		return failure_set(f, -EMFILE, NULL, NULL,
			"cannot start inotify: the agent has too many open files");
	watch_kernel_limit("fs.inotify.max_user_instances", limit, sizeof(limit));
	return failure_set(f, ERR_LIMIT, NULL, NULL,
		"%s, and as many watches are in use: this one needs one more (sysctl)", limit);
}

static uint32_t mask_of(const struct watch_kernel *k)
{
	uint32_t mask = NAMES | IN_ONLYDIR | IN_EXCL_UNLINK;

	if (k->modified)
		mask |= IN_MODIFY | IN_CLOSE_WRITE;
	if (k->attributes)
		mask |= IN_ATTRIB;
	return mask;
}

static int inotify_watch(struct watch_kernel *k, int fd, const char *path, bool root, uint64_t *key,
	struct failure *f)
{
	uint32_t mask = mask_of(k) | (root ? IN_DELETE_SELF | IN_MOVE_SELF : 0);
	char by_fd[40];
	int wd;

	/* What is open is watched, wherever its name leads by now. */
	snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(k->fd, by_fd, mask);
	if (wd < 0 && errno == ENOENT) /* there is no /proc */
		wd = inotify_add_watch(k->fd, path, mask | IN_DONT_FOLLOW);
	if (wd < 0 && errno == ENOSPC)
		return ERR_LIMIT;
	if (wd < 0)
		return failure_set(
			f, -errno, NULL, path, "cannot watch %s: %s", path, strerror(errno));
	*key = (uint64_t)wd;
	return 0;
}

static int inotify_around(
	struct watch_kernel *k, const char *path, bool file, uint64_t *key, struct failure *f)
{
	int wd = inotify_add_watch(k->fd, path,
		file ? mask_of(k) : IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR);

	if (wd < 0 && errno == ENOSPC)
		return ERR_LIMIT;
	if (wd < 0)
		return failure_set(
			f, -errno, NULL, path, "cannot watch %s: %s", path, strerror(errno));
	*key = (uint64_t)wd;
	return 0;
}

static void inotify_unwatch(struct watch_kernel *k, uint64_t key)
{
	/* It may be gone already. */
	(void)inotify_rm_watch(k->fd, (int)key);
}

static void feed(struct watch_pipe *p, const struct inotify_event *ev, enum watch_kind kind)
{
	struct watch_event out = {
		.kind = kind,
		.dir = ev->mask & IN_ISDIR,
		.cookie = ev->cookie,
		.key = (uint64_t)ev->wd,
		.name = ev->len ? ev->name : "",
		.to_name = "",
	};

	out.name_len = strlen(out.name);
	watch_pipe_feed(p, &out);
}

static void translate(struct watch_pipe *p, const struct inotify_event *ev)
{
	static const struct {
		uint32_t mask;
		enum watch_kind kind;
	} kinds[] = {
		{IN_Q_OVERFLOW, WATCH_OVERFLOW},
		{IN_CREATE, WATCH_CREATE},
		{IN_DELETE, WATCH_DELETE},
		{IN_MOVED_FROM, WATCH_FROM},
		{IN_MOVED_TO, WATCH_TO},
		{IN_MODIFY, WATCH_MODIFY},
		{IN_CLOSE_WRITE, WATCH_CLOSE},
		{IN_ATTRIB, WATCH_ATTRIB},
		{IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT, WATCH_SELF},
		{IN_IGNORED, WATCH_STOPPED},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (ev->mask & kinds[i].mask) {
			feed(p, ev, kinds[i].kind);
			return;
		}
	}
}

static int inotify_read(struct watch_kernel *k, struct watch_pipe *p)
{
	struct inotify_event ev;
	size_t n, at = 0;

	if (watch_pipe_room(p) < 3 * (size_t)READ_MAX)
		return 0;
	n = watch_kernel_read(k, READ_MAX);
	while (at < n) {
		memcpy(&ev, k->buf + at, sizeof(ev));
		translate(p, (const struct inotify_event *)(const void *)(k->buf + at));
		at += sizeof(ev) + ev.len;
	}
	return n > 0;
}

const struct watch_backend watch_inotify = {
	.name = "inotify",
	.start = inotify_start,
	.watch = inotify_watch,
	.around = inotify_around,
	.unwatch = inotify_unwatch,
	.read = inotify_read,
};
