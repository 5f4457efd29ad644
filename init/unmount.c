/* init/unmount.c - file systems out of the tree, before the machine ends */
#include "init/unmount.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define MOUNTINFO "/proc/self/mountinfo"

/* Some thousand mounts: more is left to the kernel, which has been told to sync. */
#define TEXT_MAX (1u << 20)

/* The kernel writes blanks and the like as \ooo (proc_pid_mountinfo(5)). */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* The fifth field: where it is mounted.  NULL for a line that has none. */
static char *mount_point(char *line)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);

	for (int i = 1; field && i < 5; i++)
		field = strtok_r(NULL, " ", &save);
	if (field)
		unescape(field);
	return field;
}

/* Kernel file systems hold nothing, and the ones below /dev, /proc and /sys are such. */
static bool holds_nothing(const char *path)
{
	static const char *const tops[] = {"/dev", "/proc", "/sys"};

	for (size_t i = 0; i < ARRAY_LEN(tops); i++) {
		size_t n = strlen(tops[i]);

		if (strncmp(path, tops[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
			return true;
	}
	return false;
}

static void unmount(const char *path)
{
	if (holds_nothing(path))
		return;
	if (strcmp(path, "/") != 0 && umount2(path, UMOUNT_NOFOLLOW) == 0)
		return;
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_info("init", "still mounted path=%s err=%s", path, strerror(errno));
}

void unmount_all(void)
{
	char *text = xmalloc(TEXT_MAX);
	ssize_t len = fd_read_file(MOUNTINFO, text, TEXT_MAX);
	char *line;

	if (len < 0)
		log_warn("init", "cannot read " MOUNTINFO " err=%s", strerror((int)-len));
	while (len > 0 && (line = memrchr(text, '\n', (size_t)len))) {
		char *begin, *path;

		*line = '\0';
		begin = memrchr(text, '\n', (size_t)(line - text));
		begin = begin ? begin + 1 : text;
		path = mount_point(begin);
		if (path)
			unmount(path);
		len = begin - text;
	}
	free(text);
}
