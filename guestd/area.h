/*
 * guestd/area.h - what an area (proc, init, ...) hooks into the daemon's life
 *
 * The core names no area.  An area puts a record into a linker set, as a method does
 * (method.h), and the core walks the set.
 */
#ifndef GUESTD_AREA_H
#define GUESTD_AREA_H

#include "base/check.h"

struct area {
	const char *name;
	/* As PID 1 only, before anything else: there may be no /dev, no descriptor 0. */
	void (*pid1)(void);
	/*
	 * As PID 1, with the configuration read: forks the agent, which is to call AGENT and to exit
	 * with what it returns, and looks after it.  Does not return, which the kernel would take for
	 * a crash.  ARGV is main's.
	 */
	void (*pid1_run)(int (*agent)(void), char **argv);
	/* Instead of a start, for --check: looks at the guest, prints, and gives the exit status. */
	int (*check)(void);
	/* The loop exists, no listener is open.  0 or -errno: the daemon then does not start. */
	int (*start)(void);
	/* All areas have started and descriptors are plenty; the listeners open next. */
	void (*ready)(void);
	/* The guest was restored or cloned: what the kernel said of the disk may not be so.  Loop. */
	void (*resumed)(void);
	/* The loop has ended. */
	void (*stop)(void);
};

/*
 * A pointer, not the record, goes into the set: no padding surprises.  `retain` keeps it from
 * --gc-sections where the compiler knows it; elsewhere the __start_ symbol does.
 */
#define AREA(sym)                                                                                  \
	static const struct area sym##_area;                                                       \
	static const struct area *const sym##_area_entry __attribute__((used, section("areas"))) = \
		&sym##_area;                                                                       \
	static const struct area sym##_area

extern const struct area *const __start_areas[];
extern const struct area *const __stop_areas[];

#endif
