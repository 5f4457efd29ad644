/* system/numbers.h - numbers in the files of /proc; scanf(3) would be a tenth of the agent */
#ifndef SYSTEM_NUMBERS_H
#define SYSTEM_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unsigned numbers at the beginning of TEXT, blanks between them, N at most; how many. */
size_t numbers(const char *text, uint64_t *out, size_t n);

/* "12.34" at *TEXT, which then points behind it. */
bool decimal(const char **text, double *out);

/* Behind the N'th blank-separated word of TEXT, or NULL. */
const char *behind_words(const char *text, size_t n);

#endif
