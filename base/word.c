/* base/word.c - lists of words, as the kernel prints them */
#include "base/word.h"

#include <string.h>

bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; *(p += strspn(p, " \n")); p += strcspn(p, " \n")) {
		if (strcspn(p, " \n") == len && memcmp(p, word, len) == 0)
			return true;
	}
	return false;
}
