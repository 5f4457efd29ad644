/* system/mountinfo.c - the mounted file systems that hold something */
#include "system/mountinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/mounts.h"
#include "proto/limits.h"

bool mount_is_remote(const char *type)
{
	static const char *const types[] = {"9p", "afs", "autofs", "ceph", "cifs", "coda", "davfs",
		"gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3",
		"smbfs", "virtiofs"};

	if (strncmp(type, "fuse", 4) == 0 && strcmp(type, "fusectl") != 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i], type) == 0)
			return true;
	}
	return false;
}

static bool parse_line(char *line, struct mount_entry *e)
{
	struct mount m;
	char *minor;

	if (!mount_parse(line, &m))
		return false;
	*e = (struct mount_entry){
		.path = m.point,
		.type = m.type,
		.source = m.source,
		.id = (unsigned)m.id,
		.parent = (unsigned)m.parent,
		.dev_major = (unsigned)strtoul(m.device, &minor, 10),
		.writable = mount_has_option(m.options, "rw") && mount_has_option(m.super, "rw"),
		.remote = mount_is_remote(m.type),
	};
	if (*minor != ':')
		return false;
	e->dev_minor = (unsigned)strtoul(minor + 1, NULL, 10);
	return true;
}

/* Is PATH at DIR, or below it? */
static bool is_below(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The order of the list says nothing: what was there before / comes before it, and is below it. */
static void compare(struct mountinfo *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct mount_entry *e = &m->at[i];

		for (size_t k = 0; k < m->n; k++) {
			const struct mount_entry *o = &m->at[k];

			e->blocked |= k != i && o->remote && is_below(e->path, o->path);
			e->hidden |= o->parent == e->id && strcmp(e->path, o->path) == 0;
			e->again |= k < i && o->dev_major == e->dev_major &&
				    o->dev_minor == e->dev_minor && !o->blocked && !o->hidden;
		}
	}
}

void mountinfo_parse(struct mountinfo *m, char *text)
{
	char *line;

	m->at = xcalloc(MOUNTS_MAX, sizeof(*m->at));
	while ((line = strsep(&text, "\n"))) {
		if (m->n == MOUNTS_MAX) {
			m->truncated |= *line != '\0';
			break;
		}
		if (parse_line(line, &m->at[m->n]))
			m->n++;
		else
			m->at[m->n] = (struct mount_entry){0};
	}
	compare(m);
}

int mountinfo_read(struct mountinfo *m)
{
	ssize_t n;

	*m = (struct mountinfo){.text = malloc(MOUNTINFO_BYTES_MAX)};
	if (!m->text)
		return -ENOMEM;
	n = fd_read_file("/proc/self/mountinfo", m->text, MOUNTINFO_BYTES_MAX);
	if (n < 0)
		return (int)n;
	m->truncated = n == MOUNTINFO_BYTES_MAX - 1;
	mountinfo_parse(m, m->text);
	return 0;
}

void mountinfo_fini(struct mountinfo *m)
{
	free(m->at);
	free(m->text);
}
