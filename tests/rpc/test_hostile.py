"""Peers that mean harm or are broken: afterwards everything is as it was before.

Each test has a daemon of its own, counts its descriptors, and has a bystander whose stream works on.
"""

import random
import resource
import struct
import time

import pytest

from client import MAX_FRAME, REQUEST, Disconnected, connect, frame
from support import eventually, rounds, sanitized

pytestmark = pytest.mark.local


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Enough of them on our side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def daemon(guestd):
    """A daemon that has to be as before when the test is over, however many came and went."""
    daemon = guestd()
    with daemon.connect() as c:         # whatever it allocates for the first client
        c.call("proc.run", {"argv": ["true"]})
        stream = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        stream.write(b"before ")
        stream.read(7)
        fds, rss, daemon.resting = daemon.fds(), daemon.rss(), daemon.children()
        yield daemon
        stream.write(b"after")
        assert stream.read(12) == b"before after"
        eventually(lambda: daemon.fds() <= fds, f"back to {fds} descriptors")
        eventually(lambda: not daemon.zombies(), "no zombies")
        grown = daemon.rss() - rss          # the output of exited processes is remembered: up to 16 MiB
        assert grown < (96 if sanitized() else 8 + 16) << 20, f"grew by {grown >> 20} MiB"
        stream.end()
        assert stream.wait()["code"] == 0


def assert_serves(daemon):
    with daemon.connect() as c:
        assert c.call("proc.run", {"argv": ["echo", "hi"]})["stdout"] == b"hi\n"


def test_hundreds_of_malformed_connections(daemon):
    rng = random.Random(4)
    openings = [
        lambda: struct.pack(">I", 0),
        lambda: b"\xff" * 8,
        lambda: b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n",
        lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        lambda: b"SSH-2.0-OpenSSH_9.2\r\n",
        lambda: b"CONNECT 1024\n",
        lambda: rng.randbytes(rng.randrange(1, 5000)),
        lambda: struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff",
        lambda: struct.pack(">I", 100) + b"\x94",
    ]
    for i in range(rounds(500)):
        with daemon.connect() as c:
            try:
                c.send_bytes(openings[i % len(openings)]())
                if i % 3 == 0:          # some wait for what the agent makes of it
                    c.recv(timeout=0.05)
            except (Disconnected, TimeoutError):
                pass
    assert_serves(daemon)


def test_connections_that_go_at_once(daemon):
    for _ in range(rounds(1000)):
        daemon.connect().close()
    assert_serves(daemon)


def test_connections_that_go_before_the_answer(daemon):
    for _ in range(rounds(200)):
        with daemon.connect() as c:
            c.send_bytes(frame([REQUEST, 1, "hello", {"protocol": 1}]) +
                         frame([REQUEST, 2, "proc.run", {"cmd": "echo out; echo err >&2"}]) +
                         frame([REQUEST, 3, "proc.exec", {"argv": ["true"], "stdin": True}]))
    assert_serves(daemon)


def test_connections_that_go_in_the_middle_of_output(daemon):
    for _ in range(rounds(50)):
        with daemon.connect() as c:
            call = c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
            call.read(1)
    assert_serves(daemon)
    eventually(lambda: set(daemon.children()) == set(daemon.resting), "only the bystander's process is left")


def test_a_flood_of_connections(daemon):
    """As many as are allowed and more: who is over the limit is turned away, nobody else notices."""
    with daemon.connect() as c:
        stated = c.hello()["limits"].get("max_connections")
        limit = stated or 600
        crowd, pings = [], []
        for _ in range(min(limit, 1500) + 20):
            try:
                crowd.append(connect(daemon.endpoint, 2))
                pings.append(crowd[-1].open("system.ping"))
            except (OSError, Disconnected):
                pass
        c.call("system.ping")
        assert c.call("proc.run", {"argv": ["echo", "hi"]})["stdout"] == b"hi\n"
        served = 0
        for ping in pings:
            try:
                ping.wait(timeout=2)
                served += 1
            except (Disconnected, TimeoutError):
                pass
        for one in crowd:
            one.close()
        assert served >= min(limit, 600) - 20, "the limit is used"
        assert stated is None or served < stated, "and kept: the bystander is one of them"
    eventually(lambda: _can_serve(daemon), "new clients are welcome again")


def _can_serve(daemon):
    try:
        assert_serves(daemon)
        return True
    except (OSError, Disconnected):
        return False


def test_half_frames_left_open(daemon):
    whole = frame([REQUEST, 1, "system.ping", {}])
    waiting = []
    for i in range(100):
        c = daemon.connect()
        c.send_bytes(whole[:1 + i % (len(whole) - 1)])
        waiting.append(c)
    assert_serves(daemon)
    for i, c in enumerate(waiting[:50]):            # they may still come to their end
        c.send_bytes(whole[1 + i % (len(whole) - 1):])
        assert c.recv()[2] is None
    for c in waiting:
        c.close()


def test_an_announced_frame_takes_no_memory_before_it_comes(daemon):
    before = daemon.rss()
    waiting = [daemon.connect() for _ in range(100)]
    for c in waiting:
        c.send_bytes(struct.pack(">I", MAX_FRAME) + b"\x94")
    assert_serves(daemon)
    grown = daemon.rss() - before
    for c in waiting:
        c.close()
    assert grown < (64 if sanitized() else 16) << 20, f"grew by {grown >> 20} MiB for 100 headers"


def test_slow_writers(daemon):
    """Twenty of them, a byte at a time, take nobody's turn."""
    whole = frame([REQUEST, 1, "proc.run", {"argv": ["echo", "slow"]}])
    slow = [daemon.connect() for _ in range(20)]
    with daemon.connect() as quick:
        for i in range(len(whole)):
            for c in slow:
                c.send_bytes(whole[i:i + 1])
            quick.call("system.ping")
            time.sleep(0.01)
    for c in slow:
        assert c.recv()[3]["stdout"] == b"slow\n"
        c.close()


def test_a_request_to_each_of_many_connections(daemon):
    """A process for each; none of them is read until all are running."""
    crowd = [daemon.connect() for _ in range(100)]
    calls = [c.open("proc.exec", {"cmd": f"echo {i}; cat", "stdin": True}) for i, c in enumerate(crowd)]
    for i, call in enumerate(calls):
        call.read(len(f"{i}\n"))
    for i, call in enumerate(calls):
        call.end()
        assert call.wait()["code"] == 0 and call.stdout == f"{i}\n".encode()
        call.client.close()


def test_a_storm_of_requests_without_reading(daemon):
    """Thousands of requests, no answer taken, and gone."""
    storm = b"".join(frame([REQUEST, i, "system.methods", None]) for i in range(1000))
    for _ in range(rounds(10)):
        with daemon.connect() as c:
            try:
                for _ in range(5):
                    c.sock.send(storm)
            except BlockingIOError:
                pass
            assert_serves(daemon)


def test_a_storm_of_processes_without_reading(daemon):
    """As many as a connection may have, all writing for ever, and gone."""
    for _ in range(rounds(5)):
        with daemon.connect() as c:
            for i in range(20):
                c.sock.send(frame([REQUEST, i, "proc.exec", {"argv": ["yes"], "on_disconnect": "kill"}]))
            assert_serves(daemon)
    eventually(lambda: set(daemon.children()) == set(daemon.resting), "only the bystander's process is left", 60)
