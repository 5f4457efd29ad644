/* tests/unit/test_job.c - the worker pool: once each, bounded, and slow jobs never take it all */
#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

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

static void on_tick(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)w, (void)revents;
	ev_break(ev, EVBREAK_ONE);
}

/* How many of SLOW have begun, once no more do. */
static unsigned run_until_stuck(sem_t *started)
{
	struct ev_timer tick;
	unsigned n = 0, before;

	ev_timer_init(&tick, on_tick, 0.1, 0.1);
	ev_timer_start(loop_ev(), &tick);
	do {
		before = n;
		loop_run();
		while (sem_trywait(started) == 0)
			n++;
	} while (n != before);
	ev_timer_stop(loop_ev(), &tick);
	return n;
}

static unsigned count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2; /* . and .. */
}

static void test_stuck_jobs_get_company(void **state)
{
	struct task slow[2 * MAX_WORKERS], quick[8];
	sem_t started, gate;
	unsigned begun;

	(void)state;
	sem_init(&started, 0, 0);
	sem_init(&gate, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		task_init(&slow[i], JOB_SLOW, &started, &gate);
		assert_int_equal(job_submit(&slow[i].job), 0);
	}
	begun = run_until_stuck(&started);
	assert_true(begun > 8 && begun < MAX_WORKERS);
	for (size_t i = 0; i < ARRAY_LEN(quick); i++) {
		task_init(&quick[i], JOB_QUICK, NULL, NULL);
		assert_int_equal(job_submit(&quick[i].job), 0);
	}
	run_until_done(ARRAY_LEN(quick));
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		sem_post(&gate);
	run_until_done(ARRAY_LEN(slow));
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		assert_int_equal(slow[i].done, 1);
	/* Those that were needed for this alone end. */
	for (unsigned i = 0; count_threads() > 8 && i < 300; i++)
		usleep(100000);
	assert_true(count_threads() <= 8);
	sem_destroy(&gate);
	sem_destroy(&started);
}

static void resubmit(struct job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);

	if (++t->done < 1000)
		job_continue(job);
	else
		loop_break();
}

/* A call in steps, behind a queue that takes no new ones. */
static void test_what_was_begun_goes_on(void **state)
{
	struct task *tasks = calloc(MAX_QUEUED_JOBS + MAX_WORKERS, sizeof(*tasks));
	struct task steps;
	unsigned accepted = 0;

	(void)state;
	task_init(&steps, JOB_QUICK, NULL, NULL);
	steps.job.done = resubmit;
	assert_int_equal(job_submit(&steps.job), 0);
	for (size_t i = 0; i < MAX_QUEUED_JOBS + MAX_WORKERS; i++) {
		task_init(&tasks[i], JOB_SLOW, NULL, NULL);
		tasks[i].job.done = task_done;
		accepted += job_submit(&tasks[i].job) == 0;
	}
	n_wanted = accepted + 1; /* only the steps end the loop */
	while (steps.done < 1000)
		loop_run();
	assert_int_equal(steps.worked, 1000);
	run_until_done(accepted);
	free(tasks);
}

static void test_the_queue_is_bounded(void **state)
{
	/* What the workers hold is no longer queued. */
	const size_t n = MAX_QUEUED_JOBS + MAX_WORKERS + 16;
	struct task *tasks = calloc(n, sizeof(*tasks));
	unsigned accepted = 0, refused = 0;
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	for (size_t i = 0; i < n; i++) {
		int err;

		task_init(&tasks[i], JOB_SLOW, NULL, &gate);
		err = job_submit(&tasks[i].job);
		if (err)
			assert_int_equal(err, -EAGAIN);
		accepted += err == 0;
		refused += err != 0;
	}
	assert_true(refused >= 16);
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

/* Offers are done by the others or taken back, each once; the pool tells nobody. */
static void test_offers(void **state)
{
	enum { N = 200 };
	static struct task tasks[N], first;
	unsigned taken = 0, done = 0;

	(void)state;
	task_init(&first, JOB_SLOW, NULL, NULL);
	assert_int_equal(job_submit(&first.job), 0);
	run_until_done(1);
	for (int i = 0; i < N; i++) {
		task_init(&tasks[i], JOB_SLOW, NULL, NULL);
		tasks[i].job.done = NULL;
		list_init(&tasks[i].job.link);
		job_offer(&tasks[i].job);
	}
	for (int i = N; i-- > 0;) {
		if (job_take_back(&tasks[i].job)) {
			taken++;
			assert_int_equal(tasks[i].worked, 0);
			assert_false(job_take_back(&tasks[i].job));
		} else {
			while (!tasks[i].worked)
				usleep(100);
			done++;
		}
		assert_true(tasks[i].worked <= 1);
	}
	assert_int_equal(taken + done, N);
	assert_true(job_width() >= 1 && job_width() <= MAX_WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_done_once),
		cmocka_unit_test(test_slow_jobs_leave_room_for_quick_ones),
		cmocka_unit_test(test_stuck_jobs_get_company),
		cmocka_unit_test(test_what_was_begun_goes_on),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_offers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
