"""Process 1 is small and lives; the agent, its child, may die."""

import contextlib
import re
import subprocess

import pytest

from client import LONG, TIMEOUT, Disconnected
from support import eventually
from test_serial_line import plugged
from vm import VM, Monitor

MARKER = "guestd: ready"
DIED = re.compile(r"\[ *([\d.]+)\] guestd: error init: the agent was killed signal=(\d+) .* again_ms=(\d+)")


@pytest.fixture(scope="module")
def box(guest):
    """A guest whose agent dies, for this module alone."""
    with VM() as vm:
        yield type(guest)(vm)


@contextlib.contextmanager
def another_agent(guest):
    """Waits until the console says that there is one. Nobody connects before."""
    before = guest.vm.console().count(MARKER)
    yield
    eventually(lambda: guest.vm.console().count(MARKER) > before, "another agent is ready", LONG)


def kill(guest, name, whom="$PPID"):
    """The agent is the parent of the shell. Its connection goes with it, perhaps before the answer."""
    with another_agent(guest), contextlib.suppress(Disconnected):
        guest.call("proc.run", {"cmd": f"kill -{name} {whom}"})


def states(guest):
    """[(pid, state, parent, name)]; without those that ended while we looked."""
    text = guest.sh("cat /proc/[0-9]*/stat 2>/dev/null || true")
    found = re.findall(r"(?m)^(\d+) \((.*)\) (\S) (\d+) ", text)
    return [(int(pid), state, int(parent), name) for pid, name, state, parent in found]


def zombies(guest):
    return [entry for entry in states(guest) if entry[1] == "Z"]


def test_the_agent_is_a_child_of_process_1(box):
    agent = box.agent()
    assert agent != 1 and (agent, 1) in [(pid, parent) for pid, _, parent, _ in states(box)]
    assert box.call("system.info")["init"] is True
    assert box.read("/proc/1/oom_score_adj") == "-1000"
    assert box.read("/proc/self/oom_score_adj") == "0"
    assert len(box.sh("ls /proc/1/fd").split()) < 10
    assert children(box, 1) == [str(agent)]


def test_a_killed_agent_is_there_again(box):
    """On each of its endpoints. The client of the serial line sees nothing of it."""
    before = box.call("system.info")
    agent = box.agent()
    box.call("proc.start", {"argv": ["sleep", "1000"], "id": "survivor"})
    with plugged(box.vm.serial) as client:
        client.hello()
        kill(box, "KILL")
    with plugged(box.vm.serial) as client:
        assert client.hello()["protocol"] == 1
    after = box.call("system.info")
    assert box.agent() != agent
    assert after["boot_id"] == before["boot_id"] and after["instance"] != before["instance"]
    assert [name for _, _, parent, name in states(box) if parent == 1].count("sleep") == 1, "it lives on, with process 1"
    log = box.sh("dmesg")
    time, number, _ = DIED.search(log).groups()
    ready = float(re.findall(r"\[ *([\d.]+)\] guestd: info main: ready", log)[-1])
    assert number == "9" and 0 < ready - float(time) < 2
    assert "the agent was killed signal=9 (Killed)" in box.vm.console(), "without being asked"
    with box.connect() as client:
        call = client.open("system.log", {"tail": 100})
        call.wait()
        assert any("the agent was killed" in line["text"] for line in call.events), "handed on to the next one"
    box.sh("killall sleep")


def herd(guest, name, number):
    """Processes without their parents, that end when somebody writes to the fifo."""
    guest.sh(f"mkfifo {name}; i=0; while [ $((i += 1)) -le {number} ]; do "
             f"(read x < {name} &) >/dev/null 2>&1 </dev/null; done")


def children(guest, pid):
    """Of any of its threads: those that are started are one's of their own."""
    return guest.sh(f"cat /proc/{pid}/task/*/children").split()


def test_a_burst_of_orphans(box):
    herd(box, "/tmp/burst", 500)
    agent = box.agent()
    eventually(lambda: len(children(box, agent)) > 500, "they are the agent's")
    box.sh(": 3<>/tmp/burst")
    eventually(lambda: len(children(box, agent)) == 1, "all are gone but who looks", LONG)
    assert not zombies(box)


def test_orphans_of_a_dead_agent(box):
    """They end while there is no agent, and while there is the next one."""
    herd(box, "/tmp/first", 60)
    herd(box, "/tmp/second", 60)
    agent = box.agent()
    eventually(lambda: len(children(box, agent)) > 120, "they are the agent's")
    kill(box, "KILL", "$PPID; : 3<>/tmp/first")
    eventually(lambda: len(children(box, 1)) == 61, "process 1 has the agent and the others", LONG)
    box.sh(": 3<>/tmp/second")
    eventually(lambda: children(box, 1) == [str(box.agent())], "all are gone", LONG)
    assert not zombies(box)


