"""Freezing, as far as it can be had anywhere."""

import pytest

from client import Disconnected
from support import error_of, eventually


def test_thaw_without_a_freeze(client):
    assert client.call("system.thaw") == {}


def test_bad_parameters(client):
    for params in ({"timeout_ms": 0}, {"timeout_ms": 3_600_001}, {"processes": 1}, {"disks": True}):
        assert error_of(client.call, "system.freeze", params).code == "bad_params", params


def test_nothing_to_freeze(client):
    """Neither processes nor file systems: what is left is that nothing new is let in."""
    assert client.call("system.freeze", {"processes": False}) == {"processes": 0, "filesystems": []}
    assert error_of(client.call, "proc.run", {"cmd": "true"}).code == "frozen"
    assert error_of(client.call, "fs.put", {"path": "/tmp/x", "data": b""}).code == "frozen"
    assert client.call("fs.exists", {"path": "/"})["exists"] is True
    client.call("system.thaw")
    assert client.call("proc.run", {"cmd": "true"})["code"] == 0


def test_the_time_is_up(client):
    events = client.open("system.events", {})
    client.call("system.freeze", {"processes": False, "timeout_ms": 200})
    events.event("thawed")
    assert client.call("proc.run", {"cmd": "true"})["code"] == 0
    events.cancel()


def test_resumed_counts_and_drops_the_others(agent, client):
    """Without parameters it changes nothing of the machine."""
    with agent.connect() as other:
        epoch = client.hello()["epoch"]
        assert client.call("system.resumed", {"key": "a"}) == {"epoch": epoch + 1, "clock_step_us": 0}
        assert client.call("system.resumed", {"key": "a"}) == {"epoch": epoch + 1, "clock_step_us": 0}
        assert client.hello()["epoch"] == epoch + 1
        with pytest.raises(Disconnected):
            other.call("system.ping")
    assert client.call("system.resumed")["epoch"] == client.call("system.resumed")["epoch"] - 1


def test_resumed_sets_variables(client):
    client.call("system.resumed", {"env": {"scope": "workspace", "vars": {"FROM_RESUME": "bytes=exact "}, "secret": True}})
    assert client.call("proc.run", {"cmd": "echo \"$FROM_RESUME\""})["stdout"] == b"bytes=exact \n"
    assert {v["name"]: (v["scope"], v["secret"], "value" in v) for v in client.call("env.list", {"scope": "workspace"})} == {
        "FROM_RESUME": ("workspace", True, False)}
    client.call("env.unset", {"scope": "workspace", "names": ["FROM_RESUME"]})
    for env in ({"vars": {"1x": "y"}}, {"scope": "galaxy", "vars": {}}, {"values": {}}, {}):
        assert error_of(client.call, "system.resumed", {"env": env}).code == "bad_params", env


def test_resumed_thaws(client):
    client.call("system.freeze", {"processes": False})
    client.call("system.resumed")
    eventually(lambda: client.call("system.thaw") == {}, "it thaws")
    assert client.call("proc.run", {"cmd": "true"})["code"] == 0


def test_what_cannot_be_resumed(client):
    for params in ({"hostname": "a b"}, {"entropy": b"x" * 5000}, {"key": "k" * 129}, {"time": 1}):
        assert error_of(client.call, "system.resumed", params).code == "bad_params", params


def test_watches_look_again_after_resumed(client, guest_dir):
    """The disk may have changed under them."""
    watch = client.open("fs.watch", {"path": guest_dir})
    watch.event("ready")
    client.call("system.resumed")
    watch.event("resync")
    client.call("fs.put", {"path": f"{guest_dir}/file", "data": b"x"})
    assert watch.event("created")["path"] == f"{guest_dir}/file"
    watch.cancel()
