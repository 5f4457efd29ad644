/* bench/sftp.c - a peer: OpenSSH's sftp and its server, with a pipe between them and no cipher */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/daemons.h"

static const char *server(void)
{
	static const char *const places[] = {
		"/usr/lib/openssh/sftp-server",
		"/usr/libexec/openssh/sftp-server",
		"/usr/lib/ssh/sftp-server",
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (access(places[i], X_OK) == 0)
			return places[i];
	}
	return NULL;
}

bool sftp_there(void)
{
	if (server())
		return true;
	puts("\nno sftp-server here: OpenSSH is left out");
	return false;
}

static double us(struct timeval t)
{
	return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

void sftp(struct contestant *c, const char *fmt, ...)
{
	char batch[512];
	struct rusage used;
	int in[2], status;
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	vsnprintf(batch, sizeof(batch), fmt, ap);
	va_end(ap);
	if (pipe(in) < 0)
		give_up("no pipe: %m");
	write_all(in[1], batch, strlen(batch));
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		close(in[0]);
		close(in[1]);
		if (!freopen("/dev/null", "w", stdout))
			_exit(127);
		execlp("sftp", "sftp", "-q", "-D", server(), "-b", "-", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(in[1]);
	if (wait4(pid, &status, 0, &used) != pid || status != 0)
		give_up("sftp failed: %s", batch);
	samples_add(&c->cpu, (us(used.ru_utime) + us(used.ru_stime)) / (double)c->count);
}
