/* guestd/config_read.c - where configuration comes from: a file, the kernel command line, options */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/config_keys.h"
#include "guestd/words.h"

#define DEFAULT_FILE "/etc/guestd.conf"

/* Configuration is small; what is longer is a mistake. */
#define FILE_MAX (64u << 10)

/*
 * The kernel keeps 2048 bytes of its command line on x86 and arm64, at most 4096 elsewhere, and cuts
 * the rest off without a word; a boot configuration (bootconfig.rst) may make it longer.
 */
#define LINE_MAX_BYTES (16u << 10)

/* As init. */
static struct {
	char *file;         /* that of the initramfs; NULL: it has none, or */
	char *broken;       /* it has one that cannot be read, and why */
	bool quiet;         /* mistakes have been told, or will be */
	bool file_may_come; /* what a value names may be in the root that is not there yet */
} init;

/* For --check, which reads on behind what is wrong.  Of more than these the rest is not told. */
#define PROBLEMS_MAX 100

static struct {
	bool kept;
	size_t n;
	char *at[PROBLEMS_MAX + 1];
} problems;

const char *const *config_problems(void)
{
	return (const char *const *)problems.at;
}

/*
 * ERR with the sentence in WHY is what is wrong with KEY, NULL for a source that could not be read
 * whole.  A service does not start then.  Init has a guest to start: the default holds, and where
 * that would open what was to be closed, the agent serves nobody.
 */
static int mistake(const struct key *key, int err, const struct why *why)
{
	bool policy = !key || key->policy;

	if (problems.kept) {
		if (problems.n < PROBLEMS_MAX)
			problems.at[problems.n++] = xstrdup(why->text);
		return 0;
	}
	if (!config()->as_init)
		return err;
	if (key && key->file ? !init.file_may_come : !init.quiet)
		log_error("config", "%s; %s", why->text,
			policy ? "so the agent serves nobody" : "it is left out");
	if (policy)
		config_refuse(why->text);
	return 0;
}

static int read_line(char *line, bool *fresh, struct why *why, const struct key **key)
{
	char *name, *value;
	int found = words_line(line, &name, &value);

	*key = NULL;
	if (!found)
		return 0;
	*key = config_find(name, strlen(name));
	if (found < 0)
		return config_bad(why, "not key = value: %s", name);
	if (!*key)
		return config_bad(why, "unknown key %s", name);
	return config_set(*key, value, fresh, why);
}

/* TEXT is cut up. */
static int read_text(char *text, const char *path, struct why *why)
{
	bool fresh = true;
	char *line;

	for (unsigned number = 1; (line = strsep(&text, "\n")); number++) {
		char inner[400];
		struct why w = {inner, sizeof(inner)};
		const struct key *key;
		int err = read_line(line, &fresh, &w, &key);

		if (!err)
			continue;
		config_bad(why, "%s line %u: %s", path, number, inner);
		if (!key && config()->as_init) {
			/* Nobody's: for another version, or no line at all. */
			if (!init.quiet)
				log_error("config", "%s; it is left out", why->text);
			continue;
		}
		err = mistake(key, err, why);
		if (err)
			return err;
	}
	return 0;
}

/* *TEXT is the caller's; NULL where there is no such file, and none has to be. */
static int load(const char *path, bool must_exist, char **text, struct why *why)
{
	struct stat st;
	ssize_t n;

	*text = NULL;
	if (stat(path, &st) < 0)
		return errno == ENOENT && !must_exist
			       ? 0
			       : config_bad(why, "cannot read %s: %s", path, strerror(errno));
	/* A guest may write to its root: init must not wait for the other end of a pipe. */
	if (config()->as_init && !S_ISREG(st.st_mode))
		return config_bad(why, "%s is no file", path);
	*text = xmalloc(FILE_MAX);
	n = fd_read_file(path, *text, FILE_MAX);
	if (n >= 0 && n < (ssize_t)FILE_MAX - 1)
		return 0;
	free(*text);
	*text = NULL;
	if (n < 0)
		return config_bad(why, "cannot read %s: %s", path, strerror((int)-n));
	return config_bad(why, "%s is longer than %u bytes", path, FILE_MAX);
}

static int read_file(const char *path, bool must_exist, struct why *why)
{
	char *text;
	int err = load(path, must_exist, &text, why);

	if (err)
		return mistake(NULL, err, why);
	if (text)
		config_set_file(path);
	err = text ? read_text(text, path, why) : 0;
	free(text);
	return err;
}

static int read_words(char *text, struct why *why)
{
	char *name, *value;
	bool fresh = true;

	while (words_next(&text, &name, &value)) {
		char inner[400];
		struct why w = {inner, sizeof(inner)};
		const struct key *key;
		int err;

		if (strncmp(name, "guestd.", 7) != 0)
			continue;
		key = config_find(name + 7, strlen(name + 7));
		if (!key && !init.quiet)
			log_warn("config", "kernel command line: unknown key %s; it is left out",
				name);
		if (!key)
			continue;
		err = config_set(key, value, &fresh, &w);
		if (!err)
			continue;
		config_bad(why, "kernel command line: %s", inner);
		err = mistake(key, err, why);
		if (err)
			return err;
	}
	return 0;
}

