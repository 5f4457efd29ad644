"""Fixtures of the tests that need guestd as PID 1: the guest image booted in QEMU.

Nothing is skipped: a machine without QEMU, kernel or image fails these tests, and the message says
which command brings what is missing. GUESTD_VM_ACCEL=tcg|kvm overrides how the guest runs.

rpc/ is the black-box suite of the daemon, which talks to the guest here: over virtio-vsock, with the
programs of busybox, and without the tests marked `local`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "initramfs"), str(ROOT / "tests" / "rpc")]

# Read by the modules below and by rpc/. The guest is emulated as a rule; where its agent can be
# reached is known when it is up.
os.environ.setdefault("GUESTD_TEST_SCALE", "0.2")
os.environ.setdefault("GUESTD_TEST_TIMEOUT", "100")
os.environ["GUESTD_ENDPOINT"] = ""

from client import TIMEOUT, connect  # noqa: E402 (found in the directories added above)
from vm import VM  # noqa: E402


# What no test may bring about.
KERNEL_TROUBLE = re.compile(r".*(?:Kernel panic|Oops|BUG:|WARNING:|Call Trace|Out of memory|segfault).*")


class Guest:
    """A booted VM and short ways to look around in it."""

    def __init__(self, vm):
        self.vm = vm

    def connect(self, timeout=TIMEOUT):
        return connect(self.vm.endpoint, timeout)

    def call(self, method, params=None):
        """The result of one call on a connection of its own."""
        with self.connect() as client:
            return client.call(method, params or {})

    def sh(self, script):
        """What a shell script in the guest, run as root, writes; it has to succeed."""
        done = self.call("proc.run", {"cmd": script})
        assert done["code"] == 0, (script, done)
        return done["stdout"].decode()

    def read(self, path):
        return self.sh(f"cat {path}").strip()

    def agent(self):
        """The process number of the agent: it is the parent of what it starts."""
        return int(self.sh("echo $PPID"))

    def descriptors(self):
        """How many the agent has open, those for the question among them."""
        return int(self.sh("ls /proc/$PPID/fd | wc -l"))

    def memory(self):
        """Resident memory of the agent in bytes."""
        return int(re.search(r"VmRSS:\s+(\d+) kB", self.sh("cat /proc/$PPID/status")).group(1)) * 1024


@pytest.fixture(scope="session", autouse=True)
def guest():
    """The guest that all tests share which do not harm it, those below rpc/ among them."""
    with VM() as vm:
        os.environ["GUESTD_ENDPOINT"] = vm.endpoint
        guest = Guest(vm)
        yield guest
        trouble = KERNEL_TROUBLE.findall(guest.sh("dmesg"))
        assert not trouble, "\n".join(["the kernel of the guest says:", *trouble])


@pytest.fixture
def boot():
    """boot(*VM's arguments): a guest for one test."""
    started = []

    def start(*args, **kwargs):
        vm = VM(*args, **kwargs)
        started.append(vm)
        return Guest(vm.start())

    yield start
    for vm in started:
        vm.stop()


def run_pack(image, options):
    subprocess.run([str(ROOT / "initramfs" / "pack"), "-o", str(image), *options], check=True)
    return str(image)


@pytest.fixture
def pack(tmp_path):
    """pack(*options): the path of an image made by initramfs/pack."""
    return lambda *options: run_pack(tmp_path / "image.cpio.gz", options)


@pytest.fixture(scope="module")
def pack_once(tmp_path_factory):
    """The same for several tests of a module."""
    return lambda *options: run_pack(tmp_path_factory.mktemp("image") / "image.cpio.gz", options)
