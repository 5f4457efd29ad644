"""The static binary alone in a root directory: no /dev, /proc, /etc, /bin, /tmp, libc or shell."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from client import RpcError, connect
from support import eventually

pytestmark = pytest.mark.local

# Always the one that is shipped: a sanitizer's is not static.
STATIC = Path(__file__).resolve().parents[2] / "build" / "guestd"


@pytest.fixture
def empty_root(tmp_path):
    """A client of a guestd whose whole world is its own binary."""
    tmp_path.chmod(0o755)
    shutil.copy(STATIC, tmp_path / "guestd")
    daemon = subprocess.Popen(["/guestd", "--listen", "unix:/g.sock", "--run-dir", "/run", "--log-level", "error"],
                              preexec_fn=lambda: (os.chroot(tmp_path), os.chdir("/")), env={},
                              executable="/guestd", stdin=subprocess.DEVNULL)
    eventually((tmp_path / "g.sock").is_socket, "it listens")
    # The path of a socket is at most 107 bytes.
    link = Path(f"/tmp/guestd-root-{os.getpid()}")
    link.symlink_to(tmp_path)
    try:
        with connect(f"unix:{link}/g.sock") as client:
            client.root = tmp_path
            yield client
    finally:
        link.unlink()
        daemon.terminate()
        assert daemon.wait(10) == 0


def test_a_static_program_runs(empty_root):
    call = empty_root.open("proc.exec", {"argv": ["/guestd", "--version"]})
    assert call.wait()["code"] == 0
    assert call.stdout.startswith(b"guestd ")


def test_users_are_numbers(empty_root):
    result = empty_root.call("proc.run", {"argv": ["/guestd", "--version"], "user": "1234:5678"})
    assert result["code"] == 0


def test_what_is_missing_is_an_error_and_not_an_exit(empty_root):
    for params, code, stage in (({"cmd": "true"}, "ENOENT", "exec"),
                                ({"argv": ["/guestd"], "cwd": "/nowhere"}, "ENOENT", "chdir"),
                                ({"argv": ["/guestd"], "user": "nobody"}, "not_found", "user")):
        with pytest.raises(RpcError) as e:
            empty_root.call("proc.run", params)
        assert (e.value.code, e.value.stage) == (code, stage)


def test_a_shell_that_is_no_absolute_path_is_bin_sh(empty_root):
    """It must not be searched: the PATH is the caller's, and the passwd file somebody else's."""
    (empty_root.root / "etc").mkdir()
    (empty_root.root / "etc/passwd").write_text("odd:x:7:7::/:guestd\n")
    for params in ({"cmd": "true", "login": True}, {"pty": {}}):
        method = "proc.run" if "cmd" in params else "pty.open"
        with pytest.raises(RpcError) as e:
            empty_root.call(method, {**params, "user": "odd", "env": {"PATH": "/" + ":/" * 300}})
        assert e.value.stage in ("exec", "pty")
        assert e.value.path in ("/bin/sh", "-sh", None)
    assert empty_root.call("system.ping")


def test_the_highest_uid_is_nobody(empty_root):
    """setresuid(2) takes it for "unchanged": whoever ran with it would be root."""
    (empty_root.root / "etc").mkdir()
    (empty_root.root / "etc/passwd").write_text("ghost:x:4294967295:4294967295::/:/guestd\n"
                                                "half:x:9:4294967295::/:/guestd\n")
    for user in ("ghost", "half", "4294967295"):
        with pytest.raises(RpcError) as e:
            empty_root.call("proc.run", {"argv": ["/guestd", "--version"], "user": user})
        assert e.value.code == "not_found", user
