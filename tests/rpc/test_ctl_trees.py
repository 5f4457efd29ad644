"""guestctl put -r and get -r: whole directories, as archives; also where the guest lies."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import time

import pytest

from client import DATA, TIMEOUT
from guestctl import (UNREACHABLE, Terminal, archive, entry, interruptible, left_over, lying, member, ok, plain, sh)

NOISE = os.urandom(3_000_000)


# -- put and get: directories --------------------------------------------------------------------

def make_tree(root):
    """Everything that a tree can hold, made below `root`."""
    (root / "a" / "b" / "empty").mkdir(parents=True)
    (root / "a" / "script").write_bytes(b"#!/bin/sh\n")
    (root / "a" / "script").chmod(0o750)
    (root / "a" / "b" / "large").write_bytes(NOISE)
    (root / "a" / "b" / "just").write_bytes(NOISE[:65536])
    (root / "a" / "b" / "over").write_bytes(NOISE[:65537])
    (root / ".hidden").write_bytes(b"")
    (root / "up").symlink_to("a/b")
    (root / "a" / "down").symlink_to("../a/b/large")
    (root / "dangling").symlink_to("nowhere")
    for i in range(600):
        (root / f"{i:03}").write_bytes(NOISE[:i])
    with open(os.fsencode(root) + b"/caf\xe9\xff", "wb") as f:
        f.write(b"no UTF-8")
    with open(os.fsencode(root) + b"/\x1b[2J\n", "wb") as f:
        f.write(b"a control character")
    os.link(root / "a" / "b" / "large", root / "another name")
    os.utime(root / "a" / "script", ns=(1, 1_000_000_000_123_456_789))
    os.utime(root / "dangling", ns=(1, 1_100_000_000_000_000_001), follow_symlinks=False)
    (root / "readonly").mkdir()
    (root / "readonly" / "f").write_bytes(b"x")
    (root / "readonly").chmod(0o555)
    (root / (120 * "long ")[:255]).mkdir()
    for path in root / "readonly", root / "a" / "b" / "empty", root / "a":
        os.utime(path, ns=(1, 1_200_000_000_000_000_001))
    return root


def picture(root, dir_times=False):
    """All that is to be kept of a tree; the times of directories where they were not there before."""
    seen = {}
    for directory, dirs, files in os.walk(os.fsencode(root)):
        for name in dirs + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            else:
                what = stat.S_IMODE(st.st_mode)
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        what = what, hashlib.sha256(f.read()).hexdigest()
            seen[os.path.relpath(path, os.fsencode(root))] = what, st.st_mtime_ns if dir_times or not stat.S_ISDIR(st.st_mode) else None
    return seen


def same_file(a, b):
    return os.path.samestat(os.lstat(a), os.lstat(b))


def test_tree_there_and_back(plain, guest_dir, tmp_path):
    make_tree(tmp_path / "src")
    for new in True, False:      # the second time over what the first one left
        assert ok(plain("put", "-r", "-T", str(tmp_path / "src"), f"{guest_dir}/t")) == b""
        assert ok(plain("get", "-r", "-T", f"{guest_dir}/t", str(tmp_path / "back"))) == b""
        assert picture(tmp_path / "back", new) == picture(tmp_path / "src", new)
        assert same_file(tmp_path / "back/a/b/large", tmp_path / "back/another name")
        if new:
            times = [(tmp_path / name).stat().st_mtime_ns // 1000 for name in ("back", "src")]
            assert times[0] == times[1]
    assert not left_over(tmp_path)
    assert b".guestctl" not in sh(plain, 'find "$1"', guest_dir)


def test_holes_stay_holes(plain, guest_dir, tmp_path):
    sh(plain, 'cd "$1" && truncate -s 9000000 f g && printf x | dd of=f bs=1 seek=5000000 conv=notrunc', guest_dir)
    ok(plain("get", "-r", "-T", guest_dir, str(tmp_path / "d")))
    for name, data in ("f", b"x"), ("g", b"\0"):
        assert (tmp_path / "d" / name).read_bytes() == bytes(5_000_000) + data + bytes(3_999_999)
        assert (tmp_path / "d" / name).stat().st_blocks < 1000


def test_what_is_there_stays_as_it_is(plain, guest_dir, tmp_path):
    """Directories, and a link that the command line names."""
    (tmp_path / "src/d").mkdir(parents=True)
    (tmp_path / "src/d/f").write_bytes(b"x")
    sh(plain, 'mkdir -p "$1/t/d" && ln -s t "$1/l" && chmod 1777 "$1/t" && chmod 2700 "$1/t/d"', guest_dir)
    ok(plain("put", "-r", "-T", str(tmp_path / "src"), f"{guest_dir}/l"))
    assert sh(plain, 'cd "$1/t" && stat -c %a . d && ls d', guest_dir) == b"1777\n2700\nf\n"


def test_owner_of_a_tree(plain, guest_dir, tmp_path, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/small").write_bytes(b"x")
    (tmp_path / "src/large").write_bytes(NOISE)
    (tmp_path / "src/link").symlink_to("small")
    for _ in range(2):
        ok(plain("put", "-r", "-T", "-m", "600", "-o", "12345:23456", str(tmp_path / "src"), f"{guest_dir}/t"))
        sh(plain, 'ln -sfn other "$1/t/link"', guest_dir)
    ok(plain("put", "-r", "-T", "-o", "12345:23456", str(tmp_path / "src"), f"{guest_dir}/t"))
    assert sh(plain, 'cd "$1/t" && stat -c %u:%g . small large link && stat -c %a small large', guest_dir) == \
        4 * b"12345:23456\n" + 2 * b"644\n"
    ok(plain("put", "-r", "-T", "-m", "4711", str(tmp_path / "src"), f"{guest_dir}/t"))
    assert sh(plain, 'cd "$1/t" && stat -c %u:%a small large', guest_dir) == 2 * b"0:4711\n"


def test_tree_into_a_directory(plain, guest_dir, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "f").write_bytes(b"x")
    ok(plain("put", "-r", str(tmp_path / "src"), guest_dir))
    ok(plain("put", "-r", ".", f"{guest_dir}", cwd=tmp_path / "src"))
    assert sh(plain, 'cd "$1" && find . -type f | sort', guest_dir) == b"./f\n./src/f\n"
    (tmp_path / "out").mkdir()
    ok(plain("get", "-r", f"{guest_dir}/src/", str(tmp_path / "out")))
    ok(plain("get", "-r", f"{guest_dir}/src/.", str(tmp_path / "out")))
    assert sorted(picture(tmp_path / "out")) == [b"f", b"src", b"src/f"]


def test_links_take_the_place_of_what_is_there(plain, guest_dir, tmp_path):
    (tmp_path / "src").mkdir()
    for name in "file", "link", "same", "dir":
        (tmp_path / "src" / name).symlink_to("target")
    sh(plain, 'cd "$1" && echo x >file && ln -s other link && ln -s target same && mkdir -p dir/full', guest_dir)
    done = plain("put", "-r", "-T", str(tmp_path / "src"), guest_dir)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1   # a directory is not replaced
    assert sh(plain, 'cd "$1" && for l in file link same; do readlink $l; done; ls -A | tr "\\n" " "', guest_dir) == \
        b"target\ntarget\ntarget\ndir file link same "


def test_what_cannot_be_copied_is_told(plain, guest_dir, tmp_path):
    """The rest comes, and the exit status says that it is not all."""
    for where in tmp_path / "src", tmp_path / "back":
        where.mkdir()
    os.mkfifo(tmp_path / "src/fifo")
    (tmp_path / "src/f").write_bytes(b"x")
    done = plain("--json", "put", "-r", "-T", str(tmp_path / "src"), guest_dir)
    assert done.returncode == 1 and b"fifo" in done.stderr and json.loads(done.stdout)["failed"] == 1
    sh(plain, 'mkfifo "$1/fifo"; mkdir "$1/f2"', guest_dir)
    (tmp_path / "back/f2").write_bytes(b"in the way")
    done = plain("get", "-r", "-T", guest_dir, str(tmp_path / "back"))
    assert done.returncode == 1 and done.stderr.count(b"\n") == 2
    assert picture(tmp_path / "back").keys() == {b"f", b"f2"}


def test_trees_that_no_path_reaches(plain, guest_dir, tmp_path):
    """Longer than PATH_MAX, on both sides."""
    here = os.open(tmp_path, os.O_RDONLY)
    for i in range(30):
        os.mkdir(f"{i:02}" + 200 * "x", dir_fd=here)
        here, above = os.open(f"{i:02}" + 200 * "x", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    with open(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as f:
        f.write(b"deep")
    os.close(here)
    counted = {"files": 1, "directories": 31, "symlinks": 0, "bytes": 4, "failed": 0}
    done = plain("--json", "put", "-r", "-T", str(tmp_path), f"{guest_dir}/t")
    assert json.loads(ok(done)) == counted
    done = plain("--json", "get", "-r", f"{guest_dir}/t", str(tmp_path / "back"))
    assert json.loads(ok(done)) == counted
    ok(plain("rm", "-r", f"{guest_dir}/t"))
    for left in os.listdir(tmp_path):       # longer than what is left of a path for others, too
        subprocess.run(["rm", "-rf", tmp_path / left], check=True)


# -- ended early ---------------------------------------------------------------------------------

def test_put_to_an_agent_that_goes(lying, tmp_path):
    (tmp_path / "d").mkdir()
    for i in range(5):
        (tmp_path / f"d/{i}").write_bytes(NOISE[:70_000 * i])
    for last in "fs.mkdir", "tar.import":
        def answer(method, params, send, last=last):
            if method == last:
                return "hang up"
            return {"fs.stat": entry("d", "dir"), "fs.mkdir": {"created": True}}.get(method)
        done = lying(answer)("put", "-r", str(tmp_path / "d"), "/x")
        assert done.returncode == UNREACHABLE and done.stderr.count(b"\n") == 1


def test_what_the_guest_refuses_does_not_end_it(plain, guest_dir, tmp_path):
    """Each has an archive of its own behind it."""
    root = make_tree(tmp_path / "src")
    for name in "000", "300", "a/script":
        sh(plain, 'mkdir -p "$1"', f"{guest_dir}/t/{name}/full")
    os.link(root / "299", root / "301 again")
    done = plain("--json", "put", "-r", "-T", str(root), f"{guest_dir}/t")
    errors = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1 and [e["code"] for e in errors] == 3 * ["EISDIR"]
    assert json.loads(done.stdout)["failed"] == 3
    ok(plain("get", "-r", "-T", f"{guest_dir}/t", str(tmp_path / "back")))
    there, here = picture(tmp_path / "back"), picture(root)
    for name in b"000", b"300", b"a/script":
        del there[name + b"/full"], there[name], here[name]
    assert there == here


def test_a_file_that_is_cut_off_does_not_end_it(plain, guest_dir, tmp_path):
    """Nor does a half of it come."""
    (tmp_path / "src").mkdir()
    for name in "a", "z":
        (tmp_path / "src" / name).write_bytes(NOISE[:100_000])
    with open(tmp_path / "src/m", "wb") as f:
        f.truncate(2_000_000_000)
    with plain.start("put", "-r", "-T", str(tmp_path / "src"), guest_dir) as process:
        while process.poll() is None and not sh(plain, 'cat "$1/a" 2>/dev/null || true', guest_dir):
            pass
        os.truncate(tmp_path / "src/m", 70_000)
        assert process.wait(TIMEOUT) == 1 and b"shorter" in process.stderr.read()
    assert sh(plain, 'cd "$1" && ls && cat z', guest_dir) == b"a\nz\n" + NOISE[:100_000]


def test_files_that_cannot_be_read(plain, guest_dir):
    """Nor by root. All others are said to be empty, and are not."""
    here = "/proc/sys/net/ipv4/route"
    done = plain("put", "-r", "-T", here, f"{guest_dir}/t")
    assert done.returncode == 1 and done.stderr == b"guestctl: put: %s/flush: Permission denied\n" % here.encode()
    assert sh(plain, 'ls "$1"', f"{guest_dir}/t").decode().split() == sorted({*os.listdir(here)} - {"flush"})
    assert int(sh(plain, 'cat "$1/gc_timeout"', f"{guest_dir}/t")) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_trees(plain, lying, guest_dir, tmp_path, number):
    (tmp_path / "src").mkdir()
    with open(tmp_path / "src/f", "wb") as f:
        f.truncate(1 << 40)
    with plain.start("put", "-r", "-T", str(tmp_path / "src"), f"{guest_dir}/t") as process:
        while process.poll() is None and not sh(plain, 'ls -A "$1/t" 2>/dev/null || true', guest_dir):
            pass
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 128 + number and process.stderr.read() == b""
    assert sh(plain, 'ls -A "$1/t"', guest_dir) == b""

    def answer(method, params, send):
        if method == "fs.stat":
            return entry("d", "dir", mode=0o755)
        send(DATA, 1, archive(member("a"), member("half", data=NOISE))[:1_000_000])
    with lying(answer).start("get", "-r", "/d", str(tmp_path / "d")) as process:
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 128 + number and process.stderr.read() == b""
    assert os.listdir(tmp_path / "d") == ["a"]


# -- a guest that lies ---------------------------------------------------------------------------

def exports(*members, data=None, **result):
    """A guest's answers whose /d is that archive."""
    def answer(method, params, send):
        if method == "fs.stat":
            return entry("d", "dir", mode=0o755)
        assert method == "tar.export"
        what = archive(*members) if data is None else data
        send(DATA, 1, what)
        return {"archive_bytes": len(what), "skipped": [], **result}
    return answer


