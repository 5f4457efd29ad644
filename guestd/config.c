/* guestd/config.c - what the agent was told at its start */
#include "guestd/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/end.h"
#include "vsock/port.h"

#define DEFAULT_FILE "/etc/guestd.conf"

/* Configuration is small; what is longer is a mistake. */
#define FILE_MAX  (64u << 10)
#define TOKEN_MAX 4096u

/* Names of ttys are short. */
#define CONSOLE_MAX 63u

static struct config conf;

const struct config *config(void)
{
	return &conf;
}

void config_set_cgroup(const char *path)
{
	if (strcmp(conf.cgroup, "auto") == 0)
		conf.cgroup = path;
}

struct why {
	char *text;
	size_t len;
};

static int bad(struct why *why, const char *fmt, ...) PRINTF(2, 3);

static int bad(struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Setters: 0; -EINVAL for a wrong value, else what the system refused; with a sentence. */

static int set_listen(const char *value, struct why *why)
{
	struct endpoint ep;
	int err = endpoint_parse(value, &ep, why->text, why->len);

	if (err)
		return err;
	conf.listen = realloc(conf.listen, (conf.n_listen + 1) * sizeof(ep));
	ASSERT(conf.listen);
	conf.listen[conf.n_listen++] = ep;
	return 0;
}

static int set_kind(const char *value, struct why *why)
{
	if (strcmp(value, "sandbox") == 0)
		conf.kind = KIND_SANDBOX;
	else if (strcmp(value, "computer") == 0)
		conf.kind = KIND_COMPUTER;
	else
		return bad(why, "kind is sandbox or computer, not %s", value);
	return 0;
}

static int set_token_file(const char *value, struct why *why)
{
	char *token = xmalloc(TOKEN_MAX);
	ssize_t n = fd_read_file(value, token, TOKEN_MAX);

	if (n < 0) {
		free(token);
		bad(why, "cannot read token file %s: %s", value, strerror((int)-n));
		return (int)n;
	}
	if (n == TOKEN_MAX - 1) {
		free(token);
		bad(why, "token file %s is longer than %u bytes", value, TOKEN_MAX - 2);
		return -EFBIG;
	}
	if (n > 0 && token[n - 1] == '\n')
		token[--n] = '\0';
	if (n == 0) {
		free(token);
		bad(why, "token file %s is empty", value);
		return -ENODATA;
	}
	free((char *)conf.token);
	conf.token = token;
	conf.token_len = (size_t)n;
	return 0;
}

static int set_allow_cid(const char *value, struct why *why)
{
	char *end;
	unsigned long cid = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || cid > UINT32_MAX)
		return bad(why, "allow-cid is a number, not %s", value);
	if (conf.peers.n_cids == ARRAY_LEN(conf.peers.cid))
		return bad(why, "at most %zu peers can be allowed", ARRAY_LEN(conf.peers.cid));
	conf.peers.cid[conf.peers.n_cids++] = (uint32_t)cid;
	return 0;
}

/* Adds the names in a comma-separated VALUE to a list that ends NULL. */
static int add_names(const char ***list, const char *value)
{
	char *copy = xstrdup(value), *rest = copy;
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	for (char *name; (name = strsep(&rest, ","));) {
		if (!*name)
			continue;
		*list = realloc(*list, (n + 2) * sizeof(**list));
		ASSERT(*list);
		(*list)[n++] = xstrdup(name);
		(*list)[n] = NULL;
	}
	free(copy);
	return 0;
}

static int set_allow(const char *value, struct why *why)
{
	(void)why;
	return add_names(&conf.allow, value);
}

static int set_deny(const char *value, struct why *why)
{
	(void)why;
	return add_names(&conf.deny, value);
}

static int set_run_dir(const char *value, struct why *why)
{
	if (*value != '/')
		return bad(why, "run-dir is an absolute path, not %s", value);
	conf.run_dir = xstrdup(value);
	return 0;
}

static int set_default_user(const char *value, struct why *why)
{
	if (!*value)
		return bad(why, "default-user is empty");
	conf.default_user = xstrdup(value);
	return 0;
}

static int set_cgroup(const char *value, struct why *why)
{
	if (*value != '/' && strcmp(value, "auto") != 0 && strcmp(value, "off") != 0)
		return bad(why, "cgroup is auto, off or an absolute path, not %s", value);
	conf.cgroup = xstrdup(value);
	return 0;
}

/* On the command line the name alone says yes. */
static int set_dial_any(const char *value, struct why *why)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			conf.dial_any = strcmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return bad(why, "dial-any is yes or no, not %s", value);
}

