/* snapshot/freezer.c - everything stands still for a snapshot, and goes on again */
#include "snapshot/freezer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "guestd/area.h"
#include "guestd/chan.h"
#include "guestd/event.h"
#include "guestd/frozen.h"
#include "guestd/loop.h"
#include "guestd/req.h"
#include "proc/cgfs.h"
#include "proc/cgroup.h"
#include "snapshot/filesystems.h"

/* The kernel freezes what runs at once; what sleeps in it for good never. */
#define FREEZE_MS 5000
#define LOOK_MS   2

/* While all stands still, a wake-up in so long is all that runs. */
#define SLICE_MS 2000

/* The start waits so long for the thaw of what a dead agent froze; it goes on without us. */
#define LEFT_MS 2000

enum state { THAWED, FREEZING, FROZEN, THAWING };

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	/* under the mutex */
	enum state state;
	bool thaw_wanted;
	bool left; /* a dead agent's file systems are being thawed */
	struct filesystems filesystems;
	size_t n_processes;
	bool failed;
	struct failure failure;

	/* the thread's, from its start on */
	struct freeze_plan plan;

	/* the loop's */
	struct ev_async wake;
	pthread_t thread;
	bool runs, told;
	struct waiter *freezing;
	struct list thawing; /* waiter.link */
} freezer = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* A call that waits for an answer. */
struct waiter {
	struct list link;
	struct req *req;
};

/* The thread */

static bool count(pid_t pid, void *ctx)
{
	(void)pid;
	++*(size_t *)ctx;
	return true;
}

static bool all_frozen(int dir)
{
	char text[256];

	return cgfs_read(dir, "cgroup.events", text, sizeof(text)) > 0 && strstr(text, "frozen 1");
}

static void thaw_processes(void)
{
	int dir = cgroup_all(), err = dir < 0 ? 0 : cgfs_write(dir, "cgroup.freeze", "0");

	if (err)
		log_error("snapshot", "cannot thaw the processes err=%s", strerror(-err));
}

static int freeze_processes(size_t *n, struct failure *f)
{
	int dir = cgroup_all(), err, looks = FREEZE_MS / LOOK_MS;

	if (dir < 0)
		return failure_set(f, ERR_UNSUPPORTED, "processes", NULL,
			"processes are frozen by cgroup v2, which is not to be had here: say processes: false");
	err = cgfs_write(dir, "cgroup.freeze", "1");
	if (err)
		return failure_set(f, err, "processes", NULL, "cannot freeze the processes: %s",
			strerror(-err));
	cgfs_each_pid(dir, true, count, n);
	while (*n && !all_frozen(dir)) {
		/* Counted, not timed: a clock that leaps is no reason to give up. */
		if (looks-- == 0) {
			thaw_processes();
			return failure_set(f, ERR_TIMEOUT, "processes", NULL,
				"some processes sleep in the kernel and do not freeze: try again");
		}
		(void)poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

static int freeze(struct filesystems *list, size_t *n, struct failure *f)
{
	/* Processes first: what they write meanwhile would have to wait for the thaw. */
	int err = freezer.plan.processes ? freeze_processes(n, f) : 0;

	if (err || !freezer.plan.filesystems)
		return err;
	err = filesystems_freeze(list, f);
	if (err && freezer.plan.processes)
		thaw_processes();
	return err;
}

/* With the mutex held. */
static void enter(enum state state)
{
	freezer.state = state;
	ev_async_send(loop_ev(), &freezer.wake);
}

/* With the mutex held: waits for MS, or less.  May somebody want the thaw? */
static bool wait_a_while(uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return pthread_cond_timedwait(&freezer.cond, &freezer.mutex, &until) == 0;
}

/*
 * With the mutex held: until somebody wants it, or the time is up.  In slices, each of which counts as what it
 * was to take: the clock of a guest that is restored may leap by hours, and whoever restored it is to have
 * its time for what comes before the thaw.
 */
static void wait_for_thaw(void)
{
	uint64_t left = freezer.plan.timeout_ms;

	while (!freezer.thaw_wanted && left) {
		uint64_t slice = MIN(left, SLICE_MS);

		if (!wait_a_while(slice))
			left -= slice;
	}
	if (!freezer.thaw_wanted)
		log_warn("snapshot", "thawing: nobody did after timeout_ms=%llu",
			(unsigned long long)freezer.plan.timeout_ms);
}

/* Whoever has taken the list thaws it, without the mutex: the loop must not wait for a disk. */
static void take_filesystems(struct filesystems *list)
{
	*list = freezer.filesystems;
	freezer.filesystems.n = 0;
}

static void *run(void *arg)
{
	struct filesystems list = {.n = 0};
	struct failure f = {.err = 0};
	size_t n = 0;
	int err = freeze(&list, &n, &f);

	pthread_mutex_lock(&freezer.mutex);
	/* What is free in the heap is not to be in the snapshot, and in each of its clones. */
	sys_malloc_trim();
	freezer.failed = err != 0;
	freezer.failure = f;
	freezer.n_processes = n;
	freezer.filesystems = list;
	if (!err) {
		enter(FROZEN);
		wait_for_thaw();
		freezer.state = THAWING;
		take_filesystems(&list);
		pthread_mutex_unlock(&freezer.mutex);
		filesystems_thaw(&list);
		if (freezer.plan.processes)
			thaw_processes();
		pthread_mutex_lock(&freezer.mutex);
	}
	enter(THAWED);
	pthread_mutex_unlock(&freezer.mutex);
	return arg;
}

void freezer_thaw_filesystems(void)
{
	struct filesystems list;

	pthread_mutex_lock(&freezer.mutex);
	take_filesystems(&list);
	pthread_mutex_unlock(&freezer.mutex);
	filesystems_thaw(&list);
}

/* The calls */

static void forget(void *owner)
{
	struct waiter *w = owner;

	if (freezer.freezing == w)
		freezer.freezing = NULL;
	list_del(&w->link);
	free(w);
}

/* A freeze that nobody waits for any more is not kept up. */
static void on_gone(void *owner)
{
	bool froze = freezer.freezing == owner;

	forget(owner);
	if (froze)
		freezer_thaw(NULL);
}

static void on_cancel(void *owner)
{
	struct waiter *w = owner;
	struct req *req = w->req;

	on_gone(w);
	req_fail(req, ERR_CANCELED, "canceled: what was frozen thaws");
}

static const struct chan_ops chan_ops = {.cancel = on_cancel, .gone = on_gone};

static struct waiter *wait_for_it(struct req *req)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->req = req;
	list_init(&w->link);
	chan_open(req, &chan_ops, w);
	return w;
}

static void reply_empty(struct req *req)
{
	struct enc e;

	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 0);
	req_reply_end(req, &e);
}

