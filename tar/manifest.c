/*
 * tar/manifest.c - tar.manifest: all that is in a tree, with the hash of every file, and of all of it
 *
 * One walk, whose files are opened in its order, with the rights of the user; batches of them are read
 * and hashed by whoever is free (tar/team.h), and told in the order of the walk again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/entry.h"
#include "fs/manifest.h"
#include "guestd/method.h"
#include "guestd/sha256.h"
#include "guestd/steps.h"
#include "proto/limits.h"
#include "tar/members.h"
#include "tar/team.h"

/* One read. */
#define READ_BYTES (128u << 10)

/* Of an event, what stands around the entries. */
#define AROUND 64u

/* An event that is this long does not wait for more. */
#define EVENT_BYTES (64u << 10)

struct manifest_args {
	struct who who;
	struct members_args members;
};

static const struct arg manifest_table[] = {
	ARG_INCLUDE(struct manifest_args, who, user_table),
	ARG_INCLUDE(struct manifest_args, members, members_table),
	ARG_END,
};

struct item {
	struct stat st;
	char *member, *path, *target; /* the last NULL where it is no link */
	int fd;                       /* of a file, until it is hashed; else -1 */
	int err;
	uint64_t size;
	char hex[SHA256_HEX];
};

struct batch {
	struct task task;
	struct batch *next; /* of the spare ones */
	struct item item[TAR_BATCH_FILES];
	unsigned n, n_told;
	char bytes[READ_BYTES];
};

struct manifest {
	struct members members;
	struct team team;
	struct sha256 hash;
	struct batch *spare;
	uint64_t files, bytes;
	struct entry entry;
	struct buf told, one; /* entries on their way into an event; the next of them */
	unsigned n_told;
	bool full; /* the event is to be sent: one each step */
	bool begun, walked;
};

/* On any worker */

