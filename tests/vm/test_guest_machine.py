"""What changes the machine: clock, name, randomness, mounts, network, and its end."""

import os
import re
import subprocess

import pytest

from client import Disconnected
from support import error_of, eventually
from vm import VM

YEAR_US = 365 * 86400 * 1_000_000


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    """Where all that goes over the network of `box` is written (pcap)."""
    return tmp_path_factory.mktemp("wire") / "pcap"


@pytest.fixture(scope="module")
def box(guest, wire):
    """A guest with a network, for this module alone."""
    with VM(qemu_args=["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0",
                       "-object", f"filter-dump,id=dump,netdev=n0,file={wire}"]) as vm:
        yield type(guest)(vm)


def test_a_clock_that_is_set_by_a_year_hurts_no_connection(box):
    """Nothing that waits takes the step for time that has passed."""
    with box.connect() as client, box.connect() as other:
        client.hello(keepalive_ms=1000)
        sleeper = other.open("proc.exec", {"argv": ["sleep", "600"], "timeout_ms": 500_000, "id": "sleeper"})
        sleeper.event("started")
        for step in (YEAR_US, -YEAR_US):
            now = client.call("system.ping")["time_us"]
            assert abs(client.call("system.set_time", {"time_us": now + step})["clock_step_us"] - step) < 1_000_000
            assert abs(client.call("system.ping")["time_us"] - now - step) < 5_000_000
            before = len(client.notifications)
            for _ in range(3):
                client.send([2, "keepalive", {}])
                client.pump(lambda: len(client.notifications) > before)
                before = len(client.notifications)
            assert not sleeper.done
        other.call("proc.signal", {"id": "sleeper", "signal": "KILL"})
        sleeper.wait()


def test_the_name(box):
    box.call("system.hostname", {"name": "other-name"})
    assert box.sh("hostname").strip() == "other-name"
    assert box.call("system.info")["hostname"] == "other-name"


def test_randomness(box):
    assert box.call("system.reseed", {"entropy": os.urandom(32)}) == {}
    assert box.call("system.reseed", {"entropy": os.urandom(4096)}) == {}


def test_mounts(box):
    target = "/mnt/a/b"
    box.call("system.mount", {"source": "none", "target": target, "fstype": "tmpfs", "options": "size=1m,mode=0700,nosuid,noexec"})
    line = box.sh(f"grep {target} /proc/mounts")
    assert "tmpfs" in line and "size=1024k" in line and "nosuid" in line and "noexec" in line and "mode=700" in line
    box.sh(f"echo word > {target}/file")
    assert error_of(box.call, "system.mount", {"source": "/", "target": "/mnt/none/x", "fstype": "none", "options": "bind",
                                                "parents": False}).code == "ENOENT"
    box.call("system.mount", {"source": target, "target": "/mnt/c", "fstype": "none", "options": "bind,ro"})
    assert box.sh("cat /mnt/c/file") == "word\n"
    with pytest.raises(AssertionError):
        box.sh("echo more > /mnt/c/file")
    box.call("system.mount", {"source": "none", "target": target, "fstype": "tmpfs", "options": "remount,ro,nosuid"})
    with pytest.raises(AssertionError):
        box.sh(f"echo more > {target}/file")
    with box.connect() as client:
        client.call("proc.start", {"argv": ["sleep", "600"], "cwd": target, "id": "holder"})
        assert error_of(client.call, "system.umount", {"target": target}).code == "EBUSY"
        client.call("system.umount", {"target": target, "lazy": True})
        client.call("proc.signal", {"id": "holder", "signal": "KILL"})
    box.call("system.umount", {"target": "/mnt/c"})
    assert "/mnt" not in box.read("/proc/mounts")


