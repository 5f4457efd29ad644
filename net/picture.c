/* net/picture.c - ports on the wire, and what changed since somebody was told of them */
#include <stdlib.h>

#include "base/mem.h"
#include "net/address.h"
#include "net/scanner.h"

void port_encode(const struct port *p, struct enc *e)
{
	size_t mark = enc_map_begin(e), n = 4;
	char address[ADDRESS_TEXT_MAX];

	listening_text(&p->sock, address);
	enc_kv_uint(e, "port", p->sock.port);
	enc_kv_str(e, "address", address);
	enc_kv_str(e, "family", p->sock.family == AF_INET6 ? "ipv6" : "ipv4");
	enc_kv_str(e, "protocol", "tcp");
	if (p->pid) {
		enc_kv_int(e, "pid", p->pid);
		n++;
	}
	if (p->comm[0]) {
		enc_kv_text(e, "comm", p->comm);
		n++;
	}
	if (p->id[0]) {
		enc_kv_text(e, "id", p->id);
		n++;
	}
	enc_map_end(e, mark, n);
}

size_t told_encode(const struct told *told, struct enc *e)
{
	char address[ADDRESS_TEXT_MAX];

	listening_text(&told->sock, address);
	enc_kv_uint(e, "port", told->sock.port);
	enc_kv_str(e, "address", address);
	if (told->pid)
		enc_kv_int(e, "pid", told->pid);
	return 2 + (told->pid != 0);
}

static struct told told_of(const struct port *p)
{
	return (struct told){.sock = p->sock, .pid = p->pid};
}

/*
 * A socket that took the place of another between two looks is the same port, unless it is another
 * process's: then nobody could tell who answers there now.
 */
static bool changed_hands(const struct told *old, const struct port *now)
{
	return old->pid && now->pid && old->pid != now->pid && old->sock.inode != now->sock.inode;
}

void net_picture_update(struct picture *picture,
	void (*fn)(void *ctx, const struct told *told, const struct port *port), void *ctx)
{
	size_t n, i = 0, k = 0;
	const struct port *ports = scan_ports(&n);
	struct told *now = xcalloc(n + 1, sizeof(*now));

	while (i < picture->n || k < n) {
		const struct told *old = &picture->at[i];
		int diff = i == picture->n ? 1
			   : k == n        ? -1
					   : sockets_compare(&old->sock, &ports[k].sock);
		bool swapped = diff == 0 && changed_hands(old, &ports[k]);

		if (diff < 0 || swapped)
			fn(ctx, old, NULL);
		if (diff >= 0)
			now[k] = told_of(&ports[k]);
		if (diff > 0 || swapped)
			fn(ctx, &now[k], &ports[k]);
		i += diff <= 0;
		k += diff >= 0;
	}
	free(picture->at);
	*picture = (struct picture){.at = now, .n = n};
}

void net_picture_fini(struct picture *picture)
{
	free(picture->at);
	*picture = (struct picture){0};
}
