/* tar/export.c - tar.export: a tree to the client as an archive, or one file as it is */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "fs/input.h"
#include "guestd/method.h"
#include "guestd/steps.h"
#include "proto/limits.h"
#include "tar/blocks.h"
#include "tar/digest.h"
#include "tar/pack.h"

/* Progress is told ten times a second at most. */
#define PROGRESS_US 100000u

enum { FORMAT_TAR, FORMAT_GZIP, FORMAT_ZSTD, FORMAT_RAW };
static const char *const formats[] = {"tar", "tar.gz", "tar.zst", "raw", NULL};

struct export_args {
	struct who who;
	struct members_args members;
	unsigned format;
	uint64_t level;
	const char *base;
	bool one_file_system, reproducible, keep_owner, names;
	int64_t mtime_us;
};

#define MTIME_MAX ((int64_t)1 << 53)

static const struct arg export_table[] = {
	ARG_INCLUDE(struct export_args, who, user_table),
	ARG_INCLUDE(struct export_args, members, members_table),
	ARG(struct export_args, format, .choices = formats, .dflt = FORMAT_GZIP),
	ARG(struct export_args, level, .min = 1),
	ARG(struct export_args, base, .check = arg_abs_path),
	ARG(struct export_args, one_file_system),
	ARG(struct export_args, reproducible),
	ARG(struct export_args, keep_owner),
	ARG(struct export_args, names),
	ARG(struct export_args, mtime_us, .min = -MTIME_MAX),
	ARG_END,
};

struct export
{
	struct pack pack;
	struct blocks blocks;
	struct input in; /* of `raw` */
	struct digest digest;
	uint64_t sent, raw_bytes;
	uint64_t progress_us; /* when it was told */
	bool begun, raw_open, packed;
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

/* What goes together and what does not. */
static int check(const struct export_args *a, const struct codec *codec, struct failure *f)
{
	if (!a->reproducible && (a->keep_owner || a->mtime_us))
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"%s is for reproducible archives: without that everything keeps its own",
			a->keep_owner ? "keep_owner" : "mtime_us");
	if (a->reproducible && a->names)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"names differ from machine to machine: leave out either names or reproducible");
	if (a->level && !codec)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"level is for tar.gz and tar.zst: %s is not compressed",
			formats[a->format]);
	if (a->level && a->level > (uint64_t)codec->level_max)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "level must be 1 to %d for %s",
			codec->level_max, formats[a->format]);
	return 0;
}

static const struct codec *codec_of(const struct export_args *a)
{
	switch (a->format) {
	case FORMAT_GZIP:
		return codec_gzip(a->reproducible, (int)MIN(a->level, 100));
	case FORMAT_ZSTD:
		return &codec_zstd;
	default:
		return NULL;
	}
}

static int begin_raw(struct export *x, const struct export_args *a, struct work *w)
{
	if (!a->members.path || a->members.paths.at || a->members.ignore.at || a->base ||
		a->reproducible || a->names)
		return failure_set(&w->failure, ERR_BAD_PARAMS, NULL, NULL,
			"raw is one file as it is: it takes a path, and nothing that is about archives");
	x->raw_open = true;
	return input_open(&x->in, a->members.path, 0, INPUT_ALL, &w->failure);
}

static int begin(struct export *x, const struct export_args *a, struct work *w)
{
	const struct pack_options options = {
		.members = &a->members,
		.base = a->base,
		.one_file_system = a->one_file_system,
		.reproducible = a->reproducible,
		.keep_owner = a->keep_owner,
		.mtime_us = a->mtime_us,
		.names = a->names,
	};
	const struct codec *codec = codec_of(a);
	int err = check(a, codec, &w->failure);

	if (err)
		return err;
	x->begun = true;
	x->progress_us = clock_mono_us();
	digest_begin(&x->digest);
	if (a->format == FORMAT_RAW)
		return begin_raw(x, a, w);
	err = pack_begin(&x->pack, w, &options);
	if (!err && codec)
		err = blocks_begin(&x->blocks, codec, (int)a->level, canceled, w, &w->failure);
	return err;
}

