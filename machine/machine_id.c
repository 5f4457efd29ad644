/* machine/machine_id.c - which machine this is */
#include "machine/machine_id.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "machine/replace.h"

/* D-Bus has a copy of its own where its path is no link to the first. */
#define MACHINE_ID "/etc/machine-id"
#define DBUS_ID    "/var/lib/dbus/machine-id"

int machine_id_renew(void)
{
	unsigned char random[16];
	char text[2 * sizeof(random) + 2];
	int err;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -errno;
	/* It has the form of a random UUID (RFC 4122, 4.4). */
	random[6] = (unsigned char)((random[6] & 0x0f) | 0x40);
	random[8] = (unsigned char)((random[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(text + 2 * i, 3, "%02x", random[i]);
	text[sizeof(text) - 2] = '\n';
	err = replace_file(MACHINE_ID, text, sizeof(text) - 1, 0444);
	if (!err && access(DBUS_ID, F_OK) == 0)
		err = replace_file(DBUS_ID, text, sizeof(text) - 1, 0444);
	return err;
}
