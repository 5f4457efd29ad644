"""tar.import: what the archive says is what is there then."""

import os
import tarfile

import pytest

from tarballs import (END, MTIME, archive, do_import, gnu_tar, gz, header, long_name, looks, member, padded, pax,
                      start_import, tree, zst)
from files import cat, names, sh, stat
from support import NUMBERS, REMOTE, error_of, eventually, rounds

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
PACKED = {"tar": bytes, "tar.gz": gz, "tar.zst": zst}

EVERY_KIND = [
    member("d", "dir", mode=0o750),
    member("d/file", data=NUMBERS[:100_000], mode=0o640),
    member("d/empty", mode=0o400),
    member("d/full", data=bytes(512)),
    member("d/script", data=b"#!/bin/sh\n", mode=0o755),
    member("d/hard", "hardlink", target="d/file"),
    member("d/link", "symlink", target="file"),
    member("d/up", "symlink", target="../e"),
    member("d/dangling", "symlink", target="not/there"),
    member("d/fifo", "fifo", mode=0o600),
    member("e", "dir", mode=0o555),
    member("e/inside", data=b"of a directory that nobody may write to"),
]


@pytest.fixture
def dest(guest_dir):
    return f"{guest_dir}/dest"


@pytest.fixture
def root_only(is_root):
    if not is_root:
        pytest.skip("the agent is not root")


def assert_every_kind(client, dest, owner="0:0"):
    found = tree(client, dest)
    links = {name: found.pop(name) for name in ("d/link", "d/up", "d/dangling")}
    found.pop(".")
    assert found == {
        "d": looks("dir", 0o750, int(found["d"].split()[2]), owner),
        "d/file": looks("file", 0o640, 100_000, owner), "d/hard": looks("file", 0o640, 100_000, owner),
        "d/empty": looks("file", 0o400, 0, owner), "d/full": looks("file", 0o644, 512, owner),
        "d/script": looks("file", 0o755, 10, owner), "d/fifo": looks("fifo", 0o600, 0, owner),
        "e": looks("dir", 0o555, int(found["e"].split()[2]), owner), "e/inside": looks("file", 0o644, 39, owner)}
    assert {value.split()[3] for value in links.values()} == {str(MTIME)}
    assert sh(client, 'cd "$1"; readlink d/link; readlink d/up; readlink d/dangling',
              dest) == b"file\n../e\nnot/there\n"
    assert cat(client, f"{dest}/d/file") == NUMBERS[:100_000] and cat(client, f"{dest}/d/full") == bytes(512)
    assert stat(client, f"{dest}/d/file", "%i %h") == stat(client, f"{dest}/d/hard", "%i %h")


@pytest.mark.parametrize("packed", ["tar.zst"] if REMOTE else PACKED)   # an emulated guest takes its time
@pytest.mark.parametrize("format", FORMATS)
def test_every_kind(conn, dest, root_only, format, packed):
    data = PACKED[packed](archive(*EVERY_KIND, format=FORMATS[format]))
    sent = {"format": packed} if format == "pax" else {}
    size = sum(len(data) for _, data in EVERY_KIND)
    assert do_import(conn, data, dest, **sent) == {"files": 10, "bytes": size}
    assert_every_kind(conn, dest)


def test_over_itself(client, dest, root_only):
    """Once more: all is replaced, the hard links of one another among it."""
    data = archive(*EVERY_KIND)
    first, inode = do_import(client, data, dest), stat(client, f"{dest}/d/file", "%i")
    assert do_import(client, data, dest) == first
    assert_every_kind(client, dest)
    assert stat(client, f"{dest}/d/file", "%i") != inode
    assert names(client, f"{dest}/d") == ["dangling", "empty", "fifo", "file", "full", "hard", "link", "script", "up"]


