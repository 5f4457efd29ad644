/*
 * tar/import.c - tar.import: an archive that the client sends, made files
 *
 *	input -> decode -> reader -> extract
 *
 * All of them are pushed: a step takes what input there is and returns, so no worker waits for a client.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "fs/attrs.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/steps.h"
#include "proto/limits.h"
#include "tar/decode.h"
#include "tar/extract.h"
#include "tar/reader.h"

/* Progress is told ten times a second at most. */
#define PROGRESS_US 100000u

struct import_args {
	struct who who;
	const char *path;
	unsigned format, links;
	uint64_t strip, max_entries, max_bytes;
	bool overwrite, devices, progress;
};

/* In the order of enum decode_format. */
static const char *const formats[] = {"auto", "tar", "tar.gz", "tar.zst", NULL};
enum { LINKS_INSIDE, LINKS_KEEP };
static const char *const links[] = {"inside", "keep", NULL};

static const struct arg import_table[] = {
	ARG_INCLUDE(struct import_args, who, who_table),
	ARG(struct import_args, path, .required = true, .check = arg_abs_path),
	ARG(struct import_args, format, .choices = formats),
	ARG(struct import_args, strip, .max = TAR_NAME_MAX),
	ARG(struct import_args, overwrite, .dflt = true),
	ARG(struct import_args, links, .choices = links),
	ARG(struct import_args, devices),
	ARG(struct import_args, max_entries, .dflt = IMPORT_ENTRIES, .max = IMPORT_ENTRIES),
	ARG(struct import_args, max_bytes, .dflt = IMPORT_BYTES, .max = IMPORT_BYTES),
	ARG(struct import_args, progress),
	ARG_END,
};

struct import {
	enum { OPENING, READING, FINISHING } doing;
	bool counted, extracting;
	struct path_owner owner;
	struct extract_how how;
	struct decode decode;
	struct tar_reader reader;
	struct extract extract;
	uint64_t unpacked; /* bytes of the archive, uncompressed */
	uint64_t told_us;
	/* What was made, for who is told that not all was: the first ones. */
	struct buf made;
	struct enc made_enc;
	uint64_t made_told, made_total;
};

/* Imports that are going on, of all connections. */
static atomic_uint n_imports;

/* -- the directory ----------------------------------------------------------------------------- */

