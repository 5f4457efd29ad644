/* tests/unit/test_watch_pipe.c - fs/watch_pipe: what the kernel says becomes what a client is told */
#include "tests/unit/watch_fake.h"

#include "proto/args.h"

static struct fake *started(void)
{
	struct fake *f = fake_new();

	fake_start(f, NULL);
	return f;
}

static void test_created_then_modified_once(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_write(f, "/a");
	fake_write(f, "/a");
	fake_deliver(f, SIZE_MAX);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "created /a\n");
	assert_int_equal(f->pipe.wait_us, f->now_us + 20000);
	fake_pass(f, 20);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "created /a\nmodified /a\n");
	assert_string_equal(fake_settle(f), "");
	fake_free(f);
}

/* In its order: what waits is told before the file has another name, and is nothing when it is gone. */
static void test_order_of_a_path(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_write(f, "/a");
	fake_chmod(f, "/a");
	fake_rename(f, "/a", "/b");
	fake_write(f, "/b");
	fake_remove(f, "/b");
	assert_string_equal(fake_settle(f), "created /a\nattributes /a\nmodified /a\n"
					    "renamed /a /b\ndeleted /b\n");
	fake_free(f);
}

static void test_rename_across_reads(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_settle(f);
	fake_rename(f, "/a", "/b");
	fake_deliver(f, 1);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "created /a\n");
	assert_true(f->pipe.wait_us > f->now_us && f->pipe.wait_us != UINT64_MAX);
	fake_pass(f, 20);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	fake_deliver(f, 1);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "created /a\nrenamed /a /b\n");
	fake_free(f);
}

/* Look whether what is known of that name below the root is so: fanotify merges what it tells. */
static void tell_check(struct fake *f, const char *name)
{
	fake_tell(f, WATCH_CHECK, 0, name, false, 0);
}

/* What is not there any more is told of as events say, which may come a little later. */
static void test_absent_name(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	tell_check(f, "a");
	fake_rename(f, "/a", "/b");
	tell_check(f, "b");
	fake_remove(f, "/b");
	fake_deliver(f, 2);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "created /a\n");
	fake_pass(f, 10);
	assert_int_equal(fake_run(f), PIPE_IDLE); /* the kernel is asked once more */
	assert_true(f->pipe.wait_us <= f->now_us);
	assert_string_equal(fake_settle(f), "renamed /a /b\ndeleted /b\n");
	fake_free(f);
}

/* No event comes, or one that is of another file with that name. */
static void test_absent_for_good(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_mkdir(f, "/d");
	fake_create(f, "/d/x");
	fake_settle(f);
	f->silent = true;
	fake_remove(f, "/a");
	fake_remove(f, "/d/x");
	fake_remove(f, "/d");
	f->silent = false;
	tell_check(f, "a");
	tell_check(f, "d");
	f->log_len = 0;
	f->log[0] = '\0';
	fake_deliver(f, SIZE_MAX);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "");
	fake_create(f, "/a");
	assert_string_equal(fake_settle(f), "deleted /a\ncreated /a\ndeleted /d/x\ndeleted /d/\n");
	assert_int_equal(f->pipe.watches, 1);
	fake_free(f);
}

/* Written unheard of, and seen for another reason. */
static void test_written_unheard_of(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_create(f, "/b");
	fake_settle(f);
	f->silent = true;
	fake_write(f, "/a");
	fake_write(f, "/b");
	f->silent = false;
	tell_check(f, "a");
	fake_chmod(f, "/b");
	assert_string_equal(fake_settle(f), "modified /a\nattributes /b\nmodified /b\n");
	tell_check(f, "a");
	tell_check(f, "b");
	assert_string_equal(fake_settle(f), "");
	fake_free(f);
}

