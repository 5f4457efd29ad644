/* ctl/ask.c - one call with parameters of a command line */
#include "ctl/ask.h"

#include <string.h>

/* The one called KEY: given again, the last counts. */
static struct param *add(struct params *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->list[i].key, key) == 0)
			return &p->list[i];
	}
	ASSERT(p->n < MAX_PARAMS);
	p->list[p->n].key = key;
	return &p->list[p->n++];
}

void params_text(struct params *p, const char *key, const char *text)
{
	struct param *param = text ? add(p, key) : NULL;

	if (!param)
		return;
	param->type = PARAM_TEXT;
	param->text = text;
}

void params_texts(struct params *p, const char *key, char **texts, size_t n)
{
	struct param *param = n ? add(p, key) : NULL;

	if (!param)
		return;
	param->type = PARAM_TEXTS;
	param->texts = texts;
	param->number = n;
}

void params_uint(struct params *p, const char *key, uint64_t number)
{
	struct param *param = add(p, key);

	param->type = PARAM_UINT;
	param->number = number;
}

void params_bool(struct params *p, const char *key, bool value)
{
	struct param *param = add(p, key);

	param->type = PARAM_BOOL;
	param->number = value;
}

void params_flag(struct params *p, const char *key, bool set)
{
	if (set)
		params_bool(p, key, true);
}

static void encode_texts(const struct param *param, struct enc *e)
{
	enc_str(e, param->key);
	enc_array(e, param->number);
	for (size_t i = 0; i < param->number; i++)
		enc_text(e, param->texts[i], strlen(param->texts[i]));
}

static void encode(const struct param *param, struct enc *e)
{
	switch (param->type) {
	case PARAM_TEXT:
		enc_kv_text(e, param->key, param->text);
		break;
	case PARAM_TEXTS:
		encode_texts(param, e);
		break;
	case PARAM_UINT:
		enc_kv_uint(e, param->key, param->number);
		break;
	case PARAM_BOOL:
	default:
		enc_kv_bool(e, param->key, param->number != 0);
		break;
	}
}

void params_encode(void *ctx, struct enc *e)
{
	const struct params *p = ctx;

	enc_map_end(e, enc_map_begin(e), p->n);
	for (size_t i = 0; i < p->n; i++)
		encode(&p->list[i], e);
}

struct stream {
	struct params *p;
	int (*take)(void *ctx, const struct client_msg *msg);
	void *ctx;
};

static void stream_params(void *ctx, struct enc *e)
{
	params_encode(((struct stream *)ctx)->p, e);
}

static int stream_take(void *ctx, const struct client_msg *msg)
{
	const struct stream *s = ctx;

	return s->take ? s->take(s->ctx, msg) : 0;
}

int ask_stream(struct ctl *ctl, const char *method, struct params *p,
	int (*take)(void *ctx, const struct client_msg *msg), void *ctx, const struct val **result)
{
	struct stream s = {.p = p, .take = take, .ctx = ctx};
	struct relay r = {
		.method = method,
		.params = stream_params,
		.take = stream_take,
		.ctx = &s,
		.in_fd = -1,
		.except = p->except,
	};

	return relay_run(ctl, &r, result);
}

int ask(struct ctl *ctl, const char *method, struct params *p, const struct val **result)
{
	return ask_stream(ctl, method, p, NULL, NULL, result);
}

int status_worse(int a, int b)
{
	return status_final(a) ? a : MAX(a, b);
}

bool status_final(int status)
{
	return status > STATUS_FAILED;
}
