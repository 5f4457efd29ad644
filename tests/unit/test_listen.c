/*
 * tests/unit/test_listen.c - vsock/listen and vsock/dial over Unix sockets and inherited ones
 *
 * AF_VSOCK itself needs a second machine: tests/vm has it.
 */
#include "vsock/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vsock/dial.h"

static char dir[64];
static char why[300];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/guestd-unit-XXXXXX");
	why[0] = '\0';
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/s", dir);
	unlink(path);
	return rmdir(dir);
}

/* KIND:DIR/s, and for uds a port. */
static struct endpoint endpoint(const char *kind)
{
	struct endpoint ep;
	char text[128];

	snprintf(text, sizeof(text), "%s:%s/s%s", kind, dir, strcmp(kind, "uds") ? "" : ":1024");
	assert_int_equal(endpoint_parse(text, &ep, why, sizeof(why)), 0);
	return ep;
}

static int open_or_fail(const struct endpoint *ep)
{
	int fd = listen_open(ep, why, sizeof(why));

	if (fd < 0)
		fail_msg("%s", why);
	return fd;
}

static int dial_or_fail(const struct endpoint *ep)
{
	int fd = dial(ep, 5000, why, sizeof(why));

	if (fd < 0)
		fail_msg("%s", why);
	return fd;
}

static int accept_one(int listener)
{
	struct peer_policy policy;

	peer_policy_init(&policy);
	return listen_accept(listener, &policy, why, sizeof(why));
}

