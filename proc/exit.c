/* proc/exit.c - how a process ended */
#include "proc/exit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/check.h"
#include "guestd/req.h"
#include "proc/artifacts.h"

/* sigabbrev_np(3) does this, but musl has none. */
#define S(name) [SIG##name] = "SIG" #name
static const char *const signal_names[] = {S(HUP), S(INT), S(QUIT), S(ILL), S(TRAP), S(ABRT),
	S(BUS), S(FPE), S(KILL), S(USR1), S(SEGV), S(USR2), S(PIPE), S(ALRM), S(TERM), S(STKFLT),
	S(CHLD), S(CONT), S(STOP), S(TSTP), S(TTIN), S(TTOU), S(URG), S(XCPU), S(XFSZ), S(VTALRM),
	S(PROF), S(WINCH), S(IO), S(PWR), S(SYS)};
#undef S

const char *signal_name(int number)
{
	return number > 0 && number < (int)ARRAY_LEN(signal_names) ? signal_names[number] : NULL;
}

static uint64_t ms(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_usec / 1000;
}

int signal_number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text && !*end)
		return n > 0 && n <= SIGRTMAX ? (int)n : -1;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 1; i < ARRAY_LEN(signal_names); i++) {
		if (signal_names[i] && strcasecmp(signal_names[i] + 3, text) == 0)
			return (int)i;
	}
	return -1;
}

const char *signal_check(const char *text)
{
	return signal_number(text) < 0 ? "a signal: TERM, SIGTERM or 15" : NULL;
}

static size_t encode_status(const struct exit_record *x, struct enc *e)
{
	bool none = x->running || x->unknown;
	const char *name = WIFSIGNALED(x->status) ? signal_name(WTERMSIG(x->status)) : NULL;

	if (none || WIFSIGNALED(x->status))
		enc_kv_nil(e, "code");
	else
		enc_kv_int(e, "code", WEXITSTATUS(x->status));
	if (none || !WIFSIGNALED(x->status))
		enc_kv_nil(e, "signal");
	else
		enc_kv_int(e, "signal", WTERMSIG(x->status));
	if (x->unknown && !x->running) {
		enc_kv_bool(e, "unknown", true);
		return 3;
	}
	if (none || !name)
		return 2;
	enc_kv_str(e, "signal_name", name);
	return 3;
}

static size_t encode_times(const struct exit_record *x, struct enc *e)
{
	enc_kv_uint(e, "started_us", x->started_us);
	if (x->running) {
		enc_kv_nil(e, "exited_us");
		enc_kv_bool(e, "running", true);
		return 3;
	}
	enc_kv_uint(e, "exited_us", x->exited_us);
	enc_kv_uint(e, "duration_ms", x->duration_us / 1000);
	enc_kv_uint(e, "duration_us", x->duration_us);
	enc_kv_uint(e, "user_ms", ms(x->usage.ru_utime));
	enc_kv_uint(e, "system_ms", ms(x->usage.ru_stime));
	enc_kv_uint(e, "max_rss", (uint64_t)x->usage.ru_maxrss * 1024); /* the kernel counts KiB */
	return 7;
}

size_t exit_encode(const struct exit_record *x, struct enc *e)
{
	size_t n = encode_status(x, e);

	enc_kv_bool(e, "timed_out", x->timed_out);
	enc_kv_bool(e, "oom_killed", x->oom_killed);
	enc_kv_bool(e, "core",
		!x->running && !x->unknown && WIFSIGNALED(x->status) && WCOREDUMP(x->status));
	n += encode_times(x, e);
	enc_kv_uint(e, "stdout_bytes", x->bytes[0]);
	enc_kv_uint(e, "stderr_bytes", x->bytes[1]);
	enc_kv_uint(e, "stdout_dropped", x->dropped[0]);
	enc_kv_uint(e, "stderr_dropped", x->dropped[1]);
	enc_kv_bool(e, "eof", x->eof);
	n += 8;
	if (x->artifacts_truncated) {
		enc_kv_bool(e, "artifacts_truncated", true);
		n++;
	} else if (x->artifacts) {
		enc_str(e, "artifacts");
		artifacts_encode(x->artifacts, e);
		n++;
	}
	return n;
}

void exit_reply(struct req *req, const struct exit_record *x)
{
	bool may_be_cut = x->artifacts && !x->artifacts_truncated;
	struct exit_record copy = *x;
	struct enc e;
	size_t mark;

	req_reply_begin(req, &e);
	mark = enc_map_begin(&e);
	enc_map_end(&e, mark, exit_encode(x, &e));
	if (!may_be_cut) {
		req_reply_end(req, &e);
	} else if (req_try_reply_end(req, &e)) {
		copy.artifacts_truncated = true;
		exit_reply(req, &copy);
	}
}
