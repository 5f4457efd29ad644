"""The agent, a child of process 1, dies; the next one goes on with what it had started.

tests/rpc/test_found.py has the cases. Here is what needs a guest: process 1 tells how they ended, limits stay,
and the kernel's command line says what is to run.
"""

import contextlib

import pytest

from client import LONG, Disconnected
from support import assert_exit, eventually, has_written, info_of, rounds
from vm import VM

MARKER = "guestd: ready"
MIB = 1 << 20


@pytest.fixture(scope="module")
def box(guest):
    """A guest whose agent dies and whose kernel may complain."""
    with VM(append="guestd.start=\"/bin/sh -c 'echo $0 $1; exec sleep 1000' 'a  b' c\"") as vm:
        yield type(guest)(vm)


def kill_agent(guest):
    """Nobody connects before the console says that there is another one."""
    agent = guest.agent()
    before = guest.vm.console().count(MARKER)
    with contextlib.suppress(Disconnected):
        guest.call("proc.run", {"cmd": "kill -9 $PPID"})
    eventually(lambda: guest.vm.console().count(MARKER) > before, "another agent is ready", LONG)
    assert guest.agent() != agent


def test_the_guest_goes_on(box):
    daemon = "(setsid sh -c 'trap \"\" HUP; sleep 1001' >/dev/null 2>&1 &)"
    with box.connect() as c:
        c.call("proc.start", {"cmd": "trap '' PIPE; while :; do echo tick; sleep 0.2; done 2>/dev/null", "id": "ticks"})
        c.call("proc.start", {"cmd": f"{daemon}; sleep 1002; exit 3", "id": "tree", "label": "l"})
        c.call("proc.start", {"cmd": "until [ -e /tmp/eat ]; do sleep 0.1; done; exec tail /dev/zero", "id": "eats",
                              "limits": {"memory": 16 * MIB}})
        c.call("proc.start", {"cmd": "while kill -0 $PPID 2>/dev/null; do :; done; exit 9", "id": "brief"})
        c.call("proc.start", {"cmd": "until [ -e /tmp/end ]; do sleep 0.1; done; exit 8", "id": "late"})
        before = {p["id"]: p["pid"] for p in c.call("proc.list")}
        assert before.keys() == {"start", "ticks", "tree", "eats", "brief", "late"}
    kill_agent(box)
    with box.connect() as c:
        found = [p for p in c.call("proc.list") if p["id"] in before]     # besides who killed the agent
        assert {p["id"]: p["pid"] for p in found} == before and all(p["found"] for p in found)
        # Process 1 has waited for it, while there was no agent or when there was the next.
        assert_exit(c.call("proc.wait", {"id": "brief"}), code=9)
        has_written(c, "ticks", stdout=10)
        box.sh("touch /tmp/end /tmp/eat")
        assert_exit(c.call("proc.wait", {"id": "late"}), code=8)
        eaten = assert_exit(c.call("proc.wait", {"id": "eats"}), signal=9, signal_name="SIGKILL")
        assert eaten["oom_killed"] is True
        assert c.call("proc.signal", {"id": "tree", "signal": "CONT", "scope": "tree"})["signaled"] >= 3
        assert_exit(c.call("proc.stop", {"id": "tree"}), signal=15, signal_name="SIGTERM")
        assert_exit(c.call("proc.stop", {"id": "ticks"}), signal=15, signal_name="SIGTERM")
    assert box.sh("ps -o args | grep -c 'sleep 100[1]' || true").strip() == "0"
    trees = [name for name in box.sh("ls -d /sys/fs/cgroup/guestd.*").split() if not name.endswith(".agent")]
    assert len(trees) == 1, "the second agent has that of the first"


def kept_by_process_1(guest):
    """How many pipes it holds. No process is asked: its own would be among them."""
    entries = guest.call("fs.list", {"path": "/proc/1/fd", "limit": 5000})["entries"]
    return sum("pipe:" in str(entry.get("target")) for entry in entries)


