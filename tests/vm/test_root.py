"""A guest with a root of its own, and what its configuration makes of it (guestd.conf(5)).

The disks are made here, without root: a tree, which mke2fs copies.
"""

import os
import re
import struct
import subprocess
import threading
import uuid
import zlib
from pathlib import Path

import pytest

from client import Disconnected
from support import error_of, eventually
from vm import BUILD, Monitor, VM

APPLETS = "sh cat df dmesg echo free grep head ip ls mkdir readlink rm stat sync touch uname wc".split()
ROOT_UUID = str(uuid.UUID(int=0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0))
DATA_UUID = str(uuid.UUID(int=0xFEED_0000_0000_0000_0000_0000_0000_0001))
MIB = 1 << 20


def tree(top, *dirs, **files):
    for name in ("bin", "etc", "tmp", *dirs):
        (top / name).mkdir(parents=True)
    busybox = top / "bin/busybox"
    busybox.write_bytes(Path(BUILD, "vm/busybox/bin/busybox").read_bytes())
    busybox.chmod(0o755)
    for applet in APPLETS:
        (top / "bin" / applet).symlink_to("busybox")
    (top / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (top / "etc/group").write_text("root:x:0:\n")
    (top / "etc/hostname").write_text("of-the-disk\n")
    for name, text in files.items():
        (top / "etc" / name).write_text(text)
    return top


def ext4(path, size, *options, source=None):
    path.touch()
    os.truncate(path, size)
    command = ["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", *options]
    subprocess.run([*command, *(["-d", source] if source else []), path], check=True)
    return path


def drive(path, *more):
    return ["-drive", ",".join([f"file={path},if=virtio,format=raw", *more])]


def debugfs(path, command):
    return subprocess.run(["debugfs", "-R", command, path], capture_output=True, check=True).stdout.decode()


def assert_clean(path):
    done = subprocess.run(["e2fsck", "-fn", path], capture_output=True)
    assert done.returncode == 0, done.stdout
    header = subprocess.run(["dumpe2fs", "-h", path], capture_output=True, check=True).stdout.decode()
    assert re.search(r"Filesystem state:\s+clean", header) and "needs_recovery" not in header


def log_of(guest):
    return [line.partition("guestd: ")[2] for line in guest.sh("dmesg").splitlines() if "] guestd: " in line]


def shut_down(guest):
    with guest.connect() as client:
        client.call("system.shutdown", {"mode": "poweroff", "grace_ms": 1000})
        with pytest.raises(Disconnected):
            client.pump(lambda: False)
    assert guest.vm.wait(60) == 0


# -- a disk, with everything that can be asked for -------------------------------------------------

@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    top = tmp_path_factory.mktemp("root")
    source = tree(top / "tree", **{"guestd.conf": "kind = computer\nno-such-key = 1\ndeny = fs.hash\nhostname = %s\n"
                                                  % ("x" * 65)})
    path = ext4(top / "disk", 16 * MIB, "-L", "the root", "-U", ROOT_UUID, source=source)
    os.truncate(path, 40 * MIB)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return ext4(tmp_path_factory.mktemp("data") / "disk", 8 * MIB, "-U", DATA_UUID)


@pytest.fixture(scope="module")
def box(guest, disk, data):
    words = ['guestd.root="LABEL=the root"', "guestd.grow=yes", f"guestd.mount=UUID={DATA_UUID}:/srv/data:auto:noatime",
             "guestd.mount=none:/srv/small:tmpfs:size=64k,ro", "guestd.mount=/dev/vdz:/srv/none:ext4", "guestd.root-wait=1",
             "guestd.net=eth0,address=10.0.2.15/24,gateway=10.0.2.2,mtu=1400,dns=10.0.2.3,dns=fd00::3",
             '"guestd.sysctl=net.ipv4.ping_group_range=0 7"', "guestd.sysctl=vm/swappiness=7", "guestd.sysctl=no.such.thing=1",
             "guestd.sysctl=../x=1", "guestd.colour=green", "guestd.net=eth7,mtu=1300"]
    args = [*drive(disk), *drive(data), "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0"]
    with VM(qemu_args=args, append=" ".join(words)) as vm:
        yield type(guest)(vm)


def test_the_root_is_the_disk(box):
    assert re.search(r"^/dev/vda / ext4 rw", box.read("/proc/mounts"), re.MULTILINE)
    assert box.sh("uname -n").strip() == "of-the-disk"
    assert box.call("proc.run", {"argv": ["/bin/busybox", "id"]})["stdout"].startswith(b"uid=0(root)")
    assert box.sh("stat -c %a:%u /run/guestd").strip() == "755:0"


def test_what_the_root_is_not(box):
    """The initramfs, of which nothing is left but the running program."""
    assert box.sh("readlink /proc/1/exe").strip() == "/init (deleted)"
    assert box.sh("ls /").split() == "bin dev etc lost+found proc run srv sys tmp".split()
    freed = next(int(m[1]) for line in log_of(box) if (m := re.search(r"changed the root freed_bytes=(\d+)", line)))
    assert freed > 4 * MIB
    mounted = [line.split()[4] for line in box.read("/proc/self/mountinfo").splitlines()]
    assert len(mounted) == len(set(mounted)) and "/tmp" not in mounted
    assert {"/dev", "/dev/pts", "/dev/shm", "/proc", "/sys", "/sys/fs/cgroup", "/run"} <= set(mounted)


def test_the_root_fills_its_device(box):
    assert any(f"grown device=/dev/vda from={16 * MIB} to={40 * MIB}" in line for line in log_of(box))
    assert int(box.sh("df -k / | grep vda").split()[1]) > 30 * 1024


def test_guestd_is_there_for_who_has_an_event(box):
    program = "/run/guestd/bin/guestd"
    assert box.sh(f"{program} --version").startswith("guestd ")
    with box.connect() as client:
        call = client.open("proc.exec", {"argv": [program, "emit", "hello", "there"]})
        call.wait()
        assert [e for e in call.events if e.get("type") == "hello"] or "hello" in str(call.events)
    with pytest.raises(AssertionError):
        box.sh(f"echo x >>{program}")


def test_more_mounts(box):
    mounts = box.read("/proc/mounts")
    assert re.search(r"^/dev/vdb /srv/data ext4 rw,noatime", mounts, re.MULTILINE)
    assert re.search(r"^none /srv/small tmpfs ro,.*size=64k", mounts, re.MULTILINE)
    assert "/srv/none" not in mounts
    assert any("no device /dev/vdz after 1 s" in line for line in log_of(box))
    assert any(re.search(r"there is /dev/vdb type=ext4 uuid=" + DATA_UUID, line) for line in log_of(box))


def test_the_network(box):
    shown = box.sh("ip addr show eth0")
    assert "inet 10.0.2.15/24" in shown and "mtu 1400" in shown and ",UP" in shown
    assert "default via 10.0.2.2 dev eth0" in box.sh("ip route")
    assert box.read("/etc/resolv.conf") == "nameserver 10.0.2.3\nnameserver fd00::3"
    assert any("net: there is no interface eth7" in line for line in log_of(box))


def test_kernel_settings(box):
    assert box.read("/proc/sys/net/ipv4/ping_group_range").split() == ["0", "7"]
    assert box.read("/proc/sys/vm/swappiness") == "7"
    assert int(box.read("/proc/sys/fs/inotify/max_user_watches")) == 1048576
    assert any("cannot set the sysctl no/such/thing" in line for line in log_of(box))


def test_the_file_of_the_root_is_read(box):
    """The initramfs has none; what is wrong in there is said, and the rest holds."""
    with box.connect() as client:
        assert client.hello()["kind"] == "computer"
    assert error_of(box.call, "fs.hash", {"path": "/etc/passwd"}).code == "disabled"


def test_mistakes_are_told_once_and_end_nothing(box):
    log = log_of(box)
    for said in ("warn config: kernel command line: unknown key guestd.colour", "error config: kernel command line: sysctl: ",
                 "error config: /etc/guestd.conf line 2: unknown key no-such-key", "error config: /etc/guestd.conf line 4: hostname"):
        assert len([line for line in log if said in line]) == 1, (said, log)


def test_what_was_written_is_on_the_disks(box, disk, data):
    """The last of this guest."""
    box.sh("echo kept >/file; echo kept >/srv/data/file; echo lost >/tmp/open")
    with box.connect() as client:
        client.call("proc.start", {"cmd": "exec 3>>/srv/data/open 4>>/open; rm /open; trap '' TERM; while :; do :; done"})
    shut_down(box)
    for path in (disk, data):
        assert debugfs(path, "cat file") == "kept\n"
        assert_clean(path)


# -- overlays -------------------------------------------------------------------------------------

def test_an_overlay_in_memory(boot, pack, disk, tmp_path):
    """The image's own file is the only one: the guest could have written the other."""
    (tmp_path / "conf").write_text(f"root = UUID={ROOT_UUID.upper()}\noverlay = tmpfs\nhostname = of-the-image\ngrow = yes\n")
    before = disk.read_bytes()
    guest = boot(image=pack("--add", f"{tmp_path}/conf:/etc/guestd.conf"), qemu_args=drive(disk, "readonly=on"))
    assert re.search(r"^overlay / overlay rw", guest.read("/proc/mounts"), re.MULTILINE)
    assert guest.sh("stat -c %a:%u /").strip() == "755:0"
    assert guest.sh("stat -c %a /run/guestd/root").strip() == "700"
    guest.sh("echo new >/new; echo other >/etc/hostname; rm /etc/group; sync")
    assert guest.read("/new") == "new" and guest.read("/etc/hostname") == "other"
    assert guest.sh("uname -n").strip() == "of-the-image"
    assert guest.call("fs.hash", {"path": "/etc/passwd"}), "deny is in the file of the root, which was not read"
    assert any("not grown" in line for line in log_of(guest))
    shut_down(guest)
    assert disk.read_bytes() == before


def test_an_overlay_on_a_disk(boot, disk, tmp_path):
    """What is written is there in the next life. Its token is in the root, too."""
    upper = ext4(tmp_path / "upper", 8 * MIB)
    lower = ext4(tmp_path / "lower", 12 * MIB, source=tree(tmp_path / "tree", token="s3cret\n"))
    guest = boot(qemu_args=[*drive(lower, "readonly=on"), *drive(upper)],
                 append="guestd.root=/dev/vda guestd.overlay=/dev/vdb guestd.token-file=/etc/token")
    with guest.connect() as client:
        assert error_of(client.call, "system.ping").code == "unauthorized"
        client.hello(token="s3cret")
        done = client.call("proc.run", {"cmd": "mkdir /deep; echo kept >/deep/file; rm /etc/hostname"})
        assert done["code"] == 0
        client.call("system.shutdown", {"mode": "poweroff", "grace_ms": 1000})
        with pytest.raises(Disconnected):
            client.pump(lambda: False)
    assert guest.vm.wait(60) == 0
    assert_clean(upper)
    assert debugfs(upper, "cat upper/deep/file") == "kept\n"
    assert "Type: character special" in debugfs(upper, "stat upper/etc/hostname"), "deleted, for an overlay"


# -- roots that are late, or never come -------------------------------------------------------------

def gpt(path, part):
    """PART as the second partition of a disk at PATH (UEFI 2.10, 5.3), with the PARTUUID that it returns."""
    name = uuid.UUID("a1b2c3d4-e5f6-4711-8899-aabbccddeeff")
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
    first, sectors = 2048, os.path.getsize(part) // 512
    total = first + sectors + 2048
    entry = linux.bytes_le + name.bytes_le + struct.pack("<QQQ", first, first + sectors - 1, 0)
    table = (bytes(128) + entry.ljust(128, b"\0")).ljust(128 * 128, b"\0")

    def header(own, other, entries):
        def fields(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, own, other, 34, total - 34,
                               name.bytes_le, entries, 128, 128, zlib.crc32(table))
        return fields(zlib.crc32(fields(0))).ljust(512, b"\0")

    mbr = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, total - 1) + bytes(48) + b"\x55\xaa"
    with open(path, "wb") as f:
        f.write(mbr + header(1, total - 1, 2) + table)
        f.seek(first * 512)
        f.write(part.read_bytes())
        f.seek((total - 33) * 512)
        f.write(table + header(total - 1, 1, total - 33))
    return str(name)


