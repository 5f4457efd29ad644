"""What the tests of fs.watch share: a watch, the picture of a tree that its events draw, and agents with a
backend of our choice.

The picture is strict. It knows nothing but the events, and refuses one that a client could make no sense of:
something created in a directory that nobody told of, the end or the new name of what was never there.
"""

import contextlib
import ctypes
import itertools
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from client import LONG, TIMEOUT, RpcError, connect
from files import sh
from support import REMOTE, Daemon, Remote, eventually, unique

CHANGES = ("created", "modified", "deleted", "renamed", "attributes")

# How the marks are called that say "up to here"; a picture leaves them out.
MARK = ".mark-"
MARKS = itertools.count()


def _has_fanotify():
    """Whether this process may watch a whole file system."""
    FAN_REPORT_DFID_NAME, FAN_CLOEXEC = 0xc00, 1
    fd = ctypes.CDLL(None).fanotify_init(FAN_REPORT_DFID_NAME | FAN_CLOEXEC, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


BACKENDS = ["inotify", "fanotify"] if REMOTE or _has_fanotify() else ["inotify"]


# -- the picture that events draw ------------------------------------------------------------------

def as_bytes(path):
    return path.encode() if isinstance(path, str) else path


class Node:
    """A name in the picture: what is below it, None for what is no directory; whether an event told of new
    content since forget()."""

    __slots__ = ("below", "told")

    def __init__(self, is_dir):
        self.below = {} if is_dir else None
        self.told = True


class Picture:
    """A tree as a client sees it who has nothing but the events."""

    def __init__(self, root):
        self.root = as_bytes(root).rstrip(b"/")
        self.top = Node(True)

    def _names(self, path):
        path = as_bytes(path)
        assert path.startswith(self.root + b"/"), f"{path!r} is not below {self.root!r}"
        names = path[len(self.root) + 1:].split(b"/")
        assert all(names), f"{path!r} has an empty name"
        return names

    def _place(self, path):
        """The node of the directory that it is in, and its name there."""
        *parents, name = self._names(path)
        node = self.top
        for parent in parents:
            node = node.below.get(parent) if node.below is not None else None
            assert node is not None and node.below is not None, f"{path!r}: nobody told of its directory {parent!r}"
        return node, name

    def apply(self, event):
        kind = event["type"]
        assert kind in CHANGES and type(event["dir"]) is bool, event
        assert ("old_path" in event) == (kind == "renamed"), event
        if as_bytes(event["path"]).rstrip(b"/") == self.root:
            assert kind in ("attributes", "modified"), event
            return
        if as_bytes(event["path"]).startswith(self.root + b"/" + MARK.encode()):
            return
        parent, name = self._place(event["path"])
        node = parent.below.get(name)
        if kind == "created":
            if node is None or (node.below is not None) != event["dir"]:
                parent.below[name] = Node(event["dir"])
            else:
                node.told = True
            return
        if kind == "renamed":
            old_parent, old_name = self._place(event["old_path"])
            node = old_parent.below.pop(old_name, None)
            assert node is not None, f"{event}: nobody told of what was renamed"
            parent.below[name] = node
        elif kind == "deleted":
            assert node is not None, f"{event}: nobody told of what was deleted"
            del parent.below[name]
        else:
            assert node is not None, f"{event}: nobody told of it"
            node.told = node.told or kind == "modified"
        assert (node.below is not None) == event["dir"], f"{event}: it is of another type"

    def items(self, node=None, prefix=b""):
        """(path below the root, node) of all, in no order."""
        for name, child in (node or self.top).below.items():
            path = prefix + name
            yield path, child
            if child.below:
                yield from self.items(child, path + b"/")

    def names(self):
        """{path below the root: is it a directory?}"""
        return {path: node.below is not None for path, node in self.items()}

    def forget(self):
        """Content is to be told of again."""
        for _, node in self.items():
            node.told = False

    def know(self, names):
        """Begin with what was there before the watch: {path below the root: is it a directory?}"""
        for path in sorted(names):
            parent, name = self._place(self.root + b"/" + path)
            parent.below[name] = Node(names[path])


def tree_of(client, root):
    """What is there: {path below the root in bytes: is it a directory?}"""
    script = 'cd "$1"; find . -type d -print0; printf "\\0"; find . ! -type d -print0'
    call = client.open("proc.exec", {"argv": ["sh", "-ec", script, "sh", as_bytes(root)]})     # may be more than a frame holds
    assert call.wait(LONG)["code"] == 0, bytes(call.stderr)
    dirs, _, others = bytes(call.stdout).partition(b"\0\0")
    found = {path[2:]: False for path in others.split(b"\0")} | {path[2:]: True for path in dirs.split(b"\0")}
    return {path: is_dir for path, is_dir in found.items()
            if path and not path.rpartition(b"/")[2].startswith(MARK.encode())}


# -- a watch ---------------------------------------------------------------------------------------

class Watch:
    """An open fs.watch that is ready. Its changes go into a picture, as they come."""

    def __init__(self, client, path, known=None, timeout=LONG, **params):
        self.client = client
        self.root = path
        self.coalesce_s = params.get("coalesce_ms", 20) / 1000
        self.picture = Picture(path)
        self.picture.know(known or {})
        self.strict = "events" not in params
        self.call = client.open("fs.watch", {"path": path, **params})
        self.ready = self.call.event("ready", timeout)
        assert type(self.ready["watches"]) is int and self.ready["watches"] >= 0, self.ready
        assert self.ready["backend"] in ("inotify", "fanotify"), self.ready
        assert self.call.events[0] == self.ready, self.call.events
        self.overflows = 0
        self.in_order = True        # but between an overflow and its resync
        self._taken = 1             # how many of the call's events were looked at
        self._first = {}            # of each type and path

    def cancel(self):
        """End it; the call answers `canceled`."""
        self.call.cancel()
        try:
            raise AssertionError(f"canceled, and the result is {self.call.wait()}")
        except RpcError as e:
            assert e.code == "canceled" and e.message, e

    def take(self):
        """Look at what came, and put it into the picture."""
        events = self.call.events
        while self._taken < len(events):
            event = events[self._taken]
            self._taken += 1
            kind = event["type"]
            if kind in CHANGES:
                self._first.setdefault((kind, as_bytes(event["path"])), event)
                if self.strict:
                    self.picture.apply(event)
            else:
                assert kind in ("overflow", "resync", "root_deleted", "unwatched"), event
                self.overflows += kind == "overflow"
                if kind in ("overflow", "resync"):
                    self.in_order = kind == "resync"

    def forget(self):
        """All events so far, but not the picture; how many they were. What is told from now on is first again."""
        self.take()
        count = len(self.call.events)
        self.call.events.clear()
        self.call.places.clear()
        self.call.kinds.clear()
        self._taken = 0
        self._first.clear()
        self.overflows = 0
        return count

    def changes(self, *kinds):
        """The changes so far, without the marks; of these types, or all."""
        self.take()
        return [e for e in self.call.events if e["type"] in (kinds or CHANGES) and
                MARK.encode() not in as_bytes(e["path"])]

    def told(self, kind):
        """The paths of the changes of that type."""
        return [e["path"] for e in self.changes(kind)]

    def short(self):
        """The changes as (type, path below the root)."""
        cut = len(as_bytes(self.root)) + 1
        return [(e["type"], as_bytes(e["path"])[cut:].decode()) for e in self.changes()]

    def until(self, condition, what, timeout=TIMEOUT):
        """Take what comes until the condition is true."""
        def check():
            self.take()
            return condition()
        assert self.call.pump(check, timeout, what), f"ended before {what}: {self.call.error or self.call.result}"

    def wait(self, kind, path, timeout=TIMEOUT):
        """The first change of that type and path; waits for it."""
        key = (kind, as_bytes(path))
        self.until(lambda: key in self._first, f"{kind} {path!r}", timeout)
        return self._first[key]

    def settle(self, make, timeout=LONG):
        """Wait until all that was done before is told: marks, made by make(path), have been seen, and no
        event can still be held back to be put together with others."""
        for pause in (0, 2 * self.coalesce_s + 0.02):
            time.sleep(pause)
            mark = f"{MARK}{next(MARKS)}"
            path = self.root.rstrip(b"/") + b"/" + mark.encode() if isinstance(self.root, bytes) else f"{self.root.rstrip('/')}/{mark}"
            make(path)
            self.wait("created", path, timeout)
            self.until(lambda: self.in_order, "resync", timeout)


    def listen(self, seconds):
        """Take what comes for so long."""
        deadline = time.monotonic() + seconds
        while select.select([self.client.sock], [], [], max(0, deadline - time.monotonic()))[0]:
            self.client.take()
        self.take()

    def becomes(self, check, timeout=TIMEOUT):
        """check() until it asserts nothing: a mark may be told of ahead of what was before it, where the directory
        that it is in is read anew."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return check()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            self.listen(0.1)


class Scene:
    """A directory of the guest, a shell there, and watches of it."""

    def __init__(self, agent, client, directory):
        self.agent = agent
        self.client = client        # the shell's, and for what else is asked meanwhile
        self.dir = directory
        self._opened = []

    def path(self, name):
        return f"{self.dir}/{name}"

    def sh(self, script, *args):
        """Run it in the directory."""
        return sh(self.client, 'cd "$1"; shift; ' + script, self.dir, *args)

    def sh_while(self, script, *watches):
        """The same, while these watches are read."""
        call = self.client.open("proc.run", {"argv": ["sh", "-ec", 'cd "$1"; ' + script, "sh", self.dir]})
        clients = {w.client.sock: w.client for w in watches} | {self.client.sock: self.client}
        deadline = time.monotonic() + 2 * LONG
        while not call.done:
            assert time.monotonic() < deadline, script
            for sock in select.select(list(clients), [], [], 1)[0]:
                clients[sock].take()
        assert call.wait()["code"] == 0, (script, call.result)

    def outside(self, script):
        """The same, but not by the agent: that may be held."""
        if REMOTE:
            with self.agent.outer.connect() as c:
                sh(c, f'cd "$1"; {script}', self.dir)
        else:
            subprocess.run(["sh", "-ec", script], cwd=self.dir, check=True)

    def watch(self, path=None, client=None, **params):
        """A watch of the directory, or of another path, on a connection of its own. What is there already is in
        its picture."""
        path = self.dir if path is None else path
        is_dir = self.client.call("fs.exists", {"path": path}).get("type") == "dir"
        known = tree_of(self.client, path) if is_dir else None
        return Watch(client or self.connect(), path, known, **params)

    def connect(self):
        client = self.agent.connect()
        self._opened.append(client)
        return client

    def touch(self, path):
        self.client.call("fs.put", {"path": path, "data": b"", "atomic": False})

    def settle(self, watch, timeout=LONG):
        watch.settle(self.touch, timeout)

    def matches(self, watch, timeout=LONG):
        """Wait for all of it; then the picture is the tree."""
        self.settle(watch, timeout)
        there = tree_of(self.client, watch.root)

        def check():
            seen = watch.picture.names()
            assert seen == there, {"only told of": {p: d for p, d in seen.items() if there.get(p) != d},
                                   "not told of": {p: d for p, d in there.items() if seen.get(p) != d}}
        watch.becomes(check)
        return watch

    def close(self):
        for client in self._opened:
            client.close()


# -- agents ----------------------------------------------------------------------------------------

class Guest:
    """One more agent inside of the guest, for it is the first one that decides how it is started. Reached by a
    vsock port of its own."""

    pid = None      # of no process that we see
    ports = itertools.count(2000)

    def __init__(self, agent, *options):
        self.outer = agent
        port = next(self.ports)
        self.endpoint = f"{agent.endpoint.rpartition(':')[0]}:{port}"
        with agent.connect() as c:
            info = c.call("proc.start", {"argv": ["guestd", "--listen", f"vsock:{port}", "--run-dir", f"/run/watch-{port}",
                                                  *options], "id": unique("watch")})
            self.id, self.inner_pid = info["id"], info["pid"]

            def listening():
                log = c.call("proc.logs", {"id": self.id})["text"]
                ended = [p for p in c.call("proc.list") if p["id"] == self.id and p["status"] != "running"]
                assert not ended, log
                return b"ready" in log
            # Nothing may dial a port before somebody listens there.
            eventually(listening, "one more agent listens")

    def connect(self):
        return connect(self.endpoint)

    def signal(self, name):
        with self.outer.connect() as c:
            c.call("proc.signal", {"id": self.id, "signal": name, "scope": "leader"})

    def close(self):
        with self.outer.connect() as c, contextlib.suppress(RpcError):
            c.call("proc.stop", {"id": self.id})


@contextlib.contextmanager
def agent_with(*options):
    """An agent that was started with these options, where the tests run: a Daemon, or a Guest."""
    it = Guest(Remote(os.environ["GUESTD_ENDPOINT"]), *options) if REMOTE else Daemon(*options)
    try:
        yield it
    finally:
        it.close()


@contextlib.contextmanager
def held(agent):
    """It gets no time meanwhile, as on a machine that is busy: what happens piles up in the kernel."""
    if REMOTE:
        agent.signal("STOP")
    else:
        os.kill(agent.pid, signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it stands still")
    try:
        yield
    finally:
        if REMOTE:
            agent.signal("CONT")
        else:
            os.kill(agent.pid, signal.SIGCONT)


# -- fixtures, for the modules that import them ----------------------------------------------------

@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    """Each of what the kernel offers to be told of changes."""
    return request.param


@pytest.fixture(scope="module")
def with_backend(backend):
    with agent_with("--watch-backend", backend) as it:
        yield it


@pytest.fixture
def agent(with_backend):
    """In place of the one that other tests share: it watches with the backend."""
    yield with_backend
    if not REMOTE:
        assert with_backend.proc.poll() is None, f"guestd ended by itself:\n{with_backend.log()}"


@pytest.fixture
def scene(agent, client, guest_dir):
    """An empty directory, in the middle of others."""
    sh(client, 'mkdir "$1/root"; chmod 755 "$1/root"', guest_dir)
    it = Scene(agent, client, f"{guest_dir}/root")
    yield it
    it.close()
