/* system/ca.c - the trust store of the guest */
#include "system/ca.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "proto/limits.h"
#include "system/bundle.h"
#include "system/pem.h"
#include "system/x509.h"

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define NAME_LEN     64

static const struct {
	const char *dir, *suffix;
} anchors[] = {
	{"/usr/local/share/ca-certificates", ".crt"},
	{"/etc/pki/ca-trust/source/anchors", ".pem"},
	{"/etc/pki/trust/anchors", ".pem"},
	{"/etc/ca-certificates/trust-source/anchors", ".crt"},
};

static const char *const directories[] = {
	"/etc/ssl/certs",
	"/etc/pki/tls/certs",
	"/etc/pki/ca-trust/extracted/pem/directory-hash",
};

static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem",
	"/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/ssl/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/cert.pem",
};

/* Where this guest has them, each once however many names it has; owned. */
struct stores {
	char *anchor[ARRAY_LEN(anchors)];
	char *dir[ARRAY_LEN(directories)];
	char *bundle[ARRAY_LEN(bundles)];
	size_t n_anchors, n_dirs, n_bundles;
};

/* Two clients at once would lose one another's lines of a bundle. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

const char *ca_check_name(const char *name)
{
	size_t len = strlen(name);

	if (len && len <= NAME_LEN && strspn(name, NAME_LETTERS) == len && name[0] != '.' &&
		name[0] != '-')
		return NULL;
	return "of 1 to 64 letters, digits, -, _ and ., the first no - or .";
}

/* PATH with every link followed, unless it is in LIST; where it is of type TYPE. */
static void add_real(char **list, size_t *n, const char *path, mode_t type)
{
	struct stat st;
	char *real =
		stat(path, &st) == 0 && (st.st_mode & S_IFMT) == type ? realpath(path, NULL) : NULL;

	for (size_t i = 0; real && i < *n; i++) {
		if (strcmp(list[i], real) == 0) {
			free(real);
			real = NULL;
		}
	}
	if (real)
		list[(*n)++] = real;
}

static void find_stores(const char *name, struct stores *s)
{
	*s = (struct stores){0};
	for (size_t i = 0; i < ARRAY_LEN(anchors); i++) {
		if (access(anchors[i].dir, F_OK) == 0)
			s->anchor[s->n_anchors++] =
				xasprintf("%s/%s%s", anchors[i].dir, name, anchors[i].suffix);
	}
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		add_real(s->dir, &s->n_dirs, directories[i], S_IFDIR);
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++)
		add_real(s->bundle, &s->n_bundles, bundles[i], S_IFREG);
}

static void free_stores(struct stores *s)
{
	for (size_t i = 0; i < s->n_anchors; i++)
		free(s->anchor[i]);
	for (size_t i = 0; i < s->n_dirs; i++)
		free(s->dir[i]);
	for (size_t i = 0; i < s->n_bundles; i++)
		free(s->bundle[i]);
}

/* 0 or -errno; what is there is fine. */
static int make_dirs(const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s/", path);
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* A guest without a trust store gets the one that most programs look for: Debian's. */
static int make_missing(struct work *w, const char *name, struct stores *s)
{
	int err = 0;

	if (!s->n_anchors) {
		err = make_dirs(anchors[0].dir);
		s->anchor[s->n_anchors++] =
			xasprintf("%s/%s%s", anchors[0].dir, name, anchors[0].suffix);
	}
	if (!err && !s->n_dirs) {
		err = make_dirs(directories[0]);
		s->dir[s->n_dirs++] = xstrdup(directories[0]);
	}
	if (!err && !s->n_bundles)
		err = make_dirs(directories[0]);
	if (!s->n_bundles)
		s->bundle[s->n_bundles++] = xstrdup(bundles[0]);
	return err ? work_fail(w, err, directories[0], "cannot make a trust store") : 0;
}

/* Directories by hash */

/* Is NAME in DIR a link to TARGET?  1, 0 for something else, or -errno (-ENOENT). */
static int links_to(int dir, const char *name, const char *target)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	if (n < 0)
		return errno == EINVAL ? 0 : -errno;
	text[n] = '\0';
	return strcmp(text, target) == 0;
}

