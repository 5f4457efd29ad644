"""fs.watch at the kernel's limits, with queues that overflow and clients that do not read; and what it costs."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client import LONG
from files import sh
from support import REMOTE, Daemon, error_of, eventually, rounds, sanitized
from watching import Scene, Watch, agent, agent_with, backend, held, scene, with_backend

# All that is left out in an emulated guest, where there is time for a few of them.
heavy = pytest.mark.local

MIB = 1 << 20
SYSCTL = "/proc/sys/fs/inotify/"


# -- agents that run into limits -------------------------------------------------------------------

def lowered(client, name, value):
    """A sysctl of the guest, set; the one before is returned. Only in a virtual machine: it is everybody's."""
    before = sh(client, 'cat "$1"', name).strip().decode()
    sh(client, 'echo "$2" >"$1"', name, str(value))
    return before


@contextlib.contextmanager
def limited(backend="inotify", **limits):
    """A scene with an agent for which the kernel's limits are these. max_user_watches, max_user_instances: in a user
    namespace where the machine is shared, which has some of its own."""
    with agent_with() as helper, helper.connect() as c, contextlib.ExitStack() as stack:
        options = ["--watch-backend", backend]
        if REMOTE:
            for name, value in limits.items():
                stack.callback(lowered, c, SYSCTL + name, lowered(c, SYSCTL + name, value))
            it = stack.enter_context(agent_with(*options))
        else:
            own = "".join(f"echo {value} >/proc/sys/user/{name.replace('max_user_', 'max_inotify_')}; " for name, value in limits.items())
            it = Daemon(*options, wrap=lambda command: ["unshare", "-Ur", "sh", "-ec", own + 'exec "$@"', "sh", *command])
            stack.callback(it.close)
        # In its namespace it can start nothing as a user of this one.
        yield stack.enter_context(scene_of(it, helper))


@contextlib.contextmanager
def scene_of(agent, shell=None):
    """As the fixture, for an agent of ours; with the shell of another."""
    with (shell or agent).connect() as c:
        directory = sh(c, "d=/tmp/rpc-watch.$$; mkdir $d; echo $d").decode().strip()
        it = Scene(agent, c, directory)
        try:
            yield it
        finally:
            it.close()
            sh(c, 'rm -rf "$1"', directory)


def dirs(n):
    return f"i=0; while [ $i -lt {n} ]; do mkdir $i; i=$((i+1)); done"


def test_the_watch_limit():
    """It names the sysctl; nothing of it is kept, so that what fits in can still be watched."""
    with limited(max_user_watches=20) as scene:
        scene.sh("mkdir many few; (cd many; " + dirs(40) + "); (cd few; " + dirs(10) + ")")
        for _ in range(3):
            error = error_of(scene.connect().call, "fs.watch", {"path": scene.path("many")})
            assert error.code == "limit" and "max_user_watches" in error.message, error
            assert "fs.inotify" in error.message, "as sysctl(8) takes it"
        watch = scene.watch(scene.path("few"))
        scene.sh(": >few/7/f")
        watch.wait("created", scene.path("few/7/f"))
        # What is ignored costs none.
        watch.cancel()
        watch = scene.watch(scene.path("many"), ignore=["[1-3]?"])
        scene.sh(": >many/7/f; : >many/17/f")
        watch.wait("created", scene.path("many/7/f"))


def test_the_watch_limit_is_reached_later():
    """The call ends with the error; others go on."""
    with limited(max_user_watches=30) as scene:
        scene.sh("mkdir a b")
        grows, stays = scene.watch(scene.path("a")), scene.watch(scene.path("b"))
        scene.sh("cd a; " + dirs(50))
        error = error_of(grows.call.wait)
        assert error.code == "limit" and "max_user_watches" in error.message, error
        scene.sh(": >b/f; mkdir b/d; : >b/d/f")
        stays.wait("created", scene.path("b/d/f"))
        # What the other had taken is free again.
        scene.sh("cd b; " + dirs(10) + "; : >9/f")
        stays.wait("created", scene.path("b/9/f"))


