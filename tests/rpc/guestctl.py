"""What the tests of guestctl share: running it, and agents that say what a test wants.

The fixtures are for the modules that import them.
"""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import socket
import subprocess
import tarfile
import termios
import threading
import time

import msgpack
import pytest

from client import LONG, REQUEST, RESPONSE, TIMEOUT, frame
from support import ROOT

CTL = os.path.abspath(os.environ.get("GUESTCTL_BIN") or ROOT / "build" / "guestctl")

UNREACHABLE = 69
USAGE = 2


# -- the other end -------------------------------------------------------------------------------

class Listener:
    """A Unix socket whose connections are served, each in a thread, by serve(connection)."""

    def __init__(self, path, serve):
        self.serve = serve
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        self.sock.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        # The peer may go at any time: that is what many tests are about.
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


def read_message(connection):
    size = int.from_bytes(read_exactly(connection, 4), "big")
    return msgpack.unpackb(read_exactly(connection, size), raw=False)


HELLO = {"protocol": 1, "agent": "guestd", "version": "0", "features": [], "instance": "i",
         "boot_id": "b", "epoch": 0, "kind": "sandbox", "window": 65536, "max_frame": 1048640,
         "limits": {}}


@pytest.fixture
def script(tmp_path):
    """script(answer): an agent that answers every request but hello with the raw bytes
    answer(id), and then closes."""
    listeners = []

    def start(answer):
        def serve(connection):
            while True:
                kind, number, method = read_message(connection)[:3]
                if kind != REQUEST:
                    continue
                if method == "hello":
                    connection.sendall(frame([RESPONSE, number, None, HELLO]))
                else:
                    connection.sendall(answer(number))
                    return
        path = tmp_path / f"agent{len(listeners)}"
        listeners.append(Listener(path, serve))
        return f"unix:{path}"

    yield start
    for listener in listeners:
        listener.close()


# -- running guestctl ----------------------------------------------------------------------------

@pytest.fixture(scope="module", autouse=True)
def interruptible():
    """A shell starts its background jobs with SIGINT ignored, and guestctl would keep to that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Ctl:
    """guestctl at one endpoint."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def __call__(self, *args, **popen):
        """Run it to its end: .returncode, .stdout, .stderr."""
        popen.setdefault("stdin", None if "input" in popen else subprocess.DEVNULL)
        if popen["stdin"] is None:
            del popen["stdin"]
        return subprocess.run([CTL, "-c", self.endpoint, *args], capture_output=True,
                              timeout=LONG, **popen)

    def exec(self, *args, **popen):
        return self("exec", *args, **popen)

    def call(self, *args, **popen):
        """guestctl call; the JSON lines that it printed."""
        done = self("call", *args, **popen)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextlib.contextmanager
    def start(self, *args, **popen):
        popen = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                 **popen}
        with subprocess.Popen([CTL, "-c", self.endpoint, *args], **popen) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def plain(agent):
    """guestctl at the shared agent, for what the transport has no part in."""
    return Ctl(agent.endpoint)


