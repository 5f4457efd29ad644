/*
 * tests/fuzz/fuzz_config.c - guestd/words: any kernel command line and any file is cut up within its
 * bounds, and a command line into the words that the kernel finds
 *
 * The input is one and the other, and each of its words each of the values that have parts.
 */
#include "guestd/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* What is handed out lies in the block that was given, with an end. */
struct block {
	char *text;
	size_t len; /* without the end */
};

static struct block block_of(const void *bytes, size_t len)
{
	struct block b = {malloc(len + 1), len};

	ASSERT(b.text);
	if (len)
		memcpy(b.text, bytes, len);
	b.text[len] = '\0';
	return b;
}

static void check_inside(const struct block *b, const char *s)
{
	ASSERT(s >= b->text && s <= b->text + b->len && strlen(s) <= b->len);
}

static void values(const char *text)
{
	struct block b = block_of(text, strlen(text));
	const char *path, *value, *why = NULL;
	struct words_mount m;
	struct words_net n;

	if (words_mount(b.text, &m, &why) == 0) {
		check_inside(&b, m.source);
		check_inside(&b, m.fstype);
		ASSERT(*m.source && *m.target == '/' && *m.fstype && !strchr(m.fstype, ':'));
		ASSERT(strlen(m.options) <= b.len);
	}
	free(b.text);
	b = block_of(text, strlen(text));
	if (words_net(b.text, &n, &why) == 0) {
		ASSERT(*n.interface && n.n_dns <= WORDS_DNS_MAX);
		ASSERT(n.mtu == 0 || (n.mtu >= 68 && n.mtu <= 65535));
		for (size_t i = 0; i < n.n_dns; i++)
			check_inside(&b, n.dns[i]);
	}
	free(b.text);
	b = block_of(text, strlen(text));
	if (words_sysctl(b.text, &path, &value, &why) == 0) {
		check_inside(&b, path);
		check_inside(&b, value);
		ASSERT(*path != '/' && !strstr(path, "/../") && strncmp(path, "../", 3) != 0);
	}
	free(b.text);
}

/*
 * The same rule in other words: one state for each character, and what is left out is marked first.
 * Writes the name and, behind a newline, the value.  What is behind the word, or NULL.
 */
static const char *reference(const char *s, char *out)
{
	size_t len = 0, from = 0, equals = 0;
	bool inside = false, has_value;

	while (*s && strchr(" \t\n\v\f\r", *s))
		s++;
	if (!*s)
		return NULL;
	if (*s == '"')
		inside = true, from = 1;
	for (len = from; s[len] && (inside || !strchr(" \t\n\v\f\r", s[len])); len++) {
		if (s[len] == '=' && equals == 0 && len > from)
			equals = len;
		inside ^= s[len] == '"';
	}
	has_value = equals != 0;
	for (size_t i = from; i < len; i++) {
		bool opens = has_value && i == equals + 1 && s[i] == '"';
		bool ends = i == len - 1 && s[i] == '"' &&
			    (from == 1 || (has_value && s[equals + 1] == '"'));

		if (has_value && i == equals)
			*out++ = '\n';
		else if (!opens && !ends)
			*out++ = s[i];
	}
	*out = '\0';
	return s + len;
}

static void command_line(const uint8_t *bytes, size_t len)
{
	struct block b = block_of(bytes, len), ours = block_of(bytes, len),
		     word = block_of(bytes, len);
	char *rest = b.text, *name, *value;
	const char *left = ours.text;

	while (words_next(&rest, &name, &value)) {
		size_t n = strlen(name);

		left = reference(left, word.text);
		ASSERT(left);
		check_inside(&b, name);
		check_inside(&b, rest);
		ASSERT(memcmp(word.text, name, n) == 0);
		ASSERT(value ? word.text[n] == '\n' && strcmp(word.text + n + 1, value) == 0
			     : !word.text[n]);
		if (value) {
			check_inside(&b, value);
			values(value);
		}
	}
	ASSERT(!reference(left, word.text));
	free(b.text);
	free(ours.text);
	free(word.text);
}

static void file(const uint8_t *bytes, size_t len)
{
	struct block b = block_of(bytes, len);
	char *rest = b.text, *line;

	while ((line = strsep(&rest, "\n"))) {
		char *key = NULL, *value = NULL;
		int found = words_line(line, &key, &value);

		ASSERT(found == 0 || found == 1 || found == -EINVAL);
		if (found)
			check_inside(&b, key);
		if (found == 1) {
			check_inside(&b, value);
			ASSERT(!strchr(key, '='));
			values(value);
		}
	}
	free(b.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	/* Far more than the kernel hands over. */
	if (len > 8192)
		return 0;
	command_line(bytes, len);
	file(bytes, len);
	return 0;
}