/* Is there nothing in it? */
static bool is_empty(int fd)
{
	int at = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = at < 0 ? NULL : fdopendir(at);
	const struct dirent *entry;
	bool empty = true;

	if (!dir) {
		fd_close(&at);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(dir);
	return empty;
}

/* The directory PATH, made where it is not there.  A descriptor or -errno. */
static int open_root(const char *path, const struct path_owner *owner)
{
	char name[PATH_MAX];
	struct path p;
	int err = path_open_parents(path, owner, &p), make_err, fd = -1;

	if (!err && strlen(p.name) >= sizeof(name))
		err = -ENAMETOOLONG;
	if (!err) {
		path_copy_plain(p.name, name);
		make_err = mkdirat(p.dir, name, 0755) < 0 ? -errno : 0;
		fd = openat(p.dir, name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | (make_err ? 0 : O_NOFOLLOW));
		err = fd < 0 ? -errno : 0;
		if (err == -ENOENT)
			err = make_err;
		if (fd >= 0 && !make_err && owner && fchown(fd, owner->uid, owner->gid) < 0)
			err = -errno;
	}
	path_close(&p);
	if (err)
		fd_close(&fd);
	return err ? err : fd;
}

static int begin(struct work *w, struct import *im)
{
	const struct import_args *a = w->args;
	int root, err;

	im->doing = READING;
	im->counted = true;
	decode_begin(&im->decode, (enum decode_format)a->format);
	tar_reader_init(&im->reader);
	buf_init(&im->made, MIN(IMPORT_WRITTEN_MAX, w->max_result / 4));
	im->made_enc.buf = &im->made;
	if (atomic_fetch_add(&n_imports, 1) >= IMPORTS_MAX)
		return failure_set(&w->failure, ERR_LIMIT, NULL, NULL,
			"%u imports are going on (imports)", IMPORTS_MAX);
	im->owner = (struct path_owner){w->uid, w->gid};
	im->how = (struct extract_how){
		.path = a->path,
		.owner = w->has_owner ? &im->owner : NULL,
		/* Who else could give files away? */
		.archive_owner = !a->who.user && geteuid() == 0,
		.keep_links = a->links == LINKS_KEEP,
		.devices = a->devices,
		.overwrite = a->overwrite,
		.strip = a->strip,
	};
	root = open_root(a->path, im->how.owner);
	if (root < 0)
		return work_fail(w, root, a->path, "cannot open the directory %s", a->path);
	im->how.keep_root = !is_empty(root);
	im->extracting = true;
	err = extract_begin(&im->extract, root, &im->how, &w->failure);
	return err ? err : STEP_MORE;
}

/* -- entries ----------------------------------------------------------------------------------- */

static int check_limits(struct work *w, struct import *im)
{
	const struct import_args *a = w->args;

	if (im->reader.entries > a->max_entries)
		return failure_set(&w->failure, ERR_LIMIT, "read", NULL,
			"the archive has more than %llu entries (max_entries)",
			(unsigned long long)a->max_entries);
	return 0;
}

static void note_made(struct import *im)
{
	size_t before = buf_len(&im->made);

	if (im->made_total++ != im->made_told) /* the first ones, without gaps */
		return;
	enc_text(&im->made_enc, im->extract.path, strlen(im->extract.path));
	if (!im->made_enc.failed) {
		im->made_told++;
		return;
	}
	im->made_enc.failed = false;
	if (before)
		im->made.tail = im->made.head + before;
	else
		buf_clear(&im->made);
}

/* What the reader got. */
static int take(struct work *w, struct import *im)
{
	struct tar_reader *r = &im->reader;
	struct extract *x = &im->extract;
	int err = 0;

	switch (r->got) {
	case TAR_ENTRY:
		err = check_limits(w, im);
		return err ? err : extract_entry(x, r, &w->failure);
	case TAR_DATA:
		return extract_data(x, r->data_at, r->data, r->data_len, &w->failure);
	case TAR_DONE:
		err = extract_done(x, &w->failure);
		if (!err && x->path)
			note_made(im);
		return err;
	case TAR_NEED:
	case TAR_OVER:
		break;
	}
	return 0;
}

/* All of what was decoded. */
static int read_some(struct work *w, struct import *im, const char *bytes, size_t len)
{
	const struct import_args *a = w->args;
	size_t used = 0;
	int err;

	im->unpacked += len;
	if (im->unpacked > a->max_bytes)
		return failure_set(&w->failure, ERR_LIMIT, "read", NULL,
			"the archive holds more than %llu bytes (max_bytes)",
			(unsigned long long)a->max_bytes);
	do {
		err = tar_read(&im->reader, bytes + used, len - used, &used, &w->failure);
		if (!err)
			err = take(w, im);
	} while (
		!err && (used < len || (im->reader.got != TAR_NEED && im->reader.got != TAR_OVER)));
	return err;
}

/* -- the end ----------------------------------------------------------------------------------- */

static bool is_due(const void *ctx)
{
	return step_due(ctx);
}

static bool is_canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static size_t encode_counts(const struct import *im, struct enc *e)
{
	enc_kv_uint(e, "files", im->extract.files);
	enc_kv_uint(e, "bytes", im->extract.bytes);
	return 2;
}

static size_t encode_lost(const struct import *im, struct enc *e)
{
	static const struct {
		unsigned what;
		const char *name;
	} names[] = {
		{ATTRS_LOST_OWNER, "owner"},
		{ATTRS_LOST_MODE, "mode"},
		{ATTRS_LOST_TIMES, "times"},
		{ATTRS_LOST_XATTRS, "xattrs"},
		{EXTRACT_LOST_FLAGS, "flags"},
	};
	size_t mark, n = 0;

	if (!im->extract.lost)
		return 0;
	enc_str(e, "lost");
	mark = enc_array_begin(e);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (im->extract.lost & names[i].what) {
			enc_str(e, names[i].name);
			n++;
		}
	}
	enc_array_end(e, mark, n);
	return 1;
}

