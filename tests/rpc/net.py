"""What the tests of ports and tunnels share: servers, here in the test's own process and network."""

import base64
import contextlib
import hashlib
import os
import socket
import struct
import threading
from pathlib import Path

from client import TIMEOUT
from support import sanitized


def listener(host="127.0.0.1", port=0, backlog=128, reuse_port=False):
    """A TCP socket that listens."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock


def port_of(sock):
    return sock.getsockname()[1]


def free_port():
    with listener() as sock:
        return port_of(sock)


def reset(sock):
    """Close it so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def accept(sock):
    """The next connection, with a deadline on all that is done with it."""
    sock.settimeout(TIMEOUT)
    connection = sock.accept()[0]
    connection.settimeout(TIMEOUT)
    return connection


def read_all(connection):
    data = bytearray()
    while piece := connection.recv(1 << 20):
        data += piece
    return bytes(data)


def echo(connection):
    while piece := connection.recv(1 << 16):
        connection.sendall(piece)


class Server:
    """A socket whose connections are each served by serve(connection) in a thread."""

    def __init__(self, serve=echo, sock=None):
        self.serve = serve
        self.sock = sock or listener(backlog=1024)
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return port_of(self.sock)

    def _accept(self):
        while True:
            try:
                connection = self.sock.accept()[0]
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# -- WebSocket, as much as an echo needs (RFC 6455) ----------------------------------------------

def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())


def read_headers(stream):
    """The first line and the headers of a request or response."""
    first = stream.readline().decode().strip()
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first, headers


def read_frame(stream):
    """(opcode, payload) of a frame; None at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7f
    if size == 126:
        size = struct.unpack(">H", stream.read(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", stream.read(8))[0]
    mask = stream.read(4) if head[1] & 0x80 else bytes(4)
    payload = stream.read(size)
    whole = (mask * (len(payload) // 4 + 1))[:len(payload)]
    unmasked = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return head[0] & 0x0f, unmasked.to_bytes(len(payload), "big")


def ws_frame(opcode, payload, mask=b""):
    size = len(payload)
    flag = 0x80 if mask else 0
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, flag | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, flag | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, flag | 127, size)
    if mask:
        whole = (mask * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
    return head + mask + payload


def websocket_echo(connection):
    stream = connection.makefile("rb")
    headers = read_headers(stream)[1]
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + accept_key(headers["sec-websocket-key"]) + b"\r\n\r\n")
    while frame := read_frame(stream):
        opcode, payload = frame
        connection.sendall(ws_frame(opcode, payload))
        if opcode == 8:
            return


class WebSocket:
    """The client of it."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, TIMEOUT)
        self.stream = self.sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        first, headers = read_headers(self.stream)
        assert first.split()[1] == "101", first
        assert headers["sec-websocket-accept"].encode() == accept_key(key)

    def send(self, opcode, payload):
        self.sock.sendall(ws_frame(opcode, payload, os.urandom(4)))

    def recv(self):
        return read_frame(self.stream)

    def close(self):
        self.stream.close()
        self.sock.close()


# -- the daemon seen from outside ----------------------------------------------------------------

def wake_ups(pid):
    """How often its threads went to sleep: each time something woke them before. (ThreadSanitizer has
    a thread of its own that wakes up by itself.)"""
    tasks = [str(pid)] if sanitized() else os.listdir(f"/proc/{pid}/task")
    total = 0
    for task in tasks:
        status = Path(f"/proc/{pid}/task/{task}/status").read_text()
        total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total
