/* system/hello.c - hello: token, flow control, limits, and who answers */
#include <string.h>

#include "base/ring.h"
#include "guestd/config.h"
#include "guestd/conn.h"
#include "guestd/identity.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/limits.h"
#include "proto/version.h"
#include "system/features.h"

struct hello_args {
	uint64_t protocol;
	const char *client;
	struct bytes token;
	uint64_t window;
	uint64_t max_frame;
	uint64_t keepalive_ms;
};

static const struct arg hello_table[] = {
	ARG(struct hello_args, protocol, .required = true),
	ARG(struct hello_args, client),
	ARG(struct hello_args, token),
	ARG(struct hello_args, window),
	ARG(struct hello_args, max_frame, .min = MIN_FRAME),
	ARG(struct hello_args, keepalive_ms, .max = 86400000),
	ARG_END,
};

static const struct {
	const char *name;
	uint64_t value;
} limits[] = {
	{"max_calls", MAX_CALLS},
	{"max_connections", MAX_CONNECTIONS},
	{"max_data", MAX_DATA},
	{"max_depth", MAX_DEPTH},
	{"max_elements", MAX_ELEMENTS},
	{"max_env", ENV_BYTES_MAX},
	{"max_env_vars", ENV_VARS_MAX},
	{"max_events", MAX_EVENTS},
	{"max_exited", MAX_EXITED},
	{"max_params", ARENA_CONN_MAX},
	{"max_params_total", ARENA_TOTAL_MAX},
	{"max_port_waits", MAX_PORT_WAITS},
	{"max_port_watches", MAX_PORT_WATCHES},
	{"max_ports", MAX_PORTS},
	{"max_processes", MAX_PROCESSES},
	{"max_ring", RING_MAX},
	{"max_unsent", OUT_HIGH},
	{"max_tunnels", MAX_TUNNELS},
	{"max_unread_input", INPUT_HIGH},
};

/* Takes the same time whatever the bytes are; the length is no secret. */
static bool token_matches(const struct bytes *token)
{
	const struct config *conf = config();
	unsigned char difference = 0;

	if (!conf->token)
		return true;
	if (!token->at || token->len != conf->token_len)
		return false;
	for (size_t i = 0; i < token->len; i++)
		difference |= (unsigned char)(token->at[i] ^ conf->token[i]);
	return difference == 0;
}

static void encode_result(const struct conn *conn, struct enc *e)
{
	enc_map_end(e, enc_map_begin(e), 11);
	enc_kv_uint(e, "protocol", PROTOCOL_VERSION);
	enc_kv_str(e, "agent", "guestd");
	enc_kv_str(e, "version", GUESTD_VERSION);
	features_encode(e);
	enc_kv_str(e, "instance", identity()->instance);
	enc_kv_str(e, "boot_id", identity()->boot_id);
	enc_kv_uint(e, "epoch", identity()->epoch);
	enc_kv_str(e, "kind", config()->kind == KIND_COMPUTER ? "computer" : "sandbox");
	enc_kv_uint(e, "window", INPUT_WINDOW);
	enc_kv_uint(e, "max_frame", conn->max_frame);
	enc_str(e, "limits");
	enc_map_end(e, enc_map_begin(e), ARRAY_LEN(limits) + 1);
	enc_kv_uint(e, "max_rings", ring_budget_max(RING_TOTAL_MAX));
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		enc_kv_uint(e, limits[i].name, limits[i].value);
}

static void hello_call(struct req *req, void *args)
{
	const struct hello_args *a = args;
	struct conn *conn = req->conn;
	struct enc e;

	if (a->protocol != PROTOCOL_VERSION) {
		req_fail(req, ERR_UNSUPPORTED, "this agent speaks protocol %d, not %llu",
			PROTOCOL_VERSION, (unsigned long long)a->protocol);
		return;
	}
	if (!token_matches(&a->token)) {
		req_fail(req, ERR_UNAUTHORIZED, "the token is %s",
			a->token.at ? "wrong" : "missing");
		return;
	}
	conn_set_authorized(conn);
	conn_set_window(conn, a->window);
	conn->max_frame =
		a->max_frame ? (uint32_t)MIN(a->max_frame, MAX_FRAME) : conn->first_max_frame;
	conn_set_keepalive(conn, (ev_tstamp)a->keepalive_ms / 1000);
	req_reply_begin(req, &e);
	encode_result(conn, &e);
	req_reply_end(req, &e);
}

METHOD(hello) = {
	.name = "hello",
	.doc = "Opens a session: shows the token, sets flow control, tells the limits.",
	.args = hello_table,
	.args_size = sizeof(struct hello_args),
	.call = hello_call,
	.quiet = true,
	.secret = true,
	.before_auth = true,
};
