"""tar.import of what is no whole archive, of one that there is no room for, and of clients that go away."""

import os
import random
import time

import pytest

from tarballs import END, archive, do_import, gz, header, member, padded, pax, start_import, tree, zst
from client import RpcError
from files import cat, mounted, names, sh
from support import NUMBERS, error_of, eventually, rounds, sanitized

# What makes of bytes an error is the same on every kernel.
pytestmark = pytest.mark.local

SMALL = [member("a", data=b"a" * 1500), member("d", "dir"), member("d/b", data=b"b" * 3000), member("l", "symlink", target="a"),
         member("d/h", "hardlink", target="a"), member("n" * 120, data=b"n")]


@pytest.fixture
def dest(guest_dir):
    return f"{guest_dir}/dest"


def assert_told(client, dest, error):
    """What the error says was written is what is there, and nothing else is."""
    found = {name for name in tree(client, dest, "%f") if name != "."}
    assert set(error.data["written"]) == found, (error, error.data)
    assert error.data["written_total"] == len(error.data["written"])
    assert error.data["files"] == len(found - {"d"})
    assert error.message and error.stage == "read"


@pytest.mark.parametrize("pack", [bytes, gz, zst])
def test_cut_off(client, guest_dir, pack):
    """Everywhere: an error that says where, and whole files alone are left."""
    data = archive(*SMALL)
    data = pack(data[:data.rindex(b"n" * 1 + bytes(511)) + 512 + 512])     # one block of its end
    step = 1024 if pack is bytes else max(1, len(data) // 10)
    entries = set()
    for i, size in enumerate(range(0, len(data) - 1, step)):
        dest = f"{guest_dir}/{i}"
        error = error_of(do_import, client, data[:size], dest)
        assert error.code == "bad_params", error
        if pack is bytes and size % 512 == 0 and size > 0:
            assert "cut off" in error.message and "entry" in error.message, error
        entries.add(error.message)
        assert_told(client, dest, error)
        for name, content in (("a", b"a" * 1500), ("d/b", b"b" * 3000)):
            if name in error.data["written"]:
                assert cat(client, f"{dest}/{name}") == content
    if pack is bytes:
        assert len(entries) > 5
    assert do_import(client, data, f"{guest_dir}/whole")["files"] == 5


@pytest.mark.parametrize("size", [1, 100, 511, 513, 600, 1023, 1024, 1535])
def test_cut_off_anywhere(client, dest, size):
    data = pax(("path", "p")) + header(size=10) + padded(b"0123456789") + END
    error = error_of(do_import, client, data[:size], dest)
    assert error.code == "bad_params" and "entry 1" in error.message
    assert names(client, dest) == []


def test_without_an_end(client, dest):
    """Every byte of every file is there, and yet something may be missing."""
    data = archive(*SMALL[:2])[:512 + 1536 + 512]
    error = error_of(do_import, client, data, dest)
    assert "no end behind entry 2" in error.message and error.data["written"] == ["a", "d"]
    assert do_import(client, data + bytes(512), dest)["files"] == 1     # one block of two: well


BROKEN = {
    "nothing": b"", "text": b"hello\n" * 200, "zeros of another length": bytes(100), "a byte": b"x", "random": NUMBERS[:10240],
    "a sum": header(sum=b"000001\0 ") + END,
    "a sum that is none": header(sum=b"xxxxxxxx") + END,
    "a size": header(size=b"00000000xyz\0") + END,
    "a negative size": header(size=b"\xff" * 12) + END,
    "a mode": header(mode=b"rw-r--r-") + END,
    "a second header": archive(*SMALL)[:2048] + b"x" * 512 + END,
    "a type": header(kind=b"Z") + END,
    "a volume that goes on": header(kind=b"M") + END,
    "a device": header(kind=b"3", rest=(329, b"nonsense")) + END,
    "pax: a length": pax(b"99 path=x\n") + header() + END,
    "pax: no length": pax(b"path=x\n") + header() + END,
    "pax: a short length": pax(b"4 p=\n") + header() + END,
    "pax: no end": pax(b"9 path=xy") + header() + END,
    "pax: no equals": pax(b"7 path\n") + header() + END,
    "pax: a huge length": pax(b"99999999999999999999 path=x\n") + header() + END,
    "pax: a size": pax(("size", "1x")) + header() + END,
    "pax: a negative size": pax(("size", "-1")) + header() + END,
    "pax: a time": pax(("mtime", "1.2.3")) + header() + END,
    "pax: an owner": pax(("uid", "root")) + header() + END,
    "sparse: no size": pax(("GNU.sparse.map", "0,1")) + header(size=1) + padded(b"x") + END,
    "sparse: half a piece": pax(("GNU.sparse.size", "9"), ("GNU.sparse.offset", "1")) + header() + END,
    "sparse: no beginning": pax(("GNU.sparse.size", "9"), ("GNU.sparse.numbytes", "1")) + header() + END,
    "sparse: backwards": pax(("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,1,2,1")) + header(size=2) + padded(b"xy") + END,
    "sparse: too much": pax(("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,5")) + header(size=5) + padded(b"12345") + END,
    "sparse: too little": pax(("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,1")) + header(size=2) + padded(b"xy") + END,
    "sparse: huge": pax(("GNU.sparse.size", str(1 << 60)), ("GNU.sparse.map", "5,1")) + header(size=1) + padded(b"x") + END,
    "sparse: around": pax(("GNU.sparse.size", "9"), ("GNU.sparse.map", f"5,{(1 << 64) - 1}")) + header(size=1) + END,
    "sparse: a version": pax(("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "9")) + header(size=512) + END,
    "sparse: text in a map": pax(("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9")) + header(size=512)
    + padded(b"1\nx\n1\n") + END,
    "sparse: a map without end": pax(("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9")) + header(size=512)
    + b"9\n" + b"1\n" * 255 + END,
    "sparse: an old map": header(kind=b"S", magic=b"ustar  \0", size=1, rest=(386, b"nonsense....")) + END,
    "gzip: a sum": gz(archive(*SMALL))[:-8] + b"12345678",
    "gzip: a header": b"\x1f\x8b\x08\xe0" + bytes(100),
    "gzip: rubbish behind": gz(archive(*SMALL)) + b"rubbish",
    "gzip: half a member behind": gz(archive(*SMALL)) + gz(b"more")[:15],
    "zstd: rubbish behind": zst(archive(*SMALL)) + b"rubbish",
    "zstd: a sum": zst(archive(*SMALL), "--check")[:-4] + b"1234",
    "xz": b"\xfd7zXZ\0" + bytes(100), "bzip2": b"BZh91AY&SY" + bytes(100), "zip": b"PK\3\4" + bytes(100),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(client, dest, case):
    error = error_of(do_import, client, BROKEN[case], dest)
    assert error.code in ("bad_params", "unsupported") and error.stage == "read", error
    assert_told(client, dest, error)


def test_flipped_bits(client, guest_dir):
    """Whatever comes of it: no crash, no file outside."""
    rng = random.Random(1)
    whole = [archive(*SMALL), gz(archive(*SMALL)), zst(archive(*SMALL)), pax(("path", "p")) + header(size=1) + padded(b"x") + END]
    refused = 0
    for i in range(rounds(120)):
        data = bytearray(whole[i % len(whole)])
        for _ in range(1 + i % 3):
            data[rng.randrange(min(len(data), 4096))] ^= 1 << rng.randrange(8)
        try:
            do_import(client, bytes(data), f"{guest_dir}/in/{i}")
        except RpcError as e:
            assert e.message
            refused += 1
    assert refused
    assert names(client, guest_dir) == ["in"]


def test_no_room(client, guest_dir):
    """The entry that did not fit is named, and gone."""
    with mounted(client, f"{guest_dir}/small", "size=1m"):
        data = archive(member("a", data=NUMBERS[:400_000]), member("d/b", data=NUMBERS[:400_000]),
                       member("d/c", data=NUMBERS[:400_000]), member("e", data=b"e"))
        error = error_of(do_import, client, data, f"{guest_dir}/small")
        assert (error.code, error.path, error.data["written"]) == ("ENOSPC", "d/c", ["a", "d/b"])
        assert names(client, f"{guest_dir}/small/d") == ["b"] and error.data["bytes"] == 800_000
        # Replacing needs room for both.
        error = error_of(do_import, client, archive(member("a", data=NUMBERS[:500_000])), f"{guest_dir}/small")
        assert (error.code, error.path) == ("ENOSPC", "a")
        assert cat(client, f"{guest_dir}/small/a") == NUMBERS[:400_000] and names(client, f"{guest_dir}/small") == ["a", "d"]


def test_no_more_inodes(client, guest_dir):
    with mounted(client, f"{guest_dir}/small", "size=1m,nr_inodes=20"):
        error = error_of(do_import, client, archive(*[member(f"f{i:02}") for i in range(30)]), f"{guest_dir}/small")
        assert error.code == "ENOSPC" and error.path == f"f{len(error.data['written']):02}"
        assert names(client, f"{guest_dir}/small") == error.data["written"]


def test_what_was_written_is_bounded(client, dest):
    data = archive(*[member(f"{i:04}" + "x" * 90) for i in range(rounds(1000))])
    error = error_of(do_import, client, data[:-10240] + header(b"../x"), dest)
    assert error.data["written_total"] == rounds(1000) >= len(error.data["written"])
    assert error.data["written"] == [f"{i:04}" + "x" * 90 for i in range(len(error.data["written"]))]
    assert sum(map(len, error.data["written"])) < 20_000


def import_in_small_frames(client, data, path):
    call = client.open("tar.import", {"path": path})
    for i in range(0, len(data), 900):
        call.write(data[i:i + 900])
    if not call.done:
        call.end()
    return call.wait()


def test_small_frames(client, dest):
    """What an error tells more is cut, or left out, before the error itself is."""
    client.hello(max_frame=1024)
    data = archive(*[member(f"{i:03}") for i in range(200)])[:512 * 200] + header(b"../x")
    error = error_of(import_in_small_frames, client, data, dest)
    assert error.path == "../x" and error.data["written_total"] == 200 > len(error.data["written"]) > 10
    long = "../" + "/".join(["x" * 200] * 5)
    error = error_of(import_in_small_frames, client, archive(member("a"), member(long)), dest)
    assert error.code == "bad_params" and long.startswith(error.path) and error.data is None


def test_a_read_only_file_system(client, guest_dir):
    with mounted(client, f"{guest_dir}/ro", "size=1m"):
        sh(client, 'mount -o remount,ro "$1"', f"{guest_dir}/ro")
        error = error_of(do_import, client, archive(member("f")), f"{guest_dir}/ro")
        assert (error.code, error.path) == ("EROFS", "f")
        assert error_of(do_import, client, archive(member("f")), f"{guest_dir}/ro/x").code == "EROFS"


# -- clients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 100, 700, 300_000, 500_000])
@pytest.mark.parametrize("pack", [bytes, gz, zst])
def test_cancel(conn, dest, at, pack):
    """Whole files are left, no half ones."""
    data = pack(archive(member("a", data=b"a" * 1500), member("d/b", data=os.urandom(600_000)), member("c")))
    call = conn.open("tar.import", {"path": dest})
    call.write(data[:at])
    if at >= 300_000:
        eventually(lambda: sh(conn, '[ ! -d "$1/d" ] || ls -A "$1/d"', dest), "it has come to the second")
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert not sh(conn, '[ ! -d "$1" ] || find "$1" -type f ! -name a', dest), "a half file is left"
    if at >= 300_000:
        assert cat(conn, f"{dest}/a") == b"a" * 1500


def test_slow_sender(client, dest):
    data = gz(archive(*SMALL), 9)
    call = client.open("tar.import", {"path": dest})
    for i in range(0, len(data), 100):
        call.write(data[i:i + 100])
        assert client.call("system.ping")
    time.sleep(0.05)
    call.end()
    assert call.wait()["files"] == 5


def test_more_than_the_end(client, dest):
    """What follows is dropped, as every tar does, however much."""
    assert do_import(client, archive(*SMALL) + b"rubbish" * 100_000, dest)["files"] == 5


def test_clients_that_go_away(guestd, tmp_path):
    """No descriptor, no memory, no half file is left of them; their number is free again."""
    daemon = guestd()
    packs = [bytes, gz, lambda data: zst(data, "-19")]
    data = [pack(archive(member("a/f", data=os.urandom(500_000)), member("g"))) for pack in packs]

    def round_trip(i):
        with daemon.connect() as c:
            calls = [c.open("tar.import", {"path": f"{tmp_path}/{i}/{k}"}) for k in range(6)]
            for k, call in enumerate(calls):
                call.write(data[k % 3][:[450_000, 90, 0][i % 3]])
            what = "a" if i % 3 == 0 else ""
            eventually(lambda: all((tmp_path / f"{i}/{k}" / what).exists() for k in range(6)), "all have begun")
        eventually(lambda: daemon.fds() <= idle, "no descriptor is left")

    with daemon.connect() as c:
        do_import(c, data[0], f"{tmp_path}/warm")
        idle = daemon.fds()
    for path in tmp_path.rglob("warm/**/*"):
        path.is_dir() or path.unlink()
    for i in range(9):
        round_trip(i)
    eventually(lambda: not [f for f in tmp_path.rglob("*") if f.is_file()], "no half file is left")
    before = daemon.rss()
    for i in range(9, 9 + rounds(60)):
        round_trip(i)
    eventually(lambda: not [f for f in tmp_path.rglob("*") if f.is_file()], "no half file is left")
    if not sanitized():
        assert daemon.rss() - before < 16 << 20
    with daemon.connect() as c:
        calls = [start_import(c, archive(member("f")), f"{tmp_path}/end/{i}") for i in range(8)]
        assert [call.wait()["files"] for call in calls] == [1] * 8


def test_memory(guestd, tmp_path):
    """It does not grow with the archive."""
    daemon = guestd()
    with daemon.connect() as c:
        do_import(c, gz(archive(member("warm", data=bytes(1 << 20)))), str(tmp_path / "w"))
        daemon.reset_peak()
        before = daemon.peak()
        do_import(c, gz(header(b"f", size=256 << 20) + bytes(256 << 20) + END), str(tmp_path / "d"))
        assert (tmp_path / "d/f").stat().st_size == 256 << 20
        assert daemon.peak() - before < (96 if sanitized() else 12) << 20
