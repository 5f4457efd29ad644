/* fs/put.c - fs.put: fs.write in one request */
#include "fs/output.h"
#include "guestd/method.h"
#include "guestd/steps.h"

struct put_args {
	struct who who;
	struct output_args out;
	struct bytes data;
};

static const struct arg put_table[] = {
	ARG_INCLUDE(struct put_args, who, who_table),
	ARG_INCLUDE(struct put_args, out, output_table),
	ARG(struct put_args, data, .required = true),
	ARG_END,
};

struct put {
	struct path_owner owner;
	struct output out;
	size_t used;
	bool open;
};

static int put_step(struct work *w, struct step *s)
{
	const struct put_args *a = w->args;
	struct put *p = w->state;
	int err = 0;

	if (!p->open) {
		err = output_check(&a->out, &w->failure);
		if (err)
			return err;
		p->owner = (struct path_owner){w->uid, w->gid};
		p->open = true;
		err = output_open(
			&p->out, &a->out, w->has_owner ? &p->owner : NULL, NULL, &w->failure);
	}
	if (!err)
		err = output_feed(&p->out, s, a->data.at, a->data.len, &p->used, &w->failure);
	return err ? err : output_finish(&p->out, w);
}

static void put_end(struct work *w)
{
	struct put *p = w->state;

	if (p->open)
		output_close(&p->out);
}

/* A fifo or a terminal may take it slowly: no worker waits for that. */
static const struct steps put_steps = {
	.state_size = sizeof(struct put),
	.step = put_step,
	.end = put_end,
};

METHOD(fs_put) = {
	.name = "fs.put",
	.doc = "Writes a file in one request: all of it or nothing.",
	.args = put_table,
	.args_size = sizeof(struct put_args),
	.steps = &put_steps,
	WHO(struct put_args),
	.changes = true,
};
