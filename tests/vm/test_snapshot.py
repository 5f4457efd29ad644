"""Freezing for a snapshot, and what comes after it."""

import subprocess
import time

import pytest

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
