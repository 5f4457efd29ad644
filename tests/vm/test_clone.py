"""Freezing for a snapshot, and what comes after it."""

import os
import subprocess
import time

import pytest

from client import Disconnected, connect
from guestctl import Ctl
from line import plugged
from support import error_of, eventually
from vm import VM


@pytest.fixture(scope="module")
def box(guest, tmp_path_factory):
    """A guest with a disk, mounted at /mnt."""
    disk = tmp_path_factory.mktemp("disk") / "disk"
    subprocess.run(["truncate", "-s", "16M", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    with VM(qemu_args=["-drive", f"file={disk},if=virtio,format=raw"]) as vm:
        box = type(guest)(vm)
        box.call("system.mount", {"source": "/dev/vda", "target": "/mnt", "fstype": "ext4"})
        yield box


@pytest.fixture
def client(box):
    with box.connect() as client:
        yield client
        client.call("system.thaw")


@pytest.fixture
def counter(client):
    """The id of a process that counts as fast as it can, and what it has reached."""
    client.call("proc.start", {"cmd": "i=0; while :; do i=$((i+1)); echo $i; done", "id": "counter"})
    yield lambda: int(client.call("proc.logs", {"id": "counter", "tail": 2})["text"].split()[0])
    client.call("proc.stop", {"id": "counter", "signal": "KILL"})
    client.call("proc.remove", {"id": "counter"})


def stands_still(counter):
    first = counter()
    time.sleep(0.3)
    return counter() == first


def test_processes_stand_still(client, counter):
    eventually(lambda: client.call("proc.logs", {"id": "counter"})["text"].count(b"\n") > 10, "it counts")
    frozen = client.call("system.freeze")
    assert frozen == {"processes": 1, "filesystems": []}
    eventually(lambda: stands_still(counter), "what it has written before is read")
    client.call("system.thaw")
    eventually(lambda: not stands_still(counter), "it goes on")


def test_file_systems_take_no_writes(box, client):
    box.sh("echo before > /mnt/file")
    frozen = client.call("system.freeze", {"processes": False, "filesystems": True})
    assert frozen == {"processes": 0, "filesystems": ["/mnt"]}
    for method, params in {
            "fs.write": {"path": "/mnt/x"}, "fs.put": {"path": "/mnt/x", "data": b""}, "fs.mkdir": {"path": "/mnt/d"},
            "fs.delete": {"path": "/mnt/file"}, "proc.run": {"cmd": "true"}, "proc.start": {"cmd": "true"},
            "proc.exec": {"cmd": "true"}, "pty.open": {}, "fs.write_files": {"files": []}}.items():
        assert error_of(client.call, method, params).code == "frozen", method
    assert client.call("fs.get", {"path": "/mnt/file"})["data"] == b"before\n"
    assert client.call("fs.list", {"path": "/mnt"})["entries"]
    assert client.call("system.info")["init"]
    client.call("system.thaw")
    client.call("fs.put", {"path": "/mnt/file", "data": b"after"})


def test_it_thaws_by_itself(client, counter):
    """Also when nothing else goes on: a process hangs in the frozen file system."""
    client.call("proc.start", {"cmd": "while :; do echo x >> /mnt/log; done", "id": "writer"})
    events = client.open("system.events", {})
    client.call("system.freeze", {"filesystems": True, "timeout_ms": 1500})
    events.event("frozen")
    assert error_of(client.call, "proc.run", {"cmd": "true"}).code == "frozen"
    events.event("thawed")
    assert client.call("proc.run", {"cmd": "echo hi > /mnt/it; cat /mnt/it"})["stdout"] == b"hi\n"
    eventually(lambda: not stands_still(counter), "it goes on")
    client.call("proc.stop", {"id": "writer", "signal": "KILL"})
    events.cancel()


def test_once_at_a_time(client):
    client.call("system.freeze")
    assert error_of(client.call, "system.freeze").code == "busy"
    assert client.call("system.thaw") == {}
    assert client.call("system.thaw") == {}, "nothing to thaw is no error"
    client.call("system.freeze")


def test_a_killed_process_is_gone_though_it_was_frozen(client):
    client.call("proc.start", {"argv": ["sleep", "600"], "id": "it"})
    client.call("system.freeze")
    client.call("proc.signal", {"id": "it", "signal": "KILL"})
    assert client.call("proc.wait", {"id": "it"})["signal"]


def test_the_one_who_froze_may_go(box, client):
    """A frozen guest outlives its connections: a snapshot resets them all."""
    with box.connect() as other:
        other.call("system.freeze")
    assert error_of(client.call, "proc.run", {"cmd": "true"}).code == "frozen"
    client.call("system.thaw")
    assert client.call("proc.run", {"cmd": "true"})["code"] == 0


def test_what_a_killed_agent_froze_the_next_one_thaws(box, client):
    """Both in a part of the tree of cgroups that is theirs to divide, as a service manager starts them."""
    group = "/sys/fs/cgroup/service"
    endpoint = f"uds:{box.vm.uds}:2000"

    def start(process_id):
        log = f"/run/{process_id}.log"
        client.call("proc.start", {"id": process_id, "cmd": (
            f"exec guestd --listen vsock:2000 --run-dir /run/second --cgroup {group} 2>{log}")})
        eventually(lambda: "ready version" in box.sh(f"cat {log}"), "it is up")
        return log

    box.sh(f"mkdir {group}")
    start("first")
    with connect(endpoint) as inner:
        pid = inner.call("proc.start", {"cmd": "while :; do echo x >>/run/growing; done"})["pid"]
        eventually(lambda: client.call("fs.exists", {"path": "/run/growing"})["exists"], "it writes")
        frozen = inner.call("system.freeze", {"filesystems": True, "timeout_ms": 3_600_000})
        assert frozen["filesystems"] == ["/mnt"]
    client.call("proc.stop", {"id": "first", "signal": "KILL"})
    size = "stat -c %s /run/growing"
    first, later = box.sh(f"{size}; sleep 0.3; {size}").split()
    assert first == later, "nobody thaws it"
    said = box.sh(f"cat {start('second')}")
    assert "thawed what a dead agent froze" in said and "thawing what a dead agent froze path=/mnt" in said
    client.call("fs.put", {"path": "/mnt/afterwards", "data": b"x"})
    before = int(box.sh(size))
    eventually(lambda: int(box.sh(size)) > before, "the process goes on")
    box.sh(f"kill -9 {pid}")
    client.call("proc.stop", {"id": "second"})
    box.sh("test ! -e /run/second/frozen; rm /run/growing")


# -- system.resumed ------------------------------------------------------------------------------

YEAR_US = 365 * 86400 * 1_000_000


def test_resumed_does_it_all_at_once(box, client):
    events = client.open("system.events", {})
    with box.connect() as other:
        hello = client.hello()
        other.call("system.freeze", {"filesystems": True})
        now = client.call("system.ping")["time_us"]
        done = client.call("system.resumed", {"time_us": now + YEAR_US, "entropy": os.urandom(32), "hostname": "clone-1",
                                              "machine_id": True, "key": "one"})
        assert done["epoch"] == hello["epoch"] + 1 and abs(done["clock_step_us"] - YEAR_US) < 1_000_000
        with pytest.raises(Disconnected):
            other.call("system.ping")
    assert client.hello()["epoch"] == done["epoch"]
    assert events.event("resumed")["epoch"] == done["epoch"]
    events.event("thawed")
    info = client.call("system.info")
    assert info["hostname"] == "clone-1" and len(info["machine_id"]) == 32
    assert abs(client.call("system.ping")["time_us"] - now - YEAR_US) < 10_000_000
    assert client.call("proc.run", {"cmd": "cat /etc/machine-id"})["stdout"].decode().strip() == info["machine_id"]
    # The same key again changes nothing.
    assert client.call("system.resumed", {"hostname": "other", "machine_id": True, "key": "one"}) == done
    assert client.call("system.info")["machine_id"] == info["machine_id"]
    assert client.call("system.info")["hostname"] == "clone-1"
    # Another one does, and a clock that is right is left alone: where the answer was under way for less than 10 ms.
    for i in range(1, 50):
        again = client.call("system.resumed", {"time_us": client.call("system.ping")["time_us"], "machine_id": True, "key": f"{i}"})
        assert again["epoch"] == done["epoch"] + i
        if again["clock_step_us"] == 0:
            break
    else:
        raise AssertionError("the clock was stepped each time")
    assert client.call("system.info")["machine_id"] != info["machine_id"]


def reached(vm):
    """A client of a guest that goes on. Who dials before the guest's driver has its device can wedge that for
    good (see vm.py): the serial line tells when it has."""
    bound = "ls -d /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio* 2>/dev/null || sleep 0.02"
    with plugged(vm.serial) as line:
        eventually(lambda: line.call("proc.run", {"cmd": bound})["stdout"], "the driver has its device")
    return connect(vm.endpoint)


def lines(data):
    """The whole ones."""
    return bytes(data).split(b"\n")[:-1]


def is_counting(data, least):
    """Numbered lines from 1 on, without one that is missing or comes twice."""
    found = lines(data)
    return len(found) >= least and found == [b"%d" % n for n in range(1, len(found) + 1)]


COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"


@pytest.fixture(scope="module")
def source(guest, tmp_path_factory):
    """A guest that was taken by surprise: nothing was frozen, a process writes all along, and clients are
    attached. What is known of it: the snapshot, its hello, what the counter had written, its environment."""
    path = tmp_path_factory.mktemp("snapshot") / "snapshot"
    with VM() as vm, connect(vm.endpoint) as client, connect(vm.endpoint) as watcher:
        client.call("env.set", {"vars": {"OF": "source", "GONE": "soon"}})
        client.call("proc.start", {"cmd": COUNT, "id": "counter"})
        client.call("proc.start", {"argv": ["sleep", "6000"], "id": "sleeper", "timeout_ms": 5_000_000})
        client.call("fs.mkdir", {"path": "/tmp/watched"})
        watcher.open("fs.watch", {"path": "/tmp/watched"}).event("ready")
        attached = client.open("proc.attach", {"id": "counter", "stdout_from": 0})
        attached.read(50)
        before = client.hello()
        vm.save(path)       # pulls the vsock device out: both connections are reset
        yield {"snapshot": path, "before": before, "seen": bytes(attached.stdout)}
        for lost in (client, watcher):
            with pytest.raises((Disconnected, OSError)):
                lost.call("system.ping")


def test_a_clone_goes_on_where_its_source_was(source):
    """Its processes are there, and no byte of what they wrote before, meanwhile and since is lost; who was
    connected is gone, who listens is not; a year that is stepped over is no time that has passed."""
    with VM(snapshot=source["snapshot"]) as vm:
        client = reached(vm)
        hello = client.hello(keepalive_ms=20_000)
        assert hello["instance"] == source["before"]["instance"], "it was not started anew"
        assert client.call("system.activity")["connections"] == 1, "those of the source are dropped"
        watch = client.open("fs.watch", {"path": "/tmp/watched"})
        watch.event("ready")
        slow = client.open("proc.wait", {"id": "sleeper", "timeout_ms": 600_000})
        now = int(time.time() * 1_000_000) + YEAR_US
        done = client.call("system.resumed", {
            "time_us": now, "entropy": os.urandom(32), "hostname": "clone", "machine_id": True, "key": "clone",
            "env": {"vars": {"OF": "clone"}, "replace": True}})
        assert done["epoch"] == source["before"]["epoch"] + 1
        assert abs(client.call("system.ping")["time_us"] - now) < 20_000_000
        assert client.call("system.info")["hostname"] == "clone"
        assert client.call("proc.run", {"cmd": "echo $OF$GONE"})["stdout"] == b"clone\n"
        # The disk may be another one: the watch looks at all of it again, and goes on.
        watch.event("resync")
        client.call("fs.put", {"path": "/tmp/watched/file", "data": b""})
        assert watch.event("created")["path"] == "/tmp/watched/file"
        again = client.open("proc.attach", {"id": "counter", "stdout_from": len(source["seen"])})
        again.read(400)
        assert is_counting(source["seen"] + bytes(again.stdout), 100)
        assert client.call("proc.logs", {"id": "counter"})["dropped"] == 0
        # The step of the clock ends nothing early: neither a wait, nor a process, nor the connection.
        client.call("system.ping")
        assert not slow.done
        assert {p["id"]: p["status"] for p in client.call("proc.list")}["sleeper"] == "running"
        with plugged(vm.serial) as line:
            assert line.hello()["epoch"] == done["epoch"], "the serial line is served as well"
        client.close()


def test_two_clones_differ(source):
    """In random numbers, machine ids, and the ids that the agent makes up."""
    found = []
    for i in range(2):
        with VM(snapshot=source["snapshot"]) as vm:
            client = reached(vm)
            assert client.call("system.resumed", {"entropy": os.urandom(32), "machine_id": True, "key": f"clone {i}"})["epoch"]
            run = client.call("proc.run", {"cmd": "head -c 16 /dev/urandom; cat /etc/machine-id"})
            found.append((run["stdout"][:16], run["stdout"][16:], client.call("system.info")["machine_id"], run["id"]))
            client.close()
    for a, b in zip(*found, strict=True):
        assert a != b


def test_guestctl_sets_a_guest_right_and_ends_it(boot):
    guest = boot()
    ctl = Ctl(guest.vm.endpoint)
    guest.call("system.set_time", {"time_us": 1_000_000_000_000_000})
    done = ctl("resumed", "--hostname", "named", "--machine-id", "--key", "k")
    assert done.returncode == 0 and done.stdout.startswith(b"epoch 1, clock stepped by"), done
    assert abs(guest.call("system.ping")["time_us"] - time.time() * 1e6) < 30_000_000
    assert guest.call("system.info")["hostname"] == "named"
    assert ctl("shutdown", "--grace", "1").returncode == 0
    assert guest.vm.process("qemu").wait(60) == 0