def sh(ctl, script, *args):
    """A shell script inside the guest; what it prints."""
    done = ctl.exec("sh", "-c", script, "sh", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ok(done):
    """What a command printed that had nothing to say against it."""
    assert done.returncode == 0 and done.stderr == b"", (done.returncode, done.stderr)
    return done.stdout


def left_over(directory):
    """Drafts that somebody did not clean up."""
    return [name for _, _, names in os.walk(directory) for name in names if ".guestctl" in name]


# -- agents that lie -----------------------------------------------------------------------------

class Guest:
    """An agent that says what a test wants: answer(method, params, send) -> result, an exception for
    an error, or None where there is never an answer. send(kind, *rest) sends a message of the call."""

    def __init__(self, path, answer):
        self.answer = answer
        self.canceled = threading.Event()
        self.listener = Listener(path, self._serve)
        self.endpoint = f"unix:{path}"

    def _serve(self, connection):
        while True:
            size = int.from_bytes(read_exactly(connection, 4), "big")
            message = msgpack.unpackb(read_exactly(connection, size), raw=False, strict_map_key=False,
                                      unicode_errors="surrogateescape")
            if message[0] == 7:
                self.canceled.set()
                connection.sendall(frame([RESPONSE, message[1], {"code": "canceled", "message": "m"}, None]))
            if message[0] != REQUEST:
                continue
            number, method, params = message[1:]
            if method == "hello":
                connection.sendall(frame([RESPONSE, number, None, HELLO]))
                continue
            result = self.answer(method, params,
                                 lambda kind, *rest, n=number: connection.sendall(frame([kind, n, *rest])))
            if result == "hang up":
                return
            if isinstance(result, Exception):
                error = {"code": "EIO", "message": str(result)}
                connection.sendall(frame([RESPONSE, number, error, None]))
            elif result is not None:
                connection.sendall(frame([RESPONSE, number, None, result]))


@pytest.fixture
def lying(tmp_path):
    """lying(answer): guestctl at such an agent."""
    guests = []

    def start(answer):
        guests.append(Guest(tmp_path / f"agent{len(guests)}", answer))
        ctl = Ctl(guests[-1].endpoint)
        ctl.guest = guests[-1]
        return ctl

    yield start
    for guest in guests:
        guest.listener.close()


def entry(name, kind="file", depth=1, **more):
    return {"path": "/any", "name": name, "type": kind, "size": 4, "mode": 0o644, "depth": depth, **more}


def member(name, kind="file", data=b"evil", **more):
    """For archive()."""
    info = tarfile.TarInfo(name)
    info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
                 "link": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}[kind]
    info.mode = 0o755 if kind == "dir" else 0o644
    info.linkname = more.pop("target", "")
    info.size = len(data) if kind == "file" else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def archive(*members):
    """Such an archive, whatever the names in it are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


# -- a terminal with somebody at it --------------------------------------------------------------

class Terminal:
    """guestctl on a terminal of its own, which we play the user of."""

    def __init__(self, endpoint, *args, rows=40, cols=100, stdin=None, **env):
        self.user, self.tty = pty.openpty()     # tty stays open: to look at, and against EIO
        termios.tcsetwinsize(self.tty, (rows, cols))
        self.before = termios.tcgetattr(self.tty)
        self.seen = b""
        self.process = subprocess.Popen(
            [CTL, "-c", endpoint, *args], stdin=self.tty if stdin is None else stdin,
            stdout=self.tty, stderr=self.tty, env={**os.environ, "TERM": "xterm", **env},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.hang_up()
        os.close(self.tty)

    def hang_up(self):
        """Close the window."""
        if self.user >= 0:
            os.close(self.user)
        self.user = -1

    def type(self, keys):
        os.write(self.user, keys)

    def resize(self, rows, cols):
        termios.tcsetwinsize(self.user, (rows, cols))

    def expect(self, text):
        """Wait for it on the screen; what stood there before it. What follows is seen next time."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} on the screen, but {self.seen!r}"
            if select.select([self.user], [], [], min(left, 0.1))[0]:
                self.seen += os.read(self.user, 65536)
            elif self.process.poll() is not None:
                assert select.select([self.user], [], [], 0)[0], \
                    f"ended ({self.process.returncode}) without {text!r}: {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def rest(self):
        """All that is on the screen and was not yet looked at."""
        while select.select([self.user], [], [], 0)[0]:
            self.seen += os.read(self.user, 65536)
        return self.seen

    def is_raw(self):
        return not termios.tcgetattr(self.tty)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def ends(self):
        """Its exit status; the terminal has to be as it was."""
        deadline = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"did not end: {self.rest()!r}"
            self.rest()     # a full terminal would hold it
            time.sleep(0.01)
        assert termios.tcgetattr(self.tty) == self.before
        return self.process.returncode