def test_several_members(client, dest):
    data = archive(member("a", data=NUMBERS[:200_000]), member("b", data=b"b"))
    for pack in (gz, zst):
        pieces = b"".join(pack(data[i:i + 50_000]) for i in range(0, len(data), 50_000))
        assert do_import(client, pieces, dest) == {"files": 2, "bytes": 200_001}
        assert cat(client, f"{dest}/a") == NUMBERS[:200_000]
    # What fills up the last block of a tape, and a frame that is to be skipped.
    assert do_import(client, gz(data) + bytes(5000), dest)["files"] == 2
    assert do_import(client, b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zst(data), dest)["files"] == 2


@pytest.mark.local
@pytest.mark.parametrize("pack", [bytes, gz, zst])
def test_byte_by_byte(client, dest, pack):
    data = pack(pax(("path", "long/" + "n" * 200)) + header(size=5) + padded(b"12345") + END)
    call = client.open("tar.import", {"path": dest})
    for i in range(len(data)):
        call.write(data[i:i + 1])
    call.end()
    assert call.wait() == {"files": 1, "bytes": 5}
    assert cat(client, f"{dest}/long/{'n' * 200}") == b"12345"


@pytest.mark.local
def test_long_names(client, dest):
    parts = ["x" * 240 + str(i) for i in range(12)]
    path, target = "/".join(parts), "/".join(f"y{part}" for part in parts)
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        data = archive(member(path, data=b"deep"), member(f"{path}-hard", "hardlink", target=path),
                       member("link", "symlink", target=target), format=format)
        assert do_import(client, data, dest)["files"] == 3
        assert sh(client, 'cd "$1"; cat x*/*/*/*/*/*/*/*/*/*/*/*-hard; readlink link', dest) == f"deep{target}\n".encode()
        sh(client, 'rm -r "$1"', dest)


def test_a_path_that_no_call_takes(client, dest):
    """Longer than PATH_MAX: it is entered part by part."""
    parts = [f"{i:03}".ljust(200, "p") for i in range(40)]
    assert do_import(client, archive(member("/".join(parts), data=b"deep")), dest) == {"files": 1, "bytes": 4}
    script = 'cd "$1"; while d=$(ls -A) && [ -d "$d" ]; do cd -P "$d"; done; cat "$d"'
    assert sh(client, script, dest) == b"deep"


NAMES = [b"\xff\xfe", b"new\nline", b"\xe4\xf6\xfc", "ü".encode(), b"a\\b", b"-rf", b"*", b"sp ace", b"q'\"", b"\x01\x7f",
         b"tab\t", "日本".encode(), b"~", b"C:\\x"]


@pytest.mark.parametrize("how", ["ustar", "gnu", "pax"])
def test_names_are_bytes(client, dest, how):
    data = b""
    for name in NAMES:
        if how == "pax":
            data += pax(("path", name), ("comment", b"\xff"))
        elif how == "gnu":
            data += long_name(name)
        data += header(name if how == "ustar" else b"other", size=len(name)) + padded(name)
    do_import(client, data + END, dest)
    found = sh(client, 'cd "$1"; for f in *; do cat "./$f"; printf "|%s\\0" "$f"; done', dest)
    assert sorted(found.split(b"\0")[:-1]) == sorted(name + b"|" + name for name in NAMES)


def test_times(client, dest):
    times = {"1.5": 1, "-1.25": -2, "1700000000.123456789": 1700000000, "0": 0, "4102444800": 4102444800}
    data = b"".join(pax(("mtime", text)) + header(f"t{i}".encode()) for i, text in enumerate(times))
    do_import(client, data + header(b"old", mtime=b"\xff" * 11 + b"\xf6") + END, dest)
    found = tree(client, dest, "%Y")
    assert [int(found[f"t{i}"]) for i in range(len(times))] == list(times.values())
    assert found["old"] == "-10"
    assert client.call("fs.stat", {"path": f"{dest}/t2"})["mtime_us"] == 1700000000_123456


@pytest.mark.local
def test_numbers_of_the_gnu_format(client, dest, root_only):
    """Base 256: an owner that octal digits do not hold; digits between spaces and without an end."""
    uid = b"\x80" + (3_000_000_000).to_bytes(7, "big")
    data = header(b"a", uid=uid, magic=b"ustar  \0") + header(b"b", size=b"%11o " % 3, mode=b"   644\0 ") + padded(b"abc")
    do_import(client, data + END, dest)
    found = tree(client, dest)
    assert found["a"] == looks("file", 0o644, owner="3000000000:0") and found["b"] == looks("file", 0o644, 3)


