"""Serial lines: a pseudo-terminal stands for one; the agent has its slave, the test its master."""

import contextlib
import os
import random
import socket
import subprocess
import threading
import time
import tty

import pytest

from client import LONG, TIMEOUT, frame
from guestctl import Ctl
from line import encode, line_client
from support import BIN, NUMBERS, error_of, eventually, numbers

pytestmark = pytest.mark.local  # lines of the VM are tested in tests/vm/test_serial_line.py

SERIAL_MAX_FRAME = 16 << 10


class Cable:
    """A pseudo-terminal: `host` is our end, `path` the agent's."""

    def __init__(self):
        self.host, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self.slave = slave  # kept open: the line is not hung up when the agent lets go of it

    def unplug(self):
        for fd in (self.host, self.slave):
            os.close(fd)


@pytest.fixture
def cable():
    cable = Cable()
    yield cable
    for fd in (cable.host, cable.slave):
        try:
            os.close(fd)
        except OSError:
            pass


@pytest.fixture
def agent_on_line(guestd, cable, tmp_path):
    """A daemon on the line and on a socket: the latter for a look from elsewhere."""
    sock = tmp_path / "g.sock"
    daemon = guestd(listen=[f"serial:{cable.path}", f"unix:{sock}"], wait=False)
    daemon.endpoint = f"unix:{sock}"
    daemon.wait_ready()
    return daemon


@pytest.fixture
def client(agent_on_line, cable):
    return line_client(os.dup(cable.host))


def test_hello_and_a_command(client):
    hello = client.hello()
    assert hello["max_frame"] == SERIAL_MAX_FRAME
    call = client.open("proc.exec", {"cmd": "echo out; echo err >&2; exit 3"})
    assert call.wait()["code"] == 3
    assert (call.stdout, call.stderr) == (b"out\n", b"err\n")
    assert client.largest_frame <= SERIAL_MAX_FRAME


def test_without_hello_too(client):
    assert client.call("proc.run", {"cmd": "echo word"})["stdout"] == b"word\n"


def test_it_never_speaks_first(agent_on_line, cable):
    time.sleep(0.3)
    os.set_blocking(cable.host, False)
    with pytest.raises(BlockingIOError):
        os.read(cable.host, 1)


@pytest.mark.parametrize("window", [0, 20000])
def test_much_output(client, window):
    client.hello(window=window)
    call = client.open("proc.exec", {"cmd": numbers(1_000_000)})
    assert call.wait(LONG)["code"] == 0
    assert call.stdout == NUMBERS[:1_000_000]
    assert client.largest_frame <= SERIAL_MAX_FRAME


def test_much_input(client):
    client.hello(window=100_000)
    call = client.open("proc.exec", {"cmd": "cat", "stdin": True})
    data = random.Random(1).randbytes(300_000)
    for at in range(0, len(data), 10_000):
        call.write(data[at:at + 10_000])
    call.end()
    assert call.wait(LONG)["code"] == 0
    assert call.stdout == data


def test_another_frame_size_may_be_agreed(client):
    assert client.hello(max_frame=200_000)["max_frame"] == 200_000
    call = client.open("proc.exec", {"cmd": numbers(500_000)})
    assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:500_000]
    assert client.largest_frame > SERIAL_MAX_FRAME


def test_a_hello_drops_the_calls_of_who_spoke_before(agent_on_line, cable):
    first = line_client(os.dup(cable.host))
    first.hello()
    flood = first.open("proc.exec", {"cmd": "while :; do echo flood; done", "id": "flood", "on_disconnect": "kill"})
    first.pump(lambda: len(flood.stdout) > 10_000)
    stuck = first.open("proc.wait", {"id": "flood"})
    second = line_client(os.dup(cable.host))
    second.hello()
    assert second.call("system.ping")["time_us"] > 0
    assert not second.calls and not stuck.done
    with agent_on_line.connect() as elsewhere:
        assert elsewhere.call("proc.wait", {"id": "flood"})["signal"], "it ended with its connection"


def test_the_process_lives_on_and_is_attached_again(client, cable):
    client.hello()
    call = client.open("proc.exec", {"cmd": "echo begin; read x; echo end", "id": "it", "stdin": True})
    client.pump(lambda: call.stdout == b"begin\n")
    again = line_client(os.dup(cable.host))
    again.hello()
    call = again.open("proc.attach", {"id": "it", "stdout_from": 0})
    again.call("proc.input", {"id": "it", "data": b"\n"})
    assert call.wait()["code"] == 0 and call.stdout == b"begin\nend\n"


@pytest.mark.parametrize("noise", [
    b"[    1.234] kernel: something happened\r\n", b"\0", b"\0\0\0\0", b"\x01\x01\x01\x01\x01\0", b"\xff" * 300, bytes(range(256)) * 3,
    b"\0" + b"x" * 3_000_000, encode(b"x" * 10)[:-4], encode(b"")])
def test_noise_before_a_message(agent_on_line, cable, noise):
    """Also a message that was cut, and what would be an empty one."""
    done = threading.Event()

    def make_noise():
        at = 0
        while at < len(noise):
            at += os.write(cable.host, noise[at:at + 4096])
        done.set()

    threading.Thread(target=make_noise, daemon=True).start()
    assert done.wait(LONG)
    client = line_client(os.dup(cable.host))
    assert client.hello()["protocol"] == 1
    assert client.call("proc.run", {"cmd": "echo word"})["stdout"] == b"word\n"


def test_kernel_messages_between_our_own(agent_on_line, cable):
    """They come in both directions: what the console prints shares the line."""
    rng = random.Random(2)

    def chatter(data):
        return b"".join(b"\0<6>[ 42.0] eth0: link is up\r\n\0" + bytes(p) + b"\0" if p and rng.random() < 0.3
                        else bytes(p) + b"\0" for p in data.split(b"\0"))

    client = line_client(os.dup(cable.host), out=chatter)
    client.hello()
    for i in range(50):
        assert client.call("proc.run", {"cmd": f"echo {i}"})["stdout"] == b"%d\n" % i


