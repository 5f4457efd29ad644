"""A guestd client in one file: what a host needs to talk to the agent, and nothing else.

It is written to be read by people who write a client in another language. It blocks, uses one
thread, one socket and select(2), and follows docs/protocol.md section by section:

    endpoints     connect("unix:PATH") or connect("uds:PATH:PORT")
    framing       frame() and Client.recv(): 32-bit big-endian length, then one msgpack array
    messages      Client._dispatch(): the eight kinds, told apart by their first element
    calls         Call: one request, its data, its events and, last of all, its one response
    flow control  Call.write() spends credit, Call._take() returns it

The short version:

    with connect("unix:/run/guestd/agent.sock") as c:
        c.hello(client="example", window=1 << 20)            # optional
        print(c.call("proc.run", {"cmd": "uname -a"})["stdout"])

        call = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        call.write(b"hello")                                 # channel 0, within the credit
        call.end()                                           # end of input
        print(call.wait()["code"], bytes(call.stdout))

Every wait has a deadline: TimeoutError says what was waited for. A lost connection is
Disconnected, an error answered by the agent is RpcError. Nothing here is thread-safe.
"""

import errno
import os
import select
import socket
import struct
import time

import msgpack

# The first element of every message.
REQUEST, RESPONSE, NOTIFY, DATA, END, EVENT, CREDIT, CANCEL = range(8)

# Channels of a call.
STDIN, STDOUT, STDERR = range(3)

MAX_DATA = 64 * 1024            # a data message carries no more
MAX_FRAME = 1024 * 1024 + 64    # until hello agrees on something else

TIMEOUT = float(os.environ.get("GUESTD_TEST_TIMEOUT", "20"))
LONG = 3 * TIMEOUT  # for what takes long by itself


class RpcError(Exception):
    """The agent answered a request with an error."""

    def __init__(self, error):
        self.code = error["code"]           # "ENOENT", "bad_params", ...: for programs
        self.message = error["message"]     # for people
        self.errno = error.get("errno")
        self.stage = error.get("stage")     # which step of a spawn failed
        self.path = error.get("path")
        self.data = error.get("data")
        super().__init__(f"{self.code}: {self.message}")


class Disconnected(Exception):
    """The connection is gone; `goodbye` is the agent's reason, where it gave one."""

    def __init__(self, goodbye=None):
        self.goodbye = goodbye
        super().__init__(f"disconnected, goodbye: {goodbye}")


def pack(value):
    """One msgpack value: text becomes str, bytes become bin."""
    return msgpack.packb(value, use_bin_type=True)


def frame(message):
    """One message as it goes over a stream socket."""
    body = pack(message)
    return struct.pack(">I", len(body)) + body


def connect(endpoint, timeout=TIMEOUT):
    """A Client for `unix:PATH` or `uds:PATH:PORT`."""
    kind, _, rest = endpoint.partition(":")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Blocking, so that connect() waits its turn where the agent is busy accepting others.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout) or 1, 0))
        if kind == "unix":
            sock.connect(rest)
        elif kind == "uds":
            path, _, port = rest.rpartition(":")
            sock.connect(path)
            sock.settimeout(timeout)
            _hybrid_handshake(sock, int(port))
        else:
            raise ValueError(f"endpoint {endpoint!r} is neither unix:PATH nor uds:PATH:PORT")
        return Client(sock)
    except BaseException:
        sock.close()
        raise


def _hybrid_handshake(sock, port):
    """Ask the virtual machine monitor for a port of the guest.

    The request has to leave in one piece (monitors drop a split one), and the answer has to be read
    bytewise: what follows its newline already belongs to the protocol.
    """
    sock.send(f"CONNECT {port}\n".encode())
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte or len(line) > 64:
            raise ConnectionRefusedError(f"nobody listens on port {port} of the guest: {line!r}")
        line += byte
    if not line.startswith(b"OK "):
        raise ConnectionRefusedError(f"CONNECT {port} was answered with {line!r}")