static void test_half_a_rename(void **state)
{
	struct fake *f = started();
	int outside;

	(void)state;
	fake_mkdir(f, "/d");
	fake_mkdir(f, "/d/e");
	fake_create(f, "/d/e/x");
	fake_create(f, "/a");
	fake_settle(f);

	outside = fake_take_out(f, "/d");
	assert_string_equal(fake_settle(f), "deleted /d/e/x\ndeleted /d/e/\ndeleted /d/\n");
	assert_int_equal(f->pipe.watches, 1);
	fake_bring_in(f, outside, "/back");
	assert_string_equal(
		fake_settle(f), "created /back/\ncreated /back/e/\ncreated /back/e/x\n");
	assert_int_equal(f->pipe.watches, 3);

	/* It is known at once where something else follows. */
	f->log_len = 0;
	fake_take_out(f, "/a");
	fake_create(f, "/other");
	fake_deliver(f, SIZE_MAX);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "deleted /a\ncreated /other\n");
	fake_free(f);
}

static void test_renamed_directory(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/a");
	fake_settle(f);
	fake_mkdir(f, "/a/b");
	fake_create(f, "/a/b/x");
	fake_settle(f);
	f->opened = 0;
	fake_rename(f, "/a", "/c");
	fake_create(f, "/c/b/y");
	fake_write(f, "/c/b/x");
	assert_string_equal(fake_settle(f), "renamed /a /c/\ncreated /c/b/y\nmodified /c/b/x\n");
	assert_int_equal(f->opened, 0);
	fake_free(f);
}

static void add_between(struct fake *f, const char *path)
{
	f->between = NULL;
	assert_string_equal(path, "/new");
	fake_create(f, "/new/between"); /* read, and told by an event as well */
	fake_mkdir(f, "/new/sub");
}

static void test_new_directory(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/new");
	fake_create(f, "/new/before"); /* nobody watches it yet */
	f->between = add_between;
	assert_string_equal(fake_settle(f),
		"created /new/\ncreated /new/sub/\ncreated /new/between\n"
		"created /new/before\n");
	fake_create(f, "/new/sub/after");
	assert_string_equal(fake_settle(f), "created /new/sub/after\n");
	fake_free(f);
}

/* Into a directory that is not watched yet: only its inode tells that it is the same. */
static void test_moved_into_new_directory(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_mkdir(f, "/d");
	fake_create(f, "/d/x");
	fake_settle(f);
	fake_mkdir(f, "/new");
	fake_rename(f, "/a", "/new/a");
	fake_rename(f, "/d", "/new/d");
	assert_string_equal(
		fake_settle(f), "created /new/\nrenamed /d /new/d/\nrenamed /a /new/a\n");
	fake_write(f, "/new/d/x");
	assert_string_equal(fake_settle(f), "modified /new/d/x\n");
	assert_int_equal(f->pipe.watches, 3);
	fake_free(f);
}

/* Whatever the path of an event leads to by now, its directory has another name. */
static void test_late_events_of_a_renamed_directory(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/tmp");
	fake_settle(f);
	fake_mkdir(f, "/tmp/d");
	fake_create(f, "/tmp/d/x");
	fake_rename(f, "/tmp", "/final");
	fake_mkdir(f, "/tmp");
	fake_mkdir(f, "/tmp/d");
	assert_string_equal(fake_settle(f), "created /tmp/d/\nrenamed /tmp /final/\ncreated /tmp/\n"
					    "created /tmp/d/\ncreated /final/d/x\n");
	fake_create(f, "/final/d/y");
	assert_string_equal(fake_settle(f), "created /final/d/y\n");
	fake_free(f);
}

static void test_hard_links(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/d");
	fake_create(f, "/a");
	fake_link(f, "/a", "/d/b");
	fake_settle(f);
	fake_write(f, "/a");
	assert_string_equal(fake_settle(f), "modified /a\nmodified /d/b\n");
	fake_remove(f, "/a");
	assert_string_equal(fake_settle(f), "deleted /a\n");
	fake_link(f, "/d/b", "/again");
	assert_string_equal(fake_settle(f), "created /again\n");
	fake_free(f);
}

