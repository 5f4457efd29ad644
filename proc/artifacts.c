/* proc/artifacts.c - the files that a process was to produce, told with its exit */
#include "proc/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guestd/job.h"
#include "guestd/sha256.h"
#include "proto/limits.h"

#define PIECE (128u << 10)

struct artifact {
	int err; /* 0 or -errno: there is none to be had */
	uint64_t size;
	char sha256[SHA256_HEX];
};

struct artifacts {
	struct job job;
	const struct strs *paths; /* the owner's */
	char *cwd;
	struct account account;
	void (*done)(void *owner);
	void *owner;
	struct artifact found[]; /* for each path */
};

/* On a worker */

static int check_regular(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return 0;
	return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
}

/* The file, or -errno; SIZE is how long it is now. */
static int open_regular(const char *path, uint64_t *size)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int err;

	/* Asked first: opening a device may do something. */
	if (stat(path, &st) < 0)
		return -errno;
	err = check_regular(&st);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	err = check_regular(&st);
	if (err)
		return err;
	*size = (uint64_t)st.st_size;
	return take_fd(&fd);
}

/*
 * As many bytes as the file had when it was opened: one that grows must not hold us for ever.
 * One that shrinks has what was read.
 */
static int hash(int fd, uint64_t len, char *piece, struct artifact *out)
{
	struct sha256 s;

	sha256_begin(&s);
	while (out->size < len) {
		ssize_t n = read(fd, piece, (size_t)MIN(PIECE, len - out->size));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha256_add(&s, piece, (size_t)n);
		out->size += (uint64_t)n;
	}
	sha256_hex(&s, out->sha256);
	return 0;
}

static int look(const char *cwd, const char *name, char *piece, struct artifact *out)
{
	char *path = *name == '/' ? xstrdup(name) : xasprintf("%s/%s", cwd, name);
	uint64_t len = 0;
	cleanup_fd int fd = open_regular(path, &len);

	free(path);
	return fd < 0 ? fd : hash(fd, len, piece, out);
}

static void artifacts_work(struct job *job)
{
	struct artifacts *a = CONTAINER_OF(job, struct artifacts, job);
	int err = users_assume(&a->account);
	char *piece;

	if (err) {
		for (size_t i = 0; i < a->paths->n; i++)
			a->found[i].err = err;
		return;
	}
	piece = xmalloc(PIECE);
	for (size_t i = 0; i < a->paths->n; i++)
		a->found[i].err = look(a->cwd, a->paths->at[i], piece, &a->found[i]);
	free(piece);
	users_resume();
}

/* On the loop */

static void artifacts_done(struct job *job)
{
	struct artifacts *a = CONTAINER_OF(job, struct artifacts, job);

	a->done(a->owner);
}

struct artifacts *artifacts_start(const struct strs *paths, const char *cwd,
	const struct account *account, void (*done)(void *owner), void *owner)
{
	struct artifacts *a;

	ASSERT(paths->n <= MAX_ARTIFACTS);
	a = xcalloc(1, sizeof(*a) + paths->n * sizeof(a->found[0]));
	a->paths = paths;
	a->cwd = xstrdup(cwd);
	a->account = *account;
	a->done = done;
	a->owner = owner;
	a->job = (struct job){.class = JOB_SLOW, .work = artifacts_work, .done = artifacts_done};
	if (job_submit(&a->job) < 0) {
		artifacts_free(a);
		return NULL;
	}
	return a;
}

void artifacts_free(struct artifacts *a)
{
	if (!a)
		return;
	free(a->cwd);
	free(a);
}

size_t artifacts_bytes(const struct artifacts *a)
{
	return sizeof(*a) + a->paths->n * sizeof(a->found[0]);
}

void artifacts_encode(const struct artifacts *a, struct enc *e)
{
	enc_array(e, a->paths->n);
	for (size_t i = 0; i < a->paths->n; i++) {
		const struct artifact *found = &a->found[i];
		size_t map = enc_map_begin(e);

		enc_kv_text(e, "path", a->paths->at[i]);
		if (found->err) {
			enc_kv_bool(e, "missing", true);
			enc_kv_str(e, "error", err_name(found->err));
		} else {
			enc_kv_uint(e, "size", found->size);
			enc_kv_str(e, "sha256", found->sha256);
		}
		enc_map_end(e, map, 3);
	}
}
