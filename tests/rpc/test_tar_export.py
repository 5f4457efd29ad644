"""tar.export: everything that a tree can hold comes through, byte for byte, and other readers agree."""

import os

import pytest

from archives import FORMATS, contents, export, extract, members, skipped, unpacked
from client import LONG
from files import sh
from support import NUMBERS, error_of, numbers

MAKE = f"""mkdir -p "$1"; cd "$1"; mkdir -p a/b empty; ({numbers(300001)}) >a/b/numbers; printf one >a/one; : >nothing
    ln a/one a/second; ln -s a/one link; ln -s nowhere dangling; mkfifo fifo; chmod 755 . a empty; chmod 1777 a/b
    chmod 4711 a/one; chmod 600 nothing fifo"""


@pytest.mark.parametrize("format", FORMATS)
def test_a_tree(conn, guest_dir, format):
    sh(conn, MAKE, f"{guest_dir}/t")
    data, result = export(conn, path=f"{guest_dir}/t", format=format)
    tar = unpacked(data, format)
    assert len(tar) % 512 == 0 and not tar[-1024:].strip(b"\0")
    found = members(tar)
    types = {name: (m.type, m.mode, m.size, m.linkname) for name, m in found.items()}
    assert types == {
        "a": (b"5", 0o755, 0, ""), "a/b": (b"5", 0o1777, 0, ""), "a/b/numbers": (b"0", 0o644, 300001, ""),
        "a/one": (b"0", 0o4711, 3, ""), "a/second": (b"1", 0o4711, 0, "a/one"), "empty": (b"5", 0o755, 0, ""),
        "dangling": (b"2", 0o777, 0, "nowhere"), "link": (b"2", 0o777, 0, "a/one"), "fifo": (b"6", 0o600, 0, ""),
        "nothing": (b"0", 0o600, 0, ""),
    }
    assert list(found) == sorted(found, key=lambda n: n.split("/")), "each directory's names in order"
    assert contents(tar) == {"a/b/numbers": NUMBERS[:300001], "a/one": b"one", "a/second": b"one", "nothing": b""}
    assert (result["files"], result["bytes"], result["skipped"]) == (7, 300004, [])


def test_gzip_is_the_default(client, guest_dir):
    sh(client, MAKE, f"{guest_dir}/t")
    tar = export(client, path=f"{guest_dir}/t", format="tar")[0]
    assert unpacked(export(client, path=f"{guest_dir}/t")[0], "tar.gz") == tar


@pytest.mark.parametrize("format,levels", [("tar.gz", [1, 2, 3, 6, 9]), ("tar.zst", [1, 3, 10])])
def test_levels(client, guest_dir, format, levels):
    """Several blocks of it, and the last one not full."""
    sh(client, f'({numbers(1_300_001)}) >"$1"', f"{guest_dir}/f")
    tar = export(client, path=f"{guest_dir}/f", format="tar")[0]
    sizes = []
    for level in levels:
        data = export(client, path=f"{guest_dir}/f", format=format, level=level)[0]
        assert unpacked(data, format) == tar
        sizes.append(len(data))
    assert sizes[-1] < sizes[0] < len(tar) / 2


@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_compressed(client, guest_dir, format):
    noise = os.urandom(2_500_000)
    client.call("fs.mkdir", {"path": f"{guest_dir}/t"})
    for i in range(0, len(noise), 500_000):
        client.call("fs.put", {"path": f"{guest_dir}/t/{i:07}", "data": noise[i:i + 500_000]})
    tar = unpacked(export(client, path=f"{guest_dir}/t", format=format)[0], format)
    assert b"".join(contents(tar).values()) == noise


def test_names_are_bytes(client, guest_dir):
    """Long ones, not ASCII, not UTF-8, with anything in them; targets of links too."""
    names = [b"n" * 99, b"n" * 100, b"n" * 101, b"x" * 255, "ä".encode(), "日本語".encode() * 20, b"\xff\xfe", b"\xe4" * 200,
             b"two\nlines", b" space ", b"back\\slash", b"a=b", b"-rf", b"\x01\x7f", ("ü" * 60).encode() + b"\xff"]
    dirs = [b"d" * 80, b"d" * 200 + b"/" + b"e" * 200, b"/".join([b"deep"] * 60)]
    every = names + [d + b"/" + n for d in dirs for n in names]
    client.call("fs.write_files", {"files": [{"path": f"{guest_dir}/t/".encode() + n, "data": n[-50:]} for n in every]})
    for i, n in enumerate(every):
        client.call("fs.symlink", {"target": n, "path": f"{guest_dir}/t/links{i}"})
    tar = export(client, path=f"{guest_dir}/t", format="tar")[0]
    found = members(tar)
    assert {os.fsencode(k): v for k, v in contents(tar).items()} == {n: n[-50:] for n in every}
    for i, n in enumerate(every):
        assert os.fsencode(found[f"links{i}"].linkname) == n


