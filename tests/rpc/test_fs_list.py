"""fs.list and fs.tree: what is in a directory, and below."""

import pytest

from client import LONG, MAX_FRAME
from files import TYPES, assert_entry, background, sh, streamed
from support import REMOTE, error_of, rounds

# A small guest has no memory for more.
MANY = 12_000 if REMOTE else rounds(100_000)


def paths(entries):
    return [e["path"] for e in entries]


def relative(root, entries):
    assert all(e["path"].startswith(root + "/") for e in entries)
    return [e["path"][len(root) + 1:] for e in entries]


def names(entries):
    return [e["name"] for e in entries]


@pytest.fixture(scope="module")
def crowded(shared):
    """A directory of very many entries, made once; None until it is asked for."""
    kept = {}

    def get(agent, client):
        if "path" not in kept:
            kept["agent"] = agent
            kept["path"] = sh(client, "d=/tmp/rpc-crowd.$$; mkdir $d; printf %s $d").decode()
            sh(client, 'cd "$1"; seq -w 1 "$2" | sed s/^/n/ | xargs touch', kept["path"], str(MANY))
        return kept["path"], [f"n{i:0{len(str(MANY))}}" for i in range(1, MANY + 1)]

    yield get
    if kept:
        with kept["agent"].connect() as c:
            c.call("proc.run", {"argv": ["rm", "-rf", kept["path"]]}, 120)


# -- fs.list -------------------------------------------------------------------------------------

def test_an_empty_directory(client, guest_dir):
    assert client.call("fs.list", {"path": guest_dir}) == {"entries": [], "truncated": False}
    assert streamed(client, "fs.list", path=guest_dir) == []


def test_all_kinds(client, guest_dir, is_root):
    sh(client, 'cd "$1"; printf hello >file; mkdir dir; ln -s file symlink; mkfifo fifo; ln -s nowhere dangling', guest_dir)
    if is_root:
        sh(client, 'cd "$1"; mknod char c 1 3; mknod block b 7 200', guest_dir)
    result = client.call("fs.list", {"path": guest_dir})
    assert result["truncated"] is False
    for entry in result["entries"]:
        kind = {"dangling": "symlink"}.get(entry["name"], entry["name"])
        assert_entry(entry, f"{guest_dir}/{entry['name']}", kind)
        assert entry == client.call("fs.stat", {"path": entry["path"]})
    assert streamed(client, "fs.list", path=guest_dir) == result["entries"]


def test_sorted_by_bytes(client, guest_dir):
    want = sorted(["a", "B", "b", "a.b", "a-b", "ab", "_", " ", "~", "\u00e4", "\u20ac", "\U0001f600", "0", "10", "9", "A",
                   b"\xff", b"\x80a", "\n"], key=lambda n: n if isinstance(n, bytes) else n.encode())
    sh(client, 'cd "$1"; shift; for n; do : >"$n"; done', guest_dir, *reversed(want))
    result = client.call("fs.list", {"path": guest_dir})
    assert names(result["entries"]) == want
    prefix = guest_dir.encode() + b"/"
    assert paths(result["entries"]) == [f"{guest_dir}/{n}" if isinstance(n, str) else prefix + n for n in want]
    assert streamed(client, "fs.list", path=guest_dir) == result["entries"]


def test_hidden(client, guest_dir):
    sh(client, 'cd "$1"; touch a .b ..c z; mkdir .d', guest_dir)
    assert names(client.call("fs.list", {"path": guest_dir})["entries"]) == ["..c", ".b", ".d", "a", "z"]
    got = client.call("fs.list", {"path": guest_dir, "hidden": False, "limit": 2})
    assert names(got["entries"]) == ["a", "z"] and got["truncated"] is False
    assert names(streamed(client, "fs.list", path=guest_dir, hidden=False)) == ["a", "z"]


