/*
 * guestd/job.c - the worker pool
 *
 * One mutex guards the queues and the counts; the loop learns of finished jobs through an
 * ev_async, the one libev call that another thread may make.
 */
#include "guestd/job.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/log.h"
#include "guestd/loop.h"
#include "proto/limits.h"

/* Started as they are wanted; the others only where these are stuck. */
#define N_KEPT 4u

/* Of MAX_WORKERS, those that slow jobs never have. */
#define N_RESERVED 4u
#define N_SLOW_MAX (MAX_WORKERS - N_RESERVED)

/* Nothing was begun for so long, in seconds, with work waiting: one more thread. */
#define STUCK 0.01

/* So long no more than N_KEPT were at work: the others end. */
#define SPARE_S 3

/* libarchive and the codecs want some; the default of 8 MiB is only address space. */
#define STACK_BYTES (512u << 10)

static struct {
	bool started;
	struct ev_async wake;
	struct ev_timer stuck;
	unsigned n_begun_then; /* when the timer was looked at */
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	/* Under the mutex: */
	struct list queue[2]; /* by class */
	struct list done;
	unsigned n_queued[2], n_threads, n_idle, n_slow, n_begun;
	bool waking;             /* a worker was woken and has not looked yet */
	struct timespec crowded; /* the last time that more than N_KEPT were at work */
	bool stop;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Jobs that a thread would find. */
static unsigned n_waiting(void)
{
	return pool.n_queued[JOB_QUICK] +
	       MIN(pool.n_queued[JOB_SLOW], N_SLOW_MAX - MIN(pool.n_slow, N_SLOW_MAX));
}

static struct job *next_job(void)
{
	struct list *queue = &pool.queue[JOB_QUICK];
	struct job *job;

	if (list_empty(queue) && pool.n_slow < N_SLOW_MAX)
		queue = &pool.queue[JOB_SLOW];
	job = LIST_FIRST(queue, struct job, link);
	if (!job)
		return NULL;
	list_del(&job->link);
	pool.n_queued[job->class]--;
	pool.n_begun++;
	pool.n_slow += job->class == JOB_SLOW;
	if (pool.n_threads - pool.n_idle > N_KEPT)
		clock_gettime(CLOCK_MONOTONIC, &pool.crowded);
	return job;
}

/* Waits for work.  False: there was none for long, and there are threads enough. */
static bool wait_for_work(void)
{
	struct timespec until = pool.crowded, now;

	pool.n_idle++;
	until.tv_sec += SPARE_S;
	if (pool.n_threads <= N_KEPT)
		pthread_cond_wait(&pool.cond, &pool.mutex);
	else
		pthread_cond_timedwait(&pool.cond, &pool.mutex, &until);
	pool.n_idle--;
	pool.waking = false;
	if (pool.n_threads <= N_KEPT || n_waiting())
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec < pool.crowded.tv_sec + SPARE_S;
}

/*
 * Is a worker to be woken?  One at a time: it wakes the next one, if there is more to do when it looks.
 * Many short jobs cost few wakings so.
 */
static bool wants_waking(void)
{
	if (pool.waking || !pool.n_idle || !n_waiting())
		return false;
	pool.waking = true;
	return true;
}

unsigned job_width(void)
{
	static atomic_uint width;
	unsigned n = atomic_load(&width);
	cpu_set_t set;

	if (!n) {
		/* What more than CPU_SETSIZE has of them, it fails for. */
		n = sched_getaffinity(0, sizeof(set), &set) < 0 ? N_KEPT
								: (unsigned)CPU_COUNT(&set);
		n = MIN(MAX(n, 1), N_SLOW_MAX);
		atomic_store(&width, n);
	}
	return n;
}

/* System calls are made without the mutex. */
static void *worker(void *arg)
{
	bool tell = false;

	(void)arg;
	pthread_mutex_lock(&pool.mutex);
	for (;;) {
		struct job *job = next_job();
		bool wake = job && wants_waking();
		bool offer = job && !job->done; /* it may be gone after its work */
		bool slow = job && job->class == JOB_SLOW;

		if (!job && !tell) {
			if (pool.stop || !wait_for_work())
				break;
			continue;
		}
		pthread_mutex_unlock(&pool.mutex);

		if (wake)
			pthread_cond_signal(&pool.cond);
		if (tell)
			ev_async_send(loop_ev(), &pool.wake);
		if (job)
			job->work(job);

		pthread_mutex_lock(&pool.mutex);
		tell = job && !offer;
		pool.n_slow -= slow;
		if (!tell)
			continue;
		list_add_tail(&pool.done, &job->link);
	}
	pool.n_threads--;
	pthread_cond_broadcast(&pool.cond);
	pthread_mutex_unlock(&pool.mutex);
	return NULL;
}

/* Signals are blocked in every thread (main.c), so a new one needs no mask of its own. */
static int start_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&thread, &attr, worker, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		pool.n_threads++;
	return -err;
}

/* Somebody offers parts of its work, and there are more processors than threads. */
static bool wants_helper(void)
{
	return n_waiting() > pool.n_idle && pool.n_threads < job_width() && !pool.stop;
}

