/* guestd/words.c - configuration as text */
#include "guestd/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As isspace(3) in the C locale, which is the kernel's. */
#define BLANKS " \t\n\v\f\r"

/*
 * As next_arg() in lib/cmdline.c of Linux has it, which decides what a word is; but that there 0xa0 is
 * a blank, too, and would cut UTF-8.
 */
bool words_next(char **rest, char **name, char **value)
{
	char *at = *rest + strspn(*rest, BLANKS), *end, *equals = NULL;
	bool quoted = *at == '"', inside = quoted;

	*rest = at;
	if (!*at)
		return false;
	at += quoted;
	for (end = at; *end && (inside || !strchr(BLANKS, *end)); end++) {
		if (*end == '=' && !equals && end > at)
			equals = end;
		if (*end == '"')
			inside = !inside;
	}
	*rest = end + (*end != '\0');
	*end = '\0';
	*name = at;
	*value = equals ? equals + 1 : NULL;
	if (equals && **value == '"') {
		++*value;
		if (end > *value && end[-1] == '"')
			end[-1] = '\0';
	}
	if (quoted && end > at && end[-1] == '"')
		end[-1] = '\0';
	if (equals)
		*equals = '\0';
	return true;
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, BLANKS);
	for (n = strlen(s); n && strchr(BLANKS, s[n - 1]); n--)
		;
	s[n] = '\0';
	return s;
}

int words_line(char *line, char **key, char **value)
{
	char *equals;

	line = trim(line);
	if (*line == '\0' || *line == '#')
		return 0;
	equals = strchr(line, '=');
	*key = line;
	*value = NULL;
	if (!equals) {
		line[strcspn(line, BLANKS)] = '\0';
		return -EINVAL;
	}
	*equals = '\0';
	*key = trim(line);
	*value = trim(equals + 1);
	return 1;
}

int words_mount(char *text, struct words_mount *m, const char **why)
{
	char *target = strstr(text, ":/"), *type, *options;

	*why = "want SOURCE:TARGET:FSTYPE or SOURCE:TARGET:FSTYPE:OPTIONS, TARGET an absolute path";
	if (!target || target == text)
		return -EINVAL;
	*target++ = '\0';
	type = strchr(target, ':');
	if (!type)
		return -EINVAL;
	*type++ = '\0';
	options = strchr(type, ':');
	if (options)
		*options++ = '\0';
	if (!*type)
		return -EINVAL;
	*m = (struct words_mount){text, target, type, options ? options : ""};
	return 0;
}

/* One `key=value` behind the interface. */
static int net_field(char *field, struct words_net *n, const char **why)
{
	char *value = strchr(field, '='), *end;
	unsigned long mtu;

	*why = "behind the interface are address=, gateway=, mtu= and dns=, each with a value";
	if (!value || !value[1])
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(field, "address") == 0) {
		n->address = value;
	} else if (strcmp(field, "gateway") == 0) {
		n->gateway = value;
	} else if (strcmp(field, "dns") == 0) {
		*why = "more than 16 name servers";
		if (n->n_dns == WORDS_DNS_MAX)
			return -EINVAL;
		n->dns[n->n_dns++] = value;
	} else if (strcmp(field, "mtu") == 0) {
		mtu = strtoul(value, &end, 10);
		*why = "mtu= is a number of 68 to 65535";
		if (*end || strspn(value, "0123456789") != strlen(value) || mtu < 68 || mtu > 65535)
			return -EINVAL;
		n->mtu = (uint32_t)mtu;
	} else {
		return -EINVAL;
	}
	return 0;
}

int words_net(char *text, struct words_net *n, const char **why)
{
	char *rest = text, *field = strsep(&rest, ",");

	*n = (struct words_net){.interface = field};
	*why = "the interface is missing, such as eth0";
	if (!*field || strchr(field, '='))
		return -EINVAL;
	while ((field = strsep(&rest, ","))) {
		int err = net_field(field, n, why);

		if (err)
			return err;
	}
	return 0;
}

/* Is one of the components of PATH empty, "." or ".."? */
static bool leaves(const char *path)
{
	for (;; path++) {
		size_t len = strcspn(path, "/");

		if (len == 0 || strncmp(path, ".", len) == 0 || strncmp(path, "..", len) == 0)
			return true;
		path += len;
		if (!*path)
			return false;
	}
}

int words_sysctl(char *text, const char **path, const char **value, const char **why)
{
	char *equals = strchr(text, '=');

	*why = "want KEY=VALUE, such as vm.swappiness=10";
	if (!equals)
		return -EINVAL;
	*equals = '\0';
	text = trim(text);
	if (!strchr(text, '/')) {
		for (char *dot = text; (dot = strchr(dot, '.'));)
			*dot = '/';
	}
	if (leaves(text))
		return -EINVAL;
	*path = text;
	*value = trim(equals + 1);
	return 0;
}
