"""File methods seen from outside: what they cost, and that they leave nothing behind."""

import pytest

from client import DATA, LONG, STDIN, frame
from files import matches, read, sh, streamed, write
from support import NUMBERS, eventually, rounds, sanitized

pytestmark = pytest.mark.local

MIB = 1 << 20


def slack():
    return (96 if sanitized() else 12) * MIB


@pytest.fixture
def daemon(guestd, tmp_path):
    """One that has done a bit of everything."""
    d = guestd()
    with d.connect() as c:
        write(c, str(tmp_path / "warm"), NUMBERS[:2_000_000])
        for _ in range(50):
            calls = [c.open("fs.hash", {"path": str(tmp_path / "warm")}) for _ in range(20)]
            for call in calls:
                call.wait()
        read(c, str(tmp_path / "warm"))
        c.call("fs.delete", {"path": str(tmp_path / "warm")})
    return d


def sparse(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return str(path)


@pytest.mark.parametrize("window", [0, 1 << 30])
def test_a_client_that_does_not_read(daemon, tmp_path, window):
    """A quarter of a gigabyte waits in the file, not in the agent."""
    path = sparse(tmp_path / "f", 256 * MIB)
    daemon.reset_peak()
    before = daemon.peak()
    with daemon.connect() as c, daemon.connect() as other:
        if window:
            c.hello(window=window)
        c.request("fs.read", {"path": path})
        for _ in range(5):
            assert read(other, path, length=5 * MIB)[0] == bytes(5 * MIB)
        assert daemon.peak() - before < slack(), f"grew by {(daemon.peak() - before) >> 10} KiB"
    fds = daemon.fds()
    eventually(lambda: daemon.fds() <= fds, "the file is closed")


@pytest.mark.parametrize("hash", [True, False])
def test_many_clients_that_do_not_read(daemon, tmp_path, hash):
    """Two blocks each, and one message that is half sent; with `hash` they are ours, else the file's."""
    path = sparse(tmp_path / "f", 256 * MIB)
    fds = daemon.fds()
    daemon.reset_peak()
    before = daemon.peak()
    clients = [daemon.connect() for _ in range(50)]
    with daemon.connect() as other:
        for c in clients:
            c.request("fs.read", {"path": path, "hash": hash})
        for _ in range(5):
            assert read(other, path, length=5 * MIB, hash=hash)[0] == bytes(5 * MIB)
    grown = daemon.peak() - before
    open_fds = daemon.fds() - fds
    for c in clients:
        c.close()
    assert grown < (4 if hash else 1) * slack(), f"grew by {grown >> 10} KiB"
    # The other's may not be closed yet.
    assert open_fds <= 50 * (2 if hash else 6) + 6, "a connection, a file, and two pipes"
    eventually(lambda: daemon.fds() <= fds, "all is closed")


def test_a_client_that_does_not_read_events(daemon, tmp_path):
    for i in range(rounds(30_000)):
        (tmp_path / f"{i:06}").touch()
    (tmp_path / "lines").write_bytes(NUMBERS)
    for method, params in (("fs.tree", {"stream": True}), ("fs.find", {"limit": 1 << 40}),
                           ("fs.grep", {"pattern": ".", "limit": 1 << 40})):
        daemon.reset_peak()
        before = daemon.peak()
        with daemon.connect() as c, daemon.connect() as other:
            for _ in range(10):
                c.request(method, {"path": str(tmp_path), **params})
            for _ in range(50):
                other.call("fs.stat", {"path": str(tmp_path)})
            matches(other, "fs.grep", path=str(tmp_path / "lines"), pattern="^99999")
            grown = daemon.peak() - before
            assert grown < 2 * slack(), f"{method}: grew by {grown >> 10} KiB"


def test_an_upload_that_nobody_takes(daemon, tmp_path):
    """Into a fifo whose reader sleeps: what the agent holds is bounded, the rest stays with the client."""
    path = str(tmp_path / "fifo")
    daemon.reset_peak()
    before = daemon.peak()
    with daemon.connect() as c, daemon.connect() as other:
        info = other.call("proc.start", {"cmd": f"mkfifo {path}; exec 0<>{path}; echo ready; exec sleep 1000"})
        eventually(lambda: other.call("proc.logs", {"id": info["id"]})["text"], "the reader is there")
        call = c.open("fs.write", {"path": path})
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                c.send_bytes(frame([DATA, call.id, STDIN, b"x" * 65536]), timeout=1)
        other.call("fs.stat", {"path": path})
        assert daemon.peak() - before < slack(), f"grew by {(daemon.peak() - before) >> 10} KiB"
        other.call("proc.stop", {"id": info["id"], "signal": "KILL"})


def test_a_large_directory_costs_what_it_has_to(daemon, tmp_path):
    """To sort it, its names are held; not more of it than that."""
    count = rounds(100_000)
    directory = tmp_path / "d"
    directory.mkdir()
    for i in range(count):
        (directory / f"n{i:06}").touch()
    daemon.reset_peak()
    before = daemon.peak()
    with daemon.connect() as c:
        for method in ("fs.list", "fs.tree"):
            assert len(streamed(c, method, path=str(directory), timeout=LONG)) == count
        assert c.call("fs.delete", {"path": str(directory), "recursive": True}, 120) == {"deleted": count + 1}
    grown = daemon.peak() - before
    assert grown < 2 * slack(), f"grew by {grown >> 10} KiB"
    eventually(lambda: daemon.rss() - before < slack(), "and it is given back")


def test_descriptors_are_closed(daemon, tmp_path):
    """After ends of every kind."""
    root = tmp_path / "d"
    root.mkdir()
    (root / "f").write_bytes(NUMBERS)
    (root / "shut").mkdir()
    huge = sparse(tmp_path / "huge", 1 << 40)
    deep = str(tmp_path) + "/x" * 500
    with daemon.connect() as c:
        c.call("fs.mkdir", {"path": deep})

        def everything():
            for method, params in (("fs.tree", {}), ("fs.list", {}), ("fs.find", {}), ("fs.grep", {"pattern": "9"}), ("fs.hash", {}),
                                   ("fs.hash", {"path": huge}), ("fs.read", {"path": huge}), ("fs.read", {"path": "/"}),
                                   ("fs.get", {"path": "/none"}), ("fs.grep", {"pattern": "("}), ("fs.usage", {}),
                                   ("fs.write", {"path": str(tmp_path / "new")}), ("fs.put", {"path": str(root), "data": b"x"}),
                                   ("fs.tree", {"path": str(tmp_path), "stream": True})):
                call = c.open(method, {"path": str(root), **params})
                call.cancel()
                call.pump(lambda: call.done)
                call = c.open(method, {"path": str(root), **params})
                if params.get("path") == huge or method == "fs.write":
                    c.call("system.ping")
                    call.cancel()
                call.pump(lambda: call.done)
            with daemon.connect() as gone:
                gone.request("fs.read", {"path": huge})
                gone.request("fs.hash", {"path": huge})
                gone.open("fs.write", {"path": str(tmp_path / "new")}).write(b"x")

        fds = daemon.fds()
        for _ in range(rounds(20)):
            everything()
        eventually(lambda: daemon.fds() <= fds, f"back to {fds} descriptors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "huge", "x"]


def test_thousands_of_small_calls_cost_nothing(daemon, tmp_path):
    path = str(tmp_path / "it")
    with daemon.connect() as c:
        def work(count):
            for _ in range(count):
                calls = [c.open("fs.put", {"path": path, "data": b"x" * 1000}), c.open("fs.stat", {"path": path}),
                         c.open("fs.get", {"path": path}), c.open("fs.list", {"path": str(tmp_path)}),
                         c.open("fs.hash", {"path": path}), c.open("fs.read", {"path": path})]
                for call in calls:
                    call.pump(lambda call=call: call.done)

        work(rounds(300))
        rss = daemon.rss()
        work(rounds(1000))
        grown = daemon.rss() - rss
        assert grown < (32 if sanitized() else 2) * MIB, f"grew by {grown >> 10} KiB"


def test_processes_inherit_none_of_its_files(daemon, tmp_path):
    (tmp_path / "f").write_bytes(NUMBERS)
    with daemon.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.read", {"path": str(tmp_path / "f")})
        call.auto_credit = False
        call.read(1000)
        upload = c.open("fs.write", {"path": str(tmp_path / "new")})
        upload.write(b"x")
        seen = sh(c, "ls /proc/self/fd").split()
        assert len(seen) <= 4, seen
        call.cancel()
        upload.cancel()


def test_it_ends_in_the_middle_of_everything(guestd, tmp_path):
    """Calls that were canceled when the agent is told to stop are cleaned up by threads that it waits for."""
    (tmp_path / "f").write_bytes(NUMBERS)
    for i in range(rounds(20)):
        daemon = guestd()
        with daemon.connect() as c:
            calls = [c.open(method, {"path": str(tmp_path), "pattern": "9"} if method == "fs.grep" else {"path": str(tmp_path)})
                     for method in ("fs.find", "fs.grep", "fs.hash", "fs.tree") * 3]
            uploads = [c.open("fs.write", {"path": str(tmp_path / f"new{j}")}) for j in range(8)]
            for call in uploads:
                call.write(NUMBERS[:10_000 * i])
            for call in calls[i % 12:] + uploads[i % 8:]:
                call.cancel()
        daemon.stop()
        assert [p.name for p in tmp_path.iterdir()] == ["f"]