def test_limit(client, guest_dir):
    sh(client, 'cd "$1"; touch d b e a c', guest_dir)
    for limit, want in ((1, "a"), (4, "abcd"), (5, "abcde"), (6, "abcde")):
        got = client.call("fs.list", {"path": guest_dir, "limit": limit})
        assert names(got["entries"]) == list(want) and got["truncated"] is (limit < 5)


@pytest.mark.parametrize("end", ["/", "//", "/.", "/d/.."])
def test_the_path_as_it_was_given(client, guest_dir, end):
    sh(client, 'cd "$1"; mkdir d; touch d/x', guest_dir)
    [entry] = client.call("fs.list", {"path": guest_dir + end})["entries"]
    assert (entry["name"], entry["type"]) == ("d", "dir")
    assert client.call("fs.stat", {"path": entry["path"]})["ino"] == entry["ino"]
    if end == "/":
        assert entry["path"] == f"{guest_dir}/d"


def test_the_root(client):
    entries = client.call("fs.list", {"path": "/"})["entries"]
    assert "/proc" in paths(entries) and all(p.count("/") == 1 for p in paths(entries))
    top = client.call("fs.tree", {"path": "/", "depth": 1})["entries"]
    assert paths(top) == paths(entries)


def test_through_a_link(client, guest_dir):
    sh(client, 'cd "$1"; mkdir d; touch d/x; ln -s d l', guest_dir)
    assert paths(client.call("fs.list", {"path": f"{guest_dir}/l"})["entries"]) == [f"{guest_dir}/l/x"]
    assert paths(client.call("fs.tree", {"path": f"{guest_dir}/l"})["entries"]) == [f"{guest_dir}/l/x"]


@pytest.mark.parametrize("method", ["fs.list", "fs.tree"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_directory(client, guest_dir, method, stream):
    sh(client, 'cd "$1"; touch file; mkfifo fifo; ln -s none dangling', guest_dir)
    for name, code in (("file", "ENOTDIR"), ("fifo", "ENOTDIR"), ("dangling", "ENOENT"), ("none", "ENOENT")):
        error = error_of(client.call, method, {"path": f"{guest_dir}/{name}", "stream": stream})
        assert (error.code, error.path) == (code, f"{guest_dir}/{name}")


def test_proc(client):
    """Of processes that come and go."""
    with_pid = [e for e in client.call("fs.list", {"path": "/proc"})["entries"] if e["name"].isdigit()]
    assert with_pid and {e["type"] for e in with_pid} == {"dir"}
    for _ in range(rounds(10)):
        assert {e["type"] for e in client.call("fs.list", {"path": "/proc/self/fd"})["entries"]} <= {"symlink"}
        for entry in client.call("fs.tree", {"path": "/proc/self/", "depth": 2})["entries"]:
            assert entry["type"] in TYPES


def test_no_more_than_a_frame_holds(agent, client, crowded):
    path, want = crowded(agent, client)
    got = client.call("fs.list", {"path": path}, 60)
    assert got["truncated"] is True and client.largest_frame <= MAX_FRAME
    assert 1000 < len(got["entries"]) < MANY and names(got["entries"]) == want[:len(got["entries"])]
    with agent.connect() as c:
        c.hello(max_frame=8192)
        small = c.call("fs.list", {"path": path}, 60)
        assert small["truncated"] is True and c.largest_frame <= 8192
        assert small["entries"] == got["entries"][:len(small["entries"])] and small["entries"]
        small = c.call("fs.tree", {"path": path}, 60)
        assert small["truncated"] is True and c.largest_frame <= 8192
        assert names(small["entries"]) == want[:len(small["entries"])] and small["entries"]


@pytest.mark.parametrize("method", ["fs.list", "fs.tree"])
def test_a_stream_has_no_limit(agent, client, conn, crowded, method):
    path, want = crowded(agent, client)
    assert names(streamed(conn, method, path=path, timeout=LONG)) == want
    assert conn.largest_frame <= MAX_FRAME


def test_the_first_in_order_of_very_many(agent, client, crowded):
    path, want = crowded(agent, client)
    for method in ("fs.list", "fs.tree"):
        got = client.call(method, {"path": path, "limit": 10}, 60)
        assert names(got["entries"]) == want[:10] and got["truncated"] is True
    tree = client.call("fs.tree", {"path": path}, 60)
    assert len(tree["entries"]) <= 10_000 and tree["truncated"] is True
    assert names(tree["entries"]) == want[:len(tree["entries"])]


# -- fs.tree -------------------------------------------------------------------------------------

TREE = ["a", "a/x", "a/x/deep", "a/y", "a-b", "a.b", "a.b/z", "b", "c", "c/.hidden"]
MAKE = 'cd "$1"; mkdir -p a/x a.b c; touch a/x/deep a/y a-b a.b/z b c/.hidden'


def test_preorder(client, guest_dir):
    """Each directory's children sorted by their names: a/x before a-b, though '-' comes before '/'."""
    sh(client, MAKE, guest_dir)
    result = client.call("fs.tree", {"path": guest_dir})
    assert relative(guest_dir, result["entries"]) == TREE and result["truncated"] is False
    for entry, path in zip(result["entries"], TREE):
        assert_entry(entry, f"{guest_dir}/{path}", "dir" if path in ("a", "a/x", "a.b", "c") else "file",
                     depth=path.count("/") + 1)
        assert entry == client.call("fs.stat", {"path": entry["path"]}) | {"depth": entry["depth"]}
    assert streamed(client, "fs.tree", path=guest_dir) == result["entries"]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 1000])
