"""A client of guestd in one file; it needs msgpack and nothing else.

    with guestd.Client("unix:/run/guestd/agent.sock") as guest:
        print(guest.run("uname -a")["stdout"])
        with guest.exec(["make", "-j4"], cwd="/workspace") as process:
            for chunk in process:
                print(chunk.channel, chunk.data)
        print(process.exit["code"])

Client blocks and may be used from several threads; AsyncClient is the same for asyncio, and what
Client is made of: its loop runs on a thread in the background. Below both is Protocol, which does
no I/O: bytes in, bytes out, calls and credits. call("fs.stat", path="/etc") calls any method of
docs/protocol.md; what streams is open()ed, and the helpers are made of these two.

Errors: RpcError is what the agent answered (code, message, stage, errno, path, data), Disconnected
a connection that is gone, ProtocolError a peer that speaks something else, Timeout a wait that is
over, DigestError bytes that are not those that were sent. All are GuestdErrors.
"""
from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import os
import secrets
import socket
import stat
import struct
import threading
import time
import tty
import zlib
from collections import deque
from typing import (IO, TYPE_CHECKING, Any, AsyncIterable, AsyncIterator, Awaitable, Callable,
                    Coroutine, Deque, Dict, Generic, Iterable, Iterator, List, Mapping, NamedTuple,
                    Optional, Sequence, Set, Tuple, TypedDict, TypeVar, Union)

import msgpack

if TYPE_CHECKING:
    from typing_extensions import Unpack

__version__ = "1.0"

REQUEST, RESPONSE, NOTIFICATION, DATA, END, EVENT, CREDIT, CANCEL = range(8)
STDIN, STDOUT, STDERR = range(3)

MAX_DATA = 64 << 10             # bytes in one data message
MAX_FRAME = (1 << 20) + 64      # until hello says otherwise
SERIAL_MAX_FRAME = 16 << 10     # the same on a serial line
MAX_QUEUED = 4096               # events of a call that nobody takes, before nothing more is read
MAX_ITEMS = 65536               # the same with pieces of data, however small
SMALL_DATA = 4096               # data that is joined with what comes next
MAX_LOSSES = 20                 # connections lost in a row without anything that came
OUT_HIGH = 256 << 10            # unsent bytes from which on whoever writes has to wait

Map = Dict[str, Any]
Path = Union[str, bytes, "os.PathLike[str]"]
Command = Union[str, Sequence[Union[str, bytes]]]   # for the shell, or argv
OnEvent = Optional[Callable[[Map], None]]
Source = Union[bytes, bytearray, memoryview, IO[bytes], Iterable[bytes]]
AsyncSource = Union[Source, AsyncIterable[bytes]]
S = TypeVar("S")
T = TypeVar("T")
A = TypeVar("A", bound="_AsyncStream[Any]")
M = TypeVar("M")
L = TypeVar("L")


class GuestdError(Exception):
    """What all errors of this module are."""


class RpcError(GuestdError):
    """The agent answered with an error."""

    def __init__(self, error: Map):
        self.code: str = error["code"]              # "ENOENT", "bad_params", ...: for programs
        self.message: str = error.get("message", "")    # a sentence for people
        self.errno: Optional[int] = error.get("errno")
        self.stage: Optional[str] = error.get("stage")  # which step failed
        self.path: Union[str, bytes, None] = error.get("path")
        self.data: Any = error.get("data")
        super().__init__(f"{self.code}: {self.message}")


class Disconnected(GuestdError, ConnectionError):
    """There is no connection. A call that was open may have been served or not."""


class ProtocolError(Disconnected):
    """The peer does not speak this protocol."""


class Timeout(GuestdError, TimeoutError):
    """It took longer than the caller wanted to wait; the call was canceled."""


class DigestError(GuestdError):
    """The SHA-256 or the size is not the one that the agent told."""


class Data(NamedTuple):
    """Bytes of a call."""
    channel: int
    data: bytes


class End(NamedTuple):
    """The end of a channel of a call."""
    channel: int


class Chunk(NamedTuple):
    """Output of a process: its bytes from `offset` on, or, with `lost`, that so many before it are gone."""
    channel: int
    data: bytes
    offset: int
    lost: int = 0


Item = Union[Data, End, Map]


# -- parameters of the helpers: what the agent calls them, with its defaults ----------------------

class Spawn(TypedDict, total=False):
    """What a process is started with."""
    cwd: Path
    env: Mapping[str, Optional[str]]
    user: str
    target: str
    stdin: bool
    timeout_ms: int
    grace_ms: int
    on_disconnect: str
    id: str
    label: str
    ring: int
    rlimits: Mapping[str, Sequence[int]]
    nice: int
    no_new_privs: bool
    login: bool
    merge: bool
    pty: Mapping[str, Any]
    limits: Mapping[str, int]
    artifacts: Sequence[Path]


class Write(TypedDict, total=False):
    user: str
    owner: str
    mode: int
    append: bool
    offset: int
    create: bool
    exclusive: bool
    parents: bool
    atomic: bool
    sync: bool
    size: int
    sha256: str
    mtime_us: int


class Watched(TypedDict, total=False):
    user: str
    recursive: bool
    ignore: Sequence[str]
    events: Sequence[str]
    coalesce_ms: int
    entry: bool


class Export(TypedDict, total=False):
    user: str
    ignore: Sequence[str]
    format: str
    level: int
    base: Path
    one_file_system: bool
    reproducible: bool
    keep_owner: bool
    names: bool
    mtime_us: int


class Import(TypedDict, total=False):
    user: str
    owner: str
    format: str
    strip: int
    overwrite: bool
    links: str
    devices: bool
    max_entries: int
    max_bytes: int
    progress: bool


# -- the protocol, without I/O ---------------------------------------------------------------------

def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"cannot be sent to the agent: {value!r}")


def pack(message: Any) -> bytes:
    """One msgpack value. File names of os.fsdecode become the bytes that they were."""
    packed: bytes = msgpack.packb(message, use_bin_type=True, default=_plain,
                                  unicode_errors="surrogateescape")
    return packed


def unpack(body: bytes) -> List[Any]:
    """The message of one frame, or ProtocolError."""
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except Exception as e:  # msgpack has many kinds, not all of them its own
        raise ProtocolError(f"no msgpack: {e!r}") from None
    if not isinstance(message, list) or not message or type(message[0]) is not int:
        raise ProtocolError("what came is no message")
    return message


