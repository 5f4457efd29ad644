/* ctl/table.c - rows of text in columns that line up */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/terminal.h"

/* Between two columns. */
#define GAP 2

struct table {
	size_t columns, cells;
	FILE *f;    /* into text: cells, each ended by a NUL */
	char *text; /* owned; valid once f is closed */
	size_t len;
};

struct table *table_new(size_t n, ...)
{
	struct table *t = xcalloc(1, sizeof(*t));
	va_list ap;

	t->columns = n;
	t->f = open_memstream(&t->text, &t->len);
	ASSERT(t->f);
	va_start(ap, n);
	for (size_t i = 0; i < n; i++)
		fputs(va_arg(ap, const char *), table_cell(t));
	va_end(ap);
	return t;
}

FILE *table_cell(struct table *t)
{
	if (t->cells++)
		fputc('\0', t->f);
	return t->f;
}

/* Columns on the screen: characters, that is bytes which do not continue one. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* Bytes of the first N characters. */
static size_t cut(const char *s, size_t n)
{
	size_t len = 0;

	while (s[len] && (n || (s[len] & 0xc0) == 0x80)) {
		n -= (s[len] & 0xc0) != 0x80;
		len++;
	}
	return len;
}

static void print_row(const struct table *t, const char **cell, const size_t *widths, size_t room)
{
	for (size_t i = 0; i < t->columns; i++) {
		const char *s = *cell;

		*cell += strlen(s) + 1;
		if (i + 1 < t->columns) {
			printf("%s%*s", s, (int)(widths[i] - width(s)) + GAP, "");
			room = room > widths[i] + GAP ? room - widths[i] - GAP : 0;
		} else {
			printf("%.*s\n", (int)cut(s, room), s);
		}
	}
}

void table_print(struct table *t)
{
	size_t *widths = xcalloc(t->columns, sizeof(*widths));
	size_t room = isatty(STDOUT_FILENO) ? terminal_window().cols : 0;
	const char *cell;

	fclose(t->f);
	ASSERT(t->text);
	cell = t->text;
	for (size_t i = 0; i < t->cells; i++) {
		widths[i % t->columns] = MAX(widths[i % t->columns], width(cell));
		cell += strlen(cell) + 1;
	}
	cell = t->text;
	for (size_t i = 0; i < t->cells / t->columns; i++)
		print_row(t, &cell, widths, room ? room : SIZE_MAX);
	free(widths);
	free(t->text);
	free(t);
}

void table_drop(struct table *t)
{
	fclose(t->f);
	free(t->text);
	free(t);
}
