/* proc/spawner.c - threads that wait for an exec, so that the loop does not */
#include "proc/spawner.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/sys.h"
#include "proto/limits.h"

/* A handful of frames; sanitizers want more.  Only what is touched costs memory. */
#define STACK_BYTES (128u << 10)

/* So long the loop sleeps at most before it looks for the answer itself. */
#define LOOK_NS 1000000

/* Before that it lets the thread, which is where the loop is, go first. */
#define YIELDS 2

struct spawner {
	struct spawner *next; /* spawners.idle */
	bool moved;           /* to where the loop is */
	_Atomic int tid;      /* 0 = not yet known */
	_Atomic int asked;
	_Atomic int answer; /* the pid, from the kernel, or -errno; 0 = not yet */

	/* the question */
	int cgroup;
	void *stack;
	size_t stack_len;
	void (*fn)(void *arg);
	void *arg;
};

static struct {
	pthread_mutex_t mutex;
	struct spawner *idle; /* under the mutex; the last used first: its stack is in the cache */
	unsigned n;           /* the loop's */
	cpu_set_t cpus;       /* where the agent may run; written by the loop while it asks */
} spawners = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* TIMEOUT may be NULL. */
SYS_CHILD static void futex(_Atomic int *word, int op, int value, const struct timespec *timeout)
{
	sys_raw(SYS_futex, (long)word, op, value, (long)timeout, 0, 0);
}

static void give(_Atomic int *word, int value)
{
	atomic_store(word, value);
	futex(word, FUTEX_WAKE_PRIVATE, 1, NULL);
}

/*
 * The child wakes us, as the thread cannot: it waits for the child.  But the answer comes from the kernel, and a
 * child that is stopped or killed before it does anything holds us up for one look.
 */
static int await_answer(_Atomic int *answer)
{
	static const struct timespec look = {.tv_nsec = LOOK_NS};
	int value;

	for (int i = 0; i < YIELDS && !atomic_load(answer); i++)
		sched_yield();
	while (!(value = atomic_load(answer)))
		futex(answer, FUTEX_WAIT_PRIVATE, 0, &look);
	return value;
}

SYS_CHILD static void child(void *arg)
{
	struct spawner *s = arg;

	futex(&s->answer, FUTEX_WAKE_PRIVATE, 1, NULL);
	s->fn(s->arg);
}

static void *run(void *arg)
{
	struct spawner *s = arg;

	atomic_store(&s->tid, (int)sys_raw(SYS_gettid, 0, 0, 0, 0, 0, 0));
	for (;;) {
		pid_t pid;

		while (!atomic_load(&s->asked))
			futex(&s->asked, FUTEX_WAIT_PRIVATE, 0, NULL);
		atomic_store(&s->asked, 0);
		/* The child begins where there is room, and inherits where it may run. */
		if (s->moved)
			sched_setaffinity(0, sizeof(spawners.cpus), &spawners.cpus);
		pid = sys_clone(CLONE_VM | CLONE_VFORK, s->cgroup, (int *)&s->answer, s->stack,
			s->stack_len, child, s);
		if (pid < 0)
			give(&s->answer, pid);
		pthread_mutex_lock(&spawners.mutex);
		s->next = spawners.idle;
		spawners.idle = s;
		pthread_mutex_unlock(&spawners.mutex);
	}
	return NULL;
}

static struct spawner *new_spawner(void)
{
	struct spawner *s = spawners.n < MAX_SPAWNERS ? calloc(1, sizeof(*s)) : NULL;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (!s)
		return NULL;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, run, s);
	pthread_attr_destroy(&attr);
	if (err) {
		free(s);
		return NULL;
	}
	spawners.n++;
	return s;
}

static struct spawner *take_idle(void)
{
	struct spawner *s;

	pthread_mutex_lock(&spawners.mutex);
	s = spawners.idle;
	if (s)
		spawners.idle = s->next;
	pthread_mutex_unlock(&spawners.mutex);
	return s;
}

/*
 * It wakes where we are: we are about to wait for it, so it can begin at once, where another
 * processor may have to be woken first.  That costs more than all the rest.
 */
static void move_here(struct spawner *s)
{
	int cpu = sched_getcpu(), tid = atomic_load(&s->tid);
	cpu_set_t here;

	s->moved = false;
	/* What has more processors than the set, this fails for. */
	if (cpu < 0 || cpu >= CPU_SETSIZE || !tid ||
		sched_getaffinity(0, sizeof(spawners.cpus), &spawners.cpus) < 0)
		return;
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	s->moved = sched_setaffinity(tid, sizeof(here), &here) == 0;
}

pid_t spawner_clone(int cgroup, void *stack, size_t stack_len, void (*fn)(void *arg), void *arg)
{
	struct spawner *s = take_idle();

	if (!s)
		s = new_spawner();
	if (!s)
		return -EAGAIN;
	move_here(s);
	s->cgroup = cgroup;
	s->stack = stack;
	s->stack_len = stack_len;
	s->fn = fn;
	s->arg = arg;
	atomic_store(&s->answer, 0);
	give(&s->asked, 1);
	return await_answer(&s->answer);
}
