"""What the tests of the clients for other programs share: the clients themselves, the examples of docs/clients.md, and
what stands between a client and the agent to make trouble."""

import contextlib
import itertools
import json
import re
import select
import socket
import struct
import sys
import threading

import msgpack

from client import LONG, frame
from support import ROOT

PYTHON = ROOT / "clients/python"
JS = ROOT / "clients/js"
sys.path.insert(0, str(PYTHON))


def example(language, number=0):
    """A whole program out of docs/clients.md."""
    text = (ROOT / "docs/clients.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)[number]


def _real(value):
    """A value of the vectors: {"hex": ...} stands for bytes."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else {k: _real(v) for k, v in value.items()}
    return [_real(v) for v in value] if isinstance(value, list) else value


VECTORS = json.loads((ROOT / "clients/vectors.json").read_text())
MESSAGES = [(v["name"], _real(v["message"]), bytes.fromhex(v["stream"]), bytes.fromhex(v["serial"]))
            for v in VECTORS["messages"]]
REFUSED = {v["name"]: bytes.fromhex(v["stream"]) for v in VECTORS["refused"]}

HELLO = {"protocol": 1, "agent": "guestd", "version": "0", "features": [], "instance": "fake", "boot_id": "", "epoch": 0,
         "kind": "sandbox", "window": 1 << 19, "max_frame": (1 << 20) + 64, "limits": {}}


class Server:
    """A Unix socket in a directory, each connection on a thread: serve(sock, number of the connection from 0)."""

    def __init__(self, directory):
        self.path = str(directory / "server.sock")
        self.sockets = []
        self.failed = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        for number in itertools.count():
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self._guarded, args=(sock, number), daemon=True).start()

    def _guarded(self, sock, number):
        try:
            with sock:
                self.serve(sock, number)
        except OSError:
            pass    # the peer has gone, or cut() was quicker
        except Exception as e:      # an assertion on this thread would be lost
            self.failed.append(e)

    def serve(self, sock, number):
        raise NotImplementedError

    def cut(self):
        """All connections end, in the middle of whatever it is."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        assert not self.failed, self.failed


class Proxy(Server):
    """Between a client and an agent; every connection of the client is cut after as many bytes as `limits` says, one after
    the other, those behind them never."""

    def __init__(self, directory, target, limits=()):
        self.target = target
        self.limits = list(limits)
        super().__init__(directory)
        self.endpoint = f"unix:{self.path}"

    def serve(self, sock, number):
        left = self.limits[number] if number < len(self.limits) else float("inf")
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self.target)
            while left > 0:
                for end in select.select([sock, agent], [], [])[0]:
                    data = end.recv(16 << 10)
                    if not data:
                        return
                    if end is agent:
                        data = data[:min(len(data), int(min(left, len(data))))]
                        left -= len(data)
                    (sock if end is agent else agent).sendall(data)


class Fake(Server):
    """Answers hello as an agent does, and everything else with these bytes; then it reads on until the client goes."""

    def __init__(self, directory, answer, hello=HELLO):
        self.answer = answer
        self.hello = hello
        super().__init__(directory)
        self.endpoint = f"unix:{self.path}"

    def serve(self, sock, number):
        stream = sock.makefile("rb")
        while len(head := stream.read(4)) == 4:
            kind, call_id, *rest = msgpack.unpackb(stream.read(struct.unpack(">I", head)[0]))
            if kind == 0:
                sock.sendall(frame([1, call_id, None, self.hello]) if rest[0] == "hello" else self.answer)


class Hybrid(Server):
    """The hybrid vsock of a monitor: CONNECT PORT, in one write; the OK line comes in pieces or together with what follows
    it. The first `refused` connections are closed instead: nobody listens yet."""

    def __init__(self, directory, target, refused=0):
        self.target = target
        self.refused = refused
        self.asked = []
        super().__init__(directory)
        self.endpoint = f"uds:{self.path}:1024"

    def serve(self, sock, number):
        self.asked.append(sock.recv(4096))
        if number < self.refused:
            return
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self.target)
            for byte in b"OK 107374182":
                sock.sendall(bytes([byte]))
            # Behind the newline the agent's first bytes may stand at once: here a notification.
            sock.sendall(b"4\n" + frame([2, "keepalive", {}]))
            while True:
                for end in select.select([sock, agent], [], [], LONG)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (sock if end is agent else agent).sendall(data)
