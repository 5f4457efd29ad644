/* proc/cgroup_base.c - the agent's own part of the tree of cgroups */
#include "proc/cgroup_base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mounts.h"
#include "base/word.h"
#include "proc/cgfs.h"
#include "proc/cgroup_owner.h"
#include "proto/err.h"
#include "proto/limits.h"

#define SUBTREE_CONTROL "cgroup.subtree_control"

/*
 * Where a service manager puts nothing but the agent, below the cgroup that is ours (systemd: DelegateSubgroup=).
 * It is there so that the agent can be started again while processes of the last one have theirs beside it: what
 * has controllers for those below it takes no process any more, ours neither.
 */
#define SUBGROUP "/guestd.agent"

const char *const controller_names[N_CONTROLLERS] = {"memory", "pids", "cpu"};

/* The same sentence for all controllers that have none yet. */
static void lack_all(struct cgroup_base *b, const char *fmt, ...) PRINTF(2, 3);

static void lack_all(struct cgroup_base *b, const char *fmt, ...)
{
	for (int i = 0; i < N_CONTROLLERS; i++) {
		va_list ap;

		if (*b->lacks[i])
			continue;
		va_start(ap, fmt);
		vsnprintf(b->lacks[i], sizeof(b->lacks[i]), fmt, ap);
		va_end(ap);
	}
}

/* Where OWN is */

