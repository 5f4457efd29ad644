/* ctl/mode.h - permissions, as people write and read them */
#ifndef CTL_MODE_H
#define CTL_MODE_H

#include <stdbool.h>
#include <stdint.h>

/* Octal, at most 07777.  False for what is none. */
bool mode_parse(const char *text, uint64_t *mode);

/*
 * What chmod(1) makes of MODE with a symbolic TEXT ("u+x,go=r"), of a directory or not.  False
 * where TEXT is none.
 */
bool mode_change(const char *text, bool dir, unsigned *mode);

/* "drwxr-xr-x" of `type` and `mode`: 10 characters and a NUL. */
void mode_text(char type, unsigned mode, char text[11]);

#endif
