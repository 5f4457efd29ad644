/*
 * system/ca.h - the trust store of the guest, without any tool of the image
 *
 * A CA of the host's is put where the tools of a distribution will find it again when they make its store anew
 * (the anchor), and into what they would make: a bundle, and directories by hash.
 *
 *	anchor		/usr/local/share/ca-certificates/NAME.crt	Debian, Alpine
 *			/etc/pki/ca-trust/source/anchors/NAME.pem	Fedora
 *			/etc/pki/trust/anchors/NAME.pem			SUSE
 *			/etc/ca-certificates/trust-source/anchors/NAME.crt	Arch
 *	directory	/etc/ssl/certs/NAME.pem -> the anchor, HASH.N -> NAME.pem
 *	bundle		/etc/ssl/certs/ca-certificates.crt and its other names
 *
 * What was put there says so: a line "# guestd: NAME" stands before the certificate, and only what
 * bears it is ever taken away again.  Each file changes in one step, by rename(2).
 *
 * Thread: worker; one at a time is at it.
 */
#ifndef SYSTEM_CA_H
#define SYSTEM_CA_H

#include <limits.h>
#include <stddef.h>

#include "guestd/work.h"

/* For .check: letters, digits, - _ and . inside; it becomes a file's name. */
const char *ca_check_name(const char *name);

/* PATH, of PATH_MAX bytes, is the anchor.  0, or an error with the failure filled. */
MUST_CHECK int ca_install(
	struct work *w, const char *name, const char *pem, size_t len, char *path);
MUST_CHECK int ca_remove(struct work *w, const char *name);

#endif
