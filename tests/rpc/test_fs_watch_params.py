"""fs.watch: what can be asked for, what is refused, and whose rights count."""

import time

import pytest

from files import background, sh
from support import error_of, rounds
from watching import CHANGES, Watch, agent, as_bytes, backend, scene, with_backend

# All that is left out in an emulated guest, where there is time for a few of them.
heavy = pytest.mark.local

EVERYTHING = "mkdir d; echo x >f; echo y >>f; chmod 600 f; mv f g; echo x >d/h; rm g"


def refused(client, path="/nowhere", **params):
    error = error_of(client.call, "fs.watch", {"path": path, **params})
    assert error.code == "bad_params", (params, error)
    return error


@heavy
def test_it_is_listed(client):
    [method] = [m for m in client.call("system.methods") if m["name"] == "fs.watch"]
    params = {p["name"]: p["required"] for p in method["params"]}
    assert params.pop("path") is True
    assert {"recursive", "ignore", "events", "coalesce_ms", "entry", "user"} <= params.keys()
    assert not any(params.values()) and method["streams"] is True and method["doc"]


@heavy
@pytest.mark.parametrize("params", [
    {"recursive": 1}, {"recursive": "yes"}, {"ignore": "x"}, {"ignore": [1]}, {"ignore": {}}, {"ignore": ["a\0b"]},
    {"events": "created"}, {"events": [1]}, {"events": ["create"]}, {"events": ["created", ""]}, {"events": ["ready"]},
    {"events": ["created", "removed"]}, {"coalesce_ms": -1}, {"coalesce_ms": "20"}, {"coalesce_ms": 1.5},
    {"coalesce_ms": 1 << 40}, {"entry": 1}, {"entry": None, "recursve": True}, {"follow": True}, {"path": "relative"},
    {"path": ""}, {"path": 1}, {"path": "/a\0b"}, {"path": None}], ids=repr)
def test_what_is_refused(client, params):
    error = refused(client, **params)
    name = next(reversed(params))
    assert name in error.message or str(params[name]) in error.message, error


@heavy
def test_a_wrong_type_is_named_with_the_right_ones(client):
    message = refused(client, events=["created", "moved"]).message
    assert "events" in message and all(kind in message for kind in CHANGES), message


@heavy
def test_an_empty_list_of_types(scene):
    """An empty list is the same as none, or refused: it never is a watch that stays silent without a word."""
    call = scene.client.open("fs.watch", {"path": scene.dir, "events": []})
    call.pump(lambda: call.events, what="an answer")
    if call.done:
        assert call.error["code"] == "bad_params"


@heavy
def test_what_cannot_be_watched(scene):
    scene.sh(": >f; ln -s loop loop; ln -s nowhere dangling")
    for path, code in (("none", "ENOENT"), ("none/at/all", "ENOENT"), ("f/below", "ENOTDIR"), ("loop/x", "ELOOP"), ("n" * 300, "ENAMETOOLONG")):
        error = error_of(scene.client.call, "fs.watch", {"path": scene.path(path)})
        assert (error.code, error.path) == (code, scene.path(path)), error


# -- recursive -------------------------------------------------------------------------------------

def test_not_recursive(scene, backend):
    scene.sh("mkdir -p sub/deep other; : >sub/f")
    watch = scene.watch(recursive=False)
    if backend == "inotify":
        assert watch.ready["watches"] == 1
    scene.sh("echo x >f; mkdir new; : >new/g; : >sub/g; rm sub/f; mv sub/deep sub/deeper; mv other o; : >o/x; mv sub/g g; chmod 600 f")
    scene.settle(watch)
    assert {e["path"].rpartition("/")[0] for e in watch.changes()} == {scene.dir}
    assert set(watch.told("created")) == {scene.path(n) for n in ("f", "new", "g")}
    assert watch.told("renamed") == [scene.path("o")]
    assert scene.path("f") in watch.told("attributes")
    scene.sh("mv g sub/h; rmdir new 2>/dev/null || rm -r new")
    scene.settle(watch)
    assert set(watch.told("deleted")) == {scene.path("g"), scene.path("new")}


# -- events ----------------------------------------------------------------------------------------

@heavy
@pytest.mark.parametrize("kind", CHANGES)
def test_one_type_alone(scene, kind):
    watch = scene.watch(events=[kind])
    scene.sh(EVERYTHING)
    last = {"created": ("d/h", ": "), "modified": ("f2", "echo x >>f2"), "deleted": ("g", ": "), "renamed": ("g", ": "),
            "attributes": ("f2", "chmod 644 f2")}[kind]
    scene.sh(f": >f2; {last[1]}")
    if kind == "modified":
        scene.sh("sleep 0.2; echo x >>f2")
    watch.wait(kind, scene.path(last[0]))
    assert {e["type"] for e in watch.call.events} == {"ready", kind}


