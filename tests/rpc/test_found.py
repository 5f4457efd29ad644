"""An agent that was killed or restarted finds what its predecessor had started, by its cgroups.

Orphans come to this process here, which is a subreaper meanwhile and waits for none of them unless a test
does so: a zombie is how "nobody has told us how it ended" looks before somebody could have.
"""

import contextlib
import ctypes
import os
import re
import shlex
import signal
import time
from pathlib import Path

import msgpack
import pytest

from client import RpcError
from support import BIN, Daemon, assert_exit, error_of, eventually, has_written, info_of, rounds

pytestmark = pytest.mark.local

NOTE = "trusted.guestd"
PR_SET_CHILD_SUBREAPER = 36


def cgroup2_mounts():
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            yield Path(fields[4])


@pytest.fixture
def cgroup():
    """A cgroup of our own: what lives in it at the end is killed."""
    for mount in cgroup2_mounts():
        path = mount / f"guestd-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            path.mkdir(exist_ok=True)
            os.setxattr(path, NOTE, b"x")
            break
    else:
        pytest.skip("no cgroup2 here that can be written to")
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield path
    (path / "cgroup.freeze").write_text("0")
    (path / "cgroup.kill").write_text("1")
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def remove():
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        for below, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(below)
        return not path.exists()
    eventually(remove, "the cgroup is empty")


@pytest.fixture
def generation(cgroup, tmp_path_factory):
    """generation(*args): the next agent in that cgroup with the same run-dir; the one before it is killed first."""
    directory = tmp_path_factory.mktemp("found")
    agents = []

    def start(*args, kill=True, **kwargs):
        if agents and kill:
            agents[-1].kill()
        agents.append(Daemon("--cgroup", cgroup, *args, directory=directory, **kwargs))
        return agents[-1]

    yield start
    for agent in agents:
        if not agent.stopped:
            agent.stop()


def start(client, **spawn):
    return client.call("proc.start", spawn)


def places(cgroup):
    """Directories may go while one looks for others in them."""
    while True:
        try:
            return list(cgroup.glob("guestd.*/**/cgroup.procs"))
        except FileNotFoundError:
            pass


def members(cgroup):
    """{directory: pids} of the agents' cgroups that have any."""
    found = {}
    for procs in places(cgroup):
        try:
            pids = procs.read_text().split()
        except OSError:
            continue        # it has just been removed
        if pids and not procs.parent.name.endswith(".agent"):
            found[procs.parent] = [int(p) for p in pids]
    return found


def place_of(cgroup, pid):
    return next(d for d, pids in members(cgroup).items() if pid in pids)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def found_line(agent):
    return re.search(r"found=(\d+) left-alone=(\d+)", agent.log())


# -- who is found --------------------------------------------------------------------------------

def test_it_is_the_same_process(generation):
    before = generation()
    with before.connect() as c:
        hello = c.hello()
        first = start(c, argv=["sleep", "600"], id="one", label="both", cwd="/", target="sandbox")
        second = start(c, cmd="exec sleep 600 # \xe9", label="both", user="nobody")
    after = generation()
    with after.connect() as c:
        again = c.hello()
        assert again["instance"] != hello["instance"] and again["boot_id"] == hello["boot_id"]
        listed = c.call("proc.list")
        assert listed == [{**first, "found": True}, {**second, "found": True}]
        every = {p["pid"]: p.get("id") for p in c.call("proc.list", {"all": True})}
        assert (every[first["pid"]], every[second["pid"]]) == ("one", second["id"])
        assert error_of(c.call, "proc.start", {"argv": ["true"], "id": "one"}).code == "exists"
        assert error_of(c.call, "proc.run", {"argv": ["true"], "id": "one"}).code == "exists"
        assert c.call("proc.signal", {"label": "both", "signal": "USR1"}) == {"signaled": 1}    # the newest
        assert_exit(c.call("proc.wait", {"id": second["id"]}), signal=10, signal_name="SIGUSR1")
        assert c.call("proc.signal", {"pid": first["pid"], "signal": 15, "scope": "leader"}) == {"signaled": 1}
        done = assert_exit(c.call("proc.wait", {"pid": first["pid"]}), signal=15, signal_name="SIGTERM")
        assert done["started_us"] == first["started_us"] and done["duration_ms"] >= 1
        assert "unknown" not in done
        assert c.call("proc.remove", {"id": "one"}) == {}
        assert start(c, argv=["true"], id="one")["pid"] != first["pid"]
        seen = c.open("system.events", {"from_seq": 1})
        assert seen.event("process_found")["id"] == "one"
        assert error_of(c.call, "system.events", {"from_seq": 500}).code == "gap"