def test_directories_at_the_end(client, dest, root_only):
    """Their times and modes hold what comes into them later, and the last of two entries counts."""
    data = archive(member("a/b", "dir", mode=0o500, mtime=5), member("a", "dir", mode=0o000, mtime=3),
                   member("a/b/c", data=b"c"), member("a/b", "dir", mode=0o511, mtime=6), member("a/d", data=b"d"),
                   member("x/y/z", data=b"z"))
    do_import(client, data, dest)
    found = tree(client, dest, "%f %Y")
    assert (found["a"], found["a/b"]) == (f"{0o40000:x} 3", f"{0o40511:x} 6")
    assert found["x/y"].startswith(f"{0o40755:x} ")


def test_the_directory_itself(client, dest, root_only):
    """It gets what the archive has for it when it was made or found empty; else it stays as it is."""
    data = archive(member("./", "dir", mode=0o711, mtime=7), member("./f", data=b"f"))
    do_import(client, data, dest)
    assert tree(client, dest, "%f %Y")["."] == f"{0o40711:x} 7"
    sh(client, 'chmod 750 "$1"; touch -d "2001-02-03 04:05:06" "$1"', dest)
    do_import(client, archive(member(".", "dir", mode=0o777)), dest)
    assert stat(client, dest, "%a") == "750"


def test_parents_of_the_path(client, guest_dir):
    assert do_import(client, archive(member("f")), f"{guest_dir}/a/b/c//") == {"files": 1, "bytes": 0}
    assert stat(client, f"{guest_dir}/a/b/c/f", "%a") == "644"
    sh(client, 'cd "$1"; ln -s a link; >file', guest_dir)
    do_import(client, archive(member("g")), f"{guest_dir}/link/b")
    assert names(client, f"{guest_dir}/a/b") == ["c", "g"]
    assert error_of(do_import, client, archive(member("f")), f"{guest_dir}/file").code == "ENOTDIR"


def test_strip(client, dest, root_only):
    data = archive(member("./top", "dir"), member("top/a", data=b"a"), member("top/d/b", data=b"b"),
                   member("top/d/h", "hardlink", target="./top/a"), member("top/d/s", "symlink", target="../a"),
                   member("alone"))
    assert do_import(client, data, dest, strip=1) == {"files": 4, "bytes": 2, "stripped": 2}
    assert sorted(tree(client, dest)) == [".", "a", "d", "d/b", "d/h", "d/s"]
    error = error_of(do_import, client, data, dest, strip=2)
    assert error.code == "bad_params" and "stripped" in error.message
    # What was inside is not any more.
    data = archive(member("top/s", "symlink", target="../a"))
    do_import(client, data, f"{dest}/x")
    assert error_of(do_import, client, data, f"{dest}/y", strip=1).code == "bad_params"


def test_overwrite_false(client, dest):
    sh(client, 'mkdir "$1" "$1/d"; chmod 700 "$1/d"; echo old >"$1/d/f"', dest)
    data = archive(member("d", "dir"), member("d/new", data=b"n"), member("d/f", data=b"new"), member("z"))
    error = error_of(do_import, client, data, dest, overwrite=False)
    assert (error.code, error.path, error.data["written"]) == ("EEXIST", "d/f", ["d", "d/new"])
    assert cat(client, f"{dest}/d/f") == b"old\n" and stat(client, f"{dest}/d", "%a") == "700"
    assert names(client, f"{dest}/d") == ["f", "new"]
    assert do_import(client, data, dest)["files"] == 3
    assert cat(client, f"{dest}/d/f") == b"new" and stat(client, f"{dest}/d", "%a") == "755"


@pytest.mark.local
@pytest.mark.parametrize("kind, there", [("file", "ln -s target x"), ("file", "mkfifo x"), ("dir", "echo >x"),
                                         ("symlink", "echo >x"), ("hardlink", "echo >x"), ("fifo", "ln -s none x")])