static void assert_cloexec_nonblock(int fd)
{
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void assert_mentions(const char *text)
{
	if (!strstr(why, text))
		fail_msg("\"%s\" does not mention %s", why, text);
}

static void test_unix(void **state)
{
	struct endpoint ep = endpoint("unix");
	struct stat st;
	int listener, client, server;
	char byte = 0;

	(void)state;
	umask(0); /* the mode is not left to it */
	listener = open_or_fail(&ep);
	umask(022);
	assert_cloexec_nonblock(listener);
	assert_int_equal(stat(ep.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(accept_one(listener), -EAGAIN);

	client = dial_or_fail(&ep);
	assert_int_equal(fcntl(client, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	server = accept_one(listener);
	assert_in_range(server, 0, 1000);
	assert_cloexec_nonblock(server);
	assert_int_equal(accept_one(listener), -EAGAIN);
	assert_int_equal(write(client, "x", 1), 1);
	assert_int_equal(read(server, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	fd_close(&client);
	fd_close(&server);
	fd_close(&listener);

	listen_unlink(&ep);
	assert_int_equal(stat(ep.path, &st), -1);
	assert_int_equal(dial(&ep, 1000, why, sizeof(why)), -ENOENT);
	assert_mentions(ep.path);
}

/* A daemon that was killed leaves its socket; the next one takes its place. */
static void test_stale_socket(void **state)
{
	struct endpoint ep = endpoint("unix");
	int listener = open_or_fail(&ep), client;

	(void)state;
	fd_close(&listener);
	assert_int_equal(access(ep.path, F_OK), 0);
	assert_int_equal(dial(&ep, 1000, why, sizeof(why)), -ECONNREFUSED);
	listener = open_or_fail(&ep);
	client = dial_or_fail(&ep);
	fd_close(&client);
	fd_close(&listener);
}

static void test_second_daemon(void **state)
{
	struct endpoint ep = endpoint("unix");
	int listener = open_or_fail(&ep), client, probe, server;

	(void)state;
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EADDRINUSE);
	assert_mentions("another daemon");
	/* The first one is where it was; its only trace is a connection that ended. */
	client = dial_or_fail(&ep);
	probe = accept_one(listener);
	server = accept_one(listener);
	assert_in_range(probe, 0, 1000);
	assert_in_range(server, 0, 1000);
	fd_close(&client);
	fd_close(&probe);
	fd_close(&server);
	fd_close(&listener);
}

/* What is no socket is not ours to remove. */
static void test_file_in_the_way(void **state)
{
	struct endpoint ep = endpoint("unix");
	struct stat st;
	int fd = open(ep.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	(void)state;
	assert_in_range(fd, 0, 1000);
	fd_close(&fd);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EADDRINUSE);
	assert_mentions(ep.path);
	assert_int_equal(stat(ep.path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_no_directory(void **state)
{
	struct endpoint ep = endpoint("unix");

	(void)state;
	strncat(ep.path, "/below", sizeof(ep.path) - strlen(ep.path) - 1);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -ENOENT);
	assert_mentions(ep.path);
}

/*
 * Another user's process that reaches the socket is let go again, though its mode should have
 * kept it away.  Only root can become another user.
 */
static void test_other_user(void **state)
{
	struct endpoint ep = endpoint("unix");
	int listener, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		return;
	listener = open_or_fail(&ep);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(ep.path, 0666), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		char text[100];

		_exit(setuid(12345) < 0 || dial(&ep, 1000, text, sizeof(text)) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(accept_one(listener), -EACCES);
	assert_mentions("uid 12345");
	assert_int_equal(accept_one(listener), -EAGAIN);
	fd_close(&listener);
}

static struct endpoint inherited(int fd)
{
	return (struct endpoint){.kind = ENDPOINT_FD, .fd = fd};
}

static void test_inherited(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct endpoint path = endpoint("unix"), ep;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client, server;

	(void)state;
	memcpy(addr.sun_path, path.path, sizeof(path.path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	ep = inherited(fd);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), fd);
	assert_cloexec_nonblock(fd);
	client = dial_or_fail(&path);
	server = accept_one(fd);
	assert_in_range(server, 0, 1000);
	assert_cloexec_nonblock(server);
	listen_unlink(&ep); /* who made the socket removes it */
	assert_int_equal(access(path.path, F_OK), 0);
	fd_close(&client);
	fd_close(&server);
	fd_close(&fd);
}

static void test_inherited_useless(void **state)
{
	struct endpoint ep;
	int fds[2];

	(void)state;
	ep = inherited(987);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EBADF);
	assert_mentions("987");
	assert_int_equal(pipe(fds), 0);
	ep = inherited(fds[0]);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -ENOTSOCK);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ep = inherited(fds[0]);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EINVAL);
	assert_mentions("not a listening socket");
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* An inherited socket of another family has no notion of who may connect: nobody may. */
static void test_inherited_tcp(void **state)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct endpoint ep = inherited(fd);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(listen_open(&ep, why, sizeof(why)), fd);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(accept_one(fd), -EACCES);
	assert_mentions("address family");
	fd_close(&client);
	fd_close(&fd);
}

static void test_wrong_direction(void **state)
{
	struct endpoint ep = endpoint("uds");

	(void)state;
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EINVAL);
	assert_mentions("dialing");
	ep = (struct endpoint){.kind = ENDPOINT_VSOCK, .has_cid = true, .cid = 3, .port = 1024};
	assert_int_equal(listen_open(&ep, why, sizeof(why)), -EINVAL);
	assert_mentions("dialing");
	ep.has_cid = false;
	assert_int_equal(dial(&ep, 1000, why, sizeof(why)), -EINVAL);
	assert_mentions("vsock:CID:PORT");
	ep = inherited(0);
	assert_int_equal(dial(&ep, 1000, why, sizeof(why)), -EINVAL);
	assert_mentions("listening");
}

static void test_may_come(void **state)
{
	struct endpoint vsock = {.kind = ENDPOINT_VSOCK}, file = {.kind = ENDPOINT_UNIX};

	(void)state;
	assert_true(listen_may_come(&vsock, -ENODEV));
	assert_true(listen_may_come(&vsock, -EAFNOSUPPORT));
	assert_false(listen_may_come(&vsock, -EADDRINUSE));
	assert_false(listen_may_come(&vsock, -EACCES));
	assert_false(listen_may_come(&file, -ENODEV));
}

static void test_policy(void **state)
{
	struct peer_policy policy;

	(void)state;
	peer_policy_init(&policy);
	assert_int_equal(policy.n_cids, 1);
	assert_int_equal(policy.cid[0], 2); /* the host */
}

/* A stand-in for a VMM's end of hybrid vsock: takes one CONNECT and answers with ANSWER. */
struct vmm {
	pthread_t thread;
	int listener;
	const char *answer;
	size_t pieces; /* bytes of the answer a write; 0 = all at once */
	bool hang;     /* keeps the connection open and silent after it */
	char asked[64];
	ssize_t asked_len; /* of the first read: CONNECT must come in one piece */
};

static void *vmm_main(void *arg)
{
	struct vmm *vmm = arg;
	size_t len = strlen(vmm->answer);
	struct timespec pause = {.tv_nsec = 2000000};
	cleanup_fd int fd = accept(vmm->listener, NULL, NULL);
	char byte;

	vmm->asked_len = read(fd, vmm->asked, sizeof(vmm->asked) - 1);
	for (size_t at = 0; at < len;) {
		size_t n = vmm->pieces ? MIN(vmm->pieces, len - at) : len;

		if (send(fd, vmm->answer + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			break;
		at += n;
		if (vmm->pieces)
			nanosleep(&pause, NULL);
	}
	while (vmm->hang && read(fd, &byte, 1) > 0)
		continue;
	return NULL;
}

/* Dials through a stand-in that behaves as VMM says; what dial() returned. */
static int dial_through(struct vmm *vmm, int timeout_ms)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct endpoint ep = endpoint("uds");
	int fd;

	vmm->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(addr.sun_path, ep.path, sizeof(ep.path));
	assert_int_equal(bind(vmm->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(vmm->listener, 5), 0);
	assert_int_equal(pthread_create(&vmm->thread, NULL, vmm_main, vmm), 0);
	fd = dial(&ep, timeout_ms, why, sizeof(why));
	if (fd < 0)
		assert_mentions(ep.path);
	return fd;
}

static void vmm_end(struct vmm *vmm, int fd)
{
	fd_close(&fd);
	assert_int_equal(pthread_join(vmm->thread, NULL), 0);
	fd_close(&vmm->listener);
	assert_int_equal(vmm->asked_len, 13);
	assert_string_equal(vmm->asked, "CONNECT 1024\n");
}

static void assert_reads(int fd, const char *want)
{
	char bytes[64];
	size_t have = 0, len = strlen(want);

	while (have < len) {
		ssize_t n = read(fd, bytes + have, len - have);

		assert_in_range(n, 1, len);
		have += (size_t)n;
	}
	assert_memory_equal(bytes, want, len);
}

static void test_handshake(void **state)
{
	struct vmm vmm = {.answer = "OK 1073741824\n", .hang = true};
	int fd = dial_through(&vmm, 5000);

	(void)state;
	assert_in_range(fd, 0, 1000);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	vmm_end(&vmm, fd);
}

static void test_handshake_bytewise(void **state)
{
	struct vmm vmm = {.answer = "OK 5\nframes", .pieces = 1, .hang = true};
	int fd = dial_through(&vmm, 5000);

	(void)state;
	assert_in_range(fd, 0, 1000);
	assert_reads(fd, "frames");
	vmm_end(&vmm, fd);
}

/* The agent's first bytes may lie right behind the OK: they belong to the caller. */
static void test_handshake_bytes_behind(void **state)
{
	struct vmm vmm = {.answer = "OK 5\nframes", .hang = true};
	int fd = dial_through(&vmm, 5000);

	(void)state;
	assert_in_range(fd, 0, 1000);
	assert_reads(fd, "frames");
	vmm_end(&vmm, fd);
}

static void test_handshake_refused(void **state)
{
	static const struct {
		const char *answer;
		int want;
	} cases[] = {
		{"", -ECONNREFUSED},     /* closed at once: nobody listens in the guest */
		{"OK 5", -ECONNREFUSED}, /* closed before the end of the line */
		{"NO\n", -EPROTO},
		{"OK\n", -EPROTO},
		{"\n", -EPROTO},
		{"Ok 5\n", -EPROTO},
		/* An OK that never ends is none. */
		{"OK 55555555555555555555555555555555555555555555555555555555555555555\n", -EPROTO},
		{"0123456789012345678901234567890123456789012345678901234567890123456789", -EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct vmm vmm = {.answer = cases[i].answer};
		struct endpoint ep = endpoint("uds");

		assert_int_equal(dial_through(&vmm, 5000), cases[i].want);
		vmm_end(&vmm, -1);
		unlink(ep.path);
	}
}

/* Silence, and an answer that stops in its middle, both end when the time is over. */
static void test_handshake_timeout(void **state)
{
	static const char *const answers[] = {"", "OK 5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct vmm vmm = {.answer = answers[i], .hang = true};
		struct endpoint ep = endpoint("uds");
		uint64_t start = clock_mono_us();

		assert_int_equal(dial_through(&vmm, 60), -ETIMEDOUT);
		assert_in_range(clock_mono_us() - start, 60000, 5000000);
		vmm_end(&vmm, -1);
		unlink(ep.path);
	}
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_unix),
		IN_DIR(test_stale_socket),
		IN_DIR(test_second_daemon),
		IN_DIR(test_file_in_the_way),
		IN_DIR(test_no_directory),
		IN_DIR(test_other_user),
		IN_DIR(test_inherited),
		IN_DIR(test_inherited_useless),
		IN_DIR(test_inherited_tcp),
		IN_DIR(test_wrong_direction),
		cmocka_unit_test(test_may_come),
		cmocka_unit_test(test_policy),
		IN_DIR(test_handshake),
		IN_DIR(test_handshake_bytewise),
		IN_DIR(test_handshake_bytes_behind),
		IN_DIR(test_handshake_refused),
		IN_DIR(test_handshake_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