def test_a_path_that_no_call_takes(client, guest_dir):
    deep = "/".join(["x" * 200] * 30) + "/f"
    client.call("fs.put", {"path": f"{guest_dir}/t/{deep}", "data": b"deep"})
    assert contents(export(client, path=f"{guest_dir}/t", format="tar")[0]) == {deep: b"deep"}


def test_hard_links_of_everything(client, guest_dir):
    """The first name in the order of the walk is the file, whatever it is; one name alone is no link."""
    sh(client, 'mkdir -p "$1/z" "$2"; cd "$1"; echo x >z/file; ln z/file b; ln z/file c; mkfifo p; ln p q; echo y >alone; ln alone "$2/o"',
       f"{guest_dir}/t", f"{guest_dir}/other")
    found = members(export(client, path=f"{guest_dir}/t", format="tar")[0])
    assert {n: (m.type, m.linkname) for n, m in found.items()} == {
        "alone": (b"0", ""), "b": (b"0", ""), "c": (b"1", "b"), "p": (b"6", ""), "q": (b"1", "p"), "z": (b"5", ""), "z/file": (b"1", "b")}


def test_devices(client, guest_dir, is_root):
    """Made only by root: another user's agent has the one that is there already."""
    if is_root:
        sh(client, 'mkdir "$1"; mknod "$1/c" c 1 3; mknod "$1/b" b 7 300', f"{guest_dir}/t")
        found = members(export(client, path=f"{guest_dir}/t", format="tar")[0])
        assert {n: (m.type, m.devmajor, m.devminor) for n, m in found.items()} == {"c": (b"3", 1, 3), "b": (b"4", 7, 300)}
    found = members(export(client, path="/dev/null", format="tar")[0])
    assert {n: (m.type, m.devmajor, m.devminor) for n, m in found.items()} == {"null": (b"3", 1, 3)}


@pytest.mark.parametrize("us", [0, 1, 999_999, 1_700_000_000_123_456, -1, -1_500_000, -2_000_000, 1 << 33, 8_589_934_592_000_000])
def test_times(client, guest_dir, us):
    client.call("fs.put", {"path": f"{guest_dir}/f", "data": b""})
    client.call("fs.utimes", {"path": f"{guest_dir}/f", "mtime_us": us, "atime_us": 5})
    kept = client.call("fs.stat", {"path": f"{guest_dir}/f"})["mtime_us"]
    m = members(export(client, path=f"{guest_dir}/f", format="tar")[0])["f"]
    assert round(float(m.pax_headers.get("mtime", m.mtime)) * 1_000_000) == kept
    assert "atime" not in m.pax_headers


def test_owners(client, guest_dir, is_root):
    ids = ["1:2", "2097151:2097151", "2097152:4000000000"] if is_root else ["%d:%d" % (os.getuid(), os.getgid())]
    for i, owner in enumerate(ids):
        client.call("fs.put", {"path": f"{guest_dir}/t/{i}", "data": b"", "owner": owner})
    found = members(export(client, path=f"{guest_dir}/t", format="tar")[0])
    assert [f"{m.uid}:{m.gid}" for m in found.values()] == ids and not any(m.uname or m.gname for m in found.values())


def test_names_of_owners(client, guest_dir, is_root):
    client.call("fs.put", {"path": f"{guest_dir}/t/f", "data": b""})
    entry = client.call("fs.stat", {"path": f"{guest_dir}/t/f"})
    m = members(export(client, path=f"{guest_dir}/t", format="tar", names=True)[0])["f"]
    assert (m.uname, m.gname) == (entry.get("user", ""), entry.get("group", ""))


# What it is called in the archive

def test_where_names_begin(client, guest_dir):
    sh(client, 'mkdir -p "$1/a/b/c"; cd "$1"; echo 1 >a/one; echo 2 >a/b/two; echo 3 >a/b/c/three; ln -s a alias', guest_dir)

    def names(**params):
        return list(members(export(client, format="tar", **params)[0]))

    g = guest_dir
    assert names(path=f"{g}/a") == names(path=f"{g}/a/") == names(path=f"/{g}//a") == ["b", "b/c", "b/c/three", "b/two", "one"]
    assert names(path=f"{g}/alias") == names(path=f"{g}/a"), "what is given may be a link"
    assert names(path=f"{g}/a/one") == ["one"]
    assert names(path=f"{g}/a/b", base=g) == ["a/b", "a/b/c", "a/b/c/three", "a/b/two"]
    assert names(path=f"{g}/a/b", base=f"{g}/") == names(path=f"{g}/a/b", base=g)
    assert names(path=f"{g}/a/b", base="/")[0] == f"{g}/a/b"[1:]
    assert names(path=f"{g}/a/b", base=f"{g}/a/b") == names(path=f"{g}/a/b")
    assert names(paths=[f"{g}/a/b/c", f"{g}/a/one"]) == ["b/c", "b/c/three", "one"]
    assert names(paths=[f"{g}/a/one", f"{g}/a/b/two"], base=g) == ["a/one", "a/b/two"]
    assert names(paths=[f"{g}/a"]) == names(path=f"{g}/a")
    assert names(path=f"{g}/a/b/c/") == ["three"]


