/*
 * fs/watch_disk.h - the files that a watch looks at, as watch_pipe.h asks for them
 *
 *	disk_open_root(&d, "/srv", &f);
 *	...
 *	disk_close(&d);
 *
 * It holds nothing open that lies in the tree, but while a directory is read: what is watched can be
 * removed and unmounted as ever.
 *
 * Owner: the caller.  Thread: worker, one at a time.
 */
#ifndef FS_WATCH_DISK_H
#define FS_WATCH_DISK_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fs/path.h"
#include "fs/watch_pipe.h"
#include "proto/err.h"

/* File systems that were looked at last. */
#define DISK_KNOWN 16u

struct watch_disk {
	char *root; /* where the path led when the watch began; "" for the root of all */
	bool dir;
	bool remote; /* out: some of it lies on a network file system or FUSE */

	/* private */
	struct buf path;
	int parent; /* the directory that was looked into last, or -1; and its id */
	uint64_t parent_id;
	DIR *open;
	dev_t known[DISK_KNOWN];
	size_t n_known;
};

/* D is zeroed.  disk_close in any case.  0 or an error with F filled. */
MUST_CHECK int disk_open_root(struct watch_disk *d, const char *path, struct failure *f);
void disk_close(struct watch_disk *d);

/* The path of what lies BELOW the root ("", "/a"), borrowed to the next call. */
const char *disk_path(struct watch_disk *d, const char *below);
const char *disk_path_of(struct watch_disk *d, const struct watch_place *at);

/* As of struct watch_ops; the descriptor of the directory, which stays ours, or -errno. */
MUST_CHECK int disk_enter(
	struct watch_disk *d, const struct watch_place *at, struct watch_stat *st);
int disk_next(struct watch_disk *d, const char **name, bool *dir);
int disk_stat(struct watch_disk *d, const char *name, struct watch_stat *st);
void disk_leave(struct watch_disk *d);
int disk_look(struct watch_disk *d, const struct watch_place *at, struct watch_stat *st);

/* Closes what is kept open from one look to the next. */
void disk_rest(struct watch_disk *d);

#endif
