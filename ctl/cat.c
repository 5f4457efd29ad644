/* ctl/cat.c - guestctl cat: files of the guest on standard output */
#include "ctl/cat.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/text.h"

struct show {
	const struct ctl *ctl;
	bool terminal;
	char cut[4]; /* of a character whose rest is to come */
	size_t n_cut;
};

/* Text for a terminal that the guest must not get hold of. */
static void show_text(struct show *s, const char *bytes, size_t len)
{
	size_t whole;

	/* At most three bytes at a time: the character that was cut is whole with one of them. */
	while (s->n_cut && len) {
		s->cut[s->n_cut++] = *bytes++;
		len--;
		whole = text_whole(s->cut, s->n_cut);
		text_lines(stdout, s->cut, whole);
		s->n_cut -= whole;
		memmove(s->cut, s->cut + whole, s->n_cut);
	}
	whole = text_whole(bytes, len);
	text_lines(stdout, bytes, whole);
	if (len > whole) {
		s->n_cut = len - whole;
		memcpy(s->cut, bytes + whole, s->n_cut);
	}
}

static int take(void *ctx, const struct client_msg *msg)
{
	struct show *s = ctx;

	if (msg->type != MSG_DATA)
		return 0;
	if (!s->ctl->json && !s->terminal)
		return relay_write(STDOUT_FILENO, msg->data, msg->len);
	errno = 0;
	if (s->ctl->json)
		json_write_data(stdout, msg->channel, msg->data, msg->len, true);
	else
		show_text(s, msg->data, msg->len);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

int cat(struct ctl *ctl, const char *path, const char *user)
{
	struct show s = {.ctl = ctl, .terminal = isatty(STDOUT_FILENO)};
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", user);
	status = ask_stream(ctl, "fs.read", &p, take, &s, &result);
	text_lines(stdout, s.cut, s.n_cut);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status;
}

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	return cat(ctl, path, ctx);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	char *user = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "u:", (const struct option[]){{0}}, NULL)) != -1) {
		if (option != 'u')
			return ctl_bad_option(ctl, argv);
		user = optarg;
	}
	return remote_each(ctl, argc - optind, argv + optind, one, user);
}

COMMAND(cat) = {
	.name = "cat",
	.usage = "[-u USER] PATH…",
	.doc = "print files of the guest",
	.options = USER_OPTION,
	.run = run,
};
