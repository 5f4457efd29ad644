"""system.info: what the guest is, told as the guest itself tells it."""

import os
import shutil
import subprocess

import pytest

from client import connect
from support import ROOT, eventually

TYPES = {"version": str, "protocol": int, "kind": str, "hostname": str, "arch": str, "kernel": str,
         "os": dict, "boot_id": str, "uptime_ms": int, "init": bool, "cpus": int, "memory": int,
         "cgroup2": bool, "process_trees": str, "rss": int, "instance": str, "features": list}


@pytest.fixture
def info(client):
    return client.call("system.info")


@pytest.fixture
def ask(client):
    """ask(command): what the guest's shell says."""
    def do(cmd):
        return client.call("proc.run", {"cmd": cmd})["stdout"].decode().strip()
    return do


def test_it_has_every_field_with_its_type(info):
    for name, kind in TYPES.items():
        assert type(info.get(name)) is kind, (name, info)
    assert set(info) - set(TYPES) <= {"machine_id"}
    assert info["protocol"] == 1
    assert all(isinstance(k, str) for k in info["os"])


def test_it_agrees_with_hello(client, info):
    hello = client.hello()
    for name in ("version", "protocol", "kind", "boot_id", "instance", "features"):
        assert info[name] == hello[name], name


def test_features(info):
    assert info["features"] == sorted(set(info["features"]))
    assert {"attach", "credit", "events", "exec", "pty"} <= set(info["features"])


