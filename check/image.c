/*
 * check/image.c - what clones of this guest would have in common
 *
 * An image is baked once and started often.  What a system makes for itself, to be told from others
 * or to guess nothing, must not be in it; docs/images.md says why for each.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "check/checks.h"
#include "check/look.h"
#include "check/report.h"

static const struct trace {
	const char *dir, *pattern, *what, *mend;
} traces[] = {
	{"/var/lib/systemd", "random-seed", "clones begin with the same randomness", "rm it"},
	{"/etc/ssh", "ssh_host_*_key", "clones have the same host keys",
		"rm them; the first boot makes new ones (ssh-keygen -A)"},
	{"/var/lib/cloud/instances", "*", "cloud-init takes a clone for this instance",
		"cloud-init clean --logs"},
	{"/var/lib/dhcp", "*.lease*", "clones ask for the same address", "rm them"},
	{"/var/lib/dhclient", "*.lease*", "clones ask for the same address", "rm them"},
	{"/var/lib/dhcpcd", "*.lease*", "clones ask for the same address", "rm them"},
	{"/var/lib/NetworkManager", "*.lease", "clones ask for the same address", "rm them"},
	{"/var/log/journal", "*", "clones have the log of this guest", "rm -r them"},
	{"/var/log", "wtmp", "clones have the logins of this guest", "truncate it"},
	{"/var/log", "auth.log*", "clones have the logins of this guest", "rm them"},
	{"/root", ".*_history", "clones have what was typed here", "rm them"},
};

/* Present, and with something in it. */
static bool has_content(const char *dir, const char *name)
{
	char path[4096];
	struct stat st;
	int len = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return len > 0 && (size_t)len < sizeof(path) && lstat(path, &st) == 0 &&
	       (!S_ISREG(st.st_mode) || st.st_size > 0);
}

static size_t check_trace(const struct trace *t)
{
	DIR *state = NULL;
	size_t n = 0;

	for (const char *name; (name = look_next(&state, t->dir, t->pattern));)
		n += has_content(t->dir, name);
	if (n)
		say_warn(t->mend, "%s/%s: %s", t->dir, t->pattern, t->what);
	return n;
}

/* systemd makes a new one where it is empty, or says "uninitialized"; where it is missing, /etc has to be writable. */
static size_t check_machine_id(void)
{
	char text[64];
	struct stat st;
	size_t n = 0;

	if (fd_read_file("/etc/machine-id", text, sizeof(text)) > 1 &&
		strncmp(text, "uninitialized", strlen("uninitialized")) != 0) {
		say_warn("truncate it, do not remove it",
			"/etc/machine-id: clones have the same id");
		n++;
	}
	if (lstat("/var/lib/dbus/machine-id", &st) == 0 && S_ISREG(st.st_mode) && st.st_size) {
		say_warn("rm it, or link it to /etc/machine-id",
			"/var/lib/dbus/machine-id: clones have the same id");
		n++;
	}
	return n;
}

static size_t check_homes(void)
{
	char dir[4096];
	DIR *state = NULL;
	size_t n = 0;

	for (const char *name; (name = look_next(&state, "/home", "*"));) {
		if (snprintf(dir, sizeof(dir), "/home/%s", name) < 0 ||
			!look_count(dir, ".*_history"))
			continue;
		say_warn("rm them", "%s/.*_history: clones have what was typed here", dir);
		n++;
	}
	return n;
}

void check_image(void)
{
	size_t n = check_machine_id() + check_homes();

	for (size_t i = 0; i < ARRAY_LEN(traces); i++)
		n += check_trace(&traces[i]);
	if (!n)
		say_ok("nothing that clones should not have in common");
}

void check_trust(void)
{
	static const char *const stores[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};

	for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
		if (access(stores[i], R_OK) == 0)
			return say_ok("%s", stores[i]);
	}
	say_warn("install ca-certificates", "no trust store: programs trust no server");
}
