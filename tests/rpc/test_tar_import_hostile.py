"""tar.import of archives that want out: each is refused by name, and around the directory nothing changes."""

import pytest

from tarballs import END, archive, do_import, gz, header, long_name, member, padded, pax, tree, zst
from files import background, cat, names, sh, stat
from support import REMOTE, error_of, rounds

KEEP = {"links": "keep"}


@pytest.fixture
def around(client, guest_dir):
    """A directory to import into, with things beside it that nobody may touch."""
    sh(client, """mkdir "$1/dest" "$1/outside"; cd "$1/outside"; echo precious >file; mkdir dir; echo too >dir/file; chmod 600 file dir
        ln -s ../outside/file ../link; touch -d "2001-02-03 04:05:06" file dir/file dir .; cd ..;
        touch -d "2001-02-03 04:05:06" .""", guest_dir)
    before = outside(client, guest_dir)
    yield guest_dir
    assert outside(client, guest_dir) == before


def outside(client, guest_dir):
    """All around the directory: also its times, which change where something was for a moment."""
    found = {name: value for name, value in tree(client, guest_dir, "%f %u:%g %s %Y %h %i").items()
             if not name.startswith("dest")}
    found["content"] = sh(client, 'cd "$1"; cat outside/file outside/dir/file; readlink link; ls -A . /', guest_dir)
    return found


# name: what is wrong in it, the members, further parameters
REFUSED = {
    "absolute": ("/tmp/rpc-x", [member("/tmp/rpc-x", data=b"x")]),
    "absolute, twice": ("//x", [member("//x")]),
    "absolute directory": ("/etc/x", [member("/etc/x", "dir")]),
    "absolute link": ("/tmp/l", [member("/tmp/l", "symlink", target="x")]),
    "up": ("../outside/x", [member("../outside/x", data=b"x")]),
    "up and over": ("../outside/file", [member("../outside/file", data=b"x")]),
    "up in between": ("a/../../outside/file", [member("a/../../outside/file", data=b"x")]),
    "up at the end": ("a/..", [member("a", "dir"), member("a/..", "dir", mode=0o777)]),
    "up alone": ("..", [member("..", "dir", mode=0o777)]),
    "up after dots": ("./.././x", [member("./.././x")]),
    "up in a fifo": ("../p", [member("../p", "fifo")]),
    "a link out": ("l", [member("l", "symlink", target="../outside")]),
    "a link to the root": ("l", [member("l", "symlink", target="/")]),
    "an absolute link": ("l", [member("l", "symlink", target="/etc/passwd")]),
    "a deep link out": ("a/b/l", [member("a/b/l", "symlink", target="../../../outside")]),
    "a link out behind a name": ("l", [member("l", "symlink", target="a/../../outside")]),
    "a link up through a link": ("m", [member("a/b/up", "symlink", target="../.."),
                                       member("m", "symlink", target="a/b/up/../outside")]),
    "a link up through the dot": ("m", [member("here", "symlink", target="."), member("m", "symlink", target="here/..")]),
    "a link to nothing": ("l", [member("l", "symlink", target="")]),
    "through a link out": ("l/file", [member("l", "symlink", target="../outside"), member("l/file", data=b"x")], KEEP),
    "through an absolute link": ("l/rpc-x", [member("l", "symlink", target="/tmp"), member("l/rpc-x", data=b"x")], KEEP),
    "through a link inside": ("l/file", [member("d", "dir"), member("l", "symlink", target="d"), member("l/file")]),
    "through links in turn": ("a/x/file", [member("a", "symlink", target="b"), member("b", "symlink", target="../outside"),
                                           member("a/x/file")], KEEP),
    "through a link in the middle": ("d/l/dir/file", [member("d/l", "symlink", target="../../outside"),
                                                      member("d/l/dir/file", data=b"x")], KEEP),
    "a directory over a link": ("l", [member("l", "symlink", target="../outside"), member("l", "dir", mode=0o777)], KEEP),
    "a directory below a link": ("l/dir", [member("l", "symlink", target="../outside"), member("l/dir", "dir", mode=0o777)],
                                 KEEP),
    "a link below a link": ("l/new", [member("l", "symlink", target="../outside"), member("l/new", "symlink", target="x")],
                            KEEP),
    "a fifo below a link": ("l/new", [member("l", "symlink", target="../outside"), member("l/new", "fifo")], KEEP),
    "a hard link to the outside": ("h", [member("h", "hardlink", target="../outside/file")]),
    "a hard link to a path": ("h", [member("h", "hardlink", target="/etc/passwd")]),
    "a hard link through a link": ("h", [member("l", "symlink", target="../outside"),
                                         member("h", "hardlink", target="l/file"), member("h", data=b"x")], KEEP),
    "a hard link to the root": ("h", [member("h", "hardlink", target=".")]),
    "a hard link below a link": ("l/h", [member("f"), member("l", "symlink", target="../outside"),
                                         member("l/h", "hardlink", target="f")], KEEP),
    "a hard link to nothing": ("h", [member("h", "hardlink", target="none")]),
    "a device": ("null", [member("null", "char", devmajor=1, devminor=3)]),
    "a disk": ("disk", [member("disk", "block", devmajor=8, devminor=0)]),
    "a file as a directory": ("f/x", [member("f"), member("f/x")]),
    "a file over a directory": ("d", [member("d/f"), member("d")]),
    "a name that no file system has": ("n" * 256, [member("n" * 256)]),
    "no name": (None, [member(".")]),
}


