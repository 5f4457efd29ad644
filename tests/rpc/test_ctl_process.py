"""guestctl's background processes: start, ps, logs, attach, stop, kill, wait, forget, events."""

import json
import re
import signal
import subprocess

import pytest

from client import EVENT, RESPONSE, TIMEOUT, frame
from guestctl import USAGE, Ctl, interruptible, plain, script
from support import NUMBERS, eventually, numbers

pytestmark = pytest.mark.local      # guestctl's own doing: over vsock, test_ctl.py is enough

# Between the calls of a command the signal itself ends it: to a shell that is the same.
INTERRUPTED = 128 + signal.SIGINT, -signal.SIGINT

FOREVER = "while :; do sleep 0.1; done"


@pytest.fixture
def start(plain):
    """start(script, *options): the id of a shell in the background, stopped when the test is over."""
    ids = []

    def do(command, *options):
        done = plain("start", *options, "sh", "-c", command)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(rb"[^\s]+\n", done.stdout) and done.stderr == b""
        ids.append(done.stdout.decode().strip())
        return ids[-1]

    yield do
    for id in ids:
        plain("stop", "--grace", "0", id)


def row_of(plain, id, *args):
    """Its line in ps, or None."""
    lines = plain("ps", *args).stdout.decode().splitlines()
    return next((line for line in lines if id in line.split()), None)


def pid_of(plain, id):
    listed = json.loads(plain("--json", "ps").stdout)
    return next(info["pid"] for info in listed if info["id"] == id)


# -- start, wait, forget -----------------------------------------------------------------------------

def test_start_prints_the_id(plain, start):
    assert start("exit 0", "--id", "ctl-named") == "ctl-named"
    again = plain("start", "--id", "ctl-named", "true")
    assert again.returncode == 1 and b"exists" in again.stderr and again.stdout == b""


def test_start_as_json(plain):
    info = json.loads(plain("--json", "start", "--label", "ctl-json", "true").stdout)
    assert info["argv"] == ["true"] and info["label"] == "ctl-json" and info["pid"] > 0


def test_start_that_fails(plain):
    done = plain("start", "/nonexistent/program")
    assert done.returncode == 1 and done.stdout == b"" and b"ENOENT (exec)" in done.stderr