def test_what_is_there_is_replaced(client, dest, kind, there):
    sh(client, f'mkdir "$1"; cd "$1"; echo safe >target; {there}', dest)
    target = {"symlink": "y", "hardlink": "y"}.get(kind, "")
    do_import(client, archive(member("y", data=b"y"), member("x", kind, target=target)), dest)
    expected = {"file": "81a4", "dir": "41ed", "symlink": "a1ff", "hardlink": "81a4", "fifo": "11a4"}
    assert tree(client, dest, "%f")["x"] == expected[kind]
    assert cat(client, f"{dest}/target") == b"safe\n" and names(client, dest) == ["target", "x", "y"]


def test_a_directory_is_not_replaced(client, dest):
    sh(client, 'mkdir -p "$1/x"', dest)
    error = error_of(do_import, client, archive(member("x")), dest)
    assert (error.code, error.path) == ("EISDIR", "x") and names(client, dest) == ["x"]


def test_an_old_file_lives_until_the_new_one_is_whole(client, dest):
    sh(client, 'mkdir "$1"; echo old >"$1/f"', dest)
    call = client.open("tar.import", {"path": dest})
    call.write(archive(member("f", data=NUMBERS[:300_000]))[:200_000])
    eventually(lambda: len(names(client, dest)) == 2, "the new one is being written")
    assert cat(client, f"{dest}/f") == b"old\n"
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert names(client, dest) == ["f"] and cat(client, f"{dest}/f") == b"old\n"


# -- rights ----------------------------------------------------------------------------------------


def test_owners_of_the_archive(client, dest, root_only):
    """By their numbers; with them the bits that make a program run as its owner."""
    data = archive(member("d", "dir", uid=12, gid=34, mode=0o2755), member("d/f", uid=56, gid=78, mode=0o4755),
                   member("d/s", "symlink", target="f", uid=9, gid=10, uname="daemon"))
    assert do_import(client, data, dest) == {"files": 2, "bytes": 0}
    found = tree(client, dest, "%f %u:%g")
    assert (found["d"], found["d/f"]) == (f"{0o42755:x} 12:34", f"{0o104755:x} 56:78")
    assert found["d/s"].endswith("9:10")


def test_owner(client, dest, root_only):
    data = archive(member("d/f", uid=56, gid=78, mode=0o4755), member("s", "symlink", target="d"), member("p", "fifo"))
    assert do_import(client, data, dest, owner="12:34") == {"files": 3, "bytes": 0, "lost": ["mode"]}
    found = tree(client, dest, "%f %u:%g")
    assert {value.split()[1] for value in found.values()} == {"12:34"}
    assert found["d/f"].startswith(f"{0o100755:x} ")
    # What was there belongs to whom it did.
    do_import(client, archive(member("d", "dir", mode=0o700), member("d/g")), dest, owner="56:78")
    assert [stat(client, f"{dest}/{name}", "%u:%g %a") for name in ("d", "d/f", "d/g")] == [
        "12:34 700", "12:34 755", "56:78 644"]


def test_user(client, guest_dir, dest, root_only):
    """With exactly that user's rights: what it makes is its own, set-id bits are dropped and told."""
    sh(client, 'mkdir "$1"; chown 1234:5678 "$1"; mkdir "$1/closed"; chmod 755 "$1/closed"', dest)
    data = archive(member("f", uid=56, gid=78, mode=0o6755), member("d", "dir", mode=0o500), member("d/g", data=b"g"),
                   member("p", "fifo"), member("s", "symlink", target="f"), member("w", "dir", mode=0o000),
                   member("w/x", "dir", mode=0o600))
    result = do_import(client, data, dest, user="1234:5678")
    assert result == {"files": 4, "bytes": 1, "lost": ["mode"]}
    found = tree(client, dest, "%f %u:%g")
    found.pop("closed")
    assert {value.split()[1] for value in found.values()} == {"1234:5678"}
    assert [found[name].split()[0] for name in "fdw"] == [f"{m:x}" for m in (0o100755, 0o40500, 0o40000)]
    assert found["w/x"].split()[0] == f"{0o40600:x}"
    error = error_of(do_import, client, archive(member("closed/f")), dest, user="1234:5678")
    assert (error.code, error.path) == ("EACCES", "closed/f")
    error = error_of(do_import, client, archive(member("null", "char", devmajor=1, devminor=3)), dest,
                     user="1234:5678", devices=True)
    assert error.code == "EPERM"
    assert error_of(do_import, client, data, f"{guest_dir}/new", user="1234:5678").code == "EACCES"


