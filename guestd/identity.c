/* guestd/identity.c - which agent this is */
#include "guestd/identity.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/fd.h"

/* musl 1.2.3 does not name it. */
#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif

static struct identity self;

const struct identity *identity(void)
{
	return &self;
}

/* LEN hexadecimal digits and a NUL into OUT. */
static void draw(char *out, size_t len)
{
	unsigned char random[16];
	uint64_t now[2] = {clock_real_us(), clock_mono_us()};

	/* It must be unlike the others', not secret: never wait for entropy at boot. */
	if (getrandom(random, sizeof(random), GRND_INSECURE) != (ssize_t)sizeof(random) &&
		getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		memcpy(random, now, sizeof(random));
	for (size_t i = 0; i < len / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", random[i]);
}

void identity_next_epoch(void)
{
	self.epoch++;
	draw(self.tag, sizeof(self.tag) - 1);
}

void identity_set_cgroups(const char *dir)
{
	self.cgroups = dir;
}

void identity_set_console(const char *tty)
{
	self.console = tty;
}

void identity_init(void)
{
	ssize_t n;

	draw(self.instance, sizeof(self.instance) - 1);
	memcpy(self.tag, self.instance, sizeof(self.tag) - 1);
	n = fd_read_file("/proc/sys/kernel/random/boot_id", self.boot_id, sizeof(self.boot_id));
	self.boot_id[n < 0 ? 0 : strcspn(self.boot_id, "\n")] = '\0';
}