@heavy
def test_a_tree_that_moves_in_reaches_the_limit():
    with limited(max_user_watches=15) as scene:
        scene.sh("mkdir in out; cd out; " + dirs(30))
        watch = scene.watch(scene.path("in"))
        scene.sh("mv out in/out")
        error = error_of(watch.call.wait)
        assert error.code == "limit" and "max_user_watches" in error.message, error


@heavy
def test_the_instance_limit():
    """However many the agent uses, it says so when there are no more."""
    with limited(max_user_instances=2) as scene:
        calls = [scene.connect().open("fs.watch", {"path": scene.dir}) for _ in range(6)]
        for call in calls:
            call.pump(lambda call=call: call.events, what="an answer")
            if call.done:
                assert call.error["code"] == "limit" and "max_user_instances" in call.error["message"], call.error
        alive = [call for call in calls if not call.done]
        scene.sh(": >f")
        for call in alive:
            call.event("created")


@heavy
def test_the_limit_by_default():
    """Where a whole file system cannot be watched, auto is inotify, with its limits."""
    with limited("auto", max_user_watches=20) as scene:
        scene.sh("mkdir few; mkdir many; cd many; " + dirs(40))
        error = error_of(scene.connect().call, "fs.watch", {"path": scene.path("many")})
        assert error.code == "limit" and "max_user_watches" in error.message, error
        assert scene.watch(scene.path("few")).ready["backend"] == "inotify"


# -- overflows -------------------------------------------------------------------------------------

def brackets(watch):
    """Of each overflow follows a resync, and differences only between them are not in order."""
    kinds = [e["type"] for e in watch.call.events if e["type"] in ("overflow", "resync")]
    assert kinds and kinds[-1] == "resync", kinds
    return kinds


@pytest.fixture
def narrow(backend):
    """An agent whose kernel queue overflows soon, and how many changes that takes: it is lowered where the
    machine is ours, filled where it is not."""
    if not REMOTE:
        with agent_with("--watch-backend", backend) as it:
            yield it, int(Path(SYSCTL + "max_queued_events").read_text())
        return
    with agent_with() as helper, helper.outer.connect() as c:
        names = [SYSCTL + "max_queued_events", "/proc/sys/fs/fanotify/max_queued_events"]
        before = [lowered(c, name, 64) for name in names]
        try:
            with agent_with("--watch-backend", backend) as it:
                yield it, 64
        finally:
            for name, value in zip(names, before):
                lowered(c, name, value)


def test_the_queue_overflows(narrow, backend):
    """What was lost is found by a look at the tree: names that came, went, changed their directory, their type and
    their content."""
    it, queue = narrow
    with scene_of(it) as scene:
        scene.sh("mkdir -p x y stay/deep go/a move/b; echo x >stay/f; echo x >stay/same; : >go/a/f; : >move/b/f; : >type; mkdir type2; : >perm;"
                 " for i in 1 2 3; do : >stay/deep/$i; done")
        watch = scene.watch()
        with held(it):
            # Two directories in turn: the kernel puts equal events together.
            scene.outside(f"i=0; while [ $i -lt {queue // 2 + 50} ]; do : >x/$i; : >y/$i; i=$((i+1)); done")
            scene.outside("echo yy >>stay/f; rm -r go; mv move/b move/c; : >move/c/g; rm type; mkdir type; : >type/f; rmdir type2; : >type2;"
                          " mkdir -p new/er; : >new/er/f; rm stay/deep/2; rm -r y; mv stay/deep/3 stay/deep/4; chmod 600 perm")
        scene.matches(watch)
        if watch.overflows or backend == "inotify":
            brackets(watch)
        assert watch.overflows or backend == "fanotify"
        tells = watch.told("modified") + watch.told("created")
        assert scene.path("stay/f") in tells, "its content is another"
        assert scene.path("stay/same") not in tells, "nothing happened to it"
        # And it goes on, also in what is new.
        scene.sh(": >new/er/g; mkdir type/d; : >type/d/f; : >move/c/h; echo z >>stay/same")
        scene.matches(watch)
        assert {scene.path(n) for n in ("new/er/g", "type/d/f", "move/c/h")} <= set(watch.told("created"))
        assert scene.path("stay/same") in watch.told("modified")


