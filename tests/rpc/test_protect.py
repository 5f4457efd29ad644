"""What the agent keeps to itself: its memory, its descriptors, its program."""

import errno
import fcntl
import os
import resource
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from client import connect
from support import BIN, eventually, sanitized

pytestmark = pytest.mark.local

F_GET_SEALS = 1034
ALL_SEALS = 0b1111


@pytest.fixture
def humble(guestd):
    """An agent that is not root, whose processes have the ids that it has itself."""
    directory = tempfile.mkdtemp(prefix="guestd-test-")
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
        yield guestd(directory=directory, user=65534, group=65534, extra_groups=[])
    else:
        yield guestd(directory=directory)
    shutil.rmtree(directory, ignore_errors=True)


def closed(client, pid, user=None):
    """Each of these fails for a process of the agent's."""
    tries = {"mem": "head -c 1 /proc/{}/mem", "maps": "cat /proc/{}/maps", "environ": "cat /proc/{}/environ",
             "fd": "ls /proc/{}/fd", "exe": "readlink /proc/{}/exe", "cwd": "readlink /proc/{}/cwd",
             "auxv": "cat /proc/{}/auxv", "threads": "ls /proc/{}/task/{}/fd"}
    for name, command in tries.items():
        got = client.call("proc.run", {"cmd": command.format(pid, pid), "user": user})
        assert got["code"] != 0 and got["stdout"] == b"", name
        # What the others fail of is no missing program.
        assert client.call("proc.run", {"cmd": command.format("self", "self"), "user": user})["code"] == 0 or name in (
            "mem", "threads"), name


def test_no_process_of_its_own_user_reads_it(humble):
    with humble.connect() as c:
        closed(c, humble.pid)


def test_no_other_user_reads_it(agent, client, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    closed(client, agent.pid, "4321:1234")


def test_it_leaves_no_core_and_children_may(guestd):
    daemon = guestd(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (4096, 8192)))
    assert resource.prlimit(daemon.pid, resource.RLIMIT_CORE) == (0, 8192)
    with daemon.connect() as c:
        line = c.call("proc.run", {"cmd": "grep core /proc/self/limits"})["stdout"].split()
        assert line[-3:-1] == [b"0" if sanitized() else b"4096", b"8192"], "sanitizers start with none"
        got = c.call("proc.run", {"cmd": "grep core /proc/self/limits", "rlimits": {"core": [1, 2]}})
        assert got["stdout"].split()[-3:-1] == [b"1", b"2"]


def test_what_is_locked_in_memory_costs_none(guestd):
    """As much as it uses anyway."""
    daemon = guestd()
    if not sanitized():
        assert daemon.rss() < 8 << 20
    with daemon.connect() as c:
        locked = c.call("proc.run", {"cmd": "grep VmLck /proc/self/status"})["stdout"].split()
        assert locked[1] == b"0", "an exec forgets it"


# -- seal ----------------------------------------------------------------------------------------

def assert_sealed(daemon):
    exe = f"/proc/{daemon.pid}/exe"
    assert os.readlink(exe) == "/memfd:guestd (deleted)"
    with open(exe, "rb") as f:
        assert fcntl.fcntl(f, F_GET_SEALS) & ALL_SEALS == ALL_SEALS
        assert f.read() == Path(BIN).read_bytes()
    with pytest.raises(OSError) as e:
        os.close(os.open(exe, os.O_WRONLY))
    assert e.value.errno in (errno.ETXTBSY, errno.EPERM, errno.EACCES)
    assert Path(f"/proc/{daemon.pid}/comm").read_text() == "guestd\n"


def test_a_sealed_agent_works(guestd):
    daemon = guestd("--seal")
    assert_sealed(daemon)
    with daemon.connect() as c:
        assert c.call("proc.run", {"argv": ["echo", "works"]})["stdout"] == b"works\n"
        fds = c.call("proc.run", {"cmd": "ls -l /proc/self/fd"})["stdout"]
        assert b"memfd" not in fds


def test_a_seal_by_file_and_its_end(guestd, tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("seal = yes\n")
    assert_sealed(guestd("--config", conf))
    plain = guestd("--config", conf, "--seal=no")
    assert os.readlink(f"/proc/{plain.pid}/exe") == os.path.realpath(BIN)


def test_a_program_that_is_truncated_runs_on(guestd, tmp_path):
    """Without the seal a page that was not read yet would be a SIGBUS."""
    program = tmp_path / "guestd"
    shutil.copy(BIN, program)
    daemon = guestd("--seal", wrap=lambda command: [str(program), *command[1:]])
    with open(program, "r+b") as f:
        f.truncate(0)
    with daemon.connect() as c:
        assert c.call("proc.run", {"argv": ["echo", "works"]})["stdout"] == b"works\n"
        assert c.call("fs.stat", {"path": "/"})["type"] == "dir"


def test_a_seal_passes_an_inherited_listener_on(guestd, tmp_path):
    path = tmp_path / "inherited"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        daemon = guestd("--seal", listen=[f"fd:{listener.fileno()}"], wait=False, pass_fds=[listener.fileno()])
    with connect(f"unix:{path}") as c:
        assert c.call("system.ping")
    eventually(lambda: os.readlink(f"/proc/{daemon.pid}/exe").startswith("/memfd:"), "sealed")
    assert_sealed(daemon)
