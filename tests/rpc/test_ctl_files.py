"""guestctl's commands for files: what they print, copy and leave behind, also where the guest lies."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import time

import pytest

from client import DATA, EVENT, TIMEOUT
from guestctl import (UNREACHABLE, USAGE, Terminal, archive, entry, interruptible, left_over, lying, member, ok,
                      plain, sh)

NOISE = os.urandom(3_000_000)


# -- put and get: a file -------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 65536, 65537, len(NOISE)])
def test_file_there_and_back(plain, guest_dir, tmp_path, size):
    (tmp_path / "up").write_bytes(NOISE[:size])
    assert ok(plain("put", str(tmp_path / "up"), f"{guest_dir}/f")) == b""
    assert sh(plain, 'sha256sum <"$1"', f"{guest_dir}/f").split()[0].decode() == \
        hashlib.sha256(NOISE[:size]).hexdigest()
    assert ok(plain("get", f"{guest_dir}/f", str(tmp_path / "down"))) == b""
    assert (tmp_path / "down").read_bytes() == NOISE[:size]


def test_standard_input_and_output(plain, guest_dir):
    ok(plain("put", "-", f"{guest_dir}/new/dir/f", input=NOISE))
    assert ok(plain("get", f"{guest_dir}/new/dir/f", "-")) == NOISE
    assert ok(plain("cat", f"{guest_dir}/new/dir/f")) == NOISE


def test_modes_come_along(plain, guest_dir, tmp_path):
    for mode in 0o755, 0o600, 0o444:
        path = tmp_path / f"{mode:o}"
        path.write_bytes(b"x")
        path.chmod(mode)
        ok(plain("put", str(path), f"{guest_dir}/f"))       # also over the one before
        assert sh(plain, 'stat -c %a "$1"', f"{guest_dir}/f") == b"%o\n" % mode
        ok(plain("get", f"{guest_dir}/f", str(tmp_path / "down")))
        assert stat.S_IMODE((tmp_path / "down").stat().st_mode) == mode


def test_mode_and_owner_on_the_way_up(plain, guest_dir, tmp_path, is_root):
    (tmp_path / "f").write_bytes(b"x")
    owner = ["-o", "65534:65533"] if is_root else []
    ok(plain("put", "-m", "640", *owner, str(tmp_path / "f"), f"{guest_dir}/f"))
    assert sh(plain, 'stat -c %a "$1"', f"{guest_dir}/f") == b"640\n"
    if is_root:
        assert sh(plain, 'stat -c %u:%g "$1"', f"{guest_dir}/f") == b"65534:65533\n"


def test_no_setuid_program_comes_out(plain, guest_dir, tmp_path):
    sh(plain, 'mkdir "$1/d"; echo x >"$1/d/f"; chmod 6755 "$1/d/f"; chmod 1777 "$1/d"', guest_dir)
    ok(plain("get", "-r", f"{guest_dir}/d", str(tmp_path / "d")))
    assert stat.S_IMODE((tmp_path / "d/f").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o777


def test_input_keeps_the_mode_that_is_there(plain, guest_dir):
    sh(plain, 'echo x >"$1/f"; chmod 600 "$1/f"', guest_dir)
    ok(plain("put", "-", f"{guest_dir}/f", input=b"y"))
    assert sh(plain, 'stat -c %a "$1"; cat "$1"', f"{guest_dir}/f") == b"600\ny"


def test_what_a_target_means(plain, guest_dir, tmp_path):
    """As with cp(1)."""
    (tmp_path / "f").write_bytes(b"x")
    sh(plain, 'mkdir "$1/d"', guest_dir)
    ok(plain("put", str(tmp_path / "f"), f"{guest_dir}/d"))
    ok(plain("put", str(tmp_path / "f"), f"{guest_dir}/new/"))
    assert sh(plain, 'cd "$1" && echo */*', guest_dir) == b"d/f new/f\n"
    (tmp_path / "out").mkdir()
    ok(plain("get", f"{guest_dir}/d/f", str(tmp_path / "out")))
    assert os.listdir(tmp_path / "out") == ["f"]
    ok(plain("get", f"{guest_dir}/d/f", "g", cwd=tmp_path))
    ok(plain("get", f"{guest_dir}/d/f", ".", cwd=tmp_path / "out"))
    assert (tmp_path / "g").read_bytes() == b"x"
    assert plain("get", f"{guest_dir}/d/f", str(tmp_path / "none" / "f")).returncode == 1
    assert plain("get", "-T", f"{guest_dir}/d/f", str(tmp_path / "out")).returncode == 1
    assert plain("put", "-T", str(tmp_path / "f"), f"{guest_dir}/d").returncode == 1


def test_a_directory_needs_r(plain, guest_dir, tmp_path):
    for args in ["put", str(tmp_path), guest_dir], ["get", guest_dir, str(tmp_path)]:
        done = plain(*args)
        assert done.returncode == 1 and b"-r" in done.stderr


def test_get_writes_through_a_link_that_the_user_named(plain, guest_dir, tmp_path):
    sh(plain, 'echo new >"$1/f"', guest_dir)
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    ok(plain("get", f"{guest_dir}/f", str(tmp_path / "link")))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new\n"


def test_get_into_what_is_no_file(plain, guest_dir, tmp_path):
    ok(plain("put", "-", f"{guest_dir}/f", input=NOISE))
    os.mkfifo(tmp_path / "fifo")
    with plain.start("get", f"{guest_dir}/f", str(tmp_path / "fifo")) as process:
        assert (tmp_path / "fifo").read_bytes() == NOISE
        assert process.wait(TIMEOUT) == 0
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    done = plain("get", f"{guest_dir}/f", "/dev/full")
    assert done.returncode == 1 and b"No space left" in done.stderr
    with open("/dev/full", "wb") as full, plain.start("get", f"{guest_dir}/f", "-", stdout=full) as process:
        assert process.wait(TIMEOUT) == 1


def test_get_reads_proc(plain, tmp_path):
    """Whatever its size is said to be."""
    ok(plain("get", "/proc/cpuinfo", str(tmp_path / "f")))
    assert (tmp_path / "f").stat().st_size > 0


def test_reader_that_goes_away(plain, guest_dir):
    ok(plain("put", "-", f"{guest_dir}/f", input=NOISE))
    with plain.start("get", f"{guest_dir}/f", "-") as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE


def test_results_as_json(plain, guest_dir, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"four")
    (tmp_path / "d/l").symlink_to("f")
    counted = {"files": 1, "directories": 1, "symlinks": 1, "bytes": 4, "failed": 0}
    assert json.loads(ok(plain("--json", "put", "-r", str(tmp_path / "d"), f"{guest_dir}/d"))) == counted
    assert json.loads(ok(plain("--json", "get", "-r", f"{guest_dir}/d", str(tmp_path / "e")))) == counted
    *_, result = ok(plain("--json", "get", f"{guest_dir}/d/f", "-")).splitlines()
    assert json.loads(result)["size"] == 4
    failed = plain("--json", "put", str(tmp_path / "d/f"), "relative")
    assert failed.returncode == 1 and json.loads(failed.stderr)["code"] == "bad_params"


def test_rights_of_a_user(plain, guest_dir, tmp_path, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    (tmp_path / "f").write_bytes(b"x")
    sh(plain, 'echo x >"$1/f"; chmod 600 "$1/f"', guest_dir)
    for args in (["put", str(tmp_path / "f"), f"{guest_dir}/g"], ["get", f"{guest_dir}/f", str(tmp_path / "g")],
                 ["cat", f"{guest_dir}/f"], ["rm", f"{guest_dir}/f"], ["chmod", "644", f"{guest_dir}/f"],
                 ["mv", f"{guest_dir}/f", f"{guest_dir}/g"], ["mkdir", f"{guest_dir}/d"],
                 ["ln", "-s", "a", f"{guest_dir}/l"], ["hash", f"{guest_dir}/f"]):
        done = plain(args[0], "-u", "65534:65534", *args[1:])
        assert done.returncode == 1 and re.search(b"EACCES|EPERM", done.stderr), (args, done.stderr)
    assert not (tmp_path / "g").exists()


# -- put and get: ended early --------------------------------------------------------------------

def test_interrupted_put_leaves_nothing(plain, guest_dir):
    sh(plain, 'echo old >"$1/f"', guest_dir)
    for path in "f", "new":
        with plain.start("put", "-", f"{guest_dir}/{path}") as process:
            process.stdin.write(NOISE)
            process.stdin.flush()
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 128 + signal.SIGINT
            assert process.stderr.read() == b""
    assert sh(plain, 'ls -A "$1"; cat "$1/f"', guest_dir) == b"f\nold\n"


def test_put_whose_input_fails(plain, guest_dir):
    """Half of it must not pass for all."""
    directory = os.open("/", os.O_RDONLY)
    done = plain("put", "-", f"{guest_dir}/f", stdin=directory)
    os.close(directory)
    assert done.returncode == 1 and b"directory" in done.stderr
    assert sh(plain, 'ls -A "$1"', guest_dir) == b""


def tree_of(*entries):
    """A guest's answers of whom /d is that tree."""
    def answer(method, params, send):
        send(EVENT, {"type": "entries", "entries": list(entries)})
        return {"entries": [], "truncated": False}
    return answer


