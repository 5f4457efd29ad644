/*
 * fs/watch_impl.h - what the parts of the pipe (watch_pipe.h) have of each other
 *
 * watch_scan.c does the two long works on the picture, cut into small steps: to compare a part of it
 * with what is there, and to remove a part of it.  watch_pending.c keeps changes for a while,
 * watch_unsure.c what is to be looked at once more.
 *
 * Functions return 0 or an error, where nothing else is said.
 */
#ifndef FS_WATCH_IMPL_H
#define FS_WATCH_IMPL_H

#include "fs/watch_pipe.h"

/* What `removal` and `scan` of the pipe do next; while either is on, no event is looked at. */
void watch_scan_begin(struct watch_pipe *p, uint32_t top, bool quiet);
/* Of all that is not sure; of all, where there is doubt. */
void watch_scan_unsure(struct watch_pipe *p);
/* QUIET: nobody is told.  REBORN: the entry stays, and is what its name is now. */
void watch_removal_begin(struct watch_pipe *p, uint32_t top, bool quiet, bool reborn);

/* A step: 0 or an error. */
MUST_CHECK int watch_scan_step(struct watch_pipe *p);
MUST_CHECK int watch_removal_step(struct watch_pipe *p);

/* A new entry that is told of, with what is in it, by the scan that begins with it.  0 or an error. */
MUST_CHECK int watch_scan_new(struct watch_pipe *p, uint32_t dir, const char *name, size_t len,
	const struct watch_stat *st, uint16_t flags);

/* The path of ENTRY below the root, of NAME in DIR; borrowed to the next call.  NULL: too long. */
const char *watch_path(struct watch_pipe *p, uint32_t entry);
const char *watch_path_in(struct watch_pipe *p, uint32_t dir, const char *name, size_t len);

/* What is there now: of ENTRY, of NAME in DIR.  0 or -errno. */
MUST_CHECK int watch_look(struct watch_pipe *p, uint32_t entry, struct watch_stat *st);
MUST_CHECK int watch_look_in(
	struct watch_pipe *p, uint32_t dir, const char *name, size_t len, struct watch_stat *st);

/* The directory DIR is to be read once more, when the events that are on their way have been. */
void watch_unsure(struct watch_pipe *p, uint32_t dir);

/*
 * What is known of that name is not there.  An event that is on its way may say where it went; when none
 * does, it was deleted, and the event came before others (watch_fanotify.c).
 */
void watch_absent(struct watch_pipe *p, uint32_t entry);

/*
 * All events were looked at: what was not sure then may be now.  Where the reason is not known to the
 * kernel, such as a directory above the root that was renamed, it is tried ever more rarely.
 */
bool watch_try_unsure(struct watch_pipe *p);
/* That scan is over. */
void watch_end_try(struct watch_pipe *p);

/* To be left out? */
bool watch_ignores(const struct watch_pipe *p, const char *path, bool dir);

void watch_set_stat(struct watch_pipe *p, uint32_t entry, const struct watch_stat *st);

/* Tells of ENTRY under the path that it has now. */
MUST_CHECK int watch_tell(struct watch_pipe *p, enum watch_type type, uint32_t entry);

/* Nothing comes from that directory any more. */
void watch_unwatch(struct watch_pipe *p, uint32_t dir);

/*
 * ENTRY was changed, as FLAG says (PICTURE_MODIFIED, PICTURE_ATTRIBUTES): told after a while, once.  A
 * file is changed under each of its names.
 */
MUST_CHECK int watch_mark(struct watch_pipe *p, uint32_t entry, unsigned flag);

/* Tells of it now, if there is anything; of the oldest one of all, where there is one. */
MUST_CHECK int watch_tell_pending(struct watch_pipe *p, uint32_t entry);
MUST_CHECK int watch_tell_oldest(struct watch_pipe *p);

#endif
