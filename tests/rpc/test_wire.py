"""Framing and messages: every way to say something right, and many to say it wrong.

Each test runs beside a bystander: another connection with an open stream, which must not notice.
"""

import random
import struct

import msgpack
import pytest

from client import (CANCEL, CREDIT, DATA, END, EVENT, MAX_FRAME, NOTIFY, REQUEST, RESPONSE, STDIN,
                    Disconnected, frame, pack)
from support import REMOTE, error_of, rounds

pytestmark = pytest.mark.usefixtures("bystander", "frugal")


@pytest.fixture
def bystander(agent):
    """Another client, whose stream has to work before and after."""
    with agent.connect() as c:
        call = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        call.write(b"before ")
        assert call.read(7) == b"before "
        yield
        call.write(b"after")
        assert call.read(12) == b"before after"
        c.call("system.ping")
        call.end()
        assert call.wait()["code"] == 0


def framed(body):
    return struct.pack(">I", len(body)) + body


def response_to(client, call_id):
    """The response with that id, read by hand: (error, result)."""
    while True:
        message = client.recv()
        if message[0] == RESPONSE and message[1] == call_id:
            return message[2], message[3]


def said_goodbye(client):
    """Elsewhere the goodbye has to do: vsock of today cannot tell the agent when it was taken, and
    so the agent gives it a second before it closes."""
    return REMOTE and client.goodbye is not None


def assert_thrown_out(client):
    """The agent says goodbye, giving the reason, and closes."""
    try:
        while not said_goodbye(client):
            client.recv()
    except Disconnected:
        pass
    assert client.goodbye is not None, "disconnected without a goodbye"
    assert client.goodbye["code"] == "protocol_error"
    assert isinstance(client.goodbye["message"], str) and client.goodbye["message"]


def assert_settled(client):
    """After something odd the agent either goes on or says goodbye; it does nothing else."""
    try:
        ping = client.open("system.ping")
        client.pump(lambda: ping.done or said_goodbye(client))
        assert not ping.error
    except Disconnected as e:
        assert e.goodbye is not None, "disconnected without a goodbye"


def nested(depth, inner=None):
    """Arrays in one another, `depth` levels of them."""
    value = [] if inner is None else [inner]
    for _ in range(depth - 1):
        value = [value]
    return value


# -- framing -------------------------------------------------------------------------------------

def test_a_request_may_come_byte_by_byte(client):
    for byte in frame([REQUEST, 1, "system.ping", {}]):
        client.send_bytes(bytes([byte]))
    assert response_to(client, 1)[0] is None


def test_a_request_may_be_split_anywhere(client):
    for call_id in range(len(frame([REQUEST, 1, "system.ping", {}])) - 1):
        raw = frame([REQUEST, call_id, "system.ping", {}])
        client.send_bytes(raw[:call_id + 1])
        client.send_bytes(raw[call_id + 1:])
        assert response_to(client, call_id)[0] is None


def test_many_requests_in_one_write_are_all_answered(client):
    client.send_bytes(b"".join(frame([REQUEST, i, "system.ping", {}]) for i in range(1000)))
    answered = {}
    while len(answered) < 1000:
        kind, call_id, error, _ = client.recv()
        assert kind == RESPONSE and call_id not in answered
        answered[call_id] = error
    assert set(answered) == set(range(1000)) and set(answered.values()) == {None}


def request_of_size(size):
    """A frame body of exactly that size that counts its own input."""
    def body(n):
        return pack([REQUEST, 1, "proc.run", {"argv": ["wc", "-c"], "input": b"x" * n}])
    count = size - len(body(100000)) + 100000       # both lengths take four bytes
    assert len(body(count)) == size
    return count, body(count)


def test_a_frame_of_exactly_max_frame_is_taken(client):
    count, body = request_of_size(MAX_FRAME)
    client.send_bytes(framed(body))
    error, result = response_to(client, 1)
    assert error is None
    assert int(result["stdout"]) == count


