/*
 * guestd/users.h - who a process runs as, from the guest's own files
 *
 * /etc/passwd and /etc/group are read on a worker and kept.  Whether they still say the same is
 * asked by each child on its way to exec (spawn.h), off the loop and for two system calls;
 * only when they changed are they read again.  No NSS: it cannot be linked statically, and an
 * image need not have it.
 *
 * Thread: loop, unless said otherwise.  Workers that only want names have a copy of their own.
 */
#ifndef GUESTD_USERS_H
#define GUESTD_USERS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/sys.h"
#include "proto/err.h"

#define MAX_GROUPS 256

struct account {
	uid_t uid;
	gid_t gid;
	gid_t groups[MAX_GROUPS]; /* supplementary */
	size_t n_groups;
	char name[256], home[1024], shell[1024];
};

/* The files, and how they were found. */
struct users;

struct users_stamps {
	struct file_stamp passwd, group;
};

/* NULL until users_load had its first result. */
const struct users *users_current(void);
const struct users_stamps *users_stamps(const struct users *u);

/* Somebody who waits for the files to be read. */
struct users_wait {
	struct list link; /* users.waiting */
	void (*ready)(struct users_wait *wait);
};

/* Reads the files anew; ready() is called in a later turn, once. */
void users_load(struct users_wait *wait);
void users_cancel(struct users_wait *wait);

/*
 * SPEC: name, uid, user:group or uid:gid; NULL is the user that the agent itself runs as.
 * A number needs no entry.  0, or ERR_NOT_FOUND with F filled.
 */
int users_resolve(const struct users *u, const char *spec, struct account *out, struct failure *f);

/* Do the files on disk still bear these stamps?  In a child of spawn.c: raw calls only. */
int users_unchanged(const struct users_stamps *stamps);

/*
 * For workers: the files as they are now, read anew where they changed, shared by all who hold
 * them; never NULL.  Any thread but the loop, which must not wait for files.
 */
const struct users *users_hold(void);
void users_release(const struct users *u);

/* The first entry with that id, as in getpwuid(3); NULL where there is none.  Borrowed from U. */
const char *users_user_name(const struct users *u, uid_t uid);
const char *users_group_name(const struct users *u, gid_t gid);

/*
 * The calling worker, and no other thread, works with the rights of ACCOUNT until users_resume():
 * the kernel checks them.  Not for what executes or creates threads.  0 or -errno, then nothing
 * has changed: -EPERM also where the agent is not root and ACCOUNT is not its own.
 */
MUST_CHECK int users_assume(const struct account *account);

/* The agent's own rights again; aborts rather than go on with others.  After users_assume() only. */
void users_resume(void);

#endif