static void hash_file(struct batch *b, struct item *item)
{
	struct sha256 hash;
	ssize_t n;

	sha256_begin(&hash);
	do {
		n = read(item->fd, b->bytes, sizeof(b->bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0) {
			sha256_add(&hash, b->bytes, (size_t)n);
			item->size += (uint64_t)n;
		}
		if (team_stopped(b->task.team))
			break;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		item->err = -errno;
	sha256_hex(&hash, item->hex);
	fd_close(&item->fd);
}

static void hash_batch(struct task *task)
{
	struct batch *b = CONTAINER_OF(task, struct batch, task);

	for (unsigned i = 0; i < b->n; i++) {
		if (b->item[i].fd >= 0)
			hash_file(b, &b->item[i]);
	}
}

/* On the worker that has the call */

static void empty_batch(struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct item *item = &b->item[i];

		fd_close(&item->fd);
		free(item->member);
		free(item->path);
		free(item->target);
	}
	b->n = b->n_told = 0;
}

static void put_spare(struct manifest *m, struct batch *b)
{
	empty_batch(b);
	b->next = m->spare;
	m->spare = b;
}

static struct batch *get_spare(struct manifest *m)
{
	struct batch *b = m->spare;

	if (b) {
		m->spare = b->next;
	} else {
		b = malloc(sizeof(*b));
		if (b)
			b->n = b->n_told = 0;
	}
	return b;
}

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int begin(struct manifest *m, const struct manifest_args *a, struct work *w)
{
	m->begun = true;
	team_begin(&m->team, canceled, w);
	sha256_begin(&m->hash);
	buf_init(&m->told, w->max_result - AROUND);
	buf_init(&m->one, w->max_result - AROUND);
	return members_begin(&m->members, w, &a->members, NULL, false);
}

/* Opens and notes what was found.  0 or -errno. */
static int note(struct manifest *m, const struct members_item *found, struct item *item)
{
	int err = 0;

	*item = (struct item){.fd = -1};
	if (found->type == DT_REG) {
		item->fd = openat(found->dir, found->name,
			O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
				(found->nofollow ? O_NOFOLLOW : 0));
		if (item->fd < 0 || fstat(item->fd, &item->st) < 0)
			err = -errno;
		else if (!S_ISREG(item->st.st_mode))
			err = -ESTALE;
	} else {
		err = entry_read(found->dir, found->name, !found->nofollow, &m->entry);
		item->st = m->entry.st;
		if (!err && S_ISREG(item->st.st_mode))
			err = -ESTALE;
		if (!err && m->entry.has_target && !(item->target = strdup(m->entry.target)))
			err = -ENOMEM;
	}
	if (err)
		return err;
	item->member = strdup(found->member);
	item->path = strdup(found->path);
	return item->member && item->path ? 0 : -ENOMEM;
}

/* The next entries into B, as many as make a batch.  0 or an error. */
static int fill_batch(struct manifest *m, struct batch *b, struct work *w)
{
	uint64_t bytes = 0;

	while (b->n < TAR_BATCH_FILES && bytes < TAR_BATCH_BYTES) {
		struct members_item found;
		int more = members_next(&m->members, &found);
		struct item *item = &b->item[b->n];
		int err;

		if (more < 0 || more > 1)
			return more;
		if (!more) {
			m->walked = true;
			return 0;
		}
		/* A part left out would change the hash. */
		if (found.err)
			return work_fail(w, found.err, found.path, "cannot read %s", found.path);
		b->n++; /* so that it is emptied with it */
		err = note(m, &found, item);
		if (err == -ENOENT) {
			b->n--;
			if (found.type == DT_DIR)
				members_skip(&m->members);
			continue;
		}
		if (err)
			return work_fail(w, err, found.path, "cannot read %s", found.path);
		if (item->fd >= 0)
			bytes += (uint64_t)item->st.st_size;
	}
	return 0;
}

static void send(struct manifest *m, struct step *s)
{
	struct enc e;

	if (!m->n_told)
		return;
	step_event_begin(s, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_str(&e, "type", "entries");
	enc_str(&e, "entries");
	enc_array(&e, m->n_told);
	if (buf_add(e.buf, buf_bytes(&m->told), buf_len(&m->told)) < 0)
		e.failed = true;
	step_event_end(s, &e);
	buf_consume(&m->told, buf_len(&m->told));
	m->n_told = 0;
	m->full = false;
}

static bool encode(struct manifest *m, const struct item *item)
{
	bool is_file = S_ISREG(item->st.st_mode);
	struct enc e = {.buf = &m->one};
	size_t mark, n = 4;

	buf_consume(&m->one, buf_len(&m->one));
	mark = enc_map_begin(&e);
	enc_kv_text(&e, "path", item->member);
	enc_kv_str(&e, "type", entry_type(item->st.st_mode));
	enc_kv_uint(&e, "size", is_file ? item->size : 0);
	enc_kv_uint(&e, "mode", item->st.st_mode & 07777);
	if (is_file)
		enc_kv_str(&e, "sha256", item->hex);
	if (item->target)
		enc_kv_text(&e, "target", item->target);
	enc_map_end(&e, mark, n + is_file + (item->target != NULL));
	return !e.failed;
}

/* The next entry of the oldest batch, unless it is for the next event.  0 or an error. */
static int tell(struct manifest *m, struct batch *b, struct work *w)
{
	const struct item *item = &b->item[b->n_told];

	if (item->err)
		return work_fail(w, item->err, item->path, "cannot read %s", item->path);
	if (!encode(m, item))
		return failure_set(&w->failure, ERR_LIMIT, NULL, item->path,
			"a path or the target of a link is longer than max_frame");
	if (buf_add(&m->told, buf_bytes(&m->one), buf_len(&m->one)) < 0) {
		m->full = true;
		return 0;
	}
	m->full = buf_len(&m->told) >= EVENT_BYTES;
	m->n_told++;
	b->n_told++;
	manifest_add(&m->hash, &item->st, item->member, item->target, item->size, item->hex);
	m->files += !S_ISDIR(item->st.st_mode);
	m->bytes += item->size;
	return 0;
}

static int tell_batch(struct manifest *m, struct batch *b, struct work *w)
{
	int err = 0;

	while (!err && !m->full && b->n_told < b->n)
		err = tell(m, b, w);
	if (b->n_told == b->n) {
		team_take(&m->team);
		put_spare(m, b);
	}
	return err;
}

/* STEP_MORE, 0 at the end, or an error. */
static int some(struct manifest *m, struct work *w)
{
	struct task *task = team_ready(&m->team);
	struct batch *b;
	int err;

	if (task) {
		err = tell_batch(m, CONTAINER_OF(task, struct batch, task), w);
		return err ? err : STEP_MORE;
	}
	if (m->walked && !m->team.n)
		return 0;
	if (m->walked || m->team.n == m->team.width) {
		team_help(&m->team);
		return STEP_MORE;
	}
	b = get_spare(m);
	if (!b)
		return -ENOMEM;
	err = fill_batch(m, b, w);
	if (err) {
		put_spare(m, b);
		return err;
	}
	b->task.work = hash_batch;
	team_give(&m->team, &b->task, true);
	return STEP_MORE;
}

static int manifest_step(struct work *w, struct step *s)
{
	struct manifest *m = w->state;
	int err = m->begun ? 0 : begin(m, w->args, w);
	char hex[SHA256_HEX];

	if (err)
		return err;
	do {
		err = some(m, w);
	} while (err == STEP_MORE && !m->full && !step_due(s));
	send(m, s);
	if (err)
		return err;
	sha256_hex(&m->hash, hex);
	enc_map_end(&w->result, enc_map_begin(&w->result), 3);
	enc_kv_uint(&w->result, "files", m->files);
	enc_kv_uint(&w->result, "bytes", m->bytes);
	enc_kv_str(&w->result, "sha256", hex);
	return 0;
}

static void manifest_end(struct work *w)
{
	struct manifest *m = w->state;
	struct task *task;

	team_stop(&m->team);
	while ((task = team_left(&m->team)))
		put_spare(m, CONTAINER_OF(task, struct batch, task));
	while (m->spare) {
		struct batch *next = m->spare->next;

		free(m->spare);
		m->spare = next;
	}
	team_fini(&m->team);
	members_fini(&m->members);
	buf_fini(&m->told);
	buf_fini(&m->one);
}

static const struct steps manifest_steps = {
	.state_size = sizeof(struct manifest),
	.step = manifest_step,
	.end = manifest_end,
};

METHOD(tar_manifest) = {
	.name = "tar.manifest",
	.doc = "Tells all that is below one path or several, with the SHA-256 of each file, and one of it all.",
	.args = manifest_table,
	.args_size = sizeof(struct manifest_args),
	.streams = true,
	.steps = &manifest_steps,
	WHO(struct manifest_args),
};
