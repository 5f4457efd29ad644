/*
 * fs/watch_kernel.h - the two interfaces of Linux that tell of changes, as one
 *
 * inotify(7) watches directory by directory.  fanotify(7) with FAN_REPORT_DFID_NAME and FAN_RENAME
 * (Linux 5.17, CAP_SYS_ADMIN) watches whole file systems, and names directories by file handles.
 *
 * Functions return 0 or an error with F filled, where nothing else is said.  Owner: the caller.
 * Thread: one at a time.
 */
#ifndef FS_WATCH_KERNEL_H
#define FS_WATCH_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/watch_pipe.h"
#include "proto/err.h"

/* File systems that one watch marks. */
#define WATCH_MARKED_MAX 64u

struct watch_kernel;

struct watch_backend {
	const char *name;
	bool own_attributes; /* as in struct watch_options */
	int (*start)(struct watch_kernel *k, struct failure *f);
	/*
	 * The directory FD, called PATH, is watched under *KEY.  ERR_LIMIT: as many are as may be.
	 * ROOT: also for what becomes of itself.
	 */
	int (*watch)(struct watch_kernel *k, int fd, const char *path, bool root, uint64_t *key,
		struct failure *f);
	/* The same for the one around the root, which is a file or directory in it. */
	int (*around)(struct watch_kernel *k, const char *path, bool file, uint64_t *key,
		struct failure *f);
	void (*unwatch)(struct watch_kernel *k, uint64_t key);
	/* Feeds P with the next events, as many as it has room for: 1, or 0 where there are none now. */
	int (*read)(struct watch_kernel *k, struct watch_pipe *p);
};

extern const struct watch_backend watch_inotify, watch_fanotify;

struct watch_kernel {
	const struct watch_backend *backend;
	int wait_fd; /* readable when there are events */
	/* Is anybody interested in such changes? */
	bool modified, attributes;

	/* private */
	int fd;       /* inotify or fanotify */
	int root_fd;  /* beside fanotify, inotify for what becomes of the root; or -1 */
	int epoll_fd; /* of the two, or -1 */
	uint64_t root_key;
	char *buf;
	uint64_t marked[WATCH_MARKED_MAX]; /* file systems */
	size_t n_marked;
};

/* K is zeroed. */
void watch_kernel_init(struct watch_kernel *k);

/* Then watch_kernel_stop in any case. */
MUST_CHECK int watch_kernel_start(
	struct watch_kernel *k, const struct watch_backend *backend, struct failure *f);
void watch_kernel_stop(struct watch_kernel *k);

/* Forgets what was not read. */
void watch_kernel_drain(struct watch_kernel *k);

/* "fs.inotify.max_user_watches is 8192", of the file under /proc/sys; TEXT of LEN bytes. */
void watch_kernel_limit(const char *name, char *text, size_t len);

/* For the two backends: reads into buf.  Bytes, or 0. */
size_t watch_kernel_read(struct watch_kernel *k, size_t len);

#define WATCH_READ_MAX (16u << 10)

#endif
