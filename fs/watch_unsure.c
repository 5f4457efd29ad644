/* fs/watch_unsure.c - what is to be looked at once more, when the events that are on their way have been */
#include "fs/watch_impl.h"

/* A directory that could not be read is tried again, and again more and more rarely. */
#define UNSURE_FIRST_US  10000u
#define UNSURE_LAST_US   1000000u
#define UNSURE_FORGET_US 1000000u

/* A name is gone a little before its event is queued. */
#define ABSENT_WAIT_US 10000u

void watch_unsure(struct watch_pipe *p, uint32_t dir)
{
	picture_at(&p->picture, dir)->flags |= PICTURE_UNSURE;
	p->unsure = true;
}

void watch_absent(struct watch_pipe *p, uint32_t entry)
{
	if (!entry || entry == p->root)
		return;
	if (!p->unsure)
		p->absent_until_us = p->ops->now_us(p->ctx) + ABSENT_WAIT_US;
	picture_at(&p->picture, entry)->flags |= PICTURE_ABSENT;
	p->unsure = true;
}

bool watch_try_unsure(struct watch_pipe *p)
{
	uint64_t now = p->ops->now_us(p->ctx);

	if (!p->unsure && !p->doubt)
		return false;
	if (now < MAX(p->unsure_at_us, p->absent_until_us)) {
		p->wait_us = MIN(p->wait_us, MAX(p->unsure_at_us, p->absent_until_us));
		return false;
	}
	if (!p->asked) { /* the queue of the kernel comes first */
		p->asked = true;
		p->wait_us = now;
		return false;
	}
	p->asked = false;
	if (!p->unsure_wait_us || now > p->unsure_at_us + UNSURE_FORGET_US)
		p->unsure_wait_us = UNSURE_FIRST_US;
	p->unsure_since_us = now;
	watch_scan_unsure(p);
	return true;
}

/* The next try is not soon after, and much longer after than this one took. */
void watch_end_try(struct watch_pipe *p)
{
	uint64_t now = p->ops->now_us(p->ctx);

	p->unsure_at_us = now + MAX(p->unsure_wait_us, 10 * (now - p->unsure_since_us));
	p->unsure_wait_us = MIN(2 * p->unsure_wait_us, UNSURE_LAST_US);
	p->unsure_since_us = 0;
}
