"""Starting, listening and ending: sockets, command line, configuration, signals.

No daemon here ever listens on vsock: each is given its Unix socket.
"""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from client import Disconnected, connect, frame
from support import BIN, Daemon, error_of, eventually

pytestmark = pytest.mark.local


def outcome(*args, tmp_path):
    """Status, stdout and stderr of a guestd that should end by itself."""
    command = [BIN, "--listen", f"unix:{tmp_path}/o.sock", "--run-dir", f"{tmp_path}/run", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def assert_serves(endpoint):
    with connect(endpoint) as c:
        assert c.call("proc.run", {"argv": ["echo", "hi"]})["stdout"] == b"hi\n"


# -- the socket ----------------------------------------------------------------------------------

@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_socket_is_the_owners_alone(guestd, umask):
    daemon = guestd(umask=umask)
    mode = os.stat(daemon.sock).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_a_stale_socket_is_replaced(guestd, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    daemon = guestd(listen=[f"unix:{path}"], wait=False)
    daemon.wait_ready(f"unix:{path}")
    assert_serves(f"unix:{path}")


def test_what_is_no_socket_is_not_removed(tmp_path):
    (tmp_path / "o.sock").write_text("precious")
    status, _, err = outcome(tmp_path=tmp_path)
    assert status == 1 and "o.sock" in err
    assert (tmp_path / "o.sock").read_text() == "precious"


def test_a_second_daemon_does_not_take_over(guestd, tmp_path):
    daemon = guestd(listen=[f"unix:{tmp_path}/o.sock"], wait=False)
    daemon.wait_ready(f"unix:{tmp_path}/o.sock")
    status, _, err = outcome(tmp_path=tmp_path)
    assert status == 1 and "o.sock" in err
    assert_serves(f"unix:{tmp_path}/o.sock")


def test_a_socket_in_a_missing_directory(tmp_path):
    status, _, err = outcome("--listen", f"unix:{tmp_path}/no/such/x.sock", tmp_path=tmp_path)
    assert status == 1 and "x.sock" in err


def test_a_path_longer_than_a_socket_address(tmp_path):
    status, _, err = outcome("--listen", f"unix:{tmp_path}/{'x' * 200}", tmp_path=tmp_path)
    assert status in (1, 2) and err


def test_several_listeners(guestd, tmp_path):
    endpoints = [f"unix:{tmp_path}/{name}.sock" for name in "abc"]
    daemon = guestd(listen=endpoints, wait=False)
    for endpoint in endpoints:
        daemon.wait_ready(endpoint)
        assert_serves(endpoint)
    with connect(endpoints[0]) as a, connect(endpoints[1]) as b:
        assert a.hello()["instance"] == b.hello()["instance"]


# -- an inherited socket -------------------------------------------------------------------------

# LISTEN_PID has to be the daemon's own pid; exec keeps it.
ACTIVATE = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
    os.close(fd)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def activated(guestd, tmp_path):
    """Start a daemon with a listening socket as descriptor 3, as systemd does."""
    path = str(tmp_path / "inherited.sock")

    def start():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        fd = listener.fileno()
        daemon = guestd(listen=["fd:3"], wait=False, pass_fds=[fd],
                        wrap=lambda command: [sys.executable, "-c", ACTIVATE, str(fd), *command])
        listener.close()
        daemon.wait_ready(f"unix:{path}")
        return f"unix:{path}"

    return start


def test_an_inherited_socket(activated):
    assert_serves(activated())


def test_an_inherited_socket_is_not_handed_on(activated):
    with connect(activated()) as c:
        assert b"LISTEN" not in c.call("proc.run", {"argv": ["env"]})["stdout"]
        listed = c.call("proc.run", {"argv": ["ls", "-l", "/proc/self/fd"]})["stdout"]
        assert b"socket:" not in listed


@pytest.mark.parametrize("fd", ["17", "x", "-1", ""])
def test_a_descriptor_that_is_no_listening_socket(tmp_path, fd):
    status, _, err = outcome("--listen", f"fd:{fd}", tmp_path=tmp_path)
    assert status in (1, 2) and err


# -- who may connect -----------------------------------------------------------------------------

TRY = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
except PermissionError:
    sys.exit("refused")
try:
    s.sendall(bytes.fromhex(sys.argv[2]))
    while True:
        data = s.recv(4096)
        if b"time_us" in data:
            sys.exit("served")
        if not data:
            sys.exit("dropped")
except (BrokenPipeError, ConnectionResetError):
    sys.exit("dropped")
"""


def attempt(path, uid):
    """What becomes of a ping by a process with that uid."""
    ping = frame([0, 1, "system.ping", {}]).hex()
    done = subprocess.run([sys.executable, "-c", TRY, str(path), ping], capture_output=True, text=True,
                          user=uid, group=uid, extra_groups=[], timeout=40, cwd="/")
    return done.stderr.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become somebody else")
def test_another_user_is_not_served(guestd):
    daemon = guestd()
    os.chmod(daemon.dir, 0o755)
    assert attempt(daemon.sock, 0) == "served"
    assert attempt(daemon.sock, 4321) == "refused", "by the mode of the socket"
    os.chmod(daemon.sock, 0o666)
    assert attempt(daemon.sock, 4321) == "dropped", "by its credentials"
    assert attempt(daemon.sock, 0) == "served"


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become somebody else")
def test_an_agent_without_root_serves_its_own_user_and_root():
    directory = tempfile.mkdtemp(prefix="guestd-test-")
    os.chmod(directory, 0o755)
    os.chown(directory, 4321, 4321)
    daemon = Daemon(directory=directory, user=4321, group=4321, extra_groups=[], cwd="/")
    try:
        os.chmod(daemon.sock, 0o666)
        assert attempt(daemon.sock, 4321) == "served"
        assert attempt(daemon.sock, 0) == "served"
        assert attempt(daemon.sock, 4322) == "dropped"
        with daemon.connect() as c:
            assert c.call("proc.run", {"argv": ["id", "-u"]})["stdout"] == b"4321\n"
    finally:
        daemon.close()
        shutil.rmtree(directory)


# -- the end -------------------------------------------------------------------------------------

def assert_let_go(client):
    """The connection ends, with a goodbye or without."""
    with pytest.raises(Disconnected):
        while True:
            client.recv()


def test_sigterm_ends_it_in_order(guestd):
    daemon = guestd()
    with daemon.connect() as idle, daemon.connect() as busy:
        idle.call("system.ping")
        call = busy.open("proc.exec", {"argv": ["cat"], "stdin": True, "on_disconnect": "kill"})
        call.event("started")
        os.kill(daemon.pid, signal.SIGTERM)
        assert_let_go(idle)
        assert_let_go(busy)
    assert daemon.exit_status() == 0
    assert not daemon.sock.exists()


def test_sigterm_is_not_held_up(guestd):
    """By clients that do not read, half a frame, or a process that does not die."""
    daemon = guestd()
    with daemon.connect() as stalled, daemon.connect() as half, daemon.connect() as c:
        stalled.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"}).event("started")
        half.send_bytes(b"\0\0")
        call = c.open("proc.exec", {"cmd": "trap '' TERM; echo ready; while :; do sleep 1; done",
                                    "on_disconnect": "kill", "grace_ms": 300})
        call.read(6)
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.exit_status() == 0
    pid = call.events[0]["pid"]
    if os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGKILL)


def test_another_start_after_the_end(guestd, tmp_path):
    for _ in range(3):
        daemon = guestd(listen=[f"unix:{tmp_path}/o.sock"], wait=False)
        daemon.wait_ready(f"unix:{tmp_path}/o.sock")
        assert_serves(f"unix:{tmp_path}/o.sock")
        daemon.stop()
        assert not os.path.exists(f"{tmp_path}/o.sock")


def test_another_start_after_a_crash(guestd, tmp_path):
    endpoint = f"unix:{tmp_path}/o.sock"
    first = guestd(listen=[endpoint], wait=False)
    first.wait_ready(endpoint)
    first.kill()
    second = guestd(listen=[endpoint], wait=False)
    second.wait_ready(endpoint)
    assert_serves(endpoint)


# -- the command line ----------------------------------------------------------------------------

@pytest.mark.parametrize("args", [["--no-such-option"], ["--kind"], ["--kind", "toaster"], ["--listen"],
                                  ["--listen", "carrier-pigeon:5"], ["--listen", "unix:"], ["--listen", "unix"],
                                  ["stray"], ["-Z"], ["--allow-cid", "many"], ["--log-level", "loud"]], ids=" ".join)
def test_a_bad_command_line(tmp_path, args):
    status, out, err = outcome(*args, tmp_path=tmp_path)
    assert status == 2 and err and out == ""
    assert any(word.lstrip("-") in err for word in args), "says what is bad about it"


def test_version(guestd, tmp_path):
    status, out, _ = outcome("--version", tmp_path=tmp_path)
    assert status == 0
    with guestd().connect() as c:
        assert c.hello()["version"] in out


def test_help(tmp_path):
    status, out, _ = outcome("--help", tmp_path=tmp_path)
    assert status == 0
    for option in ("--listen", "--config", "--kind", "--token-file", "--allow-cid", "--allow", "--deny", "--run-dir",
                   "--default-user", "--log-level", "--methods", "--version", "--help"):
        assert option in out


def test_methods(tmp_path):
    status, out, _ = outcome("--methods", tmp_path=tmp_path)
    assert status == 0 and "proc.exec" in out and "system.ping" in out
    assert not os.path.exists(tmp_path / "o.sock")


def test_a_missing_token_file(tmp_path):
    status, _, err = outcome("--token-file", tmp_path / "none", tmp_path=tmp_path)
    assert status == 1 and "none" in err


def test_logs_go_to_stderr(tmp_path):
    endpoint = f"unix:{tmp_path}/o.sock"
    command = [BIN, "--listen", endpoint, "--run-dir", f"{tmp_path}/run", "--log-level", "debug"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as proc:
        try:
            eventually(lambda: b"ready" in os.read(proc.stderr.fileno(), 4096), "guestd listens")
            assert_serves(endpoint)
            proc.send_signal(signal.SIGTERM)
            out, err = proc.communicate(timeout=20)
        finally:
            proc.kill()
    assert proc.returncode == 0 and out == b"" and err


# -- the configuration ---------------------------------------------------------------------------

def test_the_configuration_is_read(guestd, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "conf").write_text(f"# a comment\n\nkind = computer\n  token-file=  {tmp_path}/token  \n"
                                   "deny = proc.exec,system.methods\n")
    daemon = guestd("--config", tmp_path / "conf")
    with daemon.connect() as c:
        assert c.hello(token="s3cret")["kind"] == "computer"
        assert error_of(c.call, "system.methods").code == "disabled"
    with daemon.connect() as c:
        assert error_of(c.call, "system.ping").code == "unauthorized"


@pytest.mark.parametrize("text, line, word", [
    ("kind = sandbox\n# comment\n\nfrobnicate = 1\n", 4, "frobnicate"),
    ("kind = toaster\n", 1, "toaster"),
    ("# comment\njust words\n", 2, ""),
    ("log-level = info\nlisten = carrier-pigeon:5\n", 2, "carrier-pigeon"),
    ("dial-any = perhaps\n", 1, "perhaps"),
    ("default-user =\n", 1, "default-user"),
    ("root = /dev/vda\nroot-wait = 3601\n", 2, "3601"),
    ("overlay = disk\n", 1, "disk"),
    ("mount = /dev/vda:/mnt\n", 1, "/dev/vda"),
    ("net = eth0,adress=10.0.0.1\n", 1, "eth0"),
    ("sysctl = ../x=1\n", 1, "sysctl"),
    ("hostname = a b\n", 1, "a b"),
])
def test_an_error_in_the_configuration_has_a_line_number(tmp_path, text, line, word):
    (tmp_path / "conf").write_text(text)
    status, _, err = outcome("--config", tmp_path / "conf", tmp_path=tmp_path)
    assert status in (1, 2)
    assert re.search(rf"(:|line ){line}\b", err) and word in err


def test_what_is_for_the_init_of_a_guest_is_passed_over(guestd, tmp_path):
    """A service may share its file with one; but nothing of it is an option."""
    (tmp_path / "conf").write_text("root = LABEL=a b\nroot-wait = 3600\noverlay = tmpfs\ngrow = yes\nkind = computer\n"
                                   "mount = none:/mnt/x:tmpfs:size=1m,ro\nnet = lo,mtu=65535\nsysctl = a.b = c\n")
    before = Path("/sys/class/net/lo/mtu").read_text()
    with guestd("--config", tmp_path / "conf").connect() as c:
        assert c.hello()["kind"] == "computer"
    assert Path("/sys/class/net/lo/mtu").read_text() == before
    status, _, err = outcome("--root", "/dev/vda", tmp_path=tmp_path)
    assert status == 2 and "--root is for the guest's init" in err


def test_a_configuration_that_is_not_there(tmp_path):
    status, _, err = outcome("--config", tmp_path / "none", tmp_path=tmp_path)
    assert status in (1, 2) and "none" in err


def test_the_command_line_beats_the_configuration(guestd, tmp_path):
    (tmp_path / "conf").write_text("kind = computer\n")
    with guestd("--config", tmp_path / "conf", "--kind", "sandbox").connect() as c:
        assert c.hello()["kind"] == "sandbox"