def cobs(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: the same without zeros."""
    out = bytearray()
    runs = data.split(b"\0")
    for i, run in enumerate(runs):
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
            if not run and i == len(runs) - 1:
                return bytes(out)   # behind a full block no zero is meant
        out += bytes([len(run) + 1]) + run
    return bytes(out)


def uncobs(data: bytes) -> Optional[bytes]:
    """The bytes, or None for what is no COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        run = data[at + 1:at + code]
        if not code or len(run) != code - 1:
            return None
        at += code
        out += run
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def _wake(call: Pending) -> None:
    for waiter in call.waiters:
        if not waiter.done():
            waiter.set_result(None)
    call.waiters.clear()


class Pending:
    """An open call: what came for it and was not taken yet, and what may be sent."""

    def __init__(self, call_id: int, method: str, window: int, room: int):
        self.id = call_id
        self.method = method
        self.items: Deque[Item] = deque()
        self.events = 0                 # among them
        self.done = False
        self.error: Optional[Map] = None
        self.result: Any = None
        self.room = room                # bytes that the agent takes now
        self.unsure = 0                 # bytes sent and not known to be taken
        self.window = window            # bytes that the agent may still send
        self.unpaid = 0                 # bytes taken and not granted again
        self.abandoned = False          # nobody wants what still comes
        self.waiters: List[asyncio.Future[None]] = []


class Protocol:
    """One connection without its socket: receive() what came, send `out`, and clear it."""

    def __init__(self, window: int = 1 << 20, serial: bool = False):
        self.window = window            # what each call of ours lets the agent send
        self.peer_window = 0            # and what the agent lets us send
        self.serial = serial
        self.max_frame = SERIAL_MAX_FRAME if serial else MAX_FRAME
        self.out = bytearray()
        self.calls: Dict[int, Pending] = {}
        self.goodbye: Optional[Map] = None
        self._in = bytearray()
        self._skipping = False
        # Whose answer is late on a line that somebody else used before is not ours.
        self._next_id = secrets.randbelow(1 << 30) if serial else 1

    # Sending.

    def send(self, *message: Any) -> None:
        body = pack(message)
        if len(body) > self.max_frame:
            raise ValueError(f"{len(body)} bytes are more than the {self.max_frame} of a message")
        if self.serial:
            self.out += b"\0" + cobs(body + struct.pack("<I", zlib.crc32(body))) + b"\0"
        else:
            self.out += struct.pack(">I", len(body))
            self.out += body

    def request(self, method: str, params: Mapping[str, Any]) -> Pending:
        """Opens a call. Fails where it is too long, and has sent nothing then."""
        while self._next_id in self.calls:
            self._next_id += 1
        call = Pending(self._next_id, method, self.window, self.peer_window)
        self.send(REQUEST, call.id, method, params)
        self._next_id = (self._next_id + 1) % (1 << 32)
        self.calls[call.id] = call
        return call

    def data(self, call: Pending, channel: int, data: memoryview) -> int:
        """Sends as much as one message takes and the agent has given credit for; how much."""
        n = min(len(data), call.room, MAX_DATA, self.max_frame - 32)
        if n > 0 and not call.done:
            call.room -= n
            call.unsure += n
            self.send(DATA, call.id, channel, bytes(data[:n]))
        return n

    def taken(self, call: Pending, n: int) -> None:
        """N bytes of the call are used up: in halves of the window the agent may send as many again."""
        call.unpaid += n
        if call.unpaid >= (self.window + 1) // 2 and not call.done:
            self.send(CREDIT, call.id, call.unpaid)
            call.window += call.unpaid
            call.unpaid = 0

    def abandon(self, call: Pending) -> None:
        """The agent shall stop it; what still comes is dropped."""
        if not call.done and not call.abandoned:
            call.abandoned = True
            call.items.clear()
            call.events = 0
            self.send(CANCEL, call.id)

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Sorts what came into the calls. ProtocolError: nothing more can be read."""
        self._in += data
        for body in self._pieces() if self.serial else self._frames():
            self._message(unpack(body))

    def _frames(self) -> Iterator[bytes]:
        at = 0
        try:
            while len(self._in) - at >= 4:
                (size,) = struct.unpack_from(">I", self._in, at)
                if not 1 <= size <= self.max_frame:
                    raise ProtocolError(f"a message of {size} bytes")
                if len(self._in) - at - 4 < size:
                    break
                at += 4 + size
                yield bytes(memoryview(self._in)[at - size:at])
        finally:
            del self._in[:at]

    def _pieces(self) -> Iterator[bytes]:
        """Messages of a serial line, among noise."""
        *pieces, rest = self._in.split(b"\0")
        for piece in pieces:
            body = None if self._skipping else uncobs(bytes(piece))
            self._skipping = False
            if body and len(body) > 4 and struct.pack("<I", zlib.crc32(body[:-4])) == body[-4:]:
                yield body[:-4]
        # Longer than any message may be: noise, up to the next zero.
        self._skipping = self._skipping or len(rest) > 2 * self.max_frame
        self._in = bytearray() if self._skipping else rest

    def _message(self, message: List[Any]) -> None:
        kind, rest = message[0], message[1:]
        if kind == NOTIFICATION:
            if len(rest) > 1 and rest[0] == "goodbye" and isinstance(rest[1], dict):
                self.goodbye = rest[1]
            return
        if kind not in (RESPONSE, DATA, END, EVENT, CREDIT):
            return      # of a later version
        if len(rest) < (3 if kind in (RESPONSE, DATA) else 2) or type(rest[0]) is not int:
            raise ProtocolError(f"a message of kind {kind} that lacks something")
        call = self.calls.get(rest[0])
        if call is not None:    # else it crossed the end of the call
            self._deliver(call, kind, rest)
            _wake(call)

    def _deliver(self, call: Pending, kind: int, rest: List[Any]) -> None:
        if kind == RESPONSE:
            if rest[1] is not None and not (isinstance(rest[1], dict) and isinstance(rest[1].get("code"), str)):
                raise ProtocolError("an error that is none")
            call.done, call.error, call.result = True, rest[1], rest[2]
            del self.calls[call.id]
        elif kind == CREDIT and type(rest[1]) is int and rest[1] >= 0:
            call.room += rest[1]
            call.unsure = max(0, call.unsure - rest[1])
        elif kind == END and rest[1] in (STDOUT, STDERR):
            self._queue(call, End(rest[1]))
        elif kind == EVENT and isinstance(rest[1], dict) and isinstance(rest[1].get("type"), str):
            self._queue(call, rest[1])
        elif kind == DATA and rest[1] in (STDOUT, STDERR) and isinstance(rest[2], bytes):
            call.window -= len(rest[2])
            if call.window < 0:
                raise ProtocolError("more data than was asked for")
            self._queue(call, Data(rest[1], rest[2]))
        else:
            raise ProtocolError(f"a message of kind {kind} with something else in it")

    def _queue(self, call: Pending, item: Item) -> None:
        last = call.items[-1] if call.items else None
        if call.abandoned or (isinstance(item, Data) and not item.data):
            return
        if isinstance(item, Data) and isinstance(last, Data) and last.channel == item.channel \
                and len(last.data) < SMALL_DATA:
            call.items[-1] = Data(item.channel, last.data + item.data)
        else:
            call.items.append(item)
            call.events += not isinstance(item, Data)

    def full(self) -> bool:
        """Somebody has left so much untaken that reading on would take memory without bound."""
        return any(call.events >= MAX_QUEUED or len(call.items) >= MAX_ITEMS for call in self.calls.values())


# -- connections -----------------------------------------------------------------------------------

def _send(sock: socket.socket, data: Any) -> int:
    return sock.send(data, socket.MSG_NOSIGNAL)


class Wire:
    """A descriptor that is read and written without waiting, and how messages look on it."""

    def __init__(self, file: Union[socket.socket, int], serial: bool):
        self.serial = serial
        self._file = file
        self.fd = file if isinstance(file, int) else file.fileno()
        if isinstance(file, int):
            os.set_blocking(file, False)
            self.read: Callable[[int], bytes] = functools.partial(os.read, file)
            self.write: Callable[[Any], int] = functools.partial(os.write, file)
        else:
            file.setblocking(False)     # not with a timeout, which would wait
            self.read = file.recv
            self.write = functools.partial(_send, file)

    def close(self) -> None:
        if isinstance(self._file, int):
            os.close(self._file)
        else:
            self._file.close()


def dial(endpoint: str, timeout: float) -> Wire:
    """unix:PATH, uds:PATH:PORT, vsock:CID:PORT, serial:PATH. Blocks; OSError where nobody answers."""
    kind, _, rest = endpoint.partition(":")
    path, _, port = rest.rpartition(":")
    if kind == "unix" and rest:
        return Wire(_connect(socket.AF_UNIX, rest, timeout), False)
    if kind == "uds" and path and port.isdecimal():
        sock = _connect(socket.AF_UNIX, path, timeout)
        try:
            _hybrid(sock, int(port), timeout)
        except BaseException:
            sock.close()
            raise
        return Wire(sock, False)
    if kind == "vsock" and path.isdecimal() and port.isdecimal():
        return Wire(_connect(socket.AF_VSOCK, (int(path), int(port)), timeout), False)
    if kind == "serial" and rest:
        # The hypervisor's end of a guest's line may be a Unix socket.
        if stat.S_ISSOCK(os.stat(rest).st_mode):
            return Wire(_connect(socket.AF_UNIX, rest, timeout), True)
        fd = os.open(rest, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        if os.isatty(fd):
            tty.setraw(fd)
        return Wire(fd, True)
    raise ValueError(f"endpoint {endpoint!r} is none of unix:PATH, uds:PATH:PORT, vsock:CID:PORT, serial:PATH")


def _connect(family: int, address: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Blocking, so that a full backlog is waited for; unix(7).
        limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6) or 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _hybrid(sock: socket.socket, port: int, timeout: float) -> None:
    """CONNECT in one write, since monitors drop a split one; the answer bytewise, since what stands behind its
    newline is the protocol's already."""
    sock.settimeout(timeout)
    sock.send(f"CONNECT {port}\n".encode(), socket.MSG_NOSIGNAL)
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte or len(line) > 64:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on port {port} of the guest")
        line += byte
    if not line.startswith(b"OK "):
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"CONNECT {port} was answered with {line!r}")