static void test_replaced(void **state)
{
	struct fake *f = started();
	int outside;

	(void)state;
	fake_create(f, "/a");
	fake_create(f, "/temp");
	fake_mkdir(f, "/d");
	fake_mkdir(f, "/e");
	fake_settle(f);
	fake_rename(f, "/temp", "/a");
	assert_string_equal(fake_settle(f), "renamed /temp /a replaced\n");
	fake_rename(f, "/d", "/e");
	assert_string_equal(fake_settle(f), "renamed /d /e/ replaced\n");
	fake_create(f, "/e/in it");
	assert_string_equal(fake_settle(f), "created /e/in it\n");

	/* From elsewhere. */
	fake_create(f, "/o");
	fake_settle(f);
	outside = fake_take_out(f, "/o");
	fake_settle(f);
	f->silent = true;
	fake_remove(f, "/a");
	f->silent = false;
	fake_bring_in(f, outside, "/a");
	assert_string_equal(fake_settle(f), "created /a replaced\n");
	fake_free(f);
}

static void test_exchanged(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_mkdir(f, "/d");
	fake_create(f, "/d/x");
	fake_settle(f);
	fake_exchange(f, "/a", "/d");
	fake_settle(f);
	fake_create(f, "/a/y"); /* it is the directory now */
	assert_string_equal(fake_settle(f), "created /a/y\n");
	assert_int_equal(f->pipe.picture.count, 5);
	fake_free(f);
}

static void test_another_kind(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_create(f, "/a");
	fake_settle(f);
	fake_remove(f, "/a");
	fake_mkdir(f, "/a");
	fake_create(f, "/a/x");
	assert_string_equal(fake_settle(f), "deleted /a\ncreated /a/\ncreated /a/x\n");
	f->silent = true; /* and where only a scan tells */
	fake_remove(f, "/a/x");
	fake_remove(f, "/a");
	fake_create(f, "/a");
	f->silent = false;
	watch_pipe_rescan(&f->pipe);
	assert_string_equal(
		fake_settle(f), "overflow\ndeleted /a/x\ndeleted /a/\ncreated /a\nresync\n");
	fake_free(f);
}

static void test_overflow(void **state)
{
	static const struct fake_event overflow = {.kind = WATCH_OVERFLOW};
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/d");
	fake_create(f, "/d/stays");
	fake_create(f, "/d/written");
	fake_create(f, "/d/gone");
	fake_create(f, "/d/moved");
	fake_settle(f);
	f->silent = true;
	fake_write(f, "/d/written");
	fake_chmod(f, "/d");
	fake_remove(f, "/d/gone");
	fake_rename(f, "/d/moved", "/moved");
	fake_mkdir(f, "/n");
	fake_create(f, "/n/x");
	f->silent = false;
	fake_feed(f, &overflow);
	fake_create(f, "/seen by the scan");
	f->full_after = 1;
	assert_string_equal(fake_settle(f), "overflow\ncreated /seen by the scan\n"
					    "renamed /d/moved /moved\n"
					    "created /n/\ncreated /n/x\n"
					    "attributes /d/\ndeleted /d/gone\n"
					    "modified /d/written\nresync\n");
	assert_int_equal(f->drained, 1);
	fake_create(f, "/n/y");
	assert_string_equal(fake_settle(f), "created /n/y\n");
	fake_free(f);
}

/* What comes late, comes twice, or was never ours. */
static void test_strange_events(void **state)
{
	static const struct fake_event strange[] = {
		{.kind = WATCH_CREATE, .key = 4711, .name = "x"},
		{.kind = WATCH_STOPPED, .key = 4711},
		{.kind = WATCH_TO, .key = 4711, .name = "x", .cookie = 99},
		{.kind = WATCH_FROM, .key = 4711, .name = "y", .cookie = 98},
		{.kind = WATCH_SELF, .key = 4711},
	};
	struct fake *f = started();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(strange); i++)
		fake_feed(f, &strange[i]);
	assert_string_equal(fake_settle(f), "");
	/* Of a name that is not there, and never was. */
	fake_tell(f, WATCH_DELETE, 0, "ghost", false, 0);
	fake_tell(f, WATCH_FROM, 0, "ghost", false, 97);
	fake_tell(f, WATCH_MODIFY, 0, "ghost", false, 0);
	fake_tell(f, WATCH_ATTRIB, 0, "ghost", false, 0);
	assert_string_equal(fake_settle(f), "");
	/* Of one that is there, but was not told. */
	f->silent = true;
	fake_create(f, "/late");
	f->silent = false;
	fake_write(f, "/late");
	assert_string_equal(fake_settle(f), "created /late\n");
	fake_free(f);
}