def test_it_agrees_with_the_guest(info, ask):
    assert info["hostname"] == ask("uname -n")
    assert info["arch"] == ask("uname -m")
    assert info["kernel"] == ask("uname -r")
    assert info["cpus"] == int(ask("grep -c ^processor /proc/cpuinfo"))
    assert info["memory"] == 1024 * int(ask("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert info["boot_id"] == ask("cat /proc/sys/kernel/random/boot_id")
    machine_id = ask("cat /etc/machine-id")
    assert info.get("machine_id", "") == (machine_id if len(machine_id) == 32 else "")


def test_uptime_is_that_of_the_kernel(client, ask):
    def uptime_ms():
        return float(ask("cut -d' ' -f1 /proc/uptime")) * 1000      # in steps of 10

    before = uptime_ms()
    said = client.call("system.info")["uptime_ms"]
    assert before <= said < uptime_ms() + 10


def test_os_is_what_a_shell_makes_of_os_release(info, ask):
    wanted = ("ID", "VERSION_ID", "NAME", "PRETTY_NAME")
    says = ask("for f in /etc/os-release /usr/lib/os-release; do [ -r $f ] && . $f && break; done;"
               + "".join(f'echo "${name}";' for name in wanted)).split("\n")
    assert [info["os"].get(name.lower(), "") for name in wanted] == (says + [""] * 4)[:4]


def test_rss_is_the_agents(info, agent):
    assert 100_000 < info["rss"] < 1 << 30
    if agent.pid:
        assert abs(info["rss"] - agent.rss()) < max(2 << 20, agent.rss() // 2)


@pytest.mark.local
def test_init_is_false_for_a_daemon(info):
    assert info["init"] is False


def test_process_trees(info):
    assert info["process_trees"] == ("cgroup2" if info["cgroup2"] else "session")


@pytest.mark.local
def test_a_feature_that_policy_switched_off_is_none(guestd):
    with guestd("--deny", "system.events,proc.exec").connect() as c:
        features = c.call("system.info")["features"]
        assert features == c.hello()["features"]
        assert "credit" in features and not {"events", "exec"} & set(features)


def test_many_at_once(client):
    calls = [client.open("system.info") for _ in range(300)]
    assert {call.wait()["instance"] for call in calls} == {client.hello()["instance"]}


def test_canceled_or_not_it_ends(client):
    calls = [client.open("system.info") for _ in range(20)]
    for call in calls:
        call.cancel()
    for call in calls:
        call.pump(lambda: False)
        assert call.result or call.error["code"] == "canceled"


def test_a_client_that_leaves_leaves_nothing(agent, client):
    for _ in range(20):
        with agent.connect() as c:
            for _ in range(20):
                c.request("system.info")
    client.call("system.info")


# -- os-release, in a root directory of our own ---------------------------------------------------

@pytest.fixture
def rooted(tmp_path):
    """rooted(**files): system.info of an agent whose /etc has just those; the static binary in its own root."""
    if os.geteuid():
        pytest.skip("needs root")
    started = []

    def run(**files):
        root = tmp_path / str(len(started))
        (root / "etc").mkdir(parents=True)
        for name, content in files.items():
            (root / "etc" / name.replace("_", "-")).write_bytes(content)
        shutil.copy(ROOT / "build" / "guestd", root / "guestd")
        directory = f"/tmp/guestd-info-{os.getpid()}-{len(started)}"
        os.symlink(root, directory)
        started.append((directory, None))
        daemon = subprocess.Popen(
            ["/guestd", "--listen", "unix:/g.sock", "--run-dir", "/run", "--log-level", "error"],
            preexec_fn=lambda: (os.chroot(root), os.chdir("/")), env={}, stdin=subprocess.DEVNULL)
        started[-1] = (directory, daemon)
        eventually((root / "g.sock").is_socket, "it listens")
        with connect(f"unix:{directory}/g.sock") as c:
            return c.call("system.info")

    yield run
    for directory, daemon in started:
        os.unlink(directory)
        if daemon:
            daemon.terminate()
            assert daemon.wait(10) == 0


@pytest.mark.local
def test_quotes_escapes_comments_and_nonsense(rooted):
    info = rooted(os_release=b"""# a comment = no
ID=plain
NAME="in \\"double\\" \\$quotes \\\\ \\n"
  PRETTY_NAME='in "single" \\ quotes'
VERSION_ID=1.0 behind a blank
MIXED=a'b c'"d e"f\\ g
EMPTY=
BAD-KEY=x
=y
no assignment
export FOO=x
TWICE=1
TWICE=2
BYTES="\xff"
CRLF=x\r
UNTERMINATED="to the end
LAST='no newline'""")
    assert info["os"] == {
        "id": "plain", "name": 'in "double" $quotes \\ \\n', "pretty_name": 'in "single" \\ quotes',
        "version_id": "1.0", "mixed": "ab cd ef g", "empty": "", "twice": "2", "bytes": b"\xff",
        "crlf": "x", "unterminated": "to the end", "last": "no newline"}
    assert "machine_id" not in info


@pytest.mark.local
def test_without_files_there_is_no_os(rooted):
    info = rooted()
    assert info["os"] == {} and info["boot_id"] == "" and "machine_id" not in info
    assert info["rss"] > 0 and info["memory"] > 0 and info["cpus"] > 0 and info["cgroup2"] is False


@pytest.mark.local
@pytest.mark.parametrize("content, there", [
    (b"0123456789abcdef0123456789abcdef\n", True), (b"", False), (b"uninitialized\n", False),
    (b"0123456789ABCDEF0123456789abcdef\n", False), (b"0" * 31, False), (b"0" * 100, False)])
def test_machine_id(rooted, content, there):
    info = rooted(machine_id=content)
    assert info.get("machine_id") == (content.decode().strip() if there else None)


@pytest.mark.local
def test_a_huge_os_release_is_cut(rooted):
    lines = b"".join(b"KEY%d=%d\n" % (i, i) for i in range(1000)) + b"X=" + b"x" * 100_000
    info = rooted(os_release=b"ID=big\n" + lines)
    assert info["os"]["id"] == "big" and 10 < len(info["os"]) <= 64
    info = rooted(os_release=b"ID=" + b"x" * 1_000_000)
    assert 1000 < len(info["os"]["id"]) < 10_000


def test_rings_leave_most_of_the_memory_to_the_guest(client):
    memory = client.call("system.info")["memory"]
    assert client.hello()["limits"]["max_rings"] == min(128 << 20, memory // 4)
