"""Kernels that are old, and container runtimes that refuse system calls: everything works without them."""

import ctypes
import errno
import struct

import pytest

from support import error_of
from tarballs import archive, do_import, member

pytestmark = pytest.mark.local

# x86-64 numbers; all of them are the same on arm64.
CLONE3, CLOSE_RANGE, PIDFD_OPEN, OPENAT2 = 435, 436, 434, 437

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38


def refuse(number, error):
    """A preexec_fn that makes system call `number` fail with `error` from now on: seccomp(2)."""
    load_number = struct.pack("HBBI", 0x20, 0, 0, 0)            # A = seccomp_data.nr
    skip_unless = struct.pack("HBBI", 0x15, 0, 1, number)       # if (A != number) skip one
    fail = struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)  # return SECCOMP_RET_ERRNO | error
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    program = ctypes.create_string_buffer(load_number + skip_unless + fail + allow)

    class Fprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    fprog = Fprog(4, ctypes.addressof(program))

    def install(_alive=program):
        assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0) == 0
    return install


@pytest.mark.parametrize("number,error", [(CLONE3, errno.ENOSYS), (CLONE3, errno.EPERM), (CLOSE_RANGE, errno.ENOSYS),
                                          (PIDFD_OPEN, errno.ENOSYS)],
                         ids=["clone3-ENOSYS", "clone3-EPERM", "close_range", "pidfd_open"])
def test_processes_without(guestd, number, error):
    daemon = guestd(preexec_fn=refuse(number, error))
    with daemon.connect() as c:
        result = c.call("proc.run", {"cmd": "echo out; echo err >&2; ls /proc/self/fd; exit 3"})
        assert result["code"] == 3 and result["stderr"] == b"err\n"
        assert result["stdout"].split() == [b"out", b"0", b"1", b"2", b"3"]     # 3 is ls reading the directory
        call = c.open("proc.exec", {"cmd": "sleep 1000 & sleep 1000"})
        call.event("started")
        call.cancel()
        assert error_of(call.wait).code == "canceled"


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=["ENOSYS", "EPERM"])
def test_archives_without(guestd, tmp_path, error):
    """Names are resolved part by part then, and lead no further."""
    daemon = guestd(preexec_fn=refuse(OPENAT2, error))
    (tmp_path / "outside/dir").mkdir(parents=True)
    dest = str(tmp_path / "dest")
    links = [member("d/e/f", data=b"f"), member("d/link", "symlink", target="../../outside"), member("d/dot", "symlink", target=".")]
    with daemon.connect() as c:
        for name in ("d/link/x", "d/link/dir/x", "d/dot/x", "d/dot/link/dir/x"):
            refused = error_of(do_import, c, archive(*links, member(name, data=b"x")), dest, links="keep")
            assert (refused.code, refused.stage, refused.path) == ("bad_params", "refuse", name)
        refused = error_of(do_import, c, archive(member("d/link/dir/x", "dir", mode=0o777)), dest)
        assert refused.code == "bad_params" and "d/link is a symbolic link" in refused.message
        assert [path.name for path in (tmp_path / "outside").rglob("*")] == ["dir"]
        data = archive(member("a/b/c", "dir", mode=0o700, mtime=7), member("a/b/c/d/e", data=b"e"),
                       member("h", "hardlink", target="a/b/c/d/e"))
        assert do_import(c, data, dest) == {"files": 2, "bytes": 1}
    assert (tmp_path / "dest/h").read_bytes() == b"e" and (tmp_path / "dest/h").stat().st_nlink == 2
    assert (tmp_path / "dest/a/b/c").stat().st_mtime == 7
