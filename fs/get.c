/* fs/get.c - fs.get: fs.read in one response */
#include <errno.h>
#include <stdlib.h>

#include "fs/input.h"
#include "guestd/method.h"
#include "guestd/steps.h"

/* The most that one call gets: what a frame holds. */
#define GET_MAX (1u << 20)

/* What stands around the data in the result. */
#define AROUND 48u

struct get_args {
	struct who who;
	const char *path;
	uint64_t offset, length;
};

static const struct arg get_table[] = {
	ARG_INCLUDE(struct get_args, who, user_table),
	ARG(struct get_args, path, .required = true, .check = arg_abs_path),
	ARG(struct get_args, offset),
	ARG(struct get_args, length, .dflt = GET_MAX, .max = GET_MAX),
	ARG_END,
};

struct get {
	struct input in;
	char *data;
	size_t len, cap;
	bool open;
};

static int get_open(struct work *w, struct get *g)
{
	const struct get_args *a = w->args;
	size_t length = (size_t)MIN(a->length, w->max_result - AROUND);

	g->open = true;
	return input_open(&g->in, a->path, a->offset, length, &w->failure);
}

/* Room for one more read: what the file says that it has, and a byte that finds its end. */
static int get_grow(struct work *w, struct get *g)
{
	size_t cap = MAX(2 * g->cap, (size_t)MIN(g->in.size, GET_MAX - 1) + 1);
	char *data;

	if (g->len < g->cap)
		return 0;
	cap = MIN(MAX(cap, 4096), GET_MAX + 1);
	data = realloc(g->data, cap);
	if (!data)
		return work_fail(w, -ENOMEM, NULL, "no room for the contents");
	g->data = data;
	g->cap = cap;
	return 0;
}

static int get_finish(struct work *w, const struct get *g, bool eof)
{
	enc_map_end(&w->result, enc_map_begin(&w->result), 3);
	enc_kv_bin(&w->result, "data", g->data ? g->data : "", g->len);
	enc_kv_uint(&w->result, "size", g->len);
	enc_kv_bool(&w->result, "eof", eof);
	return 0;
}

static int get_step(struct work *w, struct step *s)
{
	struct get *g = w->state;
	int err = g->open ? 0 : get_open(w, g);

	while (!err) {
		ssize_t n;

		err = get_grow(w, g);
		if (err)
			break;
		n = input_read(&g->in, g->data + g->len, g->cap - g->len, &w->failure);
		if (n == 0)
			return get_finish(
				w, g, g->in.left || (!g->in.live && input_at_end(&g->in)));
		if (n == -EAGAIN && !w->failure.err)
			input_wait(&g->in);
		else if (n < 0 || w->failure.err)
			return w->failure.err;
		else
			g->len += (size_t)n;
		if (step_due(s))
			return STEP_MORE;
	}
	return err;
}

static void get_end(struct work *w)
{
	struct get *g = w->state;

	if (g->open)
		input_close(&g->in);
	free(g->data);
}

static const struct steps get_steps = {
	.state_size = sizeof(struct get),
	.step = get_step,
	.end = get_end,
};

METHOD(fs_get) = {
	.name = "fs.get",
	.doc = "Answers with what a file holds, one frame at most.",
	.args = get_table,
	.args_size = sizeof(struct get_args),
	.steps = &get_steps,
	WHO(struct get_args),
};
