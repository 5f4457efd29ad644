/* init/place.c - which cgroup a process of ours is in */
#include "init/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"

static int write_to(const char *name, const char *file, const char *text)
{
	char path[256];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "%s/%s/%s", PLACE_TOP, name, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* 0 or -errno. */
static int move_to(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", PLACE_TOP, name);
	for (char *slash = path + strlen(PLACE_TOP) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0755); /* what fails here fails below */
		*slash = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	return write_to(name, "cgroup.procs", "0"); /* the writer */
}

void place_self(const char *name)
{
	int err;

	if (access(PLACE_TOP "/cgroup.procs", F_OK) < 0)
		return;
	err = move_to(name);
	if (err)
		log_warn("init", "cannot move into cgroup=%s/%s err=%s", PLACE_TOP, name,
			strerror(-err));
}

const char *place_apart(void)
{
	static char own[320];
	char text[256], file[512], *path;

	if (fd_read_file("/proc/self/cgroup", text, sizeof(text)) <= 0)
		return NULL;
	path = strncmp(text, "0::/", 4) == 0 ? text + 4 : NULL;
	if (!path || strlen(path) >= sizeof(own) - sizeof(PLACE_TOP) || strstr(path, ".."))
		return NULL;
	path[strcspn(path, "\n")] = '\0';
	snprintf(own, sizeof(own), "%s%s%s", PLACE_TOP, *path ? "/" : "", path);
	snprintf(file, sizeof(file), "%s/cgroup.events", own);
	if (access(file, F_OK) < 0)
		return NULL; /* the root alone has none (cgroups(7)) */
	snprintf(file, sizeof(file), "%s%sguestd.init", path, *path ? "/" : "");
	/* Where that is refused the agent says what cannot be had for it. */
	return move_to(file) ? NULL : own;
}

void place_allow_limits(const char *name)
{
	static const char *const words[] = {"+memory", "+pids", "+cpu"};

	/* One by one: that one is not there says nothing of the others. */
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		int err = write_to(name, "cgroup.subtree_control", words[i]);

		if (err && err != -ENOENT)
			log_info("init", "cgroup=%s/%s takes no %s err=%s", PLACE_TOP, name,
				words[i], strerror(-err));
	}
}
