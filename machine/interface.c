/*
 * machine/interface.c - what a network interface is to be
 *
 * A clone wakes up with the address, the routes and the neighbours of the guest that it was made
 * of.  So what is given replaces what was there: the address all others of its family on that
 * interface, the gateway the default route; the neighbours are forgotten, and told who is here now.
 */
#include "machine/interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "base/fd.h"
#include "base/log.h"
#include "machine/resolv.h"
#include "machine/rtnl.h"

/* Kept of one dump, to be removed afterwards: a table that is longer is dumped again, so often. */
#define MAX_FOUND  64
#define MAX_ROUNDS 64

struct address {
	int family; /* AF_INET, AF_INET6; 0: none */
	unsigned char bytes[16];
	size_t len;
	unsigned prefix;
};

static bool parse_address(const char *text, size_t len, struct address *a)
{
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*a = (struct address){.family = strchr(copy, ':') ? AF_INET6 : AF_INET};
	a->len = a->family == AF_INET6 ? 16 : 4;
	a->prefix = (unsigned)(8 * a->len);
	return inet_pton(a->family, copy, a->bytes) == 1;
}

static bool parse_cidr(const char *text, struct address *a)
{
	size_t len = strcspn(text, "/");
	char *end;
	unsigned long prefix;

	if (!parse_address(text, len, a))
		return false;
	if (!text[len])
		return true;
	prefix = strtoul(text + len + 1, &end, 10);
	if (end == text + len + 1 || *end || prefix > 8 * a->len)
		return false;
	a->prefix = (unsigned)prefix;
	return true;
}

/* What a dump finds on an interface. */
struct found {
	int index;
	const struct address *keep;
	size_t n;
	struct {
		unsigned char family, prefix;
		unsigned char bytes[16];
		size_t len;
	} at[MAX_FOUND];
};

static void note(
	struct found *f, unsigned char family, unsigned char prefix, const void *bytes, size_t len)
{
	if (!bytes || len > sizeof(f->at[0].bytes) || f->n == MAX_FOUND)
		return;
	f->at[f->n].family = family;
	f->at[f->n].prefix = prefix;
	f->at[f->n].len = len;
	memcpy(f->at[f->n++].bytes, bytes, len);
}

static void on_address(const struct nlmsghdr *m, void *ctx)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(m);
	struct found *f = ctx;
	const void *bytes;
	size_t len = 0;

	if (m->nlmsg_type != RTM_NEWADDR || (int)ifa->ifa_index != f->index ||
		ifa->ifa_family != f->keep->family || ifa->ifa_scope != RT_SCOPE_UNIVERSE)
		return;
	bytes = rtnl_find(m, sizeof(*ifa), IFA_LOCAL, &len);
	if (!bytes)
		bytes = rtnl_find(m, sizeof(*ifa), IFA_ADDRESS, &len);
	if (bytes && len == f->keep->len && memcmp(bytes, f->keep->bytes, len) == 0 &&
		ifa->ifa_prefixlen == f->keep->prefix)
		return;
	note(f, ifa->ifa_family, ifa->ifa_prefixlen, bytes, len);
}

static void on_neighbour(const struct nlmsghdr *m, void *ctx)
{
	const struct ndmsg *nd = NLMSG_DATA(m);
	struct found *f = ctx;
	const void *bytes;
	size_t len = 0;

	if (m->nlmsg_type != RTM_NEWNEIGH || nd->ndm_ifindex != f->index ||
		nd->ndm_state & (NUD_PERMANENT | NUD_NOARP))
		return;
	bytes = rtnl_find(m, sizeof(*nd), NDA_DST, &len);
	note(f, nd->ndm_family, 0, bytes, len);
}

