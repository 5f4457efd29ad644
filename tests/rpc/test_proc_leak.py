"""What proc.*, pty.* and events take, they give back: descriptors, memory, processes."""

import pytest

from support import error_of
from test_emit import EMIT
from test_leak import measured

pytestmark = [pytest.mark.local, pytest.mark.slow]


@pytest.fixture
def daemon(guestd):
    return guestd()


def test_a_life_of_a_process(daemon):
    """Started, seen, fed, attached to, signaled, stopped, forgotten."""
    with daemon.connect() as c:
        def work(i):
            info = c.call("proc.start", {"argv": ["cat"], "stdin": True, "label": f"label {i}"})
            call = c.open("proc.attach", {"id": info["id"]})
            waiting = c.open("proc.wait", {"id": info["id"], "timeout_ms": 60_000})
            c.call("proc.input", {"id": info["id"], "data": b"x" * 5000})
            call.read(5000)
            c.call("proc.signal", {"id": info["id"], "signal": "CONT"})
            c.call("proc.logs", {"label": f"label {i}"})
            c.call("proc.stop", {"id": info["id"]})
            assert call.wait() == waiting.wait()
            if i % 2:
                c.call("proc.remove", {"id": info["id"]})

        measured(daemon, work, 500)


def test_terminals(daemon):
    with daemon.connect() as c:
        def work(i):
            call = c.open("pty.open", {"cmd": "read x; echo $x; exec sleep 60"})
            started = call.event("started")
            c.call("pty.resize", {"id": started["id"], "rows": 1 + i % 100, "cols": 1 + i % 100})
            call.write(b"hello\r")
            call.read(14)
            call.cancel()
            assert error_of(call.wait).code == "canceled"

        measured(daemon, work, 500)


def test_events(daemon):
    with daemon.connect() as c:
        def work(_):
            events = c.open("system.events", {"from_seq": 1})
            call = c.open("proc.exec", {"cmd": f"{EMIT} name data"})
            call.wait()
            assert call.events[-1]["type"] == "user"
            events.cancel()
            events.pump(lambda: events.done)

        measured(daemon, work, 500)


def test_calls_that_are_given_up(daemon):
    """Waits, attaches and inputs whose connection goes."""
    with daemon.connect() as keeper:
        info = keeper.call("proc.start", {"argv": ["sleep", "1000"], "stdin": True})

        def work(_):
            with daemon.connect() as c:
                c.open("proc.wait", {"id": info["id"], "timeout_ms": 60_000})
                c.open("proc.attach", {"id": info["id"]})
                c.open("proc.input", {"id": info["id"], "data": b"x" * 100_000})
                c.open("system.events", {})
                c.open("proc.signal", {"id": info["id"], "signal": "CONT"})
                c.call("system.ping")

        measured(daemon, work, 500)
        assert keeper.call("proc.stop", {"id": info["id"]})["signal"] == 15
