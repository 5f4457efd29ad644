#!/usr/bin/env python3
"""initramfs/vm.py - the guest image in QEMU, with a virtio-vsock that takes no privileges

The vsock device is a process of its own (vhost-device-vsock), so the host side is a Unix socket and
no kernel support is needed:

    with VM() as vm:
        client = connect(vm.endpoint)       # uds:/tmp/guestd-vm-x/v.sock:1024

The guest prints a marker on its console when it listens.  Nothing may connect before that: a
CONNECT for a port without a listener can wedge the device for good.
"""
import argparse
import atexit
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
VHOST = os.path.join(BUILD, "vm/vhost/usr/bin/vhost-device-vsock")
ACCEL_CACHE = os.path.join(BUILD, "vm/accel")

MARKER = b"guestd: ready"
PORT = 1024
CID = 42
BOOT_TIMEOUT_S = 90
# A guest that KVM really runs is up within one second; one that it only seems to run never is.
KVM_TIMEOUT_S = 10

# quiet: each line of the console costs time in emulation.  The rest leaves out what takes the kernel
# time at boot and serves no guest that lives for a minute: self tests of its ciphers (0.26 s),
# calibration of the time stamp counter against timers that are emulated too.  panic=-1 with
# -no-reboot ends QEMU where the guest would hang.
CMDLINE = (
    "console=ttyS0 panic=-1 quiet cryptomgr.notests=1 tsc=reliable no_timer_check "
    "mitigations=off 8250.nr_uarts=1"
)

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class VMError(Exception):
    """The VM did not start; the message says why and ends with what the console said."""


