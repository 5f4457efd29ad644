/* machine/reseed.c - system.reseed: randomness for the kernel's generator */
#include "guestd/method.h"
#include "guestd/work.h"
#include "machine/entropy.h"

struct reseed_args {
	struct bytes entropy;
};

static const struct arg reseed_table[] = {
	ARG(struct reseed_args, entropy, .required = true),
	ARG_END,
};

static int reseed_work(struct work *w)
{
	const struct reseed_args *a = w->args;
	int err;

	if (!a->entropy.len || a->entropy.len > ENTROPY_MAX)
		return failure_set(&w->failure, ERR_BAD_PARAMS, NULL, NULL,
			"entropy has %zu bytes: give 1 to %u", a->entropy.len, ENTROPY_MAX);
	err = entropy_add(a->entropy.at, a->entropy.len);
	return err ? work_fail(w, err, "/dev/urandom", "cannot reseed the kernel's generator") : 0;
}

METHOD(system_reseed) = {
	.name = "system.reseed",
	.doc = "Adds randomness to the kernel's generator and reseeds it.",
	.args = reseed_table,
	.args_size = sizeof(struct reseed_args),
	.work = reseed_work,
	.changes = true,
	.secret = true,
};