bool config_line_is_ours(void)
{
	struct stat st;

	/* PROC_PID_INIT_INO: the first namespace of processes has the same number everywhere. */
	return stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == 0xEFFFFFFCu;
}

static int read_kernel_command_line(struct why *why)
{
	char *text = xmalloc(LINE_MAX_BYTES);
	ssize_t n = fd_read_file("/proc/cmdline", text, LINE_MAX_BYTES);
	int err = 0;

	if (n == (ssize_t)LINE_MAX_BYTES - 1) {
		config_bad(why, "the kernel command line is longer than %u bytes", LINE_MAX_BYTES);
		err = mistake(NULL, -EFBIG, why);
	} else if ((n == 2048 || n == 4096) && !init.quiet) {
		log_warn("config",
			"the kernel command line fills the kernel's %zd bytes: its end may "
			"have been cut off",
			n);
	}
	if (n > 0 && !err)
		err = read_words(text, why);
	free(text);
	return err;
}

/* Walks the options: those that find_key knows are set if APPLY, --config is always noted. */
static int read_options(int argc, char **argv, bool apply, const char **file,
	enum config_action *action, struct why *why)
{
	bool fresh = true;

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2, *value = NULL;
		size_t len = strcspn(name, "=");
		const struct key *key;

		if (strncmp(argv[i], "--", 2) != 0)
			return config_bad(why, "unexpected argument %s", argv[i]);
		if (name[len] == '=')
			value = name + len + 1;
		if (!value && strcmp(name, "help") == 0) {
			*action = ACTION_HELP;
			continue;
		}
		if (!value && strcmp(name, "version") == 0) {
			*action = ACTION_VERSION;
			continue;
		}
		if (!value && strcmp(name, "methods") == 0) {
			*action = ACTION_METHODS;
			continue;
		}
		if (!value && strcmp(name, "check") == 0) {
			*action = ACTION_CHECK;
			continue;
		}
		key = config_find(name, len);
		if (!key && !(len == 6 && memcmp(name, "config", len) == 0))
			return config_bad(why, "unknown option %s", argv[i]);
		if (key && key->guest)
			return config_bad(why,
				"%.*s is for the guest's init, in the file or on the kernel "
				"command line",
				(int)(2 + len), argv[i]);
		if (!value && key && !key->value)
			value = "yes";
		if (!value && i + 1 == argc)
			return config_bad(why, "option %s needs a value", argv[i]);
		if (!value)
			value = argv[++i];
		if (!key)
			*file = value;
		else if (apply) {
			int err = config_set(key, value, &fresh, why);

			if (err)
				err = mistake(key, err, why);
			if (err)
				return err;
		}
	}
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): why_text is written through `why` */
int config_read(int argc, char **argv, enum config_action *action, char *why_text, size_t why_len)
{
	struct why why = {why_text, why_len};
	const char *file = NULL;
	int err;

	*action = ACTION_RUN;
	if (config()->as_init)
		return 0;
	if (config_set_defaults(false, &why))
		return 1;
	if (read_options(argc, argv, false, &file, action, &why))
		return 2;
	if (*action == ACTION_HELP || *action == ACTION_VERSION)
		return 0;
	problems.kept = *action == ACTION_CHECK;
	if (read_file(file ? file : DEFAULT_FILE, file != NULL, &why) ||
		read_kernel_command_line(&why))
		return 1;
	err = read_options(argc, argv, true, &file, action, &why);
	return err ? (err == -EINVAL ? 2 : 1) : 0;
}

/*
 * What both sources hold now; no mistake ends it.  Copies of an earlier pass stay: there are three of
 * them, once.
 */
static void read_as_init(bool quiet_file, bool quiet_line)
{
	char text[512], *copy;
	struct why why = {text, sizeof(text)};
	int err;

	if (config_set_defaults(true, &why))
		config_refuse(text);
	init.quiet = quiet_file;
	if (init.broken) {
		snprintf(text, sizeof(text), "%s", init.broken);
		err = mistake(NULL, -EINVAL, &why);
	} else if (init.file) {
		copy = xstrdup(init.file);
		err = read_text(copy, DEFAULT_FILE, &why);
		free(copy);
	} else {
		err = read_file(DEFAULT_FILE, false, &why);
	}
	init.quiet = quiet_line;
	if (!err && config_line_is_ours())
		err = read_kernel_command_line(&why);
	if (err)
		config_refuse(text);
	init.quiet = false;
}

void config_read_init(void)
{
	char text[512];
	struct why why = {text, sizeof(text)};

	if (config_set_defaults(true, &why) || load(DEFAULT_FILE, false, &init.file, &why))
		init.broken = xstrdup(text);
	init.file_may_come = true;
	read_as_init(true, true);
	init.file_may_come = config()->root != NULL;
	read_as_init(false, false);
}

void config_read_root(void)
{
	init.file_may_come = false;
	read_as_init(init.file || init.broken, true);
}
