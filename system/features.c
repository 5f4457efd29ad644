/* system/features.c - what a client may count on, beyond what every agent of this protocol has */
#include "system/features.h"

#include <string.h>

#include "guestd/method.h"

/* Each with the method without which there is none of it: an image's policy may switch that off. */
static const struct {
	const char *name, *method;
} features[] = {
	{"attach", "proc.attach"},
	{"credit", "hello"},
	{"dial", "net.dial"},
	{"env", "env.set"},
	{"events", "system.events"},
	{"exec", "proc.exec"},
	{"metrics", "system.metrics"},
	{"ports", "net.watch"},
	{"pty", "pty.resize"},
};

void features_encode(struct enc *e)
{
	size_t mark, n = 0;

	enc_str(e, "features");
	mark = enc_array_begin(e);
	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		const struct method *m =
			method_find(features[i].method, strlen(features[i].method));

		if (!m || method_disabled(m))
			continue;
		enc_str(e, features[i].name);
		n++;
	}
	enc_array_end(e, mark, n);
}