def test_devices(client, dest, root_only):
    data = archive(member("null", "char", devmajor=1, devminor=3, mode=0o666), member("disk", "block", devmajor=7, devminor=300))
    assert error_of(do_import, client, data, dest).code == "bad_params"
    assert names(client, dest) == []
    assert do_import(client, data, dest, devices=True) == {"files": 2, "bytes": 0}
    assert tree(client, dest, "%f %t,%T")["null"] == "21b6 1,3"
    assert tree(client, dest, "%f %t,%T")["disk"] == "61a4 7,12c"


@pytest.mark.local
def test_links_that_are_kept(client, dest):
    data = archive(member("a", "symlink", target="/etc/passwd"), member("b", "symlink", target="../../../x"),
                   member("c", "symlink", target="d/../../x"))
    for one in (data[:1024], data[512:]):
        assert error_of(do_import, client, one + END, dest).code == "bad_params"
    assert do_import(client, data, dest, links="keep")["files"] == 3
    assert sh(client, 'cd "$1"; readlink a; readlink b; readlink c', dest) == b"/etc/passwd\n../../../x\nd/../../x\n"


@pytest.mark.local
def test_absolute_links_inside(client, dest):
    data = archive(member("a/l", "symlink", target=f"{dest}/x"), member("m", "symlink", target=dest))
    assert do_import(client, data, dest)["files"] == 2
    for target in (f"{dest}/../x", f"{dest}x", f"{dest}/a/../../y", "/"):
        assert error_of(do_import, client, archive(member("n", "symlink", target=target)), dest).code == "bad_params"


# -- what only the machine at hand can show ---------------------------------------------------------


def snapshot(root):
    """All that a tree has, to be compared."""
    found = {}
    for directory, dirs, files in os.walk(os.fsencode(root)):
        for name in [b".", *dirs, *files]:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            regular = os.path.isfile(path) and not os.path.islink(path)
            found[os.path.relpath(path, os.fsencode(root))] = (
                oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, st.st_rdev, os.path.isdir(path) or st.st_nlink,
                regular and open(path, "rb").read(), os.path.islink(path) and os.readlink(path),
                {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)})
    return found


@pytest.fixture
def rich_tree(tmp_path):
    top = tmp_path / "tree"
    (top / "dir/deep").mkdir(parents=True)
    (top / "dir/file").write_bytes(NUMBERS[:300_000])
    os.link(top / "dir/file", top / "dir/deep/hard")
    (top / "link").symlink_to("dir/file")
    (top / os.fsdecode(b"\xff\xfename")).write_bytes(b"bytes")
    (top / ("n" * 200)).write_bytes(b"long")
    os.mkfifo(top / "fifo")
    with open(top / "sparse", "wb") as f:
        for at in (0, 1 << 20, 5 << 20):
            f.seek(at)
            f.write(b"data" * 1000)
        f.truncate(9 << 20)
    (top / "hole").touch()
    os.truncate(top / "hole", 1 << 20)
    os.setxattr(top / "dir/file", "user.mime", b"text\0\n=x")
    os.setxattr(top / "dir", "user.dir", b"d" * 500)
    os.chmod(top / "dir/deep", 0o500)
    os.utime(top / "dir", ns=(10**18 + 123456789, 10**18 + 123456789))
    return top


