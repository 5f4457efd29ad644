"""guestd --check: what will not work in a guest, and how to mend it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import BIN

pytestmark = pytest.mark.local

# In a root of its own, or without /proc, only the one that is shipped runs: a sanitizer's is not static.
STATIC = Path(__file__).resolve().parents[2] / "build" / "guestd"

# One line each at least, in this order.
NAMES = ["config", "token", "run-dir", "user", "shell", "vsock", "serial", "modules", "kernel", "cgroup", "proc", "sys",
         "run", "pty", "shm", "inotify", "files", "random", "trust", "console", "image"]

LINE = re.compile(r"(ok|warn|fail) ([a-z-]+): (.+)")


class Report:
    """The lines of a check."""

    def __init__(self, text, status):
        self.text, self.status = text, status
        self.lines = []
        for line in text.splitlines():
            found = LINE.fullmatch(line)
            assert found, f"no line of a check: {line}"
            self.lines.append(found.groups())
        names = [name for _, name, _ in self.lines]
        assert sorted(set(names), key=names.index) == NAMES
        # What is wrong says how to mend it.
        assert all(" — " in text for verdict, _, text in self.lines if verdict != "ok"), text
        assert status == int(any(verdict == "fail" for verdict, _, _ in self.lines)), text

    def of(self, name):
        """[(verdict, text)] of one check."""
        return [(verdict, text) for verdict, found, text in self.lines if found == name]

    def one(self, name):
        (line,) = self.of(name)
        return line


def check(*options, before="", binary=BIN):
    """The report on this machine, looked at through a mount namespace in which `before`, a script, was run."""
    command = [binary, "--check", *map(str, options)]
    if before:
        command = ["unshare", "-m", "sh", "-ec", f'{before}\nexec "$@"', "-", *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return Report(done.stdout, done.returncode)


@pytest.fixture
def root(tmp_path):
    """A directory that becomes the whole world of a check, with .check() to do it."""
    tmp_path.chmod(0o755)
    shutil.copy(STATIC, tmp_path / "guestd")

    class Root:
        def file(self, path, text="x\n"):
            at = tmp_path / path.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(text)
            return at

        def check(self, *options):
            done = subprocess.run(["/guestd", "--check", *options], capture_output=True, text=True, env={},
                                  preexec_fn=lambda: (os.chroot(tmp_path), os.chdir("/")))
            return Report(done.stdout, done.returncode)

    return Root()


def test_all_of_it(tmp_path):
    assert check("--run-dir", tmp_path, "--listen", "unix:/tmp/x").one("config") == ("ok", "no file, defaults")


def test_a_configuration_is_told_with_all_that_is_wrong(tmp_path):
    conf = tmp_path / "guestd.conf"
    conf.write_text("# fine\nkind = castle\nlog-level = info\nnonsense\ncolour = red\n")
    report = check("--config", conf, "--deny", "no.such")
    assert report.status == 1
    told = [text for verdict, text in report.of("config") if verdict == "fail"]
    assert len(told) == 4, told
    for line, word in (2, "castle"), (4, "nonsense"), (5, "colour"):
        assert any(f"{conf} line {line}: " in text and word in text for text in told), told
    assert "no.such" in told[3]
    conf.write_text("kind = computer\n")
    assert check("--config", conf, "--listen", "unix:/tmp/x").of("config") == [("ok", str(conf))]
    verdict, text = check("--config", tmp_path / "none").one("config")
    assert verdict == "fail" and "No such file" in text


def test_a_wrong_command_line_is_none_of_the_guest(tmp_path):
    done = subprocess.run([BIN, "--check", "--nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "--nonsense" in done.stderr and not done.stdout


def test_a_token_that_others_can_read(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o640)
    verdict, text = check("--token-file", token).one("token")
    assert verdict == "warn" and "640" in text and "secret" not in text
    token.chmod(0o600)
    assert check("--token-file", token).one("token") == ("ok", str(token))
    report = check("--token-file", tmp_path / "none")
    assert report.one("token")[0] == report.one("config")[0] == "fail"


def test_a_run_dir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert check("--run-dir", tmp_path / "new").one("run-dir") == ("ok", str(tmp_path / "new"))
    assert check("--run-dir", tmp_path / "file").one("run-dir")[0] == "fail"
    assert check("--run-dir", tmp_path / "no/where").one("run-dir")[0] == "fail"
    (tmp_path / "ro").mkdir()
    read_only = f"mount -t tmpfs -o ro none {tmp_path}/ro"
    assert check("--run-dir", tmp_path / "ro", before=read_only).one("run-dir")[0] == "fail"


def test_a_user_that_there_is_not(tmp_path):
    verdict, text = check("--default-user", "nobody-knows").one("user")
    assert verdict == "fail" and "nobody-knows" in text
    assert check("--default-user", "root").one("user") == ("ok", "processes run as root")


def test_vsock_is_looked_for_where_the_agent_listens(tmp_path):
    assert check("--listen", "unix:/tmp/x").one("vsock") == ("ok", "the agent does not listen on it")
    (tmp_path / "virtio0").mkdir()
    (tmp_path / "virtio0/device").write_text("0x0013\n")
    device = f"mount --bind {tmp_path} /sys/bus/virtio/devices"
    verdict, text = check("--listen", "vsock:1024", before=device).one("vsock")
    assert verdict == "fail" and "no driver" in text and "vmw_vsock_virtio_transport" in text
    (tmp_path / "virtio0/device").write_text("0x0001\n")
    verdict, text = check("--listen", "vsock:1024", before=device).one("vsock")
    assert verdict == "fail" and "no vsock device" in text and "vhost-vsock-pci" in text


def test_serial_lines(tmp_path):
    there, missing = "/dev/null", tmp_path / "ttyS9"
    report = check("--listen", f"serial:{there}", "--listen", f"serial:{missing}",
                   "--listen", "serial:/dev/virtio-ports/guestd.9")
    (one, two, three) = report.of("serial")
    assert one == ("ok", there)
    assert two[0] == three[0] == "warn" and "guestd.9" in three[1] and "virtserialport" in three[1]


@pytest.mark.parametrize("name, verdict, before", [
    ("run", "ok", "mount -t tmpfs none /run"),
    ("run", "warn", "mkdir -p $DIR/run; mount --bind $DIR/run /run"),
    ("pty", "ok", "mount -t devpts -o ptmxmode=0666 none /dev/pts; mount --bind /dev/pts/ptmx /dev/ptmx"),
    ("pty", "fail", "mount -t tmpfs none /dev/pts"),
    ("shm", "warn", "mount -t tmpfs -o mode=0755 none /dev/shm"),
    ("shm", "ok", "mount -t tmpfs -o mode=1777 none /dev/shm"),
    ("sys", "warn", "mount -t tmpfs none /sys"),
    ("cgroup", "warn", "umount -l /sys/fs/cgroup"),
    ("proc", "fail", "mount -t tmpfs none /proc"),
    ("files", "warn", 'ulimit -n 4096; set -- setpriv --bounding-set=-sys_resource "$@"'),
])
def test_what_is_mounted_and_allowed(tmp_path, name, verdict, before):
    report = check("--listen", "unix:/tmp/x", before=f"DIR={tmp_path}\n{before}", binary=STATIC)
    assert [v for v, _ in report.of(name)] == [verdict]


def test_an_empty_guest(root):
    """Nothing is there, and it says so of everything; the agent itself could live in it."""
    report = root.check("--listen", "unix:/g.sock")
    told = {name: {verdict for verdict, _ in report.of(name)} for name in NAMES}
    for name in "proc", "pty", "inotify":
        assert told[name] == {"fail"}, name
    for name in "shell", "cgroup", "sys", "run", "shm", "trust", "user":
        assert told[name] == {"warn"}, name
    for name in "config", "image", "token", "console", "kernel":
        assert told[name] == {"ok"}, name


def test_modules_that_the_image_names_and_lacks(root):
    root.file("/lib/modules/vsock.ko")
    order = root.file("/lib/modules/guestd.order", "/lib/modules/vsock.ko\n# none\n/lib/modules/gone.ko # why\n")
    ((verdict, text),) = root.check().of("modules")
    assert verdict == "fail" and "/lib/modules/gone.ko" in text
    order.write_text("/lib/modules/vsock.ko\n")
    assert root.check().one("modules")[0] == "ok"


@pytest.mark.parametrize("path", [
    "/etc/machine-id", "/var/lib/dbus/machine-id", "/var/lib/systemd/random-seed", "/etc/ssh/ssh_host_ed25519_key",
    "/var/lib/dhcp/dhclient.eth0.leases", "/var/lib/cloud/instances/i-1/user-data.txt",
    "/var/log/journal/0123/system.journal", "/var/log/wtmp", "/root/.bash_history", "/home/user/.ash_history",
])
def test_what_clones_should_not_have_in_common(root, path):
    assert root.check().one("image")[0] == "ok"
    file = root.file(path)
    verdict, text = root.check().one("image")
    assert verdict == "warn" and text.startswith(os.path.dirname(path).split("/0123")[0].split("/i-1")[0])
    if path in ("/etc/machine-id", "/var/log/wtmp"):
        file.write_text("")         # truncated, not removed
        assert root.check().one("image")[0] == "ok"


def test_a_debug_shell(tmp_path):
    (tmp_path / "cmdline").write_text("console=ttyS0 guestd.console=ttyS0 quiet\n")
    verdict, text = check(before=f"mount --bind {tmp_path}/cmdline /proc/cmdline").one("console")
    assert verdict == "warn" and "console = ttyS0" in text
