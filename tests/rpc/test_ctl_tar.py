"""guestctl export, import and manifest: archives from and to the guest, and what they leave when it goes wrong."""

import io
import json
import os
import re
import signal
import stat
import tarfile

import pytest

from tarballs import archive, member, zst
from client import REQUEST, RESPONSE, frame
from files import sh
from guestctl import HELLO, UNREACHABLE, USAGE, Ctl, Listener, Terminal, interruptible, plain, read_message
from support import NUMBERS, eventually

TREE = """mkdir -p "$1/tree/d"; cd "$1/tree"; echo hello >f; head -c 300000 /dev/urandom >d/big; ln -s f link; ln f hard;
    chmod 640 f; touch -d "2001-02-03 04:05:06" f d/big; mkdir node_modules; echo x >node_modules/x"""


@pytest.fixture
def tree(client, guest_dir):
    sh(client, TREE, guest_dir)
    return f"{guest_dir}/tree"


def ok(done):
    assert done.returncode == 0 and done.stderr == b"", (done.returncode, done.stderr)
    return done.stdout


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted(m.name.rstrip("/") for m in tar)


def packed(path):
    """What a file is compressed with."""
    head = path.read_bytes()[:4]
    return "gz" if head[:2] == b"\x1f\x8b" else "zst" if head == b"\x28\xb5\x2f\xfd" else "none"


def left_over(directory):
    return [name for name in os.listdir(directory) if ".guestctl" in name or name.startswith(".")]


