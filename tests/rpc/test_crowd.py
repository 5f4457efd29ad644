"""What is done with too many connections, and with a kernel that has no memory for a send."""

import ctypes
import os
import struct
from pathlib import Path

import pytest

from client import TIMEOUT, Disconnected
from support import eventually

pytestmark = pytest.mark.local

MAX_CONNECTIONS = 256


def served(daemon):
    """A client that was answered, or None."""
    client = daemon.connect()
    try:
        client.call("system.ping")
        return client
    except Disconnected:
        client.close()
        return None


def test_who_never_said_anything_gives_way(guestd):
    """A host that died half way leaves connections behind; they do not keep out the next."""
    daemon = guestd()
    mute = [daemon.connect() for _ in range(MAX_CONNECTIONS)]
    try:
        for _ in range(3):
            eventually(lambda: served(daemon), "there is a place").close()
    finally:
        for client in mute:
            client.close()


def test_who_is_in_use_stays(guestd):
    daemon = guestd()
    waiting = [daemon.connect() for _ in range(MAX_CONNECTIONS - 1)]
    mute = daemon.connect()
    try:
        calls = [client.open("system.events") for client in waiting]
        for client in waiting:
            client.call("system.ping")
        eventually(lambda: served(daemon), "the mute one gives way").close()
        for client, call in zip(waiting, calls, strict=True):
            client.call("system.ping")
            assert not call.done
    finally:
        for client in [*waiting, mute]:
            client.close()


# -- no memory for a send ------------------------------------------------------------------------

SYS_SENDTO = {"x86_64": 44, "aarch64": 206}[os.uname().machine]
ENOMEM, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 12, 22, 2
ALLOW, ERRNO = 0x7fff0000, 0x00050000

# sendto(2) of 40000 to 79999 bytes fails: the answer of one call does, that of two does not.
FROM, TO = 40_000, 80_000
LD, JEQ, JGE, RET = 0x20, 0x15, 0x35, 0x06
FILTER = [(LD, 0, 0, 0), (JEQ, 0, 4, SYS_SENDTO), (LD, 0, 0, 32), (JGE, 0, 2, FROM), (JGE, 1, 0, TO),
          (RET, 0, 0, ERRNO | ENOMEM), (RET, 0, 0, ALLOW)]


def no_memory():
    """In the child, before the exec."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in FILTER))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(FILTER), ctypes.addressof(code)))
    if ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program):
        os._exit(99)


def ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.skipif(os.getuid() != 0, reason="a filter takes root")
def test_no_memory_for_a_send(guestd, tmp_path):
    """It is tried again later: the connection stays, and nothing spins meanwhile."""
    (tmp_path / "file").write_bytes(b"x" * 50_000)
    daemon = guestd(preexec_fn=no_memory)
    with daemon.connect() as client, daemon.connect() as other:
        first = client.open("fs.get", {"path": str(tmp_path / "file")})
        before = ticks(daemon.pid)
        with pytest.raises(TimeoutError):
            first.wait(2)
        assert ticks(daemon.pid) - before < 50, "it spins"
        other.call("system.ping")
        second = client.open("fs.get", {"path": str(tmp_path / "file")})
        for call in (first, second):
            assert call.wait(TIMEOUT)["data"] == b"x" * 50_000