def test_an_archive_that_fails(lying, tmp_path):
    """What is whole stays; a half file does not."""
    what = archive(member("a"), member("d", "dir"), member("d/c"), member("b", data=NOISE))

    def answer(method, params, send):
        if method == "fs.stat":
            return entry("d", "dir", mode=0o755)
        send(DATA, 1, what[:1_000_000])
        return OSError("the disk is bad")
    done = lying(answer)("--json", "get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and json.loads(done.stderr)["message"] == "the disk is bad"
    assert json.loads(done.stdout) == {"files": 2, "directories": 2, "symlinks": 0, "bytes": 8, "failed": 1}
    assert picture(tmp_path / "d").keys() == {b"a", b"d", b"d/c"}


@pytest.mark.parametrize("data, size", [(b"", 0), (archive(member("a"))[:700], 700), (archive(), 7)])
def test_an_archive_of_which_a_part_is_missing(lying, tmp_path, data, size):
    done = lying(exports(data=data, archive_bytes=size))("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and b"not all" in done.stderr and os.listdir(tmp_path / "d") == []


def test_what_the_guest_left_out(lying, tmp_path):
    skipped = [{"path": "/d/x", "error": {"code": "EACCES", "message": "no right to read"}}]
    done = lying(exports(member("a"), skipped=skipped, skipped_total=3))("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and done.stderr.splitlines() == [
        b"guestctl: get: /d/x: no right to read", b"guestctl: get: the agent left out 2 more"]
    assert os.listdir(tmp_path / "d") == ["a"]


@pytest.mark.parametrize("name", ["", ".", "..", "../evil", "a/../../evil", "a/..", "/evil", "//evil"], ids=repr)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "link"])
def test_names_that_lead_outside(lying, tmp_path, name, kind):
    (tmp_path / "out").mkdir()
    what = archive(member("a", "dir"), member(name, kind, target="a"), member("late"))
    done = lying(exports(data=what))("get", "-r", "/d", str(tmp_path / "out/d"))
    assert done.returncode == 1 and b"not to be trusted" in done.stderr
    assert os.listdir(tmp_path / "out/d") == ["a"] and os.listdir(tmp_path / "out") == ["d"]
    assert not os.path.exists("/evil")


