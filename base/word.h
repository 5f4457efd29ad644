/* base/word.h - lists of words, as the kernel prints them */
#ifndef BASE_WORD_H
#define BASE_WORD_H

#include <stdbool.h>

/* Is WORD one of those in TEXT, which blanks and newlines part? */
bool has_word(const char *text, const char *word);

#endif