@pytest.mark.local
@pytest.mark.parametrize("sparse", [[], ["-S"], ["-S", "--sparse-version=0.0"], ["-S", "--sparse-version=0.1"]])
def test_gnu_tar_pax(client, rich_tree, tmp_path, sparse):
    """Everything comes through, to the nanosecond."""
    data = gnu_tar(rich_tree, "--format=pax", "--xattrs", "--xattrs-include=*", *sparse)
    do_import(client, data, str(tmp_path / "dest"))
    assert snapshot(tmp_path / "dest") == snapshot(rich_tree)
    if sparse:
        for name in ("sparse", "hole"):
            assert (tmp_path / "dest" / name).stat().st_blocks <= (rich_tree / name).stat().st_blocks


@pytest.mark.local
@pytest.mark.parametrize("format", PACKED)
def test_what_was_exported(client, rich_tree, tmp_path, format):
    """There and back: everything, to the nanosecond."""
    call = client.open("tar.export", {"path": str(rich_tree), "base": str(rich_tree), "format": format})
    exported = call.wait()
    imported = do_import(client, bytes(call.stdout), str(tmp_path / "dest"))
    assert imported == {"files": exported["files"], "bytes": exported["bytes"]}
    here, there = snapshot(tmp_path / "dest"), snapshot(rich_tree)
    assert {name: here[name] for name in there if name != b"."} == {name: there[name] for name in there if name != b"."}
    for name in ("sparse", "hole"):
        assert (tmp_path / "dest" / name).stat().st_blocks <= (rich_tree / name).stat().st_blocks


@pytest.mark.local
@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=gnu", "-S"], ["--format=oldgnu", "-S"]])
def test_gnu_tar_in_its_own_format(client, rich_tree, tmp_path, options):
    do_import(client, gz(gnu_tar(rich_tree, *options)), str(tmp_path / "dest"))
    here, there = snapshot(tmp_path / "dest"), snapshot(rich_tree)
    assert here.keys() == there.keys()
    for name, (mode, uid, gid, mtime, rdev, nlink, content, target, _) in there.items():
        assert here[name][:3] == (mode, uid, gid) and here[name][3] == mtime // 10**9 * 10**9
        assert here[name][4:8] == (rdev, nlink, content, target)
    if "-S" in options:
        assert (tmp_path / "dest/sparse").stat().st_blocks <= (rich_tree / "sparse").stat().st_blocks


@pytest.mark.local
def test_many_pieces_between_holes(client, tmp_path):
    """More than the header has room for, in each of the formats."""
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree/f", "wb") as f:
        for i in range(150):
            f.seek(i * 65536)
            f.write(b"%d" % i)
        f.truncate(151 * 65536)
    for i, options in enumerate((["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"])):
        data = gnu_tar(tmp_path / "tree", "-S", *options)
        assert len(data) < 2 << 20
        assert do_import(client, data, str(tmp_path / f"d{i}")) == {"files": 1, "bytes": 151 * 65536}
        assert (tmp_path / f"d{i}/f").read_bytes() == (tmp_path / "tree/f").read_bytes()


ACL_ACCESS = bytes.fromhex("02000000" "0100" "0600" "ffffffff" "0200" "0400" "01000000" "0200" "0700" "d2040000"
                           "0400" "0400" "ffffffff" "0800" "0500" "02000000" "1000" "0700" "ffffffff" "2000" "0000" "ffffffff")


@pytest.mark.local
@pytest.mark.parametrize("text", [
    "user::rw-,user:daemon:r--,user:1234:rwx,group::r--,group:bin:r-x,mask::rwx,other::---",
    "user::rw-\nuser:daemon:r--:1\nuser:nobody_such:rwx:1234\ngroup::r--\ngroup:bin:r-x:2\nmask::rwx\nother::---\n",
    "other:---,mask:rwx,g:bin:r-x,g::r--,u:daemon:r--,u:1234:rwx\t#effective:rwx,u::rw-"])
