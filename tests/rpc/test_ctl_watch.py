"""guestctl watch: a line an event, until Ctrl-C."""

import json
import signal

import pytest

from client import EVENT, RESPONSE, TIMEOUT, frame
from guestctl import UNREACHABLE, USAGE, Ctl, Terminal, interruptible, plain, script


def sh(ctl, cmd, *args):
    """A shell script inside the guest."""
    done = ctl.exec("sh", "-ec", cmd, "sh", *args)
    assert done.returncode == 0, done.stderr


def interrupt(process):
    """Ctrl-C: its last lines. It says nothing of it."""
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, said) == (130, b""), (process.returncode, said)
    return rest


def lines(process, last):
    """What it prints, up to a line that begins so."""
    seen = [process.stdout.readline().decode()]
    while not seen[-1].startswith(last):
        assert seen[-1], f"no {last!r}, but {seen}"
        seen.append(process.stdout.readline().decode())
    return [line.rstrip("\n") for line in seen]


def test_a_line_an_event(plain, guest_dir):
    with plain.start("watch", guest_dir) as process:
        [ready] = lines(process, "ready")
        assert "watches=" in ready and "backend=" in ready
        sh(plain, 'cd "$1"; mkdir d; : >d/f; mv d/f d/g; mv d e; chmod 600 e/g; sleep 0.3; rm -r e; : >"last one"', guest_dir)
        seen = lines(process, f"created {guest_dir}/last")
        assert [line for line in seen if not line.startswith("modified")] == [
            f"created {guest_dir}/d/", f"created {guest_dir}/d/f", f"renamed {guest_dir}/d/f -> {guest_dir}/d/g",
            f"renamed {guest_dir}/d/ -> {guest_dir}/e/", f"attributes {guest_dir}/e/g", f"deleted {guest_dir}/e/g",
            f"deleted {guest_dir}/e/", f"created {guest_dir}/last one"]
        assert interrupt(process) == b""


def test_json(plain, guest_dir):
    with plain.start("--json", "watch", guest_dir) as process:
        assert json.loads(process.stdout.readline())["type"] == "ready"
        sh(plain, 'cd "$1"; mkdir d; : >"$2"', guest_dir, b"\xff")
        assert json.loads(process.stdout.readline()) == {"type": "created", "path": f"{guest_dir}/d", "dir": True}
        event = json.loads(process.stdout.readline())
        assert event["type"] == "created" and set(event["path"]) == {"base64"}
        interrupt(process)


def test_options(plain, guest_dir):
    sh(plain, 'cd "$1"; mkdir sub node_modules', guest_dir)
    with plain.start("watch", "--ignore", "node_modules", "--ignore", "*.log", guest_dir) as process:
        lines(process, "ready")
        sh(plain, 'cd "$1"; : >node_modules/f; : >a.log; : >sub/b.log; : >sub/c', guest_dir)
        assert lines(process, "created") == [f"created {guest_dir}/sub/c"]
    with plain.start("watch", "--flat", "--event", "deleted", "--event", "renamed", "--coalesce", "0", guest_dir) as process:
        lines(process, "ready")
        sh(plain, 'cd "$1"; rm sub/c; mv a.log b; rm b', guest_dir)
        assert lines(process, "deleted") == [f"renamed {guest_dir}/a.log -> {guest_dir}/b", f"deleted {guest_dir}/b"]
        interrupt(process)


def test_the_root_is_deleted(plain, guest_dir):
    sh(plain, 'mkdir "$1/d"', guest_dir)
    with plain.start("watch", f"{guest_dir}/d") as process:
        lines(process, "ready")
        sh(plain, 'rmdir "$1/d"', guest_dir)
        assert process.stdout.read().decode().splitlines()[-1].startswith("root_deleted")
        assert process.wait(TIMEOUT) == 0 and process.stderr.read() == b""


def test_ctrl_c_on_a_terminal(plain, guest_dir):
    with Terminal(plain.endpoint, "watch", guest_dir) as terminal:
        terminal.expect(b"ready")
        terminal.expect(b"\n")
        sh(plain, ': >"$1/f"', guest_dir)
        terminal.expect(f"created {guest_dir}/f\r\n".encode())
        terminal.type(b"\x03")
        assert terminal.ends() == 130
        assert terminal.rest().replace(b"^C", b"").strip() == b""


def scripted(*events):
    """An agent's answer: these events, and the end."""
    return lambda number: b"".join(frame([EVENT, number, event]) for event in events) + frame([RESPONSE, number, None, {}])


def test_overflow_and_resync_are_shown(script):
    endpoint = script(scripted({"type": "ready", "watches": 3, "backend": "inotify"}, {"type": "overflow"},
                               {"type": "created", "path": "/x/f", "dir": False}, {"type": "resync"}))
    done = Ctl(endpoint)("watch", "/x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == ["ready watches=3 backend=inotify", "overflow", "created /x/f", "resync"]


def test_names_do_not_write_to_the_terminal(script):
    endpoint = script(scripted({"type": "renamed", "path": b"/x/\xff", "old_path": "/x/\x1b[2J\n", "dir": False},
                               {"type": "\x07odd", "path": "/x", "dir": True}))
    done = Ctl(endpoint)("watch", "/x")
    assert done.stdout == b"renamed /x/\\x1b[2J\\x0a -> /x/\\xff\n\\x07odd /x/\n"


def test_what_an_agent_may_say(script):
    """Nothing that it leaves out or gets wrong is more than an odd line."""
    done = Ctl(script(scripted({"type": "created"}, {"path": "/x"}, {"type": 1, "path": ["a"], "dir": "yes"}, {})))("watch", "/x")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 4


def test_errors(plain, guest_dir):
    done = plain("watch", f"{guest_dir}/none")
    assert done.returncode == 1 and done.stdout == b"" and b"ENOENT" in done.stderr
    done = plain("watch", "--event", "moved", guest_dir)
    assert done.returncode == 1 and b"renamed" in done.stderr
    assert Ctl("unix:/nowhere/at/all")("watch", "/").returncode == UNREACHABLE


def test_nobody_reads(plain, guest_dir):
    """As any program in a pipe: it ends with its reader."""
    with plain.start("watch", guest_dir) as process:
        lines(process, "ready")
        process.stdout.close()
        sh(plain, ': >"$1/f"', guest_dir)
        assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("args", [["watch"], ["watch", "/a", "/b"], ["watch", "--ignore"], ["watch", "--coalesce", "x", "/"],
                                  ["watch", "-x", "/"]], ids=" ".join)
def test_usage(plain, args):
    done = plain(*args)
    assert done.returncode == USAGE and done.stderr and done.stdout == b""
