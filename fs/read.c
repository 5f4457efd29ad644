/* fs/read.c - fs.read: a file to the client */
#include <errno.h>

#include "fs/input.h"
#include "guestd/method.h"
#include "guestd/sha256.h"
#include "guestd/steps.h"
#include "proto/limits.h"

struct read_args {
	struct who who;
	const char *path;
	uint64_t offset, length;
	bool hash;
};

static const struct arg read_table[] = {
	ARG_INCLUDE(struct read_args, who, user_table),
	ARG(struct read_args, path, .required = true, .check = arg_abs_path),
	ARG(struct read_args, offset),
	ARG(struct read_args, length, .dflt = -1), /* INPUT_ALL */
	ARG(struct read_args, hash),
	ARG_END,
};

struct read {
	struct input in;
	struct sha256 hash;
	uint64_t size;
	bool open;
	bool splice; /* nobody here looks at the bytes: they need not come to us */
};

static int read_finish(struct work *w, struct read *r)
{
	const struct read_args *a = w->args;
	char hex[SHA256_HEX];

	enc_map_end(&w->result, enc_map_begin(&w->result), a->hash ? 2 : 1);
	enc_kv_uint(&w->result, "size", r->size);
	if (a->hash) {
		sha256_hex(&r->hash, hex);
		enc_kv_str(&w->result, "sha256", hex);
	}
	return 0;
}

static int read_open(struct work *w, struct read *r)
{
	const struct read_args *a = w->args;
	int err;

	r->open = true;
	sha256_begin(&r->hash);
	err = input_open(&r->in, a->path, a->offset, a->length, &w->failure);
	r->splice = !err && !a->hash && input_is_large(&r->in);
	return err;
}

/* STEP_MORE, or 0 at the end.  With nothing in the block and r->splice off: it is to be read. */
static int read_spliced(struct work *w, struct read *r, struct step *s)
{
	while (!step_due(s)) {
		ssize_t n = input_splice(&r->in, s);

		if (n == 0)
			return read_finish(w, r);
		if (n < 0) {
			r->splice = s->out_len > 0;
			break;
		}
		r->size += (uint64_t)n;
	}
	return STEP_MORE;
}

static int read_step(struct work *w, struct step *s)
{
	const struct read_args *a = w->args;
	struct read *r = w->state;
	int err = r->open ? 0 : read_open(w, r);

	if (err)
		return err;
	if (r->splice) {
		err = read_spliced(w, r, s);
		if (r->splice)
			return err;
	}
	while (!step_due(s)) {
		char *at = s->out + s->out_len;
		ssize_t n = input_read(&r->in, at, s->out_size - s->out_len, &w->failure);

		if (w->failure.err)
			return w->failure.err;
		if (n == 0)
			return read_finish(w, r);
		if (n == -EAGAIN && s->out_len)
			break; /* what is there is not to wait for what may come */
		if (n == -EAGAIN) {
			input_wait(&r->in);
			continue;
		}
		if (a->hash)
			sha256_add(&r->hash, at, (size_t)n);
		s->out_len += (size_t)n;
		r->size += (uint64_t)n;
	}
	return STEP_MORE;
}

static void read_end(struct work *w)
{
	struct read *r = w->state;

	if (r->open)
		input_close(&r->in);
}

static const struct steps read_steps = {
	.state_size = sizeof(struct read),
	.block = BLOCK_MAX,
	.step = read_step,
	.end = read_end,
};

METHOD(fs_read) = {
	.name = "fs.read",
	.doc = "Sends what a file holds, to its end or as much as asked for.",
	.args = read_table,
	.args_size = sizeof(struct read_args),
	.streams = true,
	.steps = &read_steps,
	WHO(struct read_args),
};