def test_from_agent_to_agent(generation, cgroup):
    """Killed, ended in order, killed: the tree of cgroups stays where it is."""
    pids = {}
    for turn in range(3):
        agent = generation(kill=turn != 2)
        with agent.connect() as c:
            assert {p["id"]: p["pid"] for p in c.call("proc.list") if p["status"] == "running"} == pids
            name = f"born-{turn}"
            pids[name] = start(c, argv=["sleep", "600"], id=name)["pid"]
        if turn == 1:
            agent.stop()
    assert {d.parent.name for d in members(cgroup)} == {place_of(cgroup, pids["born-0"]).parent.name}
    with agent.connect() as c:
        for name in pids:
            assert_exit(c.call("proc.stop", {"id": name}), signal=15, signal_name="SIGTERM")
    assert not members(cgroup)


def test_what_is_over_is_forgotten(generation, cgroup):
    """Also where its cgroup is used again, and where a client has removed what others still live in."""
    with generation().connect() as c:
        for i in range(20):
            c.call("proc.run", {"argv": ["true"], "id": f"over-{i}"})
        info = start(c, cmd="sleep 600 >/dev/null 2>&1 & exit 3", id="removed")
        c.call("proc.wait", {"id": info["id"]})
        c.call("proc.remove", {"id": info["id"]})
        kept = start(c, argv=["sleep", "600"])
    agent = generation()
    with agent.connect() as c:
        assert [p["id"] for p in c.call("proc.list")] == [kept["id"]]
        c.call("proc.run", {"argv": ["true"], "id": "over-3"})
        c.call("proc.run", {"argv": ["true"], "id": "removed"})
    assert found_line(agent).groups() == ("1", "1")
    assert len(members(cgroup)) == 2


def test_another_run_dir_is_another_agent(generation, cgroup, guestd):
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"])
    other = guestd("--cgroup", cgroup, "--leftovers", "kill")
    with other.connect() as c:
        assert c.call("proc.list") == []
        mine = start(c, argv=["sleep", "600"])
    with generation().connect() as c:
        assert [p["id"] for p in c.call("proc.list")] == [info["id"]]
    assert is_alive(info["pid"]) and is_alive(mine["pid"])


def test_two_hundred(generation):
    n = rounds(200)
    with generation().connect() as c:
        calls = [c.open("proc.start", {"cmd": f"echo {i}; exec sleep 600", "id": f"n{i}", "stdin": True})
                 for i in range(n)]
        pids = {f"n{i}": call.wait()["pid"] for i, call in enumerate(calls)}
        eventually(lambda: all(p["stdout_offset"] for p in c.call("proc.list")), "all have written")
    # As a service has it: a soft limit that is less than what they need.
    agent = generation(wrap=lambda command: ["sh", "-c", f"ulimit -Sn 256; exec {shlex.join(command)}"])
    with agent.connect() as c:
        assert {p["id"]: p["pid"] for p in c.call("proc.list")} == pids
        c.call("proc.input", {"id": "n0", "data": b"x"})
        for name in pids:
            c.call("proc.signal", {"id": name, "signal": "KILL"})
        for name in pids:
            assert_exit(c.call("proc.wait", {"id": name}), signal=9, signal_name="SIGKILL")
    eventually(lambda: agent.fds() < 128, "their descriptors are closed")


# -- output and input ----------------------------------------------------------------------------

