/* guestd/users.c - who a process runs as, from the guest's own files */
#include "guestd/users.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "guestd/job.h"

#define PASSWD "/etc/passwd"
#define GROUP  "/etc/group"

/* Files with more than this are cut, and the log says so. */
#define MAX_ENTRIES 65536u

struct user_entry {
	char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
};

struct group_entry {
	char *name;
	gid_t gid;
	char **members; /* ends NULL */
};

struct users {
	struct users_stamps stamps;
	unsigned holders; /* of a workers' copy: under its mutex */
	uid_t self;       /* whom the agent runs as */
	struct user_entry *user;
	size_t n_users;
	struct group_entry *group;
	size_t n_groups;
};

static struct {
	struct users *current;
	struct list waiting;
	struct job job;
	struct users *loading; /* the worker's, while it reads */
	bool busy;
} state = {.waiting = {&state.waiting, &state.waiting}};

const struct users *users_current(void)
{
	return state.current;
}

const struct users_stamps *users_stamps(const struct users *u)
{
	return &u->stamps;
}

/* Reading: on a worker */

/* The next free element of an array that grows in powers of two. */
static void *next_slot(void *array, size_t n, size_t size)
{
	if (n && (n & (n - 1)))
		return array;
	array = realloc(array, (n ? 2 * n : 1) * size);
	ASSERT(array);
	return array;
}

/* setresuid(2) takes it for "unchanged": whoever has it would stay root. */
#define NO_ID UINT32_MAX

static void read_passwd(struct users *u)
{
	FILE *f = fopen(PASSWD, "re");
	struct passwd *pw;

	if (!f)
		return;
	while (u->n_users < MAX_ENTRIES && (pw = fgetpwent(f))) {
		if (pw->pw_uid == NO_ID || pw->pw_gid == NO_ID)
			continue;
		u->user = next_slot(u->user, u->n_users, sizeof(*u->user));
		u->user[u->n_users++] = (struct user_entry){
			.name = xstrdup(pw->pw_name),
			.home = xstrdup(pw->pw_dir),
			.shell = xstrdup(pw->pw_shell),
			.uid = pw->pw_uid,
			.gid = pw->pw_gid,
		};
	}
	fclose(f);
}

static char **copy_members(char *const *members)
{
	size_t n = 0;
	char **copy;

	while (members[n])
		n++;
	copy = xcalloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(members[i]);
	return copy;
}

static void read_group(struct users *u)
{
	FILE *f = fopen(GROUP, "re");
	struct group *gr;

	if (!f)
		return;
	while (u->n_groups < MAX_ENTRIES && (gr = fgetgrent(f))) {
		if (gr->gr_gid == NO_ID)
			continue;
		u->group = next_slot(u->group, u->n_groups, sizeof(*u->group));
		u->group[u->n_groups++] = (struct group_entry){
			.name = xstrdup(gr->gr_name),
			.gid = gr->gr_gid,
			.members = copy_members(gr->gr_mem),
		};
	}
	fclose(f);
}

static void users_read(struct users *u)
{
	/* The stamps first: a change while we read makes them old, never the contents. */
	sys_stamp(PASSWD, &u->stamps.passwd);
	sys_stamp(GROUP, &u->stamps.group);
	u->self = geteuid();
	read_passwd(u);
	read_group(u);
}

static void load_work(struct job *job)
{
	(void)job;
	users_read(state.loading);
}

static void users_free(struct users *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n_users; i++) {
		free(u->user[i].name);
		free(u->user[i].home);
		free(u->user[i].shell);
	}
	for (size_t i = 0; i < u->n_groups; i++) {
		for (char **m = u->group[i].members; *m; m++)
			free(*m);
		free(u->group[i].members);
		free(u->group[i].name);
	}
	free(u->user);
	free(u->group);
	free(u);
}

/* On the loop */

static void load_done(struct job *job)
{
	struct list ready;

	(void)job;
	if (state.loading->n_users == MAX_ENTRIES || state.loading->n_groups == MAX_ENTRIES)
		log_warn("users", "files cut after entries=%u", MAX_ENTRIES);
	users_free(state.current);
	state.current = state.loading;
	state.loading = NULL;
	state.busy = false;
	/* Those who ask for another load from ready() wait for the next one. */
	list_init(&ready);
	list_each_safe(link, &state.waiting) {
		list_del(link);
		list_add_tail(&ready, link);
	}
	while (!list_empty(&ready)) {
		struct users_wait *wait = LIST_FIRST(&ready, struct users_wait, link);

		list_del(&wait->link);
		wait->ready(wait);
	}
}

