/*
 * tests/unit/msgpack_gen.h - random msgpack, well formed and not quite
 *
 * Written from the specification alone: it shares no code with what it tests.
 */
#ifndef TESTS_UNIT_MSGPACK_GEN_H
#define TESTS_UNIT_MSGPACK_GEN_H

#include "tests/unit/unit.h"

/* Bytes so far; what does not fit into CAP is left out, which makes one more bad message. */
struct gen {
	unsigned char *bytes;
	size_t len, cap;
	uint32_t seed;
};

static inline void gen_byte(struct gen *g, unsigned byte)
{
	if (g->len < g->cap)
		g->bytes[g->len++] = (unsigned char)byte;
}

/* V in WIDTH bytes, big-endian. */
static inline void gen_be(struct gen *g, uint64_t v, unsigned width)
{
	while (width--)
		gen_byte(g, (unsigned)(v >> (8 * width)) & 0xff);
}

static inline void gen_random(struct gen *g, size_t n)
{
	while (n--)
		gen_byte(g, rnd(&g->seed) >> 24);
}

/* The header of an array of N, in the shortest form or, at random, a longer one. */
static inline void gen_array(struct gen *g, uint32_t n)
{
	unsigned form = rnd_below(&g->seed, 4);

	if (n < 16 && form < 2) {
		gen_byte(g, 0x90 | n);
	} else if (n <= UINT16_MAX && form < 3) {
		gen_byte(g, 0xdc);
		gen_be(g, n, 2);
	} else {
		gen_byte(g, 0xdd);
		gen_be(g, n, 4);
	}
}

static inline void gen_map(struct gen *g, uint32_t n)
{
	unsigned form = rnd_below(&g->seed, 4);

	if (n < 16 && form < 2) {
		gen_byte(g, 0x80 | n);
	} else if (n <= UINT16_MAX && form < 3) {
		gen_byte(g, 0xde);
		gen_be(g, n, 2);
	} else {
		gen_byte(g, 0xdf);
		gen_be(g, n, 4);
	}
}

/*
 * Any value, nested at most DEPTH deep.  Every first byte of the specification comes up; of what
 * a container holds, less than one is a container again, so that messages stay small.
 */
static inline void gen_value(struct gen *g, unsigned depth)
{
	static const unsigned char number_widths[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
	unsigned width;
	uint32_t n = rnd_below(&g->seed, rnd_below(&g->seed, 10) ? 6 : 70);

	switch (rnd_below(&g->seed, depth ? 12 : 8)) {
	case 0:
		gen_byte(g, rnd_below(&g->seed, 0x80));
		break;
	case 1:
		gen_byte(g, 0xe0 + rnd_below(&g->seed, 32));
		break;
	case 2:
		gen_byte(g, (unsigned char)"\xc0\xc2\xc3"[rnd_below(&g->seed, 3)]);
		break;
	case 3: /* a float or an integer */
		n = rnd_below(&g->seed, sizeof(number_widths));
		gen_byte(g, 0xca + n);
		gen_random(g, number_widths[n]);
		break;
	case 4:
		n %= 32;
		gen_byte(g, 0xa0 | n);
		gen_random(g, n);
		break;
	case 5: /* str, bin */
		width = rnd_below(&g->seed, 3);
		gen_byte(g, (rnd_below(&g->seed, 2) ? 0xd9 : 0xc4) + width);
		gen_be(g, n, 1u << width);
		gen_random(g, n);
		break;
	case 6: /* fixext */
		width = rnd_below(&g->seed, 5);
		gen_byte(g, 0xd4 + width);
		gen_random(g, 1 + ((size_t)1 << width));
		break;
	case 7: /* ext */
		width = rnd_below(&g->seed, 3);
		gen_byte(g, 0xc7 + width);
		gen_be(g, n, 1u << width);
		gen_random(g, n + 1);
		break;
	case 8:
	case 9:
		n %= 4;
		gen_array(g, n);
		while (n--)
			gen_value(g, depth - 1);
		break;
	default:
		n %= 4;
		gen_map(g, n);
		for (n *= 2; n; n--)
			gen_value(g, depth - 1);
		break;
	}
}

/* One to three small damages: a bit, a byte, a stretch left out, doubled or cut off. */
static inline void gen_mutate(struct gen *g)
{
	for (uint32_t times = 1 + rnd_below(&g->seed, 3); times && g->len; times--) {
		size_t at = rnd_below(&g->seed, (uint32_t)g->len);
		size_t n = 1 + rnd_below(&g->seed, 8);

		n = MIN(n, g->len - at);
		switch (rnd_below(&g->seed, 6)) {
		case 0:
			g->bytes[at] ^= (unsigned char)(1u << rnd_below(&g->seed, 8));
			break;
		case 1:
			g->bytes[at] = (unsigned char)(rnd(&g->seed) >> 24);
			break;
		case 2: /* what claims much */
			g->bytes[at] = (unsigned char)"\xdd\xdf\xdb\xc6\xc9\xdc\xde\xff"[rnd_below(
				&g->seed, 8)];
			break;
		case 3:
			memmove(g->bytes + at, g->bytes + at + n, g->len - at - n);
			g->len -= n;
			break;
		case 4:
			if (g->len + n <= g->cap) {
				memmove(g->bytes + at + n, g->bytes + at, g->len - at);
				g->len += n;
			}
			break;
		default:
			g->len = at;
			break;
		}
	}
}

#endif
