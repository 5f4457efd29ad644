/* vsock/endpoint.c - endpoints as written on a command line */
#include "vsock/endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *text, size_t len, uint32_t *out)
{
	char digits[11];
	unsigned long long v;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)digits[i]))
			return false;
	}
	v = strtoull(digits, NULL, 10);
	if (v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool whole_number(const char *text, uint32_t *out)
{
	return number(text, strlen(text), out);
}

static bool path(struct endpoint *ep, const char *text, size_t len)
{
	if (len == 0 || len >= sizeof(ep->path))
		return false;
	memcpy(ep->path, text, len);
	ep->path[len] = '\0';
	return true;
}

static bool parse_vsock(struct endpoint *ep, const char *rest)
{
	const char *colon = strchr(rest, ':');

	if (!colon)
		return whole_number(rest, &ep->port);
	ep->has_cid = true;
	return number(rest, (size_t)(colon - rest), &ep->cid) && whole_number(colon + 1, &ep->port);
}

static bool parse_uds(struct endpoint *ep, const char *rest)
{
	const char *colon = strrchr(rest, ':'); /* a path may hold colons, a port none */

	return colon && path(ep, rest, (size_t)(colon - rest)) &&
	       whole_number(colon + 1, &ep->port);
}

int endpoint_parse(const char *text, struct endpoint *ep, char *why, size_t why_len)
{
	const char *rest = strchr(text, ':');
	size_t kind = rest ? (size_t)(rest - text) : 0;
	uint32_t n;
	bool ok = false;

	*ep = (struct endpoint){.fd = -1};
	if (rest)
		rest++;
	if (kind == 5 && memcmp(text, "vsock", kind) == 0) {
		ep->kind = ENDPOINT_VSOCK;
		ok = parse_vsock(ep, rest);
	} else if (kind == 4 && memcmp(text, "unix", kind) == 0) {
		ep->kind = ENDPOINT_UNIX;
		ok = path(ep, rest, strlen(rest));
	} else if (kind == 3 && memcmp(text, "uds", kind) == 0) {
		ep->kind = ENDPOINT_UDS;
		ok = parse_uds(ep, rest);
	} else if (kind == 6 && memcmp(text, "serial", kind) == 0) {
		ep->kind = ENDPOINT_SERIAL;
		ok = path(ep, rest, strlen(rest));
	} else if (kind == 2 && memcmp(text, "fd", kind) == 0) {
		ep->kind = ENDPOINT_FD;
		ok = whole_number(rest, &n) && n <= INT32_MAX;
		ep->fd = ok ? (int)n : -1;
	}
	if (ok)
		return 0;
	snprintf(why, why_len,
		"%s is no endpoint: write vsock:PORT, vsock:CID:PORT, unix:PATH (at most %zu bytes), "
		"uds:PATH:PORT, serial:PATH or fd:N",
		text, sizeof(ep->path) - 1);
	return -EINVAL;
}