class Client:
    """One connection. Starts in transport mode; hello(window=n) switches to credit mode."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock
        self.calls = {}             # open calls, by id
        self.notifications = []     # (method, params) as they came
        self.strays = []            # messages for calls that are not open here
        self.window = 0             # credit the agent starts each call with; 0 = transport mode
        self.peer_window = 0        # credit we start each call with
        self.largest_frame = 0      # longest body received
        self._input = bytearray()
        self._eof = False
        self._next_id = 1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Just close: there is no half-close and no farewell in this protocol."""
        self.sock.close()

    # -- bytes and messages ----------------------------------------------------------------------

    def send(self, message, timeout=TIMEOUT):
        """Send one message: a list whose first element is its kind."""
        self.send_bytes(frame(message), timeout)

    def send_bytes(self, raw, timeout=TIMEOUT):
        """Send bytes as they are.

        While the agent does not take them, what it has to say is read and kept: otherwise two
        full socket buffers would wait for each other.
        """
        deadline = time.monotonic() + timeout
        rest = memoryview(raw)
        while rest:
            try:
                rest = rest[self.sock.send(rest):]
            except BlockingIOError:
                readers = [] if self._eof else [self.sock]
                if not any(select.select(readers, [self.sock], [], _left(deadline))):
                    raise TimeoutError(f"{len(rest)} bytes were not taken") from None
                self._fill()
            except OSError as e:
                if e.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                self._drain()
                raise Disconnected(self.goodbye) from None

    def recv(self, timeout=TIMEOUT):
        """The next message, undispatched. Disconnected when there will be none."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._decode()
            if message is not None:
                return message
            if self._eof:
                raise Disconnected(self.goodbye)
            if not select.select([self.sock], [], [], _left(deadline))[0]:
                raise TimeoutError("no message came")
            self._fill()

    def _fill(self):
        """Read what is there, without waiting."""
        try:
            data = self.sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._input += data
        self._eof = self._eof or not data

    def _decode(self):
        """Cut one message off the input, or None when it is not complete yet."""
        if len(self._input) < 4:
            return None
        (size,) = struct.unpack_from(">I", self._input)
        if len(self._input) < 4 + size:
            return None
        body = bytes(self._input[4:4 + size])
        del self._input[:4 + size]
        self.largest_frame = max(self.largest_frame, size)
        # Strict: text has to be UTF-8 and keys strings, as the agent promises.
        message = msgpack.unpackb(body, raw=False, strict_map_key=True)
        assert isinstance(message, list) and message, f"not a message: {message!r}"
        if message[0] == NOTIFY:
            self.notifications.append((message[1], message[2]))
        return message

    def _drain(self):
        """The peer is gone: look through what it still said, above all for a goodbye."""
        while not self._eof:
            self._fill()
        message = self._decode()
        while message is not None:
            self._dispatch(message)
            message = self._decode()

    @property
    def goodbye(self):
        """Parameters of the agent's goodbye, or None."""
        return next((p for m, p in self.notifications if m == "goodbye"), None)

    # -- calls -----------------------------------------------------------------------------------

    def request(self, method, params=None):
        """Send a request and return its id, for who wants to read the answers by hand."""
        call_id = self._next_id
        while call_id in self.calls:
            call_id += 1
        self._next_id = call_id + 1
        self.send([REQUEST, call_id, method, params])
        return call_id

    def open(self, method, params=None):
        """Send a request and return its Call."""
        call_id = self._next_id
        while call_id in self.calls:
            call_id += 1
        self._next_id = call_id + 1
        call = Call(self, call_id, method)
        self.calls[call_id] = call
        self.send([REQUEST, call_id, method, params])
        return call

    def call(self, method, params=None, timeout=TIMEOUT):
        """Request, wait, result. RpcError when the agent says no."""
        return self.open(method, params).wait(timeout)

    def hello(self, **params):
        """Introduce ourselves; `window` > 0 turns credit mode on for the calls that follow."""
        params.setdefault("protocol", 1)
        result = self.call("hello", params)
        self.window = params.get("window", 0)
        self.peer_window = result["window"]
        return result

    def pump(self, until, timeout=TIMEOUT, what="it"):
        """Receive and dispatch until `until()` is true."""
        deadline = time.monotonic() + timeout
        while not until():
            try:
                self._dispatch(self.recv(_left(deadline)))
            except TimeoutError:
                raise TimeoutError(f"{what} did not happen within {timeout:g} s") from None

    def take(self):
        """Read and dispatch what is there."""
        self._fill()
        while (message := self._decode()) is not None:
            self._dispatch(message)
        if self._eof:
            raise Disconnected(self.goodbye)

    def _dispatch(self, message):
        kind = message[0]
        if kind == NOTIFY:
            return                      # already noted by _decode()
        call = self.calls.get(message[1])
        if call is None:
            self.strays.append(message)
        else:
            call._take(kind, message[2:])


