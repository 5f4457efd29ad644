/* ctl/entry.c - an Entry of the agent, for people */
#include "ctl/entry.h"

#include <inttypes.h>
#include <time.h>

#include "ctl/json.h"
#include "ctl/mode.h"
#include "ctl/text.h"

static uint64_t number(const struct val *entry, const char *key)
{
	uint64_t n;

	return val_uint(val_get(entry, key), &n) ? n : 0;
}

static void mode(FILE *f, const struct val *entry)
{
	static const struct {
		const char *type;
		char letter;
	} types[] = {{"file", '-'}, {"dir", 'd'}, {"symlink", 'l'}, {"fifo", 'p'}, {"socket", 's'},
		{"char", 'c'}, {"block", 'b'}};
	char letter = '?', text[11];

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (text_is(val_get(entry, "type"), types[i].type))
			letter = types[i].letter;
	}
	mode_text(letter, (unsigned)number(entry, "mode"), text);
	fputs(text, f);
}

/* "2026-01-01 12:34:56", by our clock's zone. */
static void date(FILE *f, const struct val *entry, const char *key)
{
	int64_t us;
	time_t seconds;
	struct tm tm;
	char text[40];

	if (!val_int(val_get(entry, key), &us))
		return;
	seconds = (time_t)(us / 1000000 - (us % 1000000 < 0));
	if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		fputs(text, f);
}

/* Where the guest knows no name: the number. */
static void owner(FILE *f, const struct val *entry, const char *name, const char *id)
{
	text_val(f, val_get(entry, val_get(entry, name) ? name : id));
}

struct table *entry_table(void)
{
	return table_new(7, "MODE", "LINKS", "USER", "GROUP", "SIZE", "MODIFIED", "NAME");
}

void entry_row(struct table *t, const struct val *entry, const char *name)
{
	FILE *f;

	mode(table_cell(t), entry);
	text_val(table_cell(t), val_get(entry, "nlink"));
	owner(table_cell(t), entry, "user", "uid");
	owner(table_cell(t), entry, "group", "gid");
	text_val(table_cell(t), val_get(entry, "size"));
	date(table_cell(t), entry, "mtime_us");
	f = table_cell(t);
	text_val(f, val_get(entry, name));
	if (val_get(entry, "target")) {
		fputs(" -> ", f);
		text_val(f, val_get(entry, "target"));
	}
}

void entry_print(FILE *f, const struct val *entry)
{
	for (size_t i = 0; val_type(entry) == VAL_MAP && i < val_count(entry); i++) {
		const struct val *key = val_key(entry, i);

		text_val(f, key);
		fputs(": ", f);
		if (text_is(key, "mode")) {
			fprintf(f, "%04" PRIo64 " ", number(entry, "mode"));
			mode(f, entry);
		} else if (text_is(key, "mtime_us")) {
			date(f, entry, "mtime_us");
		} else if (text_is(key, "ctime_us")) {
			date(f, entry, "ctime_us");
		} else {
			text_val(f, val_value(entry, i));
		}
		fputc('\n', f);
	}
}

int entries_each(const struct val *event, int (*one)(void *ctx, const struct val *entry), void *ctx)
{
	const struct val *entries = val_get(event, "entries");
	int err = 0;

	for (size_t i = 0; val_type(entries) == VAL_ARRAY && i < val_count(entries) && !err; i++)
		err = one(ctx, val_at(entries, i));
	return err;
}

void entries_json_add(struct entries_json *j, const struct val *entry)
{
	fputs(j->any ? "," : "{\"entries\":[", stdout);
	json_write(stdout, entry, false);
	j->any = true;
}

void entries_json_end(struct entries_json *j, const struct val *result)
{
	bool truncated = false;

	val_bool(val_get(result, "truncated"), &truncated);
	if (!j->any)
		fputs("{\"entries\":[", stdout);
	printf("],\"truncated\":%s", truncated ? "true" : "false");
	if (val_get(result, "skipped")) {
		fputs(",\"skipped\":", stdout);
		json_write(stdout, val_get(result, "skipped"), false);
	}
	puts("}");
}
