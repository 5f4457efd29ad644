/* net/scanner.c - which ports of the guest are open, for whoever wants to know */
#include "net/scanner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/area.h"
#include "guestd/event.h"
#include "guestd/job.h"
#include "net/address.h"
#include "net/owners.h"
#include "proc/process.h"
#include "proto/limits.h"

/* Seconds: see the header. */
#define FAST   0.02
#define WATCH  0.05
#define SLOW   0.5
#define ACTIVE 10.0
#define EAGER  30.0

/* A scan may take one part in so many of the time. */
#define COST_SHARE 50

static struct {
	struct list clients;
	bool audience; /* somebody reads system.events */
	ev_tstamp active;
	struct ev_timer timer;
	struct event_tap tap;
	uint64_t begun; /* scans */
	bool running;

	/* The worker reads it, and nobody writes to it while a scan runs. */
	struct port *ports;
	size_t n;
	bool known; /* there was a scan */
	uint64_t version;
	struct picture journal;

	/* the scan that runs */
	struct job job;
	struct port *found;
	size_t n_found;
	int err;
	ev_tstamp cost; /* seconds of a processor */
} scanner = {.clients = {&scanner.clients, &scanner.clients}};

/* On the worker */

static int by_key(const void *a, const void *b)
{
	const struct port *x = a, *y = b;

	return sockets_compare(&x->sock, &y->sock);
}

static const struct port *find_known(const struct listening *l)
{
	const struct port key = {.sock = *l};

	return scanner.n ? bsearch(&key, scanner.ports, scanner.n, sizeof(key), by_key) : NULL;
}

static int by_address(const void *a, const void *b)
{
	return sockets_compare(a, b);
}

/* Is one that was known not among them? */
static bool some_gone(const struct sockets *s)
{
	for (size_t i = 0; i < scanner.n; i++) {
		if (!s->n ||
			!bsearch(&scanner.ports[i].sock, s->at, s->n, sizeof(*s->at), by_address))
			return true;
	}
	return false;
}

static ev_tstamp thread_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (ev_tstamp)ts.tv_sec + (ev_tstamp)ts.tv_nsec / 1e9;
}

static int find_sockets(struct sockets *s)
{
	ev_tstamp from = thread_seconds();
	int err = sockets_find(s);

	sockets_sort(s);
	/*
	 * The kernel's dump comes in pieces, and where sockets close between two of them others may
	 * be passed over: what is missing has to be missing twice.
	 */
	if (!err && some_gone(s)) {
		err = sockets_find(s);
		sockets_sort(s);
	}
	scanner.cost = thread_seconds() - from;
	return err;
}

static int by_inode(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static void find_owners(struct port *ports, size_t n)
{
	struct owner *owners = xcalloc(n + 1, sizeof(*owners));
	size_t wanted = 0;

	for (size_t i = 0; i < n; i++) {
		if (!ports[i].looked)
			owners[wanted++].inode = ports[i].sock.inode;
	}
	owners_find(owners, wanted);
	for (size_t i = 0; i < n && wanted; i++) {
		const struct owner key = {.inode = ports[i].sock.inode}, *found;

		if (ports[i].looked)
			continue;
		found = bsearch(&key, owners, wanted, sizeof(key), by_inode);
		ports[i].pid = found ? found->pid : 0;
	}
	free(owners);
}

static void read_comm(struct port *p)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	if (!p->pid || fd_read_file(path, p->comm, sizeof(p->comm)) < 0)
		p->comm[0] = '\0';
	p->comm[strcspn(p->comm, "\n")] = '\0';
}

/* Is the socket of OLD among the N that share its address now, and its process still there? */
static bool is_same(const struct port *old, const struct listening *at, size_t n)
{
	if (old->pid && kill(old->pid, 0) < 0 && errno == ESRCH)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (at[i].inode == old->sock.inode)
			return true;
	}
	return false;
}

/* One entry for each address.  What is known of those that were there before stays. */
static int make_ports(const struct sockets *s)
{
	struct port *ports = xcalloc(MIN(s->n, MAX_PORTS) + 1, sizeof(*ports));
	size_t n = 0, together;

	for (size_t i = 0; i < s->n; i += together) {
		const struct port *old = find_known(&s->at[i]);

		if (n == MAX_PORTS) {
			free(ports);
			return ERR_LIMIT;
		}
		for (together = 1; i + together < s->n; together++) {
			if (sockets_compare(&s->at[i], &s->at[i + together]) != 0)
				break;
		}
		if (old && is_same(old, &s->at[i], together))
			ports[n++] = *old;
		else
			ports[n++].sock = s->at[i];
	}
	find_owners(ports, n);
	for (size_t i = 0; i < n; i++) {
		if (!ports[i].looked)
			read_comm(&ports[i]);
	}
	scanner.found = ports;
	scanner.n_found = n;
	return 0;
}

static void scan_work(struct job *job)
{
	struct sockets s = {0};

	(void)job;
	scanner.err = find_sockets(&s);
	if (!scanner.err)
		scanner.err = s.truncated ? ERR_LIMIT : make_ports(&s);
	sockets_fini(&s);
}

/* On the loop */

static ev_tstamp interval(void)
{
	ev_tstamp now = loop_now();
	ev_tstamp pace = now - scanner.active < ACTIVE ? FAST : SLOW;

	list_each(link, &scanner.clients) {
		const struct scan_client *c = CONTAINER_OF(link, struct scan_client, link);
		bool eager = c->pace == PACE_WAIT && now - c->since < EAGER;

		pace = MIN(pace, eager ? FAST : WATCH);
	}
	return MAX(pace, COST_SHARE * scanner.cost);
}