def test_output_goes_on(generation):
    loop = "trap '' PIPE; i=0; while :; do i=$((i+1)); echo $i; echo e$i >&2; sleep 0.05; done 2>/dev/null"
    with generation().connect() as c:
        start(c, cmd=loop.replace(" 2>/dev/null", ""), id="loop")
        before = has_written(c, "loop", 3, 3)
    with generation().connect() as c:
        eventually(lambda: info_of(c, "loop")["stderr_offset"] > 0, "it is read from again")
        call = c.open("proc.attach", {"id": "loop"})
        attached = call.event("attached")
        assert (attached["stdout_offset"], attached["stderr_offset"], attached["info"]["found"]) == (0, 0, True)
        c.pump(lambda: len(call.events) == 3)
        assert call.events[1:] == [{"type": "gap", "channel": n, "lost": 0, "offset": 0, "unknown": True} for n in (1, 2)]
        c.pump(lambda: call.stdout.count(b"\n") > 5 and call.stderr.count(b"\n") > 5)
        lines = [int(line) for line in bytes(call.stdout).split(b"\n")[:-1]]
        assert lines == list(range(lines[0], lines[0] + len(lines))) and lines[0] > 1
        assert bytes(call.stderr).startswith(b"e")
        assert b"\n" in c.call("proc.logs", {"id": "loop", "tail": 2})["text"]
        ahead = info_of(c, "loop")["stdout_offset"] + before["stdout_offset"] + 100000
        refused = error_of(c.call, "proc.attach", {"id": "loop", "stdout_from": ahead})
        assert refused.code == "gap" and "another agent" in refused.message
        done = c.call("proc.stop", {"id": "loop"})
        c.pump(lambda: call.done)
        assert len(call.stdout) == call.result["stdout_bytes"] >= done["stdout_bytes"] > 0
        assert call.result["eof"] is True


def test_output_that_nobody_had_read(generation):
    """It lies in the pipe, which lives as long as somebody writes to it."""
    agent = generation()
    go = agent.dir / "go"
    with agent.connect() as c:
        info = start(c, cmd=f"while [ ! -e {go} ]; do sleep 0.05; done; echo late; exec sleep 600")
    agent.proc.send_signal(signal.SIGSTOP)
    go.touch()
    eventually(lambda: Path(f"/proc/{info['pid']}/comm").read_text() == "sleep\n", "it is behind its echo")
    with generation().connect() as c:
        has_written(c, info["id"], stdout=5)
        assert c.call("proc.logs", {"id": info["id"]})["text"] == b"late\n"


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_output_that_somebody_else_holds(generation):
    """The leader has redirected its own; what it started has it still."""
    with generation().connect() as c:
        info = start(c, cmd="(while :; do sleep 0.1; echo below; done) & exec >/dev/null 2>&1; exec sleep 600",
                     merge=True)
        has_written(c, info["id"], stdout=6)
    with generation().connect() as c:
        has_written(c, info["id"], stdout=6)
        call = c.open("proc.attach", {"id": info["id"]})
        assert call.event("gap")["channel"] == 1
        c.pump(lambda: b"below\n" in call.stdout)
        assert [e["type"] for e in call.events] == ["attached", "gap"]      # merged: there is no channel 2


def test_a_foreign_pipe_is_left_alone(generation):
    """Its standard output is a pipe, but none of the agent's: whoever reads that would miss the bytes."""
    with generation().connect() as c:
        info = start(c, cmd="{ while :; do sleep 0.1; echo x; done; } | cat >/dev/null")
        pipes = [os.readlink(f"/proc/{p}/fd/1") for p in eventually(lambda: children(info["pid"]), "it runs")]
    agent = generation()
    assert any(p.startswith("pipe:") for p in pipes)
    held = [os.readlink(f"/proc/{agent.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{agent.pid}/fd") if fd != "0"]
    own = os.readlink(f"/proc/{info['pid']}/fd/1")
    assert own in held and not set(p for p in pipes if p != own and p.startswith("pipe:")) & set(held)