@pytest.mark.parametrize("data", [b"x" * 10240, b"\0" * 100 + b"x" * 9000, os.urandom(4096)])
def test_what_is_no_archive(lying, tmp_path, data):
    done = lying(exports(data=data))("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and b"not to be trusted" in done.stderr and os.listdir(tmp_path / "d") == []


@pytest.mark.parametrize("target", ["../victim", "/etc/passwd", "none", "l", "a", ".", "sub/../a", "l/x"])
def test_hard_links_to_what_is_no_file_of_the_archive(lying, tmp_path, target):
    (tmp_path / "victim").write_bytes(b"mine")
    answer = exports(member("l", "symlink", target="../victim"), member("a", "dir"),
                     member("h", "link", target=target), member("h", data=b"own"))
    done = lying(answer)("get", "-r", "--links", "keep", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and (tmp_path / "victim").read_bytes() == b"mine"
    assert (tmp_path / "victim").stat().st_nlink == 1 and (tmp_path / "d/h").read_bytes() == b"own"


def test_no_directory_for_it(lying, tmp_path):
    done = lying(exports(member("a/b/c"), member("f")))("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and os.listdir(tmp_path / "d") == ["f"]


@pytest.mark.parametrize("target", [
    "/etc/passwd", "..", "../x", "a/../../x", "./../x", "a/..", ".//..//x", "//x",
])
def test_links_that_lead_outside(lying, tmp_path, target):
    answer = exports(member("l", "symlink", target=target), member("f"))
    done = lying(answer)("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and b"outside" in done.stderr
    assert os.listdir(tmp_path / "d") == ["f"]
    done = lying(answer)("get", "-r", "--links", "keep", "/d", str(tmp_path / "kept"))
    assert done.returncode == 0 and os.readlink(tmp_path / "kept/l") == target


def test_links_that_lead_back(lying, tmp_path):
    """`..` as far as the tree goes, but never behind a name: that may be a link itself."""
    answer = exports(member("a", "dir"), member("a/b", "dir"),
                     member("a/b/in", "symlink", target="../../x/y"),
                     member("a/b/out", "symlink", target="../../../x"),
                     member("self", "symlink", target="."), member("via", "symlink", target="self/../x"))
    done = lying(answer)("get", "-r", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and done.stderr.count(b"outside") == 2
    assert os.listdir(tmp_path / "d/a/b") == ["in"]


@pytest.mark.parametrize("links", ["inside", "keep"])
def test_nothing_is_written_through_a_link_of_the_guest(lying, tmp_path, links):
    """A link, and then a directory of the same name with something in it; and a file likewise."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_bytes(b"mine")
    answer = exports(
        member("l", "symlink", target=str(tmp_path / "victim")), member("l", "dir"), member("l/file"),
        member("inside", "symlink", target="other"), member("other", "dir"), member("inside", "dir"),
        member("inside/file"),
        member("f", "symlink", target=str(tmp_path / "victim/file")), member("f"))
    done = lying(answer)("get", "-r", "--links", links, "/d", str(tmp_path / "d"))
    assert done.returncode == 1
    assert os.listdir(tmp_path / "victim") == ["file"] and (tmp_path / "victim/file").read_bytes() == b"mine"
    assert os.listdir(tmp_path / "d/other") == []
    assert not (tmp_path / "d/f").is_symlink() and (tmp_path / "d/f").read_bytes() == b"evil"


def test_nothing_is_written_through_a_link_that_stands_there(lying, tmp_path):
    """From an earlier time: what is below the target is not the user's word."""
    for name in "victim", "d", "victim2":
        (tmp_path / name).mkdir()
    (tmp_path / "victim/file").write_bytes(b"mine")
    (tmp_path / "d/sub").symlink_to("../victim")
    (tmp_path / "d/f").symlink_to("../victim/file")
    (tmp_path / "d/l").symlink_to("../victim")
    answer = exports(member("sub", "dir"), member("sub/file"), member("f"),
                     member("l", "symlink", target="f"))
    done = lying(answer)("get", "-r", "-T", "/d", str(tmp_path / "d"))
    assert done.returncode == 1 and b"something else stands in its place" in done.stderr
    assert (tmp_path / "victim/file").read_bytes() == b"mine"
    assert (tmp_path / "d/f").read_bytes() == b"evil" and os.readlink(tmp_path / "d/l") == "f"
    # Nor is the directory that takes the guest's name, where the user did not name it.
    (tmp_path / "out").mkdir()
    (tmp_path / "out/d").symlink_to("../victim2")
    assert lying(answer)("get", "-r", "/d", str(tmp_path / "out")).returncode == 1
    assert os.listdir(tmp_path / "victim2") == []


# -- progress ------------------------------------------------------------------------------------

LINE = re.compile(rb"(\d+)%  (\d+) files  [0-9.]+ [KMG]?i?B  [0-9.]+ [KMG]?i?B/s  (?:ETA|in) [0-9:]+")


def test_progress_of_trees(plain, guest_dir, tmp_path):
    root = make_tree(tmp_path / "src")
    with Terminal(plain.endpoint, "put", "-r", "-T", str(root), f"{guest_dir}/t") as terminal:
        assert terminal.ends() == 0
        percent, files = LINE.findall(terminal.rest())[-1]
        assert percent == b"100" and int(files) > 600
    with Terminal(plain.endpoint, "get", "-r", f"{guest_dir}/t", str(tmp_path / "back")) as terminal:
        assert terminal.ends() == 0
        assert re.search(rb"  %s files  [0-9.]+ MiB  [0-9.]+ [KMG]iB/s  in 0:" % files, terminal.rest())