def test_a_process_that_writes_lives(box):
    """Process 1 holds its pipes: they are never without a reader, and no line is missing."""
    eventually(lambda: kept_by_process_1(box) >= 2, "those of the start command are")
    before = kept_by_process_1(box)
    lines = "i=0; until [ -e /tmp/enough ]; do i=$((i+1)); echo $i; echo $i >&2; usleep 1000; done; exit 6"
    with box.connect() as c:
        c.call("proc.start", {"cmd": lines, "id": "lines"})
        c.call("proc.start", {"cmd": lines, "id": "merged", "merge": True})
        has_written(c, "lines", 20, 20)
        has_written(c, "merged", 20)
    for _ in range(2):
        kill_agent(box)
        with box.connect() as c:
            has_written(c, "lines", 100, 100)
            has_written(c, "merged", 100)
    with box.connect() as c:
        box.sh("touch /tmp/enough")
        for name, each in ("lines", 1), ("merged", 2):
            call = c.open("proc.attach", {"id": name, "stdout_from": 0, "stderr_from": 0})
            assert_exit(call.wait(), code=6)
            for text in [call.stdout, call.stderr][:3 - each]:
                found = [int(line) for line in bytes(text).split()]
                first = found[0]
                assert first > 1 and len(found) > 20
                start = each - found[:each].count(first)        # it may begin with the second of two
                assert found == [first + (start + i) // each for i in range(len(found))]
    eventually(lambda: kept_by_process_1(box) == before, "nothing is held for them")


def test_the_last_words_of_who_ended_meanwhile(box):
    late = "while kill -0 $PPID 2>/dev/null; do :; done; echo words; echo more >&2; exit 7"
    with box.connect() as c:
        c.call("proc.start", {"cmd": late, "id": "words"})
    kill_agent(box)
    with box.connect() as c:
        assert_exit(c.call("proc.wait", {"id": "words"}), code=7)
        logs = [c.call("proc.logs", {"id": "words", "stream": s})["text"] for s in ("stdout", "stderr")]
        assert logs == [b"words\n", b"more\n"]


def test_process_1_holds_no_more_than_it_has_to(box):
    def writes(pid):
        return box.sh(f"[ -e /proc/{pid} ] && echo yes || true").strip() == "yes"

    eventually(lambda: kept_by_process_1(box) >= 2, "those of the start command are")
    before = kept_by_process_1(box)
    with box.connect() as c:
        for i in range(rounds(1000)):
            c.call("proc.run", {"cmd": ":", **({"id": f"run-{i}"} if i % 2 else {})})
        names = [f"kept-{i}" for i in range(rounds(300))]
        for name in names:
            c.call("proc.start", {"argv": ["sleep", "1003"], "id": name})
        assert kept_by_process_1(box) == before + 2 * len(names)
    kill_agent(box)
    assert kept_by_process_1(box) == before + 2 * len(names)
    with box.connect() as c:
        for name in names:
            c.call("proc.signal", {"id": name, "signal": "KILL"})
        # Nobody reads what is left behind by one that a client has removed: that ends it, as ever.
        c.call("proc.start", {"cmd": "while echo x; do usleep 10000; done & echo $! >/tmp/left; exit 0", "id": "left"})
        c.call("proc.wait", {"id": "left"})
        pid = box.read("/tmp/left")
        assert writes(pid)
        c.call("proc.remove", {"id": "left"})
    eventually(lambda: not writes(pid), "it got SIGPIPE")
    eventually(lambda: kept_by_process_1(box) == before, "all are closed")


def test_start_is_started_once(box):
    with box.connect() as c:
        info = info_of(c, "start")
        assert info["argv"] == ["/bin/sh", "-c", "echo $0 $1; exec sleep 1000", "a  b", "c"]
        c.call("proc.stop", {"id": "start"})
    kill_agent(box)
    with box.connect() as c:
        assert info_of(c, "start") is None
    assert "the start command has been run since the boot" in box.sh("dmesg")
