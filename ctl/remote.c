/* ctl/remote.c - paths of the guest on the command line */
#include "ctl/remote.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/text.h"

/* Where its last name begins, and how long it is. */
static size_t last_name(const char *path, size_t *len)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	start = end;
	while (start && path[start - 1] != '/')
		start--;
	*len = end - start;
	return start;
}

/* None, `.` or `..`. */
static bool is_dots(const char *name, size_t len)
{
	return len == 0 || (len <= 2 && memcmp(name, "..", len) == 0);
}

char *path_name(const char *path)
{
	size_t len, start = last_name(path, &len);

	return is_dots(path + start, len) ? NULL : xasprintf("%.*s", (int)len, path + start);
}

char *path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	return xasprintf("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

bool path_is_dir(const char *path)
{
	size_t len = strlen(path), name_len, start = last_name(path, &name_len);

	return len && (path[len - 1] == '/' || is_dots(path + start, name_len));
}

int remote_target(struct ctl *ctl, const char *user, const char *from, const char *to, char **path)
{
	struct params p = {.except = "ENOENT"};
	const struct val *result = NULL;
	bool dir = path_is_dir(to);
	char *name = path_name(from);
	int status = 0;

	params_text(&p, "path", to);
	params_text(&p, "user", user);
	params_flag(&p, "follow", true);
	if (name && !dir)
		status = ask(ctl, "fs.stat", &p, &result);
	dir = dir || text_is(val_get(result, "type"), "dir");
	if (!status)
		*path = name && dir ? path_join(to, name) : xstrdup(to);
	free(name);
	return status;
}

int remote_each(struct ctl *ctl, int n, char **paths,
	int (*one)(struct ctl *ctl, const char *path, void *ctx), void *ctx)
{
	int status = STATUS_OK;

	if (n == 0)
		return ctl_usage(ctl, "which path?");
	for (int i = 0; i < n && !status_final(status); i++)
		status = status_worse(one(ctl, paths[i], ctx), status);
	return status;
}
