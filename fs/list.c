/* fs/list.c - fs.list: what is in a directory */
#include "fs/listing.h"
#include "guestd/method.h"

struct list_args {
	struct who who;
	const char *path;
	bool hidden;
	uint64_t limit;
	bool stream;
};

static const struct arg list_table[] = {
	ARG_INCLUDE(struct list_args, who, user_table),
	ARG(struct list_args, path, .required = true, .check = arg_abs_path),
	ARG(struct list_args, hidden, .dflt = true),
	ARG(struct list_args, limit, .min = 1),
	ARG(struct list_args, stream),
	ARG_END,
};

static int list_step(struct work *w, struct step *s)
{
	const struct list_args *a = w->args;
	const struct listing_options options = {
		.path = a->path,
		.limit = a->limit,
		.depth = 1,
		.no_hidden = !a->hidden,
		.stream = a->stream,
	};

	return listing_step(w->state, &options, w, s);
}

static void list_end(struct work *w)
{
	listing_fini(w->state);
}

static const struct steps list_steps = {
	.state_size = sizeof(struct listing),
	.step = list_step,
	.end = list_end,
};

METHOD(fs_list) = {
	.name = "fs.list",
	.doc = "Lists a directory, sorted by name: what fits into one response, or with stream all of it.",
	.args = list_table,
	.args_size = sizeof(struct list_args),
	.steps = &list_steps,
	.streams = true,
	WHO(struct list_args),
};