@pytest.mark.parametrize("case", list(REFUSED)[::4 if REMOTE else 1])
def test_refused(client, around, case):
    name, members, *params = REFUSED[case]
    params = params[0] if params else {}
    error = error_of(do_import, client, archive(member("first", data=b"1"), *members, member("last")),
                     f"{around}/dest", **params)
    assert error.code in ("bad_params", "ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "EPERM"), error
    assert error.stage in ("refuse", "write")
    if name:
        assert error.path == name and name[:60] in error.message, error
    number = 2 + next(i for i, (info, _) in enumerate(members) if info.name == (name or "."))
    if len([m for m in members if m[0].name == name]) < 2:
        assert f"entry {number}" in error.message, error
    assert error.data["written"][0] == "first" and error.data["files"] >= 1
    assert error.data["written_total"] == len(error.data["written"]) <= len(members)
    assert "last" not in names(client, f"{around}/dest")


RAW = {
    "a pax path": pax(("path", "/tmp/rpc-x")) + header(b"fine", size=1) + padded(b"x"),
    "a pax path up": pax(("path", "../outside/file")) + header(b"fine", size=1) + padded(b"x"),
    "a pax path with a NUL": pax(("path", b"a\0/../../x")) + header(b"fine"),
    "a global path": pax(("path", "../outside/file"), kind=b"g") + header(b"fine"),
    "a pax link": pax(("linkpath", "../outside")) + header(b"l", b"2", target=b"fine"),
    "a long name": long_name(b"../outside/" + b"x/../" * 40 + b"file") + header(b"fine", size=1) + padded(b"x"),
    "a long name with a NUL": long_name(b"fine\0/../../outside/x") + header(b"fine"),
    "a long link": long_name(b"../" * 60 + b"etc", b"K") + header(b"l", b"2", target=b"fine"),
    "a prefix": header(b"outside/file", prefix=b"..", size=1) + padded(b"x"),
    "an absolute prefix": header(b"rpc-x", prefix=b"/tmp"),
    "a sparse name": pax(("GNU.sparse.name", "../outside/file"), ("GNU.sparse.size", "1"), ("GNU.sparse.map", "0,1"))
    + header(b"fine", size=1) + padded(b"x"),
    "an old directory": header(b"../outside/", b"0"),
    "a contiguous file": header(b"../outside/file", b"7", size=1) + padded(b"x"),
    "an owner that is none": header(b"f", uid=b"\x80" + (2**32 - 1).to_bytes(7, "big")),
    "an owner beyond all": header(b"f", gid=b"\x80" + (2**40).to_bytes(7, "big")),
    "no name": header(b""),
}


@pytest.mark.local
@pytest.mark.parametrize("case", RAW)
def test_refused_headers(client, around, case):
    error = error_of(do_import, client, RAW[case] + END, f"{around}/dest", links="keep" if "link" not in case else "inside")
    assert error.code == "bad_params" and "entry 1" in error.message, error
    assert names(client, f"{around}/dest") == []


def test_links_that_are_there(client, around):
    """Those of the guest lead out as little as those of the archive."""
    sh(client, 'cd "$1/dest"; ln -s ../outside out; ln -s ../outside/file file; mkdir d; ln -s ../../outside/dir d/in',
       around)
    dest = f"{around}/dest"
    for name in ("out/file", "out/new", "out/dir/file", "d/in/file"):
        error = error_of(do_import, client, archive(member(name, data=b"x")), dest)
        assert (error.code, error.path) == ("bad_params", name) and "symbolic link" in error.message
    for params in ({}, {"overwrite": False}):
        assert error_of(do_import, client, archive(member("out", "dir", mode=0o777)), dest, **params).path == "out"
    # A file takes the place of a link, and what it leads to stays as it is.
    do_import(client, archive(member("file", data=b"new"), member("out", data=b"new")), dest)
    assert [cat(client, f"{dest}/{name}") for name in ("file", "out")] == [b"new", b"new"]


def test_hard_links_that_are_there(client, around):
    """Replaced, not written through."""
    dest = f"{around}/dest"
    sh(client, 'cd "$1"; echo shared >dest/other; ln dest/other dest/shared', around)
    do_import(client, archive(member("shared", data=b"new", mode=0o777)), dest)
    assert cat(client, f"{dest}/other") == b"shared\n" and stat(client, f"{dest}/other", "%a %h") == "644 1"
    # Nor through what the archive itself has linked.
    do_import(client, archive(member("a", data=b"a"), member("b", "hardlink", target="a"), member("b", data=b"b"),
                              member("l", "symlink", target="../outside/file"), member("m", "hardlink", target="l"),
                              member("m", data=b"m", mode=0o777)), dest, links="keep")
    assert [cat(client, f"{dest}/{name}") for name in "abm"] == [b"a", b"b", b"m"]


def test_a_hard_link_to_a_link(client, around):
    """It is the link that gets another name, and what it leads to gets nothing."""
    data = archive(member("l", "symlink", target="../outside/file"), member("h", "hardlink", target="l"))
    assert do_import(client, data, f"{around}/dest", links="keep")["files"] == 2
    assert stat(client, f"{around}/dest/h", "%F %h") == "symbolic link 2"


def test_a_fifo_that_is_there(client, around):
    """Nobody waits for its other end."""
    sh(client, 'mkfifo "$1/dest/p"', around)
    do_import(client, archive(member("p", data=b"file")), f"{around}/dest")
    assert cat(client, f"{around}/dest/p") == b"file"


@pytest.mark.parametrize("first", ["d", "d/l"])
def test_somebody_changes_directories_meanwhile(agent, client, around, first):
    """A directory and a link to the outside change places all the time."""
    dest = f"{around}/dest"
    sh(client, 'cd "$1"; mkdir -p d/l; mkdir -p other; ln -s "$2/outside" link; [ "$3" = d ] || ln -s ../../outside d/link',
       dest, around, first)
    swap = f"cd {dest}; while :; do mv -T {first} aside; mv -T link {first}; mv -T {first} link; mv -T aside {first}; done"
    members = [member(f"d/l/f{i}", data=b"x") for i in range(50)] + [member("d/l", "dir", mode=0o777)]
    data, refused = archive(*members), 0
    with background(agent, swap + " 2>/dev/null"):
        for _ in range(rounds(30)):
            try:
                do_import(client, data, dest)
            except Exception as e:
                assert type(e).__name__ == "RpcError", e
                refused += 1
    assert names(client, f"{around}/outside") == ["dir", "file"]


# -- too much --------------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.parametrize("pack", [gz, zst])
def test_bombs(client, around, pack):
    """A little that becomes a lot: the bound is on what comes out."""
    dest = f"{around}/dest"
    bomb = pack(header(b"f", size=64 << 20) + bytes(64 << 20) + END)
    assert len(bomb) < 1 << 20
    error = error_of(do_import, client, bomb, dest, max_bytes=10 << 20)
    assert error.code == "limit" and "max_bytes" in error.message
    assert names(client, dest) == []
    # Behind its end, too.
    error = error_of(do_import, client, pack(archive(member("f")) + bytes(64 << 20)), dest, max_bytes=10 << 20)
    assert error.code == "limit" and names(client, dest) == ["f"]


def test_too_many_entries(client, around):
    error = error_of(do_import, client, archive(*[member(f"f{i}") for i in range(20)]), f"{around}/dest", max_entries=10)
    assert error.code == "limit" and "max_entries" in error.message
    assert error.data["written_total"] == error.data["files"] == len(names(client, f"{around}/dest")) == 10


LIMITS = {
    "tar_header": header(b"pax", b"x", size=(1 << 20) + 1),
    "tar_global": header(b"pax", b"g", size=(64 << 10) + 1),
    "tar_name": long_name(b"n/" * (33 << 10)),
    "tar_name in pax": pax(("path", b"n/" * (33 << 10))) + header(),
    "tar_size": header(b"f", size=b"\x80" + (1 << 60).to_bytes(11, "big")),
    "tar_size in pax": pax(("size", str((1 << 53) + 1))) + header(),
    "tar_pieces": pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", str(1 << 50)))
    + header(b"f", size=8 << 20) + b"%d\n" % 400_000 + b"".join(b"%d\n1\n" % (2 * i) for i in range(400_000)),
}


@pytest.mark.local
@pytest.mark.parametrize("case", LIMITS)
def test_limits(client, around, case):
    error = error_of(do_import, client, LIMITS[case] + END, f"{around}/dest")
    assert error.code == "limit", error
    assert case.split()[0] in error.message, error
    assert names(client, f"{around}/dest") == []


@pytest.mark.local
def test_too_many_directories(client, guest_dir):
    """Their times are kept until the end, and there is room for so many names."""
    deep = "/".join(["d" * 250] * 255)
    data = b"".join(pax(("path", f"{deep}/{i}")) + header(kind=b"5") for i in range(600)) + END
    error = error_of(do_import, client, gz(data), f"{guest_dir}/dest")
    assert error.code == "limit" and "import_directories" in error.message
    assert 400 < error.data["written_total"] < 600
    # The room is there again.
    data = b"".join(pax(("path", f"{deep}/{i}")) + header(kind=b"5", mtime=7) for i in range(300)) + END
    for _ in range(3):
        assert do_import(client, gz(data), f"{guest_dir}/dest") == {"files": 0, "bytes": 0}


def test_a_window_that_is_too_large(client, around):
    """It is what the first bytes of a frame ask for; level 19 asks for as much as there is."""
    data = archive(member("f", data=b"x"))
    assert do_import(client, zst(data, "-19"), f"{around}/dest")["files"] == 1
    for log, code in ((23, "bad_params"), (24, "limit"), (27, "limit"), (41, "limit")):
        frame = b"\x28\xb5\x2f\xfd\0" + bytes([(log - 10) << 3]) + b"\x01\0\0"    # and an empty last block
        error = error_of(do_import, client, frame, f"{around}/dest")
        assert error.code == code and (code != "limit" or "tar_zstd_window" in error.message), (log, error)


def test_imports_at_once(agent, around):
    """So many and no more: each may need a window of zstd."""
    with agent.connect() as c:
        calls = [c.open("tar.import", {"path": f"{around}/dest/{i}"}) for i in range(8)]
        for i, call in enumerate(calls):
            call.write(archive(member("f"))[:600])
        while len(names(c, f"{around}/dest")) < 8:
            pass
        error = error_of(do_import, c, archive(member("f")), f"{around}/dest/8")
        assert error.code == "limit" and "imports" in error.message
        for call in calls:
            call.write(archive(member("f"))[600:])
            call.end()
            assert call.wait()["files"] == 1
        assert do_import(c, archive(member("f")), f"{around}/dest/8")["files"] == 1
