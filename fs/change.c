/* fs/change.c - the same done to a file, or to a directory and all that is below it */
#include "fs/change.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/path.h"

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

/* The first one is what the client is told; what is gone meanwhile needs no change. */
static void failed(
	struct changing *c, const struct change *change, struct work *w, const char *path, int err)
{
	if (!err || (err == -ENOENT && strcmp(path, change->path) != 0))
		return;
	if (c->n_failed++ == 0)
		work_fail(w, err, path, "%s %s", change->what, path);
}

/* To the path itself; says in *TYPE what that is. */
static int apply_to_root(const struct change *change, struct work *w, unsigned char *type)
{
	struct stat st;
	struct path p;
	int err = path_open(change->path, &p);

	if (!err && fstatat(p.dir, p.name, &st, 0) < 0)
		err = -errno;
	*type = err ? DT_UNKNOWN : IFTODT(st.st_mode);
	if (!err && !(*type == DT_DIR && change->recursive && change->children_first))
		err = change->apply(w, p.dir, p.name, *type, true);
	path_close(&p);
	return err;
}

static int start(struct changing *c, const struct change *change, struct work *w)
{
	unsigned char type;
	int err = apply_to_root(change, w, &type);

	failed(c, change, w, change->path, err);
	if (type != DT_DIR || !change->recursive) {
		c->at = CHANGE_LAST;
		return 0;
	}
	c->at = CHANGE_WALK;
	err = fs_walk_start(&c->walk, change->path, FS_WALK_FOLLOW_ROOT, canceled, w);
	if (err)
		failed(c, change, w, change->path, err);
	return err;
}

static void apply(struct changing *c, const struct change *change, struct work *w,
	const struct fs_walk_item *item)
{
	enum fs_walk_what when =
		item->type == DT_DIR && change->children_first ? FS_WALK_LEAVE : FS_WALK_ENTRY;

	if (item->what == FS_WALK_FAILED)
		failed(c, change, w, item->path, item->err);
	else if (item->what == when)
		failed(c, change, w, item->path,
			change->apply(w, item->dir, item->name, item->type, false));
}

static int finish(struct changing *c, struct work *w)
{
	size_t len = strlen(w->failure.message);

	if (c->n_failed > 1)
		snprintf(w->failure.message + len, sizeof(w->failure.message) - len,
			"; and %llu more failed", (unsigned long long)(c->n_failed - 1));
	return c->n_failed ? w->failure.err : 0;
}

static int walk(struct changing *c, const struct change *change, struct work *w, struct step *s)
{
	struct fs_walk_item item;

	while (!step_due(s)) {
		int more = fs_walk_next(&c->walk, &item);

		if (more <= 0)
			return more;
		apply(c, change, w, &item);
	}
	return STEP_MORE;
}

int change_step(struct changing *c, const struct change *change, struct work *w, struct step *s)
{
	int err = 0;

	if (c->at == CHANGE_START && start(c, change, w))
		return finish(c, w);
	if (c->at == CHANGE_WALK) {
		err = walk(c, change, w, s);
		if (err)
			return err;
		if (change->children_first) {
			struct change last = *change;
			unsigned char type;

			last.recursive = false;
			failed(c, change, w, change->path, apply_to_root(&last, w, &type));
		}
	}
	return finish(c, w);
}

void change_fini(struct changing *c)
{
	fs_walk_fini(&c->walk);
}
