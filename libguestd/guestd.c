/*
 * libguestd/guestd.c - the library's face of ctl/client.h
 *
 * Its header stands alone, so that nothing of this tree has to be installed beside it.
 */
#include "libguestd/guestd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/client.h"

#define WINDOW     (1u << 20)
#define TIMEOUT_MS 10000

/* A map or array that is being written. */
struct level {
	size_t mark, n;
	bool is_map;
};

struct guestd {
	struct client *client;
	struct enc *enc; /* between guestd_begin and guestd_send */
	uint32_t id;
	struct level level[MAX_DEPTH];
	unsigned depth;
	bool bad;        /* what is being written is no proper value */
	const char *why; /* instead of the client's; or NULL */
	char instance[64];
};

BUILD_ASSERT((int)GUESTD_RESPONSE == (int)MSG_RESPONSE &&
	     (int)GUESTD_NOTIFICATION == (int)MSG_NOTIFICATION);
BUILD_ASSERT((int)GUESTD_DATA == (int)MSG_DATA && (int)GUESTD_END == (int)MSG_END);
BUILD_ASSERT((int)GUESTD_EVENT == (int)MSG_EVENT && (int)GUESTD_CREDIT == (int)MSG_CREDIT);

static const struct val *in(const struct guestd_value *v)
{
	return (const struct val *)v;
}

static const struct guestd_value *out(const struct val *v)
{
	return (const struct guestd_value *)v;
}

static void tell(const struct client_msg *from, struct guestd_message *to)
{
	*to = (struct guestd_message){
		.type = (enum guestd_type)from->type,
		.id = from->id,
		.channel = from->channel,
		.data = from->data,
		.len = from->len,
		.error = out(from->error),
		.result = out(from->result),
		.event = out(from->event),
		.name = from->name,
		.params = out(from->params),
	};
}

/* Text of a value into BUF, cut where it is longer. */
static void copy_text(const struct val *v, char *buf, size_t size)
{
	const char *text = "";
	size_t len = 0;

	val_bytes(v, &text, &len);
	snprintf(buf, size, "%.*s", (int)MIN(len, size), text);
}

/* 0, or -errno with a sentence in WHY. */
static int greet(struct guestd *g, const struct client_hello *hello, int timeout_ms, char *why,
	size_t why_len)
{
	struct client_msg msg;
	int err = client_hello(g->client, hello, timeout_ms, &msg);

	if (err) {
		snprintf(why, why_len, "%s", client_why(g->client));
		return err;
	}
	if (msg.error) {
		copy_text(val_get(msg.error, "message"), why, why_len);
		return guestd_is(out(val_get(msg.error, "code")), "unauthorized") ? -EACCES
										  : -EPROTO;
	}
	copy_text(val_get(msg.result, "instance"), g->instance, sizeof(g->instance));
	return 0;
}

struct guestd *guestd_connect(
	const char *endpoint, const struct guestd_options *options, char *why, size_t why_len)
{
	static const struct guestd_options none;
	const struct guestd_options *o = options ? options : &none;
	int timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS, err;
	struct client_hello hello = {
		.name = o->name ? o->name : "libguestd",
		.token = o->token,
		.token_len = o->token_len,
		.window = o->window ? o->window : WINDOW,
	};
	struct guestd *g = xcalloc(1, sizeof(*g));

	err = client_connect(endpoint, timeout_ms, &g->client, why, why_len);
	if (!err)
		err = greet(g, &hello, timeout_ms, why, why_len);
	if (!err)
		return g;
	guestd_close(g);
	errno = -err;
	return NULL;
}

void guestd_close(struct guestd *g)
{
	if (!g)
		return;
	client_close(g->client);
	free(g);
}

const char *guestd_why(const struct guestd *g)
{
	return g->why ? g->why : client_why(g->client);
}

const char *guestd_instance(const struct guestd *g)
{
	return g->instance;
}

int guestd_fd(const struct guestd *g)
{
	return client_fd(g->client);
}

short guestd_events(const struct guestd *g)
{
	return client_events(g->client);
}

static void descend(struct guestd *g, bool is_map)
{
	struct level *level = &g->level[g->depth];

	if (g->depth == ARRAY_LEN(g->level)) {
		g->bad = true;
		return;
	}
	*level = (struct level){.is_map = is_map};
	level->mark = is_map ? enc_map_begin(g->enc) : enc_array_begin(g->enc);
	g->depth++;
}

void guestd_begin(struct guestd *g, const char *method)
{
	g->why = NULL;
	g->bad = false;
	g->depth = 0;
	g->enc = client_begin(g->client, method, &g->id);
	descend(g, true);
}

/* Counts an element of the innermost level, and writes its key.  False: it cannot stand there. */
static bool element(struct guestd *g, const char *key)
{
	struct level *level = &g->level[g->depth - 1];

	ASSERT(g->enc);
	if (g->bad || g->depth == 0 || level->is_map != (key != NULL)) {
		g->bad = true;
		return false;
	}
	level->n++;
	if (key)
		enc_str(g->enc, key);
	return true;
}

void guestd_put_nil(struct guestd *g, const char *key)
{
	if (element(g, key))
		enc_nil(g->enc);
}

