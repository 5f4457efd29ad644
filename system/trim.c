/* system/trim.c - system.trim: tells the disks below which blocks nothing lies in any more */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "guestd/method.h"
#include "guestd/work.h"
#include "system/mountinfo.h"

/* The bytes that were free, or -errno: some file systems cannot, and some disks do not want it. */
static int64_t trim(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fstrim_range range = {.len = UINT64_MAX};

	if (fd < 0 || ioctl(fd, FITRIM, &range) < 0)
		return -errno;
	return (int64_t)MIN(range.len, (uint64_t)INT64_MAX);
}

static bool is_candidate(const struct mount_entry *m)
{
	return m->writable && !m->hidden && !m->again && !m->remote && !m->blocked;
}

static int trim_work(struct work *w)
{
	struct enc *e = &w->result;
	struct mountinfo mounts;
	size_t mark, n = 0;
	int err = mountinfo_read(&mounts);

	if (err) {
		mountinfo_fini(&mounts);
		return work_fail(w, err, "/proc/self/mountinfo", "cannot list the file systems");
	}
	enc_map_end(e, enc_map_begin(e), 1);
	enc_str(e, "filesystems");
	mark = enc_array_begin(e);
	for (size_t i = 0; i < mounts.n && !work_canceled(w); i++) {
		int64_t bytes = is_candidate(&mounts.at[i]) ? trim(mounts.at[i].path) : -ENOTTY;

		/* It is no disk, or one that has no use for it: nothing was left undone. */
		if (bytes == -ENOTTY || bytes == -EOPNOTSUPP)
			continue;
		enc_map_end(e, enc_map_begin(e), 2);
		enc_kv_text(e, "path", mounts.at[i].path);
		if (bytes < 0)
			enc_kv_str(e, "error", err_name((int)bytes));
		else
			enc_kv_uint(e, "bytes", (uint64_t)bytes);
		n++;
	}
	enc_array_end(e, mark, n);
	mountinfo_fini(&mounts);
	return work_canceled(w) ? -ECANCELED : 0;
}

METHOD(system_trim) = {
	.name = "system.trim",
	.doc = "Gives free blocks of file systems back to the disks below them.",
	.work = trim_work,
	.changes = true,
};
