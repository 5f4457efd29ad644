"""clients/python/guestd.py: other transports, peers that lie, and the whole of it beside the tables."""

import os
import random
import shutil
import subprocess
import sys
import threading
import tty

import pytest

from client import LONG
from clients import HELLO, MESSAGES, PYTHON, REFUSED, Fake, Hybrid, example, frame
from support import BIN, eventually

import guestd as sdk    # noqa: E402, found by clients.py


# -- other transports ------------------------------------------------------------------------------

@pytest.mark.local
def test_hybrid_vsock(agent, tmp_path):
    with Hybrid(tmp_path, agent.endpoint[5:], refused=3) as monitor:
        with sdk.Client(monitor.endpoint) as guest:
            assert guest.run("echo through")["stdout"] == b"through\n"
        assert set(monitor.asked) == {b"CONNECT 1024\n"} and len(monitor.asked) == 4


@pytest.mark.local
def test_a_serial_line_with_noise(guestd, tmp_path):
    host, slave = os.openpty()
    tty.setraw(slave)
    daemon = guestd(listen=[f"serial:{os.ttyname(slave)}", f"unix:{tmp_path}/g.sock"], wait=False)
    daemon.wait_ready(f"unix:{tmp_path}/g.sock")
    # The client opens a line by its path: a second pair, with the wires between them.
    other, ours = os.openpty()
    tty.setraw(ours)
    stop = threading.Event()

    def wire(source, target, noise):
        while not stop.is_set():
            try:
                data = os.read(source, 4096)
                os.write(target, noise + data)
            except OSError:
                return
            noise = b""
    for source, target in ((host, other), (other, host)):
        threading.Thread(target=wire, args=(source, target, b"[    0.1] noise\r\n"), daemon=True).start()
    with sdk.Client(f"serial:{os.ttyname(ours)}", keepalive=2) as guest:
        assert guest.hello["max_frame"] == 16384
        data = random.Random(6).randbytes(100_000) + b"\0" * 600
        with guest.exec(["cat"], stdin=True) as process:
            assert process.communicate(data) == (data, b"")
        assert guest.write(f"{tmp_path}/f", data)["size"] == len(data) and guest.read(f"{tmp_path}/f", hash=True) == data
        with pytest.raises(ValueError, match="16384"):
            guest.call("fs.put", path=f"{tmp_path}/f", data=data)
        assert guest.ping()
    stop.set()
    daemon.stop()
    for fd in (host, slave, other, ours):
        os.close(fd)


# -- peers that lie --------------------------------------------------------------------------------

@pytest.mark.local
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    # With call 1 open, which is hello's; the next has 2.
    answer = REFUSED[name]
    with Fake(tmp_path, answer) as fake, sdk.Client(fake.endpoint, reconnect=False) as guest:
        guest._it._link.protocol._next_id = 1
        with pytest.raises(sdk.ProtocolError):
            guest.call("system.ping", timeout=LONG)
        with pytest.raises(sdk.Disconnected):
            guest.ping()


@pytest.mark.local
@pytest.mark.parametrize("answer, error", [
    (frame([2, "goodbye", {"code": "limit", "message": "too many"}]) + b"\0\0\0\0", sdk.ProtocolError),
    (frame([1, 2, {"code": "ENOENT", "message": "gone", "errno": 2}, None]), sdk.RpcError),
    (b"".join(frame([3, 2, 1, bytes(65536)]) for _ in range(17)), sdk.ProtocolError),    # more than the window
    (frame([9, 2, "of a later version"]) + frame([1, 2, {"code": "busy", "message": "x"}, None]), sdk.RpcError),
    (frame([3, 77, 1, b"of no call"]) + frame([1, 2, {"code": "busy", "message": "x"}, None]), sdk.RpcError)])
def test_what_an_agent_may_say(tmp_path, answer, error):
    with Fake(tmp_path, answer) as fake, sdk.Client(fake.endpoint, reconnect=False) as guest:
        with guest.open("proc.exec") as call, pytest.raises(error):
            eventually(lambda: len(call._it._pending.items) == 16 or call._it._pending.done or call._it._link.error, "it came")
            while call.next(LONG) is not None:
                pass


