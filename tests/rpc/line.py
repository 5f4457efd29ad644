"""The host's end of a serial line, written from the protocol: COBS between zero bytes, with a CRC-32."""

import contextlib
import os
import select
import socket
import struct
import zlib

from client import TIMEOUT, Client


def cobs(data):
    """Consistent overhead byte stuffing."""
    out = bytearray()
    for i, run in enumerate(runs := data.split(b"\0")):
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
            if not run and i == len(runs) - 1:
                return bytes(out)   # the end is no zero
        out += bytes([len(run) + 1]) + run
    return bytes(out)


def uncobs(data):
    """The bytes, or None for what is no COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        run = data[at + 1:at + code]
        if not code or len(run) != code - 1:
            return None
        at += code
        out += run + (b"\0" if code < 255 and at < len(data) else b"")
    return bytes(out)


def encode(message):
    """One message (bytes) as it goes over the line."""
    return b"\0" + cobs(message + struct.pack("<I", zlib.crc32(message))) + b"\0"


def decode(piece):
    """The message between two zero bytes, or None for noise."""
    body = uncobs(piece)
    if not body or len(body) < 5 or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        return None
    return body[:-4]


class Line:
    """Looks like a stream socket to the Client, and speaks serial through the descriptor.

    out, back: functions that change the bytes that go and come, as noise does.
    """

    def __init__(self, fd, out=bytes, back=bytes):
        os.set_blocking(fd, False)
        self.fd = fd
        self.out, self.back = out, back
        self.dropped = []   # what was between two zero bytes and was no message
        self._going = bytearray()
        self._coming = bytearray()
        self._unsent = bytearray()

    def fileno(self):
        return self.fd

    def setblocking(self, _):
        pass

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def _flush(self):
        """All of it. The agent reads on even while its own output is not taken."""
        while self._unsent:
            try:
                del self._unsent[:os.write(self.fd, bytes(self._unsent[:4096]))]
            except BlockingIOError:
                assert select.select([], [self.fd], [], TIMEOUT)[1], "the line takes nothing"

    def send(self, data):
        self._going += data
        while len(self._going) >= 4:
            (n,) = struct.unpack_from(">I", self._going)
            if len(self._going) < 4 + n:
                break
            self._unsent += self.out(encode(bytes(self._going[4:4 + n])))
            del self._going[:4 + n]
        self._flush()
        return len(data)

    def send_raw(self, data):
        """Bytes as they are."""
        self._unsent += data
        self._flush()

    def recv(self, size):
        try:
            data = os.read(self.fd, size)
        except BlockingIOError:
            raise
        except OSError:
            return b""  # the other end of a pty is closed
        if not data:
            return b""
        self._coming += self.back(data)
        *pieces, self._coming = self._coming.split(b"\0")
        self._coming = bytearray(self._coming)
        frames = b""
        for piece in filter(None, pieces):
            message = decode(bytes(piece))
            if message is None:
                self.dropped.append(bytes(piece))
            else:
                frames += struct.pack(">I", len(message)) + message
        if not frames:
            raise BlockingIOError
        return frames


def line_client(fd, **noise):
    return Client(Line(fd, **noise))


@contextlib.contextmanager
def plugged(path, **noise):
    """A client on the Unix socket that a hypervisor makes of a port. It takes one peer at a time."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        client = line_client(os.dup(sock.fileno()), **noise)
        try:
            yield client
        finally:
            client.close()
