/*
 * tests/fuzz/replay.c - runs each file named on the command line through a fuzz target, twice
 *
 * For compilers without libFuzzer, and for `make check`.  The second run finds state that the
 * first left behind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (4u << 20)

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		uint8_t *room, *input;
		size_t len;

		if (!f) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		room = malloc(INPUT_MAX);
		len = room ? fread(room, 1, INPUT_MAX, f) : 0;
		fclose(f);
		/* A block of just that size, so that a sanitizer sees a read behind it. */
		input = malloc(len + !len);
		if (room && input)
			memcpy(input, room, len);
		free(room);
		if (!input) {
			fprintf(stderr, "out of memory\n");
			return 1;
		}
		LLVMFuzzerTestOneInput(input, len);
		LLVMFuzzerTestOneInput(input, len);
		free(input);
	}
	printf("%d inputs, each twice\n", argc - 1);
	return 0;
}
