/* system/bundle.c - a file of certificates, and the one among them that is ours */
#include "system/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/limits.h"
#include "system/pem.h"

struct text {
	char *at; /* owned; with a NUL behind it */
	size_t len;
	struct stat st; /* st_nlink 0: there was no file */
};

static int read_text(const char *path, struct text *t)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int err = fd < 0 ? errno : 0;
	ssize_t n;

	*t = (struct text){0};
	if (err == ENOENT) {
		t->at = xcalloc(1, 1);
		return 0;
	}
	if (!err && fstat(fd, &t->st) < 0)
		err = errno;
	if (err > 0)
		return -err;
	if (!S_ISREG(t->st.st_mode))
		return -EINVAL;
	if (t->st.st_size > (off_t)BUNDLE_MAX)
		return -EFBIG;
	/* One byte more tells that it has grown meanwhile. */
	t->at = malloc((size_t)t->st.st_size + 2);
	if (!t->at)
		return -ENOMEM;
	n = fd_read_all(fd, t->at, (size_t)t->st.st_size + 1);
	if (n < 0 || n > t->st.st_size) {
		free(t->at);
		return n < 0 ? (int)n : -EAGAIN; /* somebody writes to it */
	}
	t->len = (size_t)n;
	t->at[n] = '\0';
	if (strlen(t->at) == t->len)
		return 0;
	free(t->at); /* it is no text */
	return -EINVAL;
}

/* What bears NAME, from *FROM up to *TO. */
static bool find_ours(const struct text *t, const char *name, size_t *from, size_t *to)
{
	char mark[100];
	const char *p = t->at, *end;

	snprintf(mark, sizeof(mark), "# guestd: %s", name);
	while ((p = memmem(p, t->len - (size_t)(p - t->at), mark, strlen(mark)))) {
		const char *behind = p + strlen(mark);
		bool joined = strncmp(behind, " +\n", 3) == 0;

		if ((p == t->at || p[-1] == '\n') && (joined || *behind == '\n')) {
			end = memmem(behind, t->len - (size_t)(behind - t->at), PEM_END,
				strlen(PEM_END));
			*from = (size_t)(p - t->at) - (joined && p > t->at);
			*to = end ? (size_t)(end - t->at) + strlen(PEM_END) : t->len;
			return true;
		}
		p = behind;
	}
	return false;
}

static void cut_ours(struct text *t, const char *name)
{
	size_t from, to;

	while (find_ours(t, name, &from, &to)) {
		memmove(t->at + from, t->at + to, t->len - to + 1);
		t->len -= to - from;
	}
}

/* T with what bears NAME at its end, unless PEM is in there; owned. */
static char *with_ours(const struct text *t, const char *name, const char *pem)
{
	bool joined = t->len && t->at[t->len - 1] != '\n';

	if (!pem || memmem(t->at, t->len, pem, strlen(pem)))
		return xstrdup(t->at);
	return xasprintf(
		"%s%s# guestd: %s%s\n%s", t->at, joined ? "\n" : "", name, joined ? " +" : "", pem);
}

/* All of TEXT, with the mode and the owner of OLD, in the place of PATH. */
static int replace(const char *path, const char *text, const struct stat *old)
{
	char *temp = xasprintf(
		"%s.guestd-%d-%llx", path, (int)getpid(), (unsigned long long)clock_mono_us());
	cleanup_fd int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int err = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	bool made = fd >= 0;

	if (!err && old->st_nlink && fchown(fd, old->st_uid, old->st_gid) < 0)
		err = -errno;
	if (!err && fchmod(fd, old->st_nlink ? old->st_mode & 07777 : 0644) < 0)
		err = -errno;
	/* A guest that is cut off must not come back with an empty trust store. */
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (!err && rename(temp, path) < 0)
		err = -errno;
	if (err && made)
		unlink(temp);
	free(temp);
	return err;
}

int bundle_update(const char *path, const char *name, const char *pem, unsigned flags)
{
	struct text t, was;
	char *now;
	int err = read_text(path, &t);

	if (err)
		return err;
	ASSERT(t.at);
	was = (struct text){.at = xstrdup(t.at), .len = t.len};
	if (flags & BUNDLE_ALONE)
		t.at[t.len = 0] = '\0';
	else
		cut_ours(&t, name);
	now = with_ours(&t, name, pem);
	if (strcmp(now, was.at) == 0)
		err = 0;
	else if (!*now)
		err = unlink(path) < 0 ? -errno : 0;
	else
		err = replace(path, now, &t.st);
	free(now);
	free(was.at);
	free(t.at);
	return err;
}

int bundle_bears(const char *path, const char *name)
{
	struct text t;
	size_t from, to;
	int is = read_text(path, &t);

	if (is)
		return is;
	ASSERT(t.at);
	is = find_ours(&t, name, &from, &to) && from == 0;
	if (!is && !t.st.st_nlink)
		is = -ENOENT;
	free(t.at);
	return is;
}