def test_a_disk_that_comes_late(guest, tmp_path):
    """By the identity of its partition. The console tells when the guest has begun to wait."""
    part = ext4(tmp_path / "part", 12 * MIB, source=tree(tmp_path / "tree", "dev", "proc", "sys", "run"))
    name = gpt(tmp_path / "disk", part)
    # loglevel: so that all lines are on the console.
    vm = VM(qemu_args=["-device", "pcie-root-port,id=rp1,chassis=7", "-blockdev",
                       f"driver=raw,node-name=late,file.driver=file,file.filename={tmp_path / 'disk'}"],
            append=f"loglevel=7 guestd.root=PARTUUID={name} guestd.root-read-only guestd.root-wait=80")

    def plug():
        eventually(lambda: vm.dir and "waiting for device" in vm.console(), "it waits", 60)
        with Monitor(vm.qmp) as monitor:
            monitor.call("device_add", driver="virtio-blk-pci", drive="late", bus="rp1")

    plugger = threading.Thread(target=plug)
    plugger.start()
    with vm:        # not in the thread: a guest ends with the one that started it
        plugger.join()
        box = type(guest)(vm)
        mounts = box.read("/proc/mounts")
        assert re.search(r"^/dev/vda2 / ext4 ro", mounts, re.MULTILINE)
        assert re.search(r"^tmpfs /tmp tmpfs rw", mounts, re.MULTILINE), "there is a place to write to"
        assert any("device=/dev/vda2 came after" in line for line in log_of(box))
        box.sh("echo x >/tmp/file")
        with pytest.raises(AssertionError):
            box.sh("echo x >/file")