def test_nothing(client, guest_dir):
    sh(client, 'mkdir "$1"', f"{guest_dir}/t")
    data, result = export(client, path=f"{guest_dir}/t", format="tar")
    assert data == bytes(1024) and (result["files"], result["bytes"]) == (0, 0)
    assert unpacked(export(client, path=f"{guest_dir}/t")[0], "tar.gz") == data


def test_ignore(client, guest_dir):
    sh(client, 'mkdir -p "$1/sub/build" "$1/build" "$1/node_modules/x"; cd "$1"; for f in a.log sub/b.log keep.log build/x sub/build/y '
               'node_modules/x/y sub/z; do echo $f >$f; done', f"{guest_dir}/t")
    found = members(export(client, path=f"{guest_dir}/t", format="tar", ignore=["*.log", "!keep.log", "/build", "node_modules/"])[0])
    assert list(found) == ["keep.log", "sub", "sub/build", "sub/build/y", "sub/z"]


# Reproducible

def same_trees(client, guest_dir):
    sh(client, f'mkdir -p "$1/z/deep"; cd "$1"; ({numbers(200_000)}) >z/deep/n; echo a >a; ln a b; ln -s a c; mkfifo p; : >holes; '
               "head -c 200000 /dev/zero >holes; chmod 755 . z z/deep; chmod 644 a z/deep/n holes p", f"{guest_dir}/one")
    sh(client, f'umask 077; mkdir -p "$1"; cd "$1"; truncate -s 200000 holes; mkfifo p; : >gone; ln -s a c; echo a >b; mkdir z; ln b a; rm gone; '
               f'mkdir z/deep; ({numbers(200_000)}) >z/deep/n; chmod 755 . z z/deep; chmod 644 a z/deep/n holes p', f"{guest_dir}/other/two")
    return f"{guest_dir}/one", f"{guest_dir}/other/two"


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_tree_gives_the_same_bytes(client, guest_dir, format, is_root):
    first, second = same_trees(client, guest_dir)
    if is_root:
        client.call("fs.chown", {"path": second, "owner": "1234:4321", "recursive": True})
    client.call("fs.utimes", {"path": f"{second}/a", "mtime_us": 12_345_678})
    data = export(client, path=first, format=format, reproducible=True)[0]
    assert data == export(client, path=second, format=format, reproducible=True)[0]
    assert data == export(client, path=second, format=format, reproducible=True)[0]
    assert data != export(client, path=first, format=format)[0]
    for m in members(unpacked(data, format)).values():
        assert (m.uid, m.gid, m.mtime, m.pax_headers) == (0, 0, 0, {})


def test_reproducible_with_owner_and_time(client, guest_dir, is_root):
    first, second = same_trees(client, guest_dir)
    owner = client.call("fs.stat", {"path": f"{first}/a"})
    data = export(client, path=first, format="tar", reproducible=True, mtime_us=1_500_000, keep_owner=True)[0]
    assert data == export(client, path=second, format="tar", reproducible=True, mtime_us=1_500_000, keep_owner=True)[0]
    for m in members(data).values():
        assert (m.uid, m.gid, float(m.pax_headers["mtime"])) == (owner["uid"], owner["gid"], 1.5)
    if is_root:
        client.call("fs.chown", {"path": second, "owner": "1234:4321", "recursive": True})
        other = export(client, path=second, format="tar", reproducible=True, keep_owner=True)[0]
        assert {(m.uid, m.gid) for m in members(other).values()} == {(1234, 4321)}


# raw

def test_raw(conn, guest_dir):
    sh(conn, f'({numbers(700_000)}) >"$1"; ln -s f "$1.link"', f"{guest_dir}/f")
    for path in [f"{guest_dir}/f", f"{guest_dir}/f.link"]:
        data, result = export(conn, path=path, format="raw")
        assert data == NUMBERS[:700_000]
        assert (result["files"], result["bytes"], result["skipped"]) == (1, 700_000, [])


