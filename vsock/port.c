/* vsock/port.c - serial ports: ttys, and virtio ports by their names */
#include "vsock/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/fd.h"

/* Where udev links virtio ports by name, and where the kernel tells the names. */
#define BY_NAME "/dev/virtio-ports/"
#define CLASS   "/sys/class/virtio-ports"
#define DRIVER  "/sys/bus/virtio/drivers/virtio_console"

#define FLAGS (O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)

static int fail(int err, char *why, size_t why_len, const char *path)
{
	snprintf(why, why_len, "cannot open the serial port %s: %s", path, strerror(-err));
	return err;
}

static bool has_name(const char *device, const char *name)
{
	char path[sizeof(CLASS) + NAME_MAX + 8], text[NAME_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), CLASS "/%s/name", device);
	n = fd_read_file(path, text, sizeof(text));
	if (n <= 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, name) == 0;
}

/* Without udev there is /dev/vportNpM alone, under a number that says nothing. */
static int open_by_name(const char *name)
{
	DIR *dir = opendir(CLASS);
	struct dirent *entry;
	int fd = -ENOENT;

	while (dir && (entry = readdir(dir))) {
		char path[sizeof("/dev/") + NAME_MAX];

		if (entry->d_name[0] == '.' || !has_name(entry->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, FLAGS);
		fd = fd < 0 ? -errno : fd;
		break;
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int make_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return errno == ENOTTY || errno == EINVAL ? 0 : -errno;
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL | CREAD;     /* no modem is asked for its carrier */
	t.c_cflag &= ~(tcflag_t)CRTSCTS; /* nor waited for: a line of three wires says nothing */
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

int port_open(const struct endpoint *ep, char *why, size_t why_len)
{
	cleanup_fd int fd = open(ep->path, FLAGS);
	int err = fd < 0 ? -errno : 0;
	struct stat st;

	if (err == -ENOENT && strncmp(ep->path, BY_NAME, strlen(BY_NAME)) == 0) {
		fd = open_by_name(ep->path + strlen(BY_NAME));
		err = fd < 0 ? take_fd(&fd) : 0;
	}
	if (!err && (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode)))
		err = -ENOTTY;
	if (!err)
		err = make_raw(fd);
	return err ? fail(err, why, why_len, ep->path) : take_fd(&fd);
}

bool port_virtio_exists(void)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = strncmp(entry->d_name, "virtio", strlen("virtio")) == 0;
	if (dir)
		closedir(dir);
	return found;
}

bool port_may_come(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -ENXIO || err == -EIO || err == -EBUSY;
}