/* What is behind PREFIX, a path, in PATH: "" or with a slash in front.  NULL: it is not below. */
static const char *behind(const char *path, const char *prefix)
{
	size_t len = strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);

	if (strncmp(path, prefix, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return strcmp(path + len, "/") == 0 ? "" : path + len;
}

static bool join(char *out, const char *front, const char *rest)
{
	int len = strcmp(front, "/") == 0 ? snprintf(out, PATH_MAX, "%s", *rest ? rest : "/")
					  : snprintf(out, PATH_MAX, "%s%s", front, rest);

	return len > 0 && len < PATH_MAX;
}

/* Both tell from the root of our cgroup namespace, and of what is above it only how far. */
static bool is_outside(const char *path)
{
	return strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0');
}

bool cgroup_mount_seen(const struct cgroup_mount *m, const char *dir, char *out)
{
	const char *rest = behind(dir, m->point);

	return rest && !is_outside(m->root) && join(out, m->root, rest);
}

bool cgroup_mount_dir(const struct cgroup_mount *m, const char *seen, char *out)
{
	const char *rest = behind(seen, m->root);

	return rest && !is_outside(m->root) && !is_outside(seen) && join(out, m->point, rest);
}

/* Another file system may have been mounted on top. */
static bool is_cgroup2(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* The path behind "0::" in the text of a /proc/PID/cgroup; NULL where there is none. */
static const char *unified_path(char *text)
{
	char *path = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");

	if (!path)
		return NULL;
	path = strchr(path, '/');
	if (path)
		path[strcspn(path, "\n")] = '\0';
	return path;
}

/* OWN from the PATH of the agent's cgroup. */
static void take_own_path(const char *path, char *own)
{
	size_t len = strlen(path), tail = strlen(SUBGROUP);

	if (len > tail && strcmp(path + len - tail, SUBGROUP) == 0)
		len -= tail;
	snprintf(own, PATH_MAX, "%.*s", (int)len, path);
}

/*
 * OWN, as a directory and as /proc names it, from one of the two: DIR is the setting, or "" for
 * the agent's own cgroup.
 */
static bool find_own(struct cgroup_base *b, const char *dir)
{
	char text[8192], own_seen[PATH_MAX] = "";
	const char *path = fd_read_file("/proc/self/cgroup", text, sizeof(text)) > 0
				   ? unified_path(text)
				   : NULL;
	struct mounts mounts;
	bool found = false;

	if (path)
		take_own_path(path, own_seen);
	if (mounts_read(&mounts))
		return false;
	for (size_t i = 0; i < mounts.n && !found; i++) {
		struct cgroup_mount m = {mounts.at[i].root, mounts.at[i].point};

		if (strcmp(mounts.at[i].type, "cgroup2") != 0)
			continue;
		if (*dir) {
			snprintf(b->own_path, sizeof(b->own_path), "%s", dir);
			found = cgroup_mount_seen(&m, dir, b->seen);
		} else {
			snprintf(b->seen, sizeof(b->seen), "%s", own_seen);
			found = cgroup_mount_dir(&m, own_seen, b->own_path);
		}
		found = found && is_cgroup2(b->own_path);
	}
	mounts_free(&mounts);
	return found;
}

/* 0 or -errno; with the reason. */
static int open_own(struct cgroup_base *b, const char *setting)
{
	bool own = strcmp(setting, "auto") == 0;
	char real[PATH_MAX] = "";
	int fd;

	if (strcmp(setting, "off") == 0) {
		lack_all(b, "cgroups are switched off (cgroup = off)");
		return -ENOTSUP;
	}
	if (!own && !realpath(setting, real)) {
		int err = -errno;

		lack_all(b, "the cgroup %.120s cannot be used: %s", setting, strerror(-err));
		return err;
	}
	if (!find_own(b, real)) {
		if (own)
			lack_all(b,
				"no cgroup2 file system shows guestd's own cgroup: mount one on "
				"/sys/fs/cgroup");
		else
			lack_all(b, "%.120s is not in a file system of type cgroup2", setting);
		return -ENOENT;
	}
	fd = cgfs_open(AT_FDCWD, b->own_path);
	if (fd < 0) {
		lack_all(b, "cannot open %.120s: %s", b->own_path, strerror(-fd));
		return fd;
	}
	b->own = fd;
	return 0;
}

/* What is there from before */

/* An agent that was killed while its processes stood still for a snapshot has left them so. */
static void thaw(const struct cgroup_base *b, const char *name)
{
	char path[300], state[16];

	snprintf(path, sizeof(path), "%s/cgroup.freeze", name);
	if (cgfs_read(b->own, path, state, sizeof(state)) <= 0 || *state != '1')
		return;
	if (cgfs_write(b->own, path, "0"))
		log_error("cgroup", "cannot thaw what a dead agent froze path=%s/%s", b->own_path,
			name);
	else
		log_warn("cgroup", "thawed what a dead agent froze path=%s/%s", b->own_path, name);
}

/* Removes what dead agents left, and notes in b->name what the predecessor did. */
static void remove_stale(struct cgroup_base *b, const char *run_dir)
{
	int fd = cgfs_open(b->own, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	size_t left = 0;

	if (!d) {
		fd_close(&fd);
		return;
	}
	while ((entry = readdir(d))) {
		enum cgroup_owner owner =
			entry->d_type == DT_DIR ? cgroup_owner_find(b->own, entry->d_name, run_dir)
						: OWNER_ALIVE;

		if (owner != OWNER_ALIVE)
			thaw(b, entry->d_name);
		if (owner == OWNER_PREDECESSOR && !*b->name &&
			strlen(entry->d_name) < sizeof(b->name))
			memcpy(b->name, entry->d_name, strlen(entry->d_name) + 1);
		else if (owner != OWNER_ALIVE && cgfs_remove(b->own, entry->d_name))
			left++;
	}
	closedir(d);
	if (left)
		log_info("cgroup", "what dead agents started lives on path=%s/guestd.* cgroups=%zu",
			b->own_path, left);
}

/* Controllers */

struct census {
	size_t others;
	bool us;
};

static bool count(pid_t pid, void *ctx)
{
	struct census *c = ctx;

	if (pid == getpid())
		c->us = true;
	else
		c->others++;
	return true;
}

/* Only the root of all has none (cgroups(7)). */
static bool is_root(const struct cgroup_base *b)
{
	return faccessat(b->own, "cgroup.events", F_OK, 0) < 0;
}

/* Into a leaf of our own.  0 or -errno. */
static int move(struct cgroup_base *b)
{
	int err = mkdirat(b->own, b->agent, 0755) < 0 && errno != EEXIST ? -errno : 0;

	if (!err) {
		char procs[64];

		snprintf(procs, sizeof(procs), "%s/cgroup.procs", b->agent);
		err = cgfs_write(b->own, procs, "0"); /* the writer */
	}
	b->moved = !err;
	return err;
}

/* After it OWN is the root, or has no processes: false, with the reason, where that cannot be. */
static bool leave_own(struct cgroup_base *b)
{
	struct census c = {0};
	int err;

	if (is_root(b))
		return true;
	cgfs_each_pid(b->own, false, count, &c);
	if (c.others) {
		lack_all(b,
			"guestd shares the cgroup %.80s with other processes: start it in one of "
			"its own (systemd: Delegate=yes)",
			b->own_path);
		return false;
	}
	if (!c.us)
		return true;
	err = move(b);
	if (err)
		lack_all(b, "guestd cannot move to %.100s/%s: %s", b->own_path, b->agent,
			strerror(-err));
	return !err;
}

static void enable(struct cgroup_base *b, enum controller i)
{
	const char *where = b->own_path;
	char word[16];
	int err;

	snprintf(word, sizeof(word), "+%s", controller_names[i]);
	err = cgfs_write(b->own, SUBTREE_CONTROL, word);
	if (!err) {
		where = b->path;
		err = cgfs_write(b->dir, SUBTREE_CONTROL, word);
	}
	if (err)
		snprintf(b->lacks[i], sizeof(b->lacks[i]), "the kernel refuses %s in %.80s/%s: %s",
			word, where, SUBTREE_CONTROL, strerror(-err));
}

/* One by one: that one is refused says nothing of the others. */
static void enable_all(struct cgroup_base *b)
{
	char have[512] = "";
	bool any = false;

	if (cgfs_read(b->own, "cgroup.controllers", have, sizeof(have)) < 0)
		log_warn("cgroup", "cannot read path=%s/cgroup.controllers", b->own_path);
	for (int i = 0; i < N_CONTROLLERS; i++) {
		if (!has_word(have, controller_names[i]))
			snprintf(b->lacks[i], sizeof(b->lacks[i]),
				"%.60s does not offer it: enable it in the cgroups above (systemd: "
				"Delegate=yes), or take it from cgroup v1 (kernel: cgroup_no_v1=%s)",
				b->own_path, controller_names[i]);
		else
			any = true;
	}
	if (!any || !leave_own(b))
		return;
	for (int i = 0; i < N_CONTROLLERS; i++) {
		if (!*b->lacks[i])
			enable(b, (enum controller)i);
	}
}

/*
 * Whatever memory is short of, what the agent works with is not taken from it (memory.min in the kernel's
 * cgroup-v2.rst).  That needs a cgroup that holds nobody else: in the root of all, where processes may stay
 * beside controllers, it moves for this alone.  Above it, memory.min is for whoever made that (systemd:
 * MemoryMin=).
 */
static void keep_memory(struct cgroup_base *b)
{
	static const char *const files[] = {"memory.min", "memory.low"};
	struct census c = {0};
	char path[64], bytes[24];
	int err = 0;

	if (*b->lacks[CG_MEMORY])
		return;
	if (!b->moved && is_root(b)) {
		cgfs_each_pid(b->own, false, count, &c);
		err = c.us ? move(b) : 0;
	}
	snprintf(bytes, sizeof(bytes), "%u", AGENT_MEMORY_MIN);
	for (size_t i = 0; i < ARRAY_LEN(files) && b->moved && !err; i++) {
		snprintf(path, sizeof(path), "%s/%s", b->agent, files[i]);
		err = cgfs_write(b->own, path, bytes);
	}
	if (err || !b->moved)
		log_debug("cgroup", "no memory is kept for the agent: %s",
			err ? err_name(err) : "it has no cgroup of its own");
}

/* Start and end */

/* How long those who were killed may take to be gone; the loop does not run yet. */
#define KILL_MS 1000

static bool is_populated(int dir)
{
	cleanup_fd int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t populated;

	return events >= 0 && cgfs_value(events, "populated", &populated) && populated;
}

static bool kill_one(pid_t pid, void *ctx)
{
	size_t *n = ctx;

	(*n)++;
	kill(pid, SIGKILL);
	return true;
}

static bool count_one(pid_t pid, void *ctx)
{
	size_t *n = ctx;

	(void)pid;
	(*n)++;
	return true;
}

/*
 * The end of all that the predecessor started.  Its directory is not used again: see cgroup_kill;
 * without the note it is removed by name, by this agent or another.
 */
static void kill_leftovers(struct cgroup_base *b)
{
	cleanup_fd int dir = cgfs_open(b->own, b->name);
	size_t n = 0, unused = 0;

	if (dir < 0)
		return;
	cgfs_each_pid(dir, true, count_one, &n);
	if (cgfs_write(dir, "cgroup.kill", "1"))
		cgfs_each_pid(dir, true, kill_one, &unused); /* Linux before 5.14 */
	cgfs_unnote(dir);
	for (int ms = 0; ms < KILL_MS && is_populated(dir); ms++)
		usleep(1000);
	if (n)
		log_warn("cgroup",
			"killed what another agent had started path=%s/%s processes=%zu%s",
			b->own_path, b->name, n, is_populated(dir) ? ": not all are gone yet" : "");
	if (cgfs_remove(b->own, b->name))
		log_debug("cgroup", "in use path=%s/%s", b->own_path, b->name);
}

/* The predecessor's, to go on with: 0 or -errno. */
static int take_base(struct cgroup_base *b, const struct cgroup_terms *terms)
{
	if (!*b->name)
		return -ENOENT;
	if (terms->kill) {
		kill_leftovers(b);
		return -ENOENT;
	}
	b->dir = cgfs_open(b->own, b->name);
	b->taken = b->dir >= 0;
	/* It may have died while all stood still for a snapshot. */
	if (b->taken && cgfs_write(b->dir, "cgroup.freeze", "0"))
		log_debug("cgroup", "this kernel freezes nothing"); /* Linux before 5.2 */
	return b->taken ? 0 : b->dir;
}

/* 0 or -errno; with the reason. */
static int make_base(struct cgroup_base *b, const struct cgroup_terms *terms)
{
	char depth[8];
	size_t len;
	int fd, err = take_base(b, terms) == 0 ? 0 : -EEXIST;

	/* EEXIST: processes of a dead agent that had our pid live on in it. */
	for (int i = 1; err == -EEXIST && i < 10; i++) {
		snprintf(b->name, sizeof(b->name), i == 1 ? "guestd.%d" : "guestd.%d.%d",
			(int)getpid(), i);
		err = mkdirat(b->own, b->name, 0755) < 0 ? -errno : 0;
	}
	if (err) {
		lack_all(b,
			"cannot make %.80s/%s (%s): give guestd a cgroup that it can write to "
			"(systemd: Delegate=yes)",
			b->own_path, b->name, err_name(err));
		return err;
	}
	fd = b->taken ? b->dir : cgfs_open(b->own, b->name);
	if (fd < 0) {
		lack_all(b, "cannot open %.80s/%s: %s", b->own_path, b->name, strerror(-fd));
		return fd;
	}
	b->dir = fd;
	err = cgroup_owner_note(b->dir, terms->run_dir);
	if (err)
		log_info("cgroup", "no notes can be left for a successor path=%s/%s err=%s",
			b->own_path, b->name, err_name(err));
	b->notes = !err;
	snprintf(depth, sizeof(depth), "%d", CGFS_MAX_DEPTH);
	if (cgfs_write(b->dir, "cgroup.max.depth", depth))
		log_debug("cgroup", "the depth is not limited"); /* Linux before 4.14 */
	if (snprintf(b->path, sizeof(b->path), "%s/%s", b->own_path, b->name) >= PATH_MAX)
		return -ENAMETOOLONG;
	len = strcmp(b->seen, "/") == 0 ? 0 : strlen(b->seen);
	if (snprintf(b->seen + len, sizeof(b->seen) - len, "/%s/", b->name) >=
		(int)(sizeof(b->seen) - len))
		return -ENAMETOOLONG;
	return 0;
}

int cgroup_base_open(struct cgroup_base *b, const struct cgroup_terms *terms)
{
	int err;

	*b = (struct cgroup_base){.dir = -1, .own = -1};
	snprintf(b->agent, sizeof(b->agent), "guestd.%d.agent", (int)getpid());
	err = open_own(b, terms->setting);
	if (!err) {
		remove_stale(b, terms->run_dir);
		err = make_base(b, terms);
	}
	if (err) {
		cgroup_base_close(b);
		return err;
	}
	enable_all(b);
	keep_memory(b);
	return 0;
}

/* Only where OWN is ours alone: in the root they may be somebody else's by now. */
static void go_back(struct cgroup_base *b)
{
	char word[16];

	for (int i = 0; i < N_CONTROLLERS && !is_root(b); i++) {
		snprintf(word, sizeof(word), "-%s", controller_names[i]);
		if (!*b->lacks[i] && cgfs_write(b->own, SUBTREE_CONTROL, word))
			return;
	}
	if (cgfs_write(b->own, "cgroup.procs", "0") == 0 && cgfs_remove(b->own, b->agent) == 0)
		b->moved = false;
}

void cgroup_base_close(struct cgroup_base *b)
{
	if (b->dir >= 0) {
		fd_close(&b->dir);
		if (cgfs_remove(b->own, b->name) == 0 && b->moved)
			go_back(b);
	}
	fd_close(&b->own);
}

void cgroup_base_log(const struct cgroup_base *b)
{
	const char *lack = NULL;
	char names[64] = "";

	for (int i = 0; i < N_CONTROLLERS; i++) {
		size_t len = strlen(names);

		if (!*b->lacks[i])
			snprintf(names + len, sizeof(names) - len, "%s%s", len ? "," : "",
				controller_names[i]);
		else if (!lack)
			lack = b->lacks[i];
	}
	log_info("cgroup", "path=%s controllers=%s%s%s", b->path, *names ? names : "none",
		lack ? ": " : "", lack ? lack : "");
}