/* What was mounted there is not any more. */
static void test_unmounted(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/m");
	fake_create(f, "/m/x");
	fake_settle(f);
	fake_tell(f, WATCH_SELF, fake_find(f, "/m"), "", true, 0);
	fake_tell(f, WATCH_STOPPED, fake_find(f, "/m"), "", true, 0);
	f->silent = true;
	fake_remove(f, "/m/x");
	fake_remove(f, "/m");
	fake_mkdir(f, "/m");
	fake_create(f, "/m/below");
	f->silent = false;
	assert_string_equal(fake_settle(f), "created /m/below\ndeleted /m/x\n");
	fake_create(f, "/m/y");
	assert_string_equal(fake_settle(f), "created /m/y\n");
	fake_free(f);
}

static void test_root(void **state)
{
	static const struct fake_event around = {.kind = WATCH_DELETE, .key = 77, .name = "root"};
	static const struct fake_event other = {.kind = WATCH_DELETE, .key = 77, .name = "other"};
	const struct watch_options o = {.recursive = true, .around_key = 77, .name = "root"};
	struct fake *f = fake_new();

	(void)state;
	fake_start(f, &o);
	fake_feed(f, &other);
	fake_feed(f, &around); /* of one before */
	fake_tell(f, WATCH_SELF, 0, "", true, 0);
	assert_string_equal(fake_settle(f), "");
	fake_tell(f, WATCH_ATTRIB, 0, "", true, 0);
	assert_string_equal(fake_settle(f), "attributes/\n");
	fake_create(f, "/a");
	fake_deliver(f, SIZE_MAX);
	fake_feed(f, &around);
	f->gone = true;
	assert_int_equal(fake_run(f), PIPE_GONE);
	fake_free(f);
}

static void test_root_is_a_file(void **state)
{
	static const struct fake_event events[] = {
		{.kind = WATCH_MODIFY, .key = 77, .name = "root"},
		{.kind = WATCH_CREATE, .key = 77, .name = "root~"},
		{.kind = WATCH_TO, .key = 77, .name = "root"},
		{.kind = WATCH_DELETE, .key = 77, .name = "root"},
	};
	const struct watch_options o = {.around_key = 77, .name = "root"};
	struct fake *f = fake_new();

	(void)state;
	f->inode[0].dir = false;
	fake_start(f, &o);
	fake_feed(f, &events[0]);
	assert_string_equal(fake_settle(f), "modified\n");
	fake_feed(f, &events[1]);
	assert_string_equal(fake_settle(f), "");
	f->inode[0].id = 4711;
	fake_feed(f, &events[2]);
	assert_string_equal(fake_settle(f), "created replaced\n");
	f->gone = true;
	fake_feed(f, &events[3]);
	assert_int_equal(fake_run(f), PIPE_GONE);
	fake_free(f);
}

static void test_not_recursive(void **state)
{
	const struct watch_options o = {.recursive = false};
	struct fake *f = fake_new();

	(void)state;
	fake_mkdir(f, "/d");
	fake_create(f, "/d/x");
	fake_start(f, &o);
	assert_int_equal(f->opened, 1);
	fake_mkdir(f, "/e");
	fake_create(f, "/e/x");
	fake_chmod(f, "/d");
	assert_string_equal(fake_settle(f), "created /e/\nattributes /d/\n");
	assert_int_equal(f->opened, 1);
	fake_free(f);
}

