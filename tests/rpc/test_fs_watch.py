"""fs.watch: each kind of change, of each kind of file, and what tells of it. The backends are told apart by nothing."""

import ctypes
from pathlib import Path

import pytest

from client import RpcError
from files import assert_entry
from support import error_of, rounds, sanitized
from watching import Watch, agent, as_bytes, backend, held, scene, with_backend

# All that is left out in an emulated guest, where there is time for a few of them.
heavy = pytest.mark.local


def exchange(one, other):
    """In one step."""
    AT_FDCWD, RENAME_EXCHANGE = -100, 2
    assert ctypes.CDLL(None).renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE) == 0


def only(events, kind, path, is_dir=False):
    """The one event of that type and path."""
    found = [e for e in events if e["type"] == kind and as_bytes(e["path"]) == as_bytes(path)]
    # An agent that a sanitizer slows down may have to look again at what moved, and then tells it twice.
    assert len(found) == 1 or (sanitized() and found), (kind, path, events)
    assert found[0]["dir"] is is_dir, found
    return found[0]


def test_ready(scene, backend):
    scene.sh("mkdir -p a/b c; : >c/f")
    watch = scene.watch()
    assert watch.ready["backend"] == backend
    assert watch.ready["watches"] >= (4 if backend == "inotify" else 1)
    scene.settle(watch)
    assert watch.changes() == [], "what was there before is no change"
    watch.cancel()


def test_a_file_appears(scene):
    watch = scene.watch()
    scene.sh(": >empty; echo text >full; mkdir dir; echo x >dir/file")
    scene.matches(watch)
    for name in ("empty", "full", "dir/file"):
        only(watch.changes("created"), "created", scene.path(name))
    only(watch.changes("created"), "created", scene.path("dir"), is_dir=True)
    assert not watch.changes("deleted", "renamed")
    for name in ("full", "dir/file"):
        kinds = [e["type"] for e in watch.changes() if e["path"] == scene.path(name)]
        assert kinds in (["created"], ["created", "modified"]), kinds


def test_a_file_is_written(scene):
    scene.sh("echo old >append; echo old >over; echo old >cut; : >untouched; echo old >in")
    watch = scene.watch()
    scene.sh("echo new >>append; echo new >over; : >cut; printf x | dd of=in conv=notrunc 2>/dev/null; cat untouched")
    scene.settle(watch)
    assert set(watch.told("modified")) == {scene.path(n) for n in ("append", "over", "cut", "in")}
    assert not watch.changes("created", "deleted", "renamed")


@heavy
def test_a_file_that_stays_open(scene, agent):
    """A change is told of when it is made, not when its writer goes."""
    watch = scene.watch()
    call = scene.client.open("proc.exec", {"cmd": f"exec >>{scene.path('log')}; cat", "stdin": True})
    watch.wait("created", scene.path("log"))
    scene.settle(watch)
    for i in range(3):
        seen = len(watch.told("modified"))
        call.write(b"line\n")
        watch.until(lambda: len(watch.told("modified")) > seen, f"write {i} is told of")
    call.end()
    call.wait()


@heavy
def test_a_file_goes(scene):
    scene.sh("echo x >f; mkdir d; ln -s f l")
    watch = scene.watch()
    scene.sh("rm f; rmdir d; rm l")
    scene.matches(watch)
    only(watch.changes("deleted"), "deleted", scene.path("f"))
    only(watch.changes("deleted"), "deleted", scene.path("d"), is_dir=True)
    only(watch.changes("deleted"), "deleted", scene.path("l"))
    assert not watch.changes("created", "renamed", "modified")


@heavy
def test_attributes(scene, is_root):
    scene.sh(": >mode; : >time; : >owner; mkdir d")
    watch = scene.watch()
    scene.sh("chmod 600 mode; touch -d '2001-01-01 00:00:00' time; chmod 700 d" + ("; chown 5:5 owner" if is_root else ""))
    scene.settle(watch)
    for name in ("mode", "time") + (("owner",) if is_root else ()):
        assert scene.path(name) in watch.told("attributes")
    assert [e["dir"] for e in watch.changes("attributes") if e["path"] == scene.path("d")] == [True]
    assert not watch.changes("created", "deleted", "renamed")
    scene.sh("chmod 755 .")     # of the root itself: told under its own path, or not at all
    scene.matches(watch)


