/*
 * base/check.h - assertions, annotations and scope-bound cleanup
 *
 * ASSERT is for our own mistakes only: what a peer or the system can cause is an error
 * value, never an assertion.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

#define ASSERT(cond)       ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
#define BUILD_ASSERT(cond) _Static_assert(cond, #cond)

#define MUST_CHECK     __attribute__((warn_unused_result))
#define PRINTF(fmt, a) __attribute__((format(printf, fmt, a)))
#define NORETURN       __attribute__((noreturn))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Says what was violated on stderr and aborts. */
NORETURN void check_failed(const char *cond, const char *file, int line);

#endif
