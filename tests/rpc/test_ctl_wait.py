"""guestctl --wait: an agent that is not there yet, and connections that are lost on the way."""

import signal
import socket
import threading
import time

import pytest

from client import LONG
from guestctl import UNREACHABLE, USAGE, Ctl
from support import NUMBERS, eventually, numbers

pytestmark = pytest.mark.local


class Cut:
    """A socket in front of an agent's. Each connection is cut after `limit` bytes of the agent's."""

    def __init__(self, path, agent, limit):
        self.path, self.agent, self.limit, self.cuts = path, agent, limit, 0
        self.pairs = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(self.agent)
            self.pairs.append((ours, theirs))
            threading.Thread(target=self.carry, args=(ours, theirs, None), daemon=True).start()
            threading.Thread(target=self.carry, args=(theirs, ours, self.limit), daemon=True).start()

    def carry(self, source, target, limit):
        try:
            while data := source.recv(16384 if limit is None else min(limit, 16384)):
                target.sendall(data)
                if limit is not None:
                    limit -= len(data)
                    if not limit:
                        self.cuts += 1
                        break
        except OSError:
            pass
        for sock in (source, target):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for pair in self.pairs:
            for sock in pair:
                sock.close()


@pytest.fixture
def cut(guestd, tmp_path):
    daemon = guestd()
    made = []

    def make(limit):
        made.append(Cut(str(tmp_path / "cut.sock"), str(daemon.sock), limit))
        made[-1].daemon = daemon
        made[-1].ctl = Ctl(f"unix:{tmp_path}/cut.sock")
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_waits_for_the_agent(guestd, tmp_path):
    path = tmp_path / "late.sock"
    with Ctl(f"unix:{path}").start("--wait", "60", "exec", "echo", "word") as process:
        time.sleep(0.3)
        assert process.poll() is None
        guestd(listen=[f"unix:{path}"], wait=False)
        assert process.communicate(timeout=LONG) == (b"word\n", b"")
        assert process.returncode == 0


def test_it_gives_up(tmp_path):
    assert Ctl(f"unix:{tmp_path}/none.sock")("--wait", "0.2", "ping").returncode == UNREACHABLE
    assert Ctl(f"unix:{tmp_path}/none.sock")("--wait", "soon", "ping").returncode == USAGE


def test_no_byte_is_lost_or_doubled(cut):
    """The process is come back to where its output was cut, on both streams."""
    line = cut(100_000)
    done = line.ctl("--wait", "10", "exec", "--", "sh", "-c",
                    f"{numbers(600_000)}; echo end >&2; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout == NUMBERS[:600_000]
    assert done.stderr == b"end\n"
    assert line.cuts > 5


def test_attach_comes_back_too(cut):
    line = cut(100_000)
    with line.daemon.connect() as client:
        client.call("proc.start", {"cmd": f"{numbers(500_000)}; exit 3", "id": "it"})
    done = line.ctl("--wait", "10", "attach", "it")
    assert (done.returncode, done.stdout) == (3, NUMBERS[:500_000])
    assert line.cuts > 3


def test_where_nothing_comes_of_it_it_gives_up(cut):
    """Each connection is cut in its first message of data."""
    line = cut(20_000)
    done = line.ctl("--wait", "1", "exec", "--", "sh", "-c", f"sleep 0.1; {numbers(200_000)}")
    assert done.returncode == UNREACHABLE and done.stderr
    assert line.cuts > 3


def test_without_it_a_lost_connection_is_an_error(cut):
    done = cut(100_000).ctl("exec", "--", "sh", "-c", numbers(600_000))
    assert done.returncode == UNREACHABLE and done.stderr


def test_interrupted_after_it_came_back(cut):
    """The process is stopped, as it would have been without the loss."""
    line = cut(100_000)
    with line.ctl.start("--wait", "10", "exec", "--", "sh", "-c", f"{numbers(150_000)}; while :; do sleep 0.1; done") as process:
        got = b""
        while len(got) < 150_000:
            got += process.stdout.read1(65536)
        assert line.cuts and got == NUMBERS[:150_000]
        process.send_signal(signal.SIGTERM) # who runs the tests in the background has SIGINT ignored
        assert process.wait(LONG) == 128 + signal.SIGTERM
    with line.daemon.connect() as client:
        eventually(lambda: client.call("proc.list") == [] or client.call("proc.list")[0]["status"] == "exited", "it was stopped")
