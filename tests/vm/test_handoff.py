"""The image's own init becomes process 1, and the agent stays beside it."""

import re

import pytest

from client import LONG, TIMEOUT, Disconnected
from support import error_of, eventually
from test_supervisor import MARKER, kill, states, zombies
from vm import BUILD, VM

BUSYBOX = f"{BUILD}/vm/busybox/bin/busybox"
INITTAB = """\
::sysinit:/bin/touch /run/by-busybox
::respawn:/bin/sleep 100000
"""


@pytest.fixture(scope="module")
def box(guest, pack_once, tmp_path_factory):
    inittab = tmp_path_factory.mktemp("handoff") / "inittab"
    inittab.write_text(INITTAB)
    image = pack_once("--add", f"{BUSYBOX}:/sbin/init", "--add", f"{inittab}:/etc/inittab")
    with VM(image=image, append="guestd.handoff=/sbin/init stray STRAY_VARIABLE=1") as vm:
        yield type(guest)(vm)


def test_process_1_is_the_images_init(box):
    eventually(lambda: "by-busybox" in box.sh("ls /run"), "it has done its work")
    assert box.sh("readlink /proc/1/exe").strip() == "/sbin/init"
    assert box.sh("tr '\\0' '\\n' < /proc/1/environ").split() == [
        "HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert re.search(r"SigBlk:\s0+\n", box.sh("grep SigBlk /proc/1/status"))
    assert box.read("/proc/1/oom_score_adj") == "0"
    assert set(box.sh("for f in /proc/1/fd/*; do readlink $f; done").split()) == {"/dev/console"}
    assert box.read("/proc/1/cgroup") == "0::/"


def test_the_agent_beside_it(box):
    info = box.call("system.info")
    assert info["init"] is False and info["cgroup2"] is True
    assert error_of(box.call, "system.shutdown", {"mode": "poweroff"}).code == "unsupported"
    found = {pid: (parent, name) for pid, _, parent, name in states(box)}
    agent = box.agent()
    supervisor = found[agent][0]
    assert found[supervisor] == (1, "guestd")
    assert box.read(f"/proc/{supervisor}/oom_score_adj") == "-1000"
    for pid in (agent, supervisor):
        assert box.sh(f"cat /proc/{pid}/cmdline").startswith("@"), "systemd kills no such process"
        assert box.read(f"/proc/{pid}/cgroup") == "0::/guestd/agent"
    assert box.read("/proc/self/cgroup").startswith("0::/guestd/guestd.")
    done = box.call("proc.run", {"cmd": "cat /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)/memory.max", "limits": {"memory": 50 << 20}})
    assert int(done["stdout"]) == 50 << 20


def test_an_agent_that_dies(box):
    agent = box.agent()
    supervisor = next(parent for pid, _, parent, _ in states(box) if pid == agent)
    box.sh("(sleep 500 &) >/dev/null 2>&1 </dev/null")
    kill(box, "KILL")
    assert box.agent() != agent
    pids = {parent: pid for pid, _, parent, name in states(box) if name == "sleep"}
    assert set(pids) == {1, supervisor}, "that of the init, and what the dead one left"
    box.sh(f"kill {pids[supervisor]}")
    eventually(lambda: pids[supervisor] not in [pid for pid, *_ in states(box)], "it is gone")
    eventually(lambda: not zombies(box), "it is waited for")


def test_the_inits_own_end(box):
    """The agent says goodbye, as to anybody who stops it."""
    assert box.vm.console().count(MARKER) == 2
    with box.connect() as client:
        client.hello()
        client.call("proc.start", {"argv": ["/bin/busybox", "poweroff"]})
        with pytest.raises(Disconnected):
            client.pump(lambda: False, LONG)
        assert client.goodbye["code"] == "canceled"
    assert box.vm.wait(TIMEOUT) == 0
    assert box.vm.console().count(MARKER) == 2, "nobody started it again"
