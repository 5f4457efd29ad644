/* system/ping.c - system.ping: is the agent there, and what do its clocks say? */
#include "base/clock.h"
#include "guestd/method.h"
#include "guestd/req.h"

static void ping_call(struct req *req, void *args)
{
	struct enc e;

	(void)args;
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_uint(&e, "time_us", clock_real_us());
	enc_kv_uint(&e, "monotonic_us", clock_mono_us());
	req_reply_end(req, &e);
}

METHOD(system_ping) = {
	.name = "system.ping",
	.doc = "Says the time: the agent is there.",
	.call = ping_call,
	.quiet = true,
};
