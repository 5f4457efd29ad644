/* init/ip.c - `ip=` of the kernel command line, for kernels that cannot do it */
#include "init/ip.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

enum { CLIENT, SERVER, GATEWAY, NETMASK, HOSTNAME, DEVICE, AUTOCONF, DNS_1, DNS_2, N_FIELDS };

#define LINE_MAX_BYTES (16u << 10)

/* That of MASK; without one that of the address's class, as the kernel takes it.  -1: no mask. */
static int prefix_of(const char *mask, uint32_t address)
{
	struct in_addr in;
	uint32_t bits;
	int n = 0;

	if (!*mask)
		return address >> 31 == 0 ? 8 : address >> 30 == 2 ? 16 : 24;
	if (inet_pton(AF_INET, mask, &in) != 1)
		return -1;
	for (bits = ntohl(in.s_addr); bits & 0x80000000u; bits <<= 1)
		n++;
	return bits ? -1 : n;
}

bool ip_parse(const char *value, struct ip *ip, const char **why)
{
	char *field[N_FIELDS], *rest = ip->text;
	struct in_addr in;
	int prefix;

	*ip = (struct ip){0};
	*why = "it is too long";
	if (snprintf(ip->text, sizeof(ip->text), "%s", value) >= (int)sizeof(ip->text))
		return false;
	for (size_t i = 0; i < N_FIELDS; i++) {
		char *next = strsep(&rest, ":");

		field[i] = next ? next : ip->text + strlen(value);
	}
	*why = NULL;
	if (strcmp(field[CLIENT], "off") == 0 || strcmp(field[CLIENT], "none") == 0)
		return false;
	*why = "only static addresses of IPv4 are set here: there is no DHCP";
	if (inet_pton(AF_INET, field[CLIENT], &in) != 1)
		return false;
	*why = "its netmask is none";
	prefix = prefix_of(field[NETMASK], ntohl(in.s_addr));
	if (prefix < 0)
		return false;
	snprintf(ip->address, sizeof(ip->address), "%.20s/%d", field[CLIENT], prefix);
	ip->net.interface = field[DEVICE];
	ip->net.address = ip->address;
	ip->net.gateway = *field[GATEWAY] ? field[GATEWAY] : NULL;
	for (size_t i = DNS_1; i <= DNS_2; i++) {
		if (*field[i])
			ip->net.dns[ip->net.n_dns++] = field[i];
	}
	*why = NULL;
	return true;
}

/* The one with the smallest number that is no loopback; NAME is left alone where there is none. */
static void first_interface(char name[IF_NAMESIZE])
{
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		if (strcmp(i->if_name, "lo") != 0) {
			snprintf(name, IF_NAMESIZE, "%s", i->if_name);
			break;
		}
	}
	if_freenameindex(all);
}

bool ip_read(struct ip *ip)
{
	static char first[IF_NAMESIZE];
	char *line = xmalloc(LINE_MAX_BYTES), *rest = line, *name, *value;
	bool found = false;

	if (fd_read_file("/proc/cmdline", line, LINE_MAX_BYTES) < 0)
		*line = '\0';
	while (!found && words_next(&rest, &name, &value)) {
		const char *why;

		if (strcmp(name, "ip") != 0 || !value)
			continue;
		found = ip_parse(value, ip, &why);
		/* What the kernel can do it has done, or has said why it could not. */
		if (!found && why && access("/proc/net/pnp", F_OK) < 0)
			log_error("init", "ip=%.100s: %s", value, why);
	}
	free(line);
	if (found && !*ip->net.interface) {
		first_interface(first);
		ip->net.interface = first;
	}
	return found;
}

bool ip_is_set(const char *interface)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCGIFADDR, &req) == 0;
}
