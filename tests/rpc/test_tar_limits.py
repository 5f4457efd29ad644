"""tar.export where it is hard: holes, attributes, trees that change on the way, clients that do not read. On this machine
alone: it takes what busybox has not, and looks at the agent from outside."""

import contextlib
import errno
import os
import socket
import struct
import subprocess
import time

import pytest

from archives import FORMATS, contents, export, extract, members, skipped, unpacked
from client import LONG, RpcError
from files import sh
from support import NUMBERS, error_of, eventually, rounds, sanitized

pytestmark = pytest.mark.local

MIB = 1 << 20


def slack():
    return (96 if sanitized() else 16) * MIB


@contextlib.contextmanager
def held_back(agent, window=65536, **params):
    """A call that has sent its first bytes and waits for the client, with two blocks made."""
    with agent.connect() as c:
        c.hello(window=window)
        call = c.open("tar.export", params)
        call.auto_credit = False
        call.read(window)
        time.sleep(0.3)     # until nothing more is read: what follows is read afterwards
        yield call


def go_on(call):
    call.auto_credit = True
    call.grant(1 << 30)
    return call.wait(LONG)


# Holes

def write_at(path, size, *pieces):
    with open(path, "wb") as f:
        for at, data in pieces:
            f.seek(at)
            f.write(data)
        f.truncate(size)


@pytest.mark.parametrize("size,pieces", [
    (1 << 20, []), (1 << 20, [(0, b"begin")]), (1 << 20, [(500_000, b"middle")]), ((1 << 20) + 1, [(1 << 20, b"e")]),
    (3_000_001, [(0, NUMBERS[:70_000]), (1_000_000, NUMBERS[:5]), (2_500_000, NUMBERS[:300_000])])])
def test_holes_stay_holes(client, tmp_path, size, pieces):
    write_at(tmp_path / "sparse", size, *pieces)
    want = (tmp_path / "sparse").read_bytes()
    data, result = export(client, path=str(tmp_path / "sparse"), format="tar")
    assert contents(data) == {"sparse": want}
    assert result["bytes"] == size and len(data) < sum(len(d) for _, d in pieces) + 16 * 4096 + 10240
    copy = extract(data, tmp_path / "copy") + "/sparse"
    assert open(copy, "rb").read() == want
    assert os.stat(copy).st_blocks <= os.stat(tmp_path / "sparse").st_blocks + 16
    bsdtar = subprocess.run(["bsdtar", "-xOf", "-"], input=data, stdout=subprocess.PIPE, check=False) if have("bsdtar") else None
    assert bsdtar is None or bsdtar.stdout == want


def have(program):
    return any(os.access(os.path.join(d, program), os.X_OK) for d in os.environ["PATH"].split(":"))


def test_more_pieces_than_are_kept(client, tmp_path):
    """The smallest holes are filled: the contents are the same."""
    n = 40_000
    with open(tmp_path / "f", "wb") as f:
        f.truncate(n * 8192)
        for i in range(n):
            os.pwrite(f.fileno(), b"%d" % i, i * 8192)
        os.pwrite(f.fileno(), b"far", 10 << 30)
    data = export(client, path=str(tmp_path / "f"), format="tar.zst", level=1)[0]
    copy = extract(unpacked(data, "tar.zst"), tmp_path / "copy") + "/f"
    with open(copy, "rb") as f:
        for i in (0, 1, 777, n - 1):
            assert os.pread(f.fileno(), 8192, i * 8192) == (b"%d" % i).ljust(8192, b"\0")
        assert os.pread(f.fileno(), 10, 10 << 30) == b"far" and os.fstat(f.fileno()).st_size == (10 << 30) + 3


@pytest.mark.parametrize("at", [0, 5 << 30])
def test_larger_than_8_gib(client, tmp_path, at):
    """A size that no ustar header holds; dense, the archive would be too large for a test."""
    write_at(tmp_path / "big", 9 << 30, (at, b"here"), ((9 << 30) - 3, b"end"))
    data, result = export(client, path=str(tmp_path / "big"), format="tar.gz")
    assert result["bytes"] == 9 << 30 and len(data) < 4096
    copy = extract(unpacked(data, "tar.gz"), tmp_path / "copy") + "/big"
    with open(copy, "rb") as f:
        assert os.fstat(f.fileno()).st_size == 9 << 30 and os.fstat(f.fileno()).st_blocks < 64
        assert os.pread(f.fileno(), 4, at) == b"here" and os.pread(f.fileno(), 9, (9 << 30) - 3) == b"end"