def test_depth(client, guest_dir, depth):
    sh(client, MAKE, guest_dir)
    result = client.call("fs.tree", {"path": guest_dir, "depth": depth})
    assert relative(guest_dir, result["entries"]) == [p for p in TREE if p.count("/") < depth]
    assert result["truncated"] is False


def test_tree_limit(client, guest_dir):
    sh(client, MAKE, guest_dir)
    for limit in range(1, len(TREE) + 2):
        result = client.call("fs.tree", {"path": guest_dir, "limit": limit})
        assert relative(guest_dir, result["entries"]) == TREE[:limit]
        assert result["truncated"] is (limit < len(TREE))


def test_links_are_not_followed(client, guest_dir):
    sh(client, 'cd "$1"; mkdir d; touch d/x; ln -s d l; ln -s .. d/up; ln -s / d/root; ln -s d/x f', guest_dir)
    entries = client.call("fs.tree", {"path": guest_dir})["entries"]
    assert relative(guest_dir, entries) == ["d", "d/root", "d/up", "d/x", "f", "l"]
    assert {e["name"]: e["target"] for e in entries if "target" in e} == {"root": "/", "up": "..", "f": "d/x", "l": "d"}


IGNORE = {
    "name": (["node_modules"], ["keep.txt", "src", "src/app.log", "src/build", "src/build/out", "src/main.c",
                                "build", "build/out", "debug.log"]),
    "directory only": (["node_modules/"], ["keep.txt", "src", "src/app.log", "src/build", "src/build/out", "src/main.c",
                                           "build", "build/out", "debug.log"]),
    "suffix": (["*.log"], ["keep.txt", "node_modules", "node_modules/m", "node_modules/m/index.js", "src", "src/build",
                           "src/build/out", "src/main.c", "src/node_modules", "src/node_modules/m.js", "build", "build/out"]),
    "anchored": (["/build"], ["keep.txt", "node_modules", "node_modules/m", "node_modules/m/index.js", "src", "src/app.log",
                              "src/build", "src/build/out", "src/main.c", "src/node_modules", "src/node_modules/m.js",
                              "debug.log"]),
    "several": (["/build", "*.log", "node_modules"], ["keep.txt", "src", "src/build", "src/build/out", "src/main.c"]),
    "none": ([], None),
    "no match": (["nothing", "*.none", "/keep"], None),
}