static void on_done(struct ev_loop *ev, struct ev_async *w, int revents)
{
	struct list finished;

	(void)ev, (void)w, (void)revents;
	list_init(&finished);
	pthread_mutex_lock(&pool.mutex);
	list_each_safe(link, &pool.done) {
		list_del(link);
		list_add_tail(&finished, link);
	}
	if (wants_helper())
		(void)start_thread(); /* else those that run will get to it, or the owner */
	pthread_mutex_unlock(&pool.mutex);
	while (!list_empty(&finished)) {
		struct job *job = LIST_FIRST(&finished, struct job, link);

		list_del(&job->link);
		job->done(job);
	}
}

/* Work waits: does it move? */
static void on_stuck(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	unsigned waiting;

	(void)revents;
	pthread_mutex_lock(&pool.mutex);
	waiting = n_waiting();
	if (waiting > pool.n_idle && pool.n_begun == pool.n_begun_then &&
		pool.n_threads < MAX_WORKERS)
		(void)start_thread(); /* else those that run will get to it */
	pool.n_begun_then = pool.n_begun;
	pthread_mutex_unlock(&pool.mutex);
	if (!waiting)
		ev_timer_stop(ev, w);
}

static void start_pool(void)
{
	pthread_condattr_t attr;

	pool.started = true;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.cond, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&pool.queue[JOB_QUICK]);
	list_init(&pool.queue[JOB_SLOW]);
	list_init(&pool.done);
	ev_async_init(&pool.wake, on_done);
	ev_async_start(loop_ev(), &pool.wake);
	ev_init(&pool.stuck, on_stuck);
	pool.stuck.repeat = STUCK;
}

/* One more thread at once?  Of those that slow jobs may not have, some wait for quick ones. */
static bool wants_thread(enum job_class class)
{
	if (class == JOB_QUICK)
		return pool.n_threads - pool.n_slow < N_RESERVED;
	return pool.n_threads < N_KEPT;
}

/* 0, or there is no thread at all. */
static int enqueue(struct job *job)
{
	bool crowded;
	int err = 0;

	pool.n_queued[job->class]++;
	list_add_tail(&pool.queue[job->class], &job->link);
	crowded = n_waiting() > pool.n_idle;
	if (crowded && wants_thread(job->class))
		err = start_thread();
	if (!pool.n_threads) {
		list_del(&job->link);
		pool.n_queued[job->class]--;
		return err;
	}
	if (crowded && !ev_is_active(&pool.stuck)) {
		pool.n_begun_then = pool.n_begun;
		ev_timer_again(loop_ev(), &pool.stuck);
	}
	return 0;
}

int job_submit(struct job *job)
{
	int err = -EAGAIN;
	bool wake;

	if (!pool.started)
		start_pool();
	pthread_mutex_lock(&pool.mutex);
	if (pool.n_queued[JOB_QUICK] + pool.n_queued[JOB_SLOW] < MAX_QUEUED_JOBS)
		err = enqueue(job);
	wake = wants_waking();
	pthread_mutex_unlock(&pool.mutex);
	/* Not before: whoever wakes up would wait for the mutex at once. */
	if (wake)
		pthread_cond_signal(&pool.cond);
	return err;
}

void job_continue(struct job *job)
{
	bool wake;

	pthread_mutex_lock(&pool.mutex);
	/* There is a thread: some are kept. */
	ASSERT(enqueue(job) == 0);
	wake = wants_waking();
	pthread_mutex_unlock(&pool.mutex);
	if (wake)
		pthread_cond_signal(&pool.cond);
}

void job_offer(struct job *job)
{
	bool wants, wake;

	pthread_mutex_lock(&pool.mutex);
	ASSERT(pool.started && !job->done);
	pool.n_queued[job->class]++;
	list_add_tail(&pool.queue[job->class], &job->link);
	wants = wants_helper();
	wake = wants_waking();
	pthread_mutex_unlock(&pool.mutex);
	if (wake)
		pthread_cond_signal(&pool.cond);
	/* The loop starts threads: they begin with the rights of the one that does. */
	if (wants)
		ev_async_send(loop_ev(), &pool.wake);
}

bool job_take_back(struct job *job)
{
	bool queued;

	pthread_mutex_lock(&pool.mutex);
	queued = !list_empty(&job->link);
	if (queued) {
		list_del(&job->link);
		pool.n_queued[job->class]--;
	}
	pthread_mutex_unlock(&pool.mutex);
	return queued;
}

void job_shutdown(void)
{
	struct timespec deadline;

	if (!pool.started)
		return;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec++;
	pthread_mutex_lock(&pool.mutex);
	pool.stop = true;
	pthread_cond_broadcast(&pool.cond);
	/* What is done may ask for more: the end of a call in steps. */
	while (pool.n_threads || !list_empty(&pool.done)) {
		if (!list_empty(&pool.done)) {
			pthread_mutex_unlock(&pool.mutex);
			on_done(NULL, NULL, 0);
			pthread_mutex_lock(&pool.mutex);
		} else if (pthread_cond_timedwait(&pool.cond, &pool.mutex, &deadline) ==
			   ETIMEDOUT) {
			log_warn("job", "left behind threads=%u", pool.n_threads);
			break;
		}
	}
	pthread_mutex_unlock(&pool.mutex);
	ev_async_stop(loop_ev(), &pool.wake);
	ev_timer_stop(loop_ev(), &pool.stuck);
}
