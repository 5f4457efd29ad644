/* proc/boot.c - the command that the guest was booted for */
#include "proc/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "guestd/identity.h"
#include "guestd/req.h"
#include "proc/process.h"
#include "proto/limits.h"

#define ID     "start"
#define MARKER "started"

static struct follower follower;

static void on_started(struct follower *f)
{
	log_info("boot", "started pid=%d argv0=%s", (int)f->process->pid, config()->start[0]);
	process_unfollow(f);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	(void)f;
	log_error("boot", "the start command does not run stage=%s: %s",
		failure->stage ? failure->stage : "none", failure->message);
}

static const struct follower_ops follower_ops = {.started = on_started, .failed = on_failed};

static bool was_started(int dir)
{
	char text[sizeof(identity()->boot_id)] = "";
	cleanup_fd int fd = openat(dir, MARKER, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && fd_read_all(fd, text, sizeof(text) - 1) < 0)
		return false;
	return *text && strcmp(text, identity()->boot_id) == 0;
}

/* Before the start: one that is killed in between does not start it twice.  0 or -errno. */
static int mark(int dir)
{
	const char *boot = identity()->boot_id;
	cleanup_fd int fd =
		openat(dir, MARKER, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd_write_all(fd, boot, strlen(boot));
}

static void start(void)
{
	struct arena *params = params_new(sizeof(struct spec) + 16);
	struct spec *spec = params ? arena_alloc(params, sizeof(*spec)) : NULL;
	struct process *p = NULL;
	struct failure f = {.message = "out of memory"};

	if (spec) {
		*spec = (struct spec){
			.id = ID,
			.grace_ms = 5000,
			.ring = RING_DEFAULT,
			.argv.at = config()->start,
		};
		while (spec->argv.at[spec->argv.n])
			spec->argv.n++;
		p = process_new(params, spec, &f);
	}
	if (!p) {
		log_error("boot", "the start command does not run: %s", f.message);
		return;
	}
	process_follow(p, &follower, &follower_ops);
	follower_skip(&follower);
	process_start(p);
}

void boot_start(void)
{
	cleanup_fd int dir = -1;
	int err;

	if (!config()->start || process_find(ID))
		return;
	dir = open(config()->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && was_started(dir)) {
		log_info("boot", "the start command has been run since the boot");
		return;
	}
	err = dir < 0 ? -errno : mark(dir);
	if (err)
		log_warn("boot",
			"cannot write path=%s/" MARKER
			": an agent after this one may run the start command again err=%s",
			config()->run_dir, err_name(err));
	start();
}