def test_the_neighbours_are_told(box, wire):
    """Of a clone's addresses, without being asked: who knew the other machine would talk to that."""
    for address in ("10.0.2.99/24", "fec0::99/64"):
        box.call("system.network", {"interface": "eth0", "address": address})
    ip = bytes([10, 0, 2, 99])
    # ARP: sender and target are the same; ICMPv6 136 to all nodes: our address is the target.
    arp = re.compile(rb"\xff{6}.{6}\x08\x06\x00\x01\x08\x00\x06\x04\x00[\x01\x02].{6}" + ip + rb".{6}" + ip, re.S)
    na = re.compile(rb"\xff\x02\x00{13}\x01\x88\x00.{6}" + bytes.fromhex("fec0") + bytes(13) + b"\x99", re.S)
    eventually(lambda: arp.search(wire.read_bytes()), "a gratuitous ARP")
    eventually(lambda: na.search(wire.read_bytes()), "an unsolicited advertisement")


def test_network(box):
    box.call("system.network", {"interface": "eth0", "address": "10.0.2.15/24", "gateway": "10.0.2.2", "mtu": 1400,
                                "dns": ["10.0.2.3", "fe80::1"]})
    assert "inet 10.0.2.15/24" in box.sh("ip addr show eth0") and "mtu 1400" in box.sh("ip addr show eth0")
    assert "default via 10.0.2.2 dev eth0" in box.sh("ip route")
    assert box.read("/etc/resolv.conf") == "nameserver 10.0.2.3\nnameserver fe80::1"
    assert "1 packets received" in box.sh("ping -c 1 -W 10 10.0.2.2")
    # A clone gets another one: the first goes, with its neighbours.
    box.call("system.network", {"interface": "eth0", "address": "10.0.2.77/24", "gateway": "10.0.2.2"})
    assert "10.0.2.15" not in box.sh("ip addr show eth0")
    assert "inet 10.0.2.77/24" in box.sh("ip addr show eth0")
    assert "default via 10.0.2.2 dev eth0" in box.sh("ip route")
    assert "10.0.2.2 " not in box.sh("cat /proc/net/arp")
    assert "1 packets received" in box.sh("ping -c 1 -W 10 10.0.2.2")
    box.call("system.network", {"interface": "eth0", "address": "fd00::5/64", "gateway": "fd00::1"})
    shown = box.sh("ip addr show eth0")
    assert "fd00::5/64" in shown and "10.0.2.77/24" in shown, "one family does not touch the other"
    assert "default via fd00::1" in box.sh("ip -6 route")
    box.call("system.network", {"interface": "eth0", "up": False})
    assert ",UP" not in box.sh("ip addr show eth0")


def ended(vm):
    return vm.process("qemu").wait(60)


@pytest.mark.parametrize("mode", ["poweroff", "reboot"])
def test_the_end(boot, mode, tmp_path):
    """Who listens to TERM may tidy up; what it writes reaches the disk."""
    disk = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "16M", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    guest = boot(qemu_args=["-drive", f"file={disk},if=virtio,format=raw"])
    guest.call("system.mount", {"source": "/dev/vda", "target": "/mnt", "fstype": "ext4"})
    with guest.connect() as client:
        client.call("proc.start", {"cmd": "trap 'echo tidy > /mnt/file; exit' TERM; echo ready; while :; do sleep 0.1; done", "id": "tidy"})
        client.call("proc.start", {"cmd": "trap '' TERM HUP; while :; do sleep 1; done", "id": "stubborn"})
        eventually(lambda: client.call("proc.logs", {"id": "tidy"})["text"], "it listens")
        assert client.call("system.shutdown", {"mode": mode, "grace_ms": 3000}) == {}
        with pytest.raises(Disconnected):
            client.pump(lambda: False)
        assert client.goodbye["code"] == "canceled"
    assert ended(guest.vm) == 0, "-no-reboot: both end the machine"
    assert subprocess.run(["debugfs", "-R", "cat file", disk], capture_output=True, check=True).stdout == b"tidy\n"
    # Unmounted: nothing to recover.
    header = subprocess.run(["dumpe2fs", "-h", disk], capture_output=True, check=True).stdout.decode()
    assert "needs_recovery" not in header and "clean" in header
