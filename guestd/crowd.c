/* guestd/crowd.c - who gives way when there are too many connections */
#include "guestd/crowd.h"

/* Seconds of silence before a connection that said nothing, or shows no token, may have to go. */
#define MUTE_GRACE 5.0

/* The same for one that was used, and has no call open. */
#define IDLE_GRACE 60.0

static bool is_mute(const struct conn *conn)
{
	return !conn->heard || !conn->authorized;
}

static ev_tstamp silence(const struct conn *conn)
{
	return loop_now() - MAX(conn->last_in, conn->last_out);
}

static bool may_go(const struct conn *conn)
{
	return conn->state == CONN_OPEN && !conn->refused && conn->n_reqs == 0 &&
	       silence(conn) > (is_mute(conn) ? MUTE_GRACE : IDLE_GRACE);
}

static bool less_missed(const struct conn *conn, const struct conn *than)
{
	if (is_mute(conn) != is_mute(than))
		return is_mute(conn);
	return silence(conn) > silence(than);
}

struct conn *crowd_least_missed(const struct list *all)
{
	struct conn *found = NULL;

	list_each(link, all) {
		struct conn *conn = CONTAINER_OF(link, struct conn, link);

		if (may_go(conn) && (!found || less_missed(conn, found)))
			found = conn;
	}
	return found;
}
