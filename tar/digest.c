/* tar/digest.c - the SHA-256 of what a step fills its block with */
#include "tar/digest.h"

#include "base/check.h"

/* Less is not worth a wake-up. */
#define PIECE (64u << 10)

static void hash(struct task *task)
{
	struct digest *d = CONTAINER_OF(task, struct digest, task);

	sha256_add(&d->sha, d->bytes, d->len);
}

void digest_begin(struct digest *d)
{
	team_begin(&d->team, NULL, NULL);
	sha256_begin(&d->sha);
	d->task.work = hash;
}

static bool is_free(struct digest *d)
{
	if (team_ready(&d->team))
		team_take(&d->team);
	return !d->team.n;
}

void digest_follow(struct digest *d, const char *block, size_t len)
{
	if (job_width() == 1 || len - d->given < PIECE || !is_free(d))
		return;
	d->bytes = block + d->given;
	d->len = len - d->given;
	d->given = len;
	team_give(&d->team, &d->task, true);
}

void digest_catch_up(struct digest *d, const char *block, size_t len)
{
	while (!is_free(d))
		team_help(&d->team);
	sha256_add(&d->sha, block + d->given, len - d->given);
	d->given = 0;
}

void digest_fini(struct digest *d)
{
	team_stop(&d->team);
	(void)team_left(&d->team);
	team_fini(&d->team);
}
