/*
 * guestd/job.c - the worker pool
 *
 * One mutex guards the queues and the counts; the loop learns of finished jobs through an
 * ev_async, the one libev call that another thread may make.
 */
#include "guestd/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "guestd/loop.h"
#include "proto/limits.h"

#define N_THREADS  4
#define N_SLOW_MAX (N_THREADS / 2)

/* libarchive and the codecs want some; the default of 8 MiB is only address space. */
#define STACK_BYTES (512u << 10)

static struct {
	bool started;
	struct ev_async wake;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	/* Under the mutex: */
	struct list queue[2]; /* by class */
	struct list done;
	unsigned n_queued, n_threads, n_idle, n_slow;
	bool stop;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static struct job *next_job(void)
{
	struct list *queue = &pool.queue[JOB_QUICK];
	struct job *job;

	if (list_empty(queue) && pool.n_slow < N_SLOW_MAX)
		queue = &pool.queue[JOB_SLOW];
	job = LIST_FIRST(queue, struct job, link);
	if (job)
		list_del(&job->link);
	return job;
}

static void *worker(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&pool.mutex);
	for (;;) {
		struct job *job = next_job();

		if (!job) {
			if (pool.stop)
				break;
			pool.n_idle++;
			pthread_cond_wait(&pool.cond, &pool.mutex);
			pool.n_idle--;
			continue;
		}
		pool.n_queued--;
		pool.n_slow += job->class == JOB_SLOW;
		pthread_mutex_unlock(&pool.mutex);

		job->work(job);

		pthread_mutex_lock(&pool.mutex);
		pool.n_slow -= job->class == JOB_SLOW;
		list_add_tail(&pool.done, &job->link);
		ev_async_send(loop_ev(), &pool.wake);
	}
	pool.n_threads--;
	pthread_cond_broadcast(&pool.cond);
	pthread_mutex_unlock(&pool.mutex);
	return NULL;
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
	pthread_mutex_unlock(&pool.mutex);
	while (!list_empty(&finished)) {
		struct job *job = LIST_FIRST(&finished, struct job, link);

		list_del(&job->link);
		job->done(job);
	}
}

static void start_pool(void)
{
	pool.started = true;
	list_init(&pool.queue[JOB_QUICK]);
	list_init(&pool.queue[JOB_SLOW]);
	list_init(&pool.done);
	ev_async_init(&pool.wake, on_done);
	ev_async_start(loop_ev(), &pool.wake);
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
	return -err;
}

int job_submit(struct job *job)
{
	int err = 0;

	if (!pool.started)
		start_pool();
	pthread_mutex_lock(&pool.mutex);
	if (pool.n_queued >= MAX_QUEUED_JOBS) {
		err = -EAGAIN;
	} else if (pool.n_idle <= pool.n_queued && pool.n_threads < N_THREADS) {
		err = start_thread();
		if (!err)
			pool.n_threads++;
		else if (pool.n_threads)
			err = 0; /* those that run will get to it */
	}
	if (!err) {
		pool.n_queued++;
		list_add_tail(&pool.queue[job->class], &job->link);
		pthread_cond_signal(&pool.cond);
	}
	pthread_mutex_unlock(&pool.mutex);
	return err;
}

void job_shutdown(void)
{
	struct timespec deadline;

	if (!pool.started)
		return;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec++;
	pthread_mutex_lock(&pool.mutex);
	pool.stop = true;
	pthread_cond_broadcast(&pool.cond);
	while (pool.n_threads) {
		if (pthread_cond_timedwait(&pool.cond, &pool.mutex, &deadline) == ETIMEDOUT) {
			log_warn("job", "left behind threads=%u", pool.n_threads);
			break;
		}
	}
	pthread_mutex_unlock(&pool.mutex);
	on_done(NULL, NULL, 0);
	ev_async_stop(loop_ev(), &pool.wake);
}
