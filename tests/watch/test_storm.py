"""A tree in a storm, and clients that know nothing of it but what fs.watch tells them.

When all is quiet again, each client's picture has to be the tree: the same names, directories where there are some, and for
each file whose content is another one an event that said so. Some clients read all the time, one only when the storm is
over; now and then the agent is held until the kernel's queue has overflowed.

    GUESTD_STORM_SECONDS=600    how long, for each backend (8)
    GUESTD_STORM_SEED=12345     which changes; printed by each run
    GUESTD_BIN, GUESTD_TEST_SCALE, GUESTD_TEST_TIMEOUT as for tests/rpc
"""

import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

import storm
from client import LONG
from files import streamed
from support import SCALE
from watching import BACKENDS, Watch, agent_with, as_bytes, held

pytestmark = [pytest.mark.local, pytest.mark.slow]

SECONDS = float(os.environ.get("GUESTD_STORM_SECONDS", "0")) or 8 * min(1, SCALE * 2)
SEED = int(os.environ.get("GUESTD_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
QUEUE = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
# More than it holds, in a directory that is watched for sure.
FILL = [["create", "fill"], ["unlink", "fill"]] * (QUEUE // 2 + 1)


def tree_now(client, root):
    """{path below the root: (is it a directory?, what changes with its content)}"""
    cut = len(root) + 1
    return {as_bytes(e["path"])[cut:]: (e["type"] == "dir", (e["type"], e["ino"], e["mtime_us"], e["size"]), e["nlink"])
            for e in streamed(client, "fs.tree", path=root)}


class Onlooker:
    """A client with a watch. reads: also while the storm goes on."""

    def __init__(self, name, agent, root, known, reads=True, **params):
        self.name = name
        self.client = agent.connect()
        self.reads = reads
        self.ignores = "ignore" in params
        self.watch = Watch(self.client, root, {p: d for p, (d, *_) in known.items() if not (self.ignores and storm.ignored(p))},
                           **params)

    def compare(self, before, now):
        """Its picture with the tree; which of the files in it has another content than before?"""
        picture = dict(self.watch.picture.items())
        there = {p: fields for p, fields in now.items() if not p.startswith(b".mark-") and not (self.ignores and storm.ignored(p))}
        seen = {p: node.below is not None for p, node in picture.items()}
        wanted = {p: fields[0] for p, fields in there.items()}
        assert seen == wanted, f"{self.name}: only in its picture {sorted(seen.items() - wanted.items())[:20]}, " \
                               f"only in the tree {sorted(wanted.items() - seen.items())[:20]}"
        contents = {fields[1] for fields in before.values()}
        # Of several names of one file only the one is told of by which it was changed.
        missed = [p for p, (is_dir, content, links) in there.items()
                  if not is_dir and links == 1 and content not in contents and not picture[p].told]
        assert not missed, f"{self.name}: nobody told of new content in {missed[:20]}"


def read_meanwhile(process, onlookers):
    """Until it has ended; who reads, reads."""
    clients = {o.client.sock: o for o in onlookers if o.reads}
    while process.poll() is None:
        for sock in select.select(list(clients), [], [], 0.01)[0]:
            clients[sock].client.take()
            clients[sock].watch.take()
    assert process.returncode == 0, "the storm itself failed"


def blow(root, changes):
    """In a process of its own."""
    process = subprocess.Popen([sys.executable, storm.__file__, root], stdin=subprocess.PIPE)
    process.stdin.write(json.dumps(changes).encode())
    process.stdin.close()
    return process


@pytest.mark.parametrize("backend", BACKENDS)
def test_storm(backend, tmp_path):
    print(f"GUESTD_STORM_SEED={SEED}")
    source = random.Random(f"{SEED} {backend}")
    root = str(tmp_path / "root")
    os.mkdir(root)
    os.mkdir(tmp_path / "outside")
    storm.make_repository(root)
    weather = storm.Storm(source)
    weather.repository = True
    counts = {"changes": 0, "rounds": 0, "held": 0, "overflows": 0, "events": 0}
    with agent_with("--watch-backend", backend) as agent, agent.connect() as client:
        before = tree_now(client, root)
        onlookers = [
            Onlooker("at once", agent, root, before, coalesce_ms=0),
            Onlooker("as most", agent, root, before),
            Onlooker("slow", agent, root, before, coalesce_ms=300),
            Onlooker("ignores", agent, root, before, ignore=storm.IGNORE),
            Onlooker("stalls", agent, root, before, reads=False),
        ]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline or counts["rounds"] < 3:
            hold = counts["rounds"] % 3 == 1 and counts["held"] * 20 < SECONDS * 3
            changes = weather.changes(int(source.choice([20, 300, 2000, 6000]) * min(1, SCALE * 2)))
            if hold:
                changes[len(changes) // 2:len(changes) // 2] = FILL
            state = f"round {counts['rounds']} of seed {SEED}, {backend}, {len(changes)} changes{', held' if hold else ''}"
            try:
                if hold:
                    with held(agent):
                        assert blow(root, changes).wait() == 0
                else:
                    read_meanwhile(blow(root, changes), onlookers)
                for onlooker in onlookers:
                    onlooker.watch.settle(lambda path: Path(path).touch(), 2 * LONG)
                now = tree_now(client, root)
                for onlooker in onlookers:
                    onlooker.watch.becomes(lambda onlooker=onlooker: onlooker.compare(before, now))
            except (AssertionError, TimeoutError) as e:
                (tmp_path / "changes").write_text("\n".join(map(str, changes)))
                raise AssertionError(f"{state}; they are in {tmp_path / 'changes'}: {e}") from e
            before = now
            counts["rounds"] += 1
            counts["held"] += hold
            counts["changes"] += len(changes)
            for onlooker in onlookers:
                onlooker.watch.picture.forget()
                counts["overflows"] += onlooker.watch.overflows
                counts["events"] += onlooker.watch.forget()
        for onlooker in onlookers:
            onlooker.client.close()
    print(f"{backend}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    assert counts["overflows"] or backend == "fanotify", "the test did not do what it is for"
