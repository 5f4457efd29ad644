"""guestd as a service of a Debian with systemd: its package is installed as dpkg does it, and its unit works."""

import re
import subprocess
from pathlib import Path

import pytest

from client import LONG
from support import eventually, has_written, info_of
from vm import VM

ROOT = Path(__file__).resolve().parents[2]

# What VM waits for; PID 1 is not ours here.
READY = """[Service]
ExecStartPost=/bin/sh -c 'echo "guestd: ready" >/dev/console'
"""


def run(*command, **kwargs):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A disk with a Debian that has the package."""
    top = tmp_path_factory.mktemp("debian")
    root = top / "root"
    run(ROOT / "initramfs/debian")
    run("cp", "-a", ROOT / "build/vm/debian", root)
    guest, _host = run(ROOT / "service/deb").split()
    run("cp", ROOT / guest, root / "guestd.deb")
    run("chroot", root, "dpkg", "-i", "/guestd.deb")
    drop_in = root / "etc/systemd/system/guestd.service.d"
    drop_in.mkdir(parents=True)
    (drop_in / "ready.conf").write_text(READY)
    image = top / "disk.img"
    run("truncate", "-s", "600M", image)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, image)
    run("rm", "-r", root)
    return image


@pytest.fixture(scope="module")
def box(guest, disk, pack_once):
    """That Debian, booted."""
    image = pack_once("--init", ROOT / "initramfs/disk-init")
    drive = ["-drive", f"file={disk},format=raw,if=none,id=d0,snapshot=on", "-device", "virtio-blk-pci,drive=d0"]
    with VM(image=image, memory=512, append="systemd.show_status=1", qemu_args=drive) as vm:
        yield type(guest)(vm)


def show(box, what):
    return box.sh(f"systemctl show -P {what} guestd").strip()


def again(box, restarts):
    """Wait until the agent was started again, and listens: systemd says so on the console."""
    eventually(lambda: box.vm.console().count("guestd: ready") > restarts, "it is ready again", LONG)


def test_it_is_a_service_that_says_when_it_is_ready(box):
    assert show(box, "ActiveState") == "active"
    assert show(box, "StatusText") == "listening on vsock:1024"
    assert show(box, "UnitFileState") == "enabled", "the package did that"
    assert box.sh("cat /proc/$PPID/oom_score_adj").strip() == "-1000"
    assert box.sh("cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn").split() == ["0", "1024", "524288"]
    assert box.sh("sysctl -n fs.inotify.max_user_instances").strip() == "8192"
    assert "\nfail " not in "\n" + box.call("proc.run", {"argv": ["guestd", "--check"]})["stdout"].decode()


def test_a_crash_and_a_restart_leave_alone_what_it_started(box):
    info = box.call("proc.start", {"argv": ["sleep", "1000"], "limits": {"memory": 64 << 20}})
    where = box.sh(f"sed -n s/^0:://p /proc/{info['pid']}/cgroup").strip()
    assert where.startswith("/system.slice/guestd.service/guestd.")
    lines = "i=0; until [ -e /run/enough ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo end"
    with box.connect() as c:
        c.call("proc.start", {"cmd": lines, "id": "lines"})
        has_written(c, "lines", 20)
    stored = int(show(box, "NFileDescriptorStore"))
    assert stored >= 4
    assert box.read(f"/sys/fs/cgroup{where}/memory.max") == str(64 << 20)
    for count, how in enumerate(["kill -9 $(systemctl show -P MainPID guestd)", "systemctl restart guestd"], 1):
        before = show(box, "MainPID")
        # Behind the answer: with the agent goes the connection.
        box.call("proc.start", {"cmd": f"sleep 0.5; {how}"})
        again(box, count)
        assert show(box, "MainPID") != before
        assert box.sh(f"cat /proc/{info['pid']}/comm").strip() == "sleep"
        with box.connect() as c:
            assert info_of(c, "lines")["status"] == "running"
            has_written(c, "lines", 20)
        # And it has cgroups with controllers, as the first one had.
        limited = box.call("proc.run", {"cmd": "cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max",
                                        "limits": {"memory": 32 << 20}})
        assert limited["stdout"] == b"%d\n" % (32 << 20), limited
    # systemd holds what they write: nobody gets SIGPIPE, and no line is missing.
    with box.connect() as c:
        box.sh("touch /run/enough")
        call = c.open("proc.attach", {"id": "lines", "stdout_from": 0})
        call.wait()
        *lines, end = call.stdout.decode().split()
        numbers = [int(line) for line in lines]
        assert end == "end" and numbers[0] > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    eventually(lambda: int(show(box, "NFileDescriptorStore")) <= stored - 2, "it holds them no longer", LONG)
    box.sh(f"kill {info['pid']}")


def test_it_ends_in_order_with_the_machine(box):
    box.call("proc.start", {"cmd": "exec systemctl poweroff"})
    assert box.vm.wait(LONG) == 0
    console = box.vm.console()
    assert re.search(r"Stopped .*guestd\.service", console) and "Power down" in console
    assert "FAILED" not in console, "that is what systemd puts before what failed"
