/* fs/mkdir.c - fs.mkdir: makes a directory, and with parents those on the way */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mode.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct mkdir_args {
	struct who who;
	const char *path;
	bool parents;
	uint64_t mode;
	bool exist_ok;
};

static const struct arg mkdir_table[] = {
	ARG_INCLUDE(struct mkdir_args, who, who_table),
	ARG(struct mkdir_args, path, .required = true, .check = arg_abs_path),
	ARG(struct mkdir_args, parents, .dflt = true),
	ARG(struct mkdir_args, mode, .dflt = 0755, .max = 07777),
	ARG(struct mkdir_args, exist_ok, .dflt = true),
	ARG_END,
};

static bool is_dir(const struct path *p)
{
	struct stat st;

	return fstatat(p->dir, p->name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/*
 * Its owner and mode; the mode last, because a new owner takes the set-id bits.  Whatever the umask
 * and the directory around it made of the mode, it is as asked for; but for an inherited set-gid
 * bit, which only says to whom new files in it belong.
 */
static int finish(const struct work *w, int dir, const char *name)
{
	const struct mkdir_args *a = w->args;
	mode_t mode = (mode_t)a->mode;
	struct stat st;

	if (w->has_owner && fchownat(dir, name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	mode |= st.st_mode & S_ISGID;
	return (st.st_mode & 07777) == mode ? 0 : mode_set(dir, name, mode);
}

static int open_dir_of(const struct work *w, const struct mkdir_args *a, struct path *p)
{
	const struct path_owner owner = {w->uid, w->gid};

	if (!a->parents)
		return path_open(a->path, p);
	return path_open_parents(a->path, w->has_owner ? &owner : NULL, p);
}

static int mkdir_work(struct work *w)
{
	const struct mkdir_args *a = w->args;
	char name[PATH_MAX];
	struct path p;
	bool created = false;
	int err = open_dir_of(w, a, &p);

	if (!err) {
		created = mkdirat(p.dir, p.name, (mode_t)a->mode & 01777) == 0;
		err = created ? 0 : -errno;
	}
	if (err == -EEXIST && a->exist_ok && is_dir(&p))
		err = 0;
	if (created) {
		path_copy_plain(p.name, name);
		err = finish(w, p.dir, name);
		if (err) /* what is not as it was asked for is not left */
			unlinkat(p.dir, name, AT_REMOVEDIR);
	}
	path_close(&p);
	if (err)
		return work_fail(w, err, a->path, "cannot make the directory %s", a->path);
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_kv_bool(&w->result, "created", created);
	return 0;
}

METHOD(fs_mkdir) = {
	.name = "fs.mkdir",
	.doc = "Makes a directory, and those on the way to it; one that is there is left as it is.",
	.args = mkdir_table,
	.args_size = sizeof(struct mkdir_args),
	.work = mkdir_work,
	WHO(struct mkdir_args),
	.changes = true,
};