/* With the mutex held. */
static void reply_frozen(struct req *req)
{
	struct enc e;

	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_uint(&e, "processes", freezer.n_processes);
	enc_str(&e, "filesystems");
	enc_array(&e, freezer.filesystems.n);
	for (size_t i = 0; i < freezer.filesystems.n; i++)
		enc_text(
			&e, freezer.filesystems.at[i].path, strlen(freezer.filesystems.at[i].path));
	req_reply_end(req, &e);
}

static struct req *take_freezing(void)
{
	struct req *req = freezer.freezing ? freezer.freezing->req : NULL;

	if (req)
		forget(freezer.freezing);
	return req;
}

/* With the mutex held: it is frozen now, or was for a moment. */
static void tell_frozen(void)
{
	struct req *req = take_freezing();

	freezer.told = true;
	event_begin("frozen", 0, 0);
	event_end();
	if (req)
		reply_frozen(req);
}

static void tell_thawed(void)
{
	struct req *req = take_freezing();

	guest_set_frozen(false);
	if (req && freezer.failed)
		req_fail_with(req, &freezer.failure);
	else if (req)
		reply_frozen(req);
	if (freezer.told) {
		event_begin("thawed", 0, 0);
		event_end();
	}
	freezer.told = false;
	while (!list_empty(&freezer.thawing)) {
		struct waiter *w = LIST_FIRST(&freezer.thawing, struct waiter, link);

		req = w->req;
		forget(w);
		reply_empty(req);
	}
}

static void on_wake(struct ev_loop *ev, struct ev_async *async, int revents)
{
	bool over;

	(void)ev, (void)async, (void)revents;
	pthread_mutex_lock(&freezer.mutex);
	over = freezer.runs && freezer.state == THAWED;
	if (!freezer.told && (freezer.state == FROZEN || (over && !freezer.failed)))
		tell_frozen();
	pthread_mutex_unlock(&freezer.mutex);
	if (!over)
		return;
	pthread_join(freezer.thread, NULL);
	freezer.runs = false;
	tell_thawed();
}

void freezer_freeze(struct req *req, const struct freeze_plan *plan)
{
	int err;

	if (freezer.runs) {
		req_fail(req, ERR_BUSY, "the guest is frozen already: system.thaw ends that");
		return;
	}
	freezer.plan = *plan;
	freezer.thaw_wanted = false;
	freezer.state = FREEZING;
	err = pthread_create(&freezer.thread, NULL, run, NULL);
	if (err) {
		freezer.state = THAWED;
		req_fail(req, -err, "cannot start a thread: %s", strerror(err));
		return;
	}
	freezer.runs = true;
	guest_set_frozen(true);
	freezer.freezing = wait_for_it(req);
}

void freezer_thaw(struct req *req)
{
	if (!freezer.runs) {
		if (req)
			reply_empty(req);
		return;
	}
	if (req)
		list_add_tail(&freezer.thawing, &wait_for_it(req)->link);
	pthread_mutex_lock(&freezer.mutex);
	freezer.thaw_wanted = true;
	pthread_cond_signal(&freezer.cond);
	pthread_mutex_unlock(&freezer.mutex);
}

static void *thaw_left(void *arg)
{
	filesystems_thaw_left();
	pthread_mutex_lock(&freezer.mutex);
	freezer.left = false;
	pthread_cond_signal(&freezer.cond);
	pthread_mutex_unlock(&freezer.mutex);
	return arg;
}

/*
 * What an agent before us froze and was killed: the guest would stand still for good.  On a thread, since a disk
 * that is gone does not answer; but where it does, before anything else is opened or made there.
 */
static void thaw_left_behind(void)
{
	pthread_t thread;

	freezer.left = filesystems_are_left();
	if (!freezer.left || pthread_create(&thread, NULL, thaw_left, NULL))
		return;
	pthread_detach(thread);
	pthread_mutex_lock(&freezer.mutex);
	if (freezer.left)
		(void)wait_a_while(LEFT_MS);
	pthread_mutex_unlock(&freezer.mutex);
}

static int start(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&freezer.cond, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&freezer.thawing);
	ev_async_init(&freezer.wake, on_wake);
	ev_async_start(loop_ev(), &freezer.wake);
	thaw_left_behind();
	return 0;
}

/* The agent leaves nothing frozen behind. */
static void stop(void)
{
	freezer_thaw(NULL);
	if (freezer.runs)
		pthread_join(freezer.thread, NULL);
	freezer.runs = false;
	ev_async_stop(loop_ev(), &freezer.wake);
}

AREA(snapshot) = {.name = "snapshot", .start = start, .stop = stop};