def test_process_1_of_a_container(box):
    """All is mounted already, and the machine is not its to end. Its cgroup is divided all the same."""
    box.sh("echo listen=unix:/mnt/inner.sock > /etc/guestd.conf; mkdir /sys/fs/cgroup/container")
    box.call("proc.start", {"id": "container", "argv": [
        "unshare", "-m", "-p", "-f", "sh", "-c", "echo 0 > /sys/fs/cgroup/container/cgroup.procs; exec /init"]})
    eventually(lambda: box.sh("ls /mnt") == "inner.sock\n", "it listens")
    log = box.sh("dmesg")
    assert re.search(r"path=/sys/fs/cgroup/container/guestd.2 controllers=memory,pids,cpu", log)
    assert "mount path=" not in log
    outer = next(pid for pid, _, _, name in states(box) if name == "unshare")
    (first,) = children(box, outer)
    targets = [line.split()[1] for line in box.read(f"/proc/{first}/mounts").splitlines()]
    assert len(targets) == len(set(targets)), "nothing is mounted twice"
    assert box.read(f"/proc/{first}/cgroup") == "0::/container/guestd.init"
    agent = children(box, first)
    box.sh(f"kill -9 {agent[0]}")
    eventually(lambda: children(box, first) not in ([], agent), "another one")
    eventually(lambda: "guestd.3" in box.sh("ls /sys/fs/cgroup/container"), "which has started")
    box.sh(f"kill -TERM {first}")
    ended = box.call("proc.wait", {"id": "container"})
    assert ended["signal"] == 2, "what reboot(2) makes of a power-off in a container"
    box.sh("rm /etc/guestd.conf")


def test_one_death_after_another(box):
    """Each time it takes a little longer, and the console says why."""
    for name in ("SEGV", "ABRT", "TERM", "KILL", "KILL"):
        kill(box, name)
    log = box.sh("dmesg")
    deaths = re.findall(r"guestd: error init: the agent (.*) pid=\d+ up_ms=\d+ again_ms=(\d+)", log)[-5:]
    assert [why for why, _ in deaths] == [
        "was killed signal=11 (Segmentation fault)", "was killed signal=6 (Aborted)", "has ended status=0",
        "was killed signal=9 (Killed)", "was killed signal=9 (Killed)"]
    waits = [int(ms) for _, ms in deaths]
    assert waits == sorted(waits) and waits[4] > waits[0] and waits[4] >= 400, waits
    assert not zombies(box)
    for why, _ in deaths:
        assert f"the agent {why} " in box.vm.console()


def test_one_that_is_stopped(box):
    agent = box.agent()
    box.sh("kill -STOP $PPID")
    assert box.agent() == agent
    assert "the agent was stopped, and goes on" in box.sh("dmesg")


def test_an_agent_that_dies_while_the_machine_ends(box):
    """The last one here: it was asked to end the machine, and process 1 knows."""
    with box.connect() as client, box.connect() as idle:
        idle.hello()  # which the agent waits for, up to two seconds
        client.call("proc.start", {"cmd": "while ! dmesg | grep -q 'ending why=the guest is shut down'; do :; done; kill -9 $PPID"})
        client.call("system.shutdown", {"mode": "poweroff"})
        assert box.vm.wait(TIMEOUT) == 0


def test_ctrl_alt_del(boot, tmp_path):
    """The agent says goodbye, processes may tidy up, and the disk is clean."""
    disk = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "16M", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    guest = boot(qemu_args=["-drive", f"file={disk},if=virtio,format=raw"])
    guest.call("system.mount", {"source": "/dev/vda", "target": "/mnt", "fstype": "ext4"})
    with guest.connect() as client:
        client.call("proc.start", {"cmd": "trap 'echo tidy > /mnt/file; exit' TERM; echo ready; while :; do sleep 0.1; done", "id": "tidy"})
        eventually(lambda: client.call("proc.logs", {"id": "tidy"})["text"], "it listens")
        with Monitor(guest.vm.qmp) as monitor:
            keys = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]
            monitor.call("send-key", keys=keys)
        with pytest.raises(Disconnected):
            client.pump(lambda: False, LONG)
        assert client.goodbye["code"] == "canceled"
    assert guest.vm.wait(TIMEOUT) == 0
    assert subprocess.run(["debugfs", "-R", "cat file", disk], capture_output=True, check=True).stdout == b"tidy\n"
    header = subprocess.run(["dumpe2fs", "-h", disk], capture_output=True, check=True).stdout.decode()
    assert "needs_recovery" not in header and "clean" in header


def test_without_a_console(boot):
    """No UART, no screen: /dev/console cannot be opened, and nobody hears of the start."""
    guest = boot(append="8250.nr_uarts=0", marker=b"")
    with plugged(guest.vm.serial) as client:
        def hello():
            with contextlib.suppress(TimeoutError):
                return client.call("hello", {"protocol": 1}, 1)
            return None

        eventually(hello, "it answers", LONG)
        done = client.call("proc.run", {"cmd": "for i in 0 1 2; do readlink /proc/1/fd/$i; done; cat /proc/consoles"})
        assert done["stdout"].decode().split() == 3 * ["/dev/null"]
    assert guest.vm.console() == ""
