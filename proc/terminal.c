/* proc/terminal.c - pseudo-terminals */
#include "proc/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"

static int open_master(void)
{
	int flags = O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK;
	int fd = open("/dev/ptmx", flags);

	/* An image may mount devpts and have no link to it. */
	if (fd < 0)
		fd = open("/dev/pts/ptmx", flags);
	return fd < 0 ? -errno : fd;
}

static int open_slave(int master, uid_t owner)
{
	int unlock = 0;
	int fd = ioctl(master, TIOCSPTLCK, &unlock);

	/* By the master and not by name: whatever is mounted on /dev/pts (Linux 4.13). */
	if (fd == 0)
		fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The group stays what the mount says, `tty` as a rule: mesg(1) and write(1) use it. */
	if (fchown(fd, owner, (gid_t)-1) < 0 || fchmod(fd, 0620) < 0) {
		int err = -errno;

		fd_close(&fd);
		return err;
	}
	return fd;
}

int terminal_open(uint64_t rows, uint64_t cols, uid_t owner, struct terminal *out)
{
	int master = open_master(), slave, err;

	*out = NO_TERMINAL;
	if (master < 0)
		return master;
	err = terminal_resize(master, rows, cols);
	slave = err ? err : open_slave(master, owner);
	if (slave < 0) {
		fd_close(&master);
		return slave;
	}
	*out = (struct terminal){master, slave};
	return 0;
}

void terminal_close(struct terminal *t)
{
	fd_close(&t->master);
	fd_close(&t->slave);
}

int terminal_resize(int fd, uint64_t rows, uint64_t cols)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

	return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

void terminal_nudge(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return;
	/*
	 * The kernel signals when anything in this struct changes (tty_do_resize), also the size
	 * in pixels, which nobody here sets: away and back, and rows and columns stay right.
	 */
	size.ws_ypixel ^= 1;
	if (ioctl(fd, TIOCSWINSZ, &size) < 0)
		return;
	size.ws_ypixel ^= 1;
	ioctl(fd, TIOCSWINSZ, &size);
}

size_t terminal_eof(int fd, char last, char out[2])
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return 0;
	out[0] = out[1] = (char)t.c_cc[VEOF];
	/* Line editors read it themselves, in raw mode. */
	return last == '\n' || !(t.c_lflag & ICANON) ? 1 : 2;
}
