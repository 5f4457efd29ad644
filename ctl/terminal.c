/* ctl/terminal.c - the terminal that somebody sits at, while it belongs to the guest */
#include "ctl/terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;        /* while raw */
static volatile sig_atomic_t is_raw; /* a signal handler reads it */

struct window terminal_window(void)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 &&
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return (struct window){0};
	if (!size.ws_row || !size.ws_col)
		return (struct window){0};
	return (struct window){.rows = size.ws_row, .cols = size.ws_col};
}

int terminal_raw(void)
{
	struct termios raw;
	sigset_t all, old;
	int err = 0;

	if (is_raw || tcgetattr(STDIN_FILENO, &before) < 0)
		return 0;
	raw = before;
	cfmakeraw(&raw);
	/* No handler may restore it in the middle.  SIGTTOU stops us in the background, as is right. */
	sigfillset(&all);
	sigdelset(&all, SIGTTOU);
	sigprocmask(SIG_BLOCK, &all, &old);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		err = -errno;
	is_raw = !err;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

bool terminal_is_raw(void)
{
	return is_raw;
}

void terminal_restore(void)
{
	sigset_t ttou, old;

	if (!is_raw)
		return;
	/* Blocked, it does not stop us, who may be in the background by now. */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	sigprocmask(SIG_SETMASK, &old, NULL);
	is_raw = 0;
}

bool escape_parse(struct escape *e, const char *text)
{
	size_t len = strlen(text);

	*e = (struct escape){0};
	if (strcmp(text, "none") == 0)
		return true;
	if (len == 1)
		e->key = text[0];
	else if (len == 2 && text[0] == '^')
		e->key = (char)(text[1] & 0x1f);
	return e->key != 0;
}

size_t escape_filter(struct escape *e, const char *in, size_t len, char *out, bool *leave)
{
	size_t n = 0;

	*leave = false;
	for (size_t i = 0; i < len; i++) {
		char c = in[i];

		if (e->pending && c == '.') {
			*leave = true;
			return n;
		}
		if (!e->pending && !e->inside_line && c == e->key) {
			e->pending = true;
			continue;
		}
		/* Typed twice it stands for itself once. */
		if (e->pending && c != e->key)
			out[n++] = e->key;
		e->pending = false;
		e->inside_line = c != '\r' && c != '\n';
		out[n++] = c;
	}
	return n;
}
