/* init/setup.c - mounts and networks that the configuration asks for */
#include "init/setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/words.h"
#include "init/attach.h"
#include "init/ip.h"
#include "machine/interface.h"
#include "machine/mounting.h"
#include "machine/resolv.h"

/* Of what may be asked for all is written. */
BUILD_ASSERT(WORDS_DNS_MAX == RESOLV_MAX);

/* A driver finds its device when it is loaded; one that is plugged in meanwhile takes a moment. */
#define INTERFACE_WAIT_MS 1000
#define INTERFACE_LOOK_MS 10

static struct {
	char *text[RESOLV_MAX];
	size_t n;
} dns;

static void mount_one(char *text)
{
	struct words_mount m;
	struct attach a;
	const char *why;
	int err;

	if (words_mount(text, &m, &why)) /* the configuration has looked at it */
		return;
	err = mounting_target(m.target);
	if (err) {
		log_error("init", "cannot make the directory %s: %s", m.target, strerror(-err));
		return;
	}
	a = (struct attach){
		.source = m.source,
		.target = m.target,
		.type = m.fstype,
		.options = m.options,
		.wait_s = config()->root_wait_s,
	};
	if (attach(&a))
		log_error("init", "%s is not mounted", m.target);
}

void setup_mounts(void)
{
	for (const char **m = config()->mounts; m && *m; m++) {
		char *copy = xstrdup(*m);

		mount_one(copy);
		free(copy);
	}
}

static void add_dns(const char *server)
{
	unsigned char address[16];

	if (inet_pton(strchr(server, ':') ? AF_INET6 : AF_INET, server, address) != 1)
		log_error("init", "dns: %.60s is no address", server);
	else if (dns.n == RESOLV_MAX)
		log_error("init", "dns: %.60s is one too many", server);
	else
		dns.text[dns.n++] = xstrdup(server);
}

static void wait_for(const char *interface)
{
	for (int ms = 0; ms < INTERFACE_WAIT_MS && !if_nametoindex(interface);
		ms += INTERFACE_LOOK_MS)
		(void)poll(NULL, 0, INTERFACE_LOOK_MS);
}

static void set_interface(const struct words_net *n)
{
	const struct interface wanted = {
		.name = n->interface,
		.address = n->address,
		.gateway = n->gateway,
		.mtu = n->mtu,
		.up = true,
	};
	struct failure *f = xcalloc(1, sizeof(*f));

	wait_for(n->interface);
	if (interface_set(&wanted, f))
		log_error("init", "net: %s", f->message);
	else
		log_info("init", "interface name=%s address=%s gateway=%s", n->interface,
			n->address ? n->address : "-", n->gateway ? n->gateway : "-");
	free(f);
	for (size_t i = 0; i < n->n_dns; i++)
		add_dns(n->dns[i]);
}

/* What the kernel's own `ip=` was told, or answered by DHCP. */
static void add_dns_of_kernel(void)
{
	char text[4096], *rest = text, *line;

	if (fd_read_file("/proc/net/pnp", text, sizeof(text)) < 0)
		return;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "nameserver ", 11) == 0 && strcmp(line + 11, "0.0.0.0") != 0)
			add_dns(line + 11);
	}
}

static void write_dns(void)
{
	struct strs servers = {.n = dns.n};
	int err;

	if (!dns.n)
		return;
	servers.at = (void *)dns.text;
	(void)mkdir("/etc", 0755); /* a bare image has none */
	err = resolv_write(&servers);
	if (err)
		log_error("init", "cannot write %s: %s", RESOLV_CONF, strerror(-err));
	for (size_t i = 0; i < dns.n; i++)
		free(dns.text[i]);
	dns.n = 0;
}

void setup_net(void)
{
	struct ip ip;
	bool asked = config_line_is_ours() && ip_read(&ip);

	if (asked && !ip_is_set(ip.net.interface))
		set_interface(&ip.net);
	/* Those that are asked for here take the place of the kernel's. */
	for (const char **n = config()->nets; n && *n; n++) {
		char *copy = xstrdup(*n);
		struct words_net net;
		const char *why;

		if (words_net(copy, &net, &why) == 0)
			set_interface(&net);
		free(copy);
	}
	if (!dns.n)
		add_dns_of_kernel();
	write_dns();
}
