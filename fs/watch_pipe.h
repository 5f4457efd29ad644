/*
 * fs/watch_pipe.h - what the kernel reports becomes what a client is told: the middle of fs.watch
 *
 *	watch_pipe_init(&p, &options, &ops, ctx);
 *	...
 *	watch_pipe_feed(&p, &event);	// what was read from the kernel
 *	switch (watch_pipe_run(&p))	// works it through, as far as there is room
 *
 * It keeps a picture of the tree and changes it in the order of the events.  What an event says of a
 * name is taken as true, in that order, whatever is there by now; a directory that is read may be
 * ahead of the events, which then say nothing new.  So nothing is told twice, and after the last
 * event the picture is what is there.
 *
 * To read a directory is one thing, whether it is new, or known and compared after an overflow: it is
 * watched first, then read, and each difference is marked in the picture.  A walk through the picture
 * tells of the marks, in parts as there is room, before the next event is looked at.
 *
 * It touches no file and no clock itself: `ops` do.  Paths in here are those below the root: "" for
 * the root, "/a/b".
 *
 * Owner: the caller.  Thread: one at a time.
 */
#ifndef FS_WATCH_PIPE_H
#define FS_WATCH_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/watch_picture.h"
#include "proto/args.h"

/* What the kernel says; those without a name are of the directory itself. */
enum watch_kind {
	WATCH_CREATE,
	WATCH_DELETE,
	WATCH_MODIFY,
	WATCH_CLOSE, /* after it was open for writing: what was mapped may have changed */
	WATCH_ATTRIB,
	WATCH_FROM, /* the halves of a rename share a cookie */
	WATCH_TO,
	WATCH_RENAME,  /* both */
	WATCH_CHECK,   /* nothing, but look whether what is known of that name is so */
	WATCH_SELF,    /* deleted, moved, unmounted */
	WATCH_STOPPED, /* nothing more will be said under that key */
	WATCH_OVERFLOW,
};

struct watch_event {
	enum watch_kind kind;
	bool dir;
	uint32_t cookie;
	uint64_t key;     /* of the directory */
	const char *name; /* borrowed; need not end in a NUL */
	size_t name_len;
	uint64_t to_key; /* of WATCH_RENAME */
	const char *to_name;
	size_t to_len;
};

/* A file as it is now. */
struct watch_stat {
	uint64_t id; /* of the inode and its file system, never 0 */
	int64_t mtime_ns;
	uint64_t size;
	uint32_t attributes; /* a digest: owner, mode */
	bool dir;
};

enum watch_type {
	WATCH_CREATED,
	WATCH_MODIFIED,
	WATCH_DELETED,
	WATCH_RENAMED,
	WATCH_ATTRIBUTES,
	WATCH_UNWATCHED, /* that directory cannot be read: `err` */
	WATCH_OVERFLOWED,
	WATCH_RESYNCED,
};

struct watch_report {
	enum watch_type type;
	const char *path, *old_path; /* the latter of WATCH_RENAMED; borrowed */
	bool dir;
	bool replaced; /* something else had that name */
	int err;
};

/*
 * NAME in the directory that has DIR_ID and should be at the path DIR: it may have been renamed, which
 * the events at hand do not tell yet, and another one be there.  That is -ESTALE.  NAME is "" for the
 * root itself.
 */
struct watch_place {
	const char *dir, *name;
	uint64_t dir_id;
};