@pytest.mark.parametrize("command, status", [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_wait_exits_as_the_process(plain, start, command, status):
    id = start(f"sleep 0.2; {command}")
    assert plain("wait", id).returncode == status
    assert plain("wait", id).returncode == status       # also when it has long ended


def test_wait_by_pid(plain, start):
    id = start("sleep 0.5; exit 6")
    assert plain("wait", str(pid_of(plain, id))).returncode == 6


def test_wait_in_json(plain, start):
    done = plain("--json", "wait", start("exit 5"))
    assert done.returncode == 5 and json.loads(done.stdout)["code"] == 5


def test_wait_no_longer(plain, start, alive):
    id = start(FOREVER)
    done = plain("wait", "--timeout", "0.2", id)
    assert done.returncode == 1 and b"timeout" in done.stderr
    assert alive(pid_of(plain, id))


def test_interrupted_wait(plain, start, alive):
    id = start(FOREVER)
    with plain.start("wait", id) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) in INTERRUPTED
    assert alive(pid_of(plain, id))


def test_timeout_of_a_process(plain, start):
    done = plain("wait", start(FOREVER, "--timeout", "0.2"))
    assert done.returncode == 128 + signal.SIGTERM and b"timeout" in done.stderr


def test_forget(plain, start):
    id = start("exit 0")
    plain("wait", id)
    done = plain("forget", id)
    assert done.returncode == 0 and done.stdout == done.stderr == b""
    assert plain("wait", id).returncode == 1 and row_of(plain, id) is None


def test_forget_what_runs(plain, start, alive):
    id = start(FOREVER)
    done = plain("forget", id)
    assert done.returncode == 1 and done.stderr
    assert alive(pid_of(plain, id))


@pytest.mark.parametrize("command", ["wait", "stop", "kill", "logs", "attach"])
@pytest.mark.parametrize("name", ["no-such-process", "4194303"])
def test_no_such_process(plain, command, name):
    done = plain(command, name)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(f"guestctl: {command}: no process ".encode()) and name.encode() in done.stderr
    error = json.loads(plain("--json", command, name).stderr)
    assert error["code"] == "not_found"


# -- ps ------------------------------------------------------------------------------------------

def test_ps(plain, start):
    running = start(FOREVER, "--label", "ctl-label")
    ended, killed = start("exit 3"), start("kill -9 $$")
    plain("wait", ended)
    plain("wait", killed)
    head = plain("ps").stdout.decode().splitlines()[0]
    assert head.split() == ["ID", "LABEL", "PID", "USER", "STATUS", "AGE", "COMMAND"]
    row = row_of(plain, running)
    assert "ctl-label" in row and " running " in row and row.endswith("sh -c " + FOREVER)
    assert row.index("ctl-label") == head.index("LABEL") and row.index("running") == head.index("STATUS")
    assert "exited with status 3" in row_of(plain, ended)
    assert "killed by SIGKILL" in row_of(plain, killed)


def test_ps_of_everything(plain, start):
    id = start(FOREVER)
    pid = pid_of(plain, id)
    done = plain("ps", "-a")
    rows = {line.split()[0]: line for line in done.stdout.decode().splitlines()}
    assert "1" in rows and str(pid) in rows
    assert id in rows[str(pid)].split() and "sh -c" in rows[str(pid)]
    listed = json.loads(plain("--json", "ps", "-a").stdout)
    assert next(p for p in listed if p["pid"] == pid)["id"] == id


def test_ps_does_not_write_to_the_terminal(plain, start):
    id = start(FOREVER + "\n#\x1b[2J\x07é")
    assert row_of(plain, id).endswith("\\x0a#\\x1b[2J\\x07é")


# -- logs ----------------------------------------------------------------------------------------

def test_logs(plain, start):
    id = start("seq 1 500; printf end >&2")
    plain("wait", id)
    lines = [b"%d\n" % i for i in range(1, 501)] + [b"end"]
    assert plain("logs", id).stdout == b"".join(lines[-100:])
    assert plain("logs", "-n", "3", id).stdout == b"".join(lines[-3:])
    assert plain("logs", "-n", "100000", id).stdout == b"".join(lines)
    assert plain("logs", "-n", "0", id).stdout == b""


def test_logs_as_json(plain, start):
    id = start("echo text")
    plain("wait", id)
    assert json.loads(plain("--json", "logs", id).stdout)["text"] == "text\n"


def test_logs_of_one_that_has_ended(plain, start):
    id = start("seq 1 9; exit 3")
    plain("wait", id)
    done = plain("logs", "-f", "-n", "2", id)
    assert done.returncode == 0 and done.stdout == b"8\n9\n"


def test_logs_follow(plain, start):
    """No gap and nothing twice, wherever it is joined."""
    id = start("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; [ $((i % 100)) != 0 ] || sleep 0.02; done")
    followed = []
    for _ in range(4):
        with plain.start("logs", "-f", "-n", "5", id) as process:
            followed.append(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) in INTERRUPTED
    done = plain("logs", "-f", "-n", "5", id)
    assert done.returncode == 0 and done.stderr == b""
    got = [int(line) for line in done.stdout.splitlines()]
    assert got == list(range(got[0], 3001))
    assert [int(line) for line in followed] == sorted(int(line) for line in followed)


def test_logs_follow_both_streams(plain, start):
    id = start("for i in $(seq 1 50); do echo out $i; echo err $i >&2; sleep 0.01; done")
    lines = plain("logs", "-f", "-n", "1000", id).stdout.decode().splitlines()
    for stream in "out", "err":
        assert [line for line in lines if line.startswith(stream)] == [f"{stream} {i}" for i in range(1, 51)]


def test_interrupted_logs(plain, start, alive):
    id = start(f"echo here; {FOREVER}")
    with plain.start("logs", "-f", id) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) in INTERRUPTED
    assert alive(pid_of(plain, id))


# -- attach --------------------------------------------------------------------------------------

def test_attach_replays_and_follows(plain, start):
    id = start("echo one; echo two >&2; sleep 0.5; echo three; exit 4")
    done = plain("attach", id)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"one\nthree\n", b"two\n")
    assert plain("attach", id).stdout == b"one\nthree\n"


def test_attach_after_more_than_is_kept(plain, start):
    id = start(numbers(3_000_000))
    plain("wait", id)
    done = plain("attach", id)
    assert done.returncode == 0 and NUMBERS[:3_000_000].endswith(done.stdout) and done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_detaches(plain, start, alive, number):
    id = start(f"echo here; {FOREVER}")
    with plain.start("attach", id) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read() == f"guestctl: attach: detached: {id} goes on\n".encode()
    assert alive(pid_of(plain, id))


def test_attach_with_input(plain, start):
    id = start("cat; exit 3", "-i")
    done = plain("attach", "-i", id, input=b"to cat\n")
    assert done.returncode == 3 and done.stdout == b"to cat\n"


def test_attach_without_i_sends_nothing(plain, start):
    id = start("read a; echo got $a", "-i")
    with plain.start("attach", id, stdin=subprocess.DEVNULL) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert plain("attach", "-i", id, input=b"more\n").stdout == b"got more\n"
        assert process.wait(TIMEOUT) == 0 and process.stdout.read() == b"got more\n"


def test_attach_by_label(plain, start):
    start("echo old", "--label", "ctl-attach")
    start("echo new; sleep 0.5", "--label", "ctl-attach")
    assert plain("attach", "ctl-attach").stdout == b"new\n"


