/* init/end.h - the end of a guest whose PID 1 the agent is */
#ifndef INIT_END_H
#define INIT_END_H

/* Returns only where the machine can be neither switched off nor restarted. */
void end_machine(void);

#endif
