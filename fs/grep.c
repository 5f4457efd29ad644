/*
 * fs/grep.c - fs.grep: the lines in files that match a regular expression
 *
 * A buffer is searched by whole lines, as many as lie in a piece of GREP_PIECE bytes; a line that is
 * longer, in pieces.  A file with a NUL in it is binary, and left out from the buffer on that has it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/glob.h"
#include "fs/path.h"
#include "fs/pattern.h"
#include "fs/skipped.h"
#include "fs/walk.h"
#include "guestd/method.h"
#include "guestd/steps.h"
#include "proto/limits.h"

#define READ_BYTES (64u << 10)

/* Of an event, what stands around path and text. */
#define AROUND 64u

struct grep_args {
	struct who who;
	const char *path, *pattern;
	bool ignore_case;
	struct strs ignore;
	uint64_t limit;
};

static const struct arg grep_table[] = {
	ARG_INCLUDE(struct grep_args, who, user_table),
	ARG(struct grep_args, path, .required = true, .check = arg_abs_path),
	ARG(struct grep_args, pattern, .required = true),
	ARG(struct grep_args, ignore_case),
	ARG(struct grep_args, ignore),
	ARG(struct grep_args, limit, .dflt = 1000, .min = 1),
	ARG_END,
};

/* The file that is being searched, and where in it we are. */
struct source {
	int fd; /* while `open` */
	bool open, ended;
	const char *path; /* borrowed from the walk, or the parameters */
	char *bytes;      /* READ_BYTES of it and one, allocated once */
	size_t pos, len;  /* [pos, len) is to be searched */
	uint64_t line;    /* the number of the line at pos */
	bool mid;         /* pos is not where the line begins, */
	bool told;        /* of which a match was told */
};

struct grep {
	struct fs_walk walk;
	struct skipped skipped;
	struct pattern pattern;
	struct source file;
	uint64_t matches;
	bool begun, is_tree, truncated;
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

/* The file */

static int open_file(struct source *f, int dir, const char *name, const char *path, int flags)
{
	char *bytes = f->bytes;

	*f = (struct source){.bytes = bytes, .path = path, .line = 1};
	f->fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	if (f->fd < 0)
		return -errno;
	f->open = true;
	return 0;
}

static void close_file(struct source *f)
{
	if (f->open)
		fd_close(&f->fd);
	f->open = false;
}

/* 0 or -errno.  What would block, as some files of /proc and /sys do, has ended. */
static int refill(struct source *f)
{
	ssize_t n;

	memmove(f->bytes, f->bytes + f->pos, f->len - f->pos);
	f->len -= f->pos;
	f->pos = 0;
	n = read(f->fd, f->bytes + f->len, READ_BYTES - f->len);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (n <= 0)
		f->ended = true;
	else
		f->len += (size_t)n;
	if (memchr(f->bytes, '\0', f->len)) {
		f->ended = true;
		f->len = 0;
	}
	return 0;
}

/* Telling */

/* STEP_MORE, or 0 where there are more than were asked for. */
static int tell(struct grep *g, const struct grep_args *a, const struct work *w, struct step *s,
	const char *text, size_t len, bool part)
{
	size_t room = w->max_result - AROUND, path_len = strlen(g->file.path);
	struct enc e;

	if (g->matches == a->limit) {
		g->truncated = true;
		return 0;
	}
	if (path_len >= room) {
		skipped_add(&g->skipped, g->file.path, ERR_LIMIT);
		return STEP_MORE;
	}
	g->matches++;
	part |= len > room - path_len;
	len = MIN(len, room - path_len);
	step_event_begin(s, &e);
	enc_map_end(&e, enc_map_begin(&e), part ? 5 : 4);
	enc_kv_str(&e, "type", "match");
	enc_kv_text(&e, "path", g->file.path);
	enc_kv_uint(&e, "line", g->file.line);
	enc_kv_bin(&e, "text", text, len);
	if (part)
		enc_kv_bool(&e, "truncated", true);
	step_event_end(s, &e);
	return STEP_MORE;
}

/* Searching */

static uint64_t count_lines(const char *p, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n';
	return n;
}

/* The whole lines in LEN bytes from pos on, without the last newline, up to the first that matches. */
static int search_lines(
	struct grep *g, const struct grep_args *a, const struct work *w, struct step *s, size_t len)
{
	struct source *f = &g->file;
	char *lines = f->bytes + f->pos, *before, *line, *end;
	size_t at;
	int found = pattern_search(&g->pattern, lines, len, &at);

	if (found <= 0) {
		f->line += count_lines(lines, len) + 1;
		f->pos += MIN(len + 1, f->len - f->pos); /* no newline at the end of the file */
		return found < 0 ? found : STEP_MORE;
	}
	before = memrchr(lines, '\n', at);
	line = before ? before + 1 : lines;
	end = memchr(line, '\n', (size_t)(lines + len - line));
	if (!end)
		end = lines + len;
	f->line += count_lines(lines, (size_t)(line - lines));
	/* A match may reach into the next line: is it one of this line? */
	found = pattern_match(&g->pattern, line, (size_t)(end - line), false, false);
	if (found > 0)
		found = tell(g, a, w, s, line, (size_t)(end - line), false);
	else if (!found)
		found = STEP_MORE;
	f->pos = MIN((size_t)(end - f->bytes) + 1, f->len);
	f->line++;
	return found;
}

/* A part of a long line, LEN bytes; LAST: behind it is the newline. */
static int search_part(struct grep *g, const struct grep_args *a, const struct work *w,
	struct step *s, size_t len, bool last)
{
	struct source *f = &g->file;
	char *part = f->bytes + f->pos;
	int found = 0;

