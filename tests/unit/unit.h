/*
 * tests/unit/unit.h - cmocka with what it wants included first, and repeatable random numbers
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

/* A string literal as bytes and their number: NULs may stand in it. */
#define LIT(s) (s), (sizeof(s) - 1)

/* xorshift32 (Marsaglia, 2003): the same numbers on every machine.  *SEED is not 0. */
static inline uint32_t rnd(uint32_t *seed)
{
	uint32_t x = *seed;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *seed = x;
}

/* 0 .. N - 1. */
static inline uint32_t rnd_below(uint32_t *seed, uint32_t n)
{
	return (uint32_t)(((uint64_t)rnd(seed) * n) >> 32);
}

static inline void rnd_fill(uint32_t *seed, void *bytes, size_t len)
{
	unsigned char *p = bytes;

	while (len--)
		*p++ = (unsigned char)(rnd(seed) >> 24);
}

#endif
