"""clients/js/guestd.mjs, which node runs; the cases are in client_js.mjs."""

import os
import random
import re
import shutil
import subprocess

import msgpack
import pytest

from client import LONG
from clients import JS, REFUSED, ROOT, Fake, Hybrid, Proxy, example
from support import unique

pytestmark = pytest.mark.local


def node(*args, **run):
    done = subprocess.run(["node", *map(str, args)], capture_output=True, timeout=3 * LONG, **run)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout


def case(name, endpoint, *args, **run):
    return node(ROOT / "tests/rpc/client_js.mjs", JS / "guestd.mjs", name, endpoint, *args, **run)


@pytest.mark.parametrize("name", ["exec", "errors", "leaving", "pty", "tunnel"])
def test_with_an_agent(agent, name):
    case(name, agent.endpoint)


def test_64_mib_of_output(agent):
    case("flood", agent.endpoint, f"/tmp/{unique('flood')}")


def test_files(agent, guest_dir):
    with open(os.fsencode(guest_dir) + b"/x\xff", "w"):
        pass
    case("files", agent.endpoint, guest_dir)


def test_archives(agent, guest_dir):
    tree = f"{guest_dir}/tree"
    os.makedirs(f"{tree}/d")
    with open(f"{tree}/d/file", "wb") as f:
        f.write(random.Random(4).randbytes(300_000))
    os.symlink("d/file", f"{tree}/link")
    case("archives", agent.endpoint, tree)


def test_watch(agent, guest_dir):
    case("watch", agent.endpoint, guest_dir)


def test_events_that_nobody_takes(agent, guest_dir):
    for i in range(20_000):
        open(f"{guest_dir}/{i}", "w").close()
    case("crowded", agent.endpoint, guest_dir)


def test_attached_again_without_a_lost_byte(agent, tmp_path):
    """The connection is cut at places that nobody chose, in the middle of frames."""
    cuts = [random.Random(2).randrange(2_000, 600_000) for _ in range(8)]
    with Proxy(tmp_path, agent.endpoint[5:], cuts) as proxy:
        case("attached", proxy.endpoint)


def test_hybrid_vsock(agent, tmp_path):
    with Hybrid(tmp_path, agent.endpoint[5:], refused=3) as monitor:
        case("hybrid", monitor.endpoint)
        assert set(monitor.asked) == {b"CONNECT 1024\n"} and len(monitor.asked) == 4


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    with Fake(tmp_path, REFUSED[name]) as fake:
        case("refused", fake.endpoint)


def test_vectors():
    out = case("vectors", "", stdin=open(ROOT / "clients/vectors.json"))
    value = msgpack.unpackb(out, raw=False)
    assert value == {"s": "x" * 70000, "t": "ä€😀", "b": b"\7" * 300, "n": [0, -1, -33, 128, 2 ** 32, -2 ** 40, 0.5],
                     "l": [True] * 20, "m": {f"k{i}": None for i in range(20)}}


def test_the_example_runs(agent, tmp_path):
    shutil.copy(JS / "guestd.mjs", tmp_path)
    (tmp_path / "example.mjs").write_text(example("js"))
    out = node(tmp_path / "example.mjs", agent.endpoint).decode()
    assert all(e in out for e in ("hello\n", "1 some input\n", "2 done\n", "exit code 0", "all or nothing", "true ENOENT")), out


def test_types_name_all_that_there_is():
    """Without a compiler at hand: every class, method and function of the module has its line in the types."""
    module, types = (JS / "guestd.mjs").read_text(), (JS / "guestd.d.mts").read_text()
    for kind, name in re.findall(r"^export (?:async )?(class|function) (\w+)", module, re.M):
        assert re.search(rf"^export {kind} {name}\b", types, re.M), name
    client = module[module.index("export class Client"):]
    methods = set(re.findall(r"^\t(?:async )?(\w+)\([^)]*(?:\{[^}]*\})?[^)]*\) \{$", client, re.M)) - {"constructor", "dial_", "greet", "upload"}
    declared = set(re.findall(r"^\t(\w+)\(", types[types.index("export class Client"):], re.M)) - {"constructor"}
    assert methods == declared and len(methods) > 15
