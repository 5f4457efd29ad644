/* machine/network.c - system.network: what an interface is to be */
#include "guestd/method.h"
#include "guestd/work.h"
#include "machine/interface.h"

struct network_args {
	const char *interface, *address, *gateway;
	uint64_t mtu;
	bool up;
	struct strs dns;
};

static const struct arg network_table[] = {
	ARG(struct network_args, interface, .required = true),
	ARG(struct network_args, address),
	ARG(struct network_args, gateway),
	ARG(struct network_args, mtu, .max = UINT32_MAX),
	ARG(struct network_args, up, .dflt = true),
	ARG(struct network_args, dns),
	ARG_END,
};

static int network_work(struct work *w)
{
	const struct network_args *a = w->args;
	const struct interface wanted = {
		.name = a->interface,
		.address = a->address,
		.gateway = a->gateway,
		.mtu = a->mtu,
		.up = a->up,
		.dns = a->dns,
	};

	return interface_set(&wanted, &w->failure);
}

METHOD(system_network) = {
	.name = "system.network",
	.doc = "Sets up a network interface.",
	.args = network_table,
	.args_size = sizeof(struct network_args),
	.work = network_work,
	.changes = true,
};
