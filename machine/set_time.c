/* machine/set_time.c - system.set_time: the wall clock, as the host has it */
#include "guestd/method.h"
#include "guestd/work.h"
#include "machine/clock.h"

struct set_time_args {
	uint64_t time_us;
};

static const struct arg set_time_table[] = {
	ARG(struct set_time_args, time_us, .required = true),
	ARG_END,
};

static int set_time_work(struct work *w)
{
	const struct set_time_args *a = w->args;
	int64_t step;
	int err = clock_step(a->time_us, 0, &step);

	if (err)
		return work_fail(w, err, NULL, "cannot set the clock");
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_kv_int(&w->result, "clock_step_us", step);
	return 0;
}

METHOD(system_set_time) = {
	.name = "system.set_time",
	.doc = "Sets the clock.",
	.args = set_time_table,
	.args_size = sizeof(struct set_time_args),
	.work = set_time_work,
	.changes = true,
};
