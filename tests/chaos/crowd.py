"""A crowd of clients that attach, stall, starve, cancel and vanish, and check every byte they get.

One thread, one epoll. The writers are bench/flood: each byte of their output is known from its
offset, so a message is verified by one comparison with a piece of a constant, and the clients are
faster than the agent that they test.

What each of them insists on:

    data    continues where the last data or gap ended, and is what the process wrote there
    gap     states exactly what is missing, and there was a reason: the bytes asked for were gone, or
            the client took nothing for as long as the stall limit
    no gap  where another attachment, one that cannot have gone on for want of credit, held the bytes
    exit    the same for everybody, after the last byte that it counts
"""

import heapq
import itertools
import select
import socket
import struct
import time
from collections import Counter

import msgpack

from client import CREDIT, DATA, END, EVENT, MAX_DATA, NOTIFY, REQUEST, RESPONSE, CANCEL, frame

LINES = b"".join(b"%010d\n" % i for i in range(9973))
CYCLE = len(LINES)
assert CYCLE > MAX_DATA
TWICE = LINES * 2

ENDLESS = 1 << 60

STALL_DEFAULT_MS = 30000
# Of the agent's stall limit a client is sure to be on the right side so long before it.
SURE = 0.8


class Loop:
    """epoll and timers."""

    def __init__(self):
        self.epoll = select.epoll()
        self.timers = []
        self.order = itertools.count()
        self.readers = {}

    def after(self, seconds, function):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), function))

    def watch(self, connection, events):
        fd = connection.sock.fileno()
        if fd in self.readers:
            self.epoll.modify(fd, events)
        else:
            self.readers[fd] = connection
            self.epoll.register(fd, events)

    def forget(self, connection):
        fd = connection.sock.fileno()
        del self.readers[fd]
        self.epoll.unregister(fd)

    def run(self, until, seconds, what):
        """Turn until `until()` is true; after `seconds` it is late: an AssertionError."""
        deadline = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            assert now < deadline, f"not within {seconds:g} s: {what() if callable(what) else what}"
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()
            wait = min(deadline, self.timers[0][0] if self.timers else deadline) - time.monotonic()
            for fd, events in self.epoll.poll(max(0, min(wait, 0.1))):
                if fd in self.readers:
                    self.readers[fd].ready(events)


class Connection:
    """One connection to the agent; `window` > 0 is credit mode from its first call on."""

    def __init__(self, loop, path, window=0):
        self.loop = loop
        self.window = window
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.sock.setblocking(False)
        self.closed = False
        self.calls = {}
        self.ids = itertools.count(1)
        self.rest = b""
        self.unsent = b""
        self.reading = True
        self.sip = 0                # bytes of one read, when reading slowly
        self.last_read = time.monotonic()
        self.longest = 0.0          # the longest time between two reads
        loop.watch(self, select.EPOLLIN)
        if window:
            self.call(Answer(lambda result: None), "hello", {"protocol": 1, "window": window})

    def close(self):
        self.loop.forget(self)
        self.sock.close()
        self.closed = True

    def call(self, handler, method, params=None):
        """Open a call: `handler` gets what belongs to it. Its id."""
        call = next(self.ids)
        self.calls[call] = handler
        self.send([REQUEST, call, method, params])
        return call

    def send(self, message):
        self.unsent += frame(message)
        self.flush()

    def flush(self):
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent):]
        except BlockingIOError:
            pass
        self.update()

    def update(self):
        if not self.closed:
            self.loop.watch(self, (select.EPOLLIN if self.reading else 0) |
                            (select.EPOLLOUT if self.unsent else 0))

    def read_on(self, reading):
        if not self.closed:
            self.reading = reading
            self.update()

    def ready(self, events):
        if self.unsent:
            self.flush()
        if not self.reading or not events & ~select.EPOLLOUT:
            return
        try:
            data = self.sock.recv(self.sip or 256 * 1024)
        except BlockingIOError:
            return
        assert data, f"the agent closed a connection; calls {self.calls}"
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last_read)
        self.last_read = now
        if self.sip:
            self.read_on(False)
            self.loop.after(0.005, lambda: self.read_on(True))
        self.feed(self.rest + data if self.rest else data)

    def feed(self, data):
        at = 0
        view = memoryview(data)
        while len(data) - at >= 4:
            (size,) = struct.unpack_from(">I", data, at)
            if len(data) - at - 4 < size:
                break
            message = msgpack.unpackb(view[at + 4:at + 4 + size], raw=False)
            at += 4 + size
            self.dispatch(message)
            if self.closed:
                return
        self.rest = data[at:]

    def dispatch(self, message):
        kind = message[0]
        assert kind != NOTIFY or message[1] == "keepalive", message
        handler = self.calls.get(message[1])
        assert handler or kind == NOTIFY, f"for no open call: {message!r:.200}"
        if kind == DATA:
            handler.data(message[2], message[3])
        elif kind == EVENT:
            handler.event(message[2])
        elif kind == END:
            handler.end(message[2])
        elif kind == RESPONSE:
            del self.calls[message[1]]
            handler.response(message[2], message[3])
        else:
            assert kind == NOTIFY, message