def slow(method, _, send):
    """A guest with a file of which a half comes, and then nothing."""
    if method == "fs.stat":
        return entry("f", size=200_000_000)
    send(DATA, 1, bytes(65536))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_get_leaves_nothing(lying, tmp_path, number):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f").write_bytes(b"old")
    for path in "f", "new":
        ctl = lying(slow)
        with ctl.start("get", "/f", str(tmp_path / "out" / path)) as process:
            time.sleep(0.3)
            process.send_signal(number)
            assert process.wait(TIMEOUT) == 128 + number
            assert process.stderr.read() == b""
        assert ctl.guest.canceled.is_set()
    assert os.listdir(tmp_path / "out") == ["f"] and (tmp_path / "out/f").read_bytes() == b"old"


def test_killed_get_leaves_nothing(lying, tmp_path):
    (tmp_path / "out").mkdir()
    with lying(slow).start("get", "/f", str(tmp_path / "out/f")) as process:
        time.sleep(0.3)
        process.kill()
        process.wait()
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system has no files without names")
    assert os.listdir(tmp_path / "out") == []


def test_get_from_an_agent_that_goes(lying, tmp_path):
    def answer(method, params, send):
        return slow(method, params, send) or "hang up"
    done = lying(answer)("get", "/f", str(tmp_path / "f"))
    assert done.returncode == UNREACHABLE and b"closed the connection" in done.stderr
    assert not (tmp_path / "f").exists() and not left_over(tmp_path)