def test_what_nobody_takes_is_bounded():
    """Events stop the reading at some point; small data is joined, so that it never does within the window."""
    protocol = sdk.Protocol(window=100_000)
    call = protocol.request("x", {})
    protocol.receive(frame([3, call.id, 1, b""]) * 10 + frame([3, call.id, 1, b"x"]) * 99_999 + frame([3, call.id, 2, b"y"]))
    assert not protocol.full() and len(call.items) < 30
    assert b"".join(i.data for i in call.items) == b"x" * 99_999 + b"y" and call.items[-1].channel == 2
    protocol.receive(frame([5, call.id, {"type": "e"}]) * (sdk.MAX_QUEUED - 1))
    assert not protocol.full()
    protocol.receive(frame([4, call.id, 1]))
    assert protocol.full()
    protocol.abandon(call)
    protocol.receive(frame([5, call.id, {"type": "e"}]) * 10)
    assert not call.items and not protocol.full()


STARTED = frame([5, 2, {"type": "started", "id": "x", "pid": 1}])


@pytest.mark.local
@pytest.mark.parametrize("answer", [
    frame([5, 2, {"type": "started", "id": "x"}]), frame([5, 2, {"type": "else"}]), frame([1, 2, None, None]), frame([3, 2, 1, b"x"]),
    STARTED + frame([1, 2, None, None]), STARTED + frame([1, 2, None, {"code": 0}]), STARTED + frame([1, 2, None, [1]]),
    STARTED + frame([5, 2, {"type": "gap", "channel": 1, "lost": "x", "offset": 5}]),
    STARTED + frame([5, 2, {"type": "gap", "channel": [], "lost": 5, "offset": 5}]),
    STARTED + frame([1, 2, None, {"stdout_bytes": 1, "stderr_bytes": 0, "eof": True}])])
def test_a_process_that_is_none(tmp_path, answer):
    with Fake(tmp_path, answer) as fake, sdk.Client(fake.endpoint) as guest, pytest.raises(sdk.ProtocolError):
        guest.exec("true").wait()


@pytest.mark.local
@pytest.mark.parametrize("result", [None, [], "text", {"size": "5"}, {"size": 1, "sha256": "0" * 64}])
def test_a_file_that_is_none(tmp_path, result):
    answer = frame([3, 2, 1, b"x"]) + frame([1, 2, None, result])
    with Fake(tmp_path, answer) as fake, sdk.Client(fake.endpoint) as guest, pytest.raises((sdk.ProtocolError, sdk.DigestError)):
        guest.read("/x")


@pytest.mark.local
def test_an_agent_that_ends_every_connection(tmp_path):
    """A process that may have begun is looked for, but not for ever."""
    class Ending(Fake):
        def serve(self, sock, number):
            sock.settimeout(LONG)
            for answer in (frame([1, 1, None, HELLO]), b""):
                sock.recv(4096)
                sock.sendall(answer)
    with pytest.MonkeyPatch.context() as patch, Ending(tmp_path, b"") as agent, sdk.Client(agent.endpoint) as guest:
        patch.setattr(sdk, "MAX_LOSSES", 3)
        with pytest.raises(sdk.GuestdError, match="3 connections"):
            guest.exec("true")
        assert len(agent.sockets) == 4


@pytest.mark.local
@pytest.mark.parametrize("hello", [{}, {**HELLO, "window": "x"}, None])
def test_an_agent_that_says_no_proper_hello(tmp_path, hello):
    with Fake(tmp_path, b"", hello) as fake, pytest.raises((sdk.ProtocolError, sdk.Timeout, sdk.Disconnected)):
        sdk.Client(fake.endpoint, retry=0, connect_timeout=1).connect()


@pytest.mark.parametrize("name, message, stream, serial", MESSAGES)
def test_vectors(name, message, stream, serial):
    def received(protocol, data, step):
        bodies = []
        protocol._message = bodies.append
        for i in range(0, len(data), step):
            protocol.receive(data[i:i + step])
        return bodies
    for step in (1, 3, 1000):
        assert received(sdk.Protocol(), stream, step) == [message]
        assert received(sdk.Protocol(serial=True), b"noise" + serial + b"noise\0", step) == [message]
    for is_serial in (False, True):
        protocol = sdk.Protocol(serial=is_serial)
        protocol.send(*message)
        assert received(sdk.Protocol(serial=is_serial), bytes(protocol.out), 1000) == [message]
        if "wid" not in name:
            assert protocol.out == (serial if is_serial else stream)


# -- the whole of it -------------------------------------------------------------------------------

def signature(agent_or_bin=BIN):
    """{method: {parameter: required}} as guestd --methods prints it."""
    lines = subprocess.run([agent_or_bin, "--methods"], check=True, capture_output=True, text=True).stdout.splitlines()
    table = {}
    for line in lines:
        name, _, rest = line.rstrip(")").partition("(")
        table[name] = {p.rstrip("?"): not p.endswith("?") for p in rest.split(", ") if p}
    return table