class Call:
    """A request that was sent: collects what belongs to it until its response."""

    def __init__(self, client, call_id, method):
        self.client = client
        self.id = call_id
        self.method = method
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.events = []
        self.places = []            # how much of (stdout, stderr) preceded each event
        self.kinds = []             # kinds of all messages received, in order
        self.ended = set()          # channels that the agent closed
        self.done = False
        self.error = None
        self.result = None
        self.granted = 0            # credit the agent gave us beyond its window
        self.auto_credit = True     # return credit for what was received
        self.credit = client.peer_window if client.window else None     # None = no limit

    def _take(self, kind, rest):
        """One message from the agent for this call."""
        self.kinds.append(kind)
        if kind == DATA:
            channel, data = rest
            assert isinstance(data, bytes) and len(data) <= MAX_DATA, "malformed data message"
            {STDOUT: self.stdout, STDERR: self.stderr}[channel].extend(data)
            if self.client.window and self.auto_credit and data:
                self.grant(len(data))
        elif kind == EVENT:
            self.events.append(rest[0])
            self.places.append((len(self.stdout), len(self.stderr)))
        elif kind == END:
            self.ended.add(rest[0])
        elif kind == CREDIT:
            self.granted += rest[0]
            if self.credit is not None:
                self.credit += rest[0]
        elif kind == RESPONSE:
            self.error, self.result = rest
            self.done = True
            del self.client.calls[self.id]
        else:
            raise AssertionError(f"message of kind {kind} from the agent")

    def pump(self, until, timeout=TIMEOUT, what="it"):
        """Receive until `until()` is true or the call is over; say which came first."""
        self.client.pump(lambda: until() or self.done, timeout, f"{self.method}: {what}")
        return until()

    def wait(self, timeout=TIMEOUT):
        """The result; RpcError when it is an error."""
        self.pump(lambda: self.done, timeout, "the response")
        if self.error is not None:
            raise RpcError(self.error)
        return self.result

    def event(self, kind, timeout=TIMEOUT):
        """The first event of that type, waiting for it."""
        def find():
            return next((e for e in self.events if e["type"] == kind), None)
        if not self.pump(lambda: find() is not None, timeout, f"event {kind!r}"):
            raise AssertionError(f"{self.method} ended without event {kind!r}: "
                                 f"{self.error or self.result}")
        return find()

    def read(self, size, timeout=TIMEOUT):
        """Wait until stdout holds `size` bytes (or the call is over); all of stdout so far."""
        self.pump(lambda: len(self.stdout) >= size, timeout, f"{size} bytes of output")
        return bytes(self.stdout)

    def write(self, data, timeout=TIMEOUT):
        """Send input, never more than the credit allows. Returns what was sent: less than all
        of it only when the call ended first."""
        deadline = time.monotonic() + timeout
        sent = 0
        while sent < len(data) and not self.done:
            if self.credit is not None and self.credit <= 0:
                self.pump(lambda: self.credit > 0, _left(deadline), "credit")
                continue
            size = min(len(data) - sent, MAX_DATA, self.credit if self.credit else MAX_DATA)
            if self.credit is not None:
                self.credit -= size
            self.client.send([DATA, self.id, STDIN, data[sent:sent + size]], _left(deadline))
            sent += size
        return sent

    def end(self):
        """No more input."""
        self.client.send([END, self.id, STDIN])

    def cancel(self):
        """Ask the agent to stop the call; the response still comes."""
        self.client.send([CANCEL, self.id])

    def grant(self, size):
        """Let the agent send `size` bytes more in this call."""
        self.client.send([CREDIT, self.id, size])


def wait_all(calls, timeout=TIMEOUT):
    """Wait for the responses of calls on several connections, reading all of them all the time: who
    reads one while it waits for another may hold up both."""
    deadline = time.monotonic() + timeout
    while clients := {call.client for call in calls if not call.done}:
        ready = select.select([c.sock for c in clients], [], [], _left(deadline))[0]
        if not ready:
            raise TimeoutError(f"not all of {len(calls)} calls ended within {timeout:g} s")
        for client in clients:
            if client.sock in ready:
                client.take()


def _left(deadline):
    return max(0.0, deadline - time.monotonic())
