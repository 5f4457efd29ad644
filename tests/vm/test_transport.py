"""What only a real virtio-vsock has: peers, bursts, resets, a device that is missing or comes late."""

import os
import re
import socket
import time

import pytest

from client import Client, Disconnected
from line import plugged
from support import eventually
from vm import BUILD, CID, PORT, VHOST, VM

UNREACHABLE = 69
GUESTCTL = "/bin/guestctl"

# A burst that no small backlog holds.
BURST = 200


@pytest.fixture(scope="module")
def with_guestctl(pack_once):
    """An image in which guestctl can be run."""
    return pack_once("--add", f"{BUILD}/guestctl:{GUESTCTL}", "--module", "vsock_loopback")


def dial(guest, cid):
    """guestctl in the guest, at a vsock address: (exit status, what it said)."""
    done = guest.call("proc.run", {"argv": [GUESTCTL, "-c", f"vsock:{cid}:{PORT}", "ping"]})
    return done["code"], done["stderr"].decode()


def warnings(guest):
    """What guestd warned of, by the kernel's log."""
    return [line for line in guest.sh("dmesg").splitlines() if "guestd: warn" in line]


def answers(guest):
    """Whether the agent can be reached. For a device that was just plugged in: the host's side
    refuses until the guest's driver has it."""
    try:
        with guest.connect(timeout=2) as client:
            client.call("system.ping", timeout=2)
        return True
    except (OSError, Disconnected):
        time.sleep(0.1)
        return False


def test_the_image_has_no_loopback(guest):
    """A process of the guest is not to reach vsock code that nothing else needs."""
    assert "vsock_loopback" not in guest.read("/proc/modules")


# -- who is let in -------------------------------------------------------------------------------

def test_a_peer_inside_the_guest_is_refused(boot, with_guestctl):
    """By the loopback, and by the address that the guest has for the host."""
    guest = boot(image=with_guestctl)
    for cid in (1, CID):
        status, said = dial(guest, cid)
        assert status == UNREACHABLE, said
        assert guest.call("system.ping")["time_us"] > 0, "the host is served"
    refused = warnings(guest)
    assert len(refused) == 2 and all("refused: peer CID" in line for line in refused), refused


def test_a_peer_that_the_command_line_names_is_let_in(boot, with_guestctl):
    guest = boot(image=with_guestctl, append="guestd.allow-cid=1")
    status, said = dial(guest, 1)
    assert status == 0, said
    assert warnings(guest) == []


class OneOfTwo(VM):
    """A VM whose vsock device is in one process, and in one group, with that of its brother."""

    CIDS = (CID, CID + 1)

    def start_vhost(self):
        devices = []
        for cid in self.CIDS:
            devices += ["--vm", f"guest-cid={cid},socket={self.path(f'{cid}.sock')},uds-path={self.path(f'{cid}.uds')},groups=both"]
        self.spawn("vhost", [VHOST, *devices])
        self.wait_for(lambda: all(os.path.exists(self.path(f"{cid}.sock")) for cid in self.CIDS), 10, "the devices")
        for name, there in (("vh.sock", f"{CID}.sock"), ("v.sock", f"{CID}.uds")):
            os.symlink(self.path(there), self.path(name))


class OtherOfTwo(VM):
    def __init__(self, brother, **kwargs):
        super().__init__(**kwargs)
        self.brother = brother

    def start_vhost(self):
        for name, there in (("vh.sock", f"{CID + 1}.sock"), ("v.sock", f"{CID + 1}.uds")):
            os.symlink(self.brother.path(there), self.path(name))


def test_a_sibling_is_refused_unless_it_is_named(guest, with_guestctl):
    """Of two VMs between which the host lets packets through, one names the other."""
    with OneOfTwo(image=with_guestctl) as vm, OtherOfTwo(vm, image=with_guestctl, append=f"guestd.allow-cid={CID}") as other:
        one, two = type(guest)(vm), type(guest)(other)
        status, said = dial(two, CID)
        assert status == UNREACHABLE, said
        refused = warnings(one)
        assert len(refused) == 1 and f"refused: peer CID {CID + 1} is not allowed" in refused[0], refused
        status, said = dial(one, CID + 1)
        assert status == 0, said
        assert warnings(two) == []
        assert one.call("system.ping") and two.call("system.ping")


# -- many and slow -------------------------------------------------------------------------------

def test_a_burst_of_connections_is_served(guest):
    """All of them ask before the first is accepted, as far as that can be had."""
    path = guest.vm.uds
    sockets = []
    try:
        for _ in range(BURST):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.settimeout(60)
            sock.connect(path)
            sock.sendall(f"CONNECT {PORT}\n".encode())
        for sock in sockets:
            line = b""
            while not line.endswith(b"\n"):
                byte = sock.recv(1)
                assert byte, f"connection {sockets.index(sock)} was refused"
                line += byte
            assert line.startswith(b"OK ")
        clients = [Client(sock) for sock in sockets]
        calls = [client.open("system.ping") for client in clients]
        for call in calls:
            assert call.wait(60)["time_us"] > 0
    finally:
        for sock in sockets:
            sock.close()


