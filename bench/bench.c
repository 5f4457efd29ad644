/*
 * bench/bench.c - guestd beside the physical limit, in one run
 *
 * Prints a table; judges nothing: a time is no reason to fail a build.
 */
#include "bench/bench.h"

#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/daemons.h"

static const struct {
	const char *name;
	void (*run)(const struct options *o);
} contests[] = {
	{"exec", bench_exec},
	{"rate", bench_rate},
	{"ping", bench_ping},
	{"stream", bench_stream},
	{"stop", bench_stop},
	{"list", bench_list},
	{"pty", bench_pty},
	{"read", bench_read},
	{"write", bench_write},
	{"files", bench_files},
	{"stat", bench_stat},
	{"tree", bench_tree},
	{"net", bench_net},
	{"watch", bench_watch},
	{"tar", bench_tar},
};

static void usage(void)
{
	fputs("usage: bench [--guestd PATH] [--rounds N] [--quick] [--only NAME,...]\nnames:",
		stderr);
	for (size_t i = 0; i < ARRAY_LEN(contests); i++)
		fprintf(stderr, " %s", contests[i].name);
	fputc('\n', stderr);
	exit(2);
}

static bool wanted(const struct options *o, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = o->only; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	}
	return !o->only;
}

static void print_head(const struct options *o)
{
	struct utsname uts;

	uname(&uts);
	printf("Linux %s %s, %ld CPUs; %u rounds; medians of interleaved rounds\n", uts.release,
		uts.machine, sysconf(_SC_NPROCESSORS_ONLN), o->rounds);
	puts("bare      the bench itself: clone3(CLONE_VM | CLONE_VFORK | CLONE_PIDFD), two pipes to "
	     "EOF, wait;\n"
	     "          a child that echoes; a child that copies from pipe to socket; kill and wait;\n"
	     "          a walk of /proc; a pty without a daemon; sendfile, splice; open, write, close;\n"
	     "          find; a copier between two sockets; bench/notify.c: inotify and a socket\n"
	     "minimal   bench/minimal.c: one thread behind a Unix socket, the same spawn, but without waiting\n"
	     "          for the execve (vfork: with)\n"
	     "guestd    over a Unix socket through ctl/client.h");
}

static void print_memory(const char *when)
{
	printf("  %-22s VmRSS %6ld KiB (anonymous %6ld)   peak %6ld KiB\n", when,
		guestd_memory("VmRSS"), guestd_memory("RssAnon"), guestd_memory("VmHWM"));
}

static void print_binary(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		printf("  %-22s %lld bytes\n", "binary", (long long)st.st_size);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"guestd", required_argument, NULL, 'g'},
		{"only", required_argument, NULL, 'o'},
		{"rounds", required_argument, NULL, 'r'},
		{"quick", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.guestd = "build/guestd"};
	char *own = realpath("/proc/self/exe", NULL);
	const char *programs = own ? dirname(own) : ".";
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'g')
			o.guestd = optarg;
		else if (opt == 'o')
			o.only = optarg;
		else if (opt == 'r')
			o.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'q')
			o.quick = true;
		else
			usage();
	}
	if (optind < argc)
		usage();
	if (!o.rounds)
		o.rounds = o.quick ? 5 : 21;
	o.minimal = xasprintf("%s/minimal", programs);
	o.tiny_true = xasprintf("%s/true", programs);
	o.flood = xasprintf("%s/flood", programs);
	o.sleeper = xasprintf("%s/sleeper", programs);
	o.rawcat = xasprintf("%s/rawcat", programs);
	o.notify = xasprintf("%s/notify", programs);
	setlinebuf(stdout);
	supervise();

	print_head(&o);
	daemons_start(&o);
	puts("\nmemory of guestd");
	print_binary(o.guestd);
	print_memory("idle after start");
	for (size_t i = 0; i < ARRAY_LEN(contests); i++) {
		if (wanted(&o, contests[i].name))
			contests[i].run(&o);
	}
	puts("\nmemory of guestd");
	print_memory("after all contests");
	daemons_stop();
	free(o.minimal);
	free(o.tiny_true);
	free(o.flood);
	free(o.sleeper);
	free(o.rawcat);
	free(o.notify);
	free(own);
	return 0;
}
