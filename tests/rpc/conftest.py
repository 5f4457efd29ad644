"""Fixtures of the rpc tests.

Without further ado they start build/guestd (or $GUESTD_BIN) on Unix sockets in fresh directories.
With GUESTD_ENDPOINT set they talk to the agent that listens there, in a virtual machine for
instance, and leave out the tests marked `local`. What a test runs inside the guest is plain sh
with the programs that busybox has.

    GUESTD_TEST_SCALE=0.1     fewer rounds, for slow builds
    GUESTD_TEST_TIMEOUT=60    seconds until a wait counts as failed
"""

import contextlib
import os

import pytest

from client import RpcError, connect
from support import REMOTE, Daemon, Remote, eventually, sanitized


def pytest_collection_modifyitems(config, items):
    if not REMOTE:
        return
    local = [i for i in items if i.get_closest_marker("local")]
    config.hook.pytest_deselected(items=local)
    items[:] = [i for i in items if not i.get_closest_marker("local")]


@pytest.fixture(scope="module", autouse=True)
def nothing_runs_on():
    """What a module has started ends with it. Hybrid vsock does not tell the agent that a client has gone as long as it holds
    data for it; after its stall limit the process that it read from runs at full speed, and the next tests crawl."""
    yield
    if REMOTE:
        with connect(os.environ["GUESTD_ENDPOINT"]) as c:
            for process in c.call("proc.list"):
                if process["status"] == "running":
                    with contextlib.suppress(RpcError):     # it has just ended
                        c.call("proc.stop", {"id": process["id"], "signal": "KILL"})


@pytest.fixture
def guestd():
    """A factory of daemons for one test: guestd(*args, **Daemon's keywords)."""
    started = []

    def start(*args, **kwargs):
        daemon = Daemon(*args, **kwargs)
        started.append(daemon)
        return daemon

    yield start
    failures = []
    for daemon in reversed(started):
        try:
            daemon.close()
        except AssertionError as e:
            failures.append(str(e))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def shared():
    """One daemon for the tests of a module, in a list; another one when it has died."""
    running = [] if REMOTE else [Daemon()]
    yield running
    for daemon in running:
        daemon.close()


@pytest.fixture
def agent(shared):
    """The agent that the tests of one module share. Who sees it die is to blame; the next test
    gets another one."""
    if REMOTE:
        yield Remote(os.environ["GUESTD_ENDPOINT"])
        return
    daemon = shared[0]
    yield daemon
    if daemon.proc.poll() is not None:
        shared[0] = Daemon()
        daemon.close()
        raise AssertionError(f"guestd ended by itself:\n{daemon.log()}")


@pytest.fixture
def client(agent):
    """A fresh connection to the shared agent."""
    with agent.connect() as c:
        yield c


@pytest.fixture(params=["transport", "credit"])
def conn(agent, request):
    """A fresh connection, once in each mode of flow control; the window is small on purpose."""
    with agent.connect() as c:
        if request.param == "credit":
            c.hello(window=10000)
        yield c


@pytest.fixture
def start(agent, client):
    """start(**spawn): the ProcessInfo of a process started by proc.start. Its tree ends with the test."""
    started = []

    def do(**spawn):
        info = client.call("proc.start", spawn)
        started.append(info["id"])
        return info

    yield do
    with agent.connect() as c:
        for process_id in started:
            with contextlib.suppress(RpcError):     # forgotten
                c.call("proc.stop", {"id": process_id, "signal": "KILL"})


@pytest.fixture
def guest_dir(agent):
    """A fresh directory inside the guest, readable by everybody."""
    with agent.connect() as c:
        made = c.call("proc.run", {"cmd": "for b in /tmp /run /dev/shm ''; do d=$b/rpc-test.$$; mkdir $d"
                                          " 2>/dev/null && chmod 755 $d && echo $d && exit; done; exit 1"})
        assert made["code"] == 0, made
        path = made["stdout"].decode().strip()
    yield path
    with agent.connect() as c:
        c.call("proc.run", {"argv": ["rm", "-rf", path]})


@pytest.fixture
def is_root(agent):
    """Whether the agent may change users."""
    with agent.connect() as c:
        return c.call("proc.run", {"argv": ["id", "-u"]})["stdout"].strip() == b"0"


@pytest.fixture
def alive(agent):
    """alive(pid): whether that process of the guest exists and is no zombie."""
    def check(pid):
        with agent.connect() as c:
            stat = c.call("proc.run", {"argv": ["cat", f"/proc/{pid}/stat"]})["stdout"]
        return bool(stat) and stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return check


@pytest.fixture
def kill(agent):
    """kill(pid): end what a test left behind on purpose."""
    def do(*pids):
        with agent.connect() as c:
            c.call("proc.run", {"cmd": "kill -9 " + " ".join(map(str, pids))})
    return do


@pytest.fixture
def frugal(agent):
    """The test must not make the daemon grow by more than a few megabytes. (Seen from outside,
    so only where the daemon is ours.)"""
    if agent.pid is None:
        yield
        return
    before = agent.rss()
    yield
    slack = (64 if sanitized() else 6) << 20
    eventually(lambda: agent.rss() - before < slack,
               f"resident memory within {slack >> 20} MiB of {before >> 10} KiB", 5)