class Link:
    """A Protocol and its Wire in an event loop."""

    def __init__(self, wire: Wire, window: int, keepalive: float):
        self.loop = asyncio.get_running_loop()
        self.protocol = Protocol(window, wire.serial)
        self.hello: Map = {}
        self.error: Optional[Exception] = None      # why there is no connection any more
        self._wire = wire
        self._keepalive = keepalive
        self._reading = self._writing = False
        self._heard = self._spoke = self.loop.time()
        self._drained: Set[asyncio.Future[None]] = set()
        self._timer = self.loop.call_later(keepalive / 2, self._tick) if keepalive else None
        self.resume()

    def call(self, method: str, params: Mapping[str, Any]) -> AsyncCall:
        self.check()
        call = AsyncCall(self, self.protocol.request(method, params))
        self.flush()
        return call

    def check(self) -> None:
        """An error of its own for each that asks why there is no connection any more."""
        if self.error:
            raise type(self.error)(*self.error.args)

    def abandon(self, call: Pending) -> None:
        if not self.error:
            self.protocol.abandon(call)
            self.flush()
            self.resume()

    def lose(self, error: Exception) -> None:
        """The connection is over, and so are its calls; what came for them can still be taken."""
        if self.error:
            return
        goodbye = self.protocol.goodbye
        self.error = error if goodbye is None or isinstance(error, ProtocolError) else Disconnected(
            f"the agent ended the connection: {goodbye.get('code')}: {goodbye.get('message')}")
        if self._timer:
            self._timer.cancel()
        self.loop.remove_reader(self._wire.fd)
        self.loop.remove_writer(self._wire.fd)
        self._wire.close()
        for call in self.protocol.calls.values():
            _wake(call)
        self._wake_writers()

    def flush(self) -> None:
        """Sends what the socket takes now; the rest goes when it takes more."""
        out = self.protocol.out
        while out and not self.error:
            try:
                n = self._wire.write(out)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                out.clear()     # its goodbye may still be there to be read: that is where the end is told
                break
            del out[:n]
            self._spoke = self.loop.time()
        if bool(out) != self._writing and not self.error:
            self._writing = bool(out)
            if self._writing:
                self.loop.add_writer(self._wire.fd, self.flush)
            else:
                self.loop.remove_writer(self._wire.fd)
        if len(out) < OUT_HIGH:
            self._wake_writers()

    async def room(self) -> None:
        """Waits until there is not too much unsent."""
        while len(self.protocol.out) >= OUT_HIGH and not self.error:
            waiter = self.loop.create_future()
            self._drained.add(waiter)
            try:
                await waiter
            finally:
                self._drained.discard(waiter)

    def resume(self) -> None:
        """Reads, unless somebody left too much untaken."""
        if not self._reading and not self.error and not self.protocol.full():
            self._reading = True
            self._heard = self.loop.time()
            self.loop.add_reader(self._wire.fd, self._readable)

    def _wake_writers(self) -> None:
        for waiter in self._drained:
            if not waiter.done():
                waiter.set_result(None)

    def _readable(self) -> None:
        try:
            data = self._wire.read(256 << 10)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:     # EIO: the other end of a pty is closed
            data = b""
        self._heard = self.loop.time()
        try:
            self.protocol.receive(data)
        except ProtocolError as e:
            self.lose(e)
            return
        if not data:
            self.lose(Disconnected("the agent closed the connection"))
        elif self.protocol.full():
            self._reading = False
            self.loop.remove_reader(self._wire.fd)
        elif self.protocol.out:
            self.flush()

    def _tick(self) -> None:
        now = self.loop.time()
        if self._reading and now - self._heard > 3 * self._keepalive:
            self.lose(Disconnected(f"the agent was silent for {now - self._heard:.1f} s"))
            return
        if now - self._spoke >= self._keepalive / 2:
            self.protocol.send(NOTIFICATION, "keepalive", {})
            self.flush()
        self._timer = self.loop.call_later(self._keepalive / 2, self._tick)


class _AsyncClosing:
    """`async with` closes it."""

    async def close(self) -> None:
        raise NotImplementedError

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _AsyncStream(_AsyncClosing, Generic[T]):
    """An async iterator, which may also be asked for the next one, or None at its end."""

    async def next(self) -> Optional[T]:
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        item = await self.next()
        if item is None:
            raise StopAsyncIteration
        return item