def test_a_header_of_9_gib(agent, tmp_path):
    """reproducible: no holes, so its size stands in a record; what follows is not waited for."""
    write_at(tmp_path / "big", 9 << 30)
    with held_back(agent, path=str(tmp_path / "big"), format="tar", reproducible=True) as call:
        head = bytes(call.stdout)
        assert b" size=9663676416\n" in head and head[512 + 512:][156:157] == b"0"
        call.cancel()
        assert error_of(call.wait).code == "canceled"


# Attributes

ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in [
    (1, 6, 0xffffffff), (2, 4, 1234), (4, 4, 0xffffffff), (8, 5, 4321), (16, 5, 0xffffffff), (32, 0, 0xffffffff)])


def attributes(path):
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)
            if n != "security.selinux"}


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as e:
        if e.errno in (errno.ENOTSUP, errno.EPERM):
            pytest.skip(f"{name} cannot be set here")
        raise


def test_extended_attributes(client, tmp_path, is_root):
    top = tmp_path / "t"
    (top / "d").mkdir(parents=True)
    (top / "f").write_text("f")
    attribute(top / "f", "user.one", b"\x00\xff\n=1")
    attribute(top / "f", "user.empty", b"")
    attribute(top / "f", "user.large", os.urandom(3000))
    attribute(top / "d", "user.of a dir", b"d")
    if is_root:
        attribute(top / "f", "trusted.x", b"t")
    data = export(client, path=str(top), format="tar")[0]
    copy = extract(data, tmp_path / "copy", "--xattrs", "--xattrs-include=*")
    for name in ["f", "d"]:
        assert attributes(f"{copy}/{name}") == attributes(top / name)
    portable = members(export(client, path=str(top), format="tar", reproducible=True)[0])["f"].pax_headers
    assert sorted(portable) == ["SCHILY.xattr.user.empty", "SCHILY.xattr.user.large", "SCHILY.xattr.user.one"]


def test_acls(client, tmp_path):
    top = tmp_path / "t"
    (top / "d").mkdir(parents=True)
    (top / "f").write_text("f")
    attribute(top / "f", "system.posix_acl_access", ACL)
    attribute(top / "d", "system.posix_acl_default", ACL)
    data = export(client, path=str(top), format="tar")[0]
    text = "user::rw-,user:1234:r--,group::r--,group:4321:r-x,mask::r-x,other::---"
    found = members(data)
    assert found["f"].pax_headers["SCHILY.acl.access"] == found["d"].pax_headers["SCHILY.acl.default"] == text
    copy = extract(data, tmp_path / "copy", "--acls")
    assert attributes(f"{copy}/f") == attributes(top / "f") and attributes(f"{copy}/d") == attributes(top / "d")


def test_sockets_are_listed(client, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "z").write_text("z")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "t" / "sock"))
        data, result = export(client, path=str(tmp_path / "t"), format="tar")
    assert list(members(data)) == ["z"] and skipped(result) == {str(tmp_path / "t" / "sock"): "unsupported"}
    assert result["files"] == 1


def test_one_file_system(client):
    """/dev has others below it: their directories are entries, what is in them is not."""
    inner = [d for d in ("shm", "pts", "mqueue") if os.path.ismount(f"/dev/{d}")]
    if not inner:
        pytest.skip("nothing is mounted below /dev")
    with open("/dev/shm/rpc-test-one", "w", encoding="ascii"):
        pass
    try:
        one = members(export(client, path="/dev", format="tar", one_file_system=True, ignore=["/core", "/fd"])[0])
    finally:
        os.unlink("/dev/shm/rpc-test-one")
    for d in inner:
        assert one[d].isdir() and not any(n.startswith(f"{d}/") for n in one)


