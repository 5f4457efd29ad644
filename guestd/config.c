/* guestd/config.c - what the agent was told at its start */
#include "guestd/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config_keys.h"
#include "guestd/words.h"
#include "vsock/port.h"

#define TOKEN_MAX 4096u

/* Names of ttys are short. */
#define CONSOLE_MAX 63u

/* A disk of the guest's host is there in no time; one that is attached by hand, when it is. */
#define ROOT_WAIT_S     10
#define ROOT_WAIT_MAX_S 3600u

static struct config conf;

/* The token file that was read last: behind init's change of its root it may be gone. */
static struct {
	char *path, *token;
	size_t len;
} token;

const struct config *config(void)
{
	return &conf;
}

void config_set_file(const char *path)
{
	conf.file = path;
}

void config_set_cgroup(const char *path)
{
	if (strcmp(conf.cgroup, "auto") == 0)
		conf.cgroup = path;
}

int config_bad(struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

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
		return config_bad(why, "kind is sandbox or computer, not %s", value);
	return 0;
}

static void forget_token(void)
{
	if (token.token)
		explicit_bzero(token.token, token.len);
	free(token.token);
	free(token.path);
}

static int set_token_file(const char *value, struct why *why)
{
	char *text;
	ssize_t n;

	conf.token_file = xstrdup(value);
	if (!token.path || strcmp(token.path, value) != 0) {
		text = xmalloc(TOKEN_MAX);
		n = fd_read_file(value, text, TOKEN_MAX);
		if (n < 0) {
			free(text);
			config_bad(why, "cannot read token file %s: %s", value, strerror((int)-n));
			return (int)n;
		}
		if (n == TOKEN_MAX - 1) {
			free(text);
			config_bad(
				why, "token file %s is longer than %u bytes", value, TOKEN_MAX - 2);
			return -EFBIG;
		}
		if (n > 0 && text[n - 1] == '\n')
			text[--n] = '\0';
		if (n == 0) {
			free(text);
			config_bad(why, "token file %s is empty", value);
			return -ENODATA;
		}
		forget_token();
		token.path = xstrdup(value);
		token.token = text;
		token.len = (size_t)n;
	}
	conf.token = token.token;
	conf.token_len = token.len;
	return 0;
}

static int set_allow_cid(const char *value, struct why *why)
{
	char *end;
	unsigned long cid = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || cid > UINT32_MAX)
		return config_bad(why, "allow-cid is a number, not %s", value);
	if (conf.peers.n_cids == ARRAY_LEN(conf.peers.cid))
		return config_bad(
			why, "at most %zu peers can be allowed", ARRAY_LEN(conf.peers.cid));
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
		return config_bad(why, "run-dir is an absolute path, not %s", value);
	conf.run_dir = xstrdup(value);
	return 0;
}

static int set_cgroup(const char *value, struct why *why)
{
	if (*value != '/' && strcmp(value, "auto") != 0 && strcmp(value, "off") != 0)
		return config_bad(why, "cgroup is auto, off or an absolute path, not %s", value);
	conf.cgroup = xstrdup(value);
	return 0;
}

static int set_watch_backend(const char *value, struct why *why)
{
	if (strcmp(value, "auto") != 0 && strcmp(value, "inotify") != 0 &&
		strcmp(value, "fanotify") != 0)
		return config_bad(why, "watch-backend is auto, inotify or fanotify, not %s", value);
	conf.watch_backend = xstrdup(value);
	return 0;
}

static int set_resumed_dir(const char *value, struct why *why)
{
	if (*value != '/')
		return config_bad(why, "resumed-dir is an absolute path, not %s", value);
	conf.resumed_dir = xstrdup(value);
	return 0;
}

static int set_console(const char *value, struct why *why)
{
	bool path = strncmp(value, "/dev/", 5) == 0;

	if (!*value || (!path && strchr(value, '/')) || strlen(value) > CONSOLE_MAX)
		return config_bad(why, "console is a tty, ttyS0 or /dev/ttyS0, not %.100s", value);
	conf.console = xstrdup(value);
	return 0;
}

static int set_handoff(const char *value, struct why *why)
{
	if (*value != '/')
		return config_bad(why, "handoff is an absolute path, not %s", value);
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
		return config_bad(why, "leftovers is keep or kill, not %s", value);
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
		return open ? config_bad(why, "start: a quote is not closed: %s", value)
			    : config_bad(why, "start names no program");
	}
	conf.start = argv;
	return 0;
}

