"""A service manager that stores descriptors holds the output of what runs while there is no agent (sd_pid_notify_with_fds(3))."""

import array
import contextlib
import os
import select
import shlex
import signal
import socket
import sys

import pytest

from client import TIMEOUT
from support import assert_exit, error_of, eventually, has_written, info_of, rounds
from test_found import cgroup, generation, is_alive, start  # noqa: F401 (fixtures)

pytestmark = pytest.mark.local

# Moves the descriptors to 3 and on, as sd_listen_fds(3) has it: LISTEN_PID is the agent's, exec keeps it.
ACTIVATE = """
import fcntl, os, sys
fds, names = [int(n) for n in sys.argv[1].split(",") if n], sys.argv[2]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 2000) for fd in fds]
for fd in fds:
    os.close(fd)
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """It stores, forgets, and hands over as systemd does; `listeners` are {name: socket} of socket units."""

    def __init__(self, path, generation, room):
        self.path, self.generation, self.room = str(path), generation, room
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.stored, self.listeners = {}, {}

    def take(self):
        """What was said so far; the table then."""
        while select.select([self.socket], [], [], 0)[0]:
            text, ancillary, *_ = self.socket.recvmsg(4096, 256)
            lines = dict(line.split("=", 1) for line in text.decode().split("\n"))
            fds = array.array("i", b"".join(data for _, kind, data in ancillary if kind == socket.SCM_RIGHTS))
            if "FDSTORE" in lines:
                assert len(fds) == 1 and lines["FDPOLL"] == "0" and lines["FDNAME"] not in self.stored, lines
                assert lines["FDNAME"].isprintable() and ":" not in lines["FDNAME"]
                self.stored[lines["FDNAME"]] = fds[0]
            elif "FDSTOREREMOVE" in lines:
                os.close(self.stored.pop(lines["FDNAME"]))
            else:
                assert not fds
        return self.stored

    def has(self, n):
        eventually(lambda: len(self.take()) == n, f"{n} are stored, not {len(self.stored)}")

    def agent(self, *args, **kwargs):
        """The next agent, with all that is there."""
        self.take()
        given = {**{name: s.fileno() for name, s in self.listeners.items()}, **self.stored}
        activate = [sys.executable, "-c", ACTIVATE, ",".join(map(str, given.values())), ":".join(given)]
        env = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": self.path}
        if self.room:
            env["FDSTORE"] = str(self.room)
        return self.generation(*args, env=env, pass_fds=list(given.values()), wrap=lambda command: activate + command,
                               **kwargs)

    def close(self):
        self.socket.close()
        for fd in self.take() if self.socket.fileno() >= 0 else self.stored.values():
            os.close(fd)


@pytest.fixture
def manager(generation, tmp_path):      # noqa: F811
    with contextlib.ExitStack() as stack:
        def make(room=960):
            made = Manager(tmp_path / f"notify-{room}", generation, room)
            stack.callback(made.close)
            return made
        yield make


LINES = "i=0; while [ ! -e {0} ]; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.001; done; exit 6"


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_no_line_is_missing(manager, tmp_path, how):
    systemd = manager()
    enough = tmp_path / "enough"
    agent = systemd.agent()
    with agent.connect() as c:
        start(c, cmd=LINES.format(enough), id="lines")
        has_written(c, "lines", 30, 30)
    for turn in range(3):
        if how == "ended":
            agent.stop()
        agent = systemd.agent()
        with agent.connect() as c:
            has_written(c, "lines", 200, 200)
    systemd.has(2)
    with agent.connect() as c:
        enough.touch()
        call = c.open("proc.attach", {"id": "lines", "stdout_from": 0, "stderr_from": 0})
        assert_exit(call.wait(), code=6)
        for text in call.stdout, call.stderr:
            lines = [int(line) for line in bytes(text).split(b"\n")[:-1]]
            assert lines[0] > 1 and len(lines) > 20
            assert lines == list(range(lines[0], lines[0] + len(lines)))
    systemd.has(0)


def test_last_words(manager, tmp_path):
    """All that it wrote, it wrote while there was no agent, more than a turn of the loop reads; then it went."""
    systemd = manager()
    go, gone = tmp_path / "go", tmp_path / "gone"
    agent = systemd.agent()
    with agent.connect() as c:
        info = start(c, cmd=f"until [ -e {go} ]; do sleep 0.01; done; seq 1 10000; echo words >&2; touch {gone}", id="words")
    systemd.has(2)
    agent.kill()
    go.touch()
    eventually(gone.exists, "it has written")
    eventually(lambda: not is_alive(info["pid"]), "it ended")
    with systemd.agent().connect() as c:
        assert_exit(c.call("proc.wait", {"id": "words"}), code=0)
        assert c.call("proc.logs", {"id": "words", "stream": "stdout", "tail": 10001})["text"].split() \
            == [b"%d" % i for i in range(1, 10001)]
        assert c.call("proc.logs", {"id": "words", "stream": "stderr"})["text"] == b"words\n"
    systemd.has(0)


def test_a_full_pipe_waits(manager, tmp_path):
    """A writer is held back until there is an agent, not killed."""
    systemd = manager()
    go = tmp_path / "go"
    agent = systemd.agent()
    with agent.connect() as c:
        info = start(c, cmd=f"until [ -e {go} ]; do sleep 0.01; done; seq 1 100000; exit 3", id="much", ring=1 << 20)
    systemd.has(2)
    agent.kill()
    go.touch()
    with systemd.agent().connect() as c:
        assert_exit(c.call("proc.wait", {"id": "much"}), code=3)
        assert info_of(c, "much")["stdout_offset"] == len("".join(f"{i}\n" for i in range(1, 100001)))
    assert not is_alive(info["pid"])


def test_who_is_abandoned_gets_sigpipe(manager, tmp_path):
    systemd = manager()
    writer = tmp_path / "writer"
    loop = f"while echo x; do sleep 0.01; done 2>/dev/null & echo $! >{writer}; exit 0"
    agent = systemd.agent()
    for restart in False, True:
        with agent.connect() as c:
            start(c, cmd=loop, id="left")
            c.call("proc.wait", {"id": "left"})
        pid = int(writer.read_text())
        systemd.has(1)          # it has no stderr
        if restart:
            agent = systemd.agent()
        assert is_alive(pid)
        with agent.connect() as c:
            has_written(c, "left", 10)
            c.call("proc.wait", {"id": "left"})
            c.call("proc.remove", {"id": "left"})
        systemd.has(0)
        eventually(lambda: not is_alive(pid), "SIGPIPE ends it")


def test_what_is_kept(manager):
    """Short ones without an id, terminals and input are not; nor what is not found again."""
    systemd = manager()
    agent = systemd.agent()
    with agent.connect() as c:
        for i in range(rounds(100)):
            c.call("proc.run", {"argv": ["true"]})
            c.call("proc.run", {"argv": ["true"], "id": f"run-{i}"})
        assert error_of(c.call, "proc.run", {"argv": ["/nowhere"], "id": "never"})
        systemd.has(0)
        start(c, argv=["sleep", "600"], pty={}, id="tty")
        start(c, argv=["sleep", "600"], merge=True, stdin=True, id="merged")
        systemd.has(1)
        call = c.open("proc.run", {"argv": ["sleep", "600"]})
        systemd.has(3)          # when it has lived for a moment
        c.call("proc.signal", {"pid": c.call("proc.list")[-1]["pid"], "signal": 9})
        assert_exit(call.wait(), signal=9, signal_name="SIGKILL")
        systemd.has(1)
    agent = systemd.agent("--leftovers", "kill")
    systemd.has(0)
    with agent.connect() as c:
        assert c.call("proc.list") == []


def test_three_hundred(manager):
    n = rounds(300)
    systemd = manager()
    agent = systemd.agent()
    with agent.connect() as c:
        calls = [c.open("proc.start", {"argv": ["sleep", "600"], "id": f"n{i}"}) for i in range(n)]
        for call in calls:
            call.wait()
            systemd.take()
    systemd.has(2 * n)
    agent = systemd.agent()
    with agent.connect() as c:
        assert len(c.call("proc.list")) == n
        systemd.has(2 * n)
        held = agent.fds()
        # More is said at once than the manager's queue takes: what it has no room for is said again.
        for i in range(n):
            c.call("proc.signal", {"id": f"n{i}", "signal": "KILL"})
        for i in range(n):
            assert_exit(c.call("proc.wait", {"id": f"n{i}"}), signal=9, signal_name="SIGKILL")
    systemd.has(0)
    eventually(lambda: agent.fds() <= held - 2 * n, "they are closed")


@pytest.mark.parametrize("room", [0, 3])
def test_no_room(manager, room):
    """Where nothing, or no more, can be stored, it is as it would be without."""
    systemd = manager(room)
    agent = systemd.agent()
    with agent.connect() as c:
        for i in range(3):
            start(c, cmd="trap '' PIPE; while :; do echo x; sleep 0.05; done 2>/dev/null", id=f"n{i}")
    systemd.has(room)
    assert agent.log().count("is kept for an agent after this one") == (1 if room else 0)
    with systemd.agent().connect() as c:
        for i in range(3):
            has_written(c, f"n{i}", 4)
            c.call("proc.stop", {"id": f"n{i}"})
    systemd.has(0)


def test_beside_a_socket_unit(manager, tmp_path):
    """Its descriptor comes first, under a name of its own, and is served."""
    systemd = manager()
    systemd.listeners["guestd.socket"] = listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "unit.sock"))
    listener.listen(16)
    endpoint = f"unix:{tmp_path}/unit.sock"
    for turn in range(2):
        agent = systemd.agent(listen=["fd:3"], wait=False)
        agent.wait_ready(endpoint)
        agent.endpoint = endpoint
        with agent.connect() as c:
            if turn == 0:
                start(c, cmd="while :; do echo x; sleep 0.01; done", id="n")
            has_written(c, "n", 20)
            held = c.call("proc.run", {"cmd": "env; ls -l /proc/self/fd"})["stdout"]
            assert b"LISTEN" not in held and b"FDSTORE" not in held and held.count(b"pipe:") <= 2, "CLOEXEC"
        systemd.has(2)
    listener.close()


def test_a_name_that_lies(manager, tmp_path):
    systemd = manager()
    read, write = os.pipe()
    inode = os.stat(read).st_ino
    systemd.stored = {f"guestd-output-{inode + 1}": read, "guestd-output-": write, "other": os.dup(write)}
    agent = systemd.agent()
    assert "is not what it is named for" in agent.log()
    with agent.connect() as c:
        assert c.call("proc.list") == []
    systemd.take()
