/*
 * tests/fuzz/fuzz.h - what libFuzzer calls, declared once
 *
 *	clang -fsanitize=fuzzer,address,undefined -g -O1 -I. -std=gnu11 -D_GNU_SOURCE \
 *		tests/fuzz/fuzz_scan.c base/?*.c proto/?*.c -lmsgpackc -lm -o fuzz_scan
 *	./fuzz_scan -max_total_time=60 NEW_INPUTS_DIR tests/fuzz/corpus/scan
 *
 * With replay.c in place of -fsanitize=fuzzer a target only runs the files it is given.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A finding is an abort: ASSERT, or a sanitizer's. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
