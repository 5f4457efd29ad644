"""fs.watch in a guest with queues that overflow at once: a storm of changes, and pictures that have to be right after it.

The kernel's queues are lowered for a moment, which is possible where the machine is ours alone.
"""

import contextlib
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "watch"))

import storm  # noqa: E402 (found in the directory added above)
from client import LONG  # noqa: E402
from files import sh  # noqa: E402
from watching import Scene, agent_with, held  # noqa: E402

QUEUES = [f"/proc/sys/fs/{kind}/max_queued_events" for kind in ("inotify", "fanotify")]
SHORT = 32


@contextlib.contextmanager
def short_queues(guest):
    before = [guest.read(name) for name in QUEUES]
    try:
        for name in QUEUES:
            guest.sh(f"echo {SHORT} >{name}")
        yield
    finally:
        for name, value in zip(QUEUES, before):
            guest.sh(f"echo {value} >{name}")


@pytest.mark.parametrize("backend", ["inotify", "fanotify"])
def test_storm(guest, backend):
    seed = random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed {seed}")
    weather = storm.Storm(random.Random(f"{seed} {backend}"), shell=True)
    directory = f"/tmp/storm-{backend}"
    guest.sh(f"mkdir -p {directory}/root {directory}/outside")
    with short_queues(guest), agent_with("--watch-backend", backend) as agent, agent.connect() as client:
        scene = Scene(agent, client, f"{directory}/root")
        watches = [scene.watch(), scene.watch(coalesce_ms=0)]
        for hold in (False, True):
            script = storm.as_shell(weather.changes(100))
            if hold:
                with held(agent):
                    scene.outside(script)
            else:
                sh(client, f"cd {scene.dir}\n{script}")
            for watch in watches:
                scene.matches(watch, LONG)
        assert all(watch.overflows for watch in watches) or backend == "fanotify"
        scene.close()
    guest.sh(f"rm -rf {directory}")
