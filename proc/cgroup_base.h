/*
 * proc/cgroup_base.h - the agent's own part of the tree of cgroups (cgroup.h draws it)
 *
 * Only a cgroup without processes can have controllers for those below it, but for the real root
 * (cgroups(7), "no internal processes").  So the agent leaves OWN where it is alone in it.
 *
 * Thread: loop, and only at start and end.
 */
#ifndef PROC_CGROUP_BASE_H
#define PROC_CGROUP_BASE_H

#include <limits.h>
#include <stdbool.h>

#include "base/check.h"

enum controller { CG_MEMORY, CG_PIDS, CG_CPU, N_CONTROLLERS };

struct cgroup_base {
	int dir;             /* guestd.PID; -1: there are none */
	char path[PATH_MAX]; /* the same */
	char seen[PATH_MAX]; /* as /proc/PID/cgroup names it, with a slash at the end */

	/* Why limits cannot be set: a sentence with the remedy; "" where they can. */
	char lacks[N_CONTROLLERS][200];

	bool taken; /* guestd.PID is the predecessor's, with all that lives in it */
	bool notes; /* cgfs_note works */

	/* private */
	int own;
	char own_path[PATH_MAX], name[32], agent[32];
	bool moved;
};

extern const char *const controller_names[N_CONTROLLERS];

struct cgroup_terms {
	const char *setting; /* "auto", "off", or the path of OWN */
	const char *run_dir; /* a dead agent with the same one is our predecessor */
	bool kill;           /* what that started, rather than go on with it */
};

/*
 * Finds OWN and makes guestd.PID in it, or takes over that of the predecessor; removes what other dead
 * agents left there.  0; -errno when there are no cgroups, with the reason in B->lacks.
 */
MUST_CHECK int cgroup_base_open(struct cgroup_base *b, const struct cgroup_terms *terms);

/* Removes guestd.PID, if it is empty, and then goes back into OWN. */
void cgroup_base_close(struct cgroup_base *b);

/* What can be had there, and for the first that cannot, why. */
void cgroup_base_log(const struct cgroup_base *b);

/* A mount of cgroup2: two fields of /proc/self/mountinfo. */
struct cgroup_mount {
	const char *root, *point;
};

/*
 * What is at DIR on this mount, as /proc/PID/cgroup names it; and the other way round.  Into OUT of
 * PATH_MAX bytes; false where it does not show there.
 */
bool cgroup_mount_seen(const struct cgroup_mount *m, const char *dir, char *out);
bool cgroup_mount_dir(const struct cgroup_mount *m, const char *seen, char *out);

#endif