# Trees that change on the way

def tree_of(tmp_path, *last):
    """Two blocks of data, and behind them what is changed while these wait."""
    top = tmp_path / "t"
    top.mkdir()
    (top / "a").write_bytes(NUMBERS[:2 * MIB])
    for name in last:
        (top / name).write_bytes(NUMBERS[:MIB])
    return top


def test_a_file_that_shrinks(agent, tmp_path):
    top = tree_of(tmp_path, "b")
    with held_back(agent, path=str(top), format="tar") as call:
        os.truncate(top / "a", MIB)
        result = go_on(call)
    assert skipped(result) == {str(top / "a"): "busy"} and "zeros" in result["skipped"][0]["error"]["message"]
    assert contents(bytes(call.stdout)) == {"a": NUMBERS[:MIB] + bytes(MIB), "b": NUMBERS[:MIB]}
    assert result["bytes"] == 3 * MIB


def test_a_file_that_grows(agent, tmp_path):
    top = tree_of(tmp_path, "b")
    with held_back(agent, path=str(top), format="tar") as call:
        with open(top / "a", "ab") as f:
            f.write(b"more")
        result = go_on(call)
    assert skipped(result) == {str(top / "a"): "busy"} and "grew" in result["skipped"][0]["error"]["message"]
    assert contents(bytes(call.stdout)) == {"a": NUMBERS[:2 * MIB], "b": NUMBERS[:MIB]}


def test_a_file_that_changes(agent, tmp_path):
    top = tree_of(tmp_path)
    with held_back(agent, path=str(top), format="tar") as call:
        with open(top / "a", "r+b") as f:
            f.seek(2 * MIB - 4)
            f.write(b"else")
        result = go_on(call)
    assert skipped(result) == {str(top / "a"): "busy"}
    assert contents(bytes(call.stdout)) == {"a": NUMBERS[:2 * MIB - 4] + b"else"}


def test_what_vanishes(agent, tmp_path):
    """Its directory was read by then."""
    top = tree_of(tmp_path, "b", "c")
    with held_back(agent, path=str(top), format="tar") as call:
        (top / "b").unlink()
        result = go_on(call)
    assert skipped(result) == {str(top / "b"): "ENOENT"}
    assert contents(bytes(call.stdout)) == {"a": NUMBERS[:2 * MIB], "c": NUMBERS[:MIB]}


def test_what_becomes_something_else(agent, tmp_path):
    """A link in its place is not followed."""
    top = tree_of(tmp_path, "b")
    (tmp_path / "secret").write_text("secret")
    with held_back(agent, path=str(top), format="tar") as call:
        (top / "b").unlink()
        (top / "b").symlink_to(tmp_path / "secret")
        result = go_on(call)
    assert skipped(result) == {str(top / "b"): "busy"}
    assert contents(bytes(call.stdout)) == {"a": NUMBERS[:2 * MIB]}


def test_files_of_the_kernel(client):
    """Their sizes are not what they hold: nothing aborts, and it is told."""
    data, result = export(client, paths=["/proc/self/limits", "/proc/version"], format="tar")
    assert set(contents(data)) == {"self/limits", "version"} and set(skipped(result).values()) == {"busy"}


# Clients

@pytest.mark.parametrize("format", FORMATS + ["raw"])
@pytest.mark.parametrize("window", [0, 1 << 30])
def test_a_client_that_does_not_read(guestd, tmp_path, format, window):
    daemon = guestd()
    with open(tmp_path / "noise", "wb") as f:
        for _ in range(64):
            f.write(os.urandom(MIB))
    with daemon.connect() as c:
        for _ in range(3):
            export(c, path=str(tmp_path / "noise"), format=format)
    daemon.reset_peak()
    before = daemon.peak()
    fds = daemon.fds()
    with daemon.connect() as c, daemon.connect() as other:
        if window:
            c.hello(window=window)
        c.request("tar.export", {"path": str(tmp_path / "noise"), "format": format})
        for _ in range(20):
            other.call("fs.get", {"path": str(tmp_path / "noise"), "length": 65536})
        time.sleep(0.3)
        assert daemon.peak() - before < slack(), f"grew by {(daemon.peak() - before) >> 10} KiB"
    eventually(lambda: daemon.fds() <= fds, "the file is closed")


