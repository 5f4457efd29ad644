"""system.metrics: how the guest does, as /proc and statfs have it; system.sync, system.trim."""

import os
import time

import pytest

from client import LONG
from support import ROOT, error_of, eventually

TYPES = {
    "time_us": int, "processes": int, "threads": int,
    "cpu": {"user_ms": int, "system_ms": int, "idle_ms": int, "iowait_ms": int, "steal_ms": int, "count": int,
            "load": list, "contexts": int, "forks": int},
    "memory": {"total": int, "available": int, "used": int, "cached": int, "swap_total": int, "swap_free": int,
               "free": int, "buffers": int, "shared": int, "dirty": int, "slab": int, "oom_kills": int},
    "disks": [{"mount": str, "type": str, "total": int, "free": int, "available": int, "files": int, "files_free": int}],
    "net": [{"name": str, **{f"{way}_{what}": int for way in ("rx", "tx")
                             for what in ("bytes", "packets", "errors", "dropped")}}],
    "blocks": [{"name": str, "reads": int, "read_bytes": int, "writes": int, "written_bytes": int, "busy_ms": int}],
    "skipped": [str],
    "agent": {"rss": int, "cpu_ms": int, "fds": int, "calls": int},
}


def check(value, shape, where="metrics"):
    if isinstance(shape, dict):
        assert isinstance(value, dict) and set(shape) <= set(value), (where, value)
        for key, inner in shape.items():
            check(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for item in value:
            check(item, shape[0], where)
    else:
        assert type(value) is shape, (where, value)


@pytest.fixture
def ask(client):
    def do(cmd):
        return client.call("proc.run", {"cmd": cmd})["stdout"].decode().strip()
    return do


def metrics(client):
    return client.call("system.metrics")


def test_every_field_with_its_type(client):
    got = metrics(client)
    check(got, TYPES)
    assert set(got) - set(TYPES) <= {"psi", "cgroup"}
    assert len(got["cpu"]["load"]) == 3 and all(type(x) is float for x in got["cpu"]["load"])
    assert error_of(client.call, "system.metrics", {"interval_ms": 1}).code == "bad_params"


def test_it_agrees_with_the_guest(client, ask):
    got = metrics(client)
    assert abs(got["time_us"] - client.call("system.ping")["time_us"]) < 60_000_000
    assert got["cpu"]["count"] == client.call("system.info")["cpus"]
    assert got["memory"]["total"] == client.call("system.info")["memory"]
    assert got["memory"]["used"] == got["memory"]["total"] - got["memory"]["available"]
    assert {n["name"] for n in got["net"]} == set(ask(
        "sed -n 's/^ *\\([^:]*\\):.*/\\1/p' /proc/net/dev").split())
    assert got["processes"] > 1 and got["threads"] >= got["processes"]
    assert got["cpu"]["forks"] > 0 and got["cpu"]["contexts"] > 0


def test_counters_only_grow(client):
    before = metrics(client)
    client.call("proc.run", {"cmd": "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo >/dev/null"})
    after = metrics(client)
    ticks = ("user_ms", "system_ms", "steal_ms", "contexts", "forks")
    assert all(after["cpu"][k] >= before["cpu"][k] for k in ticks)
    assert after["cpu"]["forks"] > before["cpu"]["forks"]
    assert after["agent"]["cpu_ms"] >= before["agent"]["cpu_ms"] and after["time_us"] > before["time_us"]


def test_psi_and_cgroup_where_the_kernel_has_them(client, ask):
    got = metrics(client)
    assert set(got.get("psi", {})) == set(ask("for f in cpu memory io; do "
                                              "cat /proc/pressure/$f >/dev/null 2>&1 && echo $f; done").split())
    for kind in got.get("psi", {}).values():
        for stall in kind.values():
            assert type(stall["total_us"]) is int and {type(stall[f"avg{n}"]) for n in (10, 60, 300)} == {float}
    assert ("cgroup" in got) == client.call("system.info")["cgroup2"]
    if "cgroup" in got:
        assert got["cgroup"]["cpu_us"] >= 0


def test_a_mounted_file_system_is_in_it(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("needs root")
    where = f"{guest_dir}/a mount"
    assert client.call("proc.run", {"cmd": f"mkdir '{where}' && mount -t tmpfs -o size=1m rpc-test '{where}'"})["code"] == 0
    try:
        disk = next(d for d in metrics(client)["disks"] if d["mount"] == where)
        assert disk["type"] == "tmpfs" and disk["total"] == disk["available"] == 1 << 20
        client.call("fs.put", {"path": f"{where}/x", "data": bytes(100_000)})
        disk = next(d for d in metrics(client)["disks"] if d["mount"] == where)
        assert disk["available"] == disk["free"] <= (1 << 20) - 100_000
        usage = client.call("fs.usage", {"path": where})
        assert (disk["total"], disk["files"], disk["files_free"]) == (usage["total"], usage["files"], usage["files_free"])
    finally:
        client.call("proc.run", {"argv": ["umount", where]})
    assert not any(d["mount"] == where for d in metrics(client)["disks"])


def test_the_agents_own(agent, client):
    got = metrics(client)["agent"]
    assert got["calls"] == 0, "what only looks does not count"
    client.open("proc.exec", {"argv": ["sleep", "100"]}).event("started")
    held = metrics(client)["agent"]
    assert held["calls"] == 1 and held["fds"] > got["fds"]
    if agent.pid:
        assert abs(held["rss"] - agent.rss()) < max(4 << 20, agent.rss() // 2)
        assert abs(held["fds"] - agent.fds()) <= 2


def test_a_stream(client):
    call = client.open("system.metrics", {"interval_ms": 20})
    call.pump(lambda: len(call.events) >= 5)
    for event in call.events:
        assert event["type"] == "metrics"
        check(event, TYPES)
    stamps = [e["time_us"] for e in call.events]
    assert stamps == sorted(set(stamps))
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    seen = len(call.events)
    client.call("system.ping")
    assert len(call.events) == seen


def test_the_first_sample_comes_at_once(client):
    call = client.open("system.metrics", {"interval_ms": 86_400_000})
    assert call.event("metrics")["time_us"]
    call.cancel()


def test_a_client_that_does_not_read_loses_samples_and_is_told(agent, client):
    """And costs one sample of memory, not a queue."""
    with agent.connect() as slow:
        call = slow.open("system.metrics", {"interval_ms": 10})
        call.event("metrics")
        slow.request("proc.run", {"cmd": "head -c 900000 /dev/zero", "max_output": 1 << 20})
        missed = 0
        deadline = time.monotonic() + LONG
        while not missed:
            assert time.monotonic() < deadline
            time.sleep(1)
            slow.take()
            missed = sum(e.get("missed", 0) for e in call.events)
        assert client.call("system.ping")


def test_clients_that_leave_leave_nothing(agent, client, frugal):
    for _ in range(20):
        with agent.connect() as c:
            for _ in range(5):
                c.request("system.metrics", {"interval_ms": 10})
                c.request("system.metrics")
            c.call("system.ping")
    assert metrics(client)["agent"]["calls"] == 0


def test_many_at_once(client):
    calls = [client.open("system.metrics") for _ in range(100)]
    for call in calls[::2]:
        call.cancel()
    for call in calls:
        call.pump(lambda: False)
        assert call.result or call.error["code"] == "canceled"


@pytest.mark.local
def test_nobody_watches_nothing_wakes(guestd):
    """No timer runs in an idle agent: not one thread of it is scheduled."""
    # The runtime of a sanitizer has a thread of its own.
    daemon = guestd(wrap=lambda command: [str(ROOT / "build" / "guestd"), *command[1:]])
    with daemon.connect() as c, daemon.connect() as quiet:
        quiet.call("system.ping")
        c.call("proc.run", {"argv": ["true"]})
        call = c.open("system.metrics", {"interval_ms": 10})
        log = c.open("system.log", {"follow": True})
        call.event("metrics")
        call.cancel()
        log.cancel()
        for done in (call, log):
            error_of(done.wait)
        c.call("system.activity")

        def switches():
            count = 0
            for task in os.listdir(f"/proc/{daemon.pid}/task"):
                with open(f"/proc/{daemon.pid}/task/{task}/status") as f:
                    count += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
            return count

        def still():
            """Workers end, memory is given back, spare cgroups go: then there are seconds without anything."""
            before = switches()
            time.sleep(3)
            return switches() == before

        eventually(still, "seconds without a wake-up", LONG)


# -- sync and trim -------------------------------------------------------------------------------

def test_sync(client):
    assert client.call("system.sync", timeout=LONG) == {}


def test_trim(client):
    result = client.call("system.trim", timeout=LONG)
    for fs in result["filesystems"]:
        assert fs["path"].startswith("/") and (type(fs.get("bytes")) is int or fs["error"])