def test_a_root_that_never_comes(boot, data):
    """The agent is there to be asked why. The kernel of the guest has no `ip=` of its own."""
    guest = boot(qemu_args=[*drive(data), "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0"],
                 append="guestd.root=LABEL=nobody guestd.root-wait=1 guestd.hostname=lost guestd.log-level=loud "
                        "ip=10.0.2.20::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3 guestd.net=eth0,mtu=1300")
    log = log_of(guest)
    assert any("no device LABEL=nobody after 1 s" in line for line in log)
    assert any("there is /dev/vda type=ext4 uuid=" + DATA_UUID in line for line in log)
    assert any("the root LABEL=nobody could not be had: this is the initramfs" in line for line in log)
    assert any("log-level is error, warn, info or debug, not loud; it is left out" in line for line in log)
    assert re.search(r"^rootfs / ", guest.read("/proc/mounts"), re.MULTILINE)
    assert guest.sh("readlink /proc/1/exe; uname -n; ls -d /guestd.root 2>/dev/null || true").split() == ["/init", "lost"]
    shown = guest.sh("ip addr show eth0")
    assert "inet 10.0.2.20/24" in shown and "mtu 1300" in shown, "what is not asked for stays"
    assert "default via 10.0.2.2" in guest.sh("ip route")
    assert guest.read("/etc/resolv.conf") == "nameserver 10.0.2.3"

    # The kernel command line is not that of a container which is started in there.
    guest.sh("echo listen=unix:/mnt/inner.sock >/etc/guestd.conf; echo cgroup=off >>/etc/guestd.conf; dmesg -c >/dev/null")
    guest.call("proc.start", {"id": "container", "argv": ["unshare", "-m", "-p", "-f", "/init"]})
    eventually(lambda: guest.sh("ls /mnt") == "inner.sock\n", "it listens")
    log = log_of(guest)
    assert any("ready" in line for line in log)
    assert not any(re.search("no device|interface|there is|mount path", line) for line in log), log