static void test_ignored(void **state)
{
	const char *patterns[] = {"node_modules", "*.log", "/build/out", NULL};
	const struct strs ignore = {patterns, 3};
	const struct watch_options o = {.recursive = true, .ignore = &ignore};
	struct fake *f = fake_new();

	(void)state;
	fake_mkdir(f, "/node_modules");
	fake_mkdir(f, "/node_modules/x");
	fake_mkdir(f, "/build");
	fake_mkdir(f, "/build/out");
	fake_start(f, &o);
	assert_int_equal(f->opened, 2);
	fake_create(f, "/a.log");
	fake_write(f, "/a.log");
	fake_mkdir(f, "/build/node_modules");
	assert_string_equal(fake_settle(f), "");
	assert_int_equal(f->opened, 2);
	fake_rename(f, "/a.log", "/a");
	assert_string_equal(fake_settle(f), "created /a\n");
	fake_rename(f, "/a", "/b.log");
	assert_string_equal(fake_settle(f), "deleted /a\n");
	/* What a pattern is for lies elsewhere then. */
	fake_rename(f, "/build", "/other");
	assert_string_equal(fake_settle(f), "renamed /build /other/\ncreated /other/out/\n");
	fake_rename(f, "/other", "/build");
	assert_string_equal(fake_settle(f), "renamed /other /build/\ndeleted /build/out/\n");
	assert_int_equal(f->pipe.watches, 2);
	fake_free(f);
}

static void test_limit(void **state)
{
	struct fake *f = started();

	(void)state;
	f->max_keys = 2;
	fake_mkdir(f, "/a");
	fake_settle(f);
	fake_mkdir(f, "/b");
	fake_deliver(f, SIZE_MAX);
	assert_int_equal(fake_run(f), ERR_LIMIT);
	fake_free(f);
}

static void test_barred(void **state)
{
	struct fake *f = started();

	(void)state;
	fake_mkdir(f, "/d");
	fake_create(f, "/d/x");
	fake_inode(f, fake_find(f, "/d"))->barred = true;
	assert_string_equal(fake_settle(f), "unwatched /d/\ncreated /d/\n");
	fake_inode(f, fake_find(f, "/d"))->barred = false;
	fake_chmod(f, "/d");
	assert_string_equal(fake_settle(f), "attributes /d/\ncreated /d/x\n");
	fake_free(f);
}

/* Names that wait are not without bound: the oldest are told early. */
static void test_many_pending(void **state)
{
	const struct watch_options o = {.recursive = true, .coalesce_us = 1000000000};
	struct fake *f = fake_new();
	char path[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		fake_create(f, path);
	}
	fake_start(f, &o);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		fake_write(f, path);
	}
	fake_deliver(f, SIZE_MAX);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "");
	watch_pipe_rescan(&f->pipe);
	assert_int_equal(fake_run(f), PIPE_IDLE); /* a client is right after it */
	assert_string_equal(f->log + f->log_len - strlen("resync\n"), "resync\n");
	assert_true(strncmp(f->log, "overflow\nmodified /", 19) == 0);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_created_then_modified_once),
		cmocka_unit_test(test_order_of_a_path),
		cmocka_unit_test(test_rename_across_reads),
		cmocka_unit_test(test_absent_name),
		cmocka_unit_test(test_absent_for_good),
		cmocka_unit_test(test_written_unheard_of),
		cmocka_unit_test(test_half_a_rename),
		cmocka_unit_test(test_renamed_directory),
		cmocka_unit_test(test_new_directory),
		cmocka_unit_test(test_moved_into_new_directory),
		cmocka_unit_test(test_late_events_of_a_renamed_directory),
		cmocka_unit_test(test_hard_links),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_exchanged),
		cmocka_unit_test(test_another_kind),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_strange_events),
		cmocka_unit_test(test_unmounted),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_root_is_a_file),
		cmocka_unit_test(test_not_recursive),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_barred),
		cmocka_unit_test(test_many_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
