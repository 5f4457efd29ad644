/* fs/write_files.c - fs.write_files: many small files in one request */
#include <errno.h>
#include <string.h>

#include "fs/output.h"
#include "guestd/method.h"
#include "guestd/users.h"
#include "guestd/work.h"

struct file {
	const char *path, *owner;
	struct bytes data;
	uint64_t mode;
};

struct write_files_args {
	struct who who;
	struct items files;
	bool atomic;
};

static const struct arg file_table[] = {
	ARG(struct file, path, .required = true, .check = arg_abs_path),
	ARG(struct file, data, .required = true),
	ARG(struct file, mode, .dflt = -1, .max = 07777),
	ARG(struct file, owner),
	ARG_END,
};

static const struct arg write_files_table[] = {
	ARG_INCLUDE(struct write_files_args, who, user_table),
	ARG_LIST(struct write_files_args, files, struct file, file_table, .required = true),
	ARG(struct write_files_args, atomic, .dflt = true),
	ARG_END,
};

/* A row of the result without its path: map, keys, and the code of an error. */
#define ROW_MIN 64u

/* The failure of a row: its sentence, its path once more, and what stands around them. */
#define ROW_MAX (ROW_MIN + sizeof(struct failure))

static int own(const struct file *file, struct path_owner *owner, struct failure *f)
{
	const struct users *users = users_hold();
	struct account account;
	int err = users_resolve(users, file->owner, &account, f);

	users_release(users);
	*owner = (struct path_owner){account.uid, account.gid};
	return err;
}

static int write_all(struct work *w, struct output *o, const struct bytes *data, struct failure *f)
{
	size_t used = 0;
	int err = 0;

	while (!err && used < data->len) {
		err = output_write(o, data->at + used, data->len - used, &used, f);
		if (err == -EAGAIN) {
			output_wait(o);
			err = work_canceled(w) ? -ECANCELED : 0;
		}
	}
	return err;
}

static int write_one(struct work *w, const struct file *file, struct output *o,
	struct output_dirs *dirs, struct failure *f)
{
	const struct write_files_args *a = w->args;
	const struct output_args args = {
		.path = file->path,
		.mode = file->mode,
		.offset = OUTPUT_UNSET,
		.size = OUTPUT_UNSET,
		.mtime_us = INT64_MIN,
		.create = true,
		.parents = true,
		.atomic = a->atomic,
	};
	struct path_owner owner;
	int err = file->owner ? own(file, &owner, f) : 0;

	if (err)
		return err;
	err = output_open(o, &args, file->owner ? &owner : NULL, dirs, f);
	if (!err)
		err = write_all(w, o, &file->data, f);
	if (!err)
		err = output_commit(o, f);
	output_close(o);
	return err;
}

/* ROOM: what the other rows leave for this one. */
static void add_row(struct enc *e, const struct file *file, const struct output *o,
	const struct failure *f, size_t room)
{
	size_t map = enc_map_begin(e);

	enc_kv_text(e, "path", file->path);
	if (!f->err) {
		enc_kv_uint(e, "size", o->size);
		enc_kv_bool(e, "atomic", o->atomic);
		enc_map_end(e, map, 3);
		return;
	}
	enc_str(e, "error");
	if (room >= strlen(file->path) + ROW_MAX) {
		failure_encode(f, e);
	} else {
		enc_map_end(e, enc_map_begin(e), 1);
		enc_kv_str(e, "code", err_name(f->err));
	}
	enc_map_end(e, map, 2);
}

static int write_files_work(struct work *w)
{
	const struct write_files_args *a = w->args;
	const struct file *files = a->files.at;
	struct output_dirs dirs = {.n = 0};
	size_t least = 0;
	int err = 0;

	for (size_t i = 0; i < a->files.n; i++)
		least += strlen(files[i].path) + ROW_MIN;
	if (least > w->max_result)
		return work_fail(w, ERR_LIMIT, NULL,
			"the result would be longer than max_frame: name fewer files in one call");
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_str(&w->result, "files");
	enc_array(&w->result, a->files.n);
	for (size_t i = 0; i < a->files.n && !err; i++) {
		struct failure f = {.err = 0};
		struct output o = {.size = 0};

		err = write_one(w, &files[i], &o, &dirs, &f) == -ECANCELED || work_canceled(w)
			      ? -ECANCELED
			      : 0;
		least -= strlen(files[i].path) + ROW_MIN;
		add_row(&w->result, &files[i], &o, &f, w->max_result - buf_len(&w->out) - least);
	}
	output_dirs_close(&dirs);
	return err;
}

METHOD(fs_write_files) = {
	.name = "fs.write_files",
	.doc = "Writes many small files in one request, each all or nothing.",
	.args = write_files_table,
	.args_size = sizeof(struct write_files_args),
	.work = write_files_work,
	WHO(struct write_files_args),
	.changes = true,
};
