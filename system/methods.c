/* system/methods.c - system.methods: the table that the dispatcher uses, as data */
#include "guestd/method.h"
#include "guestd/req.h"

struct row_ctx {
	struct enc *e;
	size_t n;
};

static void encode_param(const struct arg *row, void *ctx)
{
	struct row_ctx *c = ctx;
	char type[ARG_TYPE_NAME_MAX];

	enc_map_end(c->e, enc_map_begin(c->e), 3);
	enc_kv_str(c->e, "name", row->name);
	enc_kv_str(c->e, "type", arg_type_name(row, type));
	enc_kv_bool(c->e, "required", row->required);
	c->n++;
}

static void encode_method(const struct method *m, struct enc *e)
{
	struct row_ctx c = {.e = e};
	size_t mark;

	enc_map_end(e, enc_map_begin(e), 5);
	enc_kv_str(e, "name", m->name);
	enc_str(e, "params");
	mark = enc_array_begin(e);
	if (m->args)
		args_each(m->args, encode_param, &c);
	enc_array_end(e, mark, c.n);
	enc_kv_bool(e, "streams", m->streams);
	enc_kv_bool(e, "changes", m->changes || m->writes);
	enc_kv_str(e, "doc", m->doc);
}

static void methods_call(struct req *req, void *args)
{
	struct enc e;

	(void)args;
	req_reply_begin(req, &e);
	enc_array(&e, method_count());
	for (size_t i = 0; i < method_count(); i++)
		encode_method(method_at(i), &e);
	req_reply_end(req, &e);
}

METHOD(system_methods) = {
	.name = "system.methods",
	.doc = "Lists every method with its parameters.",
	.call = methods_call,
};