def test_who_does_not_read_stalls_alone_and_costs_little(guest):
    """Eight commands that write for ever, to clients that take nothing."""
    before = guest.memory()
    stalled = [guest.connect() for _ in range(8)]
    calls = [client.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"}) for client in stalled]
    try:
        pids = [call.event("started")["pid"] for call in calls]
        with guest.connect() as client:
            for _ in range(20):
                client.call("system.ping")
            done = client.open("proc.exec", {"cmd": "head -c 5000000 /dev/zero"})
            assert done.wait()["code"] == 0 and done.stdout == bytes(5_000_000)
        assert guest.memory() - before < 16 << 20
    finally:
        guest.sh("killall -9 yes")
        for client in stalled:
            client.close()
    assert len(set(pids)) == 8


def test_commands_leave_no_descriptor_and_no_zombie(guest):
    def descriptors():
        return guest.descriptors()

    with guest.connect() as client:     # whatever is opened for the first of them
        client.open("proc.exec", {"argv": ["true"]}).wait()
    before = descriptors()
    for _ in range(3):
        with guest.connect() as client:
            for _ in range(10):
                calls = [client.open("proc.exec", {"cmd": "echo; exit 3", "stdin": True}) for _ in range(10)]
                for call in calls:
                    assert call.wait()["code"] == 3 and call.stdout == b"\n"
    # The host's end of a connection may be gone before the guest's.
    eventually(lambda: descriptors() <= before, f"back to {before} descriptors")
    assert "Z" not in guest.sh("sed 's/.*) //; s/ .*//' /proc/[0-9]*/stat 2>/dev/null || true")


# -- the device goes and comes -------------------------------------------------------------------

def test_after_a_reset_of_the_transport(boot):
    """What a snapshot that is restored elsewhere sees: its connections are gone, all else is as before."""
    guest = boot()
    before = guest.descriptors()
    crowd = [guest.connect() for _ in range(20)]
    idle, busy, flood = crowd[:3]
    idle.call("system.ping")
    script = "while :; do echo >>/tmp/marks; sleep 0.05; done"
    pid = busy.open("proc.exec", {"cmd": script}).event("started")["pid"]
    flood.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"}).event("started")
    assert guest.descriptors() >= before + 20

    def marks():
        return int(guest.sh("wc -l </tmp/marks"))

    guest.vm.unplug_vsock()
    with plugged(guest.vm.serial) as line:
        eventually(lambda: line.call("proc.run", {"cmd": "dmesg | grep 'listening anew'; sleep 0.5"})["stdout"],
                   "it does not trust its listener")
    guest.vm.plug_vsock()
    eventually(lambda: answers(guest), "the agent is back")
    seen = marks()
    eventually(lambda: marks() > seen, "the command goes on")
    assert guest.sh(f"readlink /proc/{pid}/exe"), "it is the same one"
    eventually(lambda: not guest.sh("pgrep yes || true"), "the end of its connection was noticed")
    guest.sh(f"kill {pid}")
    eventually(lambda: guest.descriptors() <= before, f"back to {before} descriptors")
    assert warnings(guest) == []
    for client in crowd:
        client.close()


def test_a_device_that_comes_after_the_boot(boot):
    """The agent listens before there is a device to listen on."""
    guest = boot(vsock=False)
    time.sleep(2)
    guest.vm.plug_vsock()
    eventually(lambda: answers(guest), "the agent is reached")
    assert guest.sh("readlink /proc/1/exe").strip() == "/init"


LATE_MODULES = """#!/bin/sh
# Is the agent, and loads the modules when there is a device for them.
: >/dev/null    # what the shell puts into the background has it as its input
(until [ -e /sys/bus/pci/devices/0000:01:00.0 ]; do sleep 0.1; done
while read -r module; do insmod "$module"; done </order) >/dev/console 2>&1 &
exec /guestd
"""


def test_vsock_that_comes_after_the_boot(boot, pack, tmp_path, guest):
    """Neither a device nor a module for it: PID 1 stays, says so once, and tries until it can listen."""
    (tmp_path / "init").write_text(LATE_MODULES)
    (tmp_path / "init").chmod(0o755)
    (tmp_path / "order").write_text(guest.read("/lib/modules/guestd.order") + "\n")
    (tmp_path / "none").write_text("")
    image = pack("--init", f"{tmp_path}/init", "--add", f"{BUILD}/guestd:/guestd",
                 "--add", f"{tmp_path}/order:/order", "--add", f"{tmp_path}/none:/lib/modules/guestd.order")
    # `quiet` keeps warnings from the console, a later loglevel does not.
    late = boot(image=image, vsock=False, append="loglevel=5")
    time.sleep(4)       # several attempts
    console = late.vm.console()
    said = re.findall(r"guestd: (?:error|warn) .*", console)
    assert len(said) == 1 and "vsock" in said[0], console
    assert "panic" not in console and console.count("guestd: ready") == 1
    late.vm.plug_vsock()
    eventually(lambda: answers(late), "the agent is reached")
    assert len(warnings(late)) == 1
    assert "the device is there now" in late.sh("dmesg")