def test_acls(client, tmp_path, text):
    name = "system.posix_acl_access"
    data = pax(("SCHILY.acl.access", text)) + header(b"f", mode=0o670) + END
    assert do_import(client, data, str(tmp_path / "d")) == {"files": 1, "bytes": 0}
    assert os.getxattr(tmp_path / "d/f", name) == ACL_ACCESS
    # The default one of a directory is for what comes later, not for what the archive has.
    text = "user::rwx,user:1:rwx,group::rwx,mask::rwx,other::rwx"
    data = (pax(("SCHILY.acl.default", text)) + header(b"dir", b"5", mode=0o755) + header(b"dir/f", mode=0o640)
            + header(b"dir/sub", b"5") + header(b"dir/p", b"6") + END)
    assert do_import(client, data, str(tmp_path / "e")) == {"files": 2, "bytes": 0}
    assert os.listxattr(tmp_path / "e/dir") == ["system.posix_acl_default"]
    assert [os.listxattr(tmp_path / "e/dir" / n) for n in ("f", "sub", "p")] == [[], [], []]


@pytest.mark.local
@pytest.mark.parametrize("text", ["", "nonsense", "user::q", "user:nobody_such:r--", "user::rwx,user:1:r--", "a,b" * 9000,
                                  "user::rwx," * 5000 + "other::r--"])
def test_acls_that_are_none(client, tmp_path, text):
    """The file is there, and what it lacks is told."""
    data = pax(("SCHILY.acl.access", text)) + header(b"f", size=1) + padded(b"x") + END
    assert do_import(client, data, str(tmp_path / "d")) == {"files": 1, "bytes": 1, "lost": ["xattrs"]}


@pytest.mark.local
def test_attributes(client, tmp_path):
    big = os.urandom(3000)
    data = (pax(("SCHILY.xattr.user.a", big), ("SCHILY.xattr.user.b%3Dc", b""), ("LIBARCHIVE.xattr.user.%64", "aGVsbG8"),
                ("SCHILY.fflags", "nodump"), ("SCHILY.xattr.nonsense.x", "y")) + header(b"f") + header(b"g") + END)
    result = do_import(client, data, str(tmp_path / "d"))
    assert result == {"files": 2, "bytes": 0, "lost": ["xattrs", "flags"]}
    found = {n: os.getxattr(tmp_path / "d/f", n) for n in os.listxattr(tmp_path / "d/f")}
    assert found == {"user.a": big, "user.b=c": b"", "user.d": b"hello"} and os.listxattr(tmp_path / "d/g") == []


@pytest.mark.local
def test_many_small_files(client, tmp_path):
    n = rounds(20_000)
    members = [member(f"d{i % 100}/f{i}", data=b"%d" % i) for i in range(n)]
    assert do_import(client, gz(archive(*members)), str(tmp_path / "d"))["files"] == n
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "d")) == n
    assert all((tmp_path / f"d/d{i % 100}/f{i}").read_bytes() == b"%d" % i for i in range(0, n, 97))


@pytest.mark.local
def test_progress(client, dest):
    call = start_import(client, archive(*[member(f"f{i}", data=bytes(5000)) for i in range(200)]), dest, progress=True)
    assert call.wait() == {"files": 200, "bytes": 1_000_000}
    assert call.events and all(set(e) == {"type", "files", "bytes"} and e["type"] == "progress" for e in call.events)
    assert [e["files"] for e in call.events] == sorted(e["files"] for e in call.events)
    assert not start_import(client, archive(member("f")), dest).events


@pytest.mark.local
def test_params(client, dest):
    for params in ({"path": "relative"}, {}, {"path": dest, "format": "zip"}, {"path": dest, "links": "outside"},
                   {"path": dest, "strip": -1}, {"path": dest, "max_entries": 1 << 60}, {"path": dest, "nonsense": 1}):
        assert error_of(client.call, "tar.import", params).code == "bad_params"
    assert error_of(do_import, client, archive(member("f")), dest, user="nobody_such").code == "not_found"
    # A format that was given is not guessed.
    assert error_of(do_import, client, gz(archive(member("f"))), dest, format="tar").code == "bad_params"
    assert error_of(do_import, client, archive(member("f")), dest, format="tar.zst").code == "bad_params"