static bool is_wanted(void)
{
	return scanner.audience || !list_empty(&scanner.clients);
}

static void sleep_for(ev_tstamp seconds)
{
	scanner.timer.repeat = seconds;
	ev_timer_again(loop_ev(), &scanner.timer);
}

static void begin(void)
{
	ev_timer_stop(loop_ev(), &scanner.timer);
	if (scanner.running)
		return;
	if (job_submit(&scanner.job) < 0) {
		sleep_for(WATCH);
		return;
	}
	scanner.running = true;
	scanner.begun++;
}

static void on_timer(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	begin();
}

/* Somebody joined while the last scan ran already. */
static bool somebody_waits(void)
{
	list_each(link, &scanner.clients) {
		if (CONTAINER_OF(link, struct scan_client, link)->after > scanner.begun)
			return true;
	}
	return false;
}

static void go_on(void)
{
	if (somebody_waits())
		begin();
	else if (is_wanted())
		sleep_for(interval());
	else
		ev_timer_stop(loop_ev(), &scanner.timer);
}

static void name_processes(void)
{
	const struct process *p = NULL;
	pid_t pid = 0;

	for (size_t i = 0; i < scanner.n; i++) {
		struct port *port = &scanner.ports[i];

		if (port->looked)
			continue;
		port->looked = true;
		if (port->pid != pid) { /* as a rule one process has many */
			pid = port->pid;
			p = pid ? process_of(pid) : NULL;
		}
		if (p)
			snprintf(port->id, sizeof(port->id), "%s", p->id);
	}
}

static void publish(void *ctx, const struct told *told, const struct port *port)
{
	bool has_id = port && port->id[0], has_comm = port && port->comm[0];
	size_t n = 2 + (told->pid != 0) + has_id + has_comm;
	struct enc *e = event_begin(port ? "port_opened" : "port_closed", 0, n);

	told_encode(told, e);
	if (has_comm)
		enc_kv_text(e, "comm", port->comm);
	if (has_id)
		enc_kv_text(e, "id", port->id);
	event_end();
	(void)ctx;
	scanner.active = loop_now();
	scanner.version++;
}

static void no_event(void *ctx, const struct told *told, const struct port *port)
{
	(void)ctx, (void)told, (void)port;
}

static void scan_done(struct job *job)
{
	(void)job;
	scanner.running = false;
	if (!scanner.err) {
		free(scanner.ports);
		scanner.ports = scanner.found;
		scanner.n = scanner.n_found;
		name_processes();
		/* What was open before anybody looked is no event. */
		net_picture_update(&scanner.journal, scanner.known ? publish : no_event, NULL);
		scanner.known = true;
	} else {
		log_limited(LOG_WARN, "scanner", "cannot look at the ports err=%s",
			err_name(scanner.err));
	}
	scanner.found = NULL;
	list_each_safe(link, &scanner.clients) {
		struct scan_client *c = CONTAINER_OF(link, struct scan_client, link);

		if (c->after <= scanner.begun)
			c->scanned(c, scanner.err);
	}
	go_on();
}

void scan_join(struct scan_client *c)
{
	c->after = scanner.begun + 1;
	c->since = loop_now();
	list_add_tail(&scanner.clients, &c->link);
	begin();
}

void scan_leave(struct scan_client *c)
{
	list_del(&c->link);
	if (!is_wanted())
		ev_timer_stop(loop_ev(), &scanner.timer);
}

const struct port *scan_ports(size_t *n)
{
	*n = scanner.n;
	return scanner.ports;
}

uint64_t scan_version(void)
{
	return scanner.version;
}

int scan_failure(struct failure *f, int err)
{
	if (err == ERR_LIMIT)
		return failure_set(f, err, NULL, NULL,
			"more than max_ports (%u) addresses are listened on", MAX_PORTS);
	return failure_set(
		f, err, NULL, NULL, "cannot find out which sockets listen: %s", strerror(-err));
}

/* The journal */

static void on_audience(struct event_tap *tap, bool any)
{
	(void)tap;
	scanner.audience = any;
	if (any)
		begin();
	else if (!is_wanted())
		ev_timer_stop(loop_ev(), &scanner.timer);
}

static void on_event(struct event_tap *tap, const char *type)
{
	(void)tap;
	if (strcmp(type, "process_started") != 0)
		return;
	scanner.active = loop_now();
	if (is_wanted() && !scanner.running && ev_timer_remaining(loop_ev(), &scanner.timer) > FAST)
		sleep_for(FAST);
}

static int scanner_start(void)
{
	scanner.job = (struct job){.class = JOB_QUICK, .work = scan_work, .done = scan_done};
	scanner.active = -ACTIVE;
	ev_init(&scanner.timer, on_timer);
	scanner.tap = (struct event_tap){.audience = on_audience, .made = on_event};
	event_tap_start(&scanner.tap);
	return 0;
}

static void scanner_stop(void)
{
	ev_timer_stop(loop_ev(), &scanner.timer);
	if (scanner.running)
		return; /* the worker that is stuck in it still has its hands on all of this */
	free(scanner.ports);
	scanner.ports = NULL;
	net_picture_fini(&scanner.journal);
}

AREA(net) = {
	.name = "net",
	.start = scanner_start,
	.stop = scanner_stop,
};