@heavy
def test_some_types(scene):
    watch = scene.watch(events=["created", "deleted"])
    scene.sh(EVERYTHING)
    scene.settle(watch)
    assert {e["type"] for e in watch.changes()} == {"created", "deleted"}
    watch.cancel()
    watch = scene.watch(events=[*CHANGES, "created"])
    scene.sh("rm -r d; " + EVERYTHING)
    scene.settle(watch)
    assert {e["type"] for e in watch.changes()} >= {"created", "deleted"}


@heavy
def test_directories_that_are_not_told_of_are_watched(scene):
    """Who wants to hear of changed files alone hears of those in new directories, too."""
    watch = scene.watch(events=["modified", "deleted"])
    scene.sh("mkdir -p a/b; : >a/b/f")
    sh(scene.client, "sleep 0.2")
    scene.sh("mv a c; echo x >c/b/f; rm c/b/f")
    watch.wait("deleted", scene.path("c/b/f"))
    assert {e["type"] for e in watch.changes()} <= {"modified", "deleted"}


# -- ignore ----------------------------------------------------------------------------------------

def test_ignored_directories_cost_no_watches(scene, backend):
    scene.sh("mkdir -p src/lib node_modules/a/b/c src/node_modules/d/e build/x src/build")
    every = scene.watch()
    some = scene.watch(ignore=["node_modules", "/build", "*.log"])
    if backend == "inotify":
        # node_modules and src/node_modules with 3 and 2 below, build with 1
        assert every.ready["watches"] - some.ready["watches"] == 4 + 3 + 2
    scene.sh("mkdir -p node_modules/n new/node_modules/m; : >node_modules/n/f; : >new/node_modules/m/f; : >build/x/f; : >src/build/f;"
             " : >a.log; : >src/b.log; : >src/lib/c; : >new/d; rm -r src/node_modules")
    scene.matches(every)
    scene.settle(some)
    assert set(some.told("created")) == {scene.path(n) for n in ("src/build/f", "src/lib/c", "new", "new/d")}
    assert not some.changes("deleted")
    assert {p for p in some.picture.names()} - {p for p in every.picture.names()} == {p for p in some.picture.names() if b"src/node" in p}


@heavy
def test_patterns_are_those_of_a_gitignore(scene):
    watch = scene.watch(ignore=["*.o", "!keep.o", "tmp/", "/doc/*.html", "cache/**/x", "[Tt]rash", b"\xff*"])
    scene.sh("mkdir -p doc/sub cache/a/b tmp d; : >a.o; : >keep.o; : >tmp/f; : >d/tmp; : >doc/i.html; : >doc/sub/i.html; : >cache/a/b/x;"
             " : >cache/y; : >Trash; : >d/trash; : >\"$1\"", b"\xffname")
    scene.settle(watch)
    assert set(watch.told("created")) == {scene.path(n) for n in (
        "doc", "doc/sub", "cache", "cache/a", "cache/a/b", "d", "keep.o", "d/tmp", "doc/sub/i.html", "cache/y")}


@heavy
def test_renamed_across_what_is_ignored(scene):
    """That is a border like any other."""
    scene.sh("mkdir -p d/e; : >d/e/f; : >a.tmp; : >b; mkdir hidden; : >hidden/g")
    watch = scene.watch(ignore=["*.tmp", "hidden", "gone"])
    scene.sh("mv a.tmp a; mv b b.tmp; mv d gone; mv hidden shown; : >gone/x; : >shown/y")
    scene.settle(watch)
    assert not watch.changes("renamed"), watch.short()
    assert set(watch.told("created")) == {scene.path(n) for n in ("a", "shown", "shown/g", "shown/y")}
    assert {scene.path("b"), scene.path("d")} <= set(watch.told("deleted"))
    assert not [e for e in watch.changes() if "gone" in e["path"] or ".tmp" in e["path"]]
    scene.sh("mv gone d; : >d/e/again; mv c.tmp d.tmp 2>/dev/null || :; : >c.tmp; mv c.tmp d.tmp; mv d.tmp c")
    scene.settle(watch)
    assert {scene.path(n) for n in ("d", "d/e", "d/e/f", "d/e/again", "c")} <= set(watch.told("created"))


@heavy
def test_patterns_are_bounded(client):
    for ignore in (["x"] * 200_000, ["x" * 900_000]):
        error = error_of(client.call, "fs.watch", {"path": "/nowhere", "ignore": ignore})
        assert error.code in ("limit", "bad_params"), error


# -- coalesce_ms -----------------------------------------------------------------------------------

