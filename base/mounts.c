/* base/mounts.c - what is mounted where */
#include "base/mounts.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

/* mountinfo writes blanks, tabs, newlines and backslashes as \ooo. */
static char *unescape(char *s)
{
	char *from = s, *to = s;

	while (*from) {
		if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return s;
}

/* `id parent device root point options tags... - type source super`. */
bool mount_parse(char *line, struct mount *m)
{
	char *behind = strstr(line, " - "), *field[6], *tail[3] = {NULL};

	if (!behind)
		return false;
	*behind = '\0';
	behind += strlen(" - ");
	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		field[i] = strsep(&line, " ");
		if (!field[i])
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(tail) && behind; i++)
		tail[i] = strsep(&behind, " ");
	if (!tail[1])
		return false;
	*m = (struct mount){
		.id = strtoull(field[0], NULL, 10),
		.parent = strtoull(field[1], NULL, 10),
		.device = field[2],
		.root = unescape(field[3]),
		.point = unescape(field[4]),
		.options = field[5],
		.type = unescape(tail[0]),
		.source = unescape(tail[1]),
		.super = tail[2] ? tail[2] : "",
	};
	return true;
}

int mounts_read(struct mounts *m)
{
	size_t cap = 0;
	ssize_t len;
	char *rest, *line;

	*m = (struct mounts){.text = xmalloc(MOUNTS_TEXT_MAX)};
	len = fd_read_file("/proc/thread-self/mountinfo", m->text, MOUNTS_TEXT_MAX);
	if (len < 0) {
		mounts_free(m);
		return (int)len;
	}
	rest = m->text;
	while ((line = strsep(&rest, "\n"))) {
		if (m->n == cap) {
			struct mount *grown = realloc(m->at, (2 * cap + 32) * sizeof(*grown));

			if (!grown)
				break;
			m->at = grown;
			cap = 2 * cap + 32;
		}
		m->n += mount_parse(line, &m->at[m->n]);
	}
	return 0;
}

void mounts_free(struct mounts *m)
{
	free(m->at);
	free(m->text);
	*m = (struct mounts){0};
}

bool mount_has_option(const char *options, const char *option)
{
	size_t n = strlen(option);

	for (const char *at = options; *at; at += strspn(at, ",")) {
		size_t len = strcspn(at, ",");

		if (len == n && memcmp(at, option, n) == 0)
			return true;
		at += len;
	}
	return false;
}
