/* snapshot/hooks.c - programs of the image that run after a restore */
#include "snapshot/hooks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/job.h"
#include "guestd/req.h"
#include "proc/process.h"
#include "proto/limits.h"

#define HOOK_TIMEOUT_MS 10000
#define HOOK_GRACE_MS   1000
#define HOOK_RING       (64u << 10)

/* Lines of one hook that are logged, and the length of each. */
#define HOOK_LINES 20
#define HOOK_LINE  200

static struct {
	/* the worker's, while looking */
	struct job job;
	char *names[MAX_HOOKS];
	size_t n;

	/* the loop's */
	bool looking, running, again;
	uint64_t epoch;
	size_t next;
	struct follower f;
	unsigned lines;
	char line[HOOK_LINE + 1];
	size_t line_len;
} hooks;

static void look_soon(void);

/* On a worker */

/* Nobody else can have put it there or changed it. */
static bool is_ours(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static void look_at(int dir, const char *name)
{
	struct stat st;

	/* Hidden ones and what editors leave behind. */
	if (*name == '.' || name[strlen(name) - 1] == '~')
		return;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		log_warn("hook", "cannot look at name=%s: %s", name, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !is_ours(&st))
		log_warn("hook", "not run name=%s: no file of ours alone", name);
	else if (!(st.st_mode & S_IXUSR))
		log_warn("hook", "not run name=%s: not executable", name);
	else if (hooks.n == MAX_HOOKS)
		log_warn("hook", "not run name=%s: there are more than %u", name, MAX_HOOKS);
	else
		hooks.names[hooks.n++] = xstrdup(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void look(struct job *job)
{
	const char *path = config()->resumed_dir;
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *entry;
	struct stat st;
	DIR *dir;

	(void)job;
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (errno != ENOENT)
			log_warn("hook", "cannot open %s: %s", path, strerror(errno));
		return;
	}
	if (!is_ours(&st)) {
		log_warn("hook", "nothing of %s is run: others can write to it", path);
		return;
	}
	dir = fdopendir(fd);
	if (!dir)
		return;
	(void)take_fd(&fd);
	while ((entry = readdir(dir)))
		look_at(dirfd(dir), entry->d_name);
	closedir(dir);
	qsort(hooks.names, hooks.n, sizeof(*hooks.names), by_name);
}

/* On the loop */

static void log_one_line(void)
{
	if (hooks.line_len && hooks.lines++ < HOOK_LINES)
		log_info("hook", "%s: %.*s", hooks.names[hooks.next], (int)hooks.line_len,
			hooks.line);
	hooks.line_len = 0;
}

static void on_output(struct follower *f)
{
	const char *bytes;
	size_t n;

	while ((n = follower_peek(f, 0, &bytes)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (bytes[i] == '\n' || hooks.line_len == HOOK_LINE)
				log_one_line();
			if (bytes[i] != '\n')
				hooks.line[hooks.line_len++] =
					iscntrl((unsigned char)bytes[i]) ? '?' : bytes[i];
		}
		follower_advance(f, 0, n);
	}
}

static void run_next(void);

static void on_ended(struct follower *f)
{
	const char *name = hooks.names[hooks.next];
	const struct exit_record x = process_exit(f->process);

	on_output(f);
	log_one_line();
	if (hooks.lines > HOOK_LINES)
		log_info("hook", "%s: %u more lines: proc.logs has them", name,
			hooks.lines - HOOK_LINES);
	process_unfollow(f);
	if (x.timed_out)
		log_warn("hook", "stopped name=%s: not done after %u ms", name, HOOK_TIMEOUT_MS);
	else if (x.status)
		log_warn("hook", "failed name=%s code=%d signal=%d", name,
			WIFEXITED(x.status) ? WEXITSTATUS(x.status) : -1,
			WIFSIGNALED(x.status) ? WTERMSIG(x.status) : 0);
	else
		log_info("hook", "done name=%s duration_ms=%llu", name,
			(unsigned long long)x.duration_us / 1000);
	hooks.next++;
	run_next();
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	(void)f;
	log_warn("hook", "cannot run name=%s: %s", hooks.names[hooks.next], failure->message);
	hooks.next++;
	run_next();
}

static const struct follower_ops follower_ops = {
	.output = on_output, .ended = on_ended, .failed = on_failed};

static char *print_number(struct arena *a, unsigned long long number)
{
	char text[24];

	return arena_copy(a, text, (size_t)snprintf(text, sizeof(text), "%llu", number));
}

/* What the agent itself asks of proc: what a client would have sent. */
static struct spec *describe(struct arena *a, const char *name)
{
	struct spec *spec = arena_alloc(a, sizeof(*spec));
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", config()->resumed_dir, name);

	spec->argv.at = arena_alloc(a, 2 * sizeof(*spec->argv.at));
	spec->argv.at[spec->argv.n++] = arena_copy(a, path, (size_t)MIN(n, PATH_MAX - 1));
	spec->env.at = arena_alloc(a, sizeof(*spec->env.at));
	spec->env.at[spec->env.n++] =
		(struct var){.name = "GUESTD_EPOCH", .value = print_number(a, hooks.epoch)};
	/* The agent's own user, whatever the default is. */
	spec->user = print_number(a, geteuid());
	spec->cwd = "/";
	spec->label = "resumed-hook";
	spec->timeout_ms = HOOK_TIMEOUT_MS;
	spec->grace_ms = HOOK_GRACE_MS;
	spec->ring = HOOK_RING;
	spec->merge = true;
	return spec;
}

static void finish(void)
{
	while (hooks.n)
		free(hooks.names[--hooks.n]);
	hooks.running = false;
	if (hooks.again)
		look_soon();
}

static void run_next(void)
{
	while (hooks.next < hooks.n && !hooks.again) {
		struct arena *a = params_new(sizeof(struct spec) + PATH_MAX + 512);
		struct failure failure;
		struct process *p;

		if (!a)
			break;
		p = process_new(a, describe(a, hooks.names[hooks.next]), &failure);
		hooks.lines = 0;
		if (p) {
			process_follow(p, &hooks.f, &follower_ops);
			process_start(p);
			return;
		}
		log_warn(
			"hook", "cannot run name=%s: %s", hooks.names[hooks.next], failure.message);
		hooks.next++;
	}
	finish();
}

static void on_looked(struct job *job)
{
	(void)job;
	hooks.looking = false;
	hooks.running = true;
	hooks.next = 0;
	run_next();
}

static void look_soon(void)
{
	hooks.again = false;
	hooks.job = (struct job){.class = JOB_QUICK, .work = look, .done = on_looked};
	if (job_submit(&hooks.job) < 0)
		log_error("hook", "none is run: too many calls wait for a worker");
	else
		hooks.looking = true;
}

void hooks_run(uint64_t epoch)
{
	hooks.epoch = epoch;
	if (hooks.running)
		hooks.again = true;
	else if (!hooks.looking)
		look_soon();
}
