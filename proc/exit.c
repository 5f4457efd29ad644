/* proc/exit.c - how a process ended */
#include "proc/exit.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/check.h"

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

size_t exit_encode(const struct exit_record *x, struct enc *e)
{
	const char *name = NULL;
	size_t n = 17;

	if (WIFSIGNALED(x->status)) {
		enc_kv_nil(e, "code");
		enc_kv_int(e, "signal", WTERMSIG(x->status));
		name = signal_name(WTERMSIG(x->status));
	} else {
		enc_kv_int(e, "code", WEXITSTATUS(x->status));
		enc_kv_nil(e, "signal");
	}
	if (name) {
		enc_kv_str(e, "signal_name", name);
		n++;
	}
	enc_kv_bool(e, "timed_out", x->timed_out);
	enc_kv_bool(e, "oom_killed", false);
	enc_kv_bool(e, "core", WIFSIGNALED(x->status) && WCOREDUMP(x->status));
	enc_kv_uint(e, "started_us", x->started_us);
	enc_kv_uint(e, "exited_us", x->exited_us);
	enc_kv_uint(e, "duration_ms", x->duration_us / 1000);
	enc_kv_uint(e, "duration_us", x->duration_us);
	enc_kv_uint(e, "user_ms", ms(x->usage.ru_utime));
	enc_kv_uint(e, "system_ms", ms(x->usage.ru_stime));
	enc_kv_uint(e, "max_rss", (uint64_t)x->usage.ru_maxrss * 1024); /* the kernel counts KiB */
	enc_kv_uint(e, "stdout_bytes", x->bytes[0]);
	enc_kv_uint(e, "stderr_bytes", x->bytes[1]);
	enc_kv_uint(e, "stdout_dropped", x->dropped[0]);
	enc_kv_uint(e, "stderr_dropped", x->dropped[1]);
	enc_kv_bool(e, "eof", x->eof);
	return n;
}