def test_get_of_which_a_part_is_missing(lying, tmp_path):
    def answer(method, params, send):
        return slow(method, params, send) or {"size": 200_000_000}
    done = lying(answer)("get", "/f", str(tmp_path / "f"))
    assert done.returncode == 1 and b"not all" in done.stderr and not (tmp_path / "f").exists()


# -- a guest that lies ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["", ".", "..", "../evil", "a/b", "/evil", "a\0b"], ids=repr)
def test_names_that_are_none(lying, name):
    done = lying(tree_of(entry("fine"), entry(name)))("tree", "/d")
    assert done.returncode == 1 and b"not to be trusted" in done.stderr


@pytest.mark.parametrize("entries", [
    [entry("f", depth=2)], [entry("f", depth=0)], [entry("f"), entry("g", depth=2)],
    [entry("d", "dir"), entry("f", depth=3)], [entry("f", depth=-1)], [entry("f", depth=2**40)],
    [{"name": "f", "type": "file"}], [{"type": "file", "depth": 1}], [7],
    [entry("l", "symlink")], [entry("l", "symlink", target="")], [entry("l", "symlink", target="a\0b")],
])
def test_trees_that_are_none(lying, entries):
    done = lying(tree_of(*entries))("tree", "/d")
    assert done.returncode == 1 and b"not to be trusted" in done.stderr


