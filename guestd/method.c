/* guestd/method.c - the method set */
#include "guestd/method.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct {
	const struct method **sorted;
	bool *disabled; /* by the same index */
	size_t n;
} set;

static int by_name(const void *a, const void *b)
{
	const struct method *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Compares NAME, which is not terminated, with that of set.sorted[i]. */
static int compare(const char *name, size_t len, size_t i)
{
	const char *other = set.sorted[i]->name;
	size_t other_len = strlen(other);
	int c = memcmp(name, other, MIN(len, other_len));

	return c ? c : (len > other_len) - (len < other_len);
}

static bool find(const char *name, size_t len, size_t *out)
{
	size_t low = 0, high = set.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = compare(name, len, mid);

		if (c == 0) {
			*out = mid;
			return true;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

/* Does NAME say METHOD?  `fs.*` says all that begin so. */
static bool says(const char *name, const struct method *method)
{
	size_t len = strlen(name);

	if (len && name[len - 1] == '*')
		return strncmp(name, method->name, len - 1) == 0;
	return strcmp(name, method->name) == 0;
}

/* All that NAME says, but never so that nobody could connect any more. */
static int mark_one(const char *name, bool disabled, const char *option, char *why, size_t why_len)
{
	bool found = false, locked_out = false;

	for (size_t i = 0; i < set.n; i++) {
		if (!says(name, set.sorted[i]))
			continue;
		if (disabled && set.sorted[i]->before_auth) {
			locked_out = true;
			continue;
		}
		set.disabled[i] = disabled;
		found = true;
	}
	if (!found)
		snprintf(why, why_len,
			locked_out ? "%s would lock everybody out: %s" : "%s names no method: %s",
			option, name);
	return found ? 0 : -EINVAL;
}

static int mark(
	const char *const *names, bool disabled, const char *option, char *why, size_t why_len)
{
	int err = 0;

	for (; names && *names && !err; names++)
		err = mark_one(*names, disabled, option, why, why_len);
	return err;
}

int method_init(const char *const *allow, const char *const *deny, char *why, size_t why_len)
{
	int err;

	set.n = (size_t)(__stop_methods - __start_methods);
	set.sorted = xcalloc(set.n, sizeof(*set.sorted));
	set.disabled = xcalloc(set.n, sizeof(*set.disabled));
	memcpy(set.sorted, __start_methods, set.n * sizeof(*set.sorted));
	qsort(set.sorted, set.n, sizeof(*set.sorted), by_name);
	for (size_t i = 0; i < set.n; i++) {
		ASSERT(!!set.sorted[i]->call + !!set.sorted[i]->work + !!set.sorted[i]->steps == 1);
		ASSERT(i == 0 || strcmp(set.sorted[i - 1]->name, set.sorted[i]->name) != 0);
		/* An allow list leaves out what it does not name, but never the handshake. */
		set.disabled[i] = allow && *allow && !set.sorted[i]->before_auth;
	}
	err = mark(allow, false, "--allow", why, why_len);
	return err ? err : mark(deny, true, "--deny", why, why_len);
}

const struct method *method_find(const char *name, size_t len)
{
	size_t i;

	return find(name, len, &i) ? set.sorted[i] : NULL;
}

bool method_disabled(const struct method *m)
{
	size_t i;

	return find(m->name, strlen(m->name), &i) && set.disabled[i];
}

size_t method_count(void)
{
	return set.n;
}

const struct method *method_at(size_t i)
{
	return set.sorted[i];
}

static void print_arg(const struct arg *row, void *ctx)
{
	bool *first = ctx;

	printf("%s%s%s", *first ? "" : ", ", row->name, row->required ? "" : "?");
	*first = false;
}

void method_print(void)
{
	for (size_t i = 0; i < set.n; i++) {
		bool first = true;

		printf("%s(", set.sorted[i]->name);
		if (set.sorted[i]->args)
			args_each(set.sorted[i]->args, print_arg, &first);
		printf(")\n");
	}
}
