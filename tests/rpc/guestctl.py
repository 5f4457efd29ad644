"""What the tests of guestctl share: running it, and agents that say what a test wants.

The fixtures are for the modules that import them.
"""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
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