static int set_watch_backend(const char *value, struct why *why)
{
	if (strcmp(value, "auto") != 0 && strcmp(value, "inotify") != 0 &&
		strcmp(value, "fanotify") != 0)
		return bad(why, "watch-backend is auto, inotify or fanotify, not %s", value);
	conf.watch_backend = xstrdup(value);
	return 0;
}

static int set_console(const char *value, struct why *why)
{
	bool path = strncmp(value, "/dev/", 5) == 0;

	if (!*value || (!path && strchr(value, '/')) || strlen(value) > CONSOLE_MAX)
		return bad(why, "console is a tty, ttyS0 or /dev/ttyS0, not %.100s", value);
	conf.console = xstrdup(value);
	return 0;
}

static int set_handoff(const char *value, struct why *why)
{
	if (*value != '/')
		return bad(why, "handoff is an absolute path, not %s", value);
	conf.handoff = xstrdup(value);
	return 0;
}

static int set_leftovers(const char *value, struct why *why)
{
	if (strcmp(value, "keep") == 0)
		conf.leftovers = LEFTOVERS_KEEP;
	else if (strcmp(value, "kill") == 0)
		conf.leftovers = LEFTOVERS_KILL;
	else
		return bad(why, "leftovers is keep or kill, not %s", value);
	return 0;
}

/* The word at *REST, its quotes taken away in place; NULL: there is none.  *OPEN: a quote stays open. */
static char *next_word(char **rest, bool *open)
{
	char *from = *rest + strspn(*rest, " \t"), *to = from, *word = from;
	char quote = '\0';

	*open = false;
	if (!*from)
		return NULL;
	for (; *from && (quote || (*from != ' ' && *from != '\t')); from++) {
		if (!quote && (*from == '"' || *from == '\''))
			quote = *from;
		else if (quote && *from == quote)
			quote = '\0';
		else
			*to++ = *from;
	}
	*rest = *from ? from + 1 : from;
	*to = '\0';
	*open = quote != '\0';
	return word;
}

static int set_start(const char *value, struct why *why)
{
	char *text = xstrdup(value), *rest = text, *word;
	const char **argv = NULL;
	size_t n = 0;
	bool open = false;

	while (!open && (word = next_word(&rest, &open))) {
		argv = realloc(argv, (n + 2) * sizeof(*argv));
		ASSERT(argv);
		argv[n++] = word; /* `text` stays for them */
		argv[n] = NULL;
	}
	if (open || n == 0 || !*argv[0]) {
		free(argv);
		free(text);
		return open ? bad(why, "start: a quote is not closed: %s", value)
			    : bad(why, "start names no program");
	}
	conf.start = argv;
	return 0;
}

static int set_log_level(const char *value, struct why *why)
{
	enum log_level level;

	if (!log_level_parse(value, &level))
		return bad(why, "log-level is error, warn, info or debug, not %s", value);
	log_set_level(level);
	return 0;
}

static const struct key {
	const char *name, *value, *help; /* without a value: a switch */
	int (*set)(const char *value, struct why *why);
} keys[] = {
	{"listen", "ENDPOINT",
		"vsock:PORT, unix:PATH, serial:PATH or fd:N; may repeat (vsock:1024)", set_listen},
	{"kind", "KIND", "sandbox or computer (sandbox)", set_kind},
	{"token-file", "FILE", "clients must show what this file holds", set_token_file},
	{"allow-cid", "CID", "let this vsock peer in besides the host; may repeat", set_allow_cid},
	{"allow", "METHOD,...", "serve only these methods", set_allow},
	{"deny", "METHOD,...", "do not serve these methods", set_deny},
	{"run-dir", "DIR", "where run-time files go (/run/guestd)", set_run_dir},
	{"default-user", "USER", "whom processes run as unless a call says otherwise",
		set_default_user},
	{"cgroup", "PATH", "auto, off or a cgroup of our own, for one below it a process (auto)",
		set_cgroup},
	{"dial-any", NULL, "let clients reach other machines through net.dial", set_dial_any},
	{"watch-backend", "NAME", "auto, inotify or fanotify: what fs.watch stands on (auto)",
		set_watch_backend},
	{"log-level", "LEVEL", "error, warn, info or debug (info)", set_log_level},
	{"console", "TTY", "as PID 1: a shell on this tty, without a login", set_console},
	{"handoff", "PATH", "as PID 1: the init that becomes it when the guest is set up",
		set_handoff},
	{"leftovers", "POLICY", "keep or kill what an agent before this one started (keep)",
		set_leftovers},
	{"start", "COMMAND",
		"run this once a boot, as the process `start`; words and quotes, no shell",
		set_start},
};

void config_print_options(void)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", keys[i].name, keys[i].value ? " " : "",
			keys[i].value ? keys[i].value : "");
		printf("  %-26s %s\n", left, keys[i].help);
	}
}

