/* tests/unit/test_users.c - guestd/users: a thread with the rights of another user, and back */
#include "guestd/users.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#include "tests/unit/unit.h"

#define NOBODY 65534u

struct credentials {
	uid_t uid[3];
	gid_t gid[3];
	gid_t groups[64];
	int n_groups;
	struct __user_cap_data_struct caps[2];
};

/* Of the calling thread. */
static void get(struct credentials *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	*c = (struct credentials){.n_groups = 0};
	assert_int_equal(getresuid(&c->uid[0], &c->uid[1], &c->uid[2]), 0);
	assert_int_equal(getresgid(&c->gid[0], &c->gid[1], &c->gid[2]), 0);
	c->n_groups = getgroups(ARRAY_LEN(c->groups), c->groups);
	assert_in_range(c->n_groups, 0, ARRAY_LEN(c->groups));
	assert_int_equal(syscall(SYS_capget, &head, c->caps), 0);
}

static bool readable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		assert_int_equal(errno, EACCES);
		return false;
	}
	close(fd);
	return true;
}

/* May a process of NOBODY's signal this thread? */
static bool may_be_signaled(void)
{
	pid_t pid = getpid(), tid = (pid_t)syscall(SYS_gettid), child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		/* Raw, and the real ones too: a process like any of that user's. */
		if (syscall(SYS_setresuid, 0, 0, 0) < 0 ||
			syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
			_exit(2);
		_exit(syscall(SYS_tgkill, pid, tid, 0) == 0 || kill(pid, 0) == 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 0, 1);
	return WEXITSTATUS(status);
}

static const struct account nobody = {
	.uid = NOBODY, .gid = NOBODY, .groups = {NOBODY, 4242}, .n_groups = 2};

struct turn {
	const char *path; /* root's alone */
	int assumed[2], checked[2];
};

static void *become_nobody(void *arg)
{
	const struct turn *turn = arg;
	struct credentials before, now;
	char byte = 0;

	get(&before);
	for (int round = 0; round < 100; round++) {
		assert_int_equal(users_assume(&nobody), 0);
		get(&now);
		assert_int_equal(now.uid[0], 0);
		assert_int_equal(now.uid[1], NOBODY);
		assert_int_equal(now.uid[2], 0);
		assert_int_equal(now.gid[0], before.gid[0]);
		assert_int_equal(now.gid[1], NOBODY);
		assert_int_equal(now.gid[2], before.gid[2]);
		assert_int_equal(now.n_groups, 2);
		assert_int_equal(now.caps[0].effective, 0);
		assert_int_equal(now.caps[1].effective, 0);
		assert_false(readable(turn->path));
		if (round == 0) {
			assert_int_equal(write(turn->assumed[1], &byte, 1), 1);
			assert_int_equal(read(turn->checked[0], &byte, 1), 1);
			assert_false(may_be_signaled());
		}
		users_resume();
		get(&now);
		assert_memory_equal(&now, &before, sizeof(now));
		assert_true(readable(turn->path));
	}
	return NULL;
}

static void test_one_thread_alone(void **state)
{
	static const gid_t groups[] = {11, 7, 4243};
	char path[] = "/tmp/test_users.XXXXXX", byte = 0;
	struct turn turn = {.path = path};
	struct credentials before, now;
	pthread_t thread;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	/* Not empty, not sorted: what is given back is what was there. */
	assert_int_equal(syscall(SYS_setgroups, ARRAY_LEN(groups), groups), 0);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	close(fd);
	assert_int_equal(pipe2(turn.assumed, O_CLOEXEC), 0);
	assert_int_equal(pipe2(turn.checked, O_CLOEXEC), 0);
	get(&before);
	assert_int_equal(pthread_create(&thread, NULL, become_nobody, &turn), 0);
	assert_int_equal(read(turn.assumed[0], &byte, 1), 1);
	get(&now);
	assert_memory_equal(&now, &before, sizeof(now));
	assert_true(readable(path));
	assert_int_equal(write(turn.checked[1], &byte, 1), 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	get(&now);
	assert_memory_equal(&now, &before, sizeof(now));
	unlink(path);
	for (int i = 0; i < 2; i++) {
		close(turn.assumed[i]);
		close(turn.checked[i]);
	}
}

/* The highest id would mean to the kernel: stay what you are. */
static void test_no_such_id(void **state)
{
	struct account none = {.uid = (uid_t)-1}, no_group = {.uid = NOBODY, .gid = (gid_t)-1};
	struct credentials before, now;

	(void)state;
	get(&before);
	assert_true(users_assume(&none) < 0);
	assert_true(users_assume(&no_group) < 0);
	get(&now);
	assert_memory_equal(&now, &before, sizeof(now));
}

/* An agent that is not root can be itself, and nobody else. */
static int as_nobody(void)
{
	struct credentials before, now;
	struct account own, other;

	if (geteuid() == 0 &&
		(setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return 1;
	own = (struct account){.uid = geteuid(), .gid = getegid()};
	get(&before);
	other = (struct account){.uid = 0, .gid = own.gid};
	if (users_assume(&other) != -EPERM)
		return 2;
	other = (struct account){.uid = own.uid, .gid = 4242};
	if (users_assume(&other) != -EPERM)
		return 3;
	if (users_assume(&own) != 0)
		return 4;
	users_resume();
	get(&now);
	return memcmp(&before, &now, sizeof(now)) ? 5 : 0;
}

static void test_not_root(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(as_nobody());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What workers ask for. */
static void test_names(void **state)
{
	const struct users *u = users_hold(), *again = users_hold();

	(void)state;
	assert_ptr_equal(u, again); /* nothing has changed */
	assert_string_equal(users_user_name(u, 0), "root");
	assert_string_equal(users_group_name(u, 0), "root");
	assert_null(users_user_name(u, 0x7ffffff1));
	assert_null(users_group_name(u, 0x7ffffff1));
	users_release(again);
	assert_string_equal(users_user_name(u, 0), "root");
	users_release(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_root), /* first: what the agent is, it learns once */
		cmocka_unit_test(test_one_thread_alone),
		cmocka_unit_test(test_no_such_id),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