def test_one_percent_of_bytes_are_wrong(agent_on_line, cable, tmp_path):
    """No answer is ever wrong, and a request that is sent again succeeds."""
    rng = random.Random(3)

    def spoil(data):
        return bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.01 else b for b in data)

    client = line_client(os.dup(cable.host), out=spoil, back=spoil)
    answered = tried = 0
    while answered < 20:
        word = "%016x" % rng.getrandbits(64)
        link = tmp_path / str(answered)
        link.unlink(missing_ok=True)
        link.symlink_to(word)
        tried += 1
        with contextlib.suppress(TimeoutError):
            assert client.call("fs.readlink", {"path": str(link)}, timeout=0.2) == {"target": word}
            answered += 1
    assert tried > answered, "nothing was lost: the noise does nothing"


def test_a_message_beyond_max_frame(client):
    """The connection is told, and the next message begins another one."""
    client.hello()
    client.send_bytes(frame([0, 99, "proc.run", {"argv": ["echo", "x" * SERIAL_MAX_FRAME]}]))
    client.pump(lambda: client.goodbye)
    assert client.goodbye["code"] == "protocol_error"
    client.notifications.clear()
    assert client.hello()["protocol"] == 1


def test_what_is_no_message_in_a_valid_frame(client):
    client.hello()
    client.sock.send_raw(encode(b"\xc1\xc1"))
    client.pump(lambda: client.goodbye)
    assert client.hello()["protocol"] == 1


def test_a_token(guestd, cable, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    guestd("--token-file", token, listen=[f"serial:{cable.path}"], wait=False)
    client = line_client(os.dup(cable.host))
    assert error_of(client.call, "system.ping").code == "unauthorized"
    assert error_of(client.hello, token="wrong").code == "unauthorized"
    client.hello(token="secret")
    assert client.call("system.ping")["time_us"] > 0
    # Who comes next shows it again.
    other = line_client(os.dup(cable.host))
    assert error_of(other.hello).code == "unauthorized"
    assert error_of(other.call, "system.ping").code == "unauthorized"


def switches(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("voluntary")).split()[1])


def test_a_line_that_is_hung_up(agent_on_line, cable):
    """No spin, and everybody else is served."""
    client = line_client(os.dup(cable.host))
    client.hello()
    call = client.open("proc.exec", {"cmd": "sleep 60", "id": "long"})
    call.event("started")
    client.close()
    cable.unplug()
    with agent_on_line.connect() as other:
        assert other.call("system.ping")["time_us"] > 0
        before = switches(agent_on_line.pid)
        time.sleep(2)
        assert switches(agent_on_line.pid) - before < 50
        assert [p["id"] for p in other.call("proc.list")] == ["long"]
        other.call("proc.stop", {"id": "long", "signal": "KILL"})


def test_a_line_that_comes_later(guestd, tmp_path):
    path = tmp_path / "line"
    daemon = guestd(listen=[f"serial:{path}"], wait=False)
    eventually(lambda: "trying again" in daemon.log(), "it says so")
    cable = Cable()
    path.symlink_to(cable.path)
    client = line_client(os.dup(cable.host))
    # What is written before the line is set raw may be lost, as on any line.
    for _ in range(20):
        try:
            assert client.call("system.ping", timeout=1)["time_us"] > 0
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError("no answer")
    cable.unplug()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_no_line(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "directory":
        path.mkdir()
    else:
        path.write_text("")
    done = subprocess.run([BIN, "--listen", f"serial:{path}", "--run-dir", tmp_path], capture_output=True, timeout=TIMEOUT,
                          check=False)
    assert done.returncode == 1
    assert b"cannot open the serial port" in done.stderr


@pytest.fixture
def socket_to_line(agent_on_line, cable, tmp_path):
    """The Unix socket that a hypervisor makes of a port, with the cable behind it."""
    path = str(tmp_path / "port.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def carry(read, write):
        while True:
            try:
                data = read(4096)
            except OSError:
                return
            if not data:
                return
            try:
                write(data)
            except OSError:
                return

    def serve():
        peer, _ = server.accept()
        threading.Thread(target=carry, args=(lambda n: os.read(cable.host, n), peer.sendall), daemon=True).start()
        carry(peer.recv, lambda data: os.write(cable.host, data))

    threading.Thread(target=serve, daemon=True).start()
    yield path
    server.close()


def test_guestctl_over_a_hypervisors_socket(socket_to_line):
    done = Ctl(f"serial:{socket_to_line}")("exec", "-i", "--", "sh", "-c", "cat; exit 5", input=NUMBERS[:200_000])
    assert (done.returncode, done.stdout) == (5, NUMBERS[:200_000])


def test_guestctl_over_a_tty(agent_on_line, cable, tmp_path):
    """Two ttys with a cable between them: ours is another pseudo-terminal."""
    ours = Cable()

    def carry(source, target):
        try:
            while data := os.read(source, 4096):
                os.write(target, data)
        except OSError:
            pass

    for pair in ((ours.host, cable.host), (cable.host, ours.host)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
    data = tmp_path / "data"
    data.write_bytes(NUMBERS[:100_000])
    assert Ctl(f"serial:{ours.path}")("put", data, tmp_path / "copy").returncode == 0
    assert (tmp_path / "copy").read_bytes() == NUMBERS[:100_000]


def test_guestctl_when_nobody_answers(cable):
    done = Ctl(f"serial:{cable.path}")("ping")
    assert done.returncode == 69, done
