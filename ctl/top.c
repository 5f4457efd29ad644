/*
 * ctl/top.c - guestctl top: the guest at work, as a live screen
 *
 * Rates are ours: the agent tells counters, and two looks make a rate.  On a terminal the screen is another
 * one, which is left again on every way out; elsewhere there is one picture, and the end.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/parse.h"
#include "ctl/terminal.h"
#include "ctl/text.h"
#include "ctl/top.h"

/* Between the first two looks, so that there is something to see at once. */
#define FIRST_MS 300

#define ENTER_SCREEN "\033[?1049h\033[?25l"
#define LEAVE_SCREEN "\033[?25h\033[?1049l"

/* The result of METHOD, which lives until the next call; or NULL with *STATUS. */
static const struct val *look(struct ctl *ctl, const char *method, bool all, int *status)
{
	struct client_msg msg;
	uint32_t id;
	struct enc *e = client_begin(ctl->client, method, &id);

	enc_map_end(e, enc_map_begin(e), all);
	if (all)
		enc_kv_bool(e, "all", true);
	*status = 0;
	if (client_send(ctl->client) || client_response(ctl->client, id, ANSWER_TIMEOUT_MS, &msg)) {
		*status = ctl_lost(ctl);
		return NULL;
	}
	if (msg.error)
		*status = ctl_error(ctl, msg.error);
	return msg.result;
}

/* 0 or an exit status. */
static int take_picture(struct ctl *ctl, struct picture *p)
{
	const struct val *result;
	int status;

	picture_fini(p);
	result = look(ctl, "system.metrics", false, &status);
	if (!status) {
		picture_metrics(p, result);
		result = look(ctl, "proc.list", true, &status);
	}
	if (!status)
		picture_processes(p, result);
	return status;
}

/* A whole frame in one write: no flicker. */
static void draw(const struct picture *now, const struct picture *before, bool live)
{
	struct window window = live ? terminal_window() : (struct window){0};
	char *text = NULL, *rest, *line;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	picture_print(f, now, before, window.rows);
	fclose(f);
	if (live)
		fputs("\033[H", stdout);
	rest = text;
	/* Bytes, not columns: a line in other letters is shorter than it might be. */
	while ((line = strsep(&rest, "\n"))) {
		if (window.cols && strlen(line) > window.cols)
			line[text_whole(line, window.cols)] = '\0';
		if (rest || *line)
			printf(live ? "%s\033[K%s" : "%s%s", line,
				rest ? (live ? "\r\n" : "\n") : "");
	}
	if (live)
		fputs("\033[J", stdout);
	fflush(stdout);
	free(text);
}

/* Waits MS, or less: true when it is to end. */
static bool rest(int ms, bool keys, int *signal, bool *again)
{
	struct pollfd p[] = {
		{.fd = interrupt_fd(), .events = POLLIN},
		{.fd = keys ? STDIN_FILENO : -1, .events = POLLIN},
	};
	char typed[64];
	ssize_t n;
	int number;

	*again = false;
	if (poll(p, ARRAY_LEN(p), ms) <= 0)
		return false;
	while ((number = interrupt_hear())) {
		*again = true;
		if (number != SIGWINCH)
			*signal = number;
	}
	n = p[1].revents ? read(STDIN_FILENO, typed, sizeof(typed)) : 0;
	/* q, Ctrl-C, and nobody at the keyboard any more. */
	if (p[1].revents &&
		(n <= 0 || memchr(typed, 'q', (size_t)n) || memchr(typed, 3, (size_t)n)))
		return true;
	return *signal != 0;
}

static int watch(struct ctl *ctl, int interval_ms, bool live, int *signal)
{
	struct picture pictures[2] = {{0}, {0}};
	bool keys = live && isatty(STDIN_FILENO), again, over;
	unsigned now = 0;
	int status = take_picture(ctl, &pictures[now]);

	over = status || rest(MIN(interval_ms, FIRST_MS), keys, signal, &again);
	while (!over) {
		now = !now;
		status = take_picture(ctl, &pictures[now]);
		if (status)
			break;
		do {
			draw(&pictures[now], &pictures[!now], live);
			over = !live || ferror(stdout) || rest(interval_ms, keys, signal, &again);
		} while (!over && again);
	}
	picture_fini(&pictures[0]);
	picture_fini(&pictures[1]);
	return status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	uint64_t interval_ms = 2000;
	bool live = isatty(STDOUT_FILENO);
	struct client_msg hello;
	int option, status, signal = 0;

	while ((option = getopt_long(argc, argv, "+i:", (const struct option[]){{0}}, NULL)) !=
		-1) {
		if (option != 'i')
			return ctl_bad_option(ctl, argv);
		if (!parse_seconds(optarg, &interval_ms) || interval_ms < 100 ||
			interval_ms > 3600000)
			return ctl_usage(ctl, "-i takes seconds from 0.1 to 3600, not %s", optarg);
	}
	if (optind < argc)
		return ctl_usage(ctl, "unexpected argument %s", argv[optind]);
	if (ctl->json)
		return ctl_usage(ctl, "top is for people: see metrics and ps for --json");
	status = ctl_connect(ctl, 0, &hello);
	if (status)
		return status;
	if (interrupt_watch(live))
		return ctl_fail(ctl, "cannot make a pipe");
	if (live && terminal_raw() == 0)
		fputs(ENTER_SCREEN, stdout);
	/* What goes wrong is said on the screen that stays. */
	status = watch(ctl, (int)interval_ms, live, &signal);
	if (live) {
		fputs(LEAVE_SCREEN, stdout);
		fflush(stdout);
	}
	terminal_restore();
	interrupt_unwatch();
	return signal ? STATUS_SIGNALED + signal : status;
}

COMMAND(top) = {
	.name = "top",
	.usage = "[-i SECONDS]",
	.doc = "watch the guest at work",
	.options =
		"  -i SECONDS   between two looks; 2 where left out\n"
		"q or Ctrl-C ends it.  Where standard output is no terminal there is one look.\n",
	.run = run,
};