def test_id_goes_before_pid(plain, start):
    """An id may well be a number: it is what was asked for."""
    pid = pid_of(plain, start(FOREVER))
    start("exit 8", "--id", str(pid))
    assert plain("wait", str(pid)).returncode == 8


# -- stop, kill ------------------------------------------------------------------------------------

def test_stop(plain, start, alive):
    id = start(f"echo ready; {FOREVER}")
    pid = pid_of(plain, id)
    done = plain("stop", id)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"killed by SIGTERM\n", b"")
    assert not alive(pid)


def test_stop_says_how_it_ended(plain, start):
    id = start(f"trap 'exit 5' TERM; echo ready; {FOREVER}")
    eventually(lambda: plain("logs", id).stdout, "it is ready")
    assert plain("stop", id).stdout == b"exited with status 5\n"
    assert json.loads(plain("--json", "stop", id).stdout)["code"] == 5


def test_stop_with_grace(plain, start, alive):
    id = start(f"trap '' TERM; echo ready; {FOREVER}")
    eventually(lambda: plain("logs", id).stdout, "it is ready")
    assert plain("stop", "--grace", "0.2", id).stdout == b"killed by SIGKILL\n"


def test_stop_with_another_signal(plain, start):
    id = start(f"trap 'exit 6' USR1; echo ready; {FOREVER}")
    eventually(lambda: plain("logs", id).stdout, "it is ready")
    assert plain("stop", "--signal", "USR1", id).stdout == b"exited with status 6\n"


def test_stop_by_label(plain, start, alive):
    pids = [pid_of(plain, start(FOREVER, "--label", "ctl-stop")) for _ in range(3)]
    assert plain("stop", "ctl-stop").stdout == 3 * b"killed by SIGTERM\n"
    assert not any(map(alive, pids))


@pytest.mark.parametrize("options, status", [([], 143), (["-s", "KILL"], 137), (["-s", "SIGHUP"], 129),
                                             (["-s", "9"], 137), (["--tree"], 143), (["--leader"], 143)])
def test_kill(plain, start, options, status):
    id = start(FOREVER)
    done = plain("kill", *options, id)
    assert done.returncode == 0 and done.stdout == done.stderr == b""
    assert plain("wait", id).returncode == status


def test_kill_by_pid_and_label(plain, start):
    id = start(FOREVER, "--label", "ctl-kill")
    assert plain("kill", "-s", "STOP", str(pid_of(plain, id))).returncode == 0
    assert json.loads(plain("--json", "kill", "-s", "KILL", "ctl-kill").stdout)["signaled"] >= 1
    assert plain("wait", id).returncode == 137


def test_kill_with_no_such_signal(plain, start):
    done = plain("kill", "-s", "NONSENSE", start(FOREVER))
    assert done.returncode == 1 and done.stderr


# -- events ----------------------------------------------------------------------------------------

def test_events(plain, start):
    with plain.start("--json", "events", "--from", "1") as process:
        id = start("sleep 0.2; exit 3")
        seen = []
        while not seen or seen[-1]["type"] != "process_exited" or seen[-1]["id"] != id:
            seen.append(json.loads(process.stdout.readline()))
        assert seen[-1]["exit"]["code"] == 3
        assert [e["type"] for e in seen if e.get("id") == id] == ["process_started", "process_exited"]
        assert [e["seq"] for e in seen] == sorted(e["seq"] for e in seen)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130


def test_events_in_lines(plain, start):
    with plain.start("events", "--from", "1") as process:
        id = start("exit 3")
        line = b""
        while b"process_exited" not in line or id.encode() not in line:
            line = process.stdout.readline()
        assert re.fullmatch(rf"\d+ process_exited .*id={id} .*exited with status 3\n", line.decode())


def test_events_do_not_write_to_the_terminal(script):
    def answer(number):
        event = {"type": "user", "seq": 7, "name": "x", "data": b"\x1b[2J", "pid": 1}
        return frame([EVENT, number, event]) + frame([RESPONSE, number, None, {}])
    done = Ctl(script(answer))("events")
    assert done.returncode == 0 and done.stdout == b"7 user name=x data=\\x1b[2J pid=1\n"


# -- what cannot work ------------------------------------------------------------------------------

@pytest.mark.parametrize("args", [
    ["start"], ["start", "--escape", "~", "true"], ["start", "--label"],
    ["ps", "there"], ["ps", "-x"], ["shell", "true"],
    ["logs"], ["logs", "-n", "x", "id"], ["logs", "-n", "-1", "id"], ["logs", "one", "two"],
    ["attach"], ["attach", "one", "two"], ["stop"], ["stop", "--grace", "x", "id"], ["kill"],
    ["kill", "-9", "id"], ["wait"], ["wait", "--timeout", "x", "id"], ["forget"], ["forget", "a", "b"],
    ["events", "there"], ["events", "--from", "x"], ["events", "--from", "0"],
], ids=" ".join)
def test_usage(plain, args):
    done = plain(*args)
    assert done.returncode == USAGE and done.stderr and done.stdout == b""
