/* fs/entry.c - a file as the wire tells of it */
#include "fs/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "fs/path.h"

/* No number on the wire exceeds what JavaScript holds exactly. */
#define WIRE_MAX ((INT64_C(1) << 53))

const char *const entry_types[] = {
	"file", "dir", "symlink", "fifo", "socket", "char", "block", NULL};

unsigned entry_type_index(mode_t mode)
{
	static const mode_t formats[] = {
		S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	unsigned i = 0;

	while (i < ARRAY_LEN(formats) && formats[i] != (mode & S_IFMT))
		i++;
	return i < ARRAY_LEN(formats) ? i
				      : 0; /* some of the kernel's own have none: /proc/PID/fd */
}

const char *entry_type(mode_t mode)
{
	return entry_types[entry_type_index(mode)];
}

void entry_names_begin(struct entry_names *names)
{
	*names = (struct entry_names){.users = users_hold()};
	names->user = users_user_name(names->users, 0);
	names->group = users_group_name(names->users, 0);
}

void entry_names_end(struct entry_names *names)
{
	users_release(names->users);
	names->users = NULL;
}

static void look_up(struct entry_names *names, uid_t uid, gid_t gid)
{
	if (names->uid != uid) {
		names->uid = uid;
		names->user = users_user_name(names->users, uid);
	}
	if (names->gid != gid) {
		names->gid = gid;
		names->group = users_group_name(names->users, gid);
	}
}

int64_t entry_time_us(const struct timespec *t)
{
	if (t->tv_sec >= WIRE_MAX / 1000000)
		return WIRE_MAX;
	if (t->tv_sec <= -WIRE_MAX / 1000000)
		return -WIRE_MAX;
	return t->tv_sec * 1000000 + t->tv_nsec / 1000;
}

int entry_read(int dir, const char *name, bool follow, struct entry *out)
{
	ssize_t n = -1;

	if (fstatat(dir, name, &out->st, follow ? AT_NO_AUTOMOUNT : AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* One that may not be read, in /proc, is an entry all the same. */
	if (S_ISLNK(out->st.st_mode))
		n = readlinkat(dir, name, out->target, sizeof(out->target) - 1);
	out->has_target = n >= 0;
	if (out->has_target)
		out->target[n] = '\0';
	return 0;
}

size_t entry_encode(const struct entry *entry, const char *path, size_t depth,
	struct entry_names *names, struct enc *e)
{
	const struct stat *st = &entry->st;
	size_t n = 11, mark = enc_map_begin(e), len;
	const char *name = path_base(path, &len);

	look_up(names, st->st_uid, st->st_gid);
	enc_kv_text(e, "path", path);
	enc_str(e, "name");
	enc_text(e, name, len);
	enc_kv_str(e, "type", entry_type(st->st_mode));
	enc_kv_uint(e, "size", (uint64_t)MIN(st->st_size, WIRE_MAX));
	enc_kv_uint(e, "mode", st->st_mode & 07777);
	enc_kv_uint(e, "uid", st->st_uid);
	enc_kv_uint(e, "gid", st->st_gid);
	if (names->user) {
		enc_kv_text(e, "user", names->user);
		n++;
	}
	if (names->group) {
		enc_kv_text(e, "group", names->group);
		n++;
	}
	enc_kv_int(e, "mtime_us", entry_time_us(&st->st_mtim));
	enc_kv_int(e, "ctime_us", entry_time_us(&st->st_ctim));
	enc_kv_uint(e, "ino", st->st_ino & (WIRE_MAX - 1));
	enc_kv_uint(e, "nlink", st->st_nlink);
	if (entry->has_target) {
		enc_kv_text(e, "target", entry->target);
		n++;
	}
	if (depth) {
		enc_kv_uint(e, "depth", depth);
		n++;
	}
	enc_map_end(e, mark, n);
	return n;
}