def test_a_guest_does_not_write_to_the_terminal(lying, tmp_path):
    name = "a\x1b[2J\x07\x9bé"
    clean = "a\\x1b[2J\\x07\\xc2\\x9bé"

    def answer(method, params, send):
        if method == "fs.list":
            send(EVENT, {"type": "entries", "entries": [entry(name)]})
        if method == "fs.tree":
            send(EVENT, {"type": "entries", "entries": [
                entry(name, "dir"), entry("l", "symlink", target=name, depth=2), entry(name, "fifo")]})
        if method in ("fs.find", "fs.grep"):
            send(EVENT, {"type": "match", "path": name, "line": 1, "text": name.encode()})
        if method == "tar.export":
            send(DATA, 1, archive(member(name, "fifo")))
        return entry(name, "dir", target=name) if method == "fs.stat" else \
            {"sha256": name, "type": name, "total": 1, "free": 1, "available": 1, "truncated": False,
             "skipped": [{"path": name, "error": {"code": name, "message": name}}], "skipped_total": 1}

    for args in (["ls", "/x"], ["ls", "-l", "/x"], ["tree", "/x"], ["stat", "/x"], ["hash", "/x"], ["df", "/x"],
                 ["find", "/x"], ["grep", "x", "/x"], ["rm", "/x"], ["get", "-r", "/x", str(tmp_path / "x")]):
        done = lying(answer)(*args)
        seen = (done.stdout + done.stderr).decode()
        assert clean in seen and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", seen), (args, seen)


def test_nor_where_it_is_told_to_be_exact(lying):
    """Names as they are, and JSON, are for programs."""
    def answer(method, params, send):
        if method == "fs.find":
            send(EVENT, {"type": "match", "path": "a\x1b[2J\x9b"})
        return {"matches": 1, "truncated": False}
    for args in ["find", "-0", "/x"], ["--json", "find", "/x"]:
        with Terminal(lying(answer).endpoint, *args) as terminal:
            assert terminal.ends() == 0
            assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", terminal.rest().decode())


def test_cat_on_a_terminal(lying):
    """Whole characters, wherever the messages are cut; tabs and lines stay."""
    def answer(method, params, send):
        text = "é\t€ 😀\n".encode() + b"\x1b]0;title\x07\xff\xe2\x82"
        for i in range(len(text)):
            send(DATA, 1, text[i:i + 1])
        return {"size": len(text)}
    for args in ["cat", "/f"], ["get", "/f", "-"]:
        def listing(method, params, send):
            return entry("f") if method == "fs.stat" else answer(method, params, send)
        with Terminal(lying(listing).endpoint, *args) as terminal:
            assert terminal.ends() == 0
            shown = terminal.rest()
        assert shown.decode().replace("\r\n", "\n").expandtabs() == \
            "é\t€ 😀\n\\x1b]0;title\\x07\\xff\\xe2\\x82".expandtabs()


# -- progress ------------------------------------------------------------------------------------

LINE = re.compile(rb"(?:\x1b\[K)?(\S+)  +(\d+)%(?:  \d+ files)?  [0-9.]+ [KMG]?i?B  [0-9.]+ [KMG]?i?B/s  (ETA|in) [0-9:]+")


def dripping(method, params, send):
    if method == "fs.stat":
        return entry("f", size=10 * 65536)
    for _ in range(10):
        send(DATA, 1, bytes(65536))
        time.sleep(0.1)
    return {"size": 10 * 65536}


