/* machine/resolv.c - the guest's name servers */
#include "machine/resolv.h"

#include <netinet/in.h>
#include <stdio.h>

#include "machine/replace.h"

int resolv_write(const struct strs *servers)
{
	char text[RESOLV_MAX * (sizeof("nameserver \n") + INET6_ADDRSTRLEN)];
	size_t len = 0;

	for (size_t i = 0; i < servers->n; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "nameserver %s\n", servers->at[i]);
	return replace_file(RESOLV_CONF, text, len, 0644);
}