def test_input_goes_on(generation):
    with generation().connect() as c:
        info = start(c, cmd="sleep 1; exec cat", stdin=True)
    with generation().connect() as c:
        assert c.call("proc.input", {"id": info["id"], "data": b"after\n", "close": True}) == {"written": 6}
        assert_exit(c.call("proc.wait", {"id": info["id"]}), code=0)
        assert c.call("proc.logs", {"id": info["id"]})["text"] == b"after\n"


def test_input_that_had_ended_stays_so(generation):
    with generation().connect() as c:
        info = start(c, cmd="sleep 1; cat; exit 4", stdin=True)
        c.call("proc.input", {"id": info["id"], "close": True})
    with generation().connect() as c:
        assert error_of(c.call, "proc.input", {"id": info["id"], "data": b"x"}).code == "EPIPE"
        assert_exit(c.call("proc.wait", {"id": info["id"]}), code=4)


def test_a_terminal_has_gone(generation):
    with generation().connect() as c:
        gone = start(c, argv=["sleep", "600"], pty={}, id="gone")
        kept = start(c, cmd="trap '' HUP; sleep 600; exit 5", pty={}, id="kept")
        eventually(lambda: children(kept["pid"]), "it ignores SIGHUP")
    with generation().connect() as c:
        assert_exit(c.call("proc.wait", {"id": "gone"}), signal=1, signal_name="SIGHUP")
        assert info_of(c, "kept")["pty"] is True and not is_alive(gone["pid"])
        assert error_of(c.call, "pty.resize", {"id": "kept", "rows": 9, "cols": 9}).code
        assert error_of(c.call, "proc.input", {"id": "kept", "data": b"x"}).code == "EPIPE"
        call = c.open("proc.attach", {"id": "kept"})
        call.event("attached")
        c.call("proc.stop", {"id": "kept", "grace_ms": 100})
        assert call.wait()["stdout_bytes"] == 0


# -- how it ends ---------------------------------------------------------------------------------

def test_stop_ends_all_of_it(generation, cgroup):
    with generation().connect() as c:
        info = start(c, cmd="trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 601 & sleep 602' & sleep 603; sleep 604")
        eventually(lambda: len(members(cgroup).get(place_of(cgroup, info["pid"]), [])) == 5, "all run")
        pids = members(cgroup)[place_of(cgroup, info["pid"])]
    with generation().connect() as c:
        assert c.call("proc.signal", {"id": info["id"], "signal": "CONT", "scope": "tree"}) == {"signaled": 5}
        assert c.call("proc.signal", {"id": info["id"], "signal": "CONT", "scope": "group"})["signaled"] < 5
        assert_exit(c.call("proc.stop", {"id": info["id"], "grace_ms": 300}), signal=9, signal_name="SIGKILL")
        assert not any(is_alive(p) for p in pids)


def test_left_behind_by_a_leader_that_was_seen_to_end(generation):
    with generation().connect() as c:
        info = start(c, cmd="sleep 600 & exit 7", id="seen")
        told = assert_exit(c.call("proc.wait", {"id": "seen"}), code=7)
        assert told["eof"] is False
    with generation().connect() as c:
        again = assert_exit(c.call("proc.wait", {"id": "seen"}), code=7)
        same = ("started_us", "exited_us", "duration_us", "eof")
        assert [again[k] for k in same] == [told[k] for k in same] and "unknown" not in again
        assert c.call("proc.signal", {"id": "seen", "signal": 0 or "CONT", "scope": "tree"}) == {"signaled": 1}
        assert c.call("proc.stop", {"id": "seen"})["code"] == 7
    assert not is_alive(info["pid"])