void users_load(struct users_wait *wait)
{
	list_add_tail(&state.waiting, &wait->link);
	if (state.busy)
		return;
	state.busy = true;
	state.loading = xcalloc(1, sizeof(*state.loading));
	state.job = (struct job){.class = JOB_QUICK, .work = load_work, .done = load_done};
	/* Full queue: read here, which blocks, rather than leave the waiting without an answer. */
	if (job_submit(&state.job) < 0) {
		load_work(&state.job);
		load_done(&state.job);
	}
}

void users_cancel(struct users_wait *wait)
{
	list_del(&wait->link);
}

SYS_CHILD int users_unchanged(const struct users_stamps *stamps)
{
	struct file_stamp now;

	sys_stamp(PASSWD, &now);
	if (!sys_stamp_equal(&now, &stamps->passwd))
		return 0;
	sys_stamp(GROUP, &now);
	return sys_stamp_equal(&now, &stamps->group);
}

/* The workers' copy */

static struct {
	pthread_mutex_t mutex;
	struct users *current; /* which counts as one of its holders */
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void release(struct users *u)
{
	if (u && --u->holders == 0)
		users_free(u);
}

const struct users *users_hold(void)
{
	struct users *u;

	pthread_mutex_lock(&shared.mutex);
	u = shared.current;
	if (!u || !users_unchanged(&u->stamps)) {
		u = xcalloc(1, sizeof(*u));
		users_read(u);
		/* With a user's rights there may have been nothing to read: others try again. */
		if (u->n_users && u->n_groups) {
			release(shared.current);
			shared.current = u;
			u->holders++;
		}
	}
	u->holders++;
	pthread_mutex_unlock(&shared.mutex);
	return u;
}

void users_release(const struct users *u)
{
	pthread_mutex_lock(&shared.mutex);
	release((struct users *)u);
	pthread_mutex_unlock(&shared.mutex);
}

/* Resolving */

static const struct user_entry *user_by_name(const struct users *u, const char *name)
{
	for (size_t i = 0; i < u->n_users; i++) {
		if (strcmp(u->user[i].name, name) == 0)
			return &u->user[i];
	}
	return NULL;
}

static const struct user_entry *user_by_uid(const struct users *u, uid_t uid)
{
	for (size_t i = 0; i < u->n_users; i++) {
		if (u->user[i].uid == uid)
			return &u->user[i];
	}
	return NULL;
}

const char *users_user_name(const struct users *u, uid_t uid)
{
	const struct user_entry *e = user_by_uid(u, uid);

	return e ? e->name : NULL;
}

const char *users_group_name(const struct users *u, gid_t gid)
{
	for (size_t i = 0; i < u->n_groups; i++) {
		if (u->group[i].gid == gid)
			return u->group[i].name;
	}
	return NULL;
}

/* A uid or gid. */
static bool parse_id(const char *text, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (*end || errno || v >= NO_ID)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool resolve_group(const struct users *u, const char *text, gid_t *out)
{
	for (size_t i = 0; i < u->n_groups; i++) {
		if (strcmp(u->group[i].name, text) == 0) {
			*out = u->group[i].gid;
			return true;
		}
	}
	return parse_id(text, out);
}

static void add_supplementary(const struct users *u, const char *name, struct account *out)
{
	for (size_t i = 0; i < u->n_groups && out->n_groups < MAX_GROUPS; i++) {
		const struct group_entry *g = &u->group[i];

		for (char **m = g->members; *m; m++) {
			if (strcmp(*m, name) == 0 && g->gid != out->gid) {
				out->groups[out->n_groups++] = g->gid;
				break;
			}
		}
	}
}

static void fill(struct account *out, const struct user_entry *e, uid_t uid)
{
	out->uid = uid;
	out->gid = e ? e->gid : uid == 0 ? 0 : uid;
	if (e)
		snprintf(out->name, sizeof(out->name), "%s", e->name);
	else if (uid == 0)
		snprintf(out->name, sizeof(out->name), "root");
	else
		snprintf(out->name, sizeof(out->name), "%u", uid);
	snprintf(out->home, sizeof(out->home), "%s",
		e && *e->home ? e->home
		: uid == 0    ? "/root"
			      : "/");
	snprintf(out->shell, sizeof(out->shell), "%s", e && *e->shell ? e->shell : "/bin/sh");
}

int users_resolve(const struct users *u, const char *spec, struct account *out, struct failure *f)
{
	char name[256];
	const char *colon = spec ? strchr(spec, ':') : NULL;
	size_t len = spec ? (colon ? (size_t)(colon - spec) : strlen(spec)) : 0;
	const struct user_entry *e;
	uid_t uid;

	*out = (struct account){0};
	if (!spec) {
		uid = u->self;
		e = user_by_uid(u, uid);
	} else {
		if (len >= sizeof(name))
			return failure_set(
				f, ERR_NOT_FOUND, "user", NULL, "the user's name is too long");
		memcpy(name, spec, len);
		name[len] = '\0';
		e = user_by_name(u, name);
		if (e)
			uid = e->uid;
		else if (!parse_id(name, &uid))
			return failure_set(
				f, ERR_NOT_FOUND, "user", NULL, "no user %s in " PASSWD, name);
		else
			e = user_by_uid(u, uid);
	}
	fill(out, e, uid);
	if (colon && !resolve_group(u, colon + 1, &out->gid))
		return failure_set(
			f, ERR_NOT_FOUND, "user", NULL, "no group %.100s in " GROUP, colon + 1);
	out->groups[out->n_groups++] = out->gid; /* as initgroups(3) has it */
	if (!colon && e)
		add_supplementary(u, e->name, out);
	return 0;
}

/*
 * Assuming: on a worker.
 *
 * libc would change the ids of every thread; the kernel keeps them for each (nptl(7)).  Only the
 * effective ids change, and with them those that files are checked with: the real and the saved
 * user stays root, so that no process of that user can signal or trace the thread (kill(2),
 * ptrace(2)).  With the effective user root goes every effective capability, and comes back with
 * it (capabilities(7)).
 */
static struct {
	pthread_once_t once;
	bool can_assume;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int n_groups;
} own = {.once = PTHREAD_ONCE_INIT};

static void learn_own(void)
{
	uid_t real, saved;

	ASSERT(getresuid(&real, &own.uid, &saved) == 0);
	own.can_assume = own.uid == 0 && (real == 0 || saved == 0);
	own.gid = getegid();
	own.n_groups = getgroups(0, NULL);
	ASSERT(own.n_groups >= 0);
	own.groups = xcalloc(MAX((size_t)own.n_groups, 1), sizeof(*own.groups));
	ASSERT(getgroups(own.n_groups, own.groups) == own.n_groups);
}

static int set_groups(const gid_t *groups, size_t n)
{
	return (int)sys_raw(SYS_setgroups, (long)n, (long)groups, 0, 0, 0, 0);
}

/* NR is setresuid or setresgid: the effective id alone. */
static int set_effective(long nr, uint32_t id)
{
	return (int)sys_raw(nr, -1, id, -1, 0, 0, 0);
}

/* Other ids make the agent's memory dumpable where fs.suid_dumpable says so: prctl(2). */
static void keep_closed(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

int users_assume(const struct account *account)
{
	int err;

	pthread_once(&own.once, learn_own);
	ASSERT(geteuid() == own.uid); /* not twice */
	if (!own.can_assume)
		return account->uid == own.uid && account->gid == own.gid ? 0 : -EPERM;
	if (account->uid == (uid_t)-1 || account->gid == (gid_t)-1)
		return -EINVAL; /* to the kernel: as it was */
	err = set_groups(account->groups, account->n_groups);
	if (err)
		return err;
	err = set_effective(SYS_setresgid, account->gid);
	if (!err)
		err = set_effective(SYS_setresuid, account->uid);
	if (err)
		users_resume();
	keep_closed();
	return err;
}

void users_resume(void)
{
	if (!own.can_assume)
		return;
	/* The user first: the capabilities for the others come with it. */
	ASSERT(set_effective(SYS_setresuid, own.uid) == 0);
	ASSERT(set_effective(SYS_setresgid, own.gid) == 0);
	ASSERT(set_groups(own.groups, (size_t)own.n_groups) == 0);
	keep_closed();
}