static int reply(struct work *w, const struct import *im)
{
	struct enc *e = &w->result;
	size_t mark = enc_map_begin(e), n = encode_counts(im, e);

	if (im->extract.stripped) {
		enc_kv_uint(e, "stripped", im->extract.stripped);
		n++;
	}
	enc_map_end(e, mark, n + encode_lost(im, e));
	return 0;
}

/* Not all of it: ERR, as the failure says, and what there is by now. */
static int fail(struct work *w, struct import *im, int err)
{
	struct enc *e = &w->result;
	size_t mark, list, n;

	(void)!extract_finish(&im->extract, is_canceled, w);
	mark = enc_map_begin(e);
	n = encode_counts(im, e);
	enc_str(e, "written");
	list = enc_array_begin(e);
	if (buf_len(&im->made) && buf_add(e->buf, buf_bytes(&im->made), buf_len(&im->made)) < 0)
		e->failed = true;
	enc_array_end(e, list, (size_t)im->made_told);
	enc_kv_uint(e, "written_total", im->made_total);
	enc_map_end(e, mark, n + 2);
	w->tells_more = true;
	return err;
}

/* -- steps ------------------------------------------------------------------------------------- */

static void tell_progress(struct work *w, struct import *im, struct step *s)
{
	const struct import_args *a = w->args;
	uint64_t now = clock_mono_us();
	struct enc e;
	size_t mark;

	if (!a->progress || now - im->told_us < PROGRESS_US)
		return;
	im->told_us = now;
	step_event_begin(s, &e);
	mark = enc_map_begin(&e);
	enc_kv_str(&e, "type", "progress");
	enc_map_end(&e, mark, 1 + encode_counts(im, &e));
	step_event_end(s, &e);
}

/* STEP_MORE, 0 when the archive is whole, or an error. */
static int read_input(struct work *w, struct import *im, struct step *s)
{
	struct decode *d = &im->decode;
	const char *in = s->in_len ? s->in : ""; /* without any it is NULL */
	int err;

	do {
		err = decode(d, in + s->in_used, s->in_len - s->in_used, s->in_end, &s->in_used,
			&w->failure);
		if (!err)
			err = read_some(w, im, d->out, d->out_len);
		if (err)
			return err;
		tell_progress(w, im, s);
	} while (d->out_len && !step_due(s));
	if (d->out_len || s->in_used < s->in_len || !s->in_end)
		return STEP_MORE;
	err = decode_end(d, &w->failure);
	return err ? err : tar_reader_end(&im->reader, &w->failure);
}

static int import_step(struct work *w, struct step *s)
{
	struct import *im = w->state;
	int err;

	if (im->doing == OPENING)
		return begin(w, im);
	if (im->doing == READING) {
		err = read_input(w, im, s);
		if (err)
			return err == STEP_MORE ? err : fail(w, im, err);
		im->doing = FINISHING;
	}
	err = extract_finish(&im->extract, is_due, s);
	if (err == LATE_MORE)
		return STEP_MORE;
	return err ? work_fail(w, err, im->how.path, "cannot set the times of directories")
		   : reply(w, im);
}

static void import_end(struct work *w)
{
	struct import *im = w->state;

	tar_reader_fini(&im->reader);
	decode_fini(&im->decode);
	buf_fini(&im->made);
	if (im->counted)
		atomic_fetch_sub(&n_imports, 1);
	if (im->extracting)
		extract_end(&im->extract);
}

static const struct steps import_steps = {
	.state_size = sizeof(struct import),
	.input = true,
	.step = import_step,
	.end = import_end,
};

METHOD(tar_import) = {
	.name = "tar.import",
	.doc = "Unpacks an archive that the client sends: below a directory, and nowhere else.",
	.args = import_table,
	.args_size = sizeof(struct import_args),
	.streams = true,
	.writes = true,
	.steps = &import_steps,
	WHO(struct import_args),
};