@heavy
def test_it_overflows_again_and_again(narrow, backend):
    it, queue = narrow
    with scene_of(it) as scene:
        watch = scene.watch()
        other = scene.watch(recursive=False)
        for i in range(3):
            scene.sh(f"mkdir d{i} e{i}")
            scene.settle(watch)
            with held(it):
                scene.outside(f"i=0; while [ $i -lt {queue // 2 + 50} ]; do : >d{i}/$i; : >e{i}/$i; i=$((i+1)); done;"
                              f" mv d{i} f{i}; rm -r e{i}; : >g{i}")
            scene.matches(watch)
            scene.settle(other)
            assert scene.path(f"g{i}") in other.told("created")
        if backend == "inotify":
            assert brackets(watch).count("overflow") >= 3


@heavy
def test_the_root_goes_in_an_overflow(narrow):
    it, queue = narrow
    with scene_of(it) as scene:
        scene.sh("mkdir it it/x it/y; : >it/f")
        watch = scene.watch(scene.path("it"))
        with held(it):
            scene.outside(f"cd it; i=0; while [ $i -lt {queue // 2 + 50} ]; do : >x/$i; : >y/$i; i=$((i+1)); done; cd ..; rm -r it")
        watch.call.event("root_deleted", LONG)
        watch.call.wait()
        watch.client.call("system.ping")


def storm(scene, count, tag, *readers):
    """Many events, with long names."""
    scene.sh_while(f"mkdir {tag}; cd {tag}; i=0; while [ $i -lt {count} ]; do : >{'n' * 180}$i; i=$((i+1)); done;"
                   " mkdir -p a/b; : >a/b/f; mv a c", *readers)


@heavy
def test_a_client_that_does_not_read(scene):
    """The agent holds no more than so much for it; when it reads again, its picture becomes right again. Nobody
    else notices."""
    watch, other = scene.watch(), scene.watch()
    before = None if REMOTE else scene.agent.rss()
    for tag in "xyz":
        storm(scene, 10_000 if not REMOTE else 1500, tag, other)
        scene.matches(other, 2 * LONG)
    if before:
        grown = scene.agent.rss() - before
        assert grown < (160 if sanitized() else 40) * MIB, f"grew by {grown >> 10} KiB"
    scene.sh("rm -r x; echo more >>z/c/b/f; mv y/c w")
    scene.matches(watch, 2 * LONG)
    if not REMOTE:
        brackets(watch)
        # A sanitizer makes the agent slower than the storm; what it then tells is true all the same.
        assert not other.overflows or sanitized()
    scene.sh("mkdir w/after; : >w/after/f")
    scene.matches(watch)
    assert scene.path("w/after/f") in watch.told("created")


@heavy
def test_a_client_that_never_reads_is_no_burden(scene):
    with scene.agent.connect() as deaf:
        for _ in range(5):
            deaf.request("fs.watch", {"path": scene.dir})
        watch = scene.watch()
        storm(scene, 8000 if not REMOTE else 800, "x", watch)
        scene.matches(watch, LONG)
        assert not watch.overflows or sanitized()
    scene.sh("rm -r x")
    scene.matches(watch, LONG)


@heavy
def test_canceled_in_an_overflow(scene):
    watch = scene.watch()
    storm(scene, 10_000 if not REMOTE else 500, "x")
    watch.cancel()
    watch.client.call("system.ping")


# -- what it costs ---------------------------------------------------------------------------------

