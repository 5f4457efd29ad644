/*
 * init/device.c - block devices by what they are called, or hold
 *
 * No udev has made links by label: each device is asked.  The kernel tells of new ones on a netlink
 * socket, but not when it has read the partitions of one; to look every few milliseconds is simpler,
 * and misses nothing.
 */
#include "init/device.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "init/partition.h"
#include "init/superblock.h"

#define CLASS "/sys/class/block"

/* How often we look: a disk that the kernel is just finding costs no more than this. */
#define LOOK_FIRST_MS 5
#define LOOK_LAST_MS  100

static const struct {
	const char *prefix;
	enum kind { BY_PATH, BY_UUID, BY_LABEL, BY_PARTUUID } kind;
} kinds[] = {
	{"/dev/", BY_PATH},
	{"UUID=", BY_UUID},
	{"LABEL=", BY_LABEL},
	{"PARTUUID=", BY_PARTUUID},
};

/* What is behind the prefix, or NULL. */
static const char *parse(const char *spec, enum kind *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(spec, kinds[i].prefix, len) == 0) {
			*kind = kinds[i].kind;
			return spec + len;
		}
	}
	return NULL;
}

bool device_is_spec(const char *spec)
{
	enum kind kind;

	return parse(spec, &kind);
}

static bool is_block(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* The number in /sys/class/block/NAME/FILE; 0: there is none. */
static unsigned number_of(const char *name, const char *file)
{
	char path[384], text[32];

	snprintf(path, sizeof(path), CLASS "/%s/%s", name, file);
	return fd_read_file(path, text, sizeof(text)) > 0 ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* Linux says it of itself since 6.11. */
static bool kernel_knows_id(const char *name, char id[37])
{
	char path[384], text[4096];
	const char *at;

	snprintf(path, sizeof(path), CLASS "/%s/uevent", name);
	if (fd_read_file(path, text, sizeof(text)) < 0)
		return false;
	at = strstr(text, "PARTUUID=");
	if (!at)
		return false;
	at += strlen("PARTUUID=");
	snprintf(id, 37, "%.*s", (int)strcspn(at, "\n"), at);
	return true;
}

/* The table is on the disk, whose directory is above that of the partition. */
static bool id_of(const char *name, char id[37])
{
	char path[384], target[512], node[300];
	unsigned number = number_of(name, "partition"), block_size;
	cleanup_fd int fd = -1;
	char *slash;
	ssize_t n;

	if (!number)
		return false;
	if (kernel_knows_id(name, id))
		return true;
	snprintf(path, sizeof(path), CLASS "/%s", name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	if (!slash)
		return false;
	*slash = '\0';
	slash = strrchr(target, '/');
	if (!slash || strlen(slash) > 255)
		return false;
	snprintf(node, sizeof(node), "/dev%s", slash);
	block_size = number_of(slash + 1, "queue/logical_block_size");
	fd = open(node, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && partition_id(fd, number, block_size ? block_size : 512, id);
}

static bool is_it(const char *name, const char *path, enum kind kind, const char *value)
{
	struct superblock sb;
	cleanup_fd int fd = -1;
	char id[37];

	if (kind == BY_PARTUUID)
		return id_of(name, id) && strcasecmp(id, value) == 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !superblock_read(fd, &sb))
		return false;
	return kind == BY_UUID ? strcasecmp(sb.uuid, value) == 0 : strcmp(sb.label, value) == 0;
}

static bool find(enum kind kind, const char *value, char path[DEVICE_PATH_MAX])
{
	DIR *dir = opendir(CLASS);
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		int n = snprintf(path, DEVICE_PATH_MAX, "/dev/%s", entry->d_name);

		if (n >= DEVICE_PATH_MAX || entry->d_name[0] == '.')
			continue;
		found = is_it(entry->d_name, path, kind, value);
	}
	closedir(dir);
	return found;
}

static bool look(const char *spec, enum kind kind, const char *value, char path[DEVICE_PATH_MAX])
{
	if (kind != BY_PATH)
		return *value && find(kind, value, path);
	return snprintf(path, DEVICE_PATH_MAX, "%s", spec) < DEVICE_PATH_MAX && is_block(path);
}

/* Each device with what is known of it, into the log. */
static void tell_all(void)
{
	DIR *dir = opendir(CLASS);
	struct dirent *entry;
	unsigned n = 0;

	while (dir && (entry = readdir(dir))) {
		struct superblock sb = {.type = "unknown"};
		char path[300], id[37] = "";
		cleanup_fd int fd = -1;

		/* Loop devices without a file have no size. */
		if (entry->d_name[0] == '.' || !number_of(entry->d_name, "size"))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			superblock_read(fd, &sb);
		for (char *c = sb.label; *c; c++)
			*c = (char)(isprint((unsigned char)*c) ? *c : '?');
		id_of(entry->d_name, id);
		n++;
		log_error("init", "there is %s type=%s uuid=%s label=%s partuuid=%s", path, sb.type,
			sb.uuid, sb.label, id);
	}
	if (dir)
		closedir(dir);
	if (!n)
		log_error("init", "there is no block device at all: is its driver in the image?");
}

int device_wait(const char *spec, unsigned wait_s, char path[DEVICE_PATH_MAX])
{
	uint64_t began = clock_mono_us(), until = began + wait_s * UINT64_C(1000000);
	int pause_ms = LOOK_FIRST_MS;
	bool told = false;
	enum kind kind;
	const char *value = parse(spec, &kind);

	if (!value ||
		strlen(spec) >= DEVICE_PATH_MAX + sizeof(((struct superblock *)NULL)->label)) {
		log_error("init",
			"%.100s is no device: want /dev/NAME, UUID=, LABEL= or PARTUUID=", spec);
		return -ENODEV;
	}
	while (!look(spec, kind, value, path)) {
		if (clock_mono_us() >= until) {
			log_error("init", "no device %s after %u s", spec, wait_s);
			tell_all();
			return -ENODEV;
		}
		if (!told)
			log_info("init", "waiting for device=%s seconds=%u", spec, wait_s);
		told = true;
		(void)poll(NULL, 0, pause_ms);
		pause_ms = MIN(2 * pause_ms, LOOK_LAST_MS);
	}
	if (told)
		log_info("init", "device=%s came after ms=%llu", path,
			(unsigned long long)(clock_mono_us() - began) / 1000);
	return 0;
}
