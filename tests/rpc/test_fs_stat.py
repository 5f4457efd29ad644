"""fs.stat, fs.exists, fs.readlink and fs.usage: what is at a path?"""

import pytest

from client import LONG
from files import assert_entry, mounted, sh, stat
from support import error_of, rounds

KINDS = {"file": "printf hello >", "dir": "mkdir", "symlink": "ln -s target", "fifo": "mkfifo"}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(client, guest_dir, kind):
    path = f"{guest_dir}/it"
    sh(client, f'{KINDS[kind]} "$1"', path)
    entry = assert_entry(client.call("fs.stat", {"path": path}), path, kind, name="it")
    want = [int(x) for x in stat(client, path, "%s %u %g %i %h %Y %Z").split()]
    assert [entry[n] for n in ("size", "uid", "gid", "ino", "nlink")] == want[:5]
    assert [entry["mtime_us"] // 1_000_000, entry["ctime_us"] // 1_000_000] == want[5:]
    assert entry["mode"] == int(stat(client, path, "%a"), 8)
    if kind == "symlink":
        assert entry["target"] == "target" and entry["size"] == 6
    assert client.call("fs.exists", {"path": path}) == {"exists": True, "type": kind}


def test_devices_and_sockets(client, guest_dir, agent):
    assert_entry(client.call("fs.stat", {"path": "/dev/null"}), "/dev/null", "char", mode=0o666, uid=0)
    sh(client, 'mknod "$1" b 7 200', f"{guest_dir}/block")
    assert_entry(client.call("fs.stat", {"path": f"{guest_dir}/block"}), f"{guest_dir}/block", "block")
    socket = sh(client, 'printf %s "$GUESTD_EVENTS"').decode()
    if socket:
        assert_entry(client.call("fs.stat", {"path": socket}), socket, "socket")


def test_the_root(client):
    entry = client.call("fs.stat", {"path": "/"})
    assert_entry(entry, "/", "dir", ino=int(stat(client, "/", "%i")))


@pytest.mark.parametrize("mode", [0, 0o1, 0o644, 0o755, 0o777, 0o4755, 0o2750, 0o1777, 0o7777])
def test_modes(client, guest_dir, mode):
    sh(client, 'mkdir "$1"; chmod "$2" "$1"', f"{guest_dir}/it", f"{mode:o}")
    assert client.call("fs.stat", {"path": f"{guest_dir}/it"})["mode"] == mode


def test_owners_have_names_where_there_are_some(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(client, 'cd "$1"; touch a b; chown 0:0 a; chown 4321:1234 b', guest_dir)
    a = client.call("fs.stat", {"path": f"{guest_dir}/a"})
    assert (a["uid"], a["gid"], a["user"], a["group"]) == (0, 0, "root", "root")
    b = client.call("fs.stat", {"path": f"{guest_dir}/b"})
    assert (b["uid"], b["gid"]) == (4321, 1234) and "user" not in b and "group" not in b


def test_follow(client, guest_dir):
    sh(client, 'cd "$1"; printf hello >file; ln -s file one; ln -s "$1/one" two; ln -s nowhere dangling; ln -s loop loop',
       guest_dir)
    for name in ("one", "two"):
        path = f"{guest_dir}/{name}"
        assert_entry(client.call("fs.stat", {"path": path}), path, "symlink")
        assert_entry(client.call("fs.stat", {"path": path, "follow": False}), path, "symlink")
        entry = assert_entry(client.call("fs.stat", {"path": path, "follow": True}), path, "file", size=5)
        assert entry["ino"] == int(stat(client, f"{guest_dir}/file", "%i"))
    for name, code in (("dangling", "ENOENT"), ("loop", "ELOOP")):
        path = f"{guest_dir}/{name}"
        assert_entry(client.call("fs.stat", {"path": path}), path, "symlink")
        assert error_of(client.call, "fs.stat", {"path": path, "follow": True}).code == code
        assert client.call("fs.exists", {"path": path}) == {"exists": True, "type": "symlink"}


def test_large_and_old(client, guest_dir):
    """Sizes and times beyond 32 bits, and times before 1970."""
    path = f"{guest_dir}/it"
    sh(client, 'truncate -s 10000000000 "$1"', path)
    assert client.call("fs.stat", {"path": path})["size"] == 10_000_000_000
    for when in (-1, -1_500_001, 0, 1, 1_700_000_000_123_456, 4_102_444_800_000_001):
        client.call("fs.utimes", {"path": path, "mtime_us": when})
        assert client.call("fs.stat", {"path": path})["mtime_us"] == when


def test_not_there(client, guest_dir):
    sh(client, 'touch "$1"/file', guest_dir)
    for path in ("none", "none/below", "file/below"):
        assert client.call("fs.exists", {"path": f"{guest_dir}/{path}"}) == {"exists": False}
    assert error_of(client.call, "fs.stat", {"path": f"{guest_dir}/none"}).path == f"{guest_dir}/none"


def test_what_cannot_be_seen_is_an_error(client, guest_dir, is_root):
    """Rather than the claim that there is nothing."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir shut; touch shut/file; chmod 700 shut', guest_dir)
    for method in ("fs.stat", "fs.exists", "fs.readlink"):
        error = error_of(client.call, method, {"path": f"{guest_dir}/shut/file", "user": "4321:4321"})
        assert (error.code, error.path) == ("EACCES", f"{guest_dir}/shut/file")


@pytest.mark.parametrize("target", ["a", "/", "../..", "x" * 4000, b"\xff\xfe", "\u00e4", " \n"], ids=repr)
def test_readlink(client, guest_dir, target):
    path = f"{guest_dir}/link"
    sh(client, 'ln -s "$2" "$1"', path, target)
    assert client.call("fs.readlink", {"path": path}) == {"target": target}
    assert client.call("fs.stat", {"path": path})["target"] == target


def test_readlink_of_what_is_none(client, guest_dir):
    assert error_of(client.call, "fs.readlink", {"path": guest_dir}).code == "EINVAL"


def test_links_of_proc(client):
    """Their size is 0, whatever they say."""
    entry = client.call("fs.stat", {"path": "/proc/self/exe"})
    assert entry["target"] == client.call("fs.readlink", {"path": "/proc/self/exe"})["target"]
    assert entry["target"].startswith("/")


def test_hundreds_at_once(client, guest_dir):
    count = rounds(800)
    sh(client, 'cd "$1"; for i in $(seq 0 99); do printf "%$((i))s" "" >$i; done', guest_dir)
    calls = [client.open("fs.stat", {"path": f"{guest_dir}/{i % 101}"}) for i in range(count)]
    for i, call in enumerate(calls):
        if i % 101 == 100:
            assert error_of(call.wait, 60).code == "ENOENT"
        else:
            assert call.wait(LONG)["size"] == i % 101


def test_usage(client, guest_dir, is_root):
    usage = client.call("fs.usage", {"path": guest_dir})
    assert {n: type(usage[n]) for n in ("total", "free", "available", "files", "files_free", "type")} == {
        "total": int, "free": int, "available": int, "files": int, "files_free": int, "type": str}
    assert 0 <= usage["available"] <= usage["free"] <= usage["total"]
    assert client.call("fs.usage", {"path": "/proc"})["type"] == "proc"
    if not is_root:
        return
    with mounted(client, f"{guest_dir}/small", "size=1m,nr_inodes=10") as small:
        usage = client.call("fs.usage", {"path": small})
        assert (usage["total"], usage["free"], usage["files"], usage["type"]) == (1 << 20, 1 << 20, 10, "tmpfs")
        sh(client, 'head -c 100000 /dev/zero >"$1"/x', small)
        after = client.call("fs.usage", {"path": f"{small}/x"})
        assert (1 << 20) - after["free"] in range(100_000, 110_000)
        assert after["files_free"] == usage["files_free"] - 1