class Answer:
    """A call of which only the response is of interest: done(result), failed(error)."""

    def __init__(self, done, failed=None):
        self.done = done
        self.failed = failed

    def response(self, error, result):
        if error is None:
            self.done(result)
        else:
            assert self.failed, error
            self.failed(error)


class Process:
    """What we know of one process of the agent's."""

    def __init__(self, name, spec, phases, size=ENDLESS):
        self.id = name
        self.spec = {"id": name, **spec}
        self.phases = phases        # of its stdout and stderr; None: it writes nothing there
        self.size = size            # of its stdout
        self.pid = None
        self.running = False        # started, and we did nothing to end it
        self.removed = False
        self.exit = None
        self.anchors = []           # attachments that may hold its output

    def ended(self, result, by_itself):
        """One of the answers that tell of its end: the same, unless it came too early."""
        if not result["eof"]:
            return      # a slow client holds up the end of the output, and nobody waits for that
        assert self.exit is None or self.exit == result, f"{self.id}: {result} and before {self.exit}"
        self.exit = result
        if by_itself and self.size != ENDLESS:
            assert result["code"] == 0 and result["stdout_bytes"] == self.size, f"{self.id}: {result}"

    def held_from(self):
        """An offset of stdout from which on all bytes are kept for sure, or None."""
        self.anchors = [a for a in self.anchors if a.holds()]
        return min((a.upper_bound() for a in self.anchors if a.position), default=None)


