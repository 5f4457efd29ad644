/* init/end.h - the end of a guest */
#ifndef INIT_END_H
#define INIT_END_H

#include <stdbool.h>
#include <stdint.h>

enum end_mode { END_POWEROFF, END_REBOOT, END_HALT };

/* What all processes have between SIGTERM and SIGKILL when nobody says otherwise. */
#define END_GRACE_MS 5000

/* What end_machine is to do; without it, power-off. */
void end_plan(enum end_mode mode, uint64_t grace_ms);

/*
 * Until we have no child any more, orphans that come to us among them.  Those who write to what we
 * read can do so meanwhile, and are not killed by SIGPIPE before they have tidied up.
 */
void end_wait_for_children(void);

/* Was there a plan? */
bool end_is_planned(void);

/*
 * Everybody is asked to end, and killed after the grace; what was written goes to the disks, which
 * are unmounted.  Returns only where the machine can be neither switched off nor restarted.
 */
void end_machine(void);

#endif
