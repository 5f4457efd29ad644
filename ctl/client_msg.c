/*
 * ctl/client_msg.c - one frame's body into a client_msg
 *
 * The envelope is read from the scanned spans; only what carries values (responses, events,
 * notifications) is decoded, so data costs one scan and no allocation.
 */
#include "ctl/client_msg.h"

#include <errno.h>
#include <string.h>

#include "proto/scan.h"

void client_parse_fini(struct client_parse *p)
{
	doc_free(p->doc);
	p->doc = NULL;
}

static int bad(struct client_parse *p, const char *why)
{
	p->why = why;
	return -EBADMSG;
}

static int decode(struct client_parse *p, const char *body, size_t len)
{
	p->doc = doc_parse(body, len);
	p->why = "out of memory for a message";
	return p->doc ? 0 : -ENOMEM;
}

static const struct val *element(const struct client_parse *p, size_t i)
{
	return val_at(doc_root(p->doc), i);
}

static bool part_u32(const struct scan *scan, size_t i, uint32_t *out)
{
	uint64_t v;

	if (scan->n_parts <= i || !span_uint(&scan->part[i], &v) || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

static int parse_response(struct client_parse *p, struct client_msg *msg)
{
	const struct val *error = element(p, 2);

	if (val_type(error) == VAL_NIL)
		msg->result = element(p, 3);
	else if (val_type(error) == VAL_MAP)
		msg->error = error;
	else
		return bad(p, "a response whose error is no map");
	return 1;
}

static int parse_notification(struct client_parse *p, struct client_msg *msg)
{
	const char *name;
	size_t len;

	if (!val_bytes(element(p, 1), &name, &len))
		return bad(p, "a notification without a name");
	len = MIN(len, sizeof(p->name) - 1);
	memcpy(p->name, name, len);
	p->name[len] = '\0';
	msg->name = p->name;
	msg->params = element(p, 2);
	return 1;
}

static int parse_valued(
	struct client_parse *p, const char *body, size_t len, struct client_msg *msg)
{
	int err = decode(p, body, len);

	if (err)
		return err;
	if (msg->type == MSG_RESPONSE)
		return parse_response(p, msg);
	if (msg->type == MSG_NOTIFICATION)
		return parse_notification(p, msg);
	msg->event = element(p, 2);
	return val_type(msg->event) == VAL_MAP ? 1 : bad(p, "an event that is no map");
}

/* Elements that a message of the agent has at least; 0 for a type that it never sends. */
static size_t n_elements(uint32_t type)
{
	static const unsigned char n[] = {
		[MSG_RESPONSE] = 4,
		[MSG_NOTIFICATION] = 3,
		[MSG_DATA] = 4,
		[MSG_END] = 3,
		[MSG_EVENT] = 3,
		[MSG_CREDIT] = 3,
	};

	return type < ARRAY_LEN(n) ? n[type] : 0;
}

int client_parse(struct client_parse *p, const char *body, size_t len, struct client_msg *msg)
{
	struct scan scan;
	uint32_t type, channel;

	*msg = (struct client_msg){0};
	if (scan_message(body, len, &scan))
		return bad(p, scan.why);
	if (!part_u32(&scan, 0, &type))
		return bad(p, "a message without a type");
	if (n_elements(type) == 0)
		return 0;
	if (scan.n_parts < n_elements(type))
		return bad(p, "a message with too few elements");
	msg->type = (enum msg_type)type;
	if (type != MSG_NOTIFICATION && !part_u32(&scan, 1, &msg->id))
		return bad(p, "a message without an id");
	if (type == MSG_CREDIT)
		return part_u32(&scan, 2, &msg->credit) ? 1 : bad(p, "credit that is no number");
	if (type != MSG_DATA && type != MSG_END)
		return parse_valued(p, body, len, msg);
	if (!part_u32(&scan, 2, &channel))
		return bad(p, "a message without a channel");
	msg->channel = channel;
	if (type == MSG_DATA && !span_bytes(&scan.part[3], &msg->data, &msg->len))
		return bad(p, "data that is no bin");
	return 1;
}
