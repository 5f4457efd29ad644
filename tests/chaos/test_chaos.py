"""Two hundred processes that write as fast as they can, and a crowd of unreliable clients.

    GUESTD_CHAOS_SECONDS=60     how long (10)
    GUESTD_CHAOS_SEED=12345     what they do, as far as it is up to them; printed by each run
    GUESTD_BIN, GUESTD_TEST_SCALE, GUESTD_TEST_TIMEOUT as for tests/rpc
"""

import os
import random
import subprocess
from pathlib import Path

import pytest

from client import TIMEOUT
from crowd import Crowd
from support import BIN, ROOT, Daemon, eventually, rounds, sanitized

pytestmark = [pytest.mark.local, pytest.mark.slow]

SECONDS = float(os.environ.get("GUESTD_CHAOS_SECONDS", "10"))
SEED = int(os.environ.get("GUESTD_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
FLOOD = ROOT / "build" / "bench" / "flood"

PROCESSES = rounds(200)
MEMBERS = rounds(80)

MIB = 1 << 20
# Rings 128, exited processes 16, and for each connection what is in flight.
BUSY_MIB = 128 + 16 + 32 + MEMBERS // 2
# What an allocator keeps of all that.
IDLE_MIB = 8


@pytest.fixture(scope="module")
def flood():
    if not FLOOD.exists():
        subprocess.run(["make", "-s", "-C", str(ROOT), str(FLOOD.relative_to(ROOT))], check=True)
    return str(FLOOD)


def cgroups_of(pid):
    """Directories that the agent made, in any hierarchy that is mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()
              if line.split()[2] == "cgroup2"]
    found = []
    for mount in mounts:
        for path, names, _ in os.walk(mount):
            found += [os.path.join(path, n) for n in names
                      if n == f"guestd.{pid}" or n == f"guestd.{pid}.agent" or f"/guestd.{pid}" in path]
    return found


def populated(cgroup):
    return Path(cgroup, "cgroup.procs").read_text().split() != []


def running(program):
    """Pids of all processes that run it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/exe") == program:
                found.append(int(entry))
        except OSError:
            pass
    return found


def test_chaos(flood, capsys, tmp_path):
    # A name of our own, so that what is left over is known to be ours.
    program = tmp_path / "flood"
    program.write_bytes(Path(flood).read_bytes())
    program.chmod(0o755)

    def say(text):
        with capsys.disabled():
            print(f"chaos: {text}")

    say(f"GUESTD_CHAOS_SEED={SEED}, {PROCESSES} processes, {MEMBERS} clients, {SECONDS:g} s of {os.path.basename(BIN)}")
    daemon = Daemon()
    try:
        chaos(daemon, str(program), say)
    finally:
        daemon.close()
    assert cgroups_of(daemon.pid) == [], "cgroups outlive the agent"
    assert running(str(program)) == []


def chaos(daemon, program, say):
    with daemon.connect() as c:     # so that what is made once is there
        assert c.call("proc.run", {"argv": ["true"]})["code"] == 0
    fds = daemon.fds()
    rss = daemon.rss()
    resting = set(daemon.children())
    peak = 0

    def watch():
        nonlocal peak
        now = daemon.rss()
        peak = max(peak, now - rss)
        assert sanitized() or now - rss < BUSY_MIB * MIB, f"grew by {(now - rss) >> 20} MiB"

    crowd = Crowd(str(daemon.sock), random.Random(SEED), program, PROCESSES, MEMBERS)
    crowd.rage(SECONDS, watch)
    crowd.settle(TIMEOUT * 3)
    crowd.stop_all(TIMEOUT * 3)
    assert running(program) == [], "stopped, and alive"
    crowd.look_back(TIMEOUT * 3)
    crowd.forget_all(TIMEOUT)
    crowd.leave()
    say(f"{crowd.bytes >> 20} MiB verified, peak {peak >> 20} MiB, slowest ping {crowd.slowest_ping * 1000:.0f} ms; " +
        ", ".join(f"{n} {what}" for what, n in sorted(crowd.seen.items())))

    # The test did what it is for, unless it had hardly time for it.
    for what in ("drops", "cancels", "exits", "gaps at attach", "gaps after a stall", "gapless returns",
                 "looked back"):
        assert crowd.seen[what] or PROCESSES * SECONDS < 500, f"no {what} in {SECONDS:g} s"

    # Nothing is left over.
    eventually(lambda: set(daemon.children()) == resting, "no children, no zombies")
    spare = len([g for g in cgroups_of(daemon.pid) if not g.endswith(".agent")])
    eventually(lambda: daemon.fds() <= fds + 2 * spare,
               f"back to {fds} descriptors, {spare} spare cgroups")
    assert not any(populated(g) for g in cgroups_of(daemon.pid) if not g.endswith(".agent"))
    slack = 96 if sanitized() else IDLE_MIB
    eventually(lambda: daemon.rss() - rss < slack * MIB,
               f"resident memory within {slack} MiB of {rss >> 10} KiB", 5)
