/* net/address.c - addresses of hosts, as text and as the kernel wants them */
#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

#include "base/fd.h"

static const struct address loopback4 = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
static const struct address loopback6 = {.family = AF_INET6, .bytes = {[15] = 1}};

static bool is_any(const struct address *a)
{
	static const uint8_t zeros[16];

	return memcmp(a->bytes, zeros, sizeof(zeros)) == 0;
}

static bool is_link_local(const struct address *a)
{
	return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* ::ffff:1.2.3.4 is 1.2.3.4; an address of nothing is this host. */
static struct address canonical(struct address a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (a.family == AF_INET6 && memcmp(a.bytes, mapped, sizeof(mapped)) == 0) {
		struct address v4 = {.family = AF_INET};

		memcpy(v4.bytes, a.bytes + 12, 4);
		a = v4;
	}
	if (is_any(&a))
		return a.family == AF_INET ? loopback4 : loopback6;
	if (!is_link_local(&a))
		a.scope = 0;
	return a;
}

static bool is_localhost(const char *host)
{
	static const char suffix[] = ".localhost";
	size_t len = strlen(host);

	if (len && host[len - 1] == '.')
		len--; /* as DNS has it */
	if (len == 9 && strncasecmp(host, "localhost", 9) == 0)
		return true;
	return len > sizeof(suffix) - 1 &&
	       strncasecmp(host + len - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) == 0;
}

/* Of its name or number; 0: none is called so. */
static uint32_t interface_number(const char *name)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	if (strlen(name) < sizeof(ifr.ifr_name) && fd >= 0) {
		memcpy(ifr.ifr_name, name, strlen(name));
		if (ioctl(fd, SIOCGIFINDEX, &ifr) == 0)
			return (uint32_t)ifr.ifr_ifindex;
	}
	return (uint32_t)strtoul(name, NULL, 10);
}

static bool parse_one(const char *host, struct address *out)
{
	char text[INET6_ADDRSTRLEN];
	const char *percent = strchr(host, '%');
	size_t len = percent ? (size_t)(percent - host) : strlen(host);

	*out = (struct address){.family = AF_INET};
	if (inet_pton(AF_INET, host, out->bytes) == 1)
		return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	*out = (struct address){.family = AF_INET6};
	if (inet_pton(AF_INET6, text, out->bytes) != 1)
		return false;
	if (!percent)
		return true;
	out->scope = interface_number(percent + 1);
	return out->scope != 0;
}

size_t address_parse(const char *host, struct address out[MAX_ADDRESSES], struct failure *f)
{
	BUILD_ASSERT(MAX_ADDRESSES == 2);
	if (!host || is_localhost(host)) {
		out[0] = loopback4;
		out[1] = loopback6;
		return 2;
	}
	if (!parse_one(host, &out[0])) {
		failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"host is an IP address or localhost, not %.80s: names are not looked up",
			host);
		return 0;
	}
	out[0] = canonical(out[0]);
	return 1;
}

static struct address raw(const struct listening *l)
{
	struct address a = {.family = l->family, .scope = l->device};

	memcpy(a.bytes, l->addr, sizeof(a.bytes));
	return a;
}

struct address address_of(const struct listening *l)
{
	return canonical(raw(l));
}

bool address_is_loopback(const struct address *a)
{
	return a->family == AF_INET ? a->bytes[0] == 127 : address_equal(a, &loopback6);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool address_reaches(const struct address *a, const struct listening *l)
{
	const struct address exact = raw(l), here = canonical(exact);

	if (is_any(&exact))
		return l->family == AF_INET6 || a->family == AF_INET;
	return address_equal(a, &here);
}

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	size_t len;

	if (!inet_ntop(a->family, a->bytes, out, INET6_ADDRSTRLEN))
		snprintf(out, ADDRESS_TEXT_MAX, "?");
	len = strlen(out);
	if (a->scope && is_link_local(a))
		snprintf(out + len, ADDRESS_TEXT_MAX - len, "%%%u", a->scope);
}

void listening_text(const struct listening *l, char out[ADDRESS_TEXT_MAX])
{
	const struct address a = raw(l);

	address_text(&a, out);
}

socklen_t address_sockaddr(const struct address *a, uint16_t port, union sockaddr_any *out)
{
	memset(out, 0, sizeof(*out));
	if (a->family == AF_INET) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(port);
		memcpy(&out->in.sin_addr, a->bytes, 4);
		return sizeof(out->in);
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(port);
	out->in6.sin6_scope_id = a->scope;
	memcpy(&out->in6.sin6_addr, a->bytes, 16);
	return sizeof(out->in6);
}