class Attachment:
    """A proc.attach: what it got so far, and whether that can be right."""

    def __init__(self, member, process, stdout_from=None, stderr_from=None, starve_s=0, stall_ms=None):
        self.member = member
        self.crowd = member.crowd
        self.connection = member.connection
        self.process = process
        self.asked = (stdout_from, stderr_from)
        self.stall_ms = stall_ms or self.crowd.random.choice((500, 500, 1500, STALL_DEFAULT_MS))
        self.position = None        # the next byte of stdout and stderr; None: not attached yet
        self.missing = [0, 0]       # what the next gap has to announce
        self.granted = self.connection.window
        self.owed = 0               # consumed and not granted again
        self.starving = starve_s > 0
        self.canceled = False
        self.done = False
        self.got = 0
        self.opened = self.last_data = time.monotonic()
        self.longest = 0.0          # the longest time between two data messages
        params = {"id": process.id}
        if stdout_from is not None:
            params["stdout_from"] = stdout_from
        if stderr_from is not None:
            params["stderr_from"] = stderr_from
        if self.stall_ms != STALL_DEFAULT_MS:
            params["stall_ms"] = self.stall_ms
        self.call = self.connection.call(self, "proc.attach", params)
        member.attachments.append(self)
        if starve_s:
            if self.stall_ms == STALL_DEFAULT_MS:
                process.anchors.append(self)
            self.crowd.loop.after(starve_s, self.feed_again)

    def __repr__(self):
        return (f"<{self.process.id} asked={self.asked} at={self.position} got={self.got} stall_ms={self.stall_ms} "
                f"window={self.connection.window} longest={self.longest:.2f}/{self.connection.longest:.2f} s"
                f"{' canceled' if self.canceled else ''}>")

    # -- what it holds -------------------------------------------------------------------------------

    def holds(self):
        """Is the process surely held back by this one?"""
        return (not self.done and not self.canceled and not self.connection.closed and
                time.monotonic() - self.opened < STALL_DEFAULT_MS / 1000 * SURE)

    def upper_bound(self):
        """The agent's position in stdout cannot be behind that."""
        return self.start + self.granted

    # -- credit --------------------------------------------------------------------------------------

    def feed_again(self):
        self.starving = False
        self.grant()

    def grant(self):
        if self.owed and not self.done and not self.connection.closed and not self.starving:
            self.granted += self.owed
            self.connection.send([CREDIT, self.call, self.owed])
            self.owed = 0

    # -- what comes ----------------------------------------------------------------------------------

    def event(self, event):
        kind = event["type"]
        if kind == "attached":
            self.attached(event)
        elif kind == "gap":
            self.gap(event["channel"] - 1, event["lost"], event["offset"])
        else:
            raise AssertionError(f"{self}: event {event}")

    def attached(self, event):
        assert self.position is None, f"{self}: attached twice"
        assert event["info"]["id"] == self.process.id, event
        starts = [event["stdout_offset"], event["stderr_offset"]]
        self.position = list(starts)
        self.start = starts[0]
        for i in range(2):
            if self.asked[i] is not None and self.asked[i] >= 0:
                assert starts[i] >= self.asked[i], f"{self}: {event}"
                self.position[i] = self.asked[i]
                self.missing[i] = starts[i] - self.asked[i]
        held = self.process.held_from() if self.asked[0] else None
        if held is not None and self.asked[0] >= held:
            assert not self.missing[0], (f"{self}: stdout from {held} on was held by {self.process.anchors}, "
                                         f"but starts at {starts[0]}")
            self.crowd.seen["gapless returns"] += 1

    def gap(self, i, lost, offset):
        assert self.position, f"{self}: gap before attached"
        assert lost > 0 and offset == self.position[i] + lost, f"{self}: gap of {lost} to {offset}"
        if self.missing[i]:
            assert lost == self.missing[i], f"{self}: gap of {lost} where {self.missing[i]} are missing"
            self.missing[i] = 0
            self.crowd.seen["gaps at attach"] += 1
        else:
            quiet = max(self.longest, time.monotonic() - self.last_data, self.connection.longest)
            assert quiet * 1000 >= self.stall_ms * SURE, f"{self}: a gap of {lost}, and it never stalled"
            self.crowd.seen["gaps after a stall"] += 1
        self.position[i] = offset

    def data(self, channel, data):
        i = channel - 1
        phase = self.process.phases[i]
        assert self.position and not self.missing[i], f"{self}: data on {channel} too early"
        assert 0 < len(data) <= MAX_DATA, f"{self}: {len(data)} bytes"
        assert phase is not None, f"{self}: data on channel {channel}: {data[:80]}"
        if not TWICE.startswith(data, (phase + self.position[i]) % CYCLE):
            self.explain(phase, i, data)
        self.position[i] += len(data)
        self.got += len(data)
        self.crowd.bytes += len(data)
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last_data)
        self.last_data = now
        if self.connection.window:
            self.owed += len(data)
            assert self.got <= self.granted, f"{self}: beyond its credit"
            if self.owed >= self.connection.window // 2:
                self.grant()

    def explain(self, phase, i, data):
        at = (phase + self.position[i]) % CYCLE
        bad = next(n for n in range(len(data)) if data[n] != TWICE[at + n])
        found = LINES.find(data[bad:bad + 40]) if bad + 40 <= len(data) else -1
        shift = "unknown bytes" if found < 0 else \
            f"{(found - at - bad) % CYCLE} too far or {(at + bad - found) % CYCLE} back (mod {CYCLE})"
        raise AssertionError(f"{self}: channel {i + 1}, offset {self.position[i] + bad}, byte {bad} of {len(data)}: "
                             f"{data[bad:bad + 30]} instead of {TWICE[at + bad:at + bad + 30]}: {shift}")

    def end(self, channel):
        assert self.position, f"{self}: end before attached"

    def response(self, error, result):
        self.done = True
        if self in self.member.attachments:
            self.member.attachments.remove(self)
        if error is None:
            assert self.position and not any(self.missing), f"{self}: an end before the gap"
            assert result["eof"], f"{self}: {result}"
            self.process.ended(result, by_itself=self.process.running)
            assert self.position == [result["stdout_bytes"], result["stderr_bytes"]], f"{self}: {result}"
            self.crowd.seen["exits"] += 1
        elif error["code"] == "canceled":
            assert self.canceled, f"{self}: {error}"
            self.crowd.seen["cancels"] += 1
            if self.position:
                self.member.came_off(self)
        else:
            # What has exited is forgotten when we say so, or for want of room.
            assert error["code"] == "not_found" and not self.position, f"{self}: {error}"
            assert not self.process.running, f"{self}: {error}"

    def cancel(self):
        self.canceled = True
        self.connection.send([CANCEL, self.call])