static int set_log_level(const char *value, struct why *why)
{
	enum log_level level;

	if (!log_level_parse(value, &level))
		return config_bad(why, "log-level is error, warn, info or debug, not %s", value);
	log_set_level(level);
	return 0;
}

/* The guest's, where the agent is its init. */

static int check_overlay(const char *value, struct why *why)
{
	if (strcmp(value, "tmpfs") != 0 && *value != '/' && !strchr(value, '='))
		return config_bad(why, "overlay is tmpfs or a device, not %s", value);
	return 0;
}

static int set_root_wait(const char *value, struct why *why)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || seconds > ROOT_WAIT_MAX_S)
		return config_bad(why, "root-wait is a number of seconds, at most %u, not %s",
			ROOT_WAIT_MAX_S, value);
	conf.root_wait_s = (unsigned)seconds;
	return 0;
}

static int check_mount(const char *value, struct why *why)
{
	char *copy = xstrdup(value);
	struct words_mount m;
	const char *wrong;
	int err = words_mount(copy, &m, &wrong);

	free(copy);
	return err ? config_bad(why, "mount: %s, not %s", wrong, value) : 0;
}

static int check_net(const char *value, struct why *why)
{
	char *copy = xstrdup(value);
	struct words_net n;
	const char *wrong;
	int err = words_net(copy, &n, &wrong);

	free(copy);
	return err ? config_bad(why, "net: %s: %s", value, wrong) : 0;
}

static int check_sysctl(const char *value, struct why *why)
{
	char *copy = xstrdup(value);
	const char *path, *text, *wrong;
	int err = words_sysctl(copy, &path, &text, &wrong);

	free(copy);
	return err ? config_bad(why, "sysctl: %s, not %s", wrong, value) : 0;
}

static int check_hostname(const char *value, struct why *why)
{
	size_t len = strlen(value);

	/* __NEW_UTS_LEN: the kernel takes no more. */
	if (len > 64 || value[strcspn(value, "/ \t")])
		return config_bad(why,
			"hostname has at most 64 bytes, without blanks and slashes, not %s", value);
	return 0;
}

static const struct key keys[] = {
	{"listen", "ENDPOINT",
		"vsock:PORT, unix:PATH, serial:PATH or fd:N; may repeat (vsock:1024)",
		.set = set_listen},
	{"kind", "KIND", "sandbox or computer (sandbox)", .set = set_kind},
	{"token-file", "FILE", "clients must show what this file holds", .set = set_token_file,
		.policy = true, .file = true},
	{"allow-cid", "CID", "let this vsock peer in besides the host; may repeat",
		.set = set_allow_cid},
	{"allow", "METHOD,...", "serve only these methods", .set = set_allow, .policy = true},
	{"deny", "METHOD,...", "do not serve these methods", .set = set_deny, .policy = true},
	{"run-dir", "DIR", "where run-time files go (/run/guestd)", .set = set_run_dir},
	{"default-user", "USER", "whom processes run as unless a call says otherwise",
		.text = &conf.default_user, .policy = true},
	{"cgroup", "PATH", "auto, off or a cgroup of our own, for one below it a process (auto)",
		.set = set_cgroup},
	{"dial-any", NULL, "let clients reach other machines through net.dial",
		.yes = &conf.dial_any},
	{"watch-backend", "NAME", "auto, inotify or fanotify: what fs.watch stands on (auto)",
		.set = set_watch_backend},
	{"log-level", "LEVEL", "error, warn, info or debug (info)", .set = set_log_level},
	{"seal", NULL, "run from a copy in memory that nobody can change", .yes = &conf.seal},
	{"resumed-dir", "DIR", "programs to run after a restore (/etc/guestd/resumed.d)",
		.set = set_resumed_dir},
	{"leftovers", "POLICY", "keep or kill what an agent before this one started (keep)",
		.set = set_leftovers},
	{"start", "COMMAND",
		"run this once a boot, as the process `start`; words and quotes, no shell",
		.set = set_start},
	{"console", "TTY", "a shell on this tty, without a login", .set = set_console,
		.guest = true},
	{"handoff", "PATH", "the init that becomes process 1 when the guest is set up",
		.set = set_handoff, .guest = true},
	{"root", "DEVICE", "the root to change to: /dev/NAME, UUID=, LABEL=, PARTUUID= or a tag",
		.text = &conf.root, .guest = true},
	{"rootfstype", "TYPE", "its file system (found out)", .text = &conf.root_type,
		.guest = true},
	{"rootflags", "OPTIONS", "its mount options", .text = &conf.root_options, .guest = true},
	{"root-read-only", NULL, "mount it read-only", .yes = &conf.root_read_only, .guest = true},
	{"root-wait", "SECONDS", "how long a device may take to appear (10)", .set = set_root_wait,
		.guest = true},
	{"overlay", "DEVICE", "tmpfs or a device that takes what is written to the root",
		.text = &conf.overlay, .check = check_overlay, .guest = true},
	{"grow", NULL, "grow the root's ext4 to the size of its device", .yes = &conf.grow,
		.guest = true},
	{"mount", "SOURCE:TARGET:FSTYPE[:OPTIONS]", "mount that, too; may repeat",
		.list = &conf.mounts, .check = check_mount, .guest = true},
	{"net", "INTERFACE,...", "address=, gateway=, dns=, mtu= of an interface; may repeat",
		.list = &conf.nets, .check = check_net, .guest = true},
	{"hostname", "NAME", "the host's name (that in /etc/hostname)", .text = &conf.hostname,
		.check = check_hostname, .guest = true},
	{"sysctl", "KEY=VALUE", "set this below /proc/sys; may repeat", .list = &conf.sysctls,
		.check = check_sysctl, .guest = true},
};

