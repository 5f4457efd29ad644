/*
 * tests/unit/test_watch_random.c - fs/watch_pipe: whatever happens, and however late it is told, the
 * client ends with what is there
 */
#include "tests/unit/watch_fake.h"

/* What a client knows that believes what it is told. */
struct client {
	uint32_t seed;
	struct {
		char path[256];
		bool dir;
	} known[1024];
	size_t n;
};

static size_t client_find(const struct client *c, const char *path)
{
	size_t i = 0;

	while (i < c->n && strcmp(c->known[i].path, path) != 0)
		i++;
	return i;
}

static void client_forget(struct client *c, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < c->n;) {
		const char *p = c->known[i].path;

		if (strncmp(p, path, len) == 0 && (!p[len] || p[len] == '/'))
			c->known[i] = c->known[--c->n];
		else
			i++;
	}
}

static void client_move(struct client *c, const char *from, const char *to)
{
	size_t len = strlen(from);

	for (size_t i = 0; i < c->n; i++) {
		char *p = c->known[i].path, rest[256];

		if (strncmp(p, from, len) != 0 || (p[len] && p[len] != '/'))
			continue;
		snprintf(rest, sizeof(rest), "%s", p + len);
		snprintf(p, sizeof(rest), "%s%.100s", to, rest);
	}
}

/* A line of the log. */
static void client_hears(struct client *c, char *line)
{
	char *type = strtok(line, " "), *path = strtok(NULL, " "), *second = strtok(NULL, " ");
	bool dir = false, renamed = strcmp(type, "renamed") == 0;
	char *last = renamed ? second : path;
	size_t i;

	if (!last)
		return;
	if (last[strlen(last) - 1] == '/') {
		dir = true;
		last[strlen(last) - 1] = '\0';
	}
	i = client_find(c, path);
	if (strcmp(type, "created") == 0) {
		if (i == c->n)
			c->n++;
		snprintf(c->known[i].path, sizeof(c->known[i].path), "%s", path);
		c->known[i].dir = dir;
	} else if (strcmp(type, "deleted") == 0) {
		assert_true(i < c->n);
		assert_int_equal(c->known[i].dir, dir);
		client_forget(c, path);
	} else if (renamed) {
		assert_true(i < c->n);
		client_forget(c, second);
		client_move(c, path, second);
	} else {
		assert_true(i < c->n);
	}
}

static void client_reads(struct client *c, struct fake *f)
{
	char *at = f->log, *end;

	while ((end = strchr(at, '\n'))) {
		*end = '\0';
		client_hears(c, at);
		at = end + 1;
	}
	f->log_len = 0;
	f->log[0] = '\0';
}

static size_t count_and_compare(
	const struct fake *f, int dir, const char *path, const struct client *c)
{
	size_t n = 0;

	for (int i = 1; i < FAKE_NODES; i++) {
		char below[256];
		size_t at;

		if (!f->node[i].used || f->node[i].parent != dir)
			continue;
		snprintf(below, sizeof(below), "%.200s/%s", path, f->node[i].name);
		at = client_find(c, below);
		if (at == c->n || c->known[at].dir != f->inode[f->node[i].inode].dir)
			fail_msg("seed %u: the client does not know %s", c->seed, below);
		n += 1 + count_and_compare(f, i, below, c);
	}
	return n;
}

static void random_path(uint32_t *seed, char *out)
{
	unsigned depth = 1 + rnd_below(seed, 4);

	for (unsigned i = 0; i < depth; i++) {
		*out++ = '/';
		*out++ = (char)('a' + rnd_below(seed, 4));
	}
	*out = '\0';
}

static int count(const struct fake *f)
{
	int n = 0;

	for (int i = 1; i < FAKE_NODES; i++)
		n += f->node[i].used;
	return n;
}

static void one_change(struct fake *f, uint32_t *seed, int *outside)
{
	unsigned what = rnd_below(seed, 100);
	char a[32], b[32];

	random_path(seed, a);
	random_path(seed, b);
	if (count(f) > FAKE_NODES - 10)
		what = 60;
	if (what < 15)
		fake_create(f, a);
	else if (what < 35)
		fake_mkdir(f, a);
	else if (what < 60)
		fake_rename(f, a, b);
	else if (what < 75)
		fake_remove(f, a);
	else if (what < 80)
		fake_exchange(f, a, b);
	else if (what < 84)
		fake_link(f, a, b);
	else if (what < 88 && !*outside)
		*outside = fake_take_out(f, a);
	else if (what < 92 && *outside)
		*outside = fake_bring_in(f, *outside, a) ? 0 : *outside;
	else if (what < 96)
		fake_write(f, a);
	else
		fake_chmod(f, a);
}

static uint32_t meanwhile_seed;
static int outside;

static void change_meanwhile(struct fake *f)
{
	if (f->n_events - f->delivered < 300 && rnd_below(&meanwhile_seed, 4) == 0)
		one_change(f, &meanwhile_seed, &outside);
}

/* With LOST, some of it is never told, and the kernel says so. */
static void play(uint32_t seed, bool lost, bool busy)
{
	struct client *c = calloc(1, sizeof(*c));
	struct fake *f = fake_new();

	outside = 0;
	meanwhile_seed = seed ^ 0x5bd1e995;
	c->seed = seed;
	fake_start(f, NULL);
	f->full_after = 1 + rnd_below(&seed, 50);
	f->meanwhile = busy ? change_meanwhile : NULL;
	for (int round = 0; round < 60; round++) {
		unsigned changes = rnd_below(&seed, 12);

		f->silent = lost && rnd_below(&seed, 8) == 0;
		while (changes--)
			one_change(f, &seed, &outside);
		if (f->silent) {
			f->silent = false;
			f->event[f->n_events++] = (struct fake_event){.kind = WATCH_OVERFLOW};
		}
		/* As read(2) does: some of them, wherever that cuts. */
		fake_deliver(f, rnd_below(&seed, 20));
		assert_int_equal(fake_run(f), PIPE_IDLE);
		fake_pass(f, rnd_below(&seed, 30));
		client_reads(c, f);
	}
	f->meanwhile = NULL;
	fake_settle(f);
	client_reads(c, f);
	if (count_and_compare(f, 0, "", c) != c->n)
		fail_msg("seed %u: the client knows more than there is", c->seed);
	assert_int_equal(f->pipe.picture.count, c->n + 1);
	fake_free(f);
	free(c);
}

static void test_late(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 2000; seed++)
		play(seed * 7919, false, false);
}

static void test_busy(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 2000; seed++)
		play(seed * 6151, false, true);
}

static void test_lost(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 2000; seed++)
		play(seed * 104729, true, seed % 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
