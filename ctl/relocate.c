/* ctl/relocate.c - FROM... TO, as cp, mv and ln have it */
#include "ctl/relocate.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"

static int one(struct ctl *ctl, const struct relocate *r, const char *from, const char *to)
{
	struct params p = r->more;
	const struct val *result;
	char *path = r->exact ? xstrdup(to) : NULL;
	int status = path ? 0 : remote_target(ctl, r->user, from, to, &path);

	params_text(&p, r->from_key, from);
	params_text(&p, r->to_key, path);
	params_text(&p, "user", r->user);
	if (!status)
		status = ask(ctl, r->method, &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	if (!status)
		status = report_skipped(ctl, result);
	free(path);
	return status;
}

int relocate(struct ctl *ctl, int argc, char **argv, const struct relocate *r)
{
	char *to = argv[argc - 1], *inside;
	int status = 0;

	if (argc - optind < 2)
		return ctl_usage(ctl, "two paths at least");
	if (argc - optind == 2)
		return one(ctl, r, argv[optind], to);
	if (r->exact)
		return ctl_usage(ctl, "with -T two paths");
	inside = path_join(to, ""); /* several have to go into a directory */
	for (int i = optind; i < argc - 1 && !status_final(status); i++)
		status = status_worse(one(ctl, r, argv[i], inside), status);
	free(inside);
	return status;
}
