/* snapshot/thaw.c - system.thaw: everything goes on */
#include "guestd/method.h"
#include "snapshot/freezer.h"

static void thaw_call(struct req *req, void *args)
{
	(void)args;
	freezer_thaw(req);
}

METHOD(system_thaw) = {
	.name = "system.thaw",
	.doc = "Thaws what system.freeze has frozen; nothing frozen is no error.",
	.call = thaw_call,
	.changes = true,
};