class AsyncCall(_AsyncStream[Item]):
    """An open call: an async iterator of Data, End and events (maps with "type"); then result().

    Bytes are granted again as they are taken. close(), or the end of `async with`, cancels what is not over.
    """

    def __init__(self, link: Link, pending: Pending):
        self._link = link
        self._pending = pending

    def __del__(self) -> None:
        if not self._pending.done and not self._link.loop.is_closed():
            self._link.loop.call_soon_threadsafe(self._link.abandon, self._pending)

    async def _changed(self) -> None:
        self._link.check()
        waiter = self._link.loop.create_future()
        self._pending.waiters.append(waiter)
        await waiter

    async def next(self) -> Optional[Item]:
        """The next of what belongs to it; None when all has come. RpcError at its end where it failed."""
        call = self._pending
        while not call.items:
            if call.error:
                raise RpcError(call.error)
            if call.done:
                return None
            await self._changed()
        item = call.items.popleft()
        if isinstance(item, Data):
            self._link.protocol.taken(call, len(item.data))
            self._link.flush()
        else:
            call.events -= 1
        self._link.resume()
        return item

    async def result(self) -> Any:
        """Waits for the response. Data and events that nobody took are dropped."""
        while await self.next() is not None:
            pass
        return self._pending.result

    async def write(self, data: Union[bytes, bytearray, memoryview], channel: int = STDIN) -> int:
        """Sends it as the agent takes it. How much: less than all only when the call is over."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and not self._pending.done:
            await self._link.room()
            n = 0 if self._link.error else self._link.protocol.data(self._pending, channel, rest)
            rest = rest[n:]
            self._link.flush()
            if n == 0 and not self._pending.done:
                await self._changed()
        return size - len(rest)

    async def end(self, channel: int = STDIN) -> None:
        """No more input."""
        if not self._pending.done and not self._link.error:
            self._link.protocol.send(END, self._pending.id, channel)
            self._link.flush()

    @property
    def unsure(self) -> int:
        """Bytes that were sent and that the agent has not said to have passed on."""
        return self._pending.unsure

    async def close(self) -> None:
        """Cancels it, unless it is over, and waits for nothing."""
        self._link.abandon(self._pending)


# -- what streams ----------------------------------------------------------------------------------

@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Of something that the agent said, and that may be anything."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as e:
        raise ProtocolError(f"{what} that lacks something: {e!r}") from None


class AsyncProcess(_AsyncStream[Chunk]):
    """A process and its output: an async iterator of Chunks, then `exit`.

    When the connection is lost, the next Chunk is waited for on another one, from the byte on where it ended: nothing
    is missed, and nothing comes twice. on_event hears of it, {"type": "reattached", "input_unsure": n}: of the last n
    bytes of input nobody can say whether they arrived; write() fails with Disconnected meanwhile.

    close(), or the end of `async with`, stops a process of exec or pty, and lets go of another one.
    """

    def __init__(self, client: AsyncClient, method: str, params: Map, on_event: OnEvent):
        self.id: str = params.get("id", "")
        self.pid = 0
        self.exit: Optional[Map] = None             # when all output has come
        self.offsets = {STDOUT: 0, STDERR: 0}       # where the next Chunk of each begins
        self._client, self._method, self._params, self._on_event = client, method, params, on_event
        self._call: Optional[AsyncCall] = None      # None: to be attached again
        self._instance = ""
        self._unsure = self._losses = 0
        self._ended = self._moved = False
        self._again = (client.reconnect and params.get("on_disconnect", "keep") == "keep"
                       and bool(params.get("follow", True)))

    async def start(self) -> AsyncProcess:
        """Waits until it runs. A request that was lost is sent again: with its id it never runs twice."""
        while not self.pid:
            call = None
            try:
                call = await self._client.open(self._method, self._params)
                self._instance = self._client.hello["instance"]
                event = await call.next()
                if not isinstance(event, dict) or event.get("type") not in ("started", "attached"):
                    raise ProtocolError(f"{self._method} began with {event!r}")
                self._call = call
                self._greeted(event)
            except ProtocolError:
                raise
            except Disconnected:
                if call is None or not (self._again and self.id):
                    raise
                await self._pause()
        return self

    async def _pause(self) -> None:
        """After a connection was lost. An agent that ends each of them is not to be asked for ever."""
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise GuestdError(f"{MAX_LOSSES} connections were lost in a row, and nothing of process {self.id} came")
        await asyncio.sleep(min(0.01 * 2 ** self._losses, 2.0) if self._losses > 1 else 0)

    def _greeted(self, event: Map) -> None:
        with _reading("an event"):
            info = event.get("info", event)
            self.id, self.pid = info["id"], info["pid"]
            if event["type"] == "attached":
                self.offsets = {STDOUT: event["stdout_offset"], STDERR: event["stderr_offset"]}

    async def _attach(self) -> AsyncCall:
        """Goes on where the connection ended."""
        call = await self._client.open("proc.attach", {
            "id": self.id, "stdout_from": self.offsets[STDOUT], "stderr_from": self.offsets[STDERR]})
        if self._client.hello["instance"] != self._instance:
            raise GuestdError(f"the agent was started anew, and knows nothing of process {self.id}")
        self._moved = True
        if self._ended:     # its end may be among what was lost; a second one means nothing to a pipe
            await call.end()
        if self._on_event:
            self._on_event({"type": "reattached", "input_unsure": self._unsure})
        self._unsure = 0
        return call

    async def next(self) -> Optional[Chunk]:
        """The next output; None when all of it has come, and `exit` is there."""
        while self.exit is None:
            try:
                if self._call is None:
                    self._call = await self._attach()
                item = await self._call.next()
                if item is None:
                    self.exit = self._checked(await self._call.result())
            except ProtocolError:
                raise
            except Disconnected:
                if self._call is None or not self._again:
                    raise
                self._unsure += self._call.unsure
                self._call = None
                await self._pause()
                continue
            if isinstance(item, Data):
                self._losses = 0
                offset = self.offsets[item.channel]
                self.offsets[item.channel] += len(item.data)
                return Chunk(item.channel, item.data, offset)
            if isinstance(item, dict) and item["type"] == "gap" and "channel" in item:
                with _reading("a gap"):
                    self.offsets[item["channel"]] = item["offset"] + 0
                    return Chunk(item["channel"], b"", item["offset"], item["lost"] + 0)
            if isinstance(item, dict):
                if item["type"] == "attached":
                    self._greeted(item)
                elif self._on_event:
                    self._on_event(item)
        return None

    def _checked(self, result: Map) -> Map:
        with _reading("an exit"):
            for name, channel in (("stdout", STDOUT), ("stderr", STDERR)):
                lost = result[f"{name}_bytes"] - self.offsets[channel]
                if lost > 0 and result["eof"] and not result.get("running"):
                    raise ProtocolError(f"{lost} bytes of {name} did not come")
        return result

    async def communicate(self, data: bytes = b"") -> Tuple[bytes, bytes]:
        """Gives it the input and its end; all of both outputs. GuestdError where some of it is gone."""
        async def give() -> None:
            if data:
                await self.write(data)
            await self.end()
        out = {STDOUT: bytearray(), STDERR: bytearray()}
        giving = asyncio.ensure_future(give()) if self._takes_input() else None
        try:
            async for chunk in self:
                if chunk.lost:
                    raise GuestdError(f"{chunk.lost} bytes before {chunk.offset} of channel {chunk.channel} are gone")
                out[chunk.channel] += chunk.data
            if giving and giving.done():
                giving.result()     # what was written must have been taken
        finally:
            if giving:
                giving.cancel()
                await asyncio.gather(giving, return_exceptions=True)
        return bytes(out[STDOUT]), bytes(out[STDERR])

    async def wait(self) -> Map:
        """Waits for its end; its Exit. Output that nobody took is dropped."""
        while await self.next() is not None:
            pass
        assert self.exit is not None
        return self.exit

    def _takes_input(self) -> bool:
        return self._method in ("proc.attach", "pty.open") or bool(self._params.get("stdin") or self._params.get("pty"))

    async def write(self, data: bytes) -> int:
        """Input, as the process takes it. How much: less than all when it has ended."""
        if not self._takes_input():
            raise ValueError("it was started without stdin=True")
        if self._call is None:
            raise Disconnected("not attached: ask for the next output first")
        return await self._call.write(data)

    async def end(self) -> None:
        """The end of its input; to a terminal the end-of-file character."""
        self._ended = self._method != "pty.open" and not self._params.get("pty")
        if self._call is not None:
            await self._call.end()

    async def resize(self, rows: int, cols: int) -> None:
        await self._client.call("pty.resize", id=self.id, rows=rows, cols=cols)

    async def signal(self, signal: Union[int, str], **more: Any) -> Map:
        result: Map = await self._client.call("proc.signal", id=self.id, signal=signal, **more)
        return result

    async def stop(self, **more: Any) -> Map:
        """Ends all that it started; its Exit. Output that is left can still be taken."""
        result: Map = await self._client.call("proc.stop", id=self.id, **more)
        return result

    async def close(self) -> None:
        if self.exit is not None:
            return
        if self._call is not None:
            await self._call.close()    # of a proc.exec this stops it
        if self._method != "proc.attach" and (self._moved or self._call is None):
            try:
                await self.stop()
            except RpcError as e:
                if e.code != "not_found":
                    raise


class AsyncDownload(_AsyncStream[bytes]):
    """The bytes of fs.read or tar.export: an async iterator, then `result`. Size and SHA-256 are compared with
    what the agent says that it sent (DigestError)."""

    def __init__(self, call: AsyncCall, on_event: OnEvent = None):
        self.result: Optional[Map] = None
        self._call = call
        self._on_event = on_event
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._rest = b""    # of a piece that was read in part

    async def next(self) -> Optional[bytes]:
        """Some more; None when that was all."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        while self.result is None:
            item = await self._call.next()
            if item is None:
                self.result = self._checked(await self._call.result())
            elif isinstance(item, Data):
                self._size += len(item.data)
                self._sha256.update(item.data)
                return item.data
            elif isinstance(item, dict) and self._on_event:
                self._on_event(item)
        return None

    def _checked(self, result: Map) -> Map:
        digest = self._sha256.hexdigest()
        with _reading("a result"):
            size = result.get("archive_bytes", result.get("size"))
            digest = result.get("sha256", digest)
        if size != self._size or digest != self._sha256.hexdigest():
            raise DigestError(f"{self._size} bytes came, and they are not the {size} that were sent")
        return result

    async def read(self, size: int = -1) -> bytes:
        """As of a file: so many bytes, less at the end; by default all that is left."""
        pieces = []
        while size < 0 or size > 0:
            piece = await self.next()
            if piece is None:
                break
            pieces.append(piece if size < 0 else piece[:size])
            if 0 <= size < len(piece):
                self._rest = piece[size:]
            size -= min(size, len(piece)) if size > 0 else 0
        return b"".join(pieces)

    async def save(self, file: IO[bytes]) -> Map:
        """All that is left, into a file; the agent's result."""
        loop = asyncio.get_running_loop()
        async for data in self:
            await loop.run_in_executor(None, file.write, data)
        assert self.result is not None
        return self.result

    async def close(self) -> None:
        await self._call.close()


