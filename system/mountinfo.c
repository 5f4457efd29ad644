/* system/mountinfo.c - the mounted file systems that hold something */
#include "system/mountinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
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

/* "\040" is a blank: proc(5).  In place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* 36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw,errors=continue */
static bool parse_line(char *line, struct mount_entry *m)
{
	char *field[6], *rest = line, *super, *minor;

	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		field[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	/* Optional fields end with a lone minus; it may be the first of them. */
	super = strncmp(rest, "- ", 2) == 0 ? rest - 1 : strstr(rest, " - ");
	if (!super)
		return false;
	m->dev_major = (unsigned)strtoul(field[2], &minor, 10);
	if (*minor != ':')
		return false;
	m->dev_minor = (unsigned)strtoul(minor + 1, NULL, 10);
	m->id = (unsigned)strtoul(field[0], NULL, 10);
	m->parent = (unsigned)strtoul(field[1], NULL, 10);
	rest = super + strlen(" - ");
	m->path = field[4];
	m->type = strsep(&rest, " ");
	m->source = strsep(&rest, " ");
	if (!m->source || !rest)
		return false;
	m->writable = strncmp(field[5], "rw", 2) == 0 && strncmp(rest, "rw", 2) == 0;
	m->remote = mount_is_remote(m->type);
	unescape(field[4]);
	unescape((char *)m->source);
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
