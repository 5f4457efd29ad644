"""guestctl freeze, thaw, resumed and shutdown."""

import json

import pytest

from guestctl import USAGE, interruptible, plain  # noqa: F401
from support import error_of


def run(plain, *args, status=0):
    done = plain(*args)
    assert done.returncode == status, (done.stdout, done.stderr)
    return (done.stderr if status else done.stdout).decode()


def test_freeze_and_thaw(plain, client):
    assert run(plain, "freeze", "--no-processes") == "processes 0\n"
    assert error_of(client.call, "proc.run", {"cmd": "true"}).code == "frozen"
    assert "busy" in run(plain, "freeze", "--no-processes", status=1)
    assert run(plain, "thaw") == ""
    assert client.call("proc.run", {"cmd": "true"})["code"] == 0


def test_freeze_as_json(plain):
    assert json.loads(run(plain, "--json", "freeze", "--no-processes", "--timeout", "30")) == {"processes": 0, "filesystems": []}
    run(plain, "thaw")


@pytest.mark.parametrize("args", [["freeze", "x"], ["freeze", "--timeout", "soon"], ["freeze", "--disks"], ["thaw", "x"],
                                  ["resumed", "x"], ["resumed", "--key"], ["shutdown", "now"], ["shutdown", "--grace", "x"]])
def test_usage(plain, args):
    run(plain, *args, status=USAGE)


@pytest.mark.local  # there it is PID 1
def test_shutdown_is_for_pid_1(plain):
    assert "force" in run(plain, "shutdown", status=1)
