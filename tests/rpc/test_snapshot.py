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


# -- programs that run after it ------------------------------------------------------------------

@pytest.fixture
def hook_dir(tmp_path):
    path = tmp_path / "resumed.d"
    path.mkdir(mode=0o755)

    def add(name, script, mode=0o755):
        (path / name).write_text(f"#!/bin/sh\n{script}\n")
        (path / name).chmod(mode)
    add.path = path
    return add


@pytest.fixture
def hooked(guestd, hook_dir):
    """What an agent with those programs has logged of them, once the last has run."""
    def run(last, times=1):
        daemon = guestd("--resumed-dir", hook_dir.path)
        with daemon.connect() as client:
            for _ in range(times):
                client.call("system.resumed")
            eventually(lambda: f" {last}" in daemon.log(), f"{last} has run")
        return daemon.log()
    return run


@pytest.mark.local
def test_programs_run_after_resumed(hook_dir, hooked, tmp_path):
    """One after another by name, with the epoch; what they say is logged; that one fails stops none."""
    hook_dir("20-second", f"echo second >>{tmp_path}/order; exit 3")
    hook_dir("10-first", f"sleep 0.3; echo first $GUESTD_EPOCH >>{tmp_path}/order; echo said; echo aloud >&2")
    hook_dir("30-third", f"echo third >>{tmp_path}/order")
    log = hooked("done name=30-third")
    assert (tmp_path / "order").read_text() == "first 1\nsecond\nthird\n"
    assert "10-first: said\n" in log and "10-first: aloud\n" in log
    assert "failed name=20-second code=3" in log


@pytest.mark.local
def test_programs_that_others_can_change_are_not_run(hook_dir, hooked, tmp_path):
    for name, mode in {"10-group": 0o775, "20-others": 0o757, "30-no-program": 0o644, ".hidden": 0o755, "old~": 0o755}.items():
        hook_dir(name, f"touch {tmp_path}/ran", mode)
    (hook_dir.path / "40-link").symlink_to("/bin/true")
    hook_dir("50-fine", "exit 0")
    log = hooked("done name=50-fine")
    assert not (tmp_path / "ran").exists()
    for name in ("10-group", "20-others", "30-no-program", "40-link"):
        assert f"not run name={name}" in log
    assert "hidden" not in log and "old~" not in log


@pytest.mark.local
def test_a_directory_that_others_can_change_is_left_alone(hook_dir, hooked):
    hook_dir("10-it", "exit 0")
    hook_dir.path.chmod(0o777)
    assert "done" not in hooked("is run: others can write to it")


@pytest.mark.local
def test_a_program_delays_no_answer(hook_dir, guestd):
    """It is stopped with all that it started, and the next epoch begins anew."""
    hook_dir("10-slow", "echo begun; sleep 600")
    daemon = guestd("--resumed-dir", hook_dir.path)
    with daemon.connect() as client:
        assert client.call("system.resumed")["epoch"] == 1
        eventually(lambda: daemon.log().count("10-slow: begun") == 1, "it runs")
        assert client.call("system.resumed")["epoch"] == 2
        for process in client.call("proc.list"):
            assert process["label"] == "resumed-hook"
            client.call("proc.stop", {"id": process["id"]})
        eventually(lambda: daemon.log().count("10-slow: begun") == 2, "it runs for the next epoch")
