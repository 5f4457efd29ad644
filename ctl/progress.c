/* ctl/progress.c - how far a transfer is, on the terminal at standard error */
#include "ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/text.h"

#define DRAW_US 200000

/* What the last second or so counts in the rate, of 1. */
#define FRESH 0.3

void progress_start(
	struct progress *p, const struct ctl *ctl, const char *name, uint64_t total, bool shown)
{
	*p = (struct progress){
		.shown = shown && !ctl->json && isatty(STDERR_FILENO),
		.name = name,
		.total = total,
		.start_us = clock_mono_us(),
	};
	p->drawn_us = p->start_us;
}

void progress_add(struct progress *p, uint64_t bytes)
{
	p->done += bytes;
}

static size_t columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* The name, cut where the numbers, of LEN columns, need the room. */
static void draw_name(const struct progress *p, size_t len)
{
	size_t room = columns(), n = 0, shown = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	text_clean(f, p->name, strlen(p->name));
	fclose(f);
	room = room > len + 1 ? room - len - 1 : 0;
	for (size_t i = 0; text && i < n && shown <= room; i++) {
		shown += (text[i] & 0xc0) != 0x80;
		if (shown <= room)
			putc(text[i], stderr);
	}
	free(text);
}

/* Everything behind the name. */
static void print_numbers(FILE *f, const struct progress *p, bool over)
{
	uint64_t us = clock_mono_us() - p->start_us;
	double rate = over ? (double)p->done * 1e6 / (double)MAX(us, 1) : p->rate;

	if (p->total)
		fprintf(f, "  %3u%%", (unsigned)(MIN(p->done, p->total) * 100 / p->total));
	if (p->files)
		fprintf(f, "  %" PRIu64 " files", p->files);
	fprintf(f, "  ");
	text_size(f, p->done);
	fprintf(f, "  ");
	text_size(f, (uint64_t)rate);
	fprintf(f, "/s  ");
	if (over) {
		fprintf(f, "in ");
		text_duration(f, us / 1000000);
	} else if (p->total > p->done && rate >= 1) {
		fprintf(f, "ETA ");
		text_duration(f, (uint64_t)((double)(p->total - p->done) / rate));
	} else {
		fprintf(f, "ETA -:--");
	}
}

static void draw(struct progress *p, bool over)
{
	char numbers[128] = "";
	FILE *f = fmemopen(numbers, sizeof(numbers), "w");

	if (!f)
		return;
	print_numbers(f, p, over);
	fclose(f);
	fprintf(stderr, "\r\033[K");
	draw_name(p, strlen(numbers));
	fprintf(stderr, "%s%s", numbers, over ? "\n" : "");
	fflush(stderr);
	p->line = !over;
}

void progress_tick(void *ctx)
{
	struct progress *p = ctx;
	uint64_t now = clock_mono_us(), passed = now - p->drawn_us;
	double rate;

	if (!p->shown || passed < DRAW_US)
		return;
	rate = (double)(p->done - p->drawn_done) * 1e6 / (double)passed;
	p->rate = p->drawn_done ? p->rate + FRESH * (rate - p->rate) : rate;
	p->drawn_us = now;
	p->drawn_done = p->done;
	draw(p, false);
}

void progress_clear(struct progress *p)
{
	if (p->line)
		fprintf(stderr, "\r\033[K");
	p->line = false;
}

void progress_end(struct progress *p, bool failed)
{
	if (p->shown && !failed)
		draw(p, true);
	progress_clear(p);
	p->shown = false;
}