static int change_address(int fd, int index, uint16_t type, uint16_t flags, const struct address *a)
{
	struct ifaddrmsg ifa = {.ifa_family = (unsigned char)a->family,
		.ifa_prefixlen = (unsigned char)a->prefix,
		.ifa_index = (unsigned)index};
	struct rtnl_request r;

	/* No wait for duplicates: nobody else has the address of a guest. */
	if (a->family == AF_INET6)
		ifa.ifa_flags = IFA_F_NODAD;
	rtnl_begin(&r, type, flags, &ifa, sizeof(ifa));
	rtnl_add(&r, IFA_LOCAL, a->bytes, a->len);
	rtnl_add(&r, IFA_ADDRESS, a->bytes, a->len);
	return rtnl_do(fd, &r);
}

static int delete_address(int fd, const struct found *f, size_t i)
{
	struct address old = {
		.family = f->at[i].family, .len = f->at[i].len, .prefix = f->at[i].prefix};
	int err;

	memcpy(old.bytes, f->at[i].bytes, old.len);
	err = change_address(fd, f->index, RTM_DELADDR, 0, &old);
	return err == -EADDRNOTAVAIL ? 0 : err; /* it went with its primary one */
}

static int delete_neighbour(int fd, const struct found *f, size_t i)
{
	struct ndmsg nd = {.ndm_family = f->at[i].family, .ndm_ifindex = f->index};
	struct rtnl_request r;
	int err;

	rtnl_begin(&r, RTM_DELNEIGH, 0, &nd, sizeof(nd));
	rtnl_add(&r, NDA_DST, f->at[i].bytes, f->at[i].len);
	err = rtnl_do(fd, &r);
	return err == -ENOENT ? 0 : err;
}

/* Deletes all that the dump R finds. */
static int delete_found(int fd, const struct rtnl_request *r, struct found *f,
	void (*on_found)(const struct nlmsghdr *m, void *ctx),
	int (*delete)(int fd, const struct found *f, size_t i))
{
	int err = 0;

	for (unsigned round = 0; round < MAX_ROUNDS && !err; round++) {
		struct rtnl_request dump = *r;

		f->n = 0;
		err = rtnl_dump(fd, &dump, on_found, f);
		for (size_t i = 0; i < f->n && !err; i++)
			err = delete (fd, f, i);
		if (f->n < MAX_FOUND)
			break;
	}
	return err;
}

static int set_address(int fd, int index, const struct address *a)
{
	struct found f = {.index = index, .keep = a};
	struct ifaddrmsg ifa = {.ifa_family = (unsigned char)a->family};
	struct rtnl_request r;
	int err = change_address(fd, index, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, a);

	if (err)
		return err;
	rtnl_begin(&r, RTM_GETADDR, 0, &ifa, sizeof(ifa));
	err = delete_found(fd, &r, &f, on_address, delete_address);
	/* It goes with the first one of its net, if that was another (promote_secondaries, ip-sysctl). */
	return err ? err : change_address(fd, index, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, a);
}

static int set_link(int fd, int index, const struct interface *a)
{
	struct ifinfomsg info = {
		.ifi_index = index, .ifi_flags = a->up ? IFF_UP : 0, .ifi_change = IFF_UP};
	struct rtnl_request r;

	rtnl_begin(&r, RTM_NEWLINK, 0, &info, sizeof(info));
	if (a->mtu)
		rtnl_add_u32(&r, IFLA_MTU, (uint32_t)a->mtu);
	return rtnl_do(fd, &r);
}

static int set_gateway(int fd, int index, const struct address *gateway)
{
	struct rtmsg route = {.rtm_family = (unsigned char)gateway->family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST};
	struct rtnl_request r;

	rtnl_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof(route));
	rtnl_add(&r, RTA_GATEWAY, gateway->bytes, gateway->len);
	rtnl_add_u32(&r, RTA_OIF, (uint32_t)index);
	return rtnl_do(fd, &r);
}

static int flush_neighbours(int fd, int index)
{
	struct found f = {.index = index};
	struct ndmsg nd = {.ndm_family = AF_UNSPEC, .ndm_ifindex = index};
	struct rtnl_request r;

	rtnl_begin(&r, RTM_GETNEIGH, 0, &nd, sizeof(nd));
	return delete_found(fd, &r, &f, on_neighbour, delete_neighbour);
}

