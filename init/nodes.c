/*
 * init/nodes.c - devices in /dev where the kernel has no devtmpfs to put them there
 *
 * A few have numbers that never change (devices.txt of the kernel).  Those of /dev/vsock and of
 * virtio ports are given when the driver starts.
 */
#include "init/nodes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"

#define MISC_MAJOR 10
#define PORTS      "/sys/class/virtio-ports"

static const struct node {
	const char *name;
	mode_t mode;
	unsigned major, minor;
} nodes[] = {
	{"null", 0666, 1, 3},
	{"zero", 0666, 1, 5},
	{"full", 0666, 1, 7},
	{"random", 0666, 1, 8},
	{"urandom", 0666, 1, 9},
	{"kmsg", 0644, 1, 11},
	{"tty", 0666, 5, 0},
	{"console", 0600, 5, 1},
	{"ptmx", 0666, 5, 2},
	{"ttyS0", 0660, 4, 64},
	{"hvc0", 0660, 229, 0},
};

static void make(const char *dev, const struct node *n)
{
	char path[128];
	mode_t mask = umask(0);

	snprintf(path, sizeof(path), "%s/%s", dev, n->name);
	if (mknod(path, S_IFCHR | n->mode, makedev(n->major, n->minor)) < 0 && errno != EEXIST)
		log_warn("init", "mknod path=%s err=%s", path, strerror(errno));
	umask(mask);
}

/* "  123 vsock", a line a driver. */
static void make_vsock(const char *dev)
{
	char text[4096], *rest = text, *line;

	if (fd_read_file("/proc/misc", text, sizeof(text)) < 0)
		return;
	while ((line = strsep(&rest, "\n"))) {
		char *name;
		unsigned long minor = strtoul(line, &name, 10);
		struct node vsock = {"vsock", 0666, MISC_MAJOR, (unsigned)minor};

		if (strcmp(name, " vsock") == 0)
			make(dev, &vsock);
	}
}

static void make_port(const char *dev, const char *name)
{
	char path[300], text[32], *end;
	struct node port = {.name = name, .mode = 0600};

	snprintf(path, sizeof(path), "%s/%s/dev", PORTS, name);
	if (fd_read_file(path, text, sizeof(text)) <= 0)
		return;
	port.major = (unsigned)strtoul(text, &end, 10);
	if (*end == ':') {
		port.minor = (unsigned)strtoul(end + 1, NULL, 10);
		make(dev, &port);
	}
}

static void make_ports(const char *dev)
{
	DIR *d = opendir(PORTS);
	const struct dirent *entry;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] != '.')
			make_port(dev, entry->d_name);
	}
	if (d)
		closedir(d);
}

void nodes_make(const char *dev)
{
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
		make(dev, &nodes[i]);
	make_vsock(dev);
	make_ports(dev);
}
