/* fs/pattern.c - a regular expression for lines, within bounds */
#include "fs/pattern.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/sys.h"
#include "proto/err.h"
#include "proto/limits.h"

/*
 * The compiled expression is thrown away after so long, and with it what it has learned: some MiB of
 * an expression that is made for it, next to nothing of others.
 */
#define FORGET_AFTER_US 50000u

/* How large the expression gets */

struct measure {
	const char *at;
	const char *why; /* set: refused */
	unsigned depth;
	uint64_t size[PATTERN_DEPTH_MAX + 1]; /* of the groups that are open */
	uint64_t last;                        /* of the item that a repetition would repeat */
};

static const char *skip_bracket(const char *p)
{
	p += *p == '^';
	p += *p == ']';
	while (*p && *p != ']') {
		if (*p == '[' && (p[1] == ':' || p[1] == '.' || p[1] == '=')) {
			char closing[3] = {p[1], ']', '\0'};
			const char *end = strstr(p + 2, closing);

			p = end ? end + 2 : p + 1;
		} else {
			p++;
		}
	}
	return *p ? p + 1 : p;
}

static void repeat(struct measure *m, uint64_t times)
{
	uint64_t *size = &m->size[m->depth];

	*size -= m->last;
	m->last = MIN(m->last * MAX(times, 1), PATTERN_SIZE_MAX + 1);
	*size += m->last;
}

/* `{2,5}`, behind the brace: times 5; `{2,}` is three. */
static void measure_braces(struct measure *m)
{
	uint64_t n = 0, most = 0;

	for (; *m->at && *m->at != '}'; m->at++) {
		if (*m->at == ',') {
			most = MAX(n, most);
			n = 0;
		} else if (*m->at >= '0' && *m->at <= '9') {
			n = MIN(n * 10 + (uint64_t)(*m->at - '0'), PATTERN_SIZE_MAX);
		} else {
			return; /* no repetition: it stands for itself */
		}
	}
	m->at += *m->at == '}';
	repeat(m, MAX(n, most) + 1);
}

static void measure_item(struct measure *m, uint64_t size)
{
	m->last = size;
	m->size[m->depth] += size;
}

static void measure_next(struct measure *m)
{
	switch (*m->at++) {
	case '(':
		if (m->depth == PATTERN_DEPTH_MAX)
			m->why = "it has too many groups in one another";
		else
			m->size[++m->depth] = 1;
		m->last = 0;
		break;
	case ')':
		if (m->depth) {
			uint64_t size = m->size[m->depth--];

			measure_item(m, size);
		}
		break;
	case '[':
		m->at = skip_bracket(m->at);
		measure_item(m, 1);
		break;
	case '\\':
		if (*m->at >= '1' && *m->at <= '9')
			m->why = "extended expressions have no back-references";
		m->at += *m->at != '\0';
		measure_item(m, 1);
		break;
	case '*':
	case '+':
		repeat(m, 2);
		break;
	case '{':
		measure_braces(m);
		break;
	default:
		measure_item(m, 1);
		break;
	}
	if (m->size[m->depth] > PATTERN_SIZE_MAX)
		m->why = "it is too large, with its repetitions written out";
}

/* NULL, or what is wrong with it. */
static const char *measure(const char *text)
{
	struct measure m = {.at = text};

	while (*m.at && !m.why)
		measure_next(&m);
	return m.why;
}

/* The pattern */

static int compile(struct pattern *p)
{
	int err = regcomp(&p->regex, p->text, p->flags);

	p->compiled = !err;
	p->spent_us = 0;
	return err;
}

int pattern_init(struct pattern *p, const char *text, bool ignore_case, char *why, size_t why_len)
{
	const char *wrong = NULL;
	char reason[128];
	int err;

	*p = (struct pattern){
		.text = text,
		.text_len = strlen(text),
		.flags = REG_EXTENDED | REG_NEWLINE | (ignore_case ? REG_ICASE : 0),
		.literal = !ignore_case && *text && !strpbrk(text, "\\^$.[]|()*+?{}\n"),
	};
	if (p->text_len > PATTERN_MAX)
		wrong = "it is too long";
	else if (!p->literal)
		wrong = measure(text);
	if (wrong) {
		snprintf(why, why_len, "the pattern is refused: %s", wrong);
		return ERR_BAD_PARAMS;
	}
	err = p->literal ? 0 : compile(p);
	if (!err)
		return 0;
	regerror(err, &p->regex, reason, sizeof(reason));
	snprintf(why, why_len, "the pattern is no extended regular expression: %s", reason);
	return err == REG_ESPACE ? -ENOMEM : ERR_BAD_PARAMS;
}

void pattern_fini(struct pattern *p)
{
	if (p->compiled)
		regfree(&p->regex);
	p->compiled = false;
	if (p->spent_us > FORGET_AFTER_US) /* it may have been much, in small pieces */
		sys_malloc_trim();
	p->spent_us = 0;
}

/* 1, 0 or -ENOMEM.  regexec(3) wants a NUL at the end; that it may be told the length is GNU's. */
static int run(struct pattern *p, char *text, size_t len, int flags, regmatch_t *found)
{
	char behind = text[len];
	uint64_t start;
	int err;

	if (p->spent_us > FORGET_AFTER_US) {
		pattern_fini(p);
		if (compile(p))
			return -ENOMEM;
	}
	start = clock_mono_us();
	text[len] = '\0';
	err = regexec(&p->regex, text, 1, found, flags);
	text[len] = behind;
	p->spent_us += clock_mono_us() - start;
	return err == 0 ? 1 : err == REG_NOMATCH ? 0 : -ENOMEM;
}

int pattern_search(struct pattern *p, char *lines, size_t len, size_t *at)
{
	regmatch_t found = {.rm_so = 0};
	int err;

	if (p->literal) {
		const char *hit = memmem(lines, len, p->text, p->text_len);

		*at = hit ? (size_t)(hit - lines) : 0;
		return hit != NULL;
	}
	err = run(p, lines, len, 0, &found);
	*at = err == 1 ? (size_t)found.rm_so : 0;
	return err;
}

int pattern_match(struct pattern *p, char *line, size_t len, bool not_begin, bool not_end)
{
	regmatch_t found;

	if (p->literal)
		return memmem(line, len, p->text, p->text_len) != NULL;
	return run(p, line, len, (not_begin ? REG_NOTBOL : 0) | (not_end ? REG_NOTEOL : 0), &found);
}