void guestd_put_bool(struct guestd *g, const char *key, bool value)
{
	if (element(g, key))
		enc_bool(g->enc, value);
}

void guestd_put_int(struct guestd *g, const char *key, int64_t value)
{
	if (element(g, key))
		enc_int(g->enc, value);
}

void guestd_put_str(struct guestd *g, const char *key, const char *value)
{
	if (element(g, key))
		enc_text(g->enc, value, strlen(value));
}

void guestd_put_bytes(struct guestd *g, const char *key, const void *bytes, size_t len)
{
	if (element(g, key))
		enc_bin(g->enc, bytes, len);
}

void guestd_put_map(struct guestd *g, const char *key)
{
	if (element(g, key))
		descend(g, true);
}

void guestd_put_array(struct guestd *g, const char *key)
{
	if (element(g, key))
		descend(g, false);
}

static void ascend(struct guestd *g)
{
	struct level *level = &g->level[--g->depth];

	if (level->is_map)
		enc_map_end(g->enc, level->mark, level->n);
	else
		enc_array_end(g->enc, level->mark, level->n);
}

void guestd_put_end(struct guestd *g)
{
	ASSERT(g->enc);
	if (!g->bad && g->depth > 1)
		ascend(g);
	else
		g->bad = true;
}

int guestd_send(struct guestd *g, uint32_t *id)
{
	bool bad = g->bad || g->depth != 1;
	int err;

	ASSERT(g->enc);
	if (bad)
		g->enc->failed = true; /* so that what was encoded is undone */
	else
		ascend(g);
	g->enc = NULL;
	*id = g->id;
	err = client_send(g->client);
	if (!bad)
		return err;
	g->why = "the parameters are no proper map: a key or an end too few or too many";
	return -EINVAL;
}

int guestd_call(struct guestd *g, int timeout_ms, struct guestd_message *message)
{
	uint32_t id;
	int err = guestd_send(g, &id);

	return err ? err : guestd_response(g, id, timeout_ms, message);
}

int guestd_response(struct guestd *g, uint32_t id, int timeout_ms, struct guestd_message *message)
{
	struct client_msg msg;
	int err = client_response(g->client, id, timeout_ms, &msg);

	g->why = NULL;
	if (!err)
		tell(&msg, message);
	return err;
}

int guestd_next(struct guestd *g, int timeout_ms, struct guestd_message *message)
{
	struct client_msg msg;
	int r = client_next(g->client, timeout_ms, &msg);

	g->why = NULL;
	if (r == 1)
		tell(&msg, message);
	return r;
}

size_t guestd_room(const struct guestd *g, uint32_t id)
{
	return client_room(g->client, id);
}

int guestd_data(struct guestd *g, uint32_t id, const void *bytes, size_t len)
{
	if (len > client_room(g->client, id)) {
		g->why = "more bytes than guestd_room() told";
		return -EAGAIN;
	}
	g->why = NULL;
	return client_data(g->client, id, GUESTD_IN, bytes, len);
}

int guestd_end(struct guestd *g, uint32_t id)
{
	g->why = NULL;
	return client_end(g->client, id, GUESTD_IN);
}

int guestd_cancel(struct guestd *g, uint32_t id)
{
	g->why = NULL;
	return client_cancel(g->client, id);
}

int guestd_flush(struct guestd *g)
{
	g->why = NULL;
	return client_flush(g->client);
}

const struct guestd_value *guestd_get(const struct guestd_value *map, const char *key)
{
	return out(val_get(in(map), key));
}

const struct guestd_value *guestd_at(const struct guestd_value *array, size_t i)
{
	return val_type(in(array)) == VAL_ARRAY && i < guestd_count(array)
		       ? out(val_at(in(array), i))
		       : NULL;
}

size_t guestd_count(const struct guestd_value *value)
{
	return val_count(in(value));
}

const struct guestd_value *guestd_key_at(const struct guestd_value *map, size_t i)
{
	return val_type(in(map)) == VAL_MAP && i < guestd_count(map) ? out(val_key(in(map), i))
								     : NULL;
}

const struct guestd_value *guestd_value_at(const struct guestd_value *map, size_t i)
{
	return val_type(in(map)) == VAL_MAP && i < guestd_count(map) ? out(val_value(in(map), i))
								     : NULL;
}

bool guestd_is_nil(const struct guestd_value *value)
{
	return val_type(in(value)) == VAL_NIL;
}

bool guestd_bool(const struct guestd_value *value, bool *result)
{
	return val_bool(in(value), result);
}

bool guestd_int(const struct guestd_value *value, int64_t *result)
{
	return val_int(in(value), result);
}

bool guestd_float(const struct guestd_value *value, double *result)
{
	return val_float(in(value), result);
}

bool guestd_bytes(const struct guestd_value *value, const char **bytes, size_t *len)
{
	return val_bytes(in(value), bytes, len);
}

bool guestd_is(const struct guestd_value *value, const char *text)
{
	const char *bytes;
	size_t len;

	return val_bytes(in(value), &bytes, &len) && len == strlen(text) &&
	       memcmp(bytes, text, len) == 0;
}
