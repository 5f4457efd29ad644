/*
 * ctl/get_tree.c - a directory of the guest, to here
 *
 * It comes as one archive, and is unpacked while it comes.
 *
 * A guest is not trusted.  Nothing is written outside of the directory that the command line names:
 * each name is resolved by descriptor and through no symbolic link (tar/below.h), and what stands here
 * is replaced, not written to (ctl/draft.h).  Nor does a guest get a setuid program, or a symbolic
 * link that leads out, to a place of its choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/draft.h"
#include "ctl/get.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "proto/limits.h"
#include "tar/below.h"
#include "tar/late.h"
#include "tar/reader.h"

struct unpack {
	struct transfer *t;
	struct task task;
	struct tar_reader reader;
	struct below below, links; /* of what is made; of what another name is made of */
	struct late late;
	uint64_t got; /* bytes of the archive */
	struct failure failure;

	/* The entry at hand. */
	char *name; /* TAR_NAME_MAX + 1 bytes, as the next two; owned */
	char *target;
	char *lost; /* a directory that could not be made: nothing below it can; "": there is none */
	struct draft draft;
	int dir; /* that the draft is in; owned */
};

static void fail_here(struct unpack *u, int err)
{
	char *path = path_join(u->t->from, u->name);

	transfer_fail(u->t, "cannot make %s here: %s", path,
		err == -ENOTDIR || err == -ELOOP ? "something else stands in its place"
						 : strerror(-err));
	free(path);
}

static void leave_out(struct unpack *u, const char *why)
{
	char *path = path_join(u->t->from, u->name);

	transfer_fail(u->t, "left out %s: %s", path, why);
	free(path);
}

/* The directory that NAME is in, as below_dir(), and what it is called there. */
static int open_parent(struct below *b, const char *name, const char **base)
{
	const char *slash = strrchr(name, '/');

	*base = slash ? slash + 1 : name;
	return below_dir(b, name, slash ? (size_t)(slash - name) : 0, false);
}

/* -- entries ----------------------------------------------------------------------------------- */

/* 0 or -errno. */
static int make_dir(struct unpack *u, int dir, const char *base)
{
	const struct tar_entry *e = &u->reader.entry;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->mtime};
	bool made = mkdirat(dir, base, 0700) == 0;
	int err;

	if (!made && errno != EEXIST)
		return -errno;
	/* What stands there has to be a directory itself, not a way to one. */
	err = below_dir(&u->below, u->name, strlen(u->name), false);
	if (err < 0)
		return err;
	u->t->directories++;
	if (made && late_add(&u->late, u->name, e->mode & 0777, times))
		transfer_fail(u->t, "%s: too many directories: its mode and time do not come along",
			u->name);
	return 0;
}

static int make_symlink(struct unpack *u, int dir, const char *base)
{
	const struct tar_entry *e = &u->reader.entry;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->mtime};
	uint32_t depth = 0;
	int err;

	for (const char *p = u->name; *p; p++)
		depth += *p == '/';
	if (!*e->target)
		return -EINVAL;
	if (!u->t->keep_links && !link_inside(e->target, depth)) {
		leave_out(u, "a link that leads, or may lead, outside; see --links");
		return 0;
	}
	err = draft_symlink(dir, base, e->target);
	if (!err)
		(void)!utimensat(dir, base, times, AT_SYMLINK_NOFOLLOW); /* some have none */
	u->t->symlinks += !err;
	return err;
}

