/*
 * fs/glob.c - patterns for names and paths
 *
 * Two loops of one kind, one over the bytes of a name, the other over the names of a path.  Where
 * they get stuck they go back to the last star only, and let it take one more: an earlier star has
 * nothing to gain, because what follows it was found as early as possible.
 */
#include "fs/glob.h"

#include <string.h>

#include "proto/limits.h"

/* The set behind `[` at P: where it ends, or NULL where it does not, and whether C is in it. */
static const char *set_match(const char *p, const char *end, unsigned char c, bool *in)
{
	bool negated = p < end && (*p == '!' || *p == '^');
	const char *first = p + negated;

	*in = false;
	for (p = first; p < end; p++) {
		unsigned char low, high;

		if (*p == ']' && p > first) {
			*in ^= negated;
			return p + 1;
		}
		if (*p == '\\' && p + 1 < end)
			p++;
		low = high = (unsigned char)*p;
		if (end - p > 2 && p[1] == '-' && p[2] != ']') {
			p += 2;
			if (*p == '\\' && p + 1 < end)
				p++;
			high = (unsigned char)*p;
		}
		*in |= c >= low && c <= high;
	}
	return NULL;
}

/* One item of a pattern that is no star, against C: what is behind it, NULL where it is another. */
static const char *item_match(const char *p, const char *end, unsigned char c)
{
	const char *behind;
	bool in;

	switch (*p) {
	case '?':
		return p + 1;
	case '[':
		behind = set_match(p + 1, end, c, &in);
		if (behind)
			return in ? behind : NULL;
		break; /* without an end it is only a bracket */
	case '\\':
		if (p + 1 < end)
			p++;
		break;
	default:
		break;
	}
	return (unsigned char)*p == c ? p + 1 : NULL;
}

static bool match(const char *p, const char *p_end, const char *t, const char *t_end)
{
	const char *star = NULL, *star_t = NULL;

	while (t < t_end) {
		const char *behind = NULL;

		if (p < p_end && *p == '*') {
			star = ++p;
			star_t = t;
			continue;
		}
		if (p < p_end)
			behind = item_match(p, p_end, (unsigned char)*t);
		if (behind) {
			p = behind;
			t++;
		} else if (star) {
			p = star;
			t = ++star_t;
		} else {
			return false;
		}
	}
	while (p < p_end && *p == '*')
		p++;
	return p == p_end;
}

bool glob_name(const char *pattern, const char *text)
{
	return match(pattern, pattern + strlen(pattern), text, text + strlen(text));
}

/* The end of the name at S, which a slash or END is. */
static const char *name_end(const char *s, const char *end)
{
	const char *slash = memchr(s, '/', (size_t)(end - s));

	return slash ? slash : end;
}

static const char *next_name(const char *s, const char *end)
{
	s = name_end(s, end);
	return s < end ? s + 1 : end;
}

static bool is_any_depth(const char *p, const char *end)
{
	return name_end(p, end) - p == 2 && p[0] == '*' && p[1] == '*';
}

static bool match_path(const char *p, const char *p_end, const char *t, const char *t_end)
{
	const char *star = NULL, *star_t = NULL;

	while (t < t_end) {
		if (p < p_end && is_any_depth(p, p_end)) {
			star = p = next_name(p, p_end);
			star_t = t;
			if (p ==
				p_end) /* `a` + `/` + `**`: all that is in a, which is not a itself */
				return true;
		} else if (p < p_end && match(p, name_end(p, p_end), t, name_end(t, t_end))) {
			p = next_name(p, p_end);
			t = next_name(t, t_end);
		} else if (star) {
			p = star;
			t = star_t = next_name(star_t, t_end);
		} else {
			return false;
		}
	}
	return p == p_end;
}

static bool matches(const char *pattern, const char *below, const char *name, bool dir)
{
	const char *end = pattern + strlen(pattern);

	if (end > pattern && end[-1] == '/') {
		if (!dir)
			return false;
		end--;
	}
	if (pattern == end)
		return false;
	if (!memchr(pattern, '/', (size_t)(end - pattern)))
		return match(pattern, end, name, name + strlen(name));
	pattern += *pattern == '/';
	return match_path(pattern, end, below, below + strlen(below));
}

bool glob_ignored(const struct strs *patterns, const char *below, bool dir)
{
	const char *slash = strrchr(below, '/');
	const char *name = slash ? slash + 1 : below;

	for (size_t i = patterns->n; i-- > 0;) {
		const char *pattern = patterns->at[i];
		bool back = *pattern == '!';

		if (matches(pattern + back, below, name, dir))
			return !back;
	}
	return false;
}

int glob_check(const struct strs *patterns, const char *name, struct failure *f)
{
	if (patterns->n > MAX_GLOBS)
		return failure_set(f, ERR_LIMIT, NULL, NULL,
			"parameter %s has more than %u patterns", name, MAX_GLOBS);
	for (size_t i = 0; i < patterns->n; i++) {
		if (strlen(patterns->at[i]) > GLOB_MAX)
			return failure_set(f, ERR_LIMIT, NULL, NULL,
				"a pattern of parameter %s is longer than %u bytes", name,
				GLOB_MAX);
	}
	return 0;
}