@pytest.mark.parametrize("format", FORMATS)
def test_cancel_and_disconnect(guestd, tmp_path, format):
    daemon = guestd()
    write_at(tmp_path / "f", 1 << 40)
    with daemon.connect() as c:
        export(c, path=str(tmp_path), format=format)
    fds = daemon.fds()
    for i in range(rounds(10)):
        with daemon.connect() as c:
            call = c.open("tar.export", {"path": str(tmp_path / "f"), "format": format, "reproducible": True})
            call.read(1)
            if i % 2:
                call.cancel()
                assert error_of(call.wait).code == "canceled"
    eventually(lambda: daemon.fds() <= fds, "all is closed")
    with daemon.connect() as c:
        assert export(c, path=str(tmp_path), format=format)[1]["bytes"] == 1 << 40


def test_progress(client, tmp_path):
    (tmp_path / "f").write_bytes(os.urandom(8 * MIB))
    for i in range(30):
        (tmp_path / f"g{i}").symlink_to(tmp_path / "f")
        os.link(tmp_path / "f", tmp_path / f"h{i}")
    started = time.monotonic()
    call = client.open("tar.export", {"paths": [str(tmp_path / "f")] * rounds(30), "format": "tar.gz", "level": 9})
    call.wait(LONG)
    took = time.monotonic() - started
    assert all(e["type"] == "progress" for e in call.events) and 1 <= len(call.events) <= took * 10 + 1
    told = [(e["files"], e["bytes"]) for e in call.events]
    assert told == sorted(told) and told[-1] <= (call.result["files"], call.result["bytes"])


def test_many_at_once(agent, tmp_path):
    """They share the workers, and memory that has a bound."""
    (tmp_path / "f").write_bytes(NUMBERS)
    with agent.connect() as c:
        want = {f: export(c, path=str(tmp_path / "f"), format=f)[0] for f in FORMATS}
        calls = [(f, c.open("tar.export", {"path": str(tmp_path / "f"), "format": f})) for f in FORMATS * rounds(20)]
        for f, call in calls:
            call.wait(LONG)
            assert bytes(call.stdout) == want[f]


def test_more_than_memory_allows(agent, tmp_path):
    """Each that waits holds a block: the last ones are told of the limit, and the others end well."""
    (tmp_path / "f").write_bytes(os.urandom(2 * MIB))
    ended = []
    with agent.connect() as c:
        c.hello(window=1000)
        calls = [c.open("tar.export", {"path": str(tmp_path / "f"), "format": "tar.zst"}) for _ in range(200)]
        for call in calls:
            call.auto_credit = False
        for call in calls:
            call.read(1)
        for call in calls:
            if not call.done:
                call.auto_credit = True
                call.grant(1 << 24)
            try:
                ended.append(call.wait(LONG)["bytes"])
            except RpcError as e:
                ended.append(e.code)
    assert set(ended) == {2 * MIB, "limit"} and ended.count(2 * MIB) > 10
    with agent.connect() as c:
        assert export(c, path=str(tmp_path / "f"), format="tar.zst")[1]["bytes"] == 2 * MIB


def test_a_hundred_thousand_files(guestd, tmp_path):
    """In memory that does not grow with them."""
    daemon = guestd()
    n = rounds(100_000)
    for i in range(n):
        if i % 1000 == 0:
            os.mkdir(tmp_path / f"{i // 1000:03}")
        os.close(os.open(tmp_path / f"{i // 1000:03}" / f"file-{i}", os.O_CREAT | os.O_WRONLY))
    with daemon.connect() as c:
        export(c, path=str(tmp_path / "000"))
        daemon.reset_peak()
        before = daemon.peak()
        data, result = export(c, path=str(tmp_path), timeout=4 * LONG)
        assert daemon.peak() - before < slack()
    assert result["files"] == n and len(members(unpacked(data, "tar.gz"))) == n + -(-n // 1000)
