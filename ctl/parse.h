/*
 * ctl/parse.h - numbers on the command line
 *
 * False for what is none, and then nothing is written.
 */
#ifndef CTL_PARSE_H
#define CTL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* Digits alone, at most MAX. */
bool parse_uint(const char *text, uint64_t max, uint64_t *value);

/* Seconds, with a fraction or without, at most ten years. */
bool parse_seconds(const char *text, uint64_t *ms);

#endif