@pytest.mark.local
def test_every_method_can_be_called(agent):
    """With a parameter that none has: each is refused by its name, and does nothing."""
    with sdk.Client(agent.endpoint) as guest:
        assert {m["name"] for m in guest.call("system.methods")} == set(signature())
        for method in signature():
            with pytest.raises(sdk.RpcError) as e:
                guest.call(method, no_such_parameter=1)
            assert e.value.code == "bad_params" and "no_such_parameter" in e.value.message, method


# What of the helpers are parameters of the protocol under other names, or none of it.
OURS = {"command", "on_event", "timeout", "source", "params", "method", "spawn", "more"}


@pytest.mark.local
def test_helpers_have_the_parameters_of_the_methods(agent, monkeypatch):
    """Each helper is called with all that its signature has, and what it asks of the agent is in the method's table, all
    that is required among it."""
    table = signature()
    spawns = {"exec": "proc.exec", "run": "proc.run", "start": "proc.start", "pty": "pty.open"}
    for name, method in spawns.items():
        assert set(sdk.Spawn.__annotations__) <= set(table[method]), name
    for kind, method in ((sdk.Write, "fs.write"), (sdk.Watched, "fs.watch"), (sdk.Export, "tar.export"), (sdk.Import, "tar.import")):
        assert set(kind.__annotations__) <= set(table[method]), method
    asked = {}

    def note(self, method, **params):
        asked[method] = {p.rstrip("_") for p in params}
        return {}
    monkeypatch.setattr(sdk._Methods, "_map", note)
    monkeypatch.setattr(sdk._Methods, "_list", note)
    helpers = sdk._Methods()
    for name, function in vars(sdk._Methods).items():
        if name.startswith("_"):
            continue
        code = function.__code__
        names = code.co_varnames[1:code.co_argcount + code.co_kwonlyargcount]
        function(helpers, **{n: "x" for n in names})
    assert len(asked) > 20
    for method, params in asked.items():
        if method == "proc.run":
            params = params - {"cmd", "argv"} | {"cmd"}
        assert params <= set(table[method]), (method, params - set(table[method]))
        required = {p for p, needed in table[method].items() if needed}
        assert required <= params, (method, required - params)
    # Both faces have the same helpers, with the same parameters.
    for name, function in vars(sdk.Client).items():
        if not name.startswith("_") and callable(function) and name != "close":
            other = getattr(sdk.AsyncClient, name)
            assert function.__code__.co_varnames[:function.__code__.co_argcount + function.__code__.co_kwonlyargcount] == \
                other.__code__.co_varnames[:other.__code__.co_argcount + other.__code__.co_kwonlyargcount], name


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_run(agent, tmp_path, number):
    (tmp_path / "example.py").write_text(example("python", number))
    run = subprocess.run([sys.executable, tmp_path / "example.py", agent.endpoint], env={**os.environ, "PYTHONPATH": str(PYTHON)},
                         capture_output=True, text=True, timeout=2 * LONG)
    assert run.returncode == 0, run.stderr
    expected = ["exit code 0", "b'some input\\n'", "ENOENT - ", "1 file"] if number == 0 else ["b'built\\n'", "renamed", "exit code 0"]
    assert all(e in run.stdout for e in expected), run.stdout


@pytest.mark.local
def test_it_installs_and_its_types_hold(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(PYTHON, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index",
                    "--root-user-action=ignore", "--target", tmp_path / "site", source], check=True, timeout=2 * LONG)
    assert (tmp_path / "site/guestd/py.typed").exists()
    (tmp_path / "user.py").write_text("import guestd\nreveal_type(guestd.Client('unix:/x').stat('/'))\n"
                                      "reveal_type(guestd.Client('unix:/x').exec('x', cwd='/').exit)\n"
                                      "guestd.Client('unix:/x').exec('x', cdw='/')\n")
    config = ["--config-file", source / "pyproject.toml", "--cache-dir", tmp_path / "cache"]
    strict = subprocess.run(["mypy", *config, PYTHON / "guestd.py"], capture_output=True, text=True, timeout=4 * LONG)
    assert strict.returncode == 0, strict.stdout
    user = subprocess.run(["mypy", *config, tmp_path / "user.py"], capture_output=True, text=True, timeout=4 * LONG,
                          env={**os.environ, "MYPYPATH": str(tmp_path / "site")})
    assert user.stdout.count("Revealed type") == 2 and "cdw" in user.stdout and "import" not in user.stdout, user.stdout