@pytest.mark.parametrize("case", IGNORE)
def test_ignore(client, guest_dir, case):
    """As in a .gitignore: a name at any depth, an anchored one, a directory with all that is in it."""
    sh(client, 'cd "$1"; mkdir -p node_modules/m src/node_modules src/build build; touch node_modules/m/index.js '
               'src/node_modules/m.js src/main.c src/app.log src/build/out build/out debug.log keep.txt', guest_dir)
    everything = relative(guest_dir, client.call("fs.tree", {"path": guest_dir})["entries"])
    globs, want = IGNORE[case]
    got = client.call("fs.tree", {"path": guest_dir, "ignore": globs})
    assert sorted(relative(guest_dir, got["entries"])) == sorted(everything if want is None else want)
    assert relative(guest_dir, streamed(client, "fs.tree", path=guest_dir, ignore=globs)) \
        == relative(guest_dir, got["entries"]) == [p for p in everything if p in (want or everything)]


def test_an_unreadable_part_is_not_the_end(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir -p a/in shut/in z/in; chmod 700 shut', guest_dir)
    want = ["a", "a/in", "shut", "z", "z/in"]
    result = client.call("fs.tree", {"path": guest_dir, "user": "4321:4321"})
    assert relative(guest_dir, result["entries"]) == want
    assert f"{guest_dir}/shut" in str(result) and "EACCES" in str(result), "and it is told"
    call = client.open("fs.tree", {"path": guest_dir, "user": "4321:4321", "stream": True})
    result = call.wait()
    entries = [e for event in call.events if event["type"] == "entries" for e in event["entries"]]
    assert relative(guest_dir, entries) == want
    assert "EACCES" in str(result) + str(call.events)
    for method in ("fs.list", "fs.tree"):
        error = error_of(client.call, method, {"path": f"{guest_dir}/shut", "user": "4321:4321"})
        assert (error.code, error.path) == ("EACCES", f"{guest_dir}/shut")


def test_a_tree_that_changes_meanwhile(agent, client, guest_dir):
    """What vanishes is left out; what is told is whole."""
    sh(client, 'cd "$1"; for i in $(seq 100); do mkdir -p $i/a/b; touch $i/a/b/c; done', guest_dir)
    script = f"cd {guest_dir}; while :; do for i in $(seq 100); do mv $i/a $i/z; rm -r $i/z; mkdir -p $i/a/b; done; done"
    with background(agent, script):
        for _ in range(rounds(30)):
            entries = client.call("fs.tree", {"path": guest_dir})["entries"]
            assert len(entries) >= 100 and len(set(paths(entries))) == len(entries)
            for entry in entries:
                assert_entry(entry, entry["path"], entry["type"])


@pytest.mark.parametrize("method", ["fs.list", "fs.tree"])
def test_who_does_not_read_gets_it_all_later(agent, client, crowded, method):
    """Events have no credit, but a bound: the walk waits."""
    path, want = crowded(agent, client)
    with agent.connect() as c:
        call = c.open(method, {"path": path, "stream": True})
        for _ in range(20):
            client.call("fs.stat", {"path": path})
        call.wait(LONG)
        assert [e["name"] for event in call.events for e in event["entries"]] == want


def test_a_stream_is_canceled(agent, client, crowded):
    path, _ = crowded(agent, client)
    for method in ("fs.list", "fs.tree"):
        with agent.connect() as c:
            call = c.open(method, {"path": path, "stream": True})
            call.event("entries", 60)
            call.cancel()
            call.pump(lambda: call.done, 60)
            assert call.error is None or call.error["code"] == "canceled"
            assert c.call("fs.exists", {"path": path}) == {"exists": True, "type": "dir"}
    call = client.open("fs.tree", {"path": "/proc", "stream": True})
    call.cancel()
    call.pump(lambda: call.done, 60)
    assert call.error is None or call.error["code"] == "canceled"
    client.call("system.ping")
