"""A shell on a tty of the guest, for when nothing else works."""

import contextlib
import re
import socket
import time

from client import LONG, TIMEOUT
from support import eventually

PROMPT = b"guestd: press Enter for a shell\r\n"


class Tty:
    """What somebody types and sees at the other end of the line."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(0.1)
        self.seen = b""

    def expect(self, pattern, timeout=LONG):
        """Reads up to the end of PATTERN; the match."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, (pattern, self.seen)
            with contextlib.suppress(TimeoutError):
                got = self.sock.recv(4096)
                assert got, (pattern, self.seen)
                self.seen += got
        self.seen = self.seen[found.end():]
        return found

    def type(self, text):
        self.sock.sendall(text.encode())

    def run(self, command):
        """What COMMAND prints, behind the echo of the line, of which there are two where the prompt was late."""
        self.type(f"{command}; echo do''ne\r")
        return self.expect(rb"(?s).*echo do''ne\r?\n(.*)done\r\n")[1].decode().replace("\r\n", "\n").strip()

    def enter(self):
        self.type("\r")
        self.expect(rb"[#$] ")

    def close(self):
        self.sock.close()


def test_a_shell_with_job_control(boot):
    guest = boot(append="guestd.console=ttyS0", console_socket=True)
    assert guest.call("system.info")["console"] == "ttyS0"
    with contextlib.closing(Tty(guest.vm.tty)) as tty:
        assert PROMPT.decode().strip() in guest.vm.console()
        tty.enter()
        assert tty.run("tty") == "/dev/ttyS0"
        assert tty.run("echo $TERM $HOME $PWD") == "vt220 /root /root"
        assert tty.run("cat /proc/self/oom_score_adj /proc/self/cgroup") == "0\n0::/guestd.console"
        assert tty.run("for i in 0 1 2; do readlink /proc/$$/fd/$i; done") == "\n".join(3 * ["/dev/ttyS0"])
        assert tty.run("grep -E 'SigBlk|SigIgn' /proc/self/status | cut -f 2").split() == 2 * [16 * "0"]
        # ash itself has another one of the tty.
        assert set(tty.run("for f in /proc/$$/fd/*; do readlink $f; done").split()) == {"/dev/ttyS0", "/dev/tty"}

        began = time.monotonic()
        tty.type("sleep 1000\r")
        tty.expect(rb"sleep 1000\r\n")
        eventually(lambda: guest.sh("pidof sleep || true"), "it runs")
        tty.type("\x03")
        tty.expect(rb"# ")
        assert tty.run("echo $?") == "130" and time.monotonic() - began < 500
        tty.type("sleep 2000\r")
        eventually(lambda: guest.sh("pidof sleep || true"), "it runs")
        tty.type("\x1a")
        tty.expect(rb"Stopped")
        assert "Stopped" in tty.run("jobs")
        tty.type("fg\r")
        tty.expect(rb"sleep 2000\r\n")
        tty.type("\x03")
        tty.expect(rb"# ")
        assert tty.run("jobs") == ""

        # The agent dies, and it does not care; nor does it when the shell does.
        shell = tty.run("echo $$")
        before = guest.vm.console().count("guestd: ready")
        agent = guest.agent()
        tty.type(f"kill -9 {agent}\r")
        eventually(lambda: guest.vm.console().count("guestd: ready") > before, "another agent is ready", LONG)
        assert tty.run("echo $$") == shell
        tty.type("exit\r")
        tty.expect(PROMPT)
        tty.enter()
        assert tty.run("echo $$") != shell
        tty.type("kill -TERM 1\r")
        assert guest.vm.wait(TIMEOUT) == 0, "SIGTERM to process 1 is the end of the machine, in order"


def test_there_is_none_unless_asked_for(guest):
    assert "console" not in guest.call("system.info")
    assert "press Enter" not in guest.vm.console()
    assert not guest.sh("ls -d /sys/fs/cgroup/guestd.console 2>/dev/null || true")


def test_a_wrong_configuration(boot):
    """No agent: the console says why, and with a shell there the machine stays."""
    guest = boot(append="guestd.console=ttyS0 guestd.kind=wrong", console_socket=True, marker=PROMPT.strip())
    with contextlib.closing(Tty(guest.vm.tty)) as tty:
        assert "guestd: cannot start: kind is sandbox or computer, not wrong" in guest.vm.console()
        tty.enter()
        assert "kind is sandbox" in tty.run("dmesg | grep guestd:.error")
        assert tty.run("cat /proc/1/task/1/children | wc -w") == "1"
        tty.type("kill -USR2 1\r")
        assert guest.vm.wait(TIMEOUT) == 0


def test_no_shell_and_no_agent(boot, pack):
    """An image with nothing in it, and an agent that cannot start: it is tried ever less often, and says why.

    That there is no shell is said once.
    """
    guest = boot(image=pack("--bare"), append="guestd.console=ttyS0 guestd.listen=unix:/missing/socket", marker=b"again_ms=400")
    console = guest.vm.console()
    assert console.count("guestd: there is no shell in this image") == 1
    assert "cannot bind /missing/socket: No such file or directory" in console
    assert re.findall(r"the agent has ended status=1 .* again_ms=(\d+)", console)[:4] == ["0", "100", "200", "400"]
    assert "guestd: ready" not in console


def test_a_tty_that_does_not_work(boot):
    """A UART that the kernel has a name for and the machine has not. Process 1 sleeps most of the time."""
    guest = boot(append="8250.nr_uarts=2 guestd.console=ttyS1 guestd.handoff=/sbin/missing")
    trouble = eventually(lambda: re.findall(r"the console cannot be used tty=ttyS1 err=.*", guest.sh("dmesg")), "it says so")
    assert len(trouble) == 1
    assert "cannot hand process 1 over, and stays it path=/sbin/missing" in guest.sh("dmesg")
    assert guest.call("system.info")["init"] is True

    def switches():
        return int(guest.sh("sed -n 's/^voluntary_ctxt_switches:.//p' /proc/1/status"))

    before = switches()
    time.sleep(2)
    assert switches() - before < 50
    assert len(re.findall("the console cannot be used", guest.sh("dmesg"))) == 1
