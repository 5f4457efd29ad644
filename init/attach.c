/* init/attach.c - file systems on devices, mounted when the device is there */
#include "init/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "init/superblock.h"
#include "machine/mounting.h"

#define TAG_LOOK_MS 100

/* A few dozen lines; the image of a kernel that has more of them may name the type. */
#define FILESYSTEMS_MAX 4096

static int mount_as(const struct attach *a, const char *source, const char *type)
{
	const char *options = a->options ? a->options : "";
	char *data = xmalloc(strlen(options) + 1);
	unsigned long flags = mounting_parse(options, data) | (a->read_only ? MS_RDONLY : 0);
	int err = mounting_do(source, a->target, type, flags, data);

	/* As mount(8) does: what is attached read-only is so for a reason. */
	if ((err == -EACCES || err == -EROFS) && *a->device && !(flags & MS_RDONLY)) {
		err = mounting_do(source, a->target, type, flags | MS_RDONLY, data);
		if (!err)
			log_warn("init", "%s cannot be written to: mounted read-only", source);
	}
	free(data);
	if (!err)
		log_info("init", "mounted source=%s path=%s type=%s", source, a->target, type);
	return err;
}

/* Of no type that is known here: each that the kernel has, as the kernel does for its own root. */
static int mount_as_any(const struct attach *a)
{
	char text[FILESYSTEMS_MAX], *rest = text, *line;
	ssize_t n = fd_read_file("/proc/filesystems", text, sizeof(text));
	int err = -ENODEV;

	if (n < 0)
		return (int)n;
	while ((line = strsep(&rest, "\n"))) {
		int this;

		if (*line != '\t' || !line[1])
			continue;
		this = mount_as(a, a->device, line + 1);
		if (!this)
			return 0;
		/* EINVAL is "not mine"; any other answer came from one that knows it. */
		if (err == -ENODEV || this != -EINVAL)
			err = this;
	}
	return err;
}

static int mount_found(const struct attach *a)
{
	cleanup_fd int fd = open(a->device, O_RDONLY | O_CLOEXEC);
	struct superblock sb;

	if (fd < 0)
		return -errno;
	if (!superblock_read(fd, &sb))
		return mount_as_any(a);
	return mount_as(a, a->device, sb.type);
}

/* The device behind a tag has no node to wait for: the mount fails until it is there. */
static int mount_tag(const struct attach *a)
{
	uint64_t until = clock_mono_us() + a->wait_s * UINT64_C(1000000);
	bool may_come = strcmp(a->type, "virtiofs") == 0 || strcmp(a->type, "9p") == 0;
	int err;

	while ((err = mount_as(a, a->source, a->type)) && may_come && err != -ENODEV &&
		clock_mono_us() < until)
		(void)poll(NULL, 0, TAG_LOOK_MS);
	return err;
}

int attach(struct attach *a)
{
	bool is_device = device_is_spec(a->source);
	bool typed = a->type && *a->type && strcmp(a->type, "auto") != 0;
	int err;

	a->device[0] = '\0';
	if (is_device) {
		err = device_wait(a->source, a->wait_s, a->device);
		if (err)
			return err;
		err = typed ? mount_as(a, a->device, a->type) : mount_found(a);
	} else if (!typed) {
		log_error("init", "%s is no device, and its file system was not given", a->source);
		return -EINVAL;
	} else {
		err = mount_tag(a);
	}
	if (err)
		log_error("init", "cannot mount %s (%s) on %s: %s%s", a->source,
			typed ? a->type : "auto", a->target, strerror(-err),
			err == -ENODEV ? ": the kernel has no such file system" : "");
	return err;
}
