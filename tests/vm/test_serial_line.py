"""Serial lines of a real machine: a virtio port, and a UART."""

import contextlib
import random
import re
import socket
import time

import pytest

from client import LONG, frame
from guestctl import Ctl
from line import encode, plugged
from support import NUMBERS, eventually, numbers


def switches(guest):
    """How often the agent was woken: asked without a process of its own, which would be cleaned up after."""
    status = guest.call("fs.get", {"path": "/proc/self/status"})["data"]
    return int(re.search(rb"\nvoluntary_ctxt_switches:\s+(\d+)", status).group(1))


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


def test_with_nobody_there_it_sleeps(guest):
    """Neither a spin nor a timer: each wake-up dirties memory that a snapshot shares."""
    def cpu_ms():
        return guest.call("system.metrics")["agent"]["cpu_ms"]

    time.sleep(2)   # what earlier tests have left is cleaned up
    cpu, first, before = cpu_ms(), switches(guest), switches(guest)
    time.sleep(4)
    assert switches(guest) - before <= before - first + 3
    assert cpu_ms() - cpu < 100


def test_a_host_that_comes_back_is_heard_at_once(guest):
    for _ in range(5):
        with plugged(guest.vm.serial) as client:
            assert client.hello()["protocol"] == 1
        time.sleep(0.2)


def test_a_host_that_vanishes_within_a_frame(guest):
    """Its first half is no beginning of what the next one says."""
    message = encode(frame([0, 7, "proc.run", {"cmd": "echo never >/tmp/never"}])[4:])
    for part in (message[:1], message[:2], message[:len(message) // 2], message[:-1], message[:-1] + b"\x01" * 5000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(guest.vm.serial)
            sock.sendall(part)
        with plugged(guest.vm.serial) as client:
            assert client.hello()["protocol"] == 1
            assert client.call("proc.run", {"cmd": "echo word"})["stdout"] == b"word\n"
    assert not guest.call("fs.exists", {"path": "/tmp/never"})["exists"]


def spoil(rng):
    """One byte of a hundred is another one."""
    return lambda data: bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.01 else b for b in data)


def cut(rng):
    """One frame of four stops anywhere."""
    return lambda data: bytes(data[:rng.randrange(len(data))]) if data and rng.random() < 0.25 else bytes(data)


def ask_until_answered(guest, client, n, timeout):
    """Sends each question again until it is answered, and right. How often that took."""
    tried = 0
    for i in range(n):
        word, answer = "%016x" % random.getrandbits(64), None
        guest.call("fs.symlink", {"target": word, "path": f"/tmp/{word}"})
        while answer is None:
            tried += 1
            assert tried < 40 * n, f"nothing comes through after {i}"
            with contextlib.suppress(TimeoutError):
                answer = client.call("fs.readlink", {"path": f"/tmp/{word}"}, timeout=timeout)
        assert answer == {"target": word}
    return tried


@pytest.mark.parametrize("noise", [spoil, cut])
def test_a_virtio_port_with_noise(guest, noise):
    """No answer is wrong, and a request that is sent again succeeds."""
    rng = random.Random(4)
    with plugged(guest.vm.serial, out=noise(rng), back=noise(rng)) as client:
        assert ask_until_answered(guest, client, 8, 0.2) > 8, "nothing was lost: the noise does nothing"
        client.sock.out = client.sock.back = bytes
        assert client.hello()["protocol"] == 1


def test_guestctl(guest):
    done = Ctl(f"serial:{guest.vm.serial}")("exec", "-i", "--", "sh", "-c", "cat; exit 5", input=b"words\n")
    assert (done.returncode, done.stdout) == (5, b"words\n")


@pytest.fixture
def console(boot):
    """A guest whose agent is reached at its console, too, and a client there."""
    guest = boot(append="guestd.listen=vsock:1024 guestd.listen=serial:/dev/ttyS0")
    with plugged(guest.vm.uart) as client:
        def hello():
            with contextlib.suppress(TimeoutError):
                return client.call("hello", {"protocol": 1}, 2)
            return None

        eventually(hello, "it answers")
        yield guest, client


def test_a_uart(console):
    """Its interrupts come a byte or 16 at a time, and the kernel's tty lies between."""
    _, client = console
    call = client.open("proc.exec", {"cmd": numbers(20_000)})
    assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:20_000]


def test_a_uart_that_is_the_console_too(console):
    """What the kernel says comes in the middle of what we say."""
    guest, client = console
    chatter = "i=0; while :; do i=$((i+1)); echo \"<1>chatter $i\" >/dev/kmsg; sleep 0.02; done"
    guest.call("proc.start", {"cmd": chatter})
    ask_until_answered(guest, client, 20, 0.5)
    assert any(b"chatter" in piece for piece in client.sock.dropped), "the kernel was silent"
    client.sock.out = spoil(random.Random(5))
    assert ask_until_answered(guest, client, 5, 0.5) > 5