def test_renamed_in_place(scene):
    scene.sh("echo x >a; mkdir d; echo x >d/f; mkdir e")
    watch = scene.watch()
    scene.sh("mv a b; mv d/f e/g; mv e e2; mv b d/b")
    scene.matches(watch)
    assert [(e["old_path"], e["path"], e["dir"]) for e in watch.changes()] == [
        (scene.path(old), scene.path(new), is_dir)
        for old, new, is_dir in (("a", "b", False), ("d/f", "e/g", False), ("e", "e2", True), ("b", "d/b", False))]
    assert {e["type"] for e in watch.changes()} == {"renamed"}


def test_renamed_across_the_border(scene):
    """What comes or goes is created or deleted, with all that is in it."""
    scene.sh("echo x >f; mkdir -p d/e; echo x >d/e/f; mkdir -p ../in/a/b; echo x >../in/a/b/c; echo x >../g")
    watch = scene.watch()
    scene.sh("mv f ../f; mv ../g g; mv d ../d; mv ../in in")
    scene.matches(watch)
    assert not watch.changes("renamed") and not any("old_path" in e for e in watch.changes())
    created = [e for e in watch.changes("created")]
    only(created, "created", scene.path("g"))
    for name, is_dir in (("in", True), ("in/a", True), ("in/a/b", True), ("in/a/b/c", False)):
        only(created, "created", scene.path(name), is_dir)
    only(watch.changes("deleted"), "deleted", scene.path("f"))
    only(watch.changes("deleted"), "deleted", scene.path("d"), is_dir=True)
    # Outside it is nobody's business any more; what came in is.
    seen = len(watch.changes())
    scene.sh("echo y >../d/new; echo y >../d/e/f; rm ../f")
    scene.settle(watch)
    assert len(watch.changes()) == seen, watch.changes()[seen:]
    scene.sh("echo y >in/a/b/new; mv in/a in/z; echo z >in/z/b/later")
    scene.matches(watch)
    only(watch.changes(), "created", scene.path("in/z/b/later"))
    scene.sh("mv ../d d; echo z >d/e/back")
    scene.matches(watch)
    only(watch.changes(), "created", scene.path("d/e/back"))


@heavy
def test_renamed_over_another(scene):
    """As editors save: the old one is gone without a word, or with one, and the new one is told of."""
    scene.sh("echo old >f; echo old >g")
    watch = scene.watch()
    for _ in range(3):
        seen = len(watch.changes())
        scene.sh("echo new >f.tmp; mv f.tmp f")
        scene.matches(watch)
        # Where the draft was gone before anybody could tell of it, f has changed.
        assert [e for e in watch.changes()[seen:] if e["path"] == scene.path("f") and
                (e["type"] == "modified" or e.get("old_path") == scene.path("f.tmp"))], watch.short()
    scene.sh("echo new >f.tmp")
    watch.wait("created", scene.path("f.tmp"))
    scene.settle(watch)
    seen = len(watch.changes())
    scene.sh("mv f.tmp f")
    scene.matches(watch)
    assert [(e["type"], e["path"], e.get("old_path")) for e in watch.changes()[seen:] if e["type"] not in ("modified", "attributes")] == [
        ("renamed", scene.path("f"), scene.path("f.tmp"))]
    scene.sh("echo x >../out; mv ../out g")
    scene.matches(watch)
    assert scene.path("g") in watch.told("created") + watch.told("modified")


def test_a_directory_changes_its_name(scene):
    """All that happens in it later is told under the new one, at any depth and again and again."""
    scene.sh("mkdir -p d/a/b/c; : >d/a/b/c/f")
    watch = scene.watch()
    at = "d"
    for new in ("e", "a", "g"):
        scene.sh(f"mv {at} {new}; echo x >{new}/a/b/c/f; : >{new}/a/b/{new}; mkdir {new}/a/{new}; : >{new}/a/{new}/x")
        at = new
        scene.matches(watch)
        only(watch.changes(), "created", scene.path(f"{new}/a/b/{new}"))
        only(watch.changes(), "created", scene.path(f"{new}/a/{new}/x"))
        assert scene.path(f"{new}/a/b/c/f") in watch.told("modified")
    # One takes the name that another had; and a directory goes into another.
    scene.sh("mkdir d; : >d/x; mkdir other; mv g/a other/a; : >other/a/b/y; mv d other/a/b/d; : >other/a/b/d/z")
    scene.matches(watch)
    only(watch.changes(), "created", scene.path("other/a/b/y"))
    only(watch.changes(), "created", scene.path("other/a/b/d/z"))


