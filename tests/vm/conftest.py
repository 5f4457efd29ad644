"""Fixtures of the tests that need guestd as PID 1: the guest image booted in QEMU.

Nothing is skipped: a machine without QEMU, kernel or image fails these tests, and the message says
which command brings what is missing. GUESTD_VM_ACCEL=tcg|kvm overrides how the guest runs.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "initramfs"), str(ROOT / "tests" / "rpc")]

from client import connect  # noqa: E402 (found in the directories added above)
from vm import VM  # noqa: E402


class Guest:
    """A booted VM and short ways to look around in it."""

    def __init__(self, vm):
        self.vm = vm

    def connect(self):
        return connect(self.vm.endpoint)

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


@pytest.fixture(scope="session")
def guest():
    """The guest that all tests share which do not harm it."""
    with VM() as vm:
        yield Guest(vm)


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


@pytest.fixture
def pack(tmp_path):
    """pack(*options): the path of an image made by initramfs/pack."""
    def make(*options):
        image = tmp_path / "image.cpio.gz"
        subprocess.run([str(ROOT / "initramfs" / "pack"), "-o", str(image), *options], check=True)
        return str(image)

    return make
