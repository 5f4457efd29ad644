/* ctl/nodes.c - what a directory tree holds, of the guest's or of ours, in little memory */
#include "ctl/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/report.h"
#include "ctl/text.h"

/* A guest may tell of any number of files: with so many it is no tree, but an attack. */
#define NODES_MAX (1u << 24)
#define TEXT_MAX  (1u << 29)

/* The offset of a copy of LEN bytes, or -ENOBUFS. */
static int64_t add_text(struct nodes *nodes, const char *text, size_t len)
{
	size_t at = buf_len(&nodes->text);
	char *room = buf_reserve(&nodes->text, len + 1);

	if (!room)
		return -ENOBUFS;
	memcpy(room, text, len);
	room[len] = '\0';
	buf_commit(&nodes->text, len + 1);
	return (int64_t)at;
}

static struct node *add_node(struct nodes *nodes)
{
	if (nodes->n == nodes->cap) {
		uint32_t cap = MAX(64, nodes->cap * 2);
		struct node *grown = cap <= NODES_MAX ? calloc(cap, sizeof(*grown)) : NULL;

		if (!grown)
			return NULL;
		if (nodes->n)
			memcpy(grown, nodes->list, nodes->n * sizeof(*grown));
		free(nodes->list);
		nodes->list = grown;
		nodes->cap = cap;
	}
	return &nodes->list[nodes->n];
}

int nodes_add(struct nodes *nodes, uint32_t parent, const struct node_info *info)
{
	struct node *node = add_node(nodes);
	int64_t name = add_text(nodes, info->name, info->name_len);
	int64_t target = info->target ? add_text(nodes, info->target, info->target_len) : 0;

	if (!node || name < 0 || target < 0)
		return -ENOBUFS;
	*node = (struct node){
		.size = info->type == NODE_FILE ? info->size : 0,
		.parent = parent,
		.depth = nodes->n ? nodes->list[parent].depth + 1 : 0,
		.name = (uint32_t)name,
		.target = (uint32_t)target,
		.mode = info->mode & 0777,
		.type = (uint8_t)info->type,
	};
	nodes->bytes += node->size;
	nodes->n++;
	return 0;
}

void nodes_init(struct nodes *nodes, unsigned mode)
{
	struct node_info root = {.type = NODE_DIR, .mode = mode, .name = ""};

	*nodes = (struct nodes){0};
	buf_init(&nodes->text, TEXT_MAX);
	ASSERT(nodes_add(nodes, 0, &root) == 0);
}

void nodes_fini(struct nodes *nodes)
{
	free(nodes->list);
	buf_fini(&nodes->text);
}

const char *nodes_name(const struct nodes *nodes, uint32_t i)
{
	return buf_bytes(&nodes->text) + nodes->list[i].name;
}

const char *nodes_target(const struct nodes *nodes, uint32_t i)
{
	return buf_bytes(&nodes->text) + nodes->list[i].target;
}

char *nodes_path(const struct nodes *nodes, uint32_t i, const char *root)
{
	size_t len = strlen(root), end;
	char *path;

	while (len && root[len - 1] == '/')
		len--; /* "/" itself, too: a slash comes before each name */
	end = len;
	for (uint32_t k = i; k; k = nodes->list[k].parent)
		end += 1 + strlen(nodes_name(nodes, k));
	if (end == 0)
		return xstrdup("/");
	path = xmalloc(end + 1);
	path[end] = '\0';
	memcpy(path, root, len);
	for (uint32_t k = i; k; k = nodes->list[k].parent) {
		size_t name_len = strlen(nodes_name(nodes, k));

		end -= name_len;
		memcpy(path + end, nodes_name(nodes, k), name_len);
		path[--end] = '/';
	}
	return path;
}

bool nodes_lost(struct nodes *nodes, uint32_t i)
{
	struct node *node = &nodes->list[i];

	node->failed = node->failed || nodes->list[node->parent].failed;
	return node->failed;
}

/* -- from the guest -------------------------------------------------------------------------- */

struct fetch {
	struct nodes *nodes;
	const char *why; /* what is wrong with the agent's tree */
};

static enum node_type node_type(const struct val *type)
{
	if (text_is(type, "file"))
		return NODE_FILE;
	if (text_is(type, "dir"))
		return NODE_DIR;
	return text_is(type, "symlink") ? NODE_SYMLINK : NODE_OTHER;
}

/* A guest is not trusted: a name is to be one of a directory's, and not the way out of it. */
static bool is_name(const char *name, size_t len)
{
	if (len == 0 || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* The node that what comes at DEPTH is in: of the one before it, or above that. */
static bool find_parent(const struct nodes *nodes, uint64_t depth, uint32_t *parent)
{
	uint32_t i = nodes->n - 1;

	while (nodes->list[i].depth >= depth && i)
		i = nodes->list[i].parent;
	*parent = i;
	return nodes->list[i].depth + 1 == depth && nodes->list[i].type == NODE_DIR;
}

/* 0 or -errno with f->why. */
static int fetch_entry(struct fetch *f, const struct val *entry)
{
	struct node_info info = {.type = node_type(val_get(entry, "type"))};
	uint64_t depth, mode;
	uint32_t parent;

	f->why = "an entry without a name or a depth";
	if (!val_bytes(val_get(entry, "name"), &info.name, &info.name_len) ||
		!val_uint(val_get(entry, "depth"), &depth))
		return -EBADMSG;
	f->why = "a name that none can be";
	if (!is_name(info.name, info.name_len))
		return -EBADMSG;
	f->why = "an entry without a directory that it is in";
	if (!find_parent(f->nodes, depth, &parent))
		return -EBADMSG;
	f->why = "a symbolic link whose target is none";
	if (info.type == NODE_SYMLINK &&
		(!val_bytes(val_get(entry, "target"), &info.target, &info.target_len) ||
			info.target_len == 0 || memchr(info.target, '\0', info.target_len)))
		return -EBADMSG;
	val_uint(val_get(entry, "size"), &info.size);
	if (val_uint(val_get(entry, "mode"), &mode))
		info.mode = mode & 0777;
	f->why = "more entries, or longer names, than can be meant";
	return nodes_add(f->nodes, parent, &info);
}

static int fetch_take(void *ctx, const struct client_msg *msg)
{
	struct fetch *f = ctx;
	const struct val *entries = val_get(msg->event, "entries");

	if (msg->type != MSG_EVENT)
		return 0;
	for (size_t i = 0; val_type(entries) == VAL_ARRAY && i < val_count(entries); i++) {
		if (fetch_entry(f, val_at(entries, i)))
			return -ECANCELED;
	}
	f->why = NULL;
	return 0;
}

int nodes_fetch(struct nodes *nodes, struct ctl *ctl, struct params *p, bool *skipped)
{
	struct fetch f = {.nodes = nodes};
	const struct val *result;
	int status;

	params_flag(p, "stream", true);
	status = ask_stream(ctl, "fs.tree", p, fetch_take, &f, &result);
	if (f.why)
		return ctl_fail(ctl, "the agent's tree is not to be trusted: %s", f.why);
	if (!status)
		*skipped = report_skipped(ctl, result) != STATUS_OK;
	return status;
}
