/* machine/name.h - what a host may be called */
#ifndef MACHINE_NAME_H
#define MACHINE_NAME_H

/* For .check: NULL, or what it must be. */
const char *name_check(const char *name);

#endif
