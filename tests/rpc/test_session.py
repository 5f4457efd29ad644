"""The session: hello, token, keepalive, ping, methods, and what the command line allows."""

import os
import re
import select
import signal
import subprocess
import time

import pytest

from client import NOTIFY, REQUEST, RESPONSE, Disconnected, RpcError, frame
from support import BIN, error_of


def is_uint(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 53


# -- hello ---------------------------------------------------------------------------------------

def test_hello_says_who_the_agent_is(client):
    hello = client.hello(client="test")
    assert hello["protocol"] == 1
    assert hello["agent"] == "guestd"
    assert isinstance(hello["version"], str) and hello["version"]
    assert isinstance(hello["instance"], str) and hello["instance"]
    assert hello["kind"] in ("sandbox", "computer")
    assert is_uint(hello["epoch"]) and is_uint(hello["window"])
    assert is_uint(hello["max_frame"]) and hello["max_frame"] >= 1024
    assert isinstance(hello["features"], list)
    assert all(isinstance(f, str) and f for f in hello["features"])
    assert isinstance(hello["limits"], dict)
    assert all(isinstance(k, str) and is_uint(v) for k, v in hello["limits"].items())


def test_boot_id_is_the_kernels(client):
    there = client.call("proc.run", {"argv": ["cat", "/proc/sys/kernel/random/boot_id"]})
    assert client.hello()["boot_id"] == there["stdout"].decode().strip()


def test_hello_is_optional(client):
    assert client.call("proc.run", {"argv": ["echo", "hi"]})["stdout"] == b"hi\n"


@pytest.mark.parametrize("protocol", [0, 2, 1 << 31])
def test_another_protocol_is_refused(client, protocol):
    e = error_of(client.call, "hello", {"protocol": protocol})
    assert e.code in ("unsupported", "bad_params")
    assert "protocol" in e.message and "1" in e.message, "says which one would do"


def test_instance_is_that_of_the_agent_not_of_the_connection(agent):
    with agent.connect() as one, agent.connect() as two:
        assert one.hello()["instance"] == two.hello()["instance"]


@pytest.mark.local
def test_instance_changes_with_every_start(guestd):
    seen = set()
    for _ in range(3):
        with guestd().connect() as c:
            seen.add(c.hello()["instance"])
    assert len(seen) == 3


@pytest.mark.local
@pytest.mark.parametrize("kind", ["sandbox", "computer"])
def test_kind_comes_from_the_command_line(guestd, kind):
    with guestd("--kind", kind).connect() as c:
        assert c.hello()["kind"] == kind


def test_the_agent_never_speaks_first(agent):
    with agent.connect() as c:
        assert not select.select([c.sock], [], [], 0.7)[0]
        c.call("system.ping")


def test_requests_may_follow_hello_without_waiting(client):
    client.send_bytes(
        frame([REQUEST, 1, "hello", {"protocol": 1, "window": 5}]) +
        frame([REQUEST, 2, "system.ping", {}]) +
        frame([REQUEST, 3, "proc.exec", {"cmd": "printf 123456789"}]))
    seen = {}
    out = b""
    while len(out) < 5 or 2 not in seen:
        message = client.recv()
        if message[0] == RESPONSE:
            seen[message[1]] = message[2]
        elif message[0] == 3:
            out += message[3]
    assert seen[1] is None and seen[2] is None
    assert out == b"12345" and 3 not in seen, "the window of the hello holds for what follows it"
    client.send([6, 3, 100])
    while 3 not in seen:
        message = client.recv()
        if message[0] == RESPONSE:
            seen[message[1]] = message[2]
        elif message[0] == 3:
            out += message[3]
    assert out == b"123456789"


# -- max_frame -----------------------------------------------------------------------------------

def test_max_frame_is_negotiated_down(client):
    assert client.hello(max_frame=5000)["max_frame"] <= 5000
    call = client.open("proc.exec", {"cmd": "seq 1 30000"})
    assert call.wait()["code"] == 0
    assert call.stdout == "".join(f"{i}\n" for i in range(1, 30001)).encode()
    run = client.call("proc.run", {"cmd": "seq 1 30000; seq 1 30000 >&2"})
    assert run["stdout_truncated"] and run["stderr_truncated"]
    assert bytes(call.stdout).startswith(run["stdout"]) and run["stdout_bytes"] == len(call.stdout)
    assert client.largest_frame <= 5000


def test_a_longer_frame_than_negotiated_is_a_protocol_error(client):
    limit = client.hello(max_frame=5000)["max_frame"]
    client.send([REQUEST, 50, "proc.run", {"argv": ["cat"], "input": b"x" * (limit - 200)}])
    assert client.recv()[2] is None
    with pytest.raises(Disconnected) as e:
        client.send([REQUEST, 51, "proc.run", {"argv": ["cat"], "input": b"x" * (limit + 1)}])
        while True:
            client.recv()
    assert e.value.goodbye["code"] == "protocol_error"


def test_a_result_that_cannot_be_cut_is_limited(client):
    """The list of methods, where it is longer than a frame may be."""
    limit = client.hello(max_frame=4096)["max_frame"]
    try:
        client.call("system.methods")
    except RpcError as e:
        assert e.code == "limit" and e.message
    assert client.largest_frame <= limit <= 4096
    client.call("system.ping")


def test_the_smallest_max_frame_holds_errors_exits_and_truncated_results(client):
    assert client.hello(max_frame=1024)["max_frame"] == 1024
    e = error_of(client.call, "proc.run", {"argv": ["/" + "x" * 700], "id": "i" * 128})
    assert e.code == "ENAMETOOLONG" or e.code == "ENOENT"
    result = client.call("proc.run", {"cmd": "yes | head -c 5000; yes n | head -c 5000 >&2", "id": "i" * 128})
    assert result["stdout_truncated"] and result["stderr_truncated"]
    assert len(result["stdout"]) > 50 and len(result["stderr"]) > 50
    call = client.open("proc.exec", {"cmd": "head -c 100000 /dev/zero"})
    assert call.wait()["code"] == 0 and call.stdout == bytes(100000)


def test_max_frame_never_grows_beyond_what_was_asked(client):
    assert client.hello(max_frame=2000000)["max_frame"] <= 2000000


# -- keepalive -----------------------------------------------------------------------------------

def test_a_silent_agent_sends_keepalives_and_drops_a_silent_peer(client):
    client.hello(keepalive_ms=500)
    with pytest.raises(Disconnected):
        while True:
            assert client.recv()[:2] in ([NOTIFY, "keepalive"], [NOTIFY, "goodbye"])
    assert ("keepalive", {}) in client.notifications


@pytest.mark.local
def test_what_came_while_the_agent_stood_still_is_heard_before_a_peer_is_judged(guestd):
    """Its silence was the agent's."""
    daemon = guestd()
    clients = [daemon.connect() for _ in range(20)]
    for c in clients:
        c.hello(keepalive_ms=200)
    for _ in range(3):
        os.kill(daemon.pid, signal.SIGSTOP)
        pings = [c.open("system.ping") for c in clients]
        time.sleep(1)
        os.kill(daemon.pid, signal.SIGCONT)
        for ping in pings:
            assert ping.wait()
    for c in clients:
        c.close()


@pytest.mark.parametrize("message", [[NOTIFY, "keepalive", {}], [REQUEST, 77, "system.ping", {}]],
                         ids=["keepalive", "ping"])
def test_a_peer_that_speaks_is_kept(client, message):
    """Five times as long as silence is tolerated."""
    client.hello(keepalive_ms=1000)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        client.send(message)
        try:
            client.recv(timeout=0.3)
        except TimeoutError:
            pass
    client.call("system.ping")


def test_without_keepalive_silence_is_no_fault(client):
    client.hello()
    with pytest.raises(TimeoutError):
        client.recv(timeout=2)
    client.call("system.ping")


def test_a_clients_keepalive_is_not_answered(client):
    client.send([NOTIFY, "keepalive", {}])
    client.call("system.ping")
    assert client.notifications == [] and client.strays == []


# -- token ---------------------------------------------------------------------------------------

TOKEN = "s3cret token"


@pytest.fixture
def guarded(guestd, tmp_path):
    """An agent with a token; the file ends in a newline, the token does not."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    return guestd("--token-file", tmp_path / "token")


@pytest.mark.local
@pytest.mark.parametrize("token", [TOKEN, TOKEN.encode()], ids=["str", "bin"])
def test_the_right_token_opens_the_agent(guarded, token):
    with guarded.connect() as c:
        c.hello(token=token)
        assert c.call("proc.run", {"argv": ["echo", "in"]})["stdout"] == b"in\n"


@pytest.mark.local
@pytest.mark.parametrize("method", ["system.ping", "system.methods", "proc.exec", "proc.run", "no.such", ""])
def test_before_the_token_every_method_is_unauthorized(guarded, method):
    with guarded.connect() as c:
        for params in ({}, {"nonsense": 1}, 5):
            assert error_of(c.call, method, params).code == "unauthorized"


@pytest.mark.local
@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN + "\n", TOKEN + "\0", TOKEN.upper(),
                                   b"\xff" * 100000, None])
def test_a_wrong_token_leaves_another_try(guarded, wrong):
    with guarded.connect() as c:
        assert error_of(c.hello, token=wrong).code == "unauthorized"
        assert error_of(c.call, "system.ping").code == "unauthorized"
        c.hello(token=TOKEN)
        c.call("system.ping")


@pytest.mark.local
def test_a_token_opens_one_connection_only(guarded):
    with guarded.connect() as one, guarded.connect() as two:
        one.hello(token=TOKEN)
        assert error_of(two.call, "system.ping").code == "unauthorized"


@pytest.mark.local
def test_requests_may_follow_the_token_without_waiting(guarded):
    with guarded.connect() as c:
        c.send_bytes(frame([REQUEST, 1, "system.ping", {}]) +
                     frame([REQUEST, 2, "hello", {"protocol": 1, "token": TOKEN}]) +
                     frame([REQUEST, 3, "system.ping", {}]))
        errors = {}
        while len(errors) < 3:
            _, call_id, error, _ = c.recv()
            errors[call_id] = error
        assert errors[1]["code"] == "unauthorized"
        assert errors[2] is None and errors[3] is None


@pytest.mark.local
def test_a_token_is_bytes(guestd, tmp_path):
    (tmp_path / "token").write_bytes(b"\x00\xff\xfe")
    with guestd("--token-file", tmp_path / "token").connect() as c:
        assert error_of(c.hello, token=b"\x00").code == "unauthorized"
        c.hello(token=b"\x00\xff\xfe")
        c.call("system.ping")


@pytest.mark.local
@pytest.mark.parametrize("content", [b"", b"\n"], ids=["empty", "newline"])
def test_an_empty_token_file_does_not_open_the_agent(guestd, tmp_path, content):
    """It either refuses to start, or nobody gets in."""
    (tmp_path / "token").write_bytes(content)
    try:
        daemon = guestd("--token-file", tmp_path / "token")
    except AssertionError as e:
        assert "guestd ended with status" in str(e) and "token" in str(e)
        return
    with daemon.connect() as c:
        assert error_of(c.call, "system.ping").code == "unauthorized"


# -- ping and methods ----------------------------------------------------------------------------

def test_ping_tells_both_clocks(client):
    one, two = client.call("system.ping"), client.call("system.ping")
    assert set(one) >= {"time_us", "monotonic_us"} and all(map(is_uint, one.values()))
    assert one["time_us"] > 1_600_000_000_000_000, "microseconds since 1970"
    assert 0 < two["monotonic_us"] - one["monotonic_us"] < 20_000_000


@pytest.mark.local
def test_pings_clocks_are_the_kernels(client):
    """Both to within the time that passes meanwhile."""
    before = time.time_ns() // 1000, time.monotonic_ns() // 1000
    ping = client.call("system.ping")
    after = time.time_ns() // 1000, time.monotonic_ns() // 1000
    assert before[0] <= ping["time_us"] <= after[0]
    assert before[1] <= ping["monotonic_us"] <= after[1]


def test_methods_describe_themselves(client):
    methods = client.call("system.methods")
    assert isinstance(methods, list)
    names = [m["name"] for m in methods]
    assert len(names) == len(set(names))
    assert {"hello", "system.ping", "system.methods", "proc.exec", "proc.run"} <= set(names)
    for method in methods:
        assert isinstance(method["doc"], str) and method["doc"], method["name"]
        assert isinstance(method["streams"], bool), method["name"]
        for param in method["params"]:
            assert isinstance(param["name"], str) and isinstance(param["type"], str)
            assert isinstance(param["required"], bool)


def test_methods_tell_the_parameters(client):
    methods = {m["name"]: m for m in client.call("system.methods")}

    def params(name):
        return {p["name"]: p["required"] for p in methods[name]["params"]}

    assert params("hello").items() >= {"protocol": True, "token": False, "window": False, "max_frame": False,
                                       "keepalive_ms": False, "client": False}.items()
    spawn = {"argv", "cmd", "cwd", "env", "user", "stdin", "timeout_ms", "grace_ms", "on_disconnect", "id",
             "label", "merge"}
    assert spawn <= set(params("proc.exec"))
    assert spawn | {"input", "max_output"} <= set(params("proc.run"))
    assert not any(params("proc.exec").values()), "neither argv nor cmd is required by itself"
    assert params("system.ping") == {}
    assert methods["proc.exec"]["streams"] and not methods["system.ping"]["streams"]


def test_every_listed_method_is_there(client):
    for method in client.call("system.methods"):
        e = error_of(client.call, method["name"], {"no such parameter": 1})
        assert e.code == "bad_params", method["name"]


@pytest.mark.local
def test_the_command_line_lists_the_same_methods(client):
    out = subprocess.run([BIN, "--methods"], capture_output=True, text=True, timeout=20)
    assert out.returncode == 0
    listed = [re.match(r"[\w.]+", line).group() for line in out.stdout.splitlines()]
    assert sorted(listed) == sorted(m["name"] for m in client.call("system.methods"))


# -- allowed and denied --------------------------------------------------------------------------

@pytest.mark.local
def test_denied_methods_are_disabled(guestd):
    with guestd("--deny", "proc.exec,proc.run").connect() as c:
        for method in ("proc.exec", "proc.run"):
            e = error_of(c.call, method, {"argv": ["true"]})
            assert e.code == "disabled" and method in e.message
        c.call("system.ping")
        c.hello()


@pytest.mark.local
def test_what_is_not_allowed_is_disabled(guestd):
    with guestd("--allow", "hello,system.ping").connect() as c:
        c.hello()
        c.call("system.ping")
        for method in ("proc.exec", "proc.run", "system.methods"):
            assert error_of(c.call, method, {}).code == "disabled"
        assert error_of(c.call, "no.such").code in ("disabled", "unknown_method")


@pytest.mark.local
def test_deny_beats_allow(guestd):
    with guestd("--allow", "hello,system.ping,proc.run", "--deny", "proc.run").connect() as c:
        c.call("system.ping")
        assert error_of(c.call, "proc.run", {"argv": ["true"]}).code == "disabled"


@pytest.mark.local
def test_a_star_stands_for_all_that_begin_so(guestd):
    with guestd("--deny", "fs.*,proc.*").connect() as c:
        for method in c.call("system.methods"):
            if method["name"].startswith(("fs.", "proc.")):
                assert error_of(c.call, method["name"], {}).code == "disabled", method["name"]
        assert error_of(c.call, "tar.import", {}).code == "bad_params"
    with guestd("--allow", "fs.*,system.ping", "--deny", "fs.w*").connect() as c:
        assert c.call("fs.exists", {"path": "/"})["exists"] and c.call("system.ping")
        for method in ("fs.write", "fs.write_files", "fs.watch", "env.list", "system.info"):
            assert error_of(c.call, method, {}).code == "disabled"
    with guestd("--deny", "*").connect() as c:
        assert c.hello()
        assert error_of(c.call, "system.ping").code == "disabled"
    done = subprocess.run([BIN, "--deny", "fx.*"], capture_output=True, text=True)
    assert done.returncode == 2 and "--deny names no method: fx.*" in done.stderr


@pytest.mark.local
def test_what_was_denied_anywhere_stays_so(guestd, tmp_path):
    """The file is the image's; whoever starts the agent can add to it and no more."""
    conf = tmp_path / "conf"
    conf.write_text("deny = proc.exec\ndeny = proc.run\n")
    with guestd("--config", conf, "--deny", "fs.put", "--allow", "proc.exec,system.ping,env.set").connect() as c:
        for method in ("proc.exec", "proc.run", "fs.put", "fs.get"):
            assert error_of(c.call, method, {}).code == "disabled", method


@pytest.mark.local
@pytest.mark.parametrize("denied, params", [
    ("env.set", {"env": {"vars": {"A": "b"}}}), ("system.set_time", {"time_us": 1}), ("system.hostname", {"hostname": "x"}),
    ("system.reseed", {"entropy": b"x" * 32})], ids=lambda x: x if isinstance(x, str) else "")
def test_a_method_that_is_off_is_not_had_through_another(guestd, denied, params):
    with guestd("--deny", denied).connect() as c:
        e = error_of(c.call, "system.resumed", params)
        assert e.code == "disabled" and denied in e.message
        assert c.call("env.list") == []
        assert c.call("system.resumed", {"key": "x"})["epoch"]