@heavy
def test_what_is_soon_over_is_told(scene):
    """Each change, also of what is gone when the agent gets to look."""
    watch = scene.watch()
    with held(scene.agent):
        scene.outside("echo x >f; mv f g; rm g; mkdir d; mv d e; rmdir e")
    scene.matches(watch)
    assert [step for step in watch.short() if step[0] != "modified"] == [
        ("created", "f"), ("renamed", "g"), ("deleted", "g"), ("created", "d"), ("renamed", "e"), ("deleted", "e")]


@heavy
def test_what_one_process_is_soon_over_with(scene):
    """The kernel may make one event of several that a process causes under one name."""
    scene.sh("echo x >old; mkdir was")
    watch = scene.watch()
    at = lambda name: Path(scene.path(name))
    with held(scene.agent):
        at("f").touch()
        at("f").rename(at("g"))
        at("g").rename(at("h"))
        at("h").unlink()
        at("d").mkdir()
        at("d").rename(at("e"))
        at("e").rmdir()
        at("brief").touch()
        at("brief").unlink()
        at("old").rename(at("older"))
        at("older").unlink()
        at("was").rename(at("been"))
        at("been").rmdir()
    scene.matches(watch)
    steps = [step for step in watch.short() if step[0] not in ("modified", "attributes")]
    assert [step for step in steps if step[1] == "brief"] == [("created", "brief"), ("deleted", "brief")]
    assert [step for step in steps if step[1] != "brief"] == [
        ("created", "f"), ("renamed", "g"), ("renamed", "h"), ("deleted", "h"),
        ("created", "d"), ("renamed", "e"), ("deleted", "e"),
        ("renamed", "older"), ("deleted", "older"), ("renamed", "been"), ("deleted", "been")]


@heavy
def test_two_change_places(scene):
    scene.sh("mkdir -p a/in b/in; : >a/in/fa; : >b/in/fb")
    watch = scene.watch()
    scene.sh("mv a tmp; mv b a; mv tmp b; : >a/in/1; : >b/in/2; rm a/in/fb b/in/fa")
    scene.matches(watch)
    assert {scene.path("a/in/1"), scene.path("b/in/2")} <= set(watch.told("created"))
    assert {scene.path("a/in/fb"), scene.path("b/in/fa")} <= set(watch.told("deleted"))


@heavy
def test_two_change_places_at_once(scene):
    """renameat2(2) can do that, whatever they are."""
    scene.sh("mkdir a b; : >a/f; : >b/g; echo x >file; mkdir deep deep/er; : >deep/er/h")
    watch = scene.watch()
    for one, other in (("a", "b"), ("file", "deep"), ("b/f", "file/er")):
        exchange(scene.path(one), scene.path(other))
    scene.sh(": >a/1; : >b/2; : >file/3; : >b/f/4")
    scene.matches(watch)
    assert {scene.path(n) for n in ("a/1", "b/2", "file/3", "b/f/4")} <= set(watch.told("created"))


@heavy
def test_symlinks_are_themselves(scene):
    """They are no directories, and what they lead to is not watched."""
    scene.sh("mkdir ../out ../out/sub; ln -s ../out before")
    watch = scene.watch()
    scene.sh("ln -s ../out dir; ln -s /nowhere dangling; ln -s self self; : >../out/f; : >dir/sub/g; echo x >before/f")
    scene.matches(watch)
    assert [e["dir"] for e in watch.changes("created")] == [False] * 3
    assert set(watch.told("created")) == {scene.path(n) for n in ("dir", "dangling", "self")}
    assert not watch.changes("modified")
    scene.sh("ln -sf nothing.else dangling; mv dir dir2; rm self")
    scene.matches(watch)
    assert scene.path("dir2") in watch.told("renamed")


@heavy
def test_hard_links(scene):
    scene.sh("echo x >a; echo x >../outside")
    watch = scene.watch()
    scene.sh("ln a b; mkdir d; ln a d/c; ln ../outside e")
    scene.matches(watch)
    assert set(watch.told("created")) == {scene.path(n) for n in ("b", "d", "d/c", "e")}
    scene.sh("echo y >>b; echo y >>e")
    scene.settle(watch)
    assert {scene.path("b"), scene.path("e")} <= set(watch.told("modified"))
    scene.sh("rm b; mv d/c ../gone")
    scene.matches(watch)
    assert set(watch.told("deleted")) == {scene.path("b"), scene.path("d/c")}