	if (!f->told)
		found = pattern_match(&g->pattern, part, len, f->mid, !last);
	if (found > 0) {
		f->told = true;
		found = tell(g, a, w, s, part, len, true);
	} else if (!found) {
		found = STEP_MORE;
	}
	if (last) {
		f->pos = MIN(f->pos + len + 1, f->len);
		f->line++;
		f->mid = f->told = false;
	} else {
		f->pos += len - GREP_OVERLAP;
		f->mid = true;
	}
	return found;
}

/* STEP_MORE, 0 where it is enough, or an error; at its end the file is closed. */
static int search_some(
	struct grep *g, const struct grep_args *a, const struct work *w, struct step *s)
{
	struct source *f = &g->file;
	size_t left = f->len - f->pos, window = MIN(left, GREP_PIECE);
	const char *p = f->bytes + f->pos;
	const char *newline = f->mid ? memchr(p, '\n', window) : memrchr(p, '\n', window);
	int err;

	if (newline && f->mid)
		return search_part(g, a, w, s, (size_t)(newline - p), true);
	if (newline)
		return search_lines(g, a, w, s, (size_t)(newline - p));
	if (left > GREP_PIECE)
		return search_part(g, a, w, s, GREP_PIECE, false);
	if (!f->ended) {
		err = refill(f);
		if (!err)
			return STEP_MORE;
		skipped_add(&g->skipped, f->path, err);
		left = 0;
	}
	if (!left) {
		close_file(f);
		return STEP_MORE;
	}
	if (f->mid)
		return search_part(g, a, w, s, left, true);
	return search_lines(g, a, w, s, left);
}

/* The walk */

/* STEP_MORE, 0 at the end, or an error. */
static int next_file(struct grep *g, const struct grep_args *a, struct work *w)
{
	struct fs_walk_item item;
	int err = g->is_tree ? fs_walk_next(&g->walk, &item) : 0;

	if (err <= 0)
		return err;
	if (item.what == FS_WALK_FAILED && item.depth == 0)
		return work_fail(w, item.err, a->path, "cannot search %s", a->path);
	if (item.what == FS_WALK_FAILED)
		skipped_add(&g->skipped, item.path, item.err);
	if (item.what != FS_WALK_ENTRY)
		return STEP_MORE;
	if (glob_ignored(&a->ignore, item.below, item.type == DT_DIR)) {
		fs_walk_skip(&g->walk);
		return STEP_MORE;
	}
	if (item.type != DT_REG)
		return STEP_MORE;
	err = open_file(&g->file, item.dir, item.name, item.path, O_NOFOLLOW);
	if (err && err != -ENOENT)
		skipped_add(&g->skipped, item.path, err);
	return STEP_MORE;
}

/* A tree, or the path itself. */
static int open_root(struct grep *g, const struct grep_args *a, struct work *w)
{
	struct stat st;
	struct path p;
	int err = path_open(a->path, &p);

	if (!err && fstatat(p.dir, p.name, &st, 0) < 0)
		err = -errno;
	if (!err && S_ISREG(st.st_mode))
		err = open_file(&g->file, p.dir, p.name, a->path, 0);
	else if (!err && !S_ISDIR(st.st_mode))
		err = failure_set(&w->failure, -EINVAL, NULL, a->path,
			"%.200s is neither a regular file nor a directory", a->path);
	path_close(&p);
	if (!err && S_ISDIR(st.st_mode)) {
		g->is_tree = true;
		err = fs_walk_start(&g->walk, a->path, FS_WALK_FOLLOW_ROOT, canceled, w);
	}
	if (err && err != w->failure.err)
		work_fail(w, err, a->path, "cannot search %s", a->path);
	return err;
}

static int begin(struct grep *g, const struct grep_args *a, struct work *w)
{
	char why[200];
	int err = glob_check(&a->ignore, "ignore", &w->failure);

	if (err)
		return err;
	g->begun = true;
	skipped_begin(&g->skipped, w);
	g->file.bytes = malloc(READ_BYTES + 1);
	if (!g->file.bytes)
		return -ENOMEM;
	err = pattern_init(&g->pattern, a->pattern, a->ignore_case, why, sizeof(why));
	if (err)
		return failure_set(&w->failure, err, NULL, NULL, "%s", why);
	return open_root(g, a, w);
}

static int end(struct grep *g, struct work *w)
{
	size_t mark = enc_map_begin(&w->result);

	enc_kv_uint(&w->result, "matches", g->matches);
	enc_kv_bool(&w->result, "truncated", g->truncated);
	enc_map_end(&w->result, mark, 2 + skipped_encode(&g->skipped, &w->result));
	return 0;
}

static int grep_step(struct work *w, struct step *s)
{
	const struct grep_args *a = w->args;
	struct grep *g = w->state;
	int err = g->begun ? 0 : begin(g, a, w);

	if (err)
		return err;
	do {
		err = g->file.open ? search_some(g, a, w, s) : next_file(g, a, w);
	} while (err == STEP_MORE && !step_due(s));
	return err ? err : end(g, w);
}

static void grep_end(struct work *w)
{
	struct grep *g = w->state;

	close_file(&g->file);
	free(g->file.bytes);
	pattern_fini(&g->pattern);
	fs_walk_fini(&g->walk);
	skipped_fini(&g->skipped);
}

static const struct steps grep_steps = {
	.state_size = sizeof(struct grep),
	.step = grep_step,
	.end = grep_end,
};

METHOD(fs_grep) = {
	.name = "fs.grep",
	.doc = "Finds the lines that match an extended regular expression, in a file or all below a directory.",
	.args = grep_table,
	.args_size = sizeof(struct grep_args),
	.steps = &grep_steps,
	.streams = true,
	WHO(struct grep_args),
};