def test_a_root_that_cannot_be_one(boot, tmp_path):
    """It has no place for /sys, and none can be made: what was moved there comes back."""
    disk = ext4(tmp_path / "disk", 12 * MIB, source=tree(tmp_path / "tree", "dev", "proc"))
    guest = boot(qemu_args=drive(disk, "readonly=on"), append="guestd.root=/dev/vda")
    log = log_of(guest)
    assert any("/dev/vda cannot be written to: mounted read-only" in line for line in log)
    assert any("the new root cannot have a /sys" in line for line in log)
    mounted = [line.split()[1] for line in guest.read("/proc/mounts").splitlines()]
    assert len(mounted) == len(set(mounted)) and {"/dev", "/proc", "/sys", "/run"} <= set(mounted)
    assert guest.sh("uname -n; ls -d /guestd.root /bin/sh 2>/dev/null || true").split() == ["guest", "/bin/sh"]


def test_a_policy_that_cannot_be_had(boot):
    """Nobody is served, because it is not known who may be; but the guest lives."""
    guest = boot(append="loglevel=7 guestd.deny=proc.exec,proc.runn guestd.listen=pigeon:1", marker=b"guestd: serves nobody")
    console = guest.vm.console()
    assert "guestd: ready" not in console
    assert "--deny names no method: proc.runn" in console
    with pytest.raises((OSError, Disconnected)):
        guest.call("system.ping")
    assert guest.vm.process("qemu").poll() is None
