"""tar.manifest: every entry with its hash, in the order of the walk, and one hash that is that of fs.hash."""

import hashlib
import os

import pytest

from client import LONG
from files import sh
from support import NUMBERS, error_of, eventually, numbers, rounds


def manifest(client, timeout=LONG, **params):
    """The entries of all events, and the result."""
    call = client.open("tar.manifest", params)
    result = call.wait(timeout)
    assert not call.stdout and set(result) == {"files", "bytes", "sha256"}
    assert all(set(e) == {"type", "entries"} and e["type"] == "entries" and e["entries"] for e in call.events)
    return [entry for e in call.events for entry in e["entries"]], result


def line(entry, target=b""):
    """What docs/protocol.md says is hashed of it."""
    path, to = (os.fsencode(x) for x in (entry["path"], entry.get("target", target)))
    head = f"{entry['type']} {entry['mode']:04o} {entry['size']} {entry.get('sha256', '-')} ".encode()
    return head + path + b"\0" + to + b"\0"


def sha(data):
    return hashlib.sha256(data).hexdigest()


MAKE = f"""mkdir -p "$1/a/b" "$1/empty"; cd "$1"; ({numbers(300001)}) >a/b/numbers; printf one >a/one; ln a/one a/second; : >nothing
    ln -s a/one link; mkfifo fifo; chmod 755 . a empty a/b; chmod 4711 a/one; chmod 600 nothing fifo; chmod 644 a/b/numbers"""


def test_a_tree(conn, guest_dir):
    sh(conn, MAKE, f"{guest_dir}/t")
    entries, result = manifest(conn, path=f"{guest_dir}/t")
    one = {"type": "file", "size": 3, "mode": 0o4711, "sha256": sha(b"one")}
    assert entries == [
        {"path": "a", "type": "dir", "size": 0, "mode": 0o755}, {"path": "a/b", "type": "dir", "size": 0, "mode": 0o755},
        {"path": "a/b/numbers", "type": "file", "size": 300001, "mode": 0o644, "sha256": sha(NUMBERS[:300001])},
        {"path": "a/one", **one}, {"path": "a/second", **one}, {"path": "empty", "type": "dir", "size": 0, "mode": 0o755},
        {"path": "fifo", "type": "fifo", "size": 0, "mode": 0o600},
        {"path": "link", "type": "symlink", "size": 0, "mode": 0o777, "target": "a/one"},
        {"path": "nothing", "type": "file", "size": 0, "mode": 0o600, "sha256": sha(b"")}]
    assert result == {"files": 6, "bytes": 300007, "sha256": sha(b"".join(map(line, entries)))}
    hashed = conn.call("fs.hash", {"path": f"{guest_dir}/t"})
    assert (hashed["sha256"], hashed["size"]) == (result["sha256"], result["bytes"])


def test_names_are_bytes(client, guest_dir):
    names = sorted([b"\xff", "é".encode(), b"\n", b"plain", b"x" * 255])
    client.call("fs.write_files", {"files": [{"path": f"{guest_dir}/t/".encode() + n, "data": n} for n in names]})
    entries, result = manifest(client, path=f"{guest_dir}/t")
    assert [os.fsencode(e["path"]) for e in entries] == names and [e["sha256"] for e in entries] == list(map(sha, names))
    assert result["sha256"] == client.call("fs.hash", {"path": f"{guest_dir}/t"})["sha256"]


def test_paths_and_ignore(client, guest_dir):
    sh(client, 'mkdir -p "$1/a/build" "$1/b"; cd "$1"; for f in a/build/x a/x.log a/y b/z; do echo $f >$f; done', guest_dir)

    def names(**params):
        return [e["path"] for e in manifest(client, **params)[0]]

    assert names(path=f"{guest_dir}/a", ignore=["*.log", "/build"]) == ["y"]
    assert names(paths=[f"{guest_dir}/b", f"{guest_dir}/a/y"]) == ["b", "b/z", "a/y"]
    assert names(path=f"{guest_dir}/a/y") == ["y"]
    sh(client, 'mkdir "$1/empty"', guest_dir)
    assert manifest(client, path=f"{guest_dir}/empty") == ([], {"files": 0, "bytes": 0, "sha256": sha(b"")})


def test_many_files_come_in_order(conn, guest_dir):
    """Small and large ones, hashed by several at once."""
    n = rounds(400)
    sh(conn, f'mkdir "$1"; cd "$1"; for i in $(seq {n}); do echo $i >f$i; done; ({numbers(600_000)}) >f5; cp f5 f77', f"{guest_dir}/t")
    want = {f"f{i}".encode(): b"%d\n" % i for i in range(1, n + 1)} | dict.fromkeys([b"f5", b"f77"], NUMBERS[:600_000])
    entries, result = manifest(conn, path=f"{guest_dir}/t")
    assert [(e["path"].encode(), e["sha256"]) for e in entries] == [(k, sha(want[k])) for k in sorted(want)]
    assert result["bytes"] == sum(map(len, want.values()))


def test_with_the_rights_of_a_user(client, guest_dir, is_root):
    """A part left out would be another hash: it is an error that names it."""
    sh(client, 'mkdir "$1"; cd "$1"; echo a >a; echo b >b; chmod 600 b; chmod 755 .', f"{guest_dir}/t")
    if not is_root:
        sh(client, 'chmod 0 "$1/b"', f"{guest_dir}/t")
    error = error_of(manifest, client, path=f"{guest_dir}/t", **({"user": "4321:4321"} if is_root else {}))
    assert (error.code, error.path) == ("EACCES", f"{guest_dir}/t/b")
    assert len(manifest(client, path=f"{guest_dir}/t", ignore=["b"])[0]) == 1


@pytest.mark.parametrize("params,code", [
    ({}, "bad_params"), ({"path": "/", "paths": ["/"]}, "bad_params"), ({"path": "x"}, "bad_params"), ({"path": "/none"}, "ENOENT"),
    ({"path": "/", "ignore": ["x" * 5000]}, "limit"), ({"path": "/", "user": "nobody-at-all"}, "not_found")])
def test_refused(client, params, code):
    assert error_of(manifest, client, **params).code == code


@pytest.mark.local
def test_cancel_and_disconnect(guestd, tmp_path):
    daemon = guestd()
    for i in range(20):
        with open(tmp_path / f"f{i}", "wb") as f:
            f.truncate(1 << 40)
    with daemon.connect() as c:
        manifest(c, path=str(tmp_path), ignore=["f*"])
    fds = daemon.fds()
    for i in range(rounds(10)):
        with daemon.connect() as c:
            call = c.open("tar.manifest", {"path": str(tmp_path)})
            c.call("system.ping")
            if i % 2:
                call.cancel()
                assert error_of(call.wait).code == "canceled"
    eventually(lambda: daemon.fds() <= fds, "all is closed")