static int finish(struct export *x, const struct export_args *a, struct work *w)
{
	const struct pack *p = &x->pack;
	size_t n = 4, mark = enc_map_begin(&w->result), pairs = 0;
	bool raw = a->format == FORMAT_RAW;
	char hex[SHA256_HEX];

	sha256_hex(&x->digest.sha, hex);
	enc_kv_uint(&w->result, "files", raw ? 1 : p->files);
	enc_kv_uint(&w->result, "bytes", raw ? x->raw_bytes : p->bytes);
	enc_kv_uint(&w->result, "archive_bytes", x->sent);
	enc_kv_str(&w->result, "sha256", hex);
	if (!raw)
		pairs = skipped_encode(&p->skipped, &w->result);
	if (!pairs) {
		enc_str(&w->result, "skipped");
		enc_array(&w->result, 0);
		pairs = 1;
	}
	if (p->links.lost) {
		enc_str(&w->result, "lost");
		enc_array(&w->result, 1);
		enc_str(&w->result, "links");
		pairs++;
	}
	enc_map_end(&w->result, mark, n + pairs);
	return 0;
}

static void tell_progress(struct export *x, const struct export_args *a, struct step *s)
{
	uint64_t now = clock_mono_us();
	struct enc e;

	if (now - x->progress_us < PROGRESS_US)
		return;
	x->progress_us = now;
	step_event_begin(s, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", "progress");
	enc_kv_uint(&e, "files", x->pack.files);
	enc_kv_uint(&e, "bytes", a->format == FORMAT_RAW ? x->raw_bytes : x->pack.bytes);
	step_event_end(s, &e);
}

/* Each of these: STEP_MORE, 0 when all of it is in the block, or an error. */

static int raw_some(struct export *x, struct work *w, struct step *s)
{
	ssize_t n = input_read(&x->in, s->out + s->out_len, s->out_size - s->out_len, &w->failure);

	if (w->failure.err)
		return w->failure.err;
	if (n == -EAGAIN) {
		input_wait(&x->in);
		return STEP_MORE;
	}
	s->out_len += (size_t)n;
	x->raw_bytes += (uint64_t)n;
	return n ? STEP_MORE : 0;
}

static int pack_some(struct export *x, struct step *s)
{
	size_t n;
	int err = pack_fill(&x->pack, s, s->out + s->out_len, s->out_size - s->out_len, &n);

	s->out_len += n;
	return err;
}

static int compress_some(struct export *x, struct work *w, struct step *s)
{
	struct blocks *b = &x->blocks;
	ssize_t n = blocks_take(b, s->out + s->out_len, s->out_size - s->out_len);
	size_t len, used;
	char *room;
	int err;

	if (n < 0)
		return work_fail(w, (int)n, NULL, "cannot compress the archive");
	s->out_len += (size_t)n;
	if (blocks_done(b))
		return 0;
	room = x->packed ? NULL : blocks_room(b, &len);
	if (!room) {
		if (!n)
			blocks_work(b);
		return STEP_MORE;
	}
	err = pack_fill(&x->pack, s, room, len, &used);
	blocks_add(b, used);
	if (err)
		return err;
	x->packed = true;
	blocks_end(b);
	return STEP_MORE;
}

static int some(struct export *x, const struct export_args *a, struct work *w, struct step *s)
{
	if (a->format == FORMAT_RAW)
		return raw_some(x, w, s);
	return a->format == FORMAT_TAR ? pack_some(x, s) : compress_some(x, w, s);
}

static int export_step(struct work *w, struct step *s)
{
	const struct export_args *a = w->args;
	struct export *x = w->state;
	int err = x->begun ? 0 : begin(x, a, w);

	if (err)
		return err;
	do {
		err = some(x, a, w, s);
		digest_follow(&x->digest, s->out, s->out_len);
		tell_progress(x, a, s);
	} while (err == STEP_MORE && !step_due(s));
	digest_catch_up(&x->digest, s->out, s->out_len);
	x->sent += s->out_len;
	return err ? err : finish(x, a, w);
}

static void export_end(struct work *w)
{
	struct export *x = w->state;

	digest_fini(&x->digest);
	blocks_fini(&x->blocks);
	pack_fini(&x->pack);
	if (x->raw_open)
		input_close(&x->in);
}

static const struct steps export_steps = {
	.state_size = sizeof(struct export),
	.block = (size_t)2 * BLOCK_MAX, /* half the wake-ups of one */
	.step = export_step,
	.end = export_end,
};

METHOD(tar_export) = {
	.name = "tar.export",
	.doc = "Sends what is below one path or several as a tar archive, compressed or not; or one file raw.",
	.args = export_table,
	.args_size = sizeof(struct export_args),
	.streams = true,
	.steps = &export_steps,
	WHO(struct export_args),
};
