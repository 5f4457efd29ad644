/*
 * ctl/text.h - what a guest said, for a person's terminal
 *
 * A guest is not trusted: what it says must not move the cursor or retitle the window.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/val.h"

/* The bytes, with \xNN for control characters and for what is not UTF-8. */
void text_clean(FILE *f, const char *bytes, size_t len);

/* Any value: a string as it is, an array as `a b c`, a map as `k=v k=v`. */
void text_val(FILE *f, const struct val *v);

/* One line for each pair of MAP: its name, and its value in a column of its own. */
void text_table(FILE *f, const struct val *table);

/* Is V the string S? */
bool text_is(const struct val *v, const char *s);

#endif
