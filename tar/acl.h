/*
 * tar/acl.h - an access control list as archives have it, made the kernel's
 *
 *	"user::rwx,user:joe:r-x:1000,group::r-x,mask::rwx,other::---"
 *
 * Thread: worker.
 */
#ifndef TAR_ACL_H
#define TAR_ACL_H

#include <stddef.h>

#include "base/check.h"
#include "guestd/users.h"

/*
 * TEXT becomes the value of the extended attribute, in *OUT, which the caller frees, and *LEN.  It is
 * taken apart.  A number counts, where an entry has one; else the name, if USERS has it.  0, -EINVAL for
 * what is no ACL, -ENOENT for one that names somebody unknown, -E2BIG, -ENOMEM.
 */
MUST_CHECK int acl_from_text(char *text, const struct users *users, void **out, size_t *len);

#endif
