/* tar/team.c - tasks that are given in an order, done by whoever is free, and taken back in that order */
#include "tar/team.h"

#include <stddef.h>
#include <time.h>

#include "base/check.h"

/* The longest wait, in nanoseconds: then somebody may have canceled it all. */
#define WAIT_NS 20000000L

static void work_on(struct task *task)
{
	struct team *t = task->team;

	task->work(task);
	pthread_mutex_lock(&t->mutex);
	task->done = true;
	/* Under the mutex: once the owner sees it done, neither may be there any more. */
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->mutex);
}

static void on_worker(struct job *job)
{
	work_on(CONTAINER_OF(job, struct task, job));
}

void team_begin(struct team *t, bool (*canceled)(const void *ctx), const void *ctx)
{
	pthread_condattr_t attr;

	*t = (struct team){.canceled = canceled,
		.ctx = ctx,
		.width = MIN(job_width() + 1, TAR_TASKS_MAX),
		.begun = true};
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool team_stopped(const struct team *t)
{
	return atomic_load_explicit(&t->stop, memory_order_relaxed) ||
	       (t->canceled && t->canceled(t->ctx));
}

static struct task *task_at(const struct team *t, unsigned i)
{
	return t->ring[(t->first + i) % TAR_TASKS_MAX];
}

void team_give(struct team *t, struct task *task, bool offer)
{
	ASSERT(t->n < t->width);
	task->team = t;
	task->done = false;
	task->job = (struct job){.class = JOB_SLOW, .work = on_worker};
	list_init(&task->job.link);
	/* On one processor the turns would cost more than they bring. */
	task->offered = offer && job_width() > 1;
	t->ring[(t->first + t->n++) % TAR_TASKS_MAX] = task;
	if (task->offered)
		job_offer(&task->job);
}

static bool is_done(struct team *t, const struct task *task)
{
	bool done;

	pthread_mutex_lock(&t->mutex);
	done = task->done;
	pthread_mutex_unlock(&t->mutex);
	return done;
}

struct task *team_ready(struct team *t)
{
	return t->n && is_done(t, task_at(t, 0)) ? task_at(t, 0) : NULL;
}

void team_take(struct team *t)
{
	t->first = (t->first + 1) % TAR_TASKS_MAX;
	t->n--;
}

/* Nobody has begun it, and nobody else will. */
static bool claim(struct task *task)
{
	if (task->offered && !job_take_back(&task->job))
		return false;
	task->offered = false;
	return true;
}

void team_help(struct team *t)
{
	struct timespec until;

	for (unsigned i = 0; i < t->n; i++) {
		struct task *task = task_at(t, i);

		if (!is_done(t, task) && claim(task)) {
			work_on(task);
			return;
		}
	}
	if (!t->n)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&t->mutex);
	while (!task_at(t, 0)->done && pthread_cond_timedwait(&t->cond, &t->mutex, &until) == 0)
		;
	pthread_mutex_unlock(&t->mutex);
}

void team_stop(struct team *t)
{
	atomic_store(&t->stop, true);
	for (unsigned i = 0; i < t->n; i++) {
		struct task *task = task_at(t, i);

		if (is_done(t, task) || claim(task))
			continue;
		pthread_mutex_lock(&t->mutex);
		while (!task->done)
			pthread_cond_wait(&t->cond, &t->mutex);
		pthread_mutex_unlock(&t->mutex);
	}
}

struct task *team_left(struct team *t)
{
	struct task *task = t->n ? task_at(t, 0) : NULL;

	if (task)
		team_take(t);
	return task;
}

void team_fini(struct team *t)
{
	if (!t->begun)
		return;
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->mutex);
	t->begun = false;
}