/* Best done where it can be: an interface may know neither. */
static void want_notices(const char *interface)
{
	static const char *const path[] = {
		"/proc/sys/net/ipv4/conf/%s/arp_notify", "/proc/sys/net/ipv6/conf/%s/ndisc_notify"};
	char name[sizeof("/proc/sys/net/ipv6/conf//ndisc_notify") + IFNAMSIZ];

	for (size_t i = 0; i < ARRAY_LEN(path); i++) {
		cleanup_fd int fd = -1;

		/* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): the two above */
		snprintf(name, sizeof(name), path[i], interface);
		fd = open(name, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && fd_write_all(fd, "1", 1) < 0)
			log_debug("network", "cannot write %s", name);
	}
}

/*
 * Who talked to the machine that this one was made of has its hardware address in mind.  A link address
 * that is set, be it the same, makes the kernel tell all neighbours of each address (arp_notify,
 * ndisc_notify: ip-sysctl), both families at once.
 */
static void announce(int fd, int index, const char *interface)
{
	struct ifinfomsg info = {.ifi_index = index};
	struct rtnl_request r;
	struct ifreq link = {0};
	cleanup_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(link.ifr_name, sizeof(link.ifr_name), "%s", interface);
	if (sock < 0 || ioctl(sock, SIOCGIFHWADDR, &link) < 0 ||
		link.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return;
	want_notices(interface);
	rtnl_begin(&r, RTM_NEWLINK, 0, &info, sizeof(info));
	rtnl_add(&r, IFLA_ADDRESS, link.ifr_hwaddr.sa_data, ETH_ALEN);
	if (rtnl_do(fd, &r))
		log_debug("network", "the neighbours of %s are not told of it", interface);
}

static int check_dns(const struct strs *dns, struct failure *f)
{
	struct address a;

	if (dns->n > RESOLV_MAX)
		return failure_set(
			f, ERR_BAD_PARAMS, NULL, NULL, "dns has more than %d servers", RESOLV_MAX);
	for (size_t i = 0; i < dns->n; i++) {
		if (!parse_address(dns->at[i], strlen(dns->at[i]), &a))
			return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
				"dns: %.60s is no address", dns->at[i]);
	}
	return 0;
}

static int fail(struct failure *f, int err, const char *stage, const char *interface)
{
	return failure_set(f, err, stage, NULL, "cannot set the %s of %s: %s", stage, interface,
		strerror(-err));
}

int interface_set(const struct interface *a, struct failure *f)
{
	struct address address = {0}, gateway = {0};
	cleanup_fd int fd = -1;
	int index, err;

	if (a->address && !parse_cidr(a->address, &address))
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"address: %.60s is none, such as 10.0.0.2/24", a->address);
	if (a->gateway && !parse_address(a->gateway, strlen(a->gateway), &gateway))
		return failure_set(
			f, ERR_BAD_PARAMS, NULL, NULL, "gateway: %.60s is no address", a->gateway);
	err = check_dns(&a->dns, f);
	if (err)
		return err;
	index = (int)if_nametoindex(a->name);
	if (!index)
		return failure_set(
			f, -ENODEV, "interface", NULL, "there is no interface %.60s", a->name);
	fd = rtnl_open();
	if (fd < 0)
		return failure_set(
			f, fd, NULL, NULL, "cannot ask the kernel's routing: %s", strerror(-fd));
	err = set_link(fd, index, a);
	if (err)
		return fail(f, err, "link", a->name);
	err = address.family ? set_address(fd, index, &address) : 0;
	if (err)
		return fail(f, err, "address", a->name);
	err = gateway.family ? set_gateway(fd, index, &gateway) : 0;
	if (err)
		return fail(f, err, "gateway", a->name);
	err = flush_neighbours(fd, index);
	if (err)
		return fail(f, err, "neighbours", a->name);
	if (a->up)
		announce(fd, index, a->name);
	err = a->dns.at ? resolv_write(&a->dns) : 0;
	return err ? failure_set(f, err, NULL, RESOLV_CONF, "cannot write %s: %s", RESOLV_CONF,
			     strerror(-err))
		   : 0;
}
