/*
 * check/devices.c - how the host gets in
 *
 * What there is of vsock is read from sysfs and procfs: a socket of that family would load modules,
 * and the answer has to be the same before and after.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "check/checks.h"
#include "check/look.h"
#include "check/report.h"
#include "guestd/config.h"
#include "init/modules.h"

#define VIRTIO_DEVICES "/sys/bus/virtio/devices"
#define VIRTIO_VSOCK   19 /* virtio 1.2, section 5 */
#define PORTS          "/sys/class/virtio-ports"

/* The first line of a file; "" where it cannot be read. */
static void read_line(const char *path, char *text, size_t len)
{
	if (fd_read_file(path, text, len) < 0)
		*text = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static bool listens_on(enum endpoint_kind kind)
{
	for (size_t i = 0; i < config()->n_listen; i++) {
		if (config()->listen[i].kind == kind)
			return true;
	}
	return false;
}

/* Has the kernel the family of sockets?  A module that is not loaded yet does not count. */
static bool has_family(const char *name)
{
	static char text[64 << 10];
	char *rest = text, *line;
	size_t len = strlen(name);

	if (fd_read_file("/proc/net/protocols", text, sizeof(text)) < 0)
		return false;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return true;
	}
	return false;
}

/* -1: no such device; else whether a driver has it. */
static int virtio_device(unsigned long type)
{
	char path[PATH_MAX], text[32];
	DIR *state = NULL;
	int found = -1;

	for (const char *name; (name = look_next(&state, VIRTIO_DEVICES, "virtio*"));) {
		if (snprintf(path, sizeof(path), VIRTIO_DEVICES "/%s/device", name) < 0)
			continue;
		read_line(path, text, sizeof(text));
		if (strtoul(text, NULL, 0) != type)
			continue;
		if (snprintf(path, sizeof(path), VIRTIO_DEVICES "/%s/driver", name) > 0)
			found = MAX(found, access(path, F_OK) == 0);
	}
	return found;
}

void check_vsock(void)
{
	static const char *const load =
		"modprobe vmw_vsock_virtio_transport, and name it in modules-load.d; "
		"or CONFIG_VIRTIO_VSOCKETS=y";
	int device = virtio_device(VIRTIO_VSOCK);

	if (!listens_on(ENDPOINT_VSOCK))
		say_ok("the agent does not listen on it");
	else if (device == 0)
		say_fail(load, "the device has no driver");
	else if (device < 0 && access("/sys/module/hv_sock", F_OK) < 0 &&
		 access("/sys/module/vmw_vsock_vmci_transport", F_OK) < 0)
		say_fail(
			"QEMU: -device vhost-vsock-pci,guest-cid=3; Cloud Hypervisor: --vsock cid=3,socket=FILE; "
			"Firecracker: PUT /vsock",
			"the machine has no vsock device: the host cannot reach the agent through it");
	else if (!has_family("AF_VSOCK"))
		say_fail(load, "the kernel has no vsock sockets");
	else
		say_ok("a device with a driver");
}

/* The virtio port of that name. */
static bool has_port(const char *name)
{
	char path[PATH_MAX], text[NAME_MAX];
	DIR *state = NULL;
	bool found = false;

	for (const char *port; (port = look_next(&state, PORTS, "vport*"));) {
		if (snprintf(path, sizeof(path), PORTS "/%s/name", port) < 0)
			continue;
		read_line(path, text, sizeof(text));
		found = found || strcmp(text, name) == 0;
	}
	return found;
}

void check_serial(void)
{
	static const char by_name[] = "/dev/virtio-ports/";
	size_t n = 0;

	for (size_t i = 0; i < config()->n_listen; i++) {
		const char *path = config()->listen[i].path;
		bool virtio = strncmp(path, by_name, strlen(by_name)) == 0;

		if (config()->listen[i].kind != ENDPOINT_SERIAL)
			continue;
		n++;
		if (virtio ? has_port(path + strlen(by_name)) : access(path, R_OK | W_OK) == 0)
			say_ok("%s", path);
		else
			say_warn(
				virtio ? "QEMU: -device virtserialport,chardev=ID,name=NAME; module "
					 "virtio_console"
				       : "the agent tries again until it works",
				"%s is not there", path);
	}
	if (n)
		return;
	if (has_port("guestd.0"))
		say_ok("the virtio port guestd.0 is there: listen = serial:/dev/virtio-ports/guestd.0");
	else
		say_ok("the agent listens on none");
}

void check_random(void)
{
	char byte, source[64];

	read_line("/sys/class/misc/hw_random/rng_current", source, sizeof(source));
	if (getrandom(&byte, 1, GRND_NONBLOCK) < 0 && errno == EAGAIN)
		say_warn(
			"QEMU: -device virtio-rng-pci; or random.trust_cpu=on on the kernel command line",
			"no randomness yet: programs that want some wait");
	else if (*source && strcmp(source, "none") != 0)
		say_ok("ready, from %s too", source);
	else
		say_ok("ready");
}

/* Lines of MODULES_ORDER whose file is missing. */
static void check_order(char *text)
{
	size_t n = 0, missing = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		line[strcspn(line, "#")] = '\0';
		line[strcspn(line, " \t\r")] = '\0';
		if (!*line)
			continue;
		n++;
		if (access(line, R_OK) == 0)
			continue;
		missing++;
		say_fail("put it into the image, or leave the line out",
			MODULES_ORDER " names %s: %s", line, strerror(errno));
	}
	if (!missing)
		say_ok(MODULES_ORDER " names %zu, all are there", n);
}

void check_modules(void)
{
	static char text[64 << 10];
	char dir[sizeof("/lib/modules/") + sizeof(struct utsname)];
	struct utsname name;

	uname(&name);
	snprintf(dir, sizeof(dir), "/lib/modules/%s", name.release);
	if (fd_read_file(MODULES_ORDER, text, sizeof(text)) >= 0)
		check_order(text);
	else if (access("/proc/modules", F_OK) < 0)
		say_ok("a kernel without modules");
	else if (access(dir, F_OK) < 0)
		say_warn(
			"put the modules of this kernel into the image, where something is not built in",
			"%s is not there: what is not loaded cannot be", dir);
	else
		say_ok("%s", dir);
}
