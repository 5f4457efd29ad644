/* proc/info.c - ProcessInfo */
#include "proc/info.h"

#include "guestd/config.h"

static const char *target_of(const struct process *p)
{
	if (p->spec->target)
		return p->spec->target;
	return config()->kind == KIND_COMPUTER ? "computer" : "sandbox";
}

void info_encode(const struct process *p, size_t argv_max, struct enc *e)
{
	const struct exit_record x = process_exit(p);
	bool ended = p->state == PROCESS_ENDED, truncated;
	size_t mark = enc_map_begin(e), n = 10;

	enc_kv_text(e, "id", p->id);
	enc_kv_int(e, "pid", p->pid);
	enc_str(e, "argv");
	spec_encode_argv(p->spec, p->shell, argv_max, e, &truncated);
	if (truncated || p->birth.argv_truncated) {
		enc_kv_bool(e, "argv_truncated", true);
		n++;
	}
	enc_kv_text(e, "cwd", p->cwd);
	enc_kv_text(e, "user", p->user);
	if (p->spec->label) {
		enc_kv_text(e, "label", p->spec->label);
		n++;
	}
	enc_kv_str(e, "target", target_of(p));
	enc_kv_bool(e, "pty", p->spec->pty.given);
	enc_kv_uint(e, "started_us", p->exit.started_us);
	enc_kv_str(e, "status", ended ? "exited" : "running");
	enc_kv_uint(e, "stdout_offset", x.bytes[0]);
	enc_kv_uint(e, "stderr_offset", x.bytes[1]);
	n++;
	if (p->found) {
		enc_kv_bool(e, "found", true);
		n++;
	}
	if (ended) {
		size_t exit_mark;

		enc_str(e, "exit");
		exit_mark = enc_map_begin(e);
		enc_map_end(e, exit_mark, exit_encode(&x, e));
		n++;
	}
	enc_map_end(e, mark, n);
}