@pytest.mark.parametrize("waited", [False, True], ids=["zombie", "reaped"])
@pytest.mark.parametrize("behind", ["", "sleep 600 & "], ids=["alone", "leaves"])
def test_a_leader_that_ends_while_no_agent_is_there(generation, cgroup, waited, behind):
    """A zombie tells how it ended; one that somebody has waited for does not."""
    agent = generation()
    with agent.connect() as c:
        info = start(c, cmd=f"{behind}trap 'exit 7' USR1; while :; do sleep 0.1; done", id="ends")
        eventually(lambda: children(info["pid"]), "the trap is set")
    agent.kill()
    os.kill(info["pid"], signal.SIGUSR1)
    eventually(lambda: not is_alive(info["pid"]), "it ended")
    if waited:
        assert os.waitpid(info["pid"], 0)[1] == 7 << 8
    with generation().connect() as c:
        done = c.call("proc.wait", {"id": "ends"})
        if waited:
            assert_exit(done)
            assert done["unknown"] is True and done["signal"] is None
        else:
            assert_exit(done, code=7)
            assert "unknown" not in done
        assert done["eof"] is not bool(behind)
        assert error_of(c.call, "proc.start", {"argv": ["true"], "id": "ends"}).code == "exists"
        assert info_of(c, "ends")["status"] == "exited"
        c.call("proc.stop", {"id": "ends"})
        eventually(lambda: not members(cgroup), "nothing is left")
        c.call("proc.remove", {"id": "ends"})


def test_a_timeout_goes_on(generation):
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"], timeout_ms=1500, grace_ms=100)
    with generation().connect() as c:
        done = c.call("proc.wait", {"id": info["id"]})
        assert_exit(done, signal=15, signal_name="SIGTERM")
        assert done["timed_out"] is True and done["duration_ms"] >= 1500


def test_who_lives_for_a_connection_ends(generation):
    """All connections have ended with the agent."""
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"], on_disconnect="kill", id="dies")
        with generation().connect() as after:
            assert_exit(after.call("proc.wait", {"id": "dies"}), signal=15, signal_name="SIGTERM")
    assert not is_alive(info["pid"])


def test_frozen_when_its_agent_died(generation):
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"])
        assert c.call("system.freeze", {})["processes"] == 1
    with generation().connect() as c:
        assert_exit(c.call("proc.stop", {"id": info["id"], "grace_ms": 60000}), signal=15, signal_name="SIGTERM")


def test_events_and_freezing(generation):
    emit = f"{shlex.quote(BIN)} emit step data"
    with generation().connect() as c:
        info = start(c, cmd=f"while :; do sleep 0.1; {emit} || true; done", id="emits")
    with generation().connect() as c:
        call = c.open("proc.attach", {"id": "emits"})
        told = call.event("user")
        assert (told["name"], told["data"]) == ("step", b"data")
        assert c.call("system.freeze", {})["processes"] >= 1
        frozen = place_of(next(iter(cgroup2_mounts())) / f"guestd-test-{os.getpid()}", info["pid"])
        assert "frozen 1" in (frozen / "cgroup.events").read_text()
        c.call("system.thaw")
        c.call("proc.stop", {"id": "emits"})


# -- the policy ----------------------------------------------------------------------------------

def test_leftovers_can_be_killed(generation, cgroup):
    with generation().connect() as c:
        infos = [start(c, cmd="trap '' TERM; setsid sleep 600 & sleep 600; sleep 600", id=f"k{i}") for i in range(5)]
        eventually(lambda: sum(map(len, members(cgroup).values())) == 15, "all run")
        pids = [p for there in members(cgroup).values() for p in there]
    agent = generation("--leftovers", "kill")
    assert not any(is_alive(p) for p in pids)
    with agent.connect() as c:
        assert c.call("proc.list") == []
        assert c.call("proc.run", {"argv": ["echo", "on"], "id": infos[0]["id"]})["stdout"] == b"on\n"
    assert "killed what another agent had started" in agent.log() and "processes=15" in agent.log()
    eventually(lambda: [p.name for p in cgroup.glob("guestd.*") if not p.name.endswith(".agent")]
               == [f"guestd.{agent.pid}"], "the old directory is gone")


def test_a_policy_that_is_none(guestd):
    agent = guestd("--leftovers", "perhaps", wait=False)
    assert agent.exit_status() == 2 and "leftovers is keep or kill" in agent.log()
    agent.stopped = True