static void print_keys(bool guest)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct key *k = &keys[i];
		char left[60];

		if (k->guest != guest)
			continue;
		if (guest)
			snprintf(left, sizeof(left), "%s=%s", k->name, k->value ? k->value : "yes");
		else
			snprintf(left, sizeof(left), "--%s%s%s", k->name, k->value ? " " : "",
				k->value ? k->value : "");
		printf("  %-26s %s\n", left, k->help);
	}
}

void config_print_options(void)
{
	print_keys(false);
}

void config_print_guest(void)
{
	print_keys(true);
}

const struct key *config_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strlen(keys[i].name) == len && memcmp(keys[i].name, name, len) == 0)
			return &keys[i];
	}
	return NULL;
}

static int set_yes(const struct key *key, const char *value, struct why *why)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*key->yes = strcmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return config_bad(why, "%s is yes or no, not %s", key->name, value);
}

static void add_to(const char ***list, const char *value)
{
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	*list = realloc(*list, (n + 2) * sizeof(**list));
	ASSERT(*list);
	(*list)[n++] = xstrdup(value);
	(*list)[n] = NULL;
}

static int set_copy(const struct key *key, const char *value, struct why *why)
{
	int err = 0;

	if (!*value)
		return config_bad(why, "%s is empty", key->name);
	if (key->check)
		err = key->check(value, why);
	if (!err && key->list)
		add_to(key->list, value);
	else if (!err)
		*key->text = xstrdup(value);
	return err;
}

/* A source replaces the endpoints of a weaker one: the first `listen` in it empties the list. */
static int set_listen_of(const struct key *key, const char *value, bool *fresh, struct why *why)
{
	size_t n = conf.n_listen;
	int err;

	if (*fresh)
		conf.n_listen = 0;
	err = key->set(value, why);
	if (err)
		conf.n_listen = n;
	else
		*fresh = false;
	return err;
}

int config_set(const struct key *key, const char *value, bool *fresh_listen, struct why *why)
{
	if (!value && !key->yes)
		return config_bad(why, "%s needs a value", key->name);
	if (key->set == set_listen)
		return set_listen_of(key, value, fresh_listen, why);
	if (key->yes)
		return set_yes(key, value ? value : "yes", why);
	return key->set ? key->set(value, why) : set_copy(key, value, why);
}

int config_set_defaults(bool as_init, struct why *why)
{
	conf = (struct config){
		.run_dir = "/run/guestd",
		.cgroup = "auto",
		.watch_backend = "auto",
		.resumed_dir = "/etc/guestd/resumed.d",
		.as_init = as_init,
		.root_wait_s = ROOT_WAIT_S,
	};
	peer_policy_init(&conf.peers);
	if (set_listen("vsock:1024", why))
		return -EINVAL;
	return as_init && port_virtio_exists()
		       ? set_listen("serial:/dev/virtio-ports/guestd.0", why)
		       : 0;
}

void config_refuse(const char *why)
{
	if (!conf.refused)
		conf.refused = xstrdup(why);
}