@heavy
def test_created_then_at_most_one_modified(scene):
    watch = scene.watch(coalesce_ms=1500)
    scene.sh("for i in 1 2 3; do echo x >f$i; for n in 1 2 3 4 5; do echo $n >>f$i; done; done")
    scene.settle(watch)
    for i in 1, 2, 3:
        kinds = [e["type"] for e in watch.changes() if e["path"] == scene.path(f"f{i}")]
        assert kinds in (["created"], ["created", "modified"]), kinds


@heavy
def test_much_writing_is_few_events(scene):
    scene.sh(": >f")
    watch = scene.watch(coalesce_ms=500)
    writes = rounds(500)
    scene.sh(f"i=0; while [ $i -lt {writes} ]; do echo $i >>f; i=$((i+1)); done")
    started = time.monotonic()
    scene.settle(watch)
    watch.wait("modified", scene.path("f"))
    # One for each span at most, and what is left at the ends.
    assert len(watch.told("modified")) <= writes / 4 + (time.monotonic() - started) / 0.5


@heavy
def test_a_steady_writer_is_told_of_while_it_writes(scene):
    """Coalescing is no waiting for silence that never comes."""
    scene.sh(": >f")
    watch = scene.watch(coalesce_ms=200)
    with background(scene.agent, f"while :; do echo x >>{scene.path('f')}; sleep 0.02; done"):
        watch.until(lambda: len(watch.told("modified")) >= 3, "three times told of")


@heavy
def test_nothing_is_put_together_with_0(scene):
    watch = scene.watch(coalesce_ms=0)
    scene.sh("echo x >f")
    watch.wait("created", scene.path("f"))
    for i in range(rounds(20)):
        seen = len(watch.told("modified"))
        scene.sh("echo y >>f")
        watch.until(lambda: len(watch.told("modified")) > seen, f"write {i}")
    scene.sh("mv f g; : >f; rm f; mv g f; mkdir -p a/b; mv a c; rm -r c")
    scene.matches(watch)


@heavy
@pytest.mark.parametrize("coalesce_ms", [0, 1, 20, 400])
def test_the_order_of_what_is_put_together(scene, coalesce_ms):
    """However much is held back, what is told makes sense in the order in which it is told."""
    watch = scene.watch(coalesce_ms=coalesce_ms)
    scene.sh("for i in 1 2 3; do mkdir d; echo x >d/f; echo y >f; mv d/f d/g; mv f d/f; mv d e; rm e/g; echo z >>e/f; mv e/f f;"
             " rmdir e; rm f; : >e; rm e; mkdir e; : >e/x; rm -r e; done; mkdir e; echo x >e/f; mv e g; echo y >>g/f")
    scene.matches(watch)
    assert watch.picture.names() == {b"g": True, b"g/f": False}


# -- user ------------------------------------------------------------------------------------------

@pytest.fixture
def other(scene, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    return "4321:1234"


@heavy
def test_the_root_has_to_be_readable(scene, other):
    scene.sh("mkdir shut; chmod 700 shut; mkdir unsearched unsearched/in; chmod 744 unsearched; mkdir -m 711 unlisted")
    for name in ("shut", "shut/below", "unsearched/in", "unlisted"):
        error = error_of(scene.client.call, "fs.watch", {"path": scene.path(name), "user": other})
        assert (error.code, error.path) == ("EACCES", scene.path(name)), error


@heavy
def test_nobody_is_told_of_what_is_not_shown_to_him(scene, other):
    """Neither what is in a directory that the user cannot list, nor after it was closed or came later; all else is told."""
    scene.sh("mkdir -p open shut/deep late; chmod 700 shut; : >shut/f")
    known = dict.fromkeys([b"open", b"shut", b"late"], True)
    watch = Watch(scene.connect(), scene.dir, known, user=other)
    scene.sh(": >open/a; : >shut/secret; mkdir shut/deep/er; mv shut/f shut/secret2; (umask 77; mkdir new); mkdir new/secret3; : >late/b")
    watch.wait("created", scene.path("late/b"))
    watch.wait("created", scene.path("open/a"))
    watch.wait("created", scene.path("new"))
    scene.sh("mv shut shut2; : >shut2/secret4; : >open/c")
    watch.wait("created", scene.path("open/c"))
    scene.sh("sleep 0.1; : >open/d")
    watch.wait("created", scene.path("open/d"))
    told = [as_bytes(e["path"]) for e in watch.call.events if e["type"] in CHANGES]
    assert not [p for p in told if b"secret" in p or b"/deep" in p], told


@heavy
def test_with_rights_of_a_user_it_is_as_without(scene, other):
    scene.sh(f"chown {other} .")
    watch = scene.watch(user=other, entry=True)
    sh(scene.client, 'cd "$1"; ' + EVERYTHING, scene.dir, user=other)
    scene.matches(watch)
    assert {"created", "deleted", "renamed"} <= {e["type"] for e in watch.changes()}
