"""The agent as a service: what it tells the manager that started it (sd_notify(3))."""

import os
import select
import signal
import socket
import struct

import pytest

from client import TIMEOUT
from support import rounds

SO_TIMESTAMPNS = 35     # socket(7); Python has no name for it

pytestmark = pytest.mark.local      # the agent of a guest is its PID 1


class Manager:
    """The socket of a service manager, and what comes through it."""

    def __init__(self, address):
        self.address = address      # as NOTIFY_SOCKET has it
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def message(self):
        """The next one as {name: value}, the pid that sent it, and when in seconds."""
        assert select.select([self.socket], [], [], TIMEOUT)[0], "the manager hears nothing"
        text, ancillary, *_ = self.socket.recvmsg(4096, 256)
        lines = dict(line.split("=", 1) for line in text.decode().split("\n"))
        extra = {kind: data for _, kind, data in ancillary}
        seconds, nanoseconds = struct.unpack("qq", extra[SO_TIMESTAMPNS])
        return lines, struct.unpack("iii", extra[socket.SCM_CREDENTIALS])[0], seconds + nanoseconds / 1e9

    def is_silent(self):
        return not select.select([self.socket], [], [], 0)[0]


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@guestd-{os.urandom(6).hex()}")
    yield made
    made.socket.close()


def test_ready_when_it_listens(guestd, manager):
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address}, wait=False)
    said, pid, _ = manager.message()
    # No polling: who hears READY may connect.
    with daemon.connect() as client:
        client.call("system.ping")
    assert said == {"READY": "1", "MAINPID": str(daemon.pid), "STATUS": f"listening on unix:{daemon.sock}"}
    assert pid == daemon.pid


def test_stopping_at_the_end(guestd, manager):
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address})
    manager.message()
    daemon.proc.send_signal(signal.SIGTERM)
    said, *_ = manager.message()
    assert said["STOPPING"] == "1"
    assert daemon.exit_status() == 0
    assert manager.is_silent(), "it says that once, and no watchdog was asked for"


def test_watchdog_at_half_of_its_time(guestd, manager):
    wanted_us = 400_000
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(wanted_us)})
    said, _, began = manager.message()
    assert said["READY"] == "1"
    n = rounds(6)
    for _ in range(n):
        said, pid, when = manager.message()
        assert (said, pid) == ({"WATCHDOG": "1"}, daemon.pid)
    # The kernel's stamps: a slow machine makes them late, and only a wrong timer early.
    assert when - began >= n * wanted_us / 2e6 * 0.99


def test_no_watchdog_that_was_for_another(guestd, manager):
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    assert manager.message()[0]["READY"] == "1"
    with daemon.connect() as client:
        client.call("proc.run", {"argv": ["sleep", "0.1"]})
    assert manager.is_silent()


def test_a_wrong_time_is_told(guestd, manager):
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "soon"})
    assert manager.message()[0]["READY"] == "1"
    assert "WATCHDOG_USEC is no number of microseconds: soon" in daemon.log()


def test_processes_hear_nothing_of_it(guestd, manager):
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "x"})
    with daemon.connect() as client:
        variables = client.call("proc.run", {"argv": ["env"]})["stdout"]
    assert b"NOTIFY_SOCKET" not in variables and b"WATCHDOG" not in variables


def test_what_is_waited_for_is_told(guestd, manager, tmp_path):
    """Ready is what serves: a device that is not there yet does not hold up the boot."""
    line = tmp_path / "ttyS9"
    daemon = guestd(env={"NOTIFY_SOCKET": manager.address}, wait=False,
                    listen=[f"unix:{tmp_path}/g.sock", f"serial:{line}"])
    said, *_ = manager.message()
    assert said["STATUS"].startswith(f"listening on unix:{tmp_path}/g.sock")
    assert f"serial:{line}" in said["STATUS"]
    assert daemon.proc.poll() is None


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "@", "", "/" + 200 * "x"])
def test_a_manager_that_cannot_be_reached(guestd, address):
    """It is said in the log, and the agent serves all the same."""
    daemon = guestd(env={"NOTIFY_SOCKET": address})
    with daemon.connect() as client:
        client.call("system.ping")
    assert ("NOTIFY_SOCKET" if address != "/nowhere/notify" else "service manager READY=1: ENOENT") in daemon.log()
