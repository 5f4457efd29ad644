/* tar/blocks.c - a stream that is compressed in blocks, by all processors */
#include "tar/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct block {
	struct task task;
	struct block *next; /* of the spare ones */
	struct blocks *of;
	void *state; /* of the codec */
	size_t before, len;
	size_t taken;
	ssize_t out_len; /* or -errno */
	uint32_t check;
	char *out;
	char in[]; /* behind the codec's overlap */
};

/* Of all calls. */
static atomic_size_t total;

static size_t block_memory(const struct codec *c, int level)
{
	return sizeof(struct block) + c->overlap + c->block + c->out_max + c->memory(level);
}

static void block_free(struct block *block)
{
	if (!block)
		return;
	if (block->state)
		block->of->codec->destroy(block->state);
	free(block->out);
	free(block);
}

static void compress_block(struct task *task)
{
	struct block *block = CONTAINER_OF(task, struct block, task);
	const struct codec *c = block->of->codec;

	block->out_len = c->compress(block->state, block->in + c->overlap, block->before,
		block->len, block->out, &block->check, &block->of->team);
}

/* One more, if there is the memory for it. */
static struct block *block_new(struct blocks *b, size_t max_total)
{
	const struct codec *c = b->codec;
	size_t memory = block_memory(c, b->level), before = atomic_fetch_add(&total, memory);
	struct block *block = NULL;

	if (before + memory <= max_total)
		block = calloc(1, sizeof(*block) + c->overlap + c->block);
	if (!block) {
		atomic_fetch_sub(&total, memory);
		return NULL;
	}
	block->of = b;
	block->task.work = compress_block;
	block->out = malloc(c->out_max);
	block->state = c->create(b->level);
	if (!block->out || !block->state) {
		block_free(block);
		atomic_fetch_sub(&total, memory);
		return NULL;
	}
	b->charged += memory;
	b->n_blocks++;
	return block;
}

int blocks_begin(struct blocks *b, const struct codec *codec, int level,
	bool (*canceled)(const void *ctx), const void *ctx, struct failure *f)
{
	b->codec = codec;
	b->level = level ? level : codec->level_default;
	b->begun = true;
	team_begin(&b->team, canceled, ctx);
	b->max_blocks = b->team.width;
	if (codec->head)
		b->edge_len = codec->head(b->edge);
	b->spare = block_new(b, 2 * TAR_MEMORY_TOTAL);
	if (b->spare)
		return 0;
	return failure_set(f, ERR_LIMIT, NULL, NULL,
		"too many archives are being compressed at once: there are %lu MiB for all of them",
		2 * TAR_MEMORY_TOTAL >> 20);
}

static void put_spare(struct blocks *b, struct block *block)
{
	block->next = b->spare;
	b->spare = block;
}

/* A block to be filled, with what it may refer to in front of it; or none now. */
static struct block *next_block(struct blocks *b)
{
	size_t overlap = b->last ? MIN(b->codec->overlap, b->last->len) : 0;
	char *begin = NULL;
	struct block *block;

	if (!b->spare && b->n_blocks < b->max_blocks) {
		b->spare = block_new(b, TAR_MEMORY_TOTAL);
		if (!b->spare)
			b->max_blocks = b->n_blocks; /* what does not come now is not waited for */
	}
	block = b->spare;
	if (!block)
		return NULL;
	b->spare = block->next;
	begin = block->in + b->codec->overlap;
	/* The last one may be this one. */
	if (overlap)
		memmove(begin - overlap, b->last->in + b->codec->overlap + b->last->len - overlap,
			overlap);
	block->before = overlap;
	block->len = 0;
	return block;
}

char *blocks_room(struct blocks *b, size_t *len)
{
	struct block *block = b->filling;

	if (!block)
		block = b->filling = next_block(b);
	if (!block)
		return NULL;
	*len = b->codec->block - block->len;
	return block->in + b->codec->overlap + block->len;
}

/* The block that was filled goes on its way. */
static void give(struct blocks *b)
{
	struct block *block = b->last = b->filling;

	b->filling = NULL;
	block->taken = 0;
	team_give(&b->team, &block->task, b->n_blocks > 1);
}

void blocks_add(struct blocks *b, size_t len)
{
	b->filling->len += len;
	if (b->filling->len == b->codec->block)
		give(b);
}

void blocks_end(struct blocks *b)
{
	if (b->filling && b->filling->len)
		give(b);
	else if (b->filling)
		put_spare(b, b->filling);
	b->filling = NULL;
	b->ended = true;
}

/* The oldest, if it is done. */
static struct block *ready(struct blocks *b)
{
	struct task *task = team_ready(&b->team);

	return task ? CONTAINER_OF(task, struct block, task) : NULL;
}

/* All of it was taken. */
static void retire(struct blocks *b, struct block *block)
{
	if (b->codec->combine)
		b->check = b->codec->combine(b->check, block->check, block->len);
	b->len += block->len;
	team_take(&b->team);
	put_spare(b, block);
}

static size_t take_edge(struct blocks *b, char *out, size_t size)
{
	size_t n = MIN(size, b->edge_len - b->edge_pos);

	memcpy(out, b->edge + b->edge_pos, n);
	b->edge_pos += n;
	return n;
}

static void make_tail(struct blocks *b)
{
	b->tailed = true;
	b->edge_pos = b->edge_len = 0;
	if (b->codec->tail)
		b->edge_len = b->codec->tail(b->edge, b->check, b->len);
}

ssize_t blocks_take(struct blocks *b, char *out, size_t size)
{
	size_t n = take_edge(b, out, size);
	struct block *block;

	while (n < size && (block = ready(b))) {
		size_t some;

		if (block->out_len < 0)
			return block->out_len;
		some = MIN(size - n, (size_t)block->out_len - block->taken);
		memcpy(out + n, block->out + block->taken, some);
		block->taken += some;
		n += some;
		if (block->taken == (size_t)block->out_len)
			retire(b, block);
	}
	if (b->ended && !b->team.n && !b->tailed) {
		make_tail(b);
		n += take_edge(b, out + n, size - n);
	}
	return (ssize_t)n;
}

bool blocks_done(const struct blocks *b)
{
	return b->tailed && b->edge_pos == b->edge_len;
}

void blocks_work(struct blocks *b)
{
	team_help(&b->team);
}

void blocks_fini(struct blocks *b)
{
	struct task *task;

	if (!b->begun)
		return;
	team_stop(&b->team);
	while ((task = team_left(&b->team)))
		put_spare(b, CONTAINER_OF(task, struct block, task));
	if (b->filling)
		put_spare(b, b->filling);
	while (b->spare) {
		struct block *next = b->spare->next;

		block_free(b->spare);
		b->spare = next;
	}
	atomic_fetch_sub(&total, b->charged);
	team_fini(&b->team);
	b->begun = false;
}
