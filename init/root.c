/* init/root.c - the guest's real root */
#include "init/root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "init/attach.h"
#include "init/grow.h"
#include "init/switch_root.h"

/* For a moment, in the initramfs. */
#define NEW_ROOT "/guestd.root"

/* Moves along with /run: what an overlay stands on has to be seen, to be unmounted in the end. */
#define LAYERS "/run/guestd/root"
#define LOWER  LAYERS "/lower"
#define UPPER  LAYERS "/upper"

static int make_dirs(const char *const *paths, size_t n, mode_t mode)
{
	for (size_t i = 0; i < n; i++) {
		if (mkdir(paths[i], mode) < 0 && errno != EEXIST) {
			int err = -errno;

			log_error("init", "cannot make %s: %s", paths[i], strerror(errno));
			return err;
		}
	}
	return 0;
}

static int mount_upper(struct attach *upper)
{
	if (strcmp(upper->source, "tmpfs") != 0)
		return attach(upper);
	if (mount("tmpfs", UPPER, "tmpfs", 0, "mode=0755") == 0)
		return 0;
	log_error("init", "cannot mount a tmpfs for the overlay: %s", strerror(errno));
	return -errno;
}

/* The root of an overlay looks as the directory above does. */
static int make_layers(void)
{
	static const char *const dirs[] = {UPPER "/upper", UPPER "/work"};
	struct stat st;
	int err = make_dirs(dirs, ARRAY_LEN(dirs), 0755);

	if (err)
		return err;
	if (stat(LOWER, &st) < 0 || chown(dirs[0], st.st_uid, st.st_gid) < 0 ||
		chmod(dirs[0], st.st_mode & 07777) < 0) {
		log_error("init", "cannot set the owner and mode of the overlay's root: %s",
			strerror(errno));
		return -errno;
	}
	return 0;
}

static int mount_overlay(struct attach *lower, struct attach *upper)
{
	/* Nobody of the guest's is to go around the modes of the merged tree. */
	static const char *const tops[] = {LAYERS, LOWER, UPPER};
	int err = make_dirs(tops, ARRAY_LEN(tops), 0700);

	lower->target = LOWER;
	lower->read_only = true;
	upper->target = UPPER;
	if (!err)
		err = attach(lower);
	if (!err)
		err = mount_upper(upper);
	if (!err)
		err = make_layers();
	if (err)
		return err;
	if (mount("overlay", NEW_ROOT, "overlay", 0,
		    "lowerdir=" LOWER ",upperdir=" UPPER "/upper,workdir=" UPPER "/work") == 0)
		return 0;
	err = -errno;
	log_error("init", "cannot mount the overlay: %s%s", strerror(-err),
		err == -ENODEV ? ": the kernel has no overlay" : "");
	return err;
}

static void undo(void)
{
	static const char *const paths[] = {NEW_ROOT, UPPER, LOWER};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		umount2(paths[i], MNT_DETACH | UMOUNT_NOFOLLOW);
	rmdir(NEW_ROOT);
}

/* What is written to is what grows. */
static void grow_it(const struct attach *root, const struct attach *upper)
{
	if (!upper->source && *root->device && !root->read_only)
		grow(NEW_ROOT, root->device);
	else if (upper->source && *upper->device)
		grow(UPPER, upper->device);
	else
		log_warn("init", "not grown: what is written to is no device");
}

/* Programs expect to write there, whatever the rest is. */
static void mount_tmp(void)
{
	struct statvfs st;

	if (statvfs("/tmp", &st) == 0 && st.f_flag & ST_RDONLY &&
		mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
		log_warn("init", "mount path=/tmp type=tmpfs err=%s", strerror(errno));
}

void root_change(void)
{
	static const char *const dirs[] = {"/run/guestd", NEW_ROOT};
	const struct config *conf = config();
	struct attach root = {
		.source = conf->root,
		.target = NEW_ROOT,
		.type = conf->root_type,
		.options = conf->root_options,
		.read_only = conf->root_read_only,
		.wait_s = conf->root_wait_s,
	};
	struct attach upper = {.source = conf->overlay, .wait_s = conf->root_wait_s};
	int err = make_dirs(dirs, ARRAY_LEN(dirs), 0755);

	if (!err)
		err = upper.source ? mount_overlay(&root, &upper) : attach(&root);
	if (!err && conf->grow)
		grow_it(&root, &upper);
	if (!err)
		err = switch_root(NEW_ROOT);
	if (err) {
		undo();
		log_error(
			"init", "the root %s could not be had: this is the initramfs", conf->root);
		return;
	}
	mount_tmp();
}

void root_keep_program(void)
{
	static const char *const dirs[] = {"/run/guestd", "/run/guestd/bin"};
	cleanup_fd int fd = -1;

	/* A container may have come with that of the machine it is in. */
	if (access(GUESTD_BIN, X_OK) == 0 || make_dirs(dirs, ARRAY_LEN(dirs), 0755))
		return;
	fd = open(GUESTD_BIN, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	/* The program by the kernel's own link: how we were called says nothing. */
	if (fd < 0 || mount("/proc/self/exe", GUESTD_BIN, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, GUESTD_BIN, NULL,
			MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		log_warn("init", "mount path=%s err=%s", GUESTD_BIN, strerror(errno));
}