static int make_link(struct unpack *u, int dir, const char *base)
{
	const char *old;
	struct stat st;
	int err, from = -EINVAL;

	if (below_clean(u->reader.entry.target, 0, u->target) == BELOW_CLEAN && *u->target)
		from = open_parent(&u->links, u->target, &old);
	if (from < 0)
		return from;
	if (fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	err = S_ISREG(st.st_mode) ? draft_link(dir, base, from, old) : -EINVAL;
	u->t->files += !err;
	return err;
}

static int make_file(struct unpack *u, int dir)
{
	int err;

	/* One of its own: another name may be asked for before it is whole. */
	u->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	err = u->dir < 0 ? -errno : draft_open(&u->draft, u->dir);
	if (err < 0)
		fd_close(&u->dir);
	return MIN(err, 0);
}

static int make(struct unpack *u, int dir, const char *base)
{
	switch (u->reader.entry.type) {
	case TAR_DIR:
		return make_dir(u, dir, base);
	case TAR_SYMLINK:
		return make_symlink(u, dir, base);
	case TAR_HARDLINK:
		return make_link(u, dir, base);
	case TAR_FILE:
		return make_file(u, dir);
	case TAR_CHAR:
	case TAR_BLOCK:
	case TAR_FIFO:
		break;
	}
	leave_out(u, "neither a file nor a directory or link");
	return 0;
}

/* In a directory that could not be made: that was said. */
static bool is_lost(const struct unpack *u)
{
	size_t len = strlen(u->lost);

	return len && strncmp(u->name, u->lost, len) == 0 && u->name[len] == '/';
}

/* 0, or the archive is none that an agent sends. */
static int begin_entry(struct unpack *u)
{
	const struct tar_entry *e = &u->reader.entry;
	const char *base;
	int dir, err;

	if (below_clean(e->path, 0, u->name) != BELOW_CLEAN || !*u->name)
		return failure_set(&u->failure, ERR_BAD_PARAMS, NULL, NULL,
			"an entry with a name that none can be");
	if (is_lost(u))
		return 0;
	dir = open_parent(&u->below, u->name, &base);
	err = dir < 0 ? dir : make(u, dir, base);
	if (err)
		fail_here(u, err);
	if (err && e->type == TAR_DIR)
		memcpy(u->lost, u->name, strlen(u->name) + 1);
	return 0;
}

static void drop(struct unpack *u)
{
	if (u->dir < 0)
		return;
	draft_drop(&u->draft, u->dir);
	fd_close(&u->dir);
}

static void add_data(struct unpack *u)
{
	const struct tar_reader *r = &u->reader;
	size_t n = 0;

	while (u->dir >= 0 && n < r->data_len) {
		ssize_t wrote =
			pwrite(u->draft.fd, r->data + n, r->data_len - n, (off_t)(r->data_at + n));

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0) {
			fail_here(u, -errno);
			drop(u);
			return;
		}
		n += (size_t)wrote;
	}
}

static void end_entry(struct unpack *u)
{
	const struct tar_entry *e = &u->reader.entry;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, e->mtime};
	const char *slash = strrchr(u->name, '/');
	int err = 0;

	u->t->progress.files = u->t->files;
	if (u->dir < 0)
		return;
	/* A hole at its end. */
	if (e->sparse && ftruncate(u->draft.fd, (off_t)e->size) < 0)
		err = -errno;
	if (!err && futimens(u->draft.fd, times) < 0)
		err = -errno;
	if (!err)
		err = draft_keep(&u->draft, u->dir, slash ? slash + 1 : u->name, e->mode & 0777);
	if (err)
		fail_here(u, err);
	drop(u);
	u->t->files += !err;
	u->t->bytes += err ? 0 : e->size;
}

/* -- the archive ------------------------------------------------------------------------------- */

static int take(struct task *task, const char *bytes, size_t len)
{
	struct unpack *u = CONTAINER_OF(task, struct unpack, task);
	struct tar_reader *r = &u->reader;
	size_t used = 0;
	int err;

	u->got += len;
	progress_add(&u->t->progress, len);
	do {
		err = tar_read(r, bytes + used, len - used, &used, &u->failure);
		if (!err && r->got == TAR_ENTRY)
			err = begin_entry(u);
		else if (!err && r->got == TAR_DATA)
			add_data(u);
		else if (!err && r->got == TAR_DONE)
			end_entry(u);
	} while (!err && (used < len || (r->got != TAR_NEED && r->got != TAR_OVER)));
	return err ? -EBADMSG : 0;
}

/* What the agent could not read, or not to its end. */
static void tell_skipped(struct transfer *t, const struct val *result)
{
	const struct val *skipped = val_get(result, "skipped");
	size_t n = val_type(skipped) == VAL_ARRAY ? val_count(skipped) : 0;
	uint64_t total = n;

	for (size_t i = 0; i < n; i++) {
		const struct val *item = val_at(skipped, i);
		const char *path = "", *why = "";
		size_t path_len = 0, why_len = 0;

		val_bytes(val_get(item, "path"), &path, &path_len);
		val_bytes(val_get(val_get(item, "error"), "message"), &why, &why_len);
		transfer_fail(t, "%.*s: %.*s", (int)MIN(path_len, 240), path,
			(int)MIN(why_len, 240), why);
	}
	val_uint(val_get(result, "skipped_total"), &total);
	if (total > n) {
		transfer_fail(t, "the agent left out %llu more", (unsigned long long)(total - n));
		t->failed += total - n - 1;
	}
}