class Member:
    """One client: a connection most of the time, a few attachments, and a restless temper."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.connection = None
        self.attachments = []
        self.left_off = []          # (process, position) to come back to

    def act(self):
        """The next thing it does; then again."""
        crowd = self.crowd
        if crowd.over:
            return
        r = crowd.random
        if self.connection is None:
            self.come_back()
            pause = r.uniform(0.05, 0.5)
        else:
            self.connection.sip = 0
            self.connection.read_on(True)
            what = r.choices(("read", "stall", "sip", "drop", "cancel", "attach"), (25, 25, 10, 15, 12, 13))[0]
            pause = getattr(self, what)()
        crowd.seen["acts"] += 1
        crowd.loop.after(pause, self.act)

    def read(self):
        return self.crowd.random.uniform(0.05, 0.8)

    def stall(self):
        self.connection.read_on(False)
        r = self.crowd.random
        return r.uniform(0.02, 0.4) if r.random() < 0.6 else r.uniform(0.6, 2.5)

    def sip(self):
        self.connection.sip = 16384
        return self.crowd.random.uniform(0.1, 0.6)

    def drop(self):
        """Gone without a word, as after a snapshot; perhaps in the middle of one."""
        r = self.crowd.random
        if r.random() < 0.2:
            self.connection.unsent = frame([REQUEST, 1 << 20, "system.ping", None])[:r.randrange(1, 12)]
            self.connection.flush()
        self.left_off = [(a.process, a.position) for a in self.attachments if a.position and not any(a.missing)]
        self.connection.close()
        self.connection = None
        self.attachments = []
        self.crowd.seen["drops"] += 1
        return r.uniform(0, 0.3) if r.random() < 0.7 else r.uniform(0.3, 2)

    def cancel(self):
        open_ones = [a for a in self.attachments if not a.canceled]
        if open_ones:
            self.crowd.random.choice(open_ones).cancel()
        return self.crowd.random.uniform(0, 0.3)

    def came_off(self, attachment):
        """A canceled call is over: mostly it goes on right there."""
        if not self.crowd.over and attachment.process.running and self.crowd.random.random() < 0.7:
            Attachment(self, attachment.process, *attachment.position)

    def attach(self):
        r = self.crowd.random
        if len(self.attachments) < 4:
            process = self.crowd.some_process()
            starve_s, stall_ms = 0, None
            if self.connection.window and r.random() < 0.6:
                # Longer than it may, or as one whose position is known exactly for want of credit.
                starve_s, stall_ms = r.choice(((r.uniform(0.6, 1.5), 500), (r.uniform(1, 6), STALL_DEFAULT_MS)))
            Attachment(self, process, self.some_offset(), self.some_offset(), starve_s, stall_ms)
        return r.uniform(0, 0.5)

    def some_offset(self):
        r = self.crowd.random
        return r.choice((None, None, 0, -r.randrange(1, 1 << 19)))

    def come_back(self):
        r = self.crowd.random
        self.connection = Connection(self.crowd.loop, self.crowd.path, r.choice((0, 0, 4096, 70_000, 1 << 20)))
        for process, position in self.left_off:
            if not process.removed:
                Attachment(self, process, *position)
        self.left_off = []
        if not self.attachments:
            self.attach()


class Crowd:
    """All members, all processes, and the one who starts and ends processes."""

    def __init__(self, path, random, flood, n_processes, n_members):
        self.path = path
        self.random = random
        self.flood = flood
        self.loop = Loop()
        self.over = False
        self.seen = Counter()
        self.bytes = 0
        self.slowest_ping = 0.0
        self.names = itertools.count()
        self.all = []               # every process ever
        self.current = []           # those that run
        self.control = Connection(self.loop, path)
        self.members = [Member(self) for _ in range(n_members)]
        for _ in range(n_processes):
            self.start_one()
        self.loop.run(lambda: len(self.current) == n_processes, 60, "all processes are started")

    # -- processes -----------------------------------------------------------------------------------

    def start_one(self):
        r = self.random
        phases = [r.randrange(CYCLE), None]
        size = ENDLESS
        spec = {"label": "chaos", "nice": 19, "ring": r.choice((4096, 20_000, 65536, 300_000, 1 << 20, 4 << 20))}
        kind = r.choices(("endless", "both", "pty", "finite"), (60, 15, 10, 15))[0]
        if kind == "both":
            phases[1] = r.randrange(CYCLE)
            spec["cmd"] = f"{self.flood} {size} {phases[1]} >&2 & exec {self.flood} {size} {phases[0]}"
        elif kind == "pty":
            spec["pty"] = {"rows": 50, "cols": 132}
            spec["cmd"] = f"stty -opost; exec {self.flood} {size} {phases[0]}"
        else:
            if kind == "finite":
                size = r.randrange(1, 60_000_000)
            spec["argv"] = [self.flood, str(size), str(phases[0])]
        process = Process(f"{kind}-{next(self.names)}", spec, phases, size)
        self.all.append(process)

        def started(info):
            assert info["id"] == process.id and info["status"] in ("running", "exited"), info
            process.pid = info["pid"]
            process.running = True
            self.current.append(process)
            if size != ENDLESS:
                self.control.call(Answer(lambda x: self.exited(process, x)), "proc.wait", {"id": process.id})

        self.control.call(Answer(started), "proc.start", process.spec)

    def exited(self, process, result):
        """One is gone, another comes."""
        process.ended(result, by_itself=process.running)
        process.running = False
        if process in self.current:
            self.current.remove(process)
        if self.over:
            return
        if self.random.random() < 0.5:
            process.removed = True
            self.control.call(Answer(lambda _: None, lambda e: self.not_removed(process, e)),
                              "proc.remove", {"id": process.id})
        self.start_one()

    def not_removed(self, process, error):
        assert error["code"] in ("not_found", "busy"), error

    def end_one(self):
        """By force, now and then."""
        if self.over:
            return
        process = self.random.choice(self.current)
        if process.running and process.size == ENDLESS:
            process.running = False
            self.seen["stops"] += 1
            self.control.call(Answer(lambda x: self.exited(process, x)), "proc.stop",
                              {"id": process.id, "signal": self.random.choice(("TERM", "KILL", "HUP"))})
        self.loop.after(self.random.uniform(0.05, 0.5), self.end_one)

    def some_process(self):
        r = self.random.random()
        held = [p for p in self.current if p.anchors] if r < 0.5 else None
        return self.random.choice(held or (self.current[:10] if r < 0.7 else self.current))

    # -- a minute of it ------------------------------------------------------------------------------

    def ping(self):
        sent = time.monotonic()

        def pong(_):
            self.slowest_ping = max(self.slowest_ping, time.monotonic() - sent)
            self.loop.after(0.1, self.ping)

        if not self.over:
            self.control.call(Answer(pong), "system.ping")

    def rage(self, seconds, watch):
        """Everybody acts for so long; `watch()` is called now and then."""
        until = time.monotonic() + seconds

        def watching():
            watch()
            self.loop.after(0.3, watching)

        watching()
        self.ping()
        self.end_one()
        for m in self.members:
            self.loop.after(self.random.uniform(0, 0.5), m.act)
        self.loop.run(lambda: time.monotonic() >= until, seconds + 30, "the time is over")
        self.over = True

    def settle(self, seconds):
        """All read and grant: then everybody gets on, whatever was before."""
        for m in self.members:
            if m.connection:
                m.connection.sip = 0
                m.connection.read_on(True)
            for a in m.attachments:
                a.feed_again()
        before = {a: a.got for m in self.members for a in m.attachments
                  if a.process.running and not a.canceled}

        def stuck():
            return [a for a, got in before.items()
                    if a.got == got and not a.done and a.process.running]

        self.loop.run(lambda: not stuck(), seconds, lambda: f"everybody gets on; stuck: {stuck()[:5]}")
        self.seen["got on"] = len(before)

    def stop_all(self, seconds):
        """By their label, while everybody is attached. Each attachment gets all up to the exit."""
        self.loop.run(lambda: all(p.pid for p in self.all), seconds, "the last ones are started")
        running = {p.id for p in self.current if p.running and p.size == ENDLESS}
        stopped = []
        for p in self.current:
            p.running = False

        self.control.call(Answer(stopped.append), "proc.stop", {"label": "chaos", "grace_ms": 10_000})
        self.loop.run(lambda: stopped, seconds, "proc.stop of the label")
        left_out = running - {x["id"] for x in stopped[0]}
        assert not left_out, left_out
        attached = [a for m in self.members for a in m.attachments]
        self.loop.run(lambda: all(a.done for a in attached), seconds,
                      lambda: f"the ends of {[a for a in attached if not a.done][:5]}")
        return stopped[0]

    def look_back(self, seconds):
        """Whoever comes after the end gets what is kept, the exact gap before it, and the exit."""
        member = Member(self)
        member.connection = Connection(self.loop, self.path)
        late = [Attachment(member, p, 0, 0) for p in self.all if not p.removed]
        self.loop.run(lambda: all(a.done for a in late), seconds,
                      lambda: f"the replay of {[a for a in late if not a.done][:5]}")
        member.connection.close()
        found = [a for a in late if a.position]
        self.seen["looked back"] = len(found)
        for a in found:
            assert a.got <= 2 * max(a.process.spec["ring"], 4096), f"{a}: more than the ring"

    def ask(self, method, params=None, seconds=30):
        """One call of the control connection, waited for."""
        answers = []
        self.control.call(Answer(answers.append), method, params)
        self.loop.run(lambda: answers, seconds, method)
        return answers[0]

    def forget_all(self, seconds):
        for info in self.ask("proc.list"):
            assert info["status"] == "exited", info
            self.ask("proc.remove", {"id": info["id"]}, seconds)
        assert self.ask("proc.list") == []

    def leave(self):
        for m in self.members:
            if m.connection:
                m.connection.close()
        self.control.close()