def test_progress_of_get(lying, tmp_path):
    with Terminal(lying(dripping).endpoint, "get", "/\x1bf", str(tmp_path / "f")) as terminal:
        assert terminal.ends() == 0
        lines = LINE.findall(terminal.rest())
    assert {name for name, _, _ in lines} == {b"/\\x1bf"}
    percents = [int(p) for _, p, _ in lines]
    assert len(lines) >= 3 and percents == sorted(percents) and percents[0] < 100
    assert [how for *_, how in lines] == [b"ETA"] * (len(lines) - 1) + [b"in"] and percents[-1] == 100


def test_progress_of_put(plain, guest_dir, tmp_path):
    (tmp_path / "f").write_bytes(NOISE)
    with Terminal(plain.endpoint, "put", str(tmp_path / "f"), f"{guest_dir}/f") as terminal:
        assert terminal.ends() == 0
        assert LINE.findall(terminal.rest())[-1][1:] == (b"100", b"in")
    with Terminal(plain.endpoint, "put", "-r", str(tmp_path), f"{guest_dir}/d") as terminal:
        assert terminal.ends() == 0
        assert LINE.findall(terminal.rest())[-1][1:] == (b"100", b"in")


def test_no_progress(lying, tmp_path):
    assert ok(lying(dripping)("get", "/f", str(tmp_path / "f"))) == b""
    with Terminal(lying(dripping).endpoint, "get", "-q", "/f", str(tmp_path / "f")) as terminal:
        assert terminal.ends() == 0 and terminal.rest() == b""


def test_progress_gives_way_to_an_error(lying, tmp_path):
    def answer(method, params, send):
        if method == "fs.stat":
            return entry("f", size=1_000_000)
        send(DATA, 1, bytes(65536))
        time.sleep(0.5)
        return {"size": 7}
    with Terminal(lying(answer).endpoint, "get", "/f", str(tmp_path / "f")) as terminal:
        assert terminal.ends() == 1
        assert re.search(rb"\r\x1b\[Kguestctl: get: /f: not all", terminal.rest())


# -- looking -------------------------------------------------------------------------------------

