/* ctl/tree.c - guestctl tree: directories of the guest and what is below them, drawn */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/entry.h"
#include "ctl/nodes.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

struct tree {
	const char *user;
	uint64_t depth;
	char **ignore; /* owned */
	size_t n_ignore;
};

enum { OPT_IGNORE = 256 };

static const struct option options[] = {
	{"depth", required_argument, NULL, 'L'},
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct tree *tree)
{
	int option;

	while ((option = getopt_long(argc, argv, "L:u:", options, NULL)) != -1) {
		if (option == OPT_IGNORE)
			tree->ignore[tree->n_ignore++] = optarg;
		else if (option == 'u')
			tree->user = optarg;
		else if (option != 'L')
			return ctl_bad_option(ctl, argv);
		else if (!parse_uint(optarg, UINT32_MAX, &tree->depth) || tree->depth == 0)
			return ctl_usage(ctl, "--depth takes a number from 1 on, not %s", optarg);
	}
	return 0;
}

static void tree_params(const struct tree *tree, const char *path, struct params *p)
{
	*p = (struct params){0};
	params_text(p, "path", path);
	params_text(p, "user", tree->user);
	params_texts(p, "ignore", tree->ignore, tree->n_ignore);
	if (tree->depth)
		params_uint(p, "depth", tree->depth);
}

/* LAST[depth]: nothing more follows beside the node around, at that depth. */
static void draw_node(const struct nodes *nodes, uint32_t i, const bool *last)
{
	const struct node *node = &nodes->list[i];
	const char *name = nodes_name(nodes, i);

	for (uint32_t d = 1; d < node->depth; d++)
		fputs(last[d] ? "    " : "│   ", stdout);
	fputs(last[node->depth] ? "└── " : "├── ", stdout);
	text_clean(stdout, name, strlen(name));
	if (node->type == NODE_DIR)
		putchar('/');
	if (node->type == NODE_SYMLINK) {
		fputs(" -> ", stdout);
		text_clean(stdout, nodes_target(nodes, i), strlen(nodes_target(nodes, i)));
	}
	putchar('\n');
}

/* Which nodes are the last ones in their directory, and how deep it goes. */
static uint32_t find_last(const struct nodes *nodes, bool *is_last)
{
	uint32_t deepest = 0;
	bool *seen = xcalloc(nodes->n, sizeof(*seen));

	for (uint32_t i = nodes->n - 1; i; i--) {
		const struct node *node = &nodes->list[i];

		is_last[i] = !seen[node->parent];
		seen[node->parent] = true;
		deepest = MAX(deepest, node->depth);
	}
	free(seen);
	return deepest;
}

static void draw(const struct nodes *nodes, const char *path)
{
	bool *is_last = xcalloc(nodes->n, sizeof(*is_last));
	bool *last = xcalloc((size_t)find_last(nodes, is_last) + 1, sizeof(*last));
	uint32_t dirs = 0;

	text_clean(stdout, path, strlen(path));
	putchar('\n');
	for (uint32_t i = 1; i < nodes->n && !ferror(stdout); i++) {
		last[nodes->list[i].depth] = is_last[i];
		draw_node(nodes, i, last);
		dirs += nodes->list[i].type == NODE_DIR;
	}
	printf("\n%" PRIu32 " directories, %" PRIu32 " files\n", dirs, nodes->n - 1 - dirs);
	free(last);
	free(is_last);
}

static int add_json(void *ctx, const struct val *entry)
{
	entries_json_add(ctx, entry);
	return ferror(stdout) ? -EIO : 0;
}

static int take_json(void *ctx, const struct client_msg *msg)
{
	return msg->type == MSG_EVENT ? entries_each(msg->event, add_json, ctx) : 0;
}

static int show_json(struct ctl *ctl, struct params *p)
{
	struct entries_json json = {0};
	const struct val *result;
	int status;

	params_flag(p, "stream", true);
	status = ask_stream(ctl, "fs.tree", p, take_json, &json, &result);
	if (!status || json.any)
		entries_json_end(&json, status ? NULL : result);
	return status ? status : report_skipped(ctl, result);
}

static int show(struct ctl *ctl, const char *path, void *ctx)
{
	struct nodes nodes;
	struct params p;
	bool skipped = false;
	int status;

	tree_params(ctx, path, &p);
	if (ctl->json)
		return show_json(ctl, &p);
	nodes_init(&nodes, 0);
	status = nodes_fetch(&nodes, ctl, &p, &skipped);
	if (!status)
		draw(&nodes, path);
	nodes_fini(&nodes);
	return !status && skipped ? STATUS_FAILED : status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct tree tree = {.ignore = xcalloc((size_t)argc, sizeof(*tree.ignore))};
	int status = parse(ctl, argc, argv, &tree);

	if (!status)
		status = remote_each(ctl, argc - optind, argv + optind, show, &tree);
	free(tree.ignore);
	return status;
}

COMMAND(tree) = {
	.name = "tree",
	.usage = "[-L N] [--ignore GLOB]… [-u USER] PATH…",
	.doc = "show directories of the guest and all below them",
	.options =
		"  -L, --depth N   not deeper than N\n"
		"  --ignore GLOB   leave these out, as in a .gitignore; again for more\n" USER_OPTION,
	.run = run,
};