# -- notes that are not what they should be ------------------------------------------------------

def edit(place, **change):
    version, record = msgpack.unpackb(os.getxattr(place, NOTE))
    record.update(change)
    os.setxattr(place, NOTE, msgpack.packb([version, {k: v for k, v in record.items() if v is not None}]))


BROKEN = [b"", b"\0", b"\xff" * 200, b"\x92\x01", b"\x92\x01\xdf\xff\xff\xff\xff", b"\x92\x01\xc0", b"\x92\x07\x80", b"\x91" * 500,
          msgpack.packb([1, {"id": "x"}]), os.urandom(8192), b"\x92\x01" + b"\x81\xa1a" * 30 + b"\xc0", b"x" * 60000]


def test_broken_notes(generation, cgroup):
    agent = generation()
    with agent.connect() as c:
        broken = [start(c, argv=["sleep", "600"], id=f"b{i}") for i in range(len(BROKEN))]
        wrong = [start(c, argv=["sleep", "600"], id=f"w{i}") for i in range(6)]
        right = start(c, argv=["sleep", "600"], id="right")
    agent.kill()
    for info, note in zip(broken, BROKEN):
        os.setxattr(place_of(cgroup, info["pid"]), NOTE, note)
    changes = [{"id": ""}, {"argv": []}, {"pid": 0}, {"pid": 1 << 40}, {"cloned_after_us": None}, {"more": 1}]
    for info, change in zip(wrong, changes):
        edit(place_of(cgroup, info["pid"]), **change)
    agent = generation()
    with agent.connect() as c:
        assert [p["id"] for p in c.call("proc.list")] == ["right"]
        assert all(is_alive(p["pid"]) for p in [*broken, *wrong, right])
        # They are nobody's, and in nobody's way.
        assert c.call("proc.run", {"argv": ["true"], "id": "b0"})["code"] == 0
    assert found_line(agent).groups() == ("1", str(len(BROKEN) + len(changes)))


def test_the_wrong_process_is_never_taken(generation, cgroup):
    """One that was started at another time, or is in another cgroup, has only the same number."""
    agent = generation()
    with agent.connect() as c:
        late, moved, one, two = (start(c, argv=["sleep", "600"], id=name) for name in ("late", "moved", "one", "two"))
    agent.kill()
    record = msgpack.unpackb(os.getxattr(place_of(cgroup, late["pid"]), NOTE))[1]
    edit(place_of(cgroup, late["pid"]), cloned_after_us=record["cloned_after_us"] + 3000000,
         cloned_before_us=record["cloned_before_us"] + 3000000)
    edit(place_of(cgroup, moved["pid"]), pid=os.getpid(), cloned_after_us=0, cloned_before_us=1 << 50)
    edit(place_of(cgroup, two["pid"]), id="one")
    with generation().connect() as c:
        for info in (late, moved):
            done = c.call("proc.wait", {"id": info["id"]})
            assert (done["code"], done["unknown"]) == (None, True)
            assert error_of(c.call, "proc.signal", {"id": info["id"], "signal": "KILL", "scope": "leader"}).code \
                == "not_found"
            assert is_alive(info["pid"])
        assert [(p["id"], p["pid"]) for p in c.call("proc.list") if p["status"] == "running"] == [("one", one["pid"])]
        c.call("proc.stop", {"id": "late"})         # what lives in its cgroup is its own, whoever that is
        c.call("proc.stop", {"id": "moved"})
        assert not is_alive(late["pid"]) and not is_alive(moved["pid"]) and is_alive(two["pid"])


def test_only_the_agent_writes_notes(generation, cgroup):
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"], user="nobody")
        place = place_of(cgroup, info["pid"])
        script = f"import os; os.setxattr({str(place)!r}, {NOTE!r}, b'x')"
        done = c.call("proc.run", {"argv": ["/usr/bin/python3", "-c", script], "user": "nobody"})
        assert done["code"] == 1 and b"Operation not permitted" in done["stderr"]


