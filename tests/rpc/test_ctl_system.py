"""guestctl info, metrics, top and log."""

import json
import select
import signal
import subprocess

import pytest

from client import TIMEOUT
from guestctl import CTL, UNREACHABLE, USAGE, Terminal, interruptible, plain  # noqa: F401
from support import unique


def run(plain, *args, status=0):
    done = plain(*args)
    assert done.returncode == status, (done.stdout, done.stderr)
    return (done.stderr if status else done.stdout).decode()


# -- metrics -------------------------------------------------------------------------------------

def test_metrics(plain, client):
    lines = dict(line.split("  ", 1) for line in run(plain, "metrics").splitlines())
    assert int(lines["memory.total"]) == client.call("system.info")["memory"]
    assert int(lines["cpu.count"]) >= 1 and len(lines["cpu.load"].split()) == 3
    assert int(lines["net.lo.rx_bytes"]) >= 0 and int(lines["agent.rss"]) > 0


def test_metrics_as_json(plain):
    assert json.loads(run(plain, "--json", "metrics"))["agent"]["fds"] > 0


def test_metrics_again_and_again(plain):
    with plain.start("--json", "metrics", "-i", "0.05") as process:
        stamps = [json.loads(process.stdout.readline())["time_us"] for _ in range(4)]
        assert stamps == sorted(set(stamps))
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT


# -- top -----------------------------------------------------------------------------------------

def test_top_is_one_picture_where_there_is_no_terminal(plain, start):
    name = unique("top")
    start(argv=["sh", "-c", f"sleep 1000; : {name}"])
    text = run(plain, "top")
    assert "\x1b" not in text and name in text
    lines = text.splitlines()
    assert lines[0].startswith("processes ") and lines[1].startswith("cpu  user ")
    assert lines[2].startswith("memory ") and lines[3].startswith("network  in ")
    assert lines[4].startswith("agent  cpu ") and lines[6].split() == ["PID", "UID", "S", "CPU%", "RSS", "TIME", "COMMAND"]
    assert len(lines) - 7 == int(lines[0].split()[1])


def test_the_busiest_come_first(plain, client):
    name = unique("busy")
    call = client.open("proc.exec", {"argv": ["sh", "-c", f"while :; do :; done; : {name}"]})
    call.event("started")
    lines = run(plain, "top").splitlines()[7:]
    busy = next(line for line in lines if name in line)
    assert float(busy.split()[3]) > 0
    shares = [float(line.split()[3]) for line in lines]
    assert shares == sorted(shares, reverse=True)
    call.cancel()


@pytest.mark.parametrize("keys", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_top_on_a_terminal(agent, keys):
    with Terminal(agent.endpoint, "top", "-i", "0.1", rows=20, cols=70) as t:
        t.expect(b"\x1b[?1049h")
        for _ in range(3):
            t.expect(b"\x1b[H")
            frame = t.expect(b"\x1b[J")
            assert frame.count(b"\r\n") < 20 and b"COMMAND" in frame
            assert all(len(line) <= 70 + len(b"\x1b[K") for line in frame.split(b"\r\n"))
        assert t.is_raw()
        t.type(keys)
        assert t.ends() == 0
        assert t.rest().endswith(b"\x1b[?25h\x1b[?1049l")


def test_top_follows_the_window(agent):
    with Terminal(agent.endpoint, "top", "-i", "3000", rows=12, cols=60) as t:
        t.expect(b"\x1b[J")
        t.resize(9, 60)
        t.process.send_signal(signal.SIGWINCH)
        t.expect(b"\x1b[H")
        assert t.expect(b"\x1b[J").count(b"\r\n") < 9
        t.type(b"q")
        assert t.ends() == 0


def test_top_ends_in_order_on_a_signal(agent):
    with Terminal(agent.endpoint, "top", "-i", "0.1") as t:
        t.expect(b"\x1b[J")
        t.process.send_signal(signal.SIGTERM)
        assert t.ends() == 128 + signal.SIGTERM
        assert t.rest().endswith(b"\x1b[?25h\x1b[?1049l")


@pytest.mark.local
def test_top_when_the_agent_goes(guestd):
    daemon = guestd()
    with Terminal(daemon.endpoint, "top", "-i", "0.1") as t:
        t.expect(b"\x1b[J")
        daemon.stop()
        assert t.ends() == UNREACHABLE
        assert b"\x1b[?1049l" in t.rest()


# -- log -----------------------------------------------------------------------------------------

def test_log(plain, client):
    mark = unique("log")
    client.call("fs.delete", {"path": f"/{mark}", "missing_ok": True})
    line = run(plain, "log", "-n", "1").split()
    assert line[2:4] == ["info", "fs.delete"] and f"path=/{mark}" in line
    assert all("conn=" in text for text in run(plain, "log", "--audit").splitlines())
    assert json.loads(run(plain, "--json", "log", "-n", "1"))["audit"] is True
    assert run(plain, "log", "-n", "0") == ""


def test_log_follows(plain, client):
    mark = unique("follow")
    with plain.start("log", "-f", "-n", "0") as process:
        i = 0
        while True:     # it says nothing when it begins
            client.call("fs.delete", {"path": f"/{mark}-{i}", "missing_ok": True})
            i += 1
            if process.poll() is not None or has_said(process):
                break
        assert mark.encode() in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 128 + signal.SIGINT


def has_said(process):
    return select.select([process.stdout], [], [], 0.05)[0]


# -- info, usage ---------------------------------------------------------------------------------

def test_info(plain, client):
    assert client.hello()["instance"] in run(plain, "info")


@pytest.mark.parametrize("args", [["metrics", "x"], ["metrics", "-i", "0"], ["metrics", "-i", "x"], ["top", "x"],
                                  ["top", "-i", "0.01"], ["--json", "top"], ["log", "x"], ["log", "-n", "x"],
                                  ["log", "--nope"]], ids=str)
def test_usage(plain, args):
    run(plain, *args, status=USAGE)


@pytest.mark.parametrize("command", ["metrics", "top", "log", "env"])
def test_help(command):
    done = subprocess.run([CTL, command, "--help"], capture_output=True, check=True)
    assert done.stdout.startswith(f"usage: guestctl {command}".encode())
