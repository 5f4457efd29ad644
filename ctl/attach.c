/* ctl/attach.c - guestctl attach: the output of a process so far, and then as it comes */
#include <getopt.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/follow.h"

enum { OPT_ESCAPE = 256 };

static const struct option options[] = {
	{"escape", required_argument, NULL, OPT_ESCAPE},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct follow *f)
{
	int option;

	while ((option = getopt_long(argc, argv, "+i", options, NULL)) != -1) {
		if (option == 'i')
			f->input = true;
		else if (option != OPT_ESCAPE)
			return ctl_bad_option(ctl, argv);
		else if (!escape_parse(&f->escape, optarg))
			return ctl_usage(ctl, "--escape takes a character, not %s", optarg);
	}
	return target_parse(ctl, argc, argv, true, f->target);
}

static void params(void *ctx, struct enc *e)
{
	enc_map_end(e, enc_map_begin(e), 1);
	target_encode(ctx, e);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct target target;
	struct follow f = {
		.method = "proc.attach",
		.params = params,
		.ctx = &target,
		.target = &target,
		.input = isatty(STDIN_FILENO),
		.leave = true,
		.escape = {.key = '~'}, /* raw, nothing else is a way out that ends nothing */
	};
	int status = parse(ctl, argc, argv, &f);

	return status ? status : follow_run(ctl, &f);
}

COMMAND(attach) = {
	.name = "attach",
	.usage = "[-i] [--escape C] ID",
	.doc = "follow a process and exit as it does",
	.options =
		"  -i            pass standard input on, also when it is no terminal\n" FOLLOW_ESCAPE
		"                where left out: ~\n"
		"  ID            its id; else its pid or label\n",
	.run = run,
};