def test_ls(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir d && echo x >f && touch .h && ln -s f l && chmod 4755 f', guest_dir)
    assert ok(plain("ls", guest_dir)) == b"d\nf\nl\n"
    assert ok(plain("ls", "-a", guest_dir)) == b".h\nd\nf\nl\n"
    head, d, f, l = ok(plain("ls", "-l", guest_dir)).decode().splitlines()
    assert head.split()[0] == "MODE" and d.startswith("drwx") and d.endswith(" d")
    assert f.startswith("-rwsr-xr-x  1 ") and re.search(r"  2  +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  f$", f)
    assert l.startswith("lrwx") and l.endswith(" l -> f")
    result = json.loads(ok(plain("--json", "ls", "-a", guest_dir)))
    assert [e["name"] for e in result["entries"]] == [".h", "d", "f", "l"] and result["truncated"] is False
    assert json.loads(ok(plain("--json", "ls", f"{guest_dir}/d"))) == {"entries": [], "truncated": False}


def test_ls_of_files_and_of_several(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir d && echo x >f', guest_dir)
    assert ok(plain("ls", f"{guest_dir}/f")) == f"{guest_dir}/f\n".encode()
    assert f"{guest_dir}/f".encode() in ok(plain("ls", "-l", f"{guest_dir}/f"))
    assert len(json.loads(ok(plain("--json", "ls", f"{guest_dir}/f")))["entries"]) == 1
    done = plain("ls", guest_dir, f"{guest_dir}/none", f"{guest_dir}/d")
    assert done.returncode == 1 and done.stderr.startswith(b"guestctl: ls: ENOENT: ")
    assert done.stdout == f"{guest_dir}:\nd\nf\n{guest_dir}/none:\n{guest_dir}/d:\n".encode()


def test_tree(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir -p a/b && echo >a/b/f && echo >a/z && ln -s a l && echo >x.log', guest_dir)
    assert ok(plain("tree", guest_dir)).decode() == f"""{guest_dir}
├── a/
│   ├── b/
│   │   └── f
│   └── z
├── l -> a
└── x.log

2 directories, 4 files
"""
    assert ok(plain("tree", "-L", "1", "--ignore", "*.log", guest_dir)).decode() == \
        f"{guest_dir}\n├── a/\n└── l -> a\n\n1 directories, 1 files\n"
    result = json.loads(ok(plain("--json", "tree", guest_dir)))
    assert [(e["name"], e["depth"]) for e in result["entries"]] == \
        [("a", 1), ("b", 2), ("f", 3), ("z", 2), ("l", 1), ("x.log", 1)]


def test_large_directory(plain, guest_dir):
    """More than one response holds."""
    sh(plain, 'cd "$1" && seq 10000 | xargs touch', guest_dir)
    assert len(ok(plain("ls", guest_dir)).splitlines()) == 10000
    assert len(json.loads(ok(plain("--json", "ls", guest_dir)))["entries"]) == 10000
    assert ok(plain("tree", guest_dir)).endswith(b"\n0 directories, 10000 files\n")


def test_stat(plain, guest_dir):
    sh(plain, 'cd "$1" && echo x >f && chmod 640 f && ln -s f l', guest_dir)
    shown = ok(plain("stat", f"{guest_dir}/l", f"{guest_dir}/f")).decode()
    assert "type: symlink\n" in shown and "target: f\n" in shown and "mode: 0640 -rw-r-----\n" in shown
    assert json.loads(ok(plain("--json", "stat", f"{guest_dir}/l")))["type"] == "symlink"
    assert json.loads(ok(plain("--json", "stat", "-L", f"{guest_dir}/l")))["type"] == "file"


def test_cat_of_several(plain, guest_dir):
    sh(plain, 'cd "$1" && echo a >a && echo b >b', guest_dir)
    done = plain("cat", f"{guest_dir}/a", f"{guest_dir}/none", f"{guest_dir}/b")
    assert done.returncode == 1 and done.stdout == b"a\nb\n" and b"ENOENT" in done.stderr
    lines = [json.loads(line) for line in ok(plain("--json", "cat", f"{guest_dir}/a")).splitlines()]
    assert lines[0] == {"channel": 1, "data": "a\n"} and lines[1]["size"] == 2


def test_hash(plain, guest_dir):
    sh(plain, 'printf abc >"$1/f"', guest_dir)
    digest = hashlib.sha256(b"abc").hexdigest()
    assert ok(plain("hash", f"{guest_dir}/f")).decode() == f"{digest}  {guest_dir}/f\n"
    assert json.loads(ok(plain("--json", "hash", f"{guest_dir}/f"))) == {"sha256": digest, "size": 3}
    assert re.match(rb"[0-9a-f]{64}  ", ok(plain("hash", guest_dir)))


def test_df(plain, guest_dir):
    head, root, proc = ok(plain("df", guest_dir, "/proc")).decode().splitlines()
    assert head.split() == ["TYPE", "SIZE", "USED", "AVAILABLE", "USE", "PATH"]
    assert root.endswith(guest_dir) and "iB" in root and proc.split()[0] == "proc"
    usage = json.loads(ok(plain("--json", "df")))
    assert usage["total"] >= usage["free"] >= usage["available"]


def test_find(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir -p a/b skip && touch a/x.c a/b/y.c skip/z.c "n\nl.c" && ln -s a c.c', guest_dir)
    at = guest_dir.encode()
    assert ok(plain("find", guest_dir, "-name", "*.c", "-type", "f", "--ignore", "skip")) == \
        at + b"/a/b/y.c\n" + at + b"/a/x.c\n" + at + b"/n\\x0al.c\n"
    assert ok(plain("find", "--name", "*.c", "--max-depth", "1", "--type", "l", guest_dir)) == at + b"/c.c\n"
    assert at + b"/n\nl.c\0" in ok(plain("find", "-0", guest_dir))
    *matches, result = map(json.loads, ok(plain("--json", "find", guest_dir, "--type", "d")).splitlines())
    assert {m["path"] for m in matches} >= {f"{guest_dir}/a", f"{guest_dir}/a/b"}
    assert result["matches"] == len(matches)
    done = plain("find", "--limit", "1", guest_dir)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1 and b"--limit" in done.stderr


def test_grep(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir d skip && printf "one\n\tTwo\033[m\nthree\n" >d/f && echo two >skip/f', guest_dir)
    at = guest_dir.encode()
    assert ok(plain("grep", "-i", "--ignore", "skip", "^.two", guest_dir)) == at + b"/d/f:2:\tTwo\\x1b[m\n"
    assert ok(plain("grep", "-e", "t[hw]", guest_dir)) == at + b"/d/f:3:three\n" + at + b"/skip/f:1:two\n"
    assert ok(plain("grep", "none", guest_dir)) == b""
    *matches, result = map(json.loads, ok(plain("--json", "grep", "three", guest_dir)).splitlines())
    assert matches == [{"type": "match", "path": f"{guest_dir}/d/f", "line": 3, "text": "three"}]
    assert result["matches"] == 1
    done = plain("grep", "--limit", "1", "-E", "o|t", guest_dir)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1 and b"--limit" in done.stderr


# -- changing ------------------------------------------------------------------------------------

def test_mkdir_and_rm(plain, guest_dir):
    ok(plain("mkdir", "-m", "700", f"{guest_dir}/a/b", f"{guest_dir}/c"))
    ok(plain("mkdir", "-p", f"{guest_dir}/a/b"))
    assert plain("mkdir", "--new", f"{guest_dir}/a/b").returncode == 1
    assert sh(plain, 'stat -c %a "$1/a/b" "$1/c"', guest_dir) == b"700\n700\n"
    assert json.loads(ok(plain("--json", "mkdir", f"{guest_dir}/c"))) == {"created": False}
    done = plain("rm", f"{guest_dir}/a", f"{guest_dir}/c")
    assert done.returncode == 1 and done.stderr.count(b"\n") >= 1
    assert json.loads(ok(plain("--json", "rm", "-r", f"{guest_dir}/a")))["deleted"] == 2
    assert plain("rm", f"{guest_dir}/a").returncode == 1
    ok(plain("rm", "-f", f"{guest_dir}/a"))
    assert plain("rm", "-rf", "/").returncode == 1


def test_mv_and_cp(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir d && echo f >f && echo g >g', guest_dir)
    ok(plain("cp", f"{guest_dir}/f", f"{guest_dir}/g", f"{guest_dir}/d"))
    assert plain("mv", "-n", f"{guest_dir}/f", f"{guest_dir}/g").returncode == 1
    ok(plain("mv", f"{guest_dir}/f", f"{guest_dir}/g"))
    ok(plain("mv", f"{guest_dir}/g", f"{guest_dir}/d"))
    assert plain("cp", f"{guest_dir}/d", f"{guest_dir}/e").returncode == 1
    ok(plain("cp", "-r", f"{guest_dir}/d", f"{guest_dir}/e"))
    ok(plain("mv", f"{guest_dir}/d", f"{guest_dir}/e"))
    assert sh(plain, 'cd "$1" && find . -type f | sort && cat e/g', guest_dir) == \
        b"./e/d/f\n./e/d/g\n./e/f\n./e/g\nf\n"


def test_ln(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir d && echo x >f', guest_dir)
    ok(plain("ln", f"{guest_dir}/f", f"{guest_dir}/hard"))
    ok(plain("ln", "-s", "../f", f"{guest_dir}/d"))
    ok(plain("ln", "-s", "any where", f"{guest_dir}/soft"))
    assert sh(plain, 'cd "$1" && stat -c %h f && readlink soft && cat d/f', guest_dir) == b"2\nany where\nx\n"
    assert plain("ln", "-s", "x", f"{guest_dir}/soft").returncode == 1


def test_chmod(plain, guest_dir):
    sh(plain, 'cd "$1" && mkdir -p d/e && echo x >d/f && chmod 640 d/f', guest_dir)
    for mode, after in (("+x", "751"), ("-x", "640"), ("u=rwX,go=", "600"), ("g=u,o+r", "664"), ("u+s", "4664"),
                        ("a-st", "664"), ("7", "7"), ("0644", "644")):
        ok(plain("chmod", mode, f"{guest_dir}/d/f"))
        assert sh(plain, 'stat -c %a "$1/d/f"', guest_dir).decode() == after + "\n", mode
    ok(plain("chmod", "-R", "750", f"{guest_dir}/d"))
    assert sh(plain, 'stat -c %a "$1/d" "$1/d/e" "$1/d/f"', guest_dir) == b"750\n750\n750\n"


def test_chown(plain, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(plain, 'cd "$1" && mkdir d && echo x >d/f', guest_dir)
    ok(plain("chown", "12345:23456", f"{guest_dir}/d"))
    assert sh(plain, 'stat -c %u:%g "$1/d" "$1/d/f"', guest_dir) == b"12345:23456\n0:0\n"
    ok(plain("chown", "-R", "12345:23456", f"{guest_dir}/d"))
    assert sh(plain, 'stat -c %u:%g "$1/d/f"', guest_dir) == b"12345:23456\n"


# -- what cannot work ----------------------------------------------------------------------------

@pytest.mark.parametrize("args", [
    ["put"], ["put", "a"], ["put", "a", "b", "c"], ["put", "-x", "a", "b"], ["put", "-m", "9", "a", "b"],
    ["put", "-r", "-", "/x"], ["put", "-", "/x/"], ["get"], ["get", "/a"], ["get", "-r", "/a", "-"],
    ["get", "--links", "some", "/a", "b"], ["ls"], ["ls", "-x", "/"], ["tree"], ["tree", "-L", "0", "/"],
    ["tree", "-L", "x", "/"], ["stat"], ["cat"], ["mkdir"], ["mkdir", "-m", "999", "/x"], ["mkdir", "-m", "10000", "/x"],
    ["rm"], ["rm", "-x", "/x"], ["mv", "/a"], ["cp", "/a"], ["cp", "-T", "/a", "/b", "/c"], ["ln", "/a"],
    ["chmod"], ["chmod", "644"], ["chmod", "rw", "/x"], ["chmod", "u+q", "/x"], ["chmod", "", "/x"],
    ["chmod", "-R", "u+x", "/x"], ["chown"], ["chown", "0"], ["hash"], ["df", "-x"],
    ["find"], ["find", "--limit", "x", "/"], ["grep"], ["grep", "x"], ["grep", "-e", "x"],
], ids=" ".join)
def test_usage(plain, args):
    done = plain(*args)
    assert done.returncode == USAGE and done.stderr and done.stdout == b""


@pytest.mark.parametrize("args", [
    ["ls", "/none"], ["tree", "/none"], ["stat", "/none"], ["cat", "/none"], ["get", "/none", "x"], ["rm", "/none"],
    ["mv", "/none", "/x"], ["cp", "/none", "/x"], ["ln", "/none", "/x"], ["chmod", "644", "/none"],
    ["chmod", "+x", "/none"], ["chown", "0", "/none"], ["hash", "/none"], ["df", "/none"], ["find", "/none"],
    ["grep", "x", "/none"],
], ids=" ".join)
def test_nothing_there(plain, args, tmp_path):
    done = plain(*args, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout in (b"", b"/none\n") and os.listdir(tmp_path) == []
    assert done.stderr.startswith(f"guestctl: {args[0]}: ENOENT".encode()) and done.stderr.count(b"\n") == 1
    error = json.loads(plain("--json", *args, cwd=tmp_path).stderr)
    assert error["code"] == "ENOENT"


def test_nothing_here(plain, guest_dir):
    done = plain("put", "/none", f"{guest_dir}/x")
    assert done.returncode == 1 and b"/none" in done.stderr and sh(plain, 'ls "$1"', guest_dir) == b""
