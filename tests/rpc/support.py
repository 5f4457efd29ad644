"""What the tests share: starting guestd, looking at it from outside through /proc, waiting."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from client import TIMEOUT, RpcError, connect

ROOT = Path(__file__).resolve().parents[2]
BIN = os.path.abspath(os.environ.get("GUESTD_BIN") or ROOT / "build" / "guestd")

# An agent elsewhere; the variable may get its value when a virtual machine is up.
REMOTE = "GUESTD_ENDPOINT" in os.environ

# Fewer rounds where everything is slower (sanitizers, emulation).
SCALE = float(os.environ.get("GUESTD_TEST_SCALE", "1"))

# Output in which every part is different from every other, so nothing can be lost or swapped unseen.
NUMBERS = "".join(f"{i}\n" for i in range(1, 1_000_000)).encode()

REPORT = re.compile(rb"AddressSanitizer|ThreadSanitizer|LeakSanitizer|MemorySanitizer|runtime error")


def rounds(n):
    """`n`, scaled by GUESTD_TEST_SCALE."""
    return max(1, int(n * SCALE))


def numbers(size):
    """A shell command that prints the first `size` bytes of NUMBERS."""
    if not REMOTE or size <= 4097:
        return f"seq 1 999999 | head -c {size}" if size else "true"
    # In an emulated guest seq takes seconds for it: once is enough.
    kept = "/tmp/rpc-numbers"
    make = f"[ -e {kept} ] || {{ seq 1 999999 >{kept}.$$ && mv {kept}.$$ {kept}; }}"
    return f"{make}; head -c {size} {kept}"


def sanitized():
    """Whether the binary is built with a sanitizer: its memory use says little then."""
    with open(BIN, "rb") as f:
        return re.search(rb"__asan_init|__tsan_init", f.read()) is not None


def eventually(condition, what, timeout=TIMEOUT):
    """Poll `condition` until it is true; its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)


def error_of(function, *args, **kwargs):
    """The RpcError that a call ends with; an assertion when it succeeds."""
    try:
        result = function(*args, **kwargs)
    except RpcError as e:
        assert e.message, "an error without a sentence"
        return e
    raise AssertionError(f"no error but {result!r}")


def unique(prefix):
    """An id or label that no other test, nor an earlier run against the same agent, has used."""
    return f"{prefix}-{os.urandom(5).hex()}"


# What every Exit holds, with its type.
EXIT = {"timed_out": bool, "oom_killed": bool, "core": bool, "started_us": int, "exited_us": int,
        "duration_ms": int, "user_ms": int, "system_ms": int, "max_rss": int, "stdout_bytes": int,
        "stderr_bytes": int, "stdout_dropped": int, "stderr_dropped": int, "eof": bool}


def assert_exit(result, code=None, signal=None, signal_name=None):
    """An Exit as the protocol has it, that tells of this code or this signal; returned as it is."""
    for name, kind in EXIT.items():
        assert type(result.get(name)) is kind, (name, result)
    assert {"code", "signal"} <= set(result), result
    assert (result["code"], result["signal"]) == (code, signal), result
    assert result.get("signal_name") == signal_name, result
    return result


def info_of(client, process_id):
    """Its ProcessInfo, or None."""
    found = [p for p in client.call("proc.list") if p["id"] == process_id]
    assert len(found) <= 1, found
    return found[0] if found else None


def has_written(client, process_id, stdout=0, stderr=0):
    """Wait until the agent has read that much of its output; its ProcessInfo then."""
    def check():
        info = info_of(client, process_id)
        return info if info["stdout_offset"] >= stdout and info["stderr_offset"] >= stderr else None
    return eventually(check, f"{process_id} has written {stdout} and {stderr} bytes")


def go(client, process_id):
    """Answer the `read` that a process waits in."""
    assert client.call("proc.input", {"id": process_id, "data": b"\n"}) == {"written": 1}


class Remote:
    """An agent that somebody else started, in a virtual machine for instance."""

    pid = None

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def connect(self):
        return connect(self.endpoint)


class Daemon:
    """One guestd of ours in a directory of its own.

    args: further options. listen: the endpoints, by default one socket in the directory.
    env: its whole environment. wrap: a function from its command line to the one to run.
    Further keywords go to subprocess.Popen.
    """

    def __init__(self, *args, listen=None, env=None, wrap=None, directory=None, wait=True, **popen):
        self.dir = Path(directory or tempfile.mkdtemp(prefix="guestd-test-"))
        self.own_dir = directory is None
        self.sock = self.dir / "g.sock"
        self.run_dir = self.dir / "run"
        self.endpoint = f"unix:{self.sock}"
        command = [BIN]
        for endpoint in [self.endpoint] if listen is None else listen:
            command += ["--listen", endpoint]
        command += ["--run-dir", str(self.run_dir), *map(str, args)]
        env = dict(env if env is not None else {"PATH": os.environ.get("PATH", "/usr/bin:/bin")})
        # Freed memory kept back by the sanitizer would look like a leak.
        env.setdefault("ASAN_OPTIONS", "quarantine_size_mb=1")
        env.setdefault("TSAN_OPTIONS", f"suppressions={Path(__file__).resolve().parents[1] / 'tsan.supp'}")
        self._stderr = tempfile.TemporaryFile()
        self.stopped = False
        self.proc = subprocess.Popen(wrap(command) if wrap else command, env=env,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=self._stderr, **popen)
        self.pid = self.proc.pid
        if wait:
            self.wait_ready()

    def wait_ready(self, endpoint=None):
        """Return as soon as a connection is accepted; an error when the daemon ended instead."""
        def ready():
            status = self.proc.poll()
            assert status is None, f"guestd ended with status {status}:\n{self.log()}"
            try:
                connect(endpoint or self.endpoint).close()
                return True
            except OSError:
                return False
        try:
            eventually(ready, "guestd listens")
        except AssertionError:
            self.kill()
            raise

    def connect(self):
        return connect(self.endpoint)

    def log(self):
        """All that it wrote to stderr."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def exit_status(self, timeout=TIMEOUT):
        """Wait for its end."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"guestd did not end:\n{self.log()}") from None

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.stopped = True

    def stop(self):
        """End it in order, and insist that there was an order."""
        if self.stopped:
            return
        self.stopped = True
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        status = self.exit_status()
        log = self.log()
        assert not REPORT.search(log.encode()), log
        assert status == 0, f"exit status {status}:\n{log}"

    def close(self):
        """stop() and remove the directory."""
        try:
            self.stop()
        finally:
            if self.own_dir:
                shutil.rmtree(self.dir, ignore_errors=True)

    # -- seen from outside -----------------------------------------------------------------------

    def rss(self):
        """Resident memory in bytes."""
        return self._memory("VmRSS")

    def peak(self):
        """The most resident memory since the start or reset_peak(), in bytes."""
        return self._memory("VmHWM")

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _memory(self, name):
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.M)
        assert found, "guestd is dead"
        return int(found.group(1)) * 1024

    def fds(self):
        """Number of open descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def children(self):
        """{pid: state} of its child processes."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid:
                found[int(entry)] = fields[0]
        return found

    def zombies(self):
        return [pid for pid, state in self.children().items() if state == "Z"]