static const struct key *find_key(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strlen(keys[i].name) == len && memcmp(keys[i].name, name, len) == 0)
			return &keys[i];
	}
	return NULL;
}

/* A source replaces the endpoints of a weaker one: the first `listen` in it empties the list. */
static int set(const struct key *key, const char *value, bool *fresh_listen, struct why *why)
{
	if (key->set == set_listen && *fresh_listen) {
		conf.n_listen = 0;
		*fresh_listen = false;
	}
	return key->set(value, why);
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_line(char *line, bool *fresh, struct why *why)
{
	char *equals, *name;
	const struct key *key;

	line = trim(line);
	if (*line == '\0' || *line == '#')
		return 0;
	equals = strchr(line, '=');
	if (!equals)
		return bad(why, "not key = value: %s", line);
	*equals = '\0';
	name = trim(line);
	key = find_key(name, strlen(name));
	if (!key)
		return bad(why, "unknown key %s", name);
	return set(key, trim(equals + 1), fresh, why);
}

static int read_file(const char *path, bool must_exist, struct why *why)
{
	char *text = xmalloc(FILE_MAX), *rest = text;
	ssize_t n = fd_read_file(path, text, FILE_MAX);
	bool fresh = true;
	int err = 0;

	if (n < 0 && (must_exist || n != -ENOENT))
		err = bad(why, "cannot read %s: %s", path, strerror((int)-n));
	else if (n == FILE_MAX - 1)
		err = bad(why, "%s is longer than %u bytes", path, FILE_MAX);
	for (unsigned line = 1; !err && n > 0 && rest; line++) {
		char inner[400];
		struct why w = {inner, sizeof(inner)};

		if (read_line(strsep(&rest, "\n"), &fresh, &w))
			err = bad(why, "%s line %u: %s", path, line, inner);
	}
	free(text);
	return err;
}

/*
 * The next word at *REST, with its value; NULL: there is none.  As the kernel sees it (next_arg in
 * lib/cmdline.c): double quotes hold blanks together, around the value or around the whole.
 */
static char *kernel_word(char **rest, char **value)
{
	char *word = *rest + strspn(*rest, " \n"), *p;
	bool quoted = *word == '"', open = quoted;

	if (!*word)
		return NULL;
	word += quoted;
	*value = NULL;
	for (p = word; *p && (open || (*p != ' ' && *p != '\n')); p++) {
		if (*p == '=' && !*value)
			*value = p + 1;
		open ^= *p == '"';
	}
	*rest = *p ? p + 1 : p;
	*p = '\0';
	if (*value)
		(*value)[-1] = '\0';
	if (*value && **value == '"')
		(*value)++;
	else if (!quoted)
		return word;
	if (p > word && p[-1] == '"')
		p[-1] = '\0';
	return word;
}

/* Other keys there (guestd.root, ...) are for those who know them. */
static int read_kernel_command_line(struct why *why)
{
	char text[4096], *rest = text, *word, *value;
	bool fresh = true;

	if (fd_read_file("/proc/cmdline", text, sizeof(text)) < 0)
		return 0;
	while ((word = kernel_word(&rest, &value))) {
		const struct key *key;
		int err;

		if (strncmp(word, "guestd.", 7) != 0 || !value)
			continue;
		key = find_key(word + 7, strlen(word + 7));
		err = key ? set(key, value, &fresh, why) : 0;
		if (err)
			return err;
	}
	return 0;
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
			return bad(why, "unexpected argument %s", argv[i]);
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
		key = find_key(name, len);
		if (!key && !(len == 6 && memcmp(name, "config", len) == 0))
			return bad(why, "unknown option %s", argv[i]);
		if (!value && key && !key->value)
			value = "yes";
		if (!value && i + 1 == argc)
			return bad(why, "option %s needs a value", argv[i]);
		if (!value)
			value = argv[++i];
		if (!key)
			*file = value;
		else if (apply) {
			int err = set(key, value, &fresh, why);

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
	conf.run_dir = "/run/guestd";
	conf.cgroup = "auto";
	conf.watch_backend = "auto";
	peer_policy_init(&conf.peers);
	if (set_listen("vsock:1024", &why) ||
		(agent_is_init() && port_virtio_exists() &&
			set_listen("serial:/dev/virtio-ports/guestd.0", &why)))
		return 1;
	if (read_options(argc, argv, false, &file, action, &why))
		return 2;
	if (*action == ACTION_HELP || *action == ACTION_VERSION)
		return 0;
	if (read_file(file ? file : DEFAULT_FILE, file != NULL, &why) ||
		read_kernel_command_line(&why))
		return 1;
	err = read_options(argc, argv, true, &file, action, &why);
	return err ? (err == -EINVAL ? 2 : 1) : 0;
}
