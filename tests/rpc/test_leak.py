"""Thousands of calls leave nothing behind: no descriptor, no zombie, no memory."""

import pytest

from support import eventually, rounds, sanitized

pytestmark = [pytest.mark.local, pytest.mark.slow]

# The agent remembers that many exited processes; from then on it has to give back what it takes.
REMEMBERED = 1024


def measured(daemon, work, count, each=1):
    """Nothing grows during `count` calls of work(), after as many as fill what is kept on purpose.
    `each`: the number of processes that one call starts."""
    resting = set(daemon.children())
    for i in range(rounds((REMEMBERED + 200) // each)):
        work(i)
    eventually(lambda: set(daemon.children()) == resting, "no children")
    fds, rss = daemon.fds(), daemon.rss()
    for i in range(rounds(count)):
        work(i)
    eventually(lambda: set(daemon.children()) == resting, "no children, no zombies")
    eventually(lambda: daemon.fds() <= fds, f"back to {fds} descriptors")
    grown = daemon.rss() - rss
    assert grown < (32 if sanitized() else 2) << 20, f"{rounds(count)} rounds: grew by {grown >> 10} KiB"


def test_exec(guestd):
    """Twenty at a time."""
    daemon = guestd()
    with daemon.connect() as c:
        def work(_):
            for call in [c.open("proc.exec", {"argv": ["true"]}) for _ in range(20)]:
                assert call.wait()["code"] == 0

        measured(daemon, work, 100, each=20)


def test_run_with_input_and_output(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        def work(i):
            result = c.call("proc.run", {"argv": ["cat"], "input": b"x" * (i % 7) * 100, "env": {"N": str(i)},
                                         "label": f"label {i}"})
            assert len(result["stdout"]) == (i % 7) * 100

        measured(daemon, work, 1000)


def test_failed_spawns(guestd):
    daemon = guestd()
    bad = [{"argv": ["/no/such/program"]}, {"argv": ["true"], "cwd": "/no/such/dir"}, {"argv": []},
           {"argv": ["true"], "user": "no-such-user"}, {"argv": ["/"], "stdin": True}, {"argv": ["true"], "wrong": 1}]
    with daemon.connect() as c:
        def work(i):
            call = c.open(("proc.exec", "proc.run")[i % 2] if i % 6 != 4 else "proc.exec", bad[i % 6])
            call.pump(lambda: call.done)
            assert call.error is not None

        measured(daemon, work, 2000)


def test_connections(guestd):
    daemon = guestd()

    def work(i):
        with daemon.connect() as c:
            c.hello(window=i * 1000)
            call = c.open("proc.exec", {"argv": ["cat"], "stdin": True, "on_disconnect": "kill"})
            call.event("started")
            if i % 2:
                call.write(b"x" * 1000)
                call.end()
                call.wait()

    measured(daemon, work, 500)


def test_canceled_calls(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        def work(_):
            call = c.open("proc.exec", {"argv": ["sleep", "60"]})
            call.cancel()
            call.pump(lambda: call.done)
            assert call.error["code"] == "canceled"

        measured(daemon, work, 500)