def catches(pid, number):
    """Whether the process has a handler for the signal."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"SigCgt:\s+(\w+)", f.read())[1], 16) >> (number - 1) & 1


# -- there and back --------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.parametrize("name, what", [("t.tar", "none"), ("t.tar.gz", "gz"), ("t.tgz", "gz"), ("t.tar.zst", "zst"),
                                        ("t", "gz")])
def test_there_and_back(plain, tree, guest_dir, tmp_path, name, what):
    """The name of the file says how it is compressed; what comes back has the same digest."""
    assert ok(plain("export", "-o", str(tmp_path / name), "--base", tree, tree)) == b""
    assert packed(tmp_path / name) == what
    assert ok(plain("import", str(tmp_path / name), f"{guest_dir}/back")) == b""
    digests = [ok(plain("hash", path)).split()[0] for path in (tree, f"{guest_dir}/back")]
    assert digests[0] == digests[1] and not left_over(tmp_path)


@pytest.mark.local
def test_format(plain, tree, tmp_path):
    ok(plain("export", "--format", "tar", "-o", str(tmp_path / "a.tar.gz"), tree))
    assert packed(tmp_path / "a.tar.gz") == "none"
    ok(plain("export", "--format", "raw", "-o", str(tmp_path / "raw"), f"{tree}/f"))
    assert (tmp_path / "raw").read_bytes() == b"hello\n"
    done = plain("export", "--format", "zip", tree, stdin=None)
    assert done.returncode == 1 and b"format" in done.stderr and done.stdout == b""


def test_standard_input_and_output(plain, tree, guest_dir):
    data = ok(plain("export", "--format", "tar", "--base", tree, tree))
    assert "f" in members(data) and "d/big" in members(data)
    ok(plain("import", "-", f"{guest_dir}/back", input=data))
    assert ok(plain("cat", f"{guest_dir}/back/f")) == b"hello\n"


@pytest.mark.local
def test_several_paths(plain, tree):
    names = members(ok(plain("export", f"{tree}/f", f"{tree}/d")))
    assert [name.rpartition("tree/")[2] for name in names] == ["d", "d/big", "f"]


@pytest.mark.local
def test_ignore(plain, tree):
    names = members(ok(plain("export", "--ignore", "node_modules", "--ignore", "*ig", "--base", tree, tree)))
    assert {"d", "f"} <= set(names) and not {"node_modules", "node_modules/x", "d/big"} & set(names)


@pytest.mark.local
def test_reproducible(plain, tree, guest_dir, client):
    """The same tree at another time: the same bytes."""
    first = ok(plain("export", "--reproducible", "--base", tree, tree))
    sh(client, 'cd "$1"; touch f d d/big', tree)
    assert ok(plain("export", "--reproducible", "--base", tree, tree)) == first


@pytest.mark.local
def test_the_file_is_ours(plain, tree, tmp_path):
    os.umask(0o027)
    try:
        ok(plain("export", "-o", str(tmp_path / "t"), tree))
    finally:
        os.umask(0o022)
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o640
    ok(plain("export", "-o", "/dev/null", tree))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_what_is_left_out_is_told(plain, client, tree, tmp_path):
    sh(client, 'cd "$1"; chmod 700 d; chown -R 1234 .; chmod 000 f d/big', tree)
    done = plain("export", "-u", "4321", "-o", str(tmp_path / "t.tar"), tree)
    assert done.returncode == 1 and b"Permission denied" in done.stderr
    assert any(name.endswith("node_modules/x") for name in members((tmp_path / "t.tar").read_bytes()))


def test_import_options(plain, client, guest_dir, tmp_path):
    data = archive(member("top/f", data=b"f", uid=7), member("top/l", "symlink", target="/etc/hosts"))
    (tmp_path / "t").write_bytes(zst(data))
    dest = f"{guest_dir}/dest"
    done = plain("import", str(tmp_path / "t"), dest)
    assert done.returncode == 1 and b"top/l" in done.stderr and b"1 entries before it are there" in done.stderr
    ok(plain("import", "--links", "keep", "--strip", "1", "-o", "12:34", str(tmp_path / "t"), dest))
    assert sh(client, 'stat -c "%u:%g %F" "$1/f" "$1/l"', dest) == b"12:34 regular file\n12:34 symbolic link\n"
    done = plain("import", "--no-overwrite", "--links", "keep", "--strip-components", "1", str(tmp_path / "t"), dest)
    assert done.returncode == 1 and b"EEXIST" in done.stderr
    done = plain("import", "--format", "tar", str(tmp_path / "t"), dest)
    assert done.returncode == 1 and b"no tar archive" in done.stderr
    (tmp_path / "dev").write_bytes(archive(member("null", "char", devmajor=1, devminor=3)))
    assert plain("import", str(tmp_path / "dev"), dest).returncode == 1
    ok(plain("import", "--devices", str(tmp_path / "dev"), dest))


@pytest.mark.local
def test_what_could_not_be_kept_is_told(plain, guest_dir, tmp_path):
    (tmp_path / "t").write_bytes(archive(member("f", mode=0o4755)))
    done = plain("import", "-o", "12:34", str(tmp_path / "t"), f"{guest_dir}/dest")
    assert done.returncode == 0 and b"mode" in done.stderr
    done = plain("--json", "import", "-o", "12:34", str(tmp_path / "t"), f"{guest_dir}/dest")
    assert json.loads(done.stdout) == {"files": 1, "bytes": 0, "lost": ["mode"]} and done.stderr == b""


@pytest.mark.local
def test_json(plain, tree, guest_dir, tmp_path):
    result = json.loads(ok(plain("--json", "export", "-o", str(tmp_path / "t.tar"), tree)))
    assert result["files"] == 5 and result["archive_bytes"] == (tmp_path / "t.tar").stat().st_size
    assert json.loads(ok(plain("--json", "import", str(tmp_path / "t.tar"), guest_dir))) == {
        "files": 5, "bytes": result["bytes"]}


# -- manifest --------------------------------------------------------------------------------------


def test_manifest(plain, tree):
    lines = ok(plain("manifest", "--ignore", "node_modules", tree)).decode().splitlines()
    assert lines[-1].startswith(ok(plain("call", "tar.manifest", json.dumps({"path": tree, "ignore": ["node_modules"]})))
                                .decode().splitlines()[-1].partition('"sha256":"')[2].partition('"')[0])
    found = {line.split("  ")[-1]: line for line in lines[:-1]}
    name = next(name for name in found if name == "f" or name.endswith("/f"))
    digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert found[name].split() == [digest, "file", "0640", "6", name]
    link = next(name for name in found if name.endswith("link -> f"))
    assert found[link].split()[:2] == ["-", "symlink"]
    lines = [json.loads(line) for line in ok(plain("--json", "manifest", tree)).splitlines()]
    assert lines[-1]["files"] == 5 and {entry["type"] for entry in lines[:-1]} == {"file", "dir", "symlink"}


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.parametrize("args", [
    ["export"], ["export", "-o"], ["export", "--nonsense", "/x"], ["export", "--level", "x", "/x"], ["import"], ["import", "a"],
    ["import", "a", "b", "c"], ["import", "--strip", "-1", "a", "b"], ["import", "--nonsense", "a", "b"], ["manifest"]])
def test_usage(plain, args):
    done = plain(*args)
    assert done.returncode == USAGE and done.stdout == b"" and b"usage" in done.stderr


@pytest.mark.local
def test_no_archive_on_a_terminal(agent, tree):
    with Terminal(agent.endpoint, "export", tree) as t:
        t.expect(b"-o names a file")
        assert t.ends() == USAGE


@pytest.mark.local
def test_nothing_is_left(plain, client, tree, guest_dir, tmp_path):
    """An archive that did not become one is none."""
    (tmp_path / "t.tar").write_bytes(b"old")
    for path in ("/nonexistent", "relative"):
        assert plain("export", "-o", str(tmp_path / "t.tar"), path).returncode == 1
    assert (tmp_path / "t.tar").read_bytes() == b"old" and not left_over(tmp_path)
    done = plain("export", "-o", str(tmp_path / "none/t.tar"), tree)
    assert done.returncode == 1 and b"No such file" in done.stderr
    done = plain("import", str(tmp_path / "none.tar"), guest_dir)
    assert done.returncode == 1 and b"No such file" in done.stderr
    done = plain("import", str(tmp_path), guest_dir)
    assert done.returncode == 1 and b"directory" in done.stderr
    assert Ctl(f"unix:{tmp_path}/none")("import", str(tmp_path / "t.tar"), guest_dir).returncode == UNREACHABLE


@pytest.mark.local
def test_an_agent_that_goes_away(tmp_path):
    def serve(connection):
        while True:
            kind, number, method = read_message(connection)[:3]
            if kind != REQUEST:
                continue
            if method != "hello":
                connection.sendall(frame([3, number, 1, b"x" * 1000]))
                return
            connection.sendall(frame([RESPONSE, number, None, HELLO]))

    listener = Listener(tmp_path / "agent", serve)
    try:
        (tmp_path / "out").mkdir()
        done = Ctl(f"unix:{tmp_path}/agent")("export", "-o", str(tmp_path / "out/t"), "/x")
        assert done.returncode == UNREACHABLE and os.listdir(tmp_path / "out") == []
    finally:
        listener.close()


@pytest.mark.local
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(plain, client, guest_dir, tmp_path, number):
    """What was begun is given up, here and there."""
    sh(client, 'mkdir "$1/big"; cd "$1/big"; head -c 3000000 /dev/zero >f; mkfifo p', guest_dir)
    with plain.start("import", "-", f"{guest_dir}/dest") as process:
        process.stdin.write(archive(member("first", data=b"1"), member("f", data=NUMBERS[:900_000]))[:900_000])
        process.stdin.flush()
        eventually(lambda: b"f" in sh(client, '[ ! -d "$1" ] || ls "$1"', f"{guest_dir}/dest").split(), "it is written")
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert sh(client, 'ls -A "$1"', f"{guest_dir}/dest") == b"first\n"
    with plain.start("export", "--format", "raw", "-o", str(tmp_path / "t"), f"{guest_dir}/big/p") as process:
        eventually(lambda: catches(process.pid, number), "it listens to signals")
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert not (tmp_path / "t").exists() and not left_over(tmp_path)


@pytest.mark.local
def test_progress(agent, tree, guest_dir, tmp_path):
    """Files, bytes, rate; how much of it where that is known."""
    with Terminal(agent.endpoint, "export", "-o", str(tmp_path / "t.tar"), tree) as t:
        t.expect(b"5 files")
        assert re.search(rb"KiB +[0-9.]+ .iB/s +in 0:0", t.expect(b"\n"))
        assert t.ends() == 0
    with Terminal(agent.endpoint, "import", str(tmp_path / "t.tar"), f"{guest_dir}/back") as t:
        t.expect(b"100%  5 files")
        assert t.ends() == 0
    with Terminal(agent.endpoint, "import", "-q", str(tmp_path / "t.tar"), f"{guest_dir}/back") as t:
        assert t.ends() == 0 and t.rest() == b""
