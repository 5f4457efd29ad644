/* proto/err.c - the closed set of error codes and the names of errno */
#include "proto/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[ERR_PROTOCOL] = "protocol_error",
	[ERR_BAD_REQUEST] = "bad_request",
	[ERR_UNKNOWN_METHOD] = "unknown_method",
	[ERR_BAD_PARAMS] = "bad_params",
	[ERR_UNAUTHORIZED] = "unauthorized",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_EXISTS] = "exists",
	[ERR_LIMIT] = "limit",
	[ERR_BUSY] = "busy",
	[ERR_TIMEOUT] = "timeout",
	[ERR_CANCELED] = "canceled",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_DISABLED] = "disabled",
	[ERR_GAP] = "gap",
	[ERR_FROZEN] = "frozen",
	[ERR_INTERNAL] = "internal",
};
BUILD_ASSERT(ARRAY_LEN(names) == N_RPC_ERR);

/* strerrorname_np(3) does this, but musl has none. */
#define E(name) [name] = #name
static const char *const errno_names[] = {E(EPERM), E(ENOENT), E(ESRCH), E(EINTR), E(EIO), E(ENXIO),
	E(E2BIG), E(ENOEXEC), E(EBADF), E(ECHILD), E(EAGAIN), E(ENOMEM), E(EACCES), E(EFAULT),
	E(ENOTBLK), E(EBUSY), E(EEXIST), E(EXDEV), E(ENODEV), E(ENOTDIR), E(EISDIR), E(EINVAL),
	E(ENFILE), E(EMFILE), E(ENOTTY), E(ETXTBSY), E(EFBIG), E(ENOSPC), E(ESPIPE), E(EROFS),
	E(EMLINK), E(EPIPE), E(EDOM), E(ERANGE), E(EDEADLK), E(ENAMETOOLONG), E(ENOLCK), E(ENOSYS),
	E(ENOTEMPTY), E(ELOOP), E(ENOMSG), E(EIDRM), E(ENOSTR), E(ENODATA), E(ETIME), E(ENOSR),
	E(EREMOTE), E(ENOLINK), E(EPROTO), E(EMULTIHOP), E(EBADMSG), E(EOVERFLOW), E(ELIBACC),
	E(ELIBBAD), E(EILSEQ), E(EUSERS), E(ENOTSOCK), E(EDESTADDRREQ), E(EMSGSIZE), E(EPROTOTYPE),
	E(ENOPROTOOPT), E(EPROTONOSUPPORT), E(ESOCKTNOSUPPORT), E(EOPNOTSUPP), E(EPFNOSUPPORT),
	E(EAFNOSUPPORT), E(EADDRINUSE), E(EADDRNOTAVAIL), E(ENETDOWN), E(ENETUNREACH), E(ENETRESET),
	E(ECONNABORTED), E(ECONNRESET), E(ENOBUFS), E(EISCONN), E(ENOTCONN), E(ESHUTDOWN),
	E(ETOOMANYREFS), E(ETIMEDOUT), E(ECONNREFUSED), E(EHOSTDOWN), E(EHOSTUNREACH), E(EALREADY),
	E(EINPROGRESS), E(ESTALE), E(EUCLEAN), E(EREMOTEIO), E(EDQUOT), E(ENOMEDIUM),
	E(EMEDIUMTYPE), E(ECANCELED), E(ENOKEY), E(EKEYEXPIRED), E(EKEYREVOKED), E(EKEYREJECTED),
	E(EOWNERDEAD), E(ENOTRECOVERABLE), E(ERFKILL), E(EHWPOISON)};
#undef E

const char *err_name(int err)
{
	if (err > 0 && err < N_RPC_ERR)
		return names[err];
	if (err < 0 && -(err + 1) < (int)ARRAY_LEN(errno_names) - 1 && errno_names[-err])
		return errno_names[-err];
	return names[ERR_INTERNAL];
}

/* As much of TEXT as fits, and no part of a character at the end. */
static void cut(char *out, size_t size, const char *text)
{
	size_t len = size - 1;

	while (len && (text[len] & 0xc0) == 0x80)
		len--;
	memcpy(out, text, len);
	out[len] = '\0';
}

int failure_set(
	struct failure *f, int err, const char *stage, const char *path, const char *fmt, ...)
{
	va_list ap;

	*f = (struct failure){.err = err, .stage = stage};
	if (path && strlen(path) < sizeof(f->path))
		snprintf(f->path, sizeof(f->path), "%s", path);
	else if (path)
		cut(f->path, sizeof(f->path), path);
	va_start(ap, fmt);
	vsnprintf(f->message, sizeof(f->message), fmt, ap);
	va_end(ap);
	return err;
}