/* "1a2b3c4d.7": the hash and the number.  False for any other name. */
static bool is_hash_name(const char *name, unsigned *hash, unsigned *number)
{
	char *end;

	if (strspn(name, "0123456789abcdef") != 8 || name[8] != '.' || !name[9] ||
		strlen(name) > 13 || strspn(name + 9, "0123456789") != strlen(name + 9))
		return false;
	*hash = (unsigned)strtoul(name, &end, 16);
	*number = (unsigned)strtoul(end + 1, NULL, 10);
	return true;
}

/* OpenSSL counts from 0 and stops at the first that is not there: the last fills the gap. */
static int remove_hash(int dir, unsigned hash, unsigned number)
{
	char gap[32], last[32];
	unsigned end = number + 1;

	snprintf(gap, sizeof(gap), "%08x.%u", hash, number);
	for (;; end++) {
		snprintf(last, sizeof(last), "%08x.%u", hash, end);
		if (faccessat(dir, last, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	if (end == number + 1)
		return unlinkat(dir, gap, 0) < 0 ? -errno : 0;
	snprintf(last, sizeof(last), "%08x.%u", hash, end - 1);
	return renameat(dir, last, dir, gap) < 0 ? -errno : 0;
}

/* Takes away every HASH.N -> LINK. */
static int remove_hashes(int dir, const char *link)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int err = list ? 0 : -errno;

	if (list)
		rewinddir(list); /* the place is shared with DIR */
	else
		fd_close(&copy);
	while (!err && list && (entry = readdir(list))) {
		unsigned hash, number;

		if (is_hash_name(entry->d_name, &hash, &number) &&
			links_to(dir, entry->d_name, link) == 1) {
			err = remove_hash(dir, hash, number);
			rewinddir(list);
		}
	}
	if (list)
		closedir(list);
	return err;
}

/* HASH.N -> LINK, under the first N that is free. */
static int add_hash(int dir, const char *link, uint32_t hash)
{
	char name[32];

	for (unsigned number = 0; number < CA_SAME_HASH_MAX; number++) {
		snprintf(name, sizeof(name), "%08x.%u", hash, number);
		if (symlinkat(link, dir, name) == 0 || links_to(dir, name, link) == 1)
			return 0;
		if (errno != EEXIST && links_to(dir, name, link) < 0)
			return -errno;
	}
	return -EEXIST;
}

/* Is there a HASH.N -> LINK already? */
static bool has_hash(int dir, const char *link, uint32_t hash)
{
	char name[32];

	for (unsigned number = 0; number < CA_SAME_HASH_MAX; number++) {
		int is;

		snprintf(name, sizeof(name), "%08x.%u", hash, number);
		is = links_to(dir, name, link);
		if (is != 0)
			return is == 1;
	}
	return false;
}

static int update_dir(int dir, const char *link, const char *anchor, const uint32_t *hash)
{
	int err = 0, is;

	if (!hash || !has_hash(dir, link, *hash))
		err = remove_hashes(dir, link);
	if (err)
		return err;
	is = links_to(dir, link, anchor);
	if (!hash)
		return is == 1 && unlinkat(dir, link, 0) < 0 ? -errno : 0;
	if (is != 1 && symlinkat(anchor, dir, link) < 0)
		return -errno;
	return add_hash(dir, link, *hash);
}

/* HASH NULL: what is there is taken away. */
static int update_dirs(
	struct work *w, const char *name, const struct stores *s, const uint32_t *hash)
{
	char link[NAME_LEN + 8];

	snprintf(link, sizeof(link), "%s.pem", name);
	for (size_t i = 0; i < s->n_dirs; i++) {
		cleanup_fd int dir = open(s->dir[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int err = dir < 0 ? -errno : update_dir(dir, link, s->anchor[0], hash);

		if (err)
			return work_fail(w, err, s->dir[i], "cannot change the links of %s", name);
	}
	return 0;
}

/* The whole */

/* Nothing of that name may be there that somebody else put there. */
static int check_free(struct work *w, const char *name, const struct stores *s)
{
	for (size_t i = 0; i < s->n_anchors; i++) {
		int is = bundle_bears(s->anchor[i], name);

		if (is < 0 && is != -ENOENT)
			return work_fail(w, is, s->anchor[i], "cannot read it");
		if (is == 0)
			return work_fail(w, ERR_EXISTS, s->anchor[i],
				"a CA of this name is there, and is not the agent's");
	}
	for (size_t i = 0; i < s->n_dirs; i++) {
		char *path = xasprintf("%s/%s.pem", s->dir[i], name);
		int is = links_to(AT_FDCWD, path, s->anchor[0]);
		int err = is == 0 ? work_fail(w, ERR_EXISTS, path,
					    "a CA of this name is there, and is not the agent's")
				  : 0;

		free(path);
		if (err)
			return err;
	}
	return 0;
}

static bool is_installed(const char *name, const struct stores *s)
{
	bool any = false;

	for (size_t i = 0; i < s->n_anchors; i++)
		any |= bundle_bears(s->anchor[i], name) == 1;
	return any;
}

static int put(
	struct work *w, const char *name, const struct stores *s, const char *pem, uint32_t hash)
{
	int err = 0;

	for (size_t i = 0; i < s->n_anchors && !err; i++) {
		err = bundle_update(s->anchor[i], name, pem, BUNDLE_ALONE);
		if (err)
			return work_fail(w, err, s->anchor[i], "cannot write it");
	}
	err = update_dirs(w, name, s, &hash);
	for (size_t i = 0; i < s->n_bundles && !err; i++) {
		err = bundle_update(s->bundle[i], name, pem, 0);
		if (err)
			return work_fail(w, err, s->bundle[i], "cannot write it");
	}
	return err;
}

/* All that can be taken away is; the first error is told. */
static int take_away(struct work *w, const char *name, const struct stores *s)
{
	int first = update_dirs(w, name, s, NULL), err;

	for (size_t i = 0; i < s->n_bundles; i++) {
		err = bundle_update(s->bundle[i], name, NULL, 0);
		if (err && !first)
			first = work_fail(w, err, s->bundle[i], "cannot write it");
	}
	for (size_t i = 0; i < s->n_anchors; i++) {
		if (bundle_bears(s->anchor[i], name) == 1 && unlink(s->anchor[i]) < 0 && !first)
			first = work_fail(w, -errno, s->anchor[i], "cannot remove it");
	}
	return first;
}

static int install(struct work *w, const char *name, const char *pem, uint32_t hash, char *path)
{
	struct stores s;
	struct failure why;
	int err;

	find_stores(name, &s);
	err = make_missing(w, name, &s);
	if (!err)
		err = check_free(w, name, &s);
	if (!err) {
		err = put(w, name, &s, pem, hash);
		why = w->failure;
		if (err && take_away(w, name, &s))
			err = why.err; /* why it began to fail is what counts */
		if (err)
			w->failure = why;
	}
	if (!err)
		snprintf(path, PATH_MAX, "%s", s.anchor[0]);
	free_stores(&s);
	return err;
}

int ca_install(struct work *w, const char *name, const char *pem, size_t len, char *path)
{
	unsigned char *der = malloc(len + 1);
	const char *why = NULL;
	ssize_t n = der ? pem_decode(pem, len, der, &why) : -ENOMEM;
	char *clean = NULL;
	uint32_t hash;
	int err = n < 0 ? (int)n : x509_subject_hash(der, (size_t)n, &hash);

	if (!err) {
		clean = malloc(PEM_SIZE((size_t)n));
		err = clean ? 0 : -ENOMEM;
	}
	if (err) {
		free(der);
		if (err == -ENOMEM)
			return work_fail(w, err, NULL, "out of memory for the certificate");
		return failure_set(&w->failure, ERR_BAD_PARAMS, NULL, NULL, "parameter pem: %s",
			n < 0 ? why : "it is no X.509 certificate");
	}
	pem_encode(der, (size_t)n, clean);
	free(der);
	pthread_mutex_lock(&mutex);
	err = install(w, name, clean, hash, path);
	pthread_mutex_unlock(&mutex);
	free(clean);
	return err;
}

int ca_remove(struct work *w, const char *name)
{
	struct stores s;
	int err;

	pthread_mutex_lock(&mutex);
	find_stores(name, &s);
	if (is_installed(name, &s))
		err = take_away(w, name, &s);
	else
		err = failure_set(&w->failure, ERR_NOT_FOUND, NULL, NULL,
			"the agent has installed no CA of this name");
	free_stores(&s);
	pthread_mutex_unlock(&mutex);
	return err;
}
