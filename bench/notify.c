/*
 * bench/notify.c - inotify and a socket, and nothing else: the floor of a watch
 *
 *	notify ROOT     with the socket as its standard output
 *
 * Walks ROOT once, adds a watch for each directory, says "ready\n", and from then on a line for each event:
 * the name that it is about.  No paths, no renames, nothing is put together, directories that
 * come later are not watched, and an overflow ends it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define MASK (IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_ATTRIB | IN_ONLYDIR)

static int queue;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Takes FD. */
static void walk(int fd, const char *path)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		fail(path);
	if (inotify_add_watch(queue, path, MASK) < 0)
		fail("inotify_add_watch");
	while ((entry = readdir(dir))) {
		char below[4096];
		int next;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		next = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			fail(below);
		walk(next, below);
	}
	closedir(dir);
}

static void put(const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0)
			exit(0); /* the bench has seen enough */
		bytes += n;
		len -= (size_t)n;
	}
}

int main(int argc, char **argv)
{
	static char in[1 << 16] __attribute__((aligned(__alignof__(struct inotify_event))));
	static char out[1 << 16];

	if (argc != 2)
		return 2;
	queue = inotify_init1(IN_CLOEXEC);
	if (queue < 0)
		fail("inotify_init1");
	walk(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), argv[1]);
	put("ready\n", 6);
	for (;;) {
		ssize_t n = read(queue, in, sizeof(in));
		size_t len = 0;

		if (n < 0)
			fail("read");
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(in + at);

			if (event->mask & IN_Q_OVERFLOW)
				return 1;
			if (event->len) {
				/* An event is longer than its name. */
				len += (size_t)snprintf(
					out + len, sizeof(out) - len, "%s\n", event->name);
			}
			at += (ssize_t)(sizeof(*event) + event->len);
		}
		put(out, len);
	}
}