def test_raw_is_one_file(client, guest_dir):
    assert error_of(export, client, path=guest_dir, format="raw").code == "EISDIR"
    assert error_of(export, client, path=f"{guest_dir}/none", format="raw").code == "ENOENT"
    for more in [{"base": "/"}, {"ignore": ["x"]}, {"reproducible": True}, {"names": True}, {"level": 1}]:
        assert error_of(export, client, path="/etc/passwd", format="raw", **more).code == "bad_params", more
    assert error_of(export, client, paths=["/etc/passwd"], format="raw").code == "bad_params"


# What is refused

@pytest.mark.parametrize("params,word", [
    ({}, "path"), ({"path": "/", "paths": ["/"]}, "path"), ({"paths": []}, "paths"), ({"path": "x"}, "path"),
    ({"path": "/a/../b"}, "path"), ({"paths": ["/", "b"]}, "paths"), ({"path": "/usr", "base": "/etc"}, "base"),
    ({"path": "/usr", "base": "/usrlocal"}, "base"), ({"path": "/etc/passwd", "base": "/etc/passwd"}, "base"),
    ({"path": "/usr", "base": "usr"}, "base"), ({"path": "/", "format": "zip"}, "format"), ({"path": "/", "level": 10}, "level"), ({"path": "/", "level": 0}, "level"),
    ({"path": "/", "format": "tar.zst", "level": 20}, "level"), ({"path": "/", "format": "tar", "level": 1}, "level"),
    ({"path": "/", "keep_owner": True}, "keep_owner"), ({"path": "/", "mtime_us": 5}, "mtime_us"),
    ({"path": "/", "names": True, "reproducible": True}, "names")])
def test_refused(client, params, word):
    error = error_of(export, client, **params)
    assert error.code == "bad_params" and word in error.message


def test_a_path_that_is_not_there(client, guest_dir):
    """Is told before anything is sent."""
    call = client.open("tar.export", {"paths": [guest_dir, f"{guest_dir}/none"], "format": "tar"})
    error = error_of(call.wait, LONG)
    assert (error.code, error.path) == ("ENOENT", f"{guest_dir}/none") and not call.stdout


def test_what_cannot_be_read_is_listed(client, guest_dir, is_root):
    """With a user's rights; the rest comes."""
    sh(client, 'mkdir -p "$1/closed" "$1/open"; cd "$1"; echo 1 >closed/file; echo 2 >secret; echo 3 >open/file; '
               'chmod 700 closed; chmod 600 secret; chmod 755 . open; chmod 644 open/file', f"{guest_dir}/t")
    if not is_root:
        sh(client, 'chmod 0 "$1/closed" "$1/secret"', f"{guest_dir}/t")
    user = {"user": "4321:4321"} if is_root else {}
    data, result = export(client, path=f"{guest_dir}/t", format="tar", **user)
    assert list(members(data)) == ["closed", "open", "open/file"]
    assert skipped(result) == {f"{guest_dir}/t/closed": "EACCES", f"{guest_dir}/t/secret": "EACCES"}
    if is_root:
        assert error_of(export, client, path=f"{guest_dir}/t/closed", format="tar", **user).code == "EACCES"
        assert export(client, path=f"{guest_dir}/t", format="tar")[1]["skipped"] == []
    else:
        sh(client, 'chmod 700 "$1/closed"', f"{guest_dir}/t")


def test_the_list_is_bounded_and_says_how_many_more(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("needs files of another user")
    sh(client, 'mkdir "$1"; cd "$1"; for i in $(seq 1000); do : >unreadable-by-anybody-else-$i; done; chmod 600 un*', f"{guest_dir}/t")
    result = export(client, path=f"{guest_dir}/t", format="tar", user="4321:4321")[1]
    assert result["files"] == 0 and result["skipped_total"] == 1000 > len(result["skipped"]) > 10


@pytest.mark.local
def test_gnu_tar_makes_the_same_tree_of_it(client, tmp_path):
    sh(client, MAKE, f"{tmp_path}/t")
    for i, name in enumerate([b"\xff\xfe", "é".encode(), b"n" * 200, b"d" * 120 + b"/" + b"f" * 150]):
        client.call("fs.put", {"path": os.fsencode(tmp_path) + b"/t/" + name, "data": b"%d" % i, "mtime_us": 1_234_567_891_234_567})
    data = export(client, path=f"{tmp_path}/t", format="tar")[0]
    copy = extract(data, tmp_path / "copy", "--numeric-owner")

    def told(top):
        return sh(client, 'cd "$1"; find . -mindepth 1 -not -type d -printf "%p %y %m %U:%G %s %T@ %l %n\\n" | sort; '
                          'find . -mindepth 1 -type d -printf "%p %m %T@\\n" | sort', top)
    assert told(f"{tmp_path}/t") == told(copy)
    assert client.call("fs.hash", {"path": f"{tmp_path}/t"}) == client.call("fs.hash", {"path": copy})