def test_a_frame_one_byte_longer_is_a_protocol_error(client):
    try:
        client.send_bytes(framed(request_of_size(MAX_FRAME + 1)[1]))
    except Disconnected:
        pass
    assert_thrown_out(client)


@pytest.mark.parametrize("size", [MAX_FRAME + 1, 1 << 31, (1 << 32) - 1])
def test_too_long_a_frame_is_refused_at_its_header(client, size):
    client.send_bytes(struct.pack(">I", size))
    assert_thrown_out(client)


def test_an_empty_frame_is_a_protocol_error(client):
    client.send_bytes(struct.pack(">I", 0))
    assert_thrown_out(client)


def test_what_came_before_the_broken_frame_is_still_answered(client):
    client.send_bytes(frame([REQUEST, 1, "system.ping", {}]) + struct.pack(">I", 0))
    assert response_to(client, 1)[0] is None
    assert_thrown_out(client)


# -- one complete array, and nothing but ---------------------------------------------------------

PING = pack([REQUEST, 1, "system.ping", {}])

BROKEN = {
    "nil": b"\xc0",
    "integer": b"\x01",
    "string": pack("system.ping"),
    "bin": pack(PING),
    "map": pack({"method": "system.ping"}),
    "float": pack(1.5),
    "ext": b"\xd4\x01\x00",
    "reserved byte": b"\xc1",
    "reserved byte inside": b"\x94\x00\x01\xabsystem.ping\xc1",
    "trailing byte": PING + b"\xc0",
    "trailing zero": PING + b"\x00",
    "two arrays": PING + PING,
    "cut array": PING[:-1],
    "cut string": b"\x94\x00\x01\xabsys",
    "cut header": b"\xdc\x00",
    "array header alone": b"\x94",
    "array32 of 2^32-1": b"\xdd\xff\xff\xff\xff",
    "map32 of 2^32-1": b"\xdf\xff\xff\xff\xff",
    "str32 of 2^32-1": b"\xdb\xff\xff\xff\xff",
    "bin32 of 2^32-1": b"\xc6\xff\xff\xff\xff",
    "ext32 of 2^32-1": b"\xc9\xff\xff\xff\xff",
    "params: array32 of 2^32-1": PING[:-1] + b"\xdd\xff\xff\xff\xff",
    "params: map32 of 2^32-1": PING[:-1] + b"\xdf\xff\xff\xff\xff",
    "params: str32 of 2^32-1": PING[:-1] + b"\xdb\xff\xff\xff\xff",
    "params: bin32 of 2^32-1": PING[:-1] + b"\xc6\xff\xff\xff\xff",
    "array32 of 2^32-1 with some of them": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000,
    "100000 nested arrays": b"\x91" * 100000 + b"\xc0",
    "100000 nested maps": b"\x94\x00\x01\xa1x" + b"\x81\xa1k" * 100000 + b"\xc0",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_anything_but_one_complete_array_is_a_protocol_error(client, body):
    client.send_bytes(framed(body))
    assert_thrown_out(client)


# params is depth 2, so what is in it starts at 3.
@pytest.mark.parametrize("deep", [nested(14), nested(14, 1), nested(13, {"k": 1})],
                         ids=["arrays", "with an integer inside", "with a map inside"])
def test_sixteen_levels_are_read(client, deep):
    """The parameter is unknown, and that is all that is wrong with it."""
    assert error_of(client.call, "system.ping", {"deep": deep}).code == "bad_params"


@pytest.mark.parametrize("deep", [nested(15), nested(15, 1), nested(14, {"k": 1}), nested(100)],
                         ids=["arrays", "with an integer inside", "with a map inside", "far more"])
def test_seventeen_levels_are_a_protocol_error(client, deep):
    client.send([REQUEST, 1, "system.ping", {"deep": deep}])
    assert_thrown_out(client)


# -- well-formed arrays that are not messages ----------------------------------------------------

ODD = {
    "empty": [],
    "kind 8": [8, 1],
    "kind -1": [-1, 1],
    "kind nil": [None],
    "kind as text": ["request", 1, "system.ping", {}],
    "request without method": [REQUEST, 900],
    "request too long": [REQUEST, 900, "system.ping", {}, {}],
    "request with id as text": [REQUEST, "900", "system.ping", {}],
    "request with id 2^32": [REQUEST, 1 << 32, "system.ping", {}],
    "request with negative id": [REQUEST, -1, "system.ping", {}],
    "request with method 5": [REQUEST, 900, 5, {}],
    "request with ext params": [REQUEST, 900, "system.ping", msgpack.ExtType(1, b"x")],
    "request with ext value": [REQUEST, 900, "proc.run", {"cmd": msgpack.ExtType(1, b"x")}],
    "response": [RESPONSE, 900, None, {}],
    "event": [EVENT, 900, {"type": "x"}],
    "notification without method": [NOTIFY],
    "unknown notification": [NOTIFY, "no.such.thing", {}],
    "data without payload": [DATA, 900, STDIN],
    "data as integer": [DATA, 900, STDIN, 5],
    "data on channel 9": [DATA, 900, 9, b"x"],
    "end without channel": [END, 900],
    "credit without amount": [CREDIT, 900],
    "negative credit": [CREDIT, 900, -1],
    "cancel without id": [CANCEL],
}


@pytest.mark.parametrize("message", ODD.values(), ids=ODD.keys())
def test_odd_messages_are_answered_ignored_or_end_the_connection(client, message):
    client.send(message)
    assert_settled(client)


def test_more_credit_than_an_integer_holds_does_no_harm(agent):
    with agent.connect() as c:
        c.hello(window=100)
        call = c.open("proc.exec", {"cmd": "seq 1 1000 | head -c 3000; cat >/dev/null", "stdin": True})
        try:
            for _ in range(3):
                call.grant((1 << 64) - 1)
            call.end()
            assert call.wait()["stdout_bytes"] == 3000 and len(call.stdout) == 3000
        except Disconnected as e:
            assert e.goodbye is not None


def test_random_frames(agent):
    rng = random.Random(1)
    for _ in range(rounds(300)):
        with agent.connect() as c:
            try:
                for _ in range(rng.randrange(1, 5)):
                    c.send_bytes(framed(rng.randbytes(rng.randrange(1, 200))))
            except Disconnected:
                pass


def test_random_bytes(agent):
    rng = random.Random(2)
    for _ in range(rounds(300)):
        with agent.connect() as c:
            try:
                c.send_bytes(rng.randbytes(rng.randrange(1, 2000)))
            except Disconnected:
                pass


def test_damaged_messages(agent):
    """Valid messages with a few bytes changed, inserted or left out. Whatever it makes of them,
    the agent answers the next client."""
    rng = random.Random(3)
    valid = [pack(m) for m in (
        [REQUEST, 1, "hello", {"protocol": 1, "client": "fuzz", "window": 1000, "keepalive_ms": 100}],
        [REQUEST, 2, "system.ping", {}],
        [REQUEST, 3, "system.methods", None],
        [REQUEST, 4, "proc.run", {"argv": ["true"], "env": {"A": "b"}, "input": b"x", "max_output": 5}],
        [DATA, 4, 0, b"input"], [END, 4, 0], [CREDIT, 4, 5], [CANCEL, 4])]
    for _ in range(rounds(500)):
        with agent.connect() as c:
            try:
                for _ in range(rng.randrange(1, 6)):
                    body = bytearray(rng.choice(valid))
                    for _ in range(rng.randrange(1, 4)):
                        at = rng.randrange(len(body))
                        body[at:at + rng.randrange(2)] = rng.randbytes(rng.randrange(2))
                        body = body or bytearray(b"\xc0")
                    c.send_bytes(framed(bytes(body)))
            except Disconnected:
                pass
    with agent.connect() as c:
        c.call("system.ping")


# -- requests ------------------------------------------------------------------------------------

def test_an_id_in_use_is_refused_and_its_call_goes_on(client):
    client.send([REQUEST, 7, "proc.exec", {"argv": ["cat"], "stdin": True}])
    assert client.recv()[2]["type"] == "started"
    client.send([REQUEST, 7, "system.ping", {}])
    error, _ = response_to(client, 7)
    assert error["code"] == "bad_request" and error["message"]

    client.send([DATA, 7, STDIN, b"still here"])
    assert client.recv() == [DATA, 7, 1, b"still here"]
    client.send([END, 7, STDIN])
    error, result = response_to(client, 7)
    assert error is None and result["code"] == 0

    client.send([REQUEST, 7, "system.ping", {}])
    assert response_to(client, 7)[0] is None, "the id is free again"


@pytest.mark.parametrize("call_id", [0, 1, 127, 128, 255, 256, 65535, 65536, (1 << 31), (1 << 32) - 1])
def test_every_32_bit_number_is_an_id(client, call_id):
    client.send([REQUEST, call_id, "system.ping", {}])
    assert response_to(client, call_id)[0] is None


@pytest.mark.parametrize("encoded", [
    b"\xcc\x05", b"\xcd\x00\x05", b"\xce\x00\x00\x00\x05", b"\xcf" + bytes(7) + b"\x05",
    b"\xd0\x05", b"\xd1\x00\x05", b"\xd2\x00\x00\x00\x05", b"\xd3" + bytes(7) + b"\x05"])
def test_integers_need_not_be_in_their_shortest_form(client, encoded):
    client.send_bytes(framed(b"\x94\x00" + encoded + b"\xabsystem.ping\x80"))
    assert response_to(client, 5)[0] is None


@pytest.mark.parametrize("params", [None, {}, [{}]], ids=["nil", "map", "array of a map"])
def test_params_may_be_left_empty(client, params):
    assert "time_us" in client.call("system.ping", params)


def test_params_may_be_an_array_of_one_map(client):
    assert client.call("proc.run", [{"argv": ["echo", "hi"]}])["stdout"] == b"hi\n"


@pytest.mark.parametrize("params", [5, "x", b"x", True, [], [{}, {}], [5], [[{}]]], ids=repr)
def test_params_of_another_shape_are_refused(client, params):
    assert error_of(client.call, "system.ping", params).code in ("bad_params", "bad_request")


@pytest.mark.parametrize("key", [5, None, True, [], {}], ids=repr)
def test_names_of_parameters_are_strings(client, key):
    pairs = b"\x81" + pack(key) + pack("x")
    client.send_bytes(framed(b"\x94\x00\x01\xabsystem.ping" + pairs))
    error, _ = response_to(client, 1)
    assert error["code"] in ("bad_params", "bad_request")


@pytest.mark.parametrize("cmd", ["printf %s \u00e4", "printf %s \u00e4".encode()], ids=["str", "bin"])
def test_text_may_be_str_or_bin(client, cmd):
    assert client.call("proc.run", {"cmd": cmd})["stdout"] == "\u00e4".encode()


def test_bytes_may_be_str(client):
    run = client.call("proc.run", {"argv": ["cat"], "input": "as text"})
    assert run["stdout"] == b"as text"


def test_input_may_be_str(client):
    call = client.open("proc.exec", {"argv": ["cat"], "stdin": True})
    client.send([DATA, call.id, STDIN, "as text"])
    call.end()
    call.wait()
    assert call.stdout == b"as text"


def test_a_method_may_be_bin(client):
    assert "time_us" in client.call(b"system.ping")


def test_unknown_method(client):
    e = error_of(client.call, "no.such_method", {})
    assert e.code == "unknown_method" and "no.such_method" in e.message


@pytest.mark.parametrize("name", ["", "system", "system.", "system.pin", "system.pingx", "SYSTEM.PING",
                                  "system.ping\0", "x" * 5000, b"\xff\xfe"])
def test_a_method_goes_by_its_exact_name(client, name):
    assert error_of(client.call, name, {}).code == "unknown_method"


@pytest.mark.parametrize("method, good", [("system.ping", {}), ("hello", {"protocol": 1}),
                                          ("proc.run", {"argv": ["true"]}),
                                          ("proc.exec", {"argv": ["true"]})])
def test_an_unknown_parameter_is_refused_by_its_name(client, method, good):
    e = error_of(client.call, method, {**good, "timout_ms": 5})
    assert e.code == "bad_params" and "timout_ms" in e.message


@pytest.mark.parametrize("method, params, name", [
    ("hello", {"protocol": "1"}, "protocol"),
    ("hello", {"protocol": 1, "window": "big"}, "window"),
    ("hello", {"protocol": 1, "window": -1}, "window"),
    ("hello", {"protocol": 1, "client": 5}, "client"),
    ("proc.run", {"cmd": 5}, "cmd"),
    ("proc.run", {"argv": "true"}, "argv"),
    ("proc.run", {"argv": {"0": "true"}}, "argv"),
    ("proc.run", {"argv": ["true", 5]}, "argv"),
    ("proc.run", {"argv": ["true"], "env": ["A=b"]}, "env"),
    ("proc.run", {"argv": ["true"], "env": {"A": 5}}, "env"),
    ("proc.run", {"argv": ["true"], "cwd": 5}, "cwd"),
    ("proc.run", {"argv": ["true"], "cwd": True}, "cwd"),
    ("proc.run", {"argv": ["true"], "user": 0}, "user"),
    ("proc.run", {"argv": ["true"], "merge": 1}, "merge"),
    ("proc.run", {"argv": ["true"], "timeout_ms": "5"}, "timeout_ms"),
    ("proc.run", {"argv": ["true"], "timeout_ms": 1.5}, "timeout_ms"),
    ("proc.run", {"argv": ["true"], "timeout_ms": -1}, "timeout_ms"),
    ("proc.run", {"argv": ["true"], "max_output": [1]}, "max_output"),
    ("proc.run", {"argv": ["true"], "input": 5}, "input"),
    ("proc.exec", {"argv": ["true"], "stdin": "yes"}, "stdin"),
    ("proc.exec", {"argv": ["true"], "on_disconnect": "maybe"}, "on_disconnect"),
], ids=lambda v: v if isinstance(v, str) else None)
def test_a_parameter_of_the_wrong_type_is_named(client, method, params, name):
    e = error_of(client.call, method, params)
    assert e.code == "bad_params" and name in e.message


def test_a_missing_parameter_is_named(client):
    e = error_of(client.call, "hello", {})
    assert e.code == "bad_params" and "protocol" in e.message


def test_nil_means_left_out(client):
    run = client.call("proc.run", {"argv": ["echo", "x"], "cmd": None, "cwd": None, "timeout_ms": None})
    assert run["stdout"] == b"x\n"


@pytest.mark.parametrize("message", [[DATA, 99, STDIN, b"x"], [END, 99, STDIN], [CREDIT, 99, 100], [CANCEL, 99]])
def test_messages_of_calls_that_are_not_open_are_ignored(client, message):
    client.call("system.ping")
    client.send(message)
    client.send([message[0], 1, *message[2:]])      # a call that is over
    client.call("system.ping")
    assert client.goodbye is None and client.strays == []


@pytest.mark.parametrize("method", [b"\xff\xfe", "ü" * 100, b"\xc3"])
def test_the_message_of_an_error_is_text(client, method):
    """A message that quotes bytes, or is cut inside a character, was sent as bin."""
    client.send([REQUEST, 70, method, {}])
    error = client.recv()[2]
    assert error["code"] == "unknown_method" and isinstance(error["message"], str)
