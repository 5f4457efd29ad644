"""system.activity: is the guest idle?"""

import pytest

from support import error_of, eventually, unique

FIELDS = {"last_us", "calls", "connections", "processes", "cpu_busy_ms", "net_bytes"}


def activity(client):
    got = client.call("system.activity")
    assert set(got) == FIELDS and all(type(v) is int for v in got.values()), got
    return got


def test_looking_is_no_activity(agent, client):
    client.call("proc.run", {"argv": ["true"]})
    before = activity(client)
    with agent.connect() as c:
        c.hello(keepalive_ms=10_000)
        for _ in range(5):
            c.call("system.ping")
            c.call("system.metrics")
            c.send([2, "keepalive", {}])
            activity(c)
        stream = c.open("system.metrics", {"interval_ms": 10})
        stream.pump(lambda: len(stream.events) > 3)
        stream.cancel()
        error_of(stream.wait)
        after = activity(client)
    assert after["last_us"] == before["last_us"] and after["calls"] == 0


@pytest.mark.parametrize("method, params", [
    ("system.info", {}), ("env.list", {}), ("fs.stat", {"path": "/"}), ("proc.list", {}),
    ("proc.run", {"argv": ["true"]}), ("system.methods", {})])
def test_calls_are(client, method, params):
    before = activity(client)
    client.call(method, params)
    assert activity(client)["last_us"] > before["last_us"]


def test_input_and_output_of_a_call_are(client):
    call = client.open("pty.open", {"cmd": "stty -echo 2>/dev/null; read a; echo done $a; read b"})
    call.event("started")
    before = activity(client)
    call.write(b"x\n")
    call.pump(lambda: b"done" in call.stdout)
    typed = activity(client)
    assert typed["last_us"] > before["last_us"]
    call.write(b"y\n")
    call.wait()
    assert activity(client)["last_us"] > typed["last_us"]


def test_open_calls_and_processes(client, start):
    before = activity(client)
    assert before["calls"] == 0
    call = client.open("proc.exec", {"argv": ["sleep", "100"]})
    call.event("started")
    info = start(argv=["sleep", "100"])
    during = activity(client)
    assert during["calls"] == 1 and during["processes"] == before["processes"] + 2
    assert during["connections"] >= 1
    call.cancel()
    error_of(call.wait)
    client.call("proc.stop", {"id": info["id"], "signal": "KILL"})
    assert activity(client)["calls"] == 0
    eventually(lambda: activity(client)["processes"] == before["processes"], "both are gone")


def test_an_exit_is(client):
    name = unique("activity")
    client.call("proc.start", {"cmd": "read x", "stdin": True, "id": name})
    before = activity(client)
    client.call("proc.input", {"id": name, "close": True})
    eventually(lambda: activity(client)["processes"] < before["processes"], "it has exited")
    assert activity(client)["last_us"] > before["last_us"]


def test_cpu_time_of_processes_and_their_children(client):
    """While they run, and when they have ended; what an idle one does not use is not there."""
    burn = "i=0; while [ $i -lt 200000000 ]; do i=$((i+1)); done"
    before = activity(client)["cpu_busy_ms"]
    call = client.open("proc.exec", {"cmd": f"({burn}) & ({burn}) & wait"})
    call.event("started")
    eventually(lambda: client.call("system.info")["cgroup2"] is False or
               activity(client)["cpu_busy_ms"] >= before + 200, "it burns")
    call.cancel()
    error_of(call.wait)
    client.call("proc.run", {"cmd": "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"})
    ended = activity(client)["cpu_busy_ms"]
    assert ended > before
    client.call("system.info")
    assert activity(client)["cpu_busy_ms"] == ended


@pytest.mark.local
def test_cpu_time_without_cgroups(guestd):
    with guestd("--cgroup", "off").connect() as c:
        call = c.open("proc.exec", {"cmd": "i=0; while [ $i -lt 200000000 ]; do i=$((i+1)); done"})
        call.event("started")
        eventually(lambda: activity(c)["cpu_busy_ms"] >= 100, "it burns")
        call.cancel()
        error_of(call.wait)
        ended = activity(c)["cpu_busy_ms"]
        assert ended >= 100 and activity(c)["cpu_busy_ms"] == ended


def test_canceled_or_not_it_ends(client):
    calls = [client.open("system.activity") for _ in range(50)]
    for call in calls[::2]:
        call.cancel()
    for call in calls:
        call.pump(lambda: False)
        assert call.result or call.error["code"] == "canceled"
