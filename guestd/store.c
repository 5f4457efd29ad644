/* guestd/store.c - the service manager as a keeper of pipes */
#include "guestd/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"
#include "guestd/keeper.h"
#include "guestd/notify.h"
#include "proto/limits.h"

/* sd_listen_fds(3): the first that is handed over. */
#define FIRST_FD 3

/* And the number of the pipe. */
#define NAME "guestd-output-"

/* FDPOLL=0: what a process wrote before it went is for the next agent; a hang-up is no reason to close. */
static int store_keep(uint64_t pipe, int fd)
{
	char text[100];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=" NAME "%" PRIu64, pipe);
	return notify_send(text, fd);
}

static int store_drop(uint64_t pipe)
{
	char text[100];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=" NAME "%" PRIu64, pipe);
	return notify_send(text, -1);
}

static struct keeper store = {.keep = store_keep, .drop = store_drop};

/* A number of the environment; 0 where it is none. */
static unsigned long number_of(const char *variable)
{
	const char *text = getenv(variable);

	return text && *text >= '0' && *text <= '9' ? strtoul(text, NULL, 10) : 0;
}

/* Is it what its name says it is? */
static bool is_pipe(int fd, uint64_t pipe)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == pipe;
}

/* NAME, of LEN bytes, is that of FD. */
static void take_one(int fd, const char *name, size_t len)
{
	uint64_t pipe;

	if (len <= strlen(NAME) || strncmp(name, NAME, strlen(NAME)) != 0)
		return;
	pipe = strtoull(name + strlen(NAME), NULL, 10);
	if (!is_pipe(fd, pipe)) {
		log_warn("store", "a stored descriptor is not what it is named for fd=%d", fd);
		fd_close(&fd);
		return;
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	kept_add(pipe, fd);
}

/* LISTEN_FDNAMES: a name for each, with a colon between two. */
static void take_stored(void)
{
	const char *name = getenv("LISTEN_FDNAMES");
	unsigned long n = number_of("LISTEN_FDS");

	if (!name || number_of("LISTEN_PID") != (unsigned long)getpid())
		return;
	for (unsigned long i = 0; i < n; i++) {
		size_t len = strcspn(name, ":");

		take_one(FIRST_FD + (int)i, name, len);
		if (!name[len])
			return;
		name += len + 1;
	}
}

void store_init(void)
{
	take_stored();
	store.max = MIN(number_of("FDSTORE"), (unsigned long)MAX_KEPT);
	unsetenv("FDSTORE");
	if (store.max)
		keeper_set(&store);
}