def test_long_arguments_and_labels(generation):
    with generation().connect() as c:
        whole = start(c, argv=["sh", "-c", "sleep 600", "x" * 100000], label="l" * 1024, id="i" * 128, cwd="/")
        start(c, argv=["sleep", "600"], label="l" * 100000, id="lost")
        start(c, argv=[b"sh", b"-c", b"sleep 600", b"\xff\xfe", ""], id="bytes")
    with generation().connect() as c:
        info = info_of(c, "i" * 128)
        assert info["argv_truncated"] is True and info["argv"][:3] == whole["argv"][:3]
        assert info["label"] == "l" * 1024
        assert "label" not in info_of(c, "lost")
        assert info_of(c, "bytes")["argv"] == ["sh", "-c", "sleep 600", b"\xff\xfe", ""]


def test_an_agent_without_cgroups_finds_nothing(generation):
    with generation().connect() as c:
        info = start(c, argv=["sleep", "600"])
    with generation("--cgroup", "off").connect() as c:
        assert c.call("proc.list") == []
        assert error_of(c.call, "proc.wait", {"pid": info["pid"]}).code == "not_found"
    with generation().connect() as c:
        assert [p["id"] for p in c.call("proc.list")] == [info["id"]]


# -- start ---------------------------------------------------------------------------------------

def test_the_start_command_runs_once_a_boot(generation):
    option = "--start", "/bin/sh -c 'echo \"$0\" \"$1\"; exec sleep 600' \"a  b\" c''d"
    with generation(*option).connect() as c:
        info = eventually(lambda: info_of(c, "start"), "it runs")
        assert info["argv"][3:] == ["a  b", "cd"] and "found" not in info
        has_written(c, "start", stdout=8)
        assert c.call("proc.logs", {"id": "start"})["text"] == b"a  b cd\n"
        assert info["target"] == "sandbox" and info["status"] == "running"
    agent = generation(*option)
    with agent.connect() as c:
        assert info_of(c, "start")["pid"] == info["pid"]
        c.call("proc.stop", {"id": "start"})
        c.call("proc.remove", {"id": "start"})
    with generation(*option).connect() as c:
        assert c.call("proc.list") == []
        time.sleep(0.3)
        assert c.call("proc.list") == []
    agent = generation(*option, kill=True)
    (agent.run_dir / "started").write_text("00000000-0000-0000-0000-000000000000")     # another boot's
    with generation(*option).connect() as c:
        assert eventually(lambda: info_of(c, "start"), "it runs")["pid"] != info["pid"]


def test_a_start_command_that_does_not_run(guestd):
    agent = guestd("--start", "/nowhere/at-all --flag")
    eventually(lambda: "the start command does not run" in agent.log(), "it says so")
    assert re.search(r"error boot: .*stage=exec: cannot run /nowhere/at-all: No such file", agent.log())
    with agent.connect() as c:
        assert c.call("proc.list") == [] and c.call("proc.run", {"argv": ["true"], "id": "start"})["code"] == 0


@pytest.mark.parametrize("command, sentence", [("", "names no program"), ("''", "names no program"),
                                               ("a 'b", "a quote is not closed"), ("\"a", "a quote is not closed")])
def test_a_start_command_that_is_none(guestd, command, sentence):
    agent = guestd("--start", command, wait=False)
    assert agent.exit_status() == 2 and sentence in agent.log()
    agent.stopped = True


def test_a_start_command_from_the_file(guestd, tmp_path):
    (tmp_path / "conf").write_text("start = /bin/sh -c 'sleep 600; exit 1'\n")
    agent = guestd("--config", tmp_path / "conf", "--default-user", "nobody")
    with agent.connect() as c:
        info = eventually(lambda: info_of(c, "start"), "it runs")
        assert (info["argv"], info["user"]) == (["/bin/sh", "-c", "sleep 600; exit 1"], "nobody")
        with contextlib.suppress(RpcError):
            c.call("proc.stop", {"id": "start"})
