"""Serial lines of a real machine: a virtio port, and a UART."""

import contextlib
import os
import socket
import time

from client import LONG
from guestctl import Ctl
from line import line_client
from support import NUMBERS, eventually, numbers
from vm import VM


@contextlib.contextmanager
def plugged(path):
    """A client on the Unix socket that QEMU makes of a port. It takes one peer at a time."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        client = line_client(os.dup(sock.fileno()))
        try:
            yield client
        finally:
            client.close()


def switches(guest):
    return int(guest.sh("sed -n 's/^voluntary_ctxt_switches:.//p' /proc/$PPID/status"))


def test_a_virtio_port_is_served_without_being_told(guest):
    with plugged(guest.vm.serial) as client:
        assert client.hello()["max_frame"] == 16384
        call = client.open("proc.exec", {"cmd": numbers(200_000)})
        assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:200_000]
        call = client.open("proc.exec", {"cmd": "cat", "stdin": True})
        call.write(NUMBERS[:10_000])
        call.end()
        assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:10_000]


def test_one_host_after_another(guest):
    """The agent sees the first go, though it went in the middle of a stream."""
    with plugged(guest.vm.serial) as client:
        client.hello()
        call = client.open("proc.exec", {"cmd": "while :; do echo flood; done", "id": "flood", "on_disconnect": "kill"})
        client.pump(lambda: len(call.stdout) > 10_000)
    assert guest.call("proc.wait", {"id": "flood"})["signal"]
    with plugged(guest.vm.serial) as client:
        client.hello()
        assert client.call("proc.run", {"cmd": "echo word"})["stdout"] == b"word\n"


def test_with_nobody_there_it_does_not_spin(guest):
    before = switches(guest)
    time.sleep(3)
    assert switches(guest) - before < 100


def test_guestctl(guest):
    done = Ctl(f"serial:{guest.vm.serial}")("exec", "-i", "--", "sh", "-c", "cat; exit 5", input=b"words\n")
    assert (done.returncode, done.stdout) == (5, b"words\n")


def test_a_uart(tmp_path):
    """Its interrupts come a byte or 16 at a time, and the kernel's tty lies between."""
    path = str(tmp_path / "uart")
    with VM(append="8250.nr_uarts=2 guestd.listen=vsock:1024 guestd.listen=serial:/dev/ttyS1",
            qemu_args=["-serial", f"unix:{path},server=on,wait=off"]), plugged(path) as client:
        def hello():
            with contextlib.suppress(TimeoutError):
                return client.call("hello", {"protocol": 1}, 2)
            return None

        eventually(hello, "it answers")
        call = client.open("proc.exec", {"cmd": numbers(20_000)})
        assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:20_000]