def kernel_watches(pid):
    """How many directories or file systems the kernel watches for the process."""
    count = 0
    for fd in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            count += sum(line.startswith(("inotify wd", "fanotify ino", "fanotify mnt_id", "fanotify sdev"))
                         for line in fd.read_text().splitlines())
    return count


@heavy
def test_nothing_is_left_of_a_watch(scene):
    """Descriptors, watches of the kernel, memory: after a cancel, the end of a connection and of the root."""
    daemon = scene.agent
    scene.sh("mkdir -p t; cd t; " + dirs(100))

    def everything():
        client = scene.agent.connect()
        scene.sh("mkdir -p gone/d")
        watches = [Watch(client, scene.path("t")) for _ in range(4)]
        end = Watch(client, scene.path("gone"))
        scene.sh(": >t/1/f; rm t/1/f; rm -r gone")
        end.call.wait()
        watches[0].cancel()
        client.open("fs.watch", {"path": scene.dir})     # in the middle of its beginning
        client.close()

    everything()
    eventually(lambda: kernel_watches(daemon.pid) == 0, "no watches are left")
    fds = daemon.fds()
    for _ in range(rounds(10)):
        everything()
    rss = daemon.rss()
    for _ in range(rounds(30)):
        everything()
    eventually(lambda: kernel_watches(daemon.pid) == 0, "no watches are left")
    eventually(lambda: daemon.fds() <= fds, f"back to {fds} descriptors")
    grown = daemon.rss() - rss
    assert grown < (96 if sanitized() else 4) * MIB, f"grew by {grown >> 10} KiB"


@heavy
def test_directories_that_go_are_not_watched_any_more(scene, backend):
    if backend == "fanotify":
        return      # it watches none
    watch = scene.watch()
    before = kernel_watches(scene.agent.pid)
    scene.sh("mkdir t u; cd t; " + dirs(50) + "; cd ..; mkdir -p u/a/b/c")
    scene.settle(watch)
    assert kernel_watches(scene.agent.pid) == before + 55
    scene.sh("rm -r t; mv u ../u")
    scene.settle(watch)
    eventually(lambda: kernel_watches(scene.agent.pid) == before, "back to what it was")


@heavy
def test_a_watch_is_no_obstacle(backend, tmp_path):
    """For an agent that is to end."""
    with agent_with("--watch-backend", backend) as it:
        with it.connect() as c:
            for _ in range(3):
                c.open("fs.watch", {"path": str(tmp_path)}).event("ready")
            it.stop()


@heavy
def test_processes_inherit_none_of_it(scene):
    watch = scene.watch()
    seen = scene.sh("ls -l /proc/self/fd")
    assert b"notify" not in seen, seen
    watch.cancel()


@heavy
def test_memory_of_a_large_tree(scene):
    """Some bytes for each name: it has to know them to find what an overflow hid."""
    count = rounds(50_000)
    for i in range(count // 500):
        os.makedirs(f"{scene.dir}/{i}")
        for j in range(499):
            Path(f"{scene.dir}/{i}/file-{j:06}.txt").touch()
    before = scene.agent.rss()
    watch = Watch(scene.connect(), scene.dir, timeout=2 * LONG)
    grown = scene.agent.rss() - before
    assert grown < count * (1000 if sanitized() else 200) + (64 if sanitized() else 4) * MIB, f"{grown / count:.0f} bytes for each name"
    watch.cancel()
    eventually(lambda: scene.agent.rss() - before < (64 if sanitized() else 6) * MIB, "it is given back")


@heavy
def test_a_burst_is_not_lost(scene):
    """A client that reads misses nothing, however fast the files come."""
    watch = scene.watch()
    count = rounds(50_000)
    writer = subprocess.Popen([sys.executable, "-c", "import os, sys\nfor i in range(int(sys.argv[1])): os.close(os.open(str(i), os.O_CREAT))",
                               str(count)], cwd=scene.dir)
    watch.wait("created", scene.path(count - 1), 4 * LONG)
    assert writer.wait() == 0
    scene.matches(watch, LONG)
    assert len(set(watch.told("created"))) == count
