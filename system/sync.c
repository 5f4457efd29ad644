/* system/sync.c - system.sync: what was written is on its disk */
#include <unistd.h>

#include "guestd/method.h"
#include "guestd/work.h"

static int sync_work(struct work *w)
{
	(void)w;
	sync(); /* waits for all of it: sync(2) */
	return 0;
}

METHOD(system_sync) = {
	.name = "system.sync",
	.doc = "Writes to the disks what waits in memory.",
	.work = sync_work,
	.changes = true,
};
