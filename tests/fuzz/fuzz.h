/*
 * tests/fuzz/fuzz.h - what libFuzzer calls, declared once
 *
 *	tests/fuzz/run [SECONDS]
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
