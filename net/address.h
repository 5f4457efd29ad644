/*
 * net/address.h - addresses of hosts, as text and as the kernel wants them
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/sockets.h"
#include "proto/err.h"

/* An IPv6 address with the number of an interface. */
#define ADDRESS_TEXT_MAX (INET6_ADDRSTRLEN + 12)

/* What one name may stand for. */
#define MAX_ADDRESSES 2

struct address {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
	uint32_t scope; /* of a link-local address */
};

/*
 * The addresses that HOST means, in the order to be tried, into OUT; how many.  NULL and
 * `localhost` (also `NAME.localhost`) are 127.0.0.1, then ::1; there are no other names.
 * 0.0.0.0 and :: are this host.  0, with F filled (`bad_params`), for what is no address.
 */
size_t address_parse(const char *host, struct address out[MAX_ADDRESSES], struct failure *f);

/* The one where a socket can be reached: loopback for one that listens on all. */
struct address address_of(const struct listening *l);

bool address_is_loopback(const struct address *a);
bool address_equal(const struct address *a, const struct address *b);

/* May L take connections to A? */
bool address_reaches(const struct address *a, const struct listening *l);

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]);

/* That of a listening socket, as it is: "0.0.0.0". */
void listening_text(const struct listening *l, char out[ADDRESS_TEXT_MAX]);

union sockaddr_any {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* For connect(2) and bind(2); the length. */
socklen_t address_sockaddr(const struct address *a, uint16_t port, union sockaddr_any *out);

#endif
