"""fs.watch: whole trees that come, go and change under the watcher, and the end of the root."""

import os

import pytest

from client import LONG
from files import background, mounted
from support import eventually, rounds
from watching import Watch, agent, backend, held, scene, with_backend

# All that is left out in an emulated guest, where there is time for a few of them.
heavy = pytest.mark.local


def test_a_path_at_once(scene):
    """mkdir -p is faster than any watch that is added: nothing that was made meanwhile is lost."""
    watch = scene.watch()
    for i in range(rounds(20)):
        scene.sh("mkdir -p $1/a/b/c/d; echo x >$1/a/b/c/d/f; echo x >$1/a/f; mkdir $1/a/late; : >$1/a/late/g", str(i))
    scene.matches(watch)
    for i in range(rounds(20)):
        assert {scene.path(f"{i}{p}") for p in ("", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/b/c/d/f", "/a/f", "/a/late/g")} <= \
            set(watch.told("created"))


@heavy
def test_each_is_created_once(scene):
    """What the watch and the look into a new directory both see is told of once."""
    watch = scene.watch(coalesce_ms=0)
    scene.sh(f"i=0; while [ $i -lt {rounds(200)} ]; do mkdir $i; : >$i/f; mkdir $i/d; : >$i/d/g; i=$((i+1)); done")
    scene.matches(watch)
    created = watch.told("created")
    assert len(created) == 4 * rounds(200), len(created)
    assert len(set(created)) == len(created), sorted(p for p in set(created) if created.count(p) > 1)


@heavy
def test_many_writers(scene):
    """Several processes that make trees, all at once."""
    watch = scene.watch()
    count = rounds(30)
    scene.sh(f"for w in a b c d; do (i=0; while [ $i -lt {count} ]; do mkdir -p $w/$i/x/y; : >$w/$i/x/y/f; mv $w/$i $w/m$i;"
             " : >$w/m$i/x/g; i=$((i+1)); done) & done; wait")
    scene.matches(watch)
    assert len([p for p in watch.picture.names() if p.endswith((b"/f", b"/g"))]) == 8 * count


@heavy
def test_renamed_while_nobody_looks(scene):
    """A new directory has another name before anybody could look at the first; so has the next."""
    watch = scene.watch()
    with held(scene.agent):
        scene.outside("mkdir -p a/x; : >a/f; mv a b; : >b/g; mkdir a; : >a/h; mv b/x a/x; : >a/x/i; mv a c; mv c/x x; rm c/h; rmdir c; : >x/j")
    scene.matches(watch)
    assert watch.picture.names() == {b"b": True, b"b/f": False, b"b/g": False, b"x": True, b"x/i": False, b"x/j": False}


@heavy
def test_removed_as_a_whole(scene):
    scene.sh("mkdir -p t/a/b t/c; for i in 1 2 3; do : >t/$i; : >t/a/$i; : >t/a/b/$i; done")
    watch = scene.watch()
    scene.sh("rm -r t")
    scene.matches(watch)
    deleted = watch.told("deleted")
    assert sorted(deleted) == sorted(set(deleted)) and len(deleted) == 13, deleted
    assert deleted.index(scene.path("t")) == 12, "what is inside goes first"
    scene.sh("mkdir -p t/a/b; : >t/a/b/f")      # the same names once more
    scene.matches(watch)
    assert scene.path("t/a/b/f") in watch.told("created")


def test_made_and_removed_at_once(scene):
    """Whatever is told of what nobody will ever find: at the end it is not there."""
    watch = scene.watch()
    scene.sh(f"i=0; while [ $i -lt {rounds(50)} ]; do mkdir -p d/e/f; : >d/e/f/g; rm -r d; : >h; rm h; i=$((i+1)); done; : >last")
    scene.matches(watch)
    assert watch.picture.names() == {b"last": False}


@heavy
def test_deep(scene):
    """Deeper than any path that the kernel takes at once."""
    name, levels = "d" * 200, 40

    def touch(first, last, make=False):
        fd = os.open(scene.dir, os.O_PATH)
        for step in [first] + [name] * (levels - 1):
            if make:
                os.mkdir(step, dir_fd=fd)
            below = os.open(step, os.O_PATH, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(os.open(last, os.O_CREAT, dir_fd=fd))
        os.close(fd)
        return "created", scene.path("/".join([first] + [name] * (levels - 1) + [last]))

    watch = Watch(scene.connect(), scene.dir)
    watch.wait(*touch(name, "bottom", make=True), LONG)
    scene.settle(watch)
    assert len(watch.told("created")) == levels + 1
    again = Watch(scene.connect(), scene.dir, watch.picture.names())
    where = touch(name, "beside")
    for one in watch, again:
        one.wait(*where, LONG)
    os.rename(scene.path(name), scene.path("short"))
    where = touch("short", "renamed")
    for one in watch, again:
        one.wait(*where, LONG)


@heavy
def test_wide(scene):
    """One directory with very many files: each is told of, whoever is faster."""
    watch = scene.watch()
    count = rounds(3000)
    scene.sh(f"mkdir wide; cd wide; i=0; while [ $i -lt {count} ]; do : >$i; i=$((i+1)); done")
    scene.matches(watch, LONG)
    assert len(set(watch.told("created"))) == count + 1


# -- the root --------------------------------------------------------------------------------------

@heavy
@pytest.mark.parametrize("how", ["rm -r it", "rmdir it/d it", "mv it elsewhere", "mv it ../elsewhere"])
def test_the_root_goes(scene, how):
    scene.sh("mkdir -p it/d")
    watch = scene.watch(scene.path("it"))
    beside = scene.watch()
    scene.sh(how)
    watch.call.event("root_deleted")
    watch.call.wait()
    assert watch.call.events[-1]["type"] == "root_deleted"
    assert not watch.changes("created")
    if how.startswith("mv"):
        scene.sh("mkdir it; : >it/f")       # another one of that name
    scene.matches(beside)
    assert not watch.client.strays
    watch.client.call("system.ping")


@heavy
def test_changes_before_the_root_goes_are_told(scene):
    scene.sh("mkdir it; : >it/f")
    watch = scene.watch(scene.path("it"))
    scene.sh(": >it/g; rm -r it")
    watch.call.wait()
    watch.take()
    assert watch.picture.names() == {}
    assert set(watch.told("deleted")) >= {scene.path("it/f")}


def test_the_root_is_a_directory_that_another_watch_sees_come(scene):
    outer = scene.watch()
    scene.sh("mkdir -p a/b")
    scene.settle(outer)
    scene.watch(scene.path("a/b"))      # goes on, or ends: there is nothing at its path any more
    scene.sh("mv a c; : >c/b/f")
    scene.matches(outer)
    assert scene.path("c/b/f") in outer.told("created")


def test_a_file_system_that_is_unmounted(scene, is_root):
    """A watch does not keep it; the root of a watch being there, it is the end of it."""
    if not is_root:
        pytest.skip("the agent cannot mount")
    with mounted(scene.client, scene.path("m")):
        scene.sh("mkdir m/d; : >m/d/f")
        watch = scene.watch(scene.path("m"))
        scene.sh(": >m/d/g")
        watch.wait("created", scene.path("m/d/g"))
        scene.sh("umount m")                # not busy
        watch.call.event("root_deleted")
        watch.call.wait()
        scene.sh("mount -t tmpfs again m")


@heavy
def test_a_mount_below_the_root(scene, is_root):
    """It comes and goes, and the rest is watched as before."""
    if not is_root:
        pytest.skip("the agent cannot mount")
    scene.sh("mkdir m; : >f")
    with mounted(scene.client, scene.path("m")):
        scene.sh(": >m/g")
        watch = scene.watch()
        scene.sh("umount m; echo x >>f; mkdir n; : >n/new")
        watch.wait("modified", scene.path("f"))
        watch.wait("created", scene.path("n/new"))
        assert not watch.call.done
        scene.sh("mount -t tmpfs again m")


@heavy
def test_a_process_works_there(scene):
    """Long enough that it is told of while it goes on."""
    watch = scene.watch()
    with background(scene.agent, f"cd {scene.dir}; i=0; while :; do mkdir -p w/$((i % 7)); echo $i >w/$((i % 7))/$((i % 50));"
                                 " i=$((i+1)); sleep 0.005; done"):
        eventually(lambda: scene.client.call("fs.exists", {"path": scene.path("w/6/48")})["exists"], "it works", LONG)
        watch.wait("created", scene.path("w/6"), LONG)
    scene.matches(watch)
    assert watch.changes("modified")