def die_with_parent():
    """Between fork and exec: even a killed test run leaves no VM behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def first_existing(*paths):
    return next((p for p in paths if os.path.exists(p)), paths[0])


class VM:
    """One guest.  start() from a thread that lives as long as the guest: it is killed with it."""

    def __init__(
        self,
        image=None,
        kernel=None,
        memory=256,
        cpus=1,
        append="",
        accel=None,
        qemu_args=(),
        vsock=True,
        snapshot=None,
        marker=MARKER,
    ):
        self.image = image or os.path.join(BUILD, "initramfs.cpio.gz")
        self.kernel = kernel or first_existing(os.path.join(BUILD, "vmlinux"), os.path.join(BUILD, "vmlinuz"))
        self.memory = memory
        self.cpus = cpus
        self.append = append
        self.qemu_args = list(qemu_args)
        self.vsock = vsock  # False: boots without the device; plug_vsock() brings it
        self.snapshot = snapshot  # goes on from what save() has written, of a guest with the same arguments
        self.marker = marker  # what the console says when the guest is ready
        self.accel = accel or os.environ.get("GUESTD_VM_ACCEL")
        self.dir = None
        self.boot_seconds = None
        self.processes = []
        self.last_console = ""

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Paths.  A Unix socket's is at most 107 bytes, hence not below the checkout.

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def uds(self):
        return self.path("v.sock")

    @property
    def endpoint(self):
        return f"uds:{self.uds}:{PORT}"

    @property
    def serial(self):
        """The Unix socket that is the other end of the guest's virtio port guestd.0."""
        return self.path("serial.sock")

    @property
    def uart(self):
        """The Unix socket that is the other end of the guest's ttyS0, its console."""
        return self.path("uart.sock")

    @property
    def qmp(self):
        return self.path("qmp.sock")

    @property
    def console_log(self):
        return self.path("console.log")

    def console(self):
        """What the guest's console has said so far; after stop() what it had said by then."""
        if self.dir is None:
            return self.last_console
        try:
            with open(self.console_log, "rb") as f:
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def process(self, name):
        return next(p for p in self.processes if p.name == name)

    @property
    def pids(self):
        return [p.pid for p in self.processes]

    def start(self):
        for path, maker in (
            (self.image, "make image"),
            (self.kernel, "initramfs/fetch"),
            (VHOST, "initramfs/fetch"),
        ):
            if not os.path.exists(path):
                raise VMError(f"{path} is missing: {maker} makes it")
        if shutil.which("qemu-system-x86_64") is None:
            raise VMError("qemu-system-x86_64 is missing: initramfs/deps installs it")
        if self.accel:
            return self.launch(self.accel, BOOT_TIMEOUT_S)
        # That /dev/kvm opens does not mean that it boots a stock kernel: it may be a nested one
        # that cannot.  Only a boot tells, and once is enough.
        cached = read_accel()
        if cached is None and os.access("/dev/kvm", os.R_OK | os.W_OK):
            try:
                self.launch("kvm", KVM_TIMEOUT_S)
                write_accel("kvm")
                return self
            except VMError:
                pass
        self.launch(cached or "tcg", BOOT_TIMEOUT_S)
        if cached is None:
            write_accel("tcg")
        return self

    def launch(self, accel, timeout):
        atexit.register(self.stop)
        self.dir = tempfile.mkdtemp(prefix="guestd-vm-", dir="/tmp")
        try:
            if self.vsock and not self.snapshot:
                self.start_vhost()
            began = time.monotonic()
            self.spawn("qemu", self.qemu_command(accel))
            if self.snapshot:
                self.resume(timeout)
            else:
                self.wait_for(self.is_ready, timeout, "the guest")
            self.boot_seconds = time.monotonic() - began
        except BaseException:
            self.stop()
            raise
        return self

    def qemu_command(self, accel):
        emulated = accel == "tcg"
        return [
            "qemu-system-x86_64",
            # Nehalem: emulating what newer CPUs have (string copies above all) costs a third.
            # rdrand: without it the first getrandom(2) of the guest takes a second, while the
            # kernel gathers entropy from the jitter of its timer.
            *("-accel", "tcg,thread=multi" if emulated else accel),
            *("-cpu", "Nehalem,+rdrand" if emulated else "host"),
            *("-smp", str(self.cpus), "-m", str(self.memory)),
            # The vsock device is another process and needs to see the guest's memory.
            *("-object", f"memory-backend-memfd,id=mem0,size={self.memory}M,share=on"),
            # q35: under emulation microvm hangs at boot as often as not.
            *("-machine", "q35,memory-backend=mem0"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-chardev", f"socket,id=uart,server=on,wait=off,path={self.uart},logfile={self.console_log}"),
            *("-serial", "chardev:uart"),
            *("-qmp", f"unix:{self.qmp},server=on,wait=off"),
            # Behind a port of its own, so that it can be pulled out and put back.
            *("-device", "pcie-root-port,id=rp0"),
            *(self.vsock_device() if self.vsock and not self.snapshot else ()),
            *(("-incoming", f"exec:cat {self.snapshot}") if self.snapshot else ()),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=port,server=on,wait=off,path={self.serial}"),
            *("-device", "virtserialport,chardev=port,name=guestd.0"),
            *("-kernel", self.kernel, "-initrd", self.image),
            *("-append", f"{CMDLINE} {self.append}".strip()),
            *self.qemu_args,
        ]

    def vsock_device(self):
        return [
            *("-chardev", f"socket,id=vsock,path={self.path('vh.sock')}"),
            *("-device", "vhost-user-vsock-pci,id=vsock0,chardev=vsock,bus=rp0"),
        ]

    def start_vhost(self):
        self.spawn(
            "vhost",
            [VHOST, "--guest-cid", str(CID), "--socket", self.path("vh.sock"), "--uds-path", self.uds],
        )
        self.wait_for(lambda: os.path.exists(self.path("vh.sock")), 10, "the vsock device")

    def stop_vhost(self):
        process = self.process("vhost")
        self.processes.remove(process)
        process.terminate()
        process.wait()
        for path in (self.path("vh.sock"), self.uds):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def plug_vsock(self):
        """Puts a vsock device into the running guest that has none."""
        self.start_vhost()
        with Monitor(self.qmp) as monitor:
            remote = {"type": "unix", "data": {"path": self.path("vh.sock")}}
            backend = {"type": "socket", "data": {"addr": remote, "server": False}}
            monitor.call("chardev-add", id="vsock", backend=backend)
            monitor.call("device_add", driver="vhost-user-vsock-pci", id="vsock0", chardev="vsock", bus="rp0")

    def unplug_vsock(self, timeout=20):
        """Pulls the vsock device out: to the guest a reset of the transport, as for a restored snapshot."""
        with Monitor(self.qmp, timeout) as monitor:
            monitor.call("device_del", id="vsock0")
            monitor.event("DEVICE_DELETED", device="vsock0")
            monitor.call("chardev-remove", id="vsock")
        # Its back end could take another front end, but not at once, nor does it drop its connections.
        self.stop_vhost()

    def save(self, path):
        """Writes the guest into a file and ends it. Its vsock device, which cannot be saved, is pulled out."""
        if self.vsock:
            self.unplug_vsock()
        with Monitor(self.qmp, BOOT_TIMEOUT_S) as monitor:
            monitor.call("stop")
            monitor.call("migrate", uri=f"exec:cat > {path}")
            self.wait_for(
                lambda: monitor.call("query-migrate")["status"] == "completed", BOOT_TIMEOUT_S, "the snapshot"
            )
        self.stop()

    def resume(self, timeout):
        self.wait_for(lambda: os.path.exists(self.qmp), timeout, "the monitor")
        with Monitor(self.qmp, timeout) as monitor:
            self.wait_for(
                lambda: monitor.call("query-status")["status"] != "inmigrate", timeout, "the snapshot"
            )
            monitor.call("cont")
        if self.vsock:
            self.plug_vsock()

    def spawn(self, name, command):
        with open(self.path(f"{name}.log"), "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is ours to handle: it must not reach QEMU first.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        process.name = name
        self.processes.append(process)

    def is_ready(self):
        with open(self.console_log, "rb") as f:
            said = f.read()
        if b"Kernel panic" in said:
            raise VMError(f"the guest's kernel panicked\n{self.tail()}")
        return self.marker in said

    def wait_for(self, condition, timeout, what):
        end = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except FileNotFoundError:
                pass
            for process in self.processes:
                if process.poll() is not None:
                    raise VMError(f"{process.name} ended with {process.returncode}\n{self.tail()}")
            if time.monotonic() > end:
                raise VMError(f"{what} was not ready after {timeout} s\n{self.tail()}")
            time.sleep(0.01)

    def tail(self):
        """The last lines of everything that a process of the VM has said."""
        text = ""
        for name in ("vhost.log", "qemu.log", "console.log"):
            try:
                with open(self.path(name), "rb") as f:
                    said = f.read().decode(errors="replace")
            except FileNotFoundError:
                continue
            # What comes before a panic is the reason; what follows is the kernel's stack.
            before, panic, _ = said.partition("Kernel panic")
            lines = (before + panic).splitlines()[-15:]
            text += "".join(f"  {name}: {line}\n" for line in lines)
        return text

    def wait(self, timeout=None):
        """Waits until the guest has ended by itself and returns QEMU's exit status."""
        return self.process("qemu").wait(timeout)

    def stop(self):
        """Ends all that was started and removes its files.  Harmless when repeated."""
        if self.dir is None:
            return
        for process in reversed(self.processes):
            # By the Popen object: a pid that was reaped already is never signaled.
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.last_console = self.console()
        shutil.rmtree(self.dir, ignore_errors=True)
        self.processes = []
        self.dir = None
        atexit.unregister(self.stop)


class Monitor:
    """QEMU's monitor, as far as it is needed here (QMP: a line of JSON each way)."""

    def __init__(self, path, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.lines = self.sock.makefile("rb")
        self.events = []
        self.receive()
        self.call("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.sock.close()

    def receive(self):
        line = self.lines.readline()
        if not line:
            raise VMError("QEMU has ended")
        return json.loads(line)

    def call(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = self.receive()
            if "error" in answer:
                raise VMError(f"QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def event(self, name, **data):
        """Waits for an event that carries at least DATA."""
        while True:
            for event in self.events:
                if event["event"] == name and data.items() <= event["data"].items():
                    return event
            self.events.append(self.receive())


def accel_key():
    """What the answer was found for: another host kernel or guest kernel may differ."""
    try:
        size = os.stat(os.path.join(BUILD, "vmlinuz")).st_size
    except FileNotFoundError:
        size = 0
    return f"{os.uname().release} {size}"


def read_accel():
    try:
        with open(ACCEL_CACHE) as f:
            accel, _, key = f.read().strip().partition(" ")
    except FileNotFoundError:
        return None
    return accel if key == accel_key() else None


def write_accel(accel):
    with open(f"{ACCEL_CACHE}.{os.getpid()}", "w") as f:
        f.write(f"{accel} {accel_key()}\n")
    os.replace(f.name, ACCEL_CACHE)


def raise_exit(signum, _frame):
    # SystemExit runs the `with` blocks, and so stop(), on the way out.
    sys.exit(128 + signum)


def run(vm):
    print(f"booted in {vm.boot_seconds:.2f} s")
    print(f"  {vm.endpoint}")
    print(f"  serial socket  {vm.serial}")
    print(f"  console        {vm.console_log}")
    print(f"  QEMU monitor   {vm.qmp}")
    print(f"\nexport GUESTD_ENDPOINT={vm.endpoint}")
    print("Ctrl-C ends it.", flush=True)
    status = vm.wait()
    print(f"the guest has ended, QEMU with status {status}")
    return status


def run_host(vm, command):
    env = dict(
        os.environ, GUESTD_ENDPOINT=vm.endpoint, GUESTD_SERIAL=vm.serial, GUESTD_CONSOLE=vm.console_log
    )
    status = subprocess.call(command, env=env)
    return 128 - status if status < 0 else status


def main():
    parser = argparse.ArgumentParser(description="boot the guest image")
    parser.add_argument("--image", help="default: build/initramfs.cpio.gz")
    parser.add_argument("--kernel", help="default: build/vmlinux or build/vmlinuz")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--append", default="", help="more words for the kernel's command line")
    parser.add_argument("--accel", help="kvm or tcg; default: tried out once")
    parser.add_argument("--qemu-arg", action="append", default=[], help="one more argument for QEMU")
    parser.add_argument("--show-console", action="store_true", help="print the console at the end")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="keep it until Ctrl-C")
    for verb, doc in (
        ("exec", "run a command in the guest: exec -- uname -a"),
        ("ctl", "run guestctl on the guest: ctl -- info"),
        ("with", "run a command of the host, with GUESTD_ENDPOINT set: with -- sh"),
    ):
        sub = verbs.add_parser(verb, help=doc)
        sub.add_argument("argv", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    # A shell without job control starts what it puts into the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, raise_exit)
    signal.signal(signal.SIGHUP, raise_exit)
    vm = VM(args.image, args.kernel, args.memory, args.cpus, args.append, args.accel, args.qemu_arg)
    try:
        with vm:
            if args.verb == "run":
                return run(vm)
            argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
            if not argv:
                parser.error(f"{args.verb}: what to run?")
            guestctl = [os.path.join(BUILD, "guestctl"), "-c", vm.endpoint]
            if args.verb == "exec":
                return run_host(vm, [*guestctl, "exec", "--", *argv])
            return run_host(vm, [*guestctl, *argv] if args.verb == "ctl" else argv)
    except VMError as err:
        print(f"vm.py: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if args.show_console:
            print(vm.last_console, end="")


if __name__ == "__main__":
    sys.exit(main())