struct watch_ops {
	/*
	 * Watches the directory AT from now on, under a key that is the same for the same directory
	 * and no other (0: it is not watched), and opens it for `next`.  0 or an error; -ENOENT and
	 * -ENOTDIR where there is no such directory any more.
	 */
	int (*open)(void *ctx, const struct watch_place *at, struct watch_stat *st, uint64_t *key);
	/* The next name in it, borrowed to the next call: 1, 0 at the end, or an error. */
	int (*next)(void *ctx, const char **name, bool *dir);
	/* That name.  0 or -errno. */
	int (*stat)(void *ctx, const char *name, struct watch_stat *st);
	void (*close)(void *ctx);
	/* 0 or -errno. */
	int (*look)(void *ctx, const struct watch_place *at, struct watch_stat *st);
	/* Nobody wants to hear of KEY any more, which may be gone by itself. */
	void (*unwatch)(void *ctx, uint64_t key);
	/* Forgets all that the kernel has not told yet. */
	void (*drain)(void *ctx);
	/* Tells the client. */
	void (*report)(void *ctx, const struct watch_report *report);
	/* No more reports fit, or it is somebody else's turn. */
	bool (*full)(void *ctx);
	uint64_t (*now_us)(void *ctx); /* monotonic */
};

struct watch_options {
	bool recursive;
	const struct strs *ignore;
	uint64_t coalesce_us;
	/*
	 * The directory around the root is watched as well, for what becomes of the root, which has
	 * that name in it; 0: it is not.
	 */
	uint64_t around_key;
	const char *name;
	/* Of the attributes of a directory only itself tells, not the one around it. */
	bool own_attributes;
};

struct watch_pipe {
	/* out */
	uint64_t watches; /* directories, but for the one around */
	uint64_t wait_us; /* of PIPE_IDLE: until when, by now_us(); UINT64_MAX: for ever */
	struct picture picture;

	/* private */
	struct watch_options o;
	const struct watch_ops *ops;
	void *ctx;
	bool patterns_of_paths;
	uint32_t root;
	struct buf queue; /* events that were fed */
	uint64_t from_since_us;
	struct buf path, old_path;
	char name[PICTURE_NAME_MAX + 1];
	struct {
		struct watch_pending {
			uint32_t entry;
			uint64_t due_us;
		} * at;
		size_t size, first, n;
	} pending;
	/*
	 * A walk that compares, all or only what is not sure, and the removal of a part of the picture,
	 * which goes first.
	 */
	struct {
		uint32_t top, at; /* at is 0: there is none */
		bool quiet, unsure;
	} scan;
	struct {
		uint32_t top, at;
		bool quiet, reborn;
	} removal;
	/* Directories that could not be read while events about them were on their way, absent names. */
	bool unsure;
	bool asked; /* the kernel, for more: nothing was fed since */
	/* Events and what was read ahead of them got into each other's way: all is compared once more. */
	bool doubt;
	uint64_t unsure_wait_us, unsure_at_us; /* when that is tried once more */
	uint64_t absent_until_us;              /* not before then: events may be a little late */
	uint64_t unsure_since_us;              /* since when it is being tried; 0: it is not */
	/* Names to be looked at next. */
	struct watch_check {
		uint64_t key;
		char name[PICTURE_NAME_MAX + 1];
	} check[2];
	unsigned n_checks;
	/* What the event at hand renames took the place of a directory, which was empty. */
	bool taken, replaced;
	bool ready, rescan, resyncing, gone;
};

enum pipe_result {
	PIPE_READY = 1001, /* once: all of it is watched and known */
	PIPE_MORE,         /* it was full */
	PIPE_IDLE,         /* feed it, or wait */
	PIPE_GONE,         /* the root is */
};

/* OPTIONS are copied; what they point to is borrowed.  watch_pipe_fini in any case. */
MUST_CHECK int watch_pipe_init(struct watch_pipe *p, const struct watch_options *options,
	const struct watch_ops *ops, void *ctx);
void watch_pipe_fini(struct watch_pipe *p);

/* Room for so many bytes of events, names and 64 bytes for each. */
size_t watch_pipe_room(const struct watch_pipe *p);
void watch_pipe_feed(struct watch_pipe *p, const struct watch_event *event);

/* All of it is compared with what is there, and a client told as after an overflow. */
void watch_pipe_rescan(struct watch_pipe *p);

/* A pipe_result, or an error: ERR_LIMIT, what open() said, ...; then it is over. */
MUST_CHECK int watch_pipe_run(struct watch_pipe *p);

#endif
