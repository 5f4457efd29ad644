/*
 * ctl/text.h - what a guest said, for a person's terminal
 *
 * A guest is not trusted: what it says must not move the cursor or retitle the window.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/val.h"

/* The bytes, with \xNN for control characters and for what is not UTF-8. */
void text_clean(FILE *f, const char *bytes, size_t len);

/* The same of text in lines: newlines and tabs stay. */
void text_lines(FILE *f, const char *bytes, size_t len);

/* How many of LEN bytes a stream can show already: all but a character cut at their end. */
size_t text_whole(const char *bytes, size_t len);

/* Bytes as "512 B", "1.5 MiB"; seconds as "0:05", "1:02:03". */
void text_size(FILE *f, uint64_t bytes);
void text_duration(FILE *f, uint64_t seconds);

/* Any value: a string as it is, an array as `a b c`, a map as `k=v k=v`. */
void text_val(FILE *f, const struct val *v);

/* One line for each pair of MAP: its name, and its value in a column of its own. */
void text_table(FILE *f, const struct val *table);

/* Is V the string S? */
bool text_is(const struct val *v, const char *s);

#endif