@heavy
def test_what_is_no_file(scene, is_root):
    """It is told of by its name, and never opened: that of a fifo would hang."""
    watch = scene.watch(entry=True)
    scene.sh("mkfifo fifo" + ("; mknod null c 1 3; mknod disk b 7 99" if is_root else ""))
    scene.matches(watch)
    assert [e["dir"] for e in watch.changes("created")] == [False] * (3 if is_root else 1)
    assert only(watch.changes(), "created", scene.path("fifo"))["entry"]["type"] == "fifo"
    scene.sh("mv fifo fifo2; chmod 600 fifo2; rm fifo2")
    scene.matches(watch)
    assert scene.path("fifo2") in watch.told("deleted")


@heavy
@pytest.mark.parametrize("name", ["\u00e4\u20ac\U0001f600", b"\xff\xfe", b"a\x80", " ", "\n", "*", "-rf", "n" * 255, b"\xff" * 255],
                         ids=repr)
def test_names_are_bytes(scene, name):
    """Text where they are UTF-8, bytes where they are not; directories and the names of both ends of a rename, too."""
    def told(path):
        try:
            return path.decode()
        except UnicodeDecodeError:
            return path

    name = as_bytes(name)
    top = scene.dir.encode() + b"/"
    watch = scene.watch()
    for step in ('mkdir "./$1"; : >"./$1/$1"', 'mv "./$1/$1" "./$1/plain"', 'mv "./$1/plain" "./$1/$1"', 'mv "./$1" moved', 'mv moved "./$1"'):
        scene.sh(step, name)
        scene.matches(watch)
    directory = told(top + name)
    only(watch.changes(), "created", directory, is_dir=True)
    assert [(e["old_path"], e["path"]) for e in watch.changes("renamed") if e["dir"]] == [
        (directory, scene.path("moved")), (scene.path("moved"), directory)]
    scene.sh('rm "./$1/$1"; rmdir "./$1"', name)
    scene.matches(watch)
    assert [e["path"] for e in watch.changes("deleted")] == [told(top + name + b"/" + name), directory]


@heavy
def test_the_root_has_such_a_name(scene):
    root = scene.dir.encode() + b"/\xff\xc3"
    scene.sh('mkdir "$1"', root)
    watch = scene.watch(root)
    scene.sh('mkdir "$1/d"; echo x >"$1/d/f"', root)
    scene.matches(watch)
    assert [e["path"] for e in watch.changes("created")] == [root + b"/d", root + b"/d/f"]


@heavy
def test_paths_are_under_the_name_that_was_given(scene):
    """A link on the way there is followed, and is what the client knows the place by. Slashes do not pile up."""
    scene.sh("mkdir -p real/dir; ln -s real link")
    for given, clean in ((scene.path("link/dir"), scene.path("link/dir")), (scene.path("real/dir/"), scene.path("real/dir")),
                         (scene.path("real//dir"), None)):
        watch = Watch(scene.connect(), given)
        name = f"f{given.count('/')}{len(given)}"
        scene.sh(f": >real/dir/{name}")
        watch.client.pump(lambda: watch.call.done or len(watch.call.events) > 1, what="an event")
        assert watch.call.events[1]["path"] in (f"{clean or scene.path('real/dir')}/{name}", f"{given}/{name}")
        assert "//" not in watch.call.events[1]["path"] or clean is None
        watch.cancel()


@heavy
def test_a_single_file(scene):
    scene.sh("echo x >f; echo x >beside")
    watch = Watch(scene.connect(), scene.path("f"))
    scene.sh("echo y >beside; : >new; echo y >>f")
    watch.wait("modified", scene.path("f"))
    scene.sh("chmod 600 f")
    watch.wait("attributes", scene.path("f"))
    assert {e["path"] for e in watch.call.events[1:]} == {scene.path("f")}
    assert {e["dir"] for e in watch.call.events[1:]} == {False}
    scene.sh("rm f")
    watch.call.event("root_deleted")
    watch.call.wait()


@heavy
def test_a_single_file_that_is_replaced(scene):
    """Whoever watches the name learns of the new file, or that the old one is gone."""
    scene.sh("echo x >f")
    watch = Watch(scene.connect(), scene.path("f"))
    scene.sh("echo y >../new; mv ../new f; sleep 0.1; echo z >>f")
    assert watch.call.pump(lambda: len(watch.call.events) > 1, what="an event") or watch.call.done
    kinds = {e["type"] for e in watch.call.events[1:]}
    if not kinds & {"created", "modified", "renamed"}:
        watch.call.event("root_deleted")
        watch.call.wait()


