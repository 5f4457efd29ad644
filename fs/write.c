/* fs/write.c - fs.write: a file from what the client sends */
#include "fs/output.h"
#include "guestd/method.h"
#include "guestd/steps.h"

struct write_args {
	struct who who;
	struct output_args out;
};

static const struct arg write_table[] = {
	ARG_INCLUDE(struct write_args, who, who_table),
	ARG_INCLUDE(struct write_args, out, output_table),
	ARG_END,
};

struct write {
	struct path_owner owner;
	struct output out;
	bool open;
};

static int write_open(struct work *w, struct write *wr)
{
	const struct write_args *a = w->args;
	int err = output_check(&a->out, &w->failure);

	if (err)
		return err;
	wr->owner = (struct path_owner){w->uid, w->gid};
	wr->open = true;
	err = output_open(&wr->out, &a->out, w->has_owner ? &wr->owner : NULL, NULL, &w->failure);
	return err ? err : STEP_MORE;
}

static int write_step(struct work *w, struct step *s)
{
	struct write *wr = w->state;
	int err;

	if (!wr->open)
		return write_open(w, wr);
	err = output_feed(&wr->out, s, s->in, s->in_len, &s->in_used, &w->failure);
	if (err)
		return err;
	return s->in_end ? output_finish(&wr->out, w) : STEP_MORE;
}

static void write_end(struct work *w)
{
	struct write *wr = w->state;

	if (wr->open)
		output_close(&wr->out);
}

static const struct steps write_steps = {
	.state_size = sizeof(struct write),
	.input = true,
	.step = write_step,
	.end = write_end,
};

METHOD(fs_write) = {
	.name = "fs.write",
	.doc = "Writes what the client sends into a file: all of it or nothing.",
	.args = write_table,
	.args_size = sizeof(struct write_args),
	.streams = true,
	.steps = &write_steps,
	WHO(struct write_args),
	.changes = true,
};