static void done(struct task *task, const struct val *error, const struct val *result)
{
	struct unpack *u = CONTAINER_OF(task, struct unpack, task);
	struct transfer *t = u->t;
	uint64_t size;

	drop(u);
	if (task->err) {
		transfer_fail(
			t, "the agent's archive is not to be trusted: %s", u->failure.message);
	} else if (!result) {
		transfer_ended(t, 0, "", error);
	} else if (tar_reader_end(&u->reader, &u->failure) ||
		   !val_uint(val_get(result, "archive_bytes"), &size) || size != u->got) {
		transfer_fail(t, "%s: not all of it came", t->from);
	} else {
		tell_skipped(t, result);
		if (val_get(result, "lost"))
			report_note(t->ctl, "some files with several names came more than once");
	}
}

/* PATH without "." in it, which exports do not take.  Owned by the caller. */
static char *plain_path(const char *path)
{
	char *plain = xmalloc(strlen(path) + 2);

	plain[0] = '/';
	if (below_clean(path + strspn(path, "/"), 0, plain + 1) == BELOW_CLEAN)
		return plain;
	free(plain);
	return xstrdup(path);
}

static int fetch(struct unpack *u)
{
	struct transfer *t = u->t;
	struct params p = {0};
	char *path;
	int status = transfer_begin(t, t->from, 0);

	if (status)
		return status;
	path = plain_path(t->from);
	u->task = (struct task){.take = take, .done = done, .in_fd = -1};
	params_text(&p, "path", path);
	params_text(&p, "user", t->user);
	params_text(&p, "format", "tar");
	params_encode(&p, flight_call(&t->flight, &u->task, "tar.export"));
	free(path);
	if (flight_send(&t->flight, &u->task))
		transfer_fail(t, "%s", client_why(t->ctl->client));
	return transfer_end(t);
}

/* -- the directory ----------------------------------------------------------------------------- */

static bool never(const void *ctx)
{
	(void)ctx;
	return false;
}

/* The mode and time of the root, of which the archive tells nothing. */
static int add_root(struct unpack *u, const struct val *entry)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
	uint64_t mode = 0, mtime_us;

	val_uint(val_get(entry, "mode"), &mode);
	if (val_uint(val_get(entry, "mtime_us"), &mtime_us))
		times[1] = (struct timespec){
			(time_t)(mtime_us / 1000000), (long)(mtime_us % 1000000) * 1000};
	return late_add(&u->late, "", mode & 0777, times);
}

int get_tree(struct transfer *t, const struct val *entry, const char *path, bool follow)
{
	struct unpack u = {.t = t, .dir = -1, .draft.fd = -1};
	bool made = mkdir(path, 0700) == 0;
	int root =
		made || errno == EEXIST
			? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW))
			: -1;
	int err = root < 0 ? -errno : 0, status;

	if (err)
		return ctl_fail(t->ctl, "cannot make the directory %s: %s", path, strerror(-err));
	below_begin(&u.below, root);
	below_begin(&u.links, fcntl(root, F_DUPFD_CLOEXEC, 0));
	tar_reader_init(&u.reader);
	u.name = xmalloc(TAR_NAME_MAX + 1);
	u.target = xmalloc(TAR_NAME_MAX + 1);
	u.lost = xcalloc(1, TAR_NAME_MAX + 1);
	ASSERT(!made || add_root(&u, entry) == 0);
	t->directories++;
	status = fetch(&u);
	/* Only now, since nobody can write into a directory that is read-only. */
	if (late_apply(&u.late, &u.below, never, NULL) || u.late.lost)
		transfer_fail(t, "the modes and times of some directories cannot be set here");
	late_fini(&u.late);
	tar_reader_fini(&u.reader);
	below_end(&u.below);
	below_end(&u.links);
	free(u.name);
	free(u.target);
	free(u.lost);
	return status;
}
