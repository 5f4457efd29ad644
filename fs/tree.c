/* fs/tree.c - fs.tree: all that is below a directory */
#include "fs/listing.h"
#include "guestd/method.h"

struct tree_args {
	struct who who;
	const char *path;
	uint64_t depth;
	struct strs ignore;
	uint64_t limit;
	bool stream;
};

static const struct arg tree_table[] = {
	ARG_INCLUDE(struct tree_args, who, user_table),
	ARG(struct tree_args, path, .required = true, .check = arg_abs_path),
	ARG(struct tree_args, depth),
	ARG(struct tree_args, ignore),
	ARG(struct tree_args, limit, .dflt = 10000, .min = 1),
	ARG(struct tree_args, stream),
	ARG_END,
};

static int tree_step(struct work *w, struct step *s)
{
	const struct tree_args *a = w->args;
	const struct listing_options options = {
		.path = a->path,
		.ignore = &a->ignore,
		.limit = a->limit,
		.depth = a->depth,
		.show_depth = true,
		.stream = a->stream,
	};

	return listing_step(w->state, &options, w, s);
}

static void tree_end(struct work *w)
{
	listing_fini(w->state);
}

static const struct steps tree_steps = {
	.state_size = sizeof(struct listing),
	.step = tree_step,
	.end = tree_end,
};

METHOD(fs_tree) = {
	.name = "fs.tree",
	.doc = "Lists all that is below a directory, in pre-order; links are not followed.",
	.args = tree_table,
	.args_size = sizeof(struct tree_args),
	.steps = &tree_steps,
	.streams = true,
	WHO(struct tree_args),
};
