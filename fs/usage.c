/* fs/usage.c - fs.usage: how full is the file system that a path lies on? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct usage_args {
	struct who who;
	const char *path;
};

static const struct arg usage_table[] = {
	ARG_INCLUDE(struct usage_args, who, user_table),
	ARG(struct usage_args, path, .required = true, .check = arg_abs_path),
	ARG_END,
};

/* The mount that FD is on, as proc_pid_fdinfo(5) has it; 0 where that file does not know. */
static uint64_t mount_of(int fd)
{
	char path[64], text[512];
	const char *line;

	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	if (fd_read_file(path, text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "mnt_id:");
	return line ? strtoull(line + strlen("mnt_id:"), NULL, 10) : 0;
}

/* Its type; false where /proc does not know. */
static bool type_of_mount(uint64_t id, char *type, size_t size)
{
	struct mounts mounts;
	bool found = false;

	if (!id || mounts_read(&mounts))
		return false;
	for (size_t i = 0; i < mounts.n && !found; i++) {
		found = mounts.at[i].id == id;
		if (found)
			snprintf(type, size, "%s", mounts.at[i].type);
	}
	mounts_free(&mounts);
	return found;
}

static int look(const struct path *p, struct statfs *fs, char *type, size_t size)
{
	int fd = openat(p->dir, p->name, O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = fstatfs(fd, fs) < 0 ? -errno : 0;
	/* Its magic number, where there is no name because /proc is not mounted. */
	if (!err && !type_of_mount(mount_of(fd), type, size))
		snprintf(type, size, "0x%lx", (unsigned long)fs->f_type);
	fd_close(&fd);
	return err;
}

static uint64_t bytes_of(uint64_t blocks, const struct statfs *fs)
{
	uint64_t size = (uint64_t)(fs->f_frsize ? fs->f_frsize : fs->f_bsize);
	const uint64_t max = UINT64_C(1) << 53; /* as every number of the wire */

	return size && blocks > max / size ? max : blocks * size;
}

static int usage_work(struct work *w)
{
	const struct usage_args *a = w->args;
	struct enc *e = &w->result;
	struct statfs fs = {0};
	char type[64];
	struct path p;
	int err = path_open(a->path, &p);

	if (!err)
		err = look(&p, &fs, type, sizeof(type));
	path_close(&p);
	if (err)
		return work_fail(w, err, a->path, "cannot look at the file system of %s", a->path);
	enc_map_end(e, enc_map_begin(e), 6);
	enc_kv_uint(e, "total", bytes_of(fs.f_blocks, &fs));
	enc_kv_uint(e, "free", bytes_of(fs.f_bfree, &fs));
	enc_kv_uint(e, "available", bytes_of(fs.f_bavail, &fs));
	enc_kv_uint(e, "files", MIN(fs.f_files, UINT64_C(1) << 53));
	enc_kv_uint(e, "files_free", MIN(fs.f_ffree, UINT64_C(1) << 53));
	enc_kv_text(e, "type", type);
	return 0;
}

METHOD(fs_usage) = {
	.name = "fs.usage",
	.doc = "Tells how full the file system is that a path lies on; available: to users who are not root.",
	.args = usage_table,
	.args_size = sizeof(struct usage_args),
	.work = usage_work,
	WHO(struct usage_args),
};
