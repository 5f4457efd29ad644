"""What guestd does when it is the first process of a guest that has no distribution."""

import re
import time

from support import eventually

MOUNTS = {
    "/proc": ("proc", {"nosuid", "nodev", "noexec"}),
    "/sys": ("sysfs", {"nosuid", "nodev", "noexec"}),
    "/dev": ("devtmpfs", {"nosuid", "mode=755"}),
    "/dev/pts": ("devpts", {"nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"}),
    "/dev/shm": ("tmpfs", {"nosuid", "nodev"}),
    "/run": ("tmpfs", {"nosuid", "nodev", "mode=755"}),
    "/tmp": ("tmpfs", {"nosuid", "nodev"}),
    "/sys/fs/cgroup": ("cgroup2", {"nosuid", "nodev", "noexec", "nsdelegate", "memory_recursiveprot"}),
}

LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}

# What the kernel says when something has gone wrong, and what guestd does.
TROUBLE = re.compile(r"Kernel panic|Oops|BUG:|WARNING:|Call Trace|segfault|guestd: (?:error|warn)")


def processes(guest):
    """[(pid, comm, state, ppid)] of the guest."""
    # A process may end between the shell's glob and cat's open.
    text = guest.sh("cat /proc/[0-9]*/stat 2>/dev/null || true")
    return [
        (int(pid), comm, state, int(ppid))
        for pid, comm, state, ppid in re.findall(r"(?m)^(\d+) \((.*)\) (\S) (\d+) ", text)
    ]


def test_pid1_is_guestd(guest):
    assert guest.sh("readlink /proc/1/exe").strip() == "/init"


def test_hostname(guest):
    """/etc/hostname of the image."""
    assert guest.sh("uname -n").strip() == "guest"


def test_mounts(guest):
    found = {}
    for line in guest.read("/proc/self/mounts").splitlines():
        _, target, fstype, options, *_ = line.split()
        assert target not in found, f"{target} is mounted twice"
        found[target] = (fstype, set(options.split(",")))
    for target, (fstype, options) in MOUNTS.items():
        assert target in found, f"{target} is not mounted"
        assert found[target][0] == fstype
        assert options <= found[target][1], (target, found[target][1])


def test_mounts_are_shared(guest):
    """With the mount namespaces of containers, as systemd has it."""
    for line in guest.read("/proc/1/mountinfo").splitlines():
        assert " shared:" in line.partition(" - ")[0], line


def test_modes(guest):
    for path, mode in {"/tmp": "1777", "/dev/shm": "1777", "/run": "755", "/dev/pts/ptmx": "666"}.items():
        assert guest.sh(f"stat -c %a {path}").strip() == mode, path


def test_links_in_dev(guest):
    for path, target in LINKS.items():
        assert guest.sh(f"readlink {path}").strip() == target
    # What they are for: a program that is given a file name for its standard input.
    assert guest.sh("echo through | cat /dev/stdin").strip() == "through"


def test_standard_descriptors_of_pid1(guest):
    for fd in range(3):
        assert guest.sh(f"readlink /proc/1/fd/{fd}").strip() in ("/dev/console", "/dev/null")


def test_modules_are_loaded(guest):
    loaded = {line.split()[0] for line in guest.read("/proc/modules").splitlines()}
    listed = guest.read("/lib/modules/guestd.order").splitlines()
    assert len(listed) > 5
    for path in listed:
        assert path.rpartition("/")[2].removesuffix(".ko") in loaded


def test_kernel_settings(guest):
    assert int(guest.read("/proc/sys/fs/inotify/max_user_watches")) >= 1048576
    assert int(guest.read("/proc/sys/fs/inotify/max_user_instances")) >= 8192
    assert int(guest.read("/proc/sys/fs/inotify/max_queued_events")) >= 65536


def test_loopback_is_up(guest):
    assert int(guest.read("/sys/class/net/lo/flags"), 16) & 1
    guest.sh("ping -c 1 -W 2 127.0.0.1")


def test_random_numbers_do_not_wait(guest):
    """A guest without a source of entropy spends its first second on gathering some."""
    began = time.monotonic()
    guest.sh("head -c 16 /dev/random >/dev/null")
    assert time.monotonic() - began < 0.8


def test_orphans_are_reaped(guest):
    """50 children whose parents are gone when they end: nobody but the agent can wait for them.

    They end in a burst, and the kernel folds the signals for it into one: who reaps one child a signal
    leaves the others as zombies.
    """
    agent = guest.agent()
    guest.sh("mkfifo /tmp/end; for i in $(seq 50); do (cat /tmp/end </dev/null >/dev/null 2>&1 &); done")

    def orphans():
        return {pid for pid, comm, _, ppid in processes(guest) if comm == "cat" and ppid == agent}

    eventually(lambda: len(orphans()) == 50, "they are the agent's")

    def reaped():
        guest.sh(": 3<>/tmp/end")       # a writer for a moment
        return not [p for p in processes(guest) if p[1] == "cat" and p[3] == agent or p[2] == "Z"]

    eventually(reaped, "all are gone", 20)
    guest.sh("rm /tmp/end")


def test_console_and_log_are_clean(guest):
    console = guest.vm.console()
    assert console.count("guestd: ready") == 1
    assert not TROUBLE.search(console), console
    log = guest.sh("dmesg")
    assert "guestd: " in log, "PID 1 logs to the kernel's log"
    trouble = [line for line in log.splitlines() if TROUBLE.search(line)]
    assert not trouble, "\n".join(trouble)
    assert guest.read("/proc/sys/kernel/tainted") == "0"


def test_bare_image(boot, pack):
    """guestd needs no shell, no accounts, no directory in the image that it does not make."""
    guest = boot(image=pack("--bare"))
    assert guest.call("system.ping")["time_us"] > 0


def test_a_bad_module_list_does_not_stop_the_boot(boot, pack, tmp_path, guest):
    """Missing files, files that are no modules, repetitions, comments, no newline at the end.

    The words added to the kernel's command line are none that the kernel knows, so it passes them
    to init, as an argument and as a variable.
    """
    good = guest.read("/lib/modules/guestd.order").splitlines()
    lines = ["# comment", "", "/lib/modules/missing.ko", "/etc/passwd", *good, good[0], " ", "  # indented"]
    order = tmp_path / "order"
    order.write_text("\n".join([*lines, good[-1] + "  # the last"]))
    image = pack("--add", f"{order}:/lib/modules/guestd.order")
    other = boot(image=image, append="stray STRAY_VARIABLE=1")
    failed = re.findall(r"guestd: error init: module path=(\S+) ", other.sh("dmesg"))
    assert failed == ["/lib/modules/missing.ko", "/etc/passwd"]
    assert "STRAY_VARIABLE" not in other.sh("env")
