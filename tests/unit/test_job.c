/* tests/unit/test_job.c - the worker pool: once each, bounded, and slow jobs never take it all */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "guestd/job.h"
#include "guestd/loop.h"
#include "proto/limits.h"
#include "tests/unit/unit.h"

struct task {
	struct job job;
	sem_t *started, *gate; /* posted by the worker, waited for by it; may be NULL */
	_Atomic int worked;
	int done;
};

static unsigned n_done, n_wanted;

static void task_work(struct job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);

	if (t->started)
		sem_post(t->started);
	if (t->gate)
		while (sem_wait(t->gate) < 0)
			;
	t->worked++;
}

static void task_done(struct job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);

	t->done++;
	assert_int_equal(t->worked, t->done);
	if (++n_done == n_wanted)
		loop_break();
}

static void task_init(struct task *t, enum job_class class, sem_t *started, sem_t *gate)
{
	*t = (struct task){.started = started, .gate = gate};
	t->job = (struct job){.class = class, .work = task_work, .done = task_done};
}

static void run_until_done(unsigned wanted)
{
	n_wanted = wanted;
	if (n_done < wanted)
		loop_run();
	assert_int_equal(n_done, wanted);
	n_done = n_wanted = 0;
}

static void test_each_is_done_once(void **state)
{
	static struct task tasks[1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
		task_init(&tasks[i], i % 2 ? JOB_SLOW : JOB_QUICK, NULL, NULL);
		assert_int_equal(job_submit(&tasks[i].job), 0);
	}
	run_until_done(ARRAY_LEN(tasks));
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
		assert_int_equal(tasks[i].done, 1);
}

static void test_slow_jobs_leave_room_for_quick_ones(void **state)
{
	struct task slow[8], quick;
	sem_t started, gate;

	(void)state;
	sem_init(&started, 0, 0);
	sem_init(&gate, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		task_init(&slow[i], JOB_SLOW, &started, &gate);
		assert_int_equal(job_submit(&slow[i].job), 0);
	}
	sem_wait(&started);
	/* All of them hang in a dead file system, as it were: a quick one gets through. */
	task_init(&quick, JOB_QUICK, NULL, NULL);
	assert_int_equal(job_submit(&quick.job), 0);
	run_until_done(1);
	assert_int_equal(quick.done, 1);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		sem_post(&gate);
	run_until_done(ARRAY_LEN(slow));
	sem_destroy(&gate);
	sem_destroy(&started);
}

static void test_the_queue_is_bounded(void **state)
{
	struct task *tasks = calloc(MAX_QUEUED_JOBS + 16, sizeof(*tasks));
	unsigned accepted = 0, refused = 0;
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	for (size_t i = 0; i < MAX_QUEUED_JOBS + 16; i++) {
		int err;

		task_init(&tasks[i], JOB_SLOW, NULL, &gate);
		err = job_submit(&tasks[i].job);
		if (err)
			assert_int_equal(err, -EAGAIN);
		accepted += err == 0;
		refused += err != 0;
	}
	assert_true(refused >= 12); /* what the workers hold is no longer queued */
	for (unsigned i = 0; i < accepted; i++)
		sem_post(&gate);
	run_until_done(accepted);
	sem_destroy(&gate);
	free(tasks);
}

static int set_up(void **state)
{
	(void)state;
	return loop_init();
}

static int tear_down(void **state)
{
	(void)state;
	job_shutdown();
	loop_fini();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_done_once),
		cmocka_unit_test(test_slow_jobs_leave_room_for_quick_ones),
		cmocka_unit_test(test_the_queue_is_bounded),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
