/* proc/keep.c - the output pipes of processes, kept for the next agent */
#include "proc/keep.h"

#include <sys/stat.h>

#include "guestd/keeper.h"
#include "proc/process.h"

/* Until the program runs, the pipe's end is FD, of the launch. */
static void keep_stream(struct stream *stream, int fd)
{
	struct stat st;

	if (stream->source.fd >= 0)
		fd = stream->source.fd;
	if (stream->kept || fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return;
	if (keeper_keep(st.st_ino, fd))
		stream->kept = st.st_ino;
}

void keep_output(struct process *p)
{
	keep_stream(&p->out[0], p->pipes.out[0]);
	keep_stream(&p->out[1], p->pipes.err[0]);
}

void keep_end(struct stream *stream)
{
	if (stream->kept)
		keeper_drop(stream->kept);
	stream->kept = 0;
}