class Sum:
    """What was sent, to be compared with what the agent got."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, data: bytes) -> bytes:
        self._sha256.update(data)
        return data

    def check(self, result: Map) -> Map:
        with _reading("a result"):
            if result.get("atomic") and result.get("sha256", self._sha256.hexdigest()) != self._sha256.hexdigest():
                raise DigestError("what the agent wrote is not what was sent")
        return result


def pieces(source: Source) -> Iterator[bytes]:
    """Bytes, a file that is open for reading, or an iterable of bytes: as pieces."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return iter([bytes(source)])
    if hasattr(source, "read"):
        return iter(functools.partial(source.read, 256 << 10), b"")
    return iter(source)


async def _async_pieces(source: AsyncSource) -> AsyncIterator[bytes]:
    if hasattr(source, "__aiter__"):
        async for piece in source:
            yield piece
    elif hasattr(source, "read"):
        loop = asyncio.get_running_loop()
        while piece := await loop.run_in_executor(None, source.read, 256 << 10):
            yield piece
    else:
        for piece in pieces(source):
            yield piece


class AsyncEvents(_AsyncStream[Map]):
    """The events of a call that goes on until it is closed: an async iterator of maps with "type".

    `ready` is the first event of those calls that have one. Of fs.watch: after an "overflow" the agent sends what is
    different as ordinary events, and then "resync"; a picture that is drawn from all events is right again then,
    and `in_sync` says whether it is now. A watch has a connection of its own: who takes events slowly holds up no
    other call, and the agent makes an overflow of what is too much.
    """

    def __init__(self, call: AsyncCall, client: Optional[AsyncClient]):
        self.ready: Map = {}
        self.in_sync = True
        self.overflows = 0
        self._call = call
        self._client = client       # of its own

    async def next(self) -> Optional[Map]:
        """The next event; None when there will be none."""
        while (item := await self._call.next()) is not None:
            if isinstance(item, dict):
                if item["type"] in ("overflow", "resync"):
                    self.in_sync = item["type"] == "resync"
                    self.overflows += not self.in_sync
                return item
        return None

    async def close(self) -> None:
        await self._call.close()
        if self._client:
            await self._client.close()


class AsyncTunnel(_AsyncClosing):
    """A connection to a port or Unix socket in the guest."""

    def __init__(self, call: AsyncCall):
        self._call = call
        self._over = False

    async def recv(self) -> bytes:
        """What came; b"" at its end."""
        while not self._over:
            item = await self._call.next()
            if isinstance(item, Data) and item.data:
                return item.data
            self._over = item is None or isinstance(item, End)
        return b""

    async def send(self, data: bytes) -> None:
        """All of it, or an error."""
        if await self._call.write(data) < len(data):
            await self._call.result()
            raise BrokenPipeError(errno.EPIPE, "the tunnel is closed")

    async def end(self) -> None:
        """Nothing more will be sent; what comes can still be received."""
        await self._call.end()

    async def close(self) -> None:
        await self._call.close()


class AsyncForward(_AsyncClosing):
    """A port of this host that leads into the guest."""

    def __init__(self, server: asyncio.AbstractServer, address: Tuple[str, int]):
        self.address = address
        self.tasks: Set[asyncio.Task[None]] = set()
        self._server = server

    async def close(self) -> None:
        """Closes the port, and what goes through it."""
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


# -- clients ---------------------------------------------------------------------------------------

