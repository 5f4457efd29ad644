/* system/numbers.c - numbers in the files of /proc */
#include "system/numbers.h"

#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

size_t numbers(const char *text, uint64_t *out, size_t n)
{
	size_t i = 0;

	while (text && i < n) {
		char *end;

		text += strspn(text, " \t");
		if (!is_digit(*text))
			break;
		out[i++] = strtoull(text, &end, 10);
		text = end;
	}
	return i;
}

bool decimal(const char **text, double *out)
{
	const char *p = *text;
	double number = 0, unit = 1;

	if (!is_digit(*p))
		return false;
	for (; is_digit(*p); p++)
		number = number * 10 + (*p - '0');
	if (*p == '.') {
		for (p++; is_digit(*p); p++) {
			number = number * 10 + (*p - '0');
			unit *= 10;
		}
	}
	*out = number / unit;
	*text = p;
	return true;
}

const char *behind_words(const char *text, size_t n)
{
	while (text && n--) {
		text += strspn(text, " \t");
		if (!*text)
			return NULL;
		text += strcspn(text, " \t");
	}
	return text;
}