@heavy
def test_the_entry(scene):
    """What the file is by then; of what is gone there is none."""
    watch = scene.watch(entry=True)
    scene.sh("echo text >f; mkdir d; ln -s f l; : >g")
    scene.settle(watch)
    for name, kind in (("f", "file"), ("d", "dir"), ("l", "symlink"), ("g", "file")):
        assert_entry(only(watch.changes(), "created", scene.path(name), kind == "dir")["entry"], scene.path(name), kind)
    scene.sh("echo more >>f; chmod 640 g; mv g h; rm l")
    scene.settle(watch)
    entries = [e["entry"] for e in watch.changes("modified") if e["path"] == scene.path("f")]
    assert entries[-1]["size"] == len("text\nmore\n")
    assert_entry(watch.changes("renamed")[0]["entry"], scene.path("h"), "file", mode=0o640)
    assert not any(e.get("entry") for e in watch.changes("deleted"))
    for event in watch.changes():
        if event.get("entry"):      # none of what has another name, or is gone, by then
            assert event["entry"]["path"] == event["path"] and (event["entry"]["type"] == "dir") == event["dir"]
    plain = scene.watch()
    scene.sh(": >new")
    scene.settle(plain)
    assert plain.changes() and not any("entry" in e for e in plain.changes())


def test_many_watches_of_one_tree(scene):
    """Of one connection and of several, each with what it wants; the end of one is nothing to the others."""
    scene.sh("mkdir -p sub/deep")
    one, two = scene.connect(), scene.connect()
    plain, other = scene.watch(client=one), scene.watch(client=two)
    flat = scene.watch(client=one, recursive=False)
    deletions = scene.watch(client=two, events=["deleted"])
    below = scene.watch(scene.path("sub"), client=one)
    scene.sh(": >f; : >sub/g; : >sub/deep/h; rm f")
    for watch in (plain, other):
        scene.matches(watch)
        assert set(watch.told("created")) == {scene.path(n) for n in ("f", "sub/g", "sub/deep/h")}
    scene.matches(below)
    assert set(below.told("created")) == {scene.path("sub/g"), scene.path("sub/deep/h")}
    scene.settle(flat)
    assert set(flat.told("created")) == {scene.path("f")}
    deletions.wait("deleted", scene.path("f"))
    assert {e["type"] for e in deletions.call.events} == {"ready", "deleted"}
    plain.cancel()
    two.close()
    scene.sh("mkdir sub/after; : >sub/after/f")
    scene.matches(below)
    scene.sh(": >last")
    scene.settle(flat)
    assert scene.path("last") in flat.told("created")
    again = scene.watch(client=one)
    scene.sh(": >sub/deep/again")
    scene.matches(again)
    assert again.short() == [("created", "sub/deep/again")]


@heavy
def test_it_sees_what_the_agent_itself_does(scene):
    watch = scene.watch()
    c = scene.client
    c.call("fs.mkdir", {"path": scene.path("a/b")})
    c.call("fs.put", {"path": scene.path("a/b/f"), "data": b"x"})       # a draft with another name, renamed
    c.call("fs.move", {"from": scene.path("a/b/f"), "to": scene.path("a/g")})
    c.call("fs.copy", {"from": scene.path("a"), "to": scene.path("copy"), "recursive": True})
    c.call("fs.delete", {"path": scene.path("a"), "recursive": True})
    scene.matches(watch)
    assert watch.picture.names() == {b"copy": True, b"copy/b": True, b"copy/g": False}


@heavy
def test_canceled(scene):
    watch = scene.watch()
    watch.cancel()
    scene.sh(": >f")
    assert scene.client.call("system.ping")
    assert watch.client.call("system.ping")
    assert not watch.changes() and not watch.client.strays


@heavy
def test_canceled_before_it_is_ready(scene):
    scene.sh("for i in 1 2 3 4 5 6 7 8 9; do mkdir -p $i/1/2/3 $i/2/3; done")
    for i in range(rounds(20)):
        with scene.agent.connect() as c:
            calls = [c.open("fs.watch", {"path": scene.dir}) for _ in range(5)]
            for call in calls[i % 3:]:
                call.cancel()
            for call in calls[i % 3:]:
                assert error_of(call.wait).code == "canceled"
    assert scene.client.call("system.ping")


@heavy
def test_a_refusal_says_why(scene):
    with pytest.raises(RpcError) as e:
        scene.client.call("fs.watch", {"path": scene.path("none")})
    assert (e.value.code, e.value.path) == ("ENOENT", scene.path("none"))