class _Methods(Generic[M, L]):
    """Methods that answer at once: M is a map now or later, L a list of them. `more` are further parameters of the
    method, as docs/protocol.md has them."""

    def _map(self, method: str, **params: Any) -> M:
        raise NotImplementedError

    def _list(self, method: str, **params: Any) -> L:
        raise NotImplementedError

    def ping(self) -> M:
        return self._map("system.ping")

    def info(self) -> M:
        return self._map("system.info")

    def run(self, command: Command, *, input: Optional[bytes] = None, max_output: Optional[int] = None,
            **spawn: Unpack[Spawn]) -> M:
        """Runs it; its Exit with `stdout` and `stderr`, up to max_output bytes of each."""
        return self._map("proc.run", **_command(command), input=input, max_output=max_output, **spawn)

    def processes(self, **more: Any) -> L:
        return self._list("proc.list", **more)

    def signal(self, id: str, signal: Union[int, str], **more: Any) -> M:
        return self._map("proc.signal", id=id, signal=signal, **more)

    def stop(self, id: str, **more: Any) -> M:
        return self._map("proc.stop", id=id, **more)

    def wait(self, id: str, timeout_ms: Optional[int] = None) -> M:
        return self._map("proc.wait", id=id, timeout_ms=timeout_ms)

    def logs(self, id: str, tail: Optional[int] = None, **more: Any) -> M:
        return self._map("proc.logs", id=id, tail=tail, **more)

    def stat(self, path: Path, **more: Any) -> M:
        return self._map("fs.stat", path=path, **more)

    def exists(self, path: Path, **more: Any) -> M:
        return self._map("fs.exists", path=path, **more)

    def list(self, path: Path, **more: Any) -> M:
        return self._map("fs.list", path=path, **more)

    def mkdir(self, path: Path, **more: Any) -> M:
        return self._map("fs.mkdir", path=path, **more)

    def delete(self, path: Path, **more: Any) -> M:
        return self._map("fs.delete", path=path, **more)

    def move(self, from_: Path, to: Path, **more: Any) -> M:
        return self._map("fs.move", from_=from_, to=to, **more)

    def write_files(self, files: Sequence[Mapping[str, Any]], **more: Any) -> M:
        """Of {path, data, mode?, owner?}. What failed stands in the result, and raises nothing."""
        return self._map("fs.write_files", files=files, **more)

    def env_set(self, vars: Mapping[str, Optional[str]], **more: Any) -> M:
        return self._map("env.set", vars=vars, **more)

    def env_unset(self, names: Sequence[str], **more: Any) -> M:
        return self._map("env.unset", names=names, **more)

    def env_list(self, **more: Any) -> L:
        return self._list("env.list", **more)

    def env_resolve(self, **more: Any) -> M:
        return self._map("env.resolve", **more)

    def ports(self) -> L:
        return self._list("net.ports")

    def wait_port(self, port: int, **more: Any) -> M:
        return self._map("net.wait", port=port, **more)

    def freeze(self, **more: Any) -> M:
        return self._map("system.freeze", **more)

    def thaw(self) -> M:
        return self._map("system.thaw")

    def resumed(self, key: Optional[str] = None, **more: Any) -> M:
        """To be called once after a restore or a clone: sets the clock and the randomness, too."""
        return self._map("system.resumed", key=key, **{
            "time_us": time.time_ns() // 1000, "entropy": secrets.token_bytes(64), **more})


def _command(command: Optional[Command]) -> Map:
    if command is None:
        return {}
    return {"cmd": command} if isinstance(command, str) else {"argv": list(command)}


def _given(params: Mapping[str, Any]) -> Map:
    """None is left out; from_ is for what Python keeps to itself."""
    return {name.rstrip("_"): value for name, value in params.items() if value is not None}


class AsyncClient(_Methods[Awaitable[Map], Awaitable[List[Map]]], _AsyncClosing):
    """A host's connection to an agent, made when it is needed and again when it is lost.

    token: what the agent wants to see. window: bytes of each call that may be on their way to us. keepalive: seconds;
    three times as long without a word and the connection is lost; 0: never. timeout: seconds for call(); None: no
    limit. connect_timeout: seconds for one try to connect, retry: for how long it is tried again. reconnect: False
    leaves a lost connection lost.
    """

    def __init__(self, endpoint: str, *, token: Union[str, bytes, None] = None, name: str = "guestd.py",
                 window: int = 1 << 20, keepalive: float = 10.0, timeout: Optional[float] = None,
                 connect_timeout: float = 10.0, retry: float = 30.0, reconnect: bool = True):
        self.endpoint = endpoint
        self.reconnect = reconnect
        self.timeout = timeout
        self._options: Map = {"token": token, "name": name, "window": window, "keepalive": keepalive,
                              "timeout": timeout, "connect_timeout": connect_timeout, "retry": retry}
        self._link: Optional[Link] = None
        self._closed = False
        self._connecting: Optional[asyncio.Lock] = None

    async def __aenter__(self) -> AsyncClient:
        await self.connect()
        return self

    @property
    def hello(self) -> Map:
        """What the agent said of itself on the last connection."""
        return self._link.hello if self._link else {}

    async def connect(self) -> Map:
        """Connects, where it is not. What the agent said to hello."""
        return (await self._linked()).hello

    async def close(self) -> None:
        """The agent cancels what is open; processes live on."""
        self._closed = True
        if self._link:
            self._link.lose(Disconnected("the client was closed"))

    async def _linked(self) -> Link:
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            link = self._link
            if self._closed:
                raise Disconnected("the client was closed")
            if link is None or (link.error and self.reconnect):
                link = self._link = await self._dial()
                if self._closed:    # meanwhile
                    link.lose(Disconnected("the client was closed"))
            link.check()
            return link

    async def _dial(self) -> Link:
        loop = asyncio.get_running_loop()
        options, pause = self._options, 0.02
        end = loop.time() + options["retry"]
        while True:
            try:
                wire = await loop.run_in_executor(None, dial, self.endpoint, options["connect_timeout"])
                return await self._greet(Link(wire, options["window"], options["keepalive"]))
            except (ProtocolError, PermissionError):
                raise
            except OSError as e:    # Disconnected and Timeout among them
                if loop.time() + pause > end:
                    raise Disconnected(f"cannot reach {self.endpoint}: {e}") from e
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _greet(self, link: Link) -> Link:
        options, serial = self._options, link.protocol.serial
        params = _given({"protocol": 1, "client": options["name"], "token": options["token"],
                         "window": options["window"], "keepalive_ms": int(options["keepalive"] * 1000)})
        end = link.loop.time() + options["connect_timeout"]
        try:
            while True:
                left = max(0.0, end - link.loop.time())
                try:
                    # On a line noise may have taken the question or the answer.
                    answer = link.call("hello", params).result()
                    link.hello = await asyncio.wait_for(answer, min(left, 2.0) if serial else left)
                    break
                except asyncio.TimeoutError:
                    if left <= 2.0 or not serial:
                        raise Timeout("hello was not answered") from None
            link.protocol.peer_window = int(link.hello["window"])
            link.protocol.max_frame = int(link.hello["max_frame"])
        except BaseException as e:
            link.lose(Disconnected("hello failed"))
            if isinstance(e, (KeyError, TypeError, ValueError)):
                raise ProtocolError(f"hello was answered with {link.hello!r}") from e
            raise
        return link

    # Any method.

    async def call(self, method: str, params: Optional[Mapping[str, Any]] = None, *,
                   timeout: Optional[float] = None, **more: Any) -> Any:
        """The result of any method; params as a map, or by name. Timeout cancels it."""
        timeout = self.timeout if timeout is None else timeout
        try:
            return await asyncio.wait_for(self._answer(method, params, more), timeout)
        except asyncio.TimeoutError:
            raise Timeout(f"{method}: no answer within {timeout} s") from None

    async def _answer(self, method: str, params: Optional[Mapping[str, Any]], more: Map) -> Any:
        async with await self.open(method, params, **more) as call:
            return await call.result()

    async def open(self, method: str, params: Optional[Mapping[str, Any]] = None, **more: Any) -> AsyncCall:
        """Sends the request of any method, and leaves data, events and the response to the caller."""
        link = await self._linked()
        return link.call(method, {**(params or {}), **_given(more)})

    def _map(self, method: str, **params: Any) -> Awaitable[Map]:
        return self.call(method, **params)

    def _list(self, method: str, **params: Any) -> Awaitable[List[Map]]:
        return self.call(method, **params)

    # Processes.

    async def exec(self, command: Command, *, on_event: OnEvent = None, **spawn: Unpack[Spawn]) -> AsyncProcess:
        """Runs it and streams both outputs; stdin=True for input. It lives on when the connection is lost."""
        params = {"id": f"py-{secrets.token_hex(8)}", **_command(command), **_given(spawn)}
        return await AsyncProcess(self, "proc.exec", params, on_event).start()

    async def pty(self, command: Optional[Command] = None, *, rows: int = 24, cols: int = 80,
                  term: str = "xterm-256color", on_event: OnEvent = None, **spawn: Unpack[Spawn]) -> AsyncProcess:
        """The same on a terminal: all output is on channel 1. Without a command the user's login shell."""
        params = {"id": f"py-{secrets.token_hex(8)}", **_command(command), **_given(spawn),
                  "rows": rows, "cols": cols, "term": term}
        return await AsyncProcess(self, "pty.open", params, on_event).start()

    async def start(self, command: Command, **spawn: Unpack[Spawn]) -> Map:
        """Starts it and leaves it running; its ProcessInfo. A request that was lost is sent again."""
        params = {"id": f"py-{secrets.token_hex(8)}", **_command(command), **_given(spawn)}
        again = 0
        while True:
            call = None
            try:
                call = await self.open("proc.start", params)
                info: Map = await call.result()
                return info
            except RpcError as e:
                if not (again and e.code == "exists"):
                    raise
                return next(p for p in await self.processes() if p["id"] == params["id"])
            except Disconnected:
                again += 1
                if call is None or not self.reconnect or again > MAX_LOSSES:
                    raise
                await asyncio.sleep(min(0.01 * 2 ** again, 2.0))

    async def attach(self, id: str, *, stdout_from: Optional[int] = None, stderr_from: Optional[int] = None,
                     follow: Optional[bool] = None, on_event: OnEvent = None) -> AsyncProcess:
        """What it wrote from these offsets on (negative: from the end; None: the oldest kept), and what it writes."""
        params = _given({"id": id, "stdout_from": stdout_from, "stderr_from": stderr_from, "follow": follow})
        return await AsyncProcess(self, "proc.attach", params, on_event).start()

    # Files and archives.

    async def read_stream(self, path: Path, *, offset: Optional[int] = None, length: Optional[int] = None,
                          hash: Optional[bool] = None, user: Optional[str] = None) -> AsyncDownload:
        return AsyncDownload(await self.open("fs.read", path=path, offset=offset, length=length, hash=hash, user=user))

    async def read(self, path: Path, **more: Any) -> bytes:
        async with await self.read_stream(path, **more) as stream:
            return await stream.read()

    async def write(self, path: Path, source: AsyncSource, **more: Unpack[Write]) -> Map:
        """All or nothing, unless append, offset or atomic=False say otherwise."""
        return await self._upload("fs.write", source, {"path": path, **_given(more)}, None)

    async def export(self, path: Union[Path, Sequence[Path]], *, on_event: OnEvent = None,
                     **more: Unpack[Export]) -> AsyncDownload:
        """An archive, by default tar.gz; what could not be read is in result["skipped"]."""
        params: Map = {"path": path} if isinstance(path, (str, bytes, os.PathLike)) else {"paths": list(path)}
        return AsyncDownload(await self.open("tar.export", {**params, **_given(more)}), on_event)

    async def import_(self, path: Path, source: AsyncSource, *, on_event: OnEvent = None,
                      **more: Unpack[Import]) -> Map:
        """Unpacks an archive into the directory."""
        return await self._upload("tar.import", source, {"path": path, **_given(more)}, on_event)

    async def _upload(self, method: str, source: AsyncSource, params: Map, on_event: OnEvent) -> Map:
        total = Sum()
        async with await self.open(method, params) as call:
            async for piece in _async_pieces(source):
                if await call.write(total.add(piece)) < len(piece):
                    break       # the response says why
            await call.end()
            async for item in call:
                if on_event and isinstance(item, dict):
                    on_event(item)
            return total.check(await call.result())

    # What goes on.

    async def watch(self, path: Path, **more: Unpack[Watched]) -> AsyncEvents:
        """What changes below a directory, from the return on."""
        return await self.subscribe("fs.watch", path=path, **more)

    async def subscribe(self, method: str, **params: Any) -> AsyncEvents:
        """The events of a call without an end, as system.events or net.watch, on a connection of their own."""
        client = None
        if not self.endpoint.startswith("serial:"):     # a line has one
            client = AsyncClient(self.endpoint, reconnect=False, **self._options)
        events = AsyncEvents(await (client or self).open(method, **params), client)
        try:
            if method in ("fs.watch", "net.watch"):
                events.ready = await events.next() or {}
        except BaseException:
            await events.close()
            raise
        return events

    # The network.

    async def dial(self, port: Optional[int] = None, *, host: Optional[str] = None, path: Optional[Path] = None,
                   timeout_ms: Optional[int] = None) -> AsyncTunnel:
        """A connection to a port (of 127.0.0.1, ::1) or Unix socket in the guest."""
        call = await self.open("net.dial", port=port, host=host, path=path, timeout_ms=timeout_ms)
        await call.next()       # connected
        return AsyncTunnel(call)

    async def forward(self, port: Optional[int] = None, *, listen: Tuple[str, int] = ("127.0.0.1", 0),
                      on_error: Optional[Callable[[Exception], None]] = None, **where: Any) -> AsyncForward:
        """Listens on this host, and dials for each connection; on_error hears what went wrong with one."""
        async def up(reader: asyncio.StreamReader, tunnel: AsyncTunnel) -> None:
            while data := await reader.read(MAX_DATA):
                await tunnel.send(data)
            await tunnel.end()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            forward.tasks.add(task)
            sending = None
            try:
                async with await self.dial(port, **where) as tunnel:
                    sending = asyncio.ensure_future(up(reader, tunnel))
                    while data := await tunnel.recv():
                        writer.write(data)
                        await writer.drain()
                    writer.write_eof()
                    await sending
            except (GuestdError, OSError) as e:
                if on_error:
                    on_error(e)
            finally:
                if sending:
                    sending.cancel()
                writer.close()
                forward.tasks.discard(task)

        server = await asyncio.start_server(carry, *listen)
        forward = AsyncForward(server, server.sockets[0].getsockname()[:2])
        return forward


# -- the same without asyncio ----------------------------------------------------------------------

_background: Tuple[int, Optional[asyncio.AbstractEventLoop]] = (0, None)
_background_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The loop that all Clients of this process share, on a thread of its own; not a parent's, after a fork."""
    global _background
    with _background_lock:
        pid, loop = _background
        if loop is None or pid != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="guestd", daemon=True).start()
            _background = (os.getpid(), loop)
        return loop


def _run(work: Coroutine[Any, Any, T]) -> T:
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:   # KeyboardInterrupt among them
        future.cancel()
        raise


class _Closing:
    """`with` closes it."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream(_Closing, Generic[A, T]):
    """An iterator, which may also be asked for the next one, or None at its end."""

    def __init__(self, it: A):
        self._it = it

    def next(self, timeout: Optional[float] = None) -> Optional[T]:
        """Timeout where none came in time: ask again."""
        try:
            return _run(asyncio.wait_for(self._it.next(), timeout))
        except asyncio.TimeoutError:
            raise Timeout(f"nothing came within {timeout} s") from None

    def __iter__(self) -> Iterator[T]:
        while (item := self.next()) is not None:
            yield item

    def close(self) -> None:
        _run(self._it.close())


class Call(_Stream[AsyncCall, Item]):
    """AsyncCall for threads."""

    def result(self) -> Any:
        return _run(self._it.result())

    def write(self, data: bytes, channel: int = STDIN) -> int:
        return _run(self._it.write(data, channel))

    def end(self, channel: int = STDIN) -> None:
        _run(self._it.end(channel))


class Process(_Stream[AsyncProcess, Chunk]):
    """AsyncProcess for threads: `for chunk in process`, then `exit`. `with` stops one of exec that runs on."""

    def __init__(self, it: AsyncProcess):
        super().__init__(it)
        self.id, self.pid = it.id, it.pid

    @property
    def exit(self) -> Optional[Map]:
        return self._it.exit

    @property
    def offsets(self) -> Dict[int, int]:
        return self._it.offsets

    def communicate(self, data: bytes = b"") -> Tuple[bytes, bytes]:
        return _run(self._it.communicate(data))

    def wait(self) -> Map:
        return _run(self._it.wait())

    def write(self, data: bytes) -> int:
        return _run(self._it.write(data))

    def end(self) -> None:
        _run(self._it.end())

    def resize(self, rows: int, cols: int) -> None:
        _run(self._it.resize(rows, cols))

    def signal(self, signal: Union[int, str], **more: Any) -> Map:
        return _run(self._it.signal(signal, **more))

    def stop(self, **more: Any) -> Map:
        return _run(self._it.stop(**more))


class Download(_Stream[AsyncDownload, bytes]):
    """AsyncDownload for threads."""

    @property
    def result(self) -> Optional[Map]:
        return self._it.result

    def read(self, size: int = -1) -> bytes:
        return _run(self._it.read(size))

    def save(self, file: IO[bytes]) -> Map:
        for data in self:
            file.write(data)
        assert self.result is not None
        return self.result


class Events(_Stream[AsyncEvents, Map]):
    """AsyncEvents for threads."""

    @property
    def ready(self) -> Map:
        return self._it.ready

    @property
    def in_sync(self) -> bool:
        return self._it.in_sync

    @property
    def overflows(self) -> int:
        return self._it.overflows


class Tunnel(_Closing):
    """AsyncTunnel for threads."""

    def __init__(self, tunnel: AsyncTunnel):
        self._it = tunnel

    def recv(self) -> bytes:
        return _run(self._it.recv())

    def send(self, data: bytes) -> None:
        _run(self._it.send(data))

    def end(self) -> None:
        _run(self._it.end())

    def close(self) -> None:
        _run(self._it.close())


class Forward(_Closing):
    """AsyncForward for threads."""

    def __init__(self, forward: AsyncForward):
        self._it = forward
        self.address = forward.address

    def close(self) -> None:
        _run(self._it.close())


class Client(_Methods[Map, List[Map]], _Closing):
    """AsyncClient for threads: the same parameters and methods, which block. on_event runs on another thread."""

    def __init__(self, endpoint: str, **options: Any):
        self._it = AsyncClient(endpoint, **options)
        self.endpoint = endpoint

    def __enter__(self) -> Client:
        self.connect()
        return self

    @property
    def hello(self) -> Map:
        return self._it.hello

    def connect(self) -> Map:
        return _run(self._it.connect())

    def close(self) -> None:
        _run(self._it.close())

    def call(self, method: str, params: Optional[Mapping[str, Any]] = None, *,
             timeout: Optional[float] = None, **more: Any) -> Any:
        return _run(self._it.call(method, params, timeout=timeout, **more))

    def open(self, method: str, params: Optional[Mapping[str, Any]] = None, **more: Any) -> Call:
        return Call(_run(self._it.open(method, params, **more)))

    def _map(self, method: str, **params: Any) -> Map:
        return _run(self._it.call(method, **params))

    def _list(self, method: str, **params: Any) -> List[Map]:
        return _run(self._it.call(method, **params))

    def exec(self, command: Command, *, on_event: OnEvent = None, **spawn: Unpack[Spawn]) -> Process:
        return Process(_run(self._it.exec(command, on_event=on_event, **spawn)))

    def pty(self, command: Optional[Command] = None, *, rows: int = 24, cols: int = 80, term: str = "xterm-256color",
            on_event: OnEvent = None, **spawn: Unpack[Spawn]) -> Process:
        return Process(_run(self._it.pty(command, rows=rows, cols=cols, term=term, on_event=on_event, **spawn)))

    def start(self, command: Command, **spawn: Unpack[Spawn]) -> Map:
        return _run(self._it.start(command, **spawn))

    def attach(self, id: str, *, stdout_from: Optional[int] = None, stderr_from: Optional[int] = None,
               follow: Optional[bool] = None, on_event: OnEvent = None) -> Process:
        return Process(_run(self._it.attach(id, stdout_from=stdout_from, stderr_from=stderr_from, follow=follow,
                                            on_event=on_event)))

    def read_stream(self, path: Path, *, offset: Optional[int] = None, length: Optional[int] = None,
                    hash: Optional[bool] = None, user: Optional[str] = None) -> Download:
        return Download(_run(self._it.read_stream(path, offset=offset, length=length, hash=hash, user=user)))

    def read(self, path: Path, **more: Any) -> bytes:
        return _run(self._it.read(path, **more))

    def write(self, path: Path, source: Source, **more: Unpack[Write]) -> Map:
        return self._upload("fs.write", source, {"path": path, **_given(more)}, None)

    def export(self, path: Union[Path, Sequence[Path]], *, on_event: OnEvent = None,
               **more: Unpack[Export]) -> Download:
        return Download(_run(self._it.export(path, on_event=on_event, **more)))

    def import_(self, path: Path, source: Source, *, on_event: OnEvent = None, **more: Unpack[Import]) -> Map:
        return self._upload("tar.import", source, {"path": path, **_given(more)}, on_event)

    def _upload(self, method: str, source: Source, params: Map, on_event: OnEvent) -> Map:
        total = Sum()
        with self.open(method, params) as call:
            for piece in pieces(source):    # on the caller's thread: it may ask this very client
                if call.write(total.add(piece)) < len(piece):
                    break       # the response says why
            call.end()
            for item in call:
                if on_event and isinstance(item, dict):
                    on_event(item)
            return total.check(call.result())

    def watch(self, path: Path, **more: Unpack[Watched]) -> Events:
        return Events(_run(self._it.watch(path, **more)))

    def subscribe(self, method: str, **params: Any) -> Events:
        return Events(_run(self._it.subscribe(method, **params)))

    def dial(self, port: Optional[int] = None, *, host: Optional[str] = None, path: Optional[Path] = None,
             timeout_ms: Optional[int] = None) -> Tunnel:
        return Tunnel(_run(self._it.dial(port, host=host, path=path, timeout_ms=timeout_ms)))

    def forward(self, port: Optional[int] = None, *, listen: Tuple[str, int] = ("127.0.0.1", 0),
                on_error: Optional[Callable[[Exception], None]] = None, **where: Any) -> Forward:
        return Forward(_run(self._it.forward(port, listen=listen, on_error=on_error, **where)))
