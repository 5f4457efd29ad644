/*
 * init/supervise.h - process 1 once the guest is set up: it keeps an agent running
 *
 * It has one thread, one small loop and allocates nothing there: what may fail or crash does so in
 * the agent, its child.
 */
#ifndef INIT_SUPERVISE_H
#define INIT_SUPERVISE_H

#include "base/check.h"

/*
 * Forks the agent, which calls RUN and exits with what that returns, and starts it again whenever
 * it ends.  ARGV is main's.  Never returns.
 */
NORETURN void supervise(int (*run)(void), char **argv);

#endif
