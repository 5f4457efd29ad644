"""fs.find and fs.grep."""

import pytest

from client import LONG, RESPONSE
from files import assert_entry, background, matches, sh
from support import error_of, rounds


def found(client, root, **params):
    """The paths below it, the root itself left out."""
    events, result = matches(client, "fs.find", path=root, **params)
    for event in events:
        assert event["entry"]["path"] == event["path"]
        assert_entry(event["entry"], event["path"], event["entry"]["type"])
    assert result["truncated"] is False
    return [e["path"][len(root) + 1:] for e in events if e["path"] != root]


def lines(client, root, pattern, **params):
    """(path, number, text) of each match."""
    events, _ = matches(client, "fs.grep", path=root, pattern=pattern, **params)
    assert all(type(e["text"]) is bytes for e in events)
    return [(e["path"][len(root) + 1:], e["line"], e["text"]) for e in events]


@pytest.fixture
def tree(client, guest_dir):
    sh(client, 'cd "$1"; mkdir -p src/lib .git/src node_modules/x; cd src; touch main.c main.h lib/a.c lib/.hidden.c; '
               'ln -s main.c link.c; ln -s .. lib/up; mkfifo pipe.c; cd ..; touch .git/src/c.c node_modules/x/m.c "README"',
       guest_dir)
    return guest_dir


ALL = [".git", ".git/src", ".git/src/c.c", "README", "node_modules", "node_modules/x", "node_modules/x/m.c", "src",
       "src/lib", "src/lib/.hidden.c", "src/lib/a.c", "src/lib/up", "src/link.c", "src/main.c", "src/main.h", "src/pipe.c"]


# -- fs.find -------------------------------------------------------------------------------------

def test_everything(conn, tree):
    assert found(conn, tree) == ALL, "in the order of fs.tree"


@pytest.mark.parametrize("glob,want", [
    ("*.c", [p for p in ALL if p.endswith(".c")]), ("main.*", ["src/main.c", "src/main.h"]), ("main.c", ["src/main.c"]),
    ("main", []), ("?ain.[ch]", ["src/main.c", "src/main.h"]), ("*", ALL), ("[!a-zA-Z]*", [".git", "src/lib/.hidden.c"]),
    (".*", [".git", "src/lib/.hidden.c"]), ("src", [".git/src", "src"]), (b"*.h", ["src/main.h"]), ("MAIN.C", [])])
def test_by_name(client, tree, glob, want):
    """Of the last part of the path, and all of that."""
    assert found(client, tree, name=glob) == want


@pytest.mark.parametrize("kind,want", [
    ("file", [".git/src/c.c", "README", "node_modules/x/m.c", "src/lib/.hidden.c", "src/lib/a.c", "src/main.c", "src/main.h"]),
    ("dir", [".git", ".git/src", "node_modules", "node_modules/x", "src", "src/lib"]),
    ("symlink", ["src/lib/up", "src/link.c"]), ("fifo", ["src/pipe.c"]), ("socket", []), ("char", []), ("block", [])])
def test_by_type(client, tree, kind, want):
    assert found(client, tree, type=kind) == want


def test_together(client, tree):
    assert found(client, tree, name="*.c", type="file", ignore=["node_modules", "/.git"]) \
        == ["src/lib/.hidden.c", "src/lib/a.c", "src/main.c"]
    assert found(client, tree, name="*.c", type="symlink") == ["src/link.c"]


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_max_depth(client, tree, depth):
    """1: the root's children."""
    assert found(client, tree, max_depth=depth) == [p for p in ALL if p.count("/") < depth]


def test_find_limit(client, tree):
    every = matches(client, "fs.find", path=tree, name="*.c")[0]
    for limit in range(1, len(every) + 2):
        events, result = matches(client, "fs.find", path=tree, name="*.c", limit=limit)
        assert events == every[:limit]
        assert result == result | {"matches": len(events), "truncated": limit < len(every)}


def test_names_are_bytes(client, guest_dir):
    sh(client, 'cd "$1"; touch "$2" "$3"', guest_dir, b"x\xff", "x\u00e4")
    events, _ = matches(client, "fs.find", path=guest_dir, name="x*")
    assert [e["path"] for e in events] == [f"{guest_dir}/x\u00e4", guest_dir.encode() + b"/x\xff"]
    assert [e["entry"]["name"] for e in events] == ["x\u00e4", b"x\xff"]
    [event] = matches(client, "fs.find", path=guest_dir, name=b"*\xff")[0]
    assert event["path"] == guest_dir.encode() + b"/x\xff"


def test_the_response_is_last(conn, tree):
    for method, params in (("fs.find", {}), ("fs.grep", {"pattern": "x"})):
        call = conn.open(method, {"path": tree, **params})
        call.wait()
        assert call.kinds[-1] == RESPONSE and call.kinds.count(RESPONSE) == 1


def test_ten_thousand_unless_told_otherwise(conn, guest_dir):
    count = 10_050
    sh(conn, 'cd "$1"; seq -w "$2" | xargs touch', guest_dir, str(count))
    events, result = matches(conn, "fs.find", path=guest_dir, name="0*", type="file")
    assert result["truncated"] is False and len(events) == 9999
    events, result = matches(conn, "fs.find", path=guest_dir, type="file")
    assert (result["matches"], result["truncated"]) == (10_000, True)
    assert [e["entry"]["name"] for e in events] == [f"{i:05}" for i in range(1, 10_001)]
    events, result = matches(conn, "fs.find", path=guest_dir, type="file", limit=20_000)
    assert (result["matches"], result["truncated"]) == (count, False)


def test_an_unreadable_part_is_not_the_end(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir a shut z; for d in a shut z; do echo word >$d/f; echo word >$d/g; done; chmod 700 shut; chmod 600 a/g',
       guest_dir)
    events, result = matches(client, "fs.find", path=guest_dir, type="file", user="4321:4321")
    assert [e["path"] for e in events] == [f"{guest_dir}/{p}" for p in ("a/f", "a/g", "z/f", "z/g")]
    call = client.open("fs.grep", {"path": guest_dir, "pattern": "word", "user": "4321:4321"})
    call.wait()
    assert [e["path"] for e in call.events if e["type"] == "match"] == [f"{guest_dir}/{p}" for p in ("a/f", "z/f", "z/g")]
    told = str(call.events) + str(call.result)
    assert f"{guest_dir}/shut" in told and f"{guest_dir}/a/g" in told and "EACCES" in told


# -- fs.grep -------------------------------------------------------------------------------------

TEXT = b"one\ntwo words\n\nThree (3)\nfour.five\n\tsix\r\nlast"


@pytest.fixture
def text(client, guest_dir):
    client.call("fs.put", {"path": f"{guest_dir}/text", "data": TEXT})
    return guest_dir


@pytest.mark.parametrize("pattern,want", [
    ("two", [2]), ("t", [2, 7]), ("^t", [2]), ("e$", [1, 5]), ("^$", [3]), ("o{1}|x", [1, 2, 5, 6]), (r"\(3\)", [4]), ("[0-9]+", [4]),
    (r"four\.five", [5]), ("four.five", [5]), ("^last$", [7]), ("(one|last)", [1, 7]), ("a b", []), ("", [1, 2, 3, 4, 5, 6, 7]),
    ("one\ntwo", []), ("three", []), ("^[[:space:]]", [6]), (b"w.rds", [2]), (".*", [1, 2, 3, 4, 5, 6, 7])])
def test_patterns(client, text, pattern, want):
    """Extended regular expressions, line by line; lines count from 1 and come without their end."""
    split = TEXT.split(b"\n")
    assert lines(client, text, pattern) == [("text", n, split[n - 1]) for n in want]


def test_ignore_case(client, text):
    assert [n for _, n, _ in lines(client, text, "THREE|ONE", ignore_case=True)] == [1, 4]
    assert lines(client, text, "THREE|ONE", ignore_case=False) == []


@pytest.mark.parametrize("pattern", ["(", "[", "a{2", "*(", "[[:none:]]", "a{99999}"])
def test_bad_patterns(client, text, pattern):
    call = client.open("fs.grep", {"path": text, "pattern": pattern})
    call.pump(lambda: call.done)
    if call.error:      # C libraries differ in what they let pass
        assert call.error["code"] == "bad_params" and "pattern" in call.error["message"]
    else:
        assert pattern in ("*(", "a{2", "a{99999}")


def test_in_one_file(client, text):
    events, result = matches(client, "fs.grep", path=f"{text}/text", pattern="five")
    assert [(e["path"], e["line"], e["text"]) for e in events] == [(f"{text}/text", 5, b"four.five")]
    assert result == result | {"matches": 1, "truncated": False}


def test_in_a_tree(client, guest_dir):
    """In order, in regular files only, through no links."""
    sh(client, 'cd "$1"; mkdir -p b/c node_modules outside; for f in a b/c/x b/y b.txt node_modules/m a.log outside/o; do '
               'echo "the needle of $f" >$f; done; mkfifo b/fifo; ln -s ../outside b/out; ln -s y b/link; ln -s none b/none',
       guest_dir)
    got = lines(client, guest_dir, "needle", ignore=["node_modules", "*.log", "/outside"])
    assert got == [(p, 1, f"the needle of {p}".encode()) for p in ("a", "b/c/x", "b/y", "b.txt")]


def test_grep_limit(client, guest_dir):
    sh(client, 'cd "$1"; seq 1500 >a; seq 1500 >b', guest_dir)
    for limit, want, truncated in ((1, 1, True), (1500, 1500, True), (2999, 2999, True), (3000, 3000, False), (5000, 3000, False)):
        events, result = matches(client, "fs.grep", path=guest_dir, pattern=".", limit=limit)
        assert (len(events), result["truncated"]) == (want, truncated)
    assert (events[1499]["line"], events[1500]["line"], events[1500]["path"]) == (1500, 1, f"{guest_dir}/b")
    events, result = matches(client, "fs.grep", path=guest_dir, pattern=".")
    assert (len(events), result["truncated"]) == (1000, True)


def test_lines_across_the_bounds_of_blocks(client, guest_dir):
    """Each line is one line, wherever it lies."""
    count = rounds(50_000)
    sh(client, 'seq "$2" | sed "s/$/ some words to fill the line up/" >"$1"/f', guest_dir, str(count))
    every = matches(client, "fs.grep", path=guest_dir, pattern="^[0-9]+ some words to fill the line up$", limit=100_000)[0]
    assert [e["line"] for e in every] == list(range(1, count + 1))
    assert all(e["text"] == b"%d some words to fill the line up" % e["line"] for e in every)


def test_long_lines(client, guest_dir):
    """Their beginning, if not all: and the numbers of those behind them are right."""
    sh(client, 'cd "$1"; { echo first; head -c 3000000 /dev/zero | tr "\\0" x; echo; echo last; } >f', guest_dir)
    [first, last] = lines(client, guest_dir, "^first|^last")
    assert (first, last) == (("f", 1, b"first"), ("f", 3, b"last"))
    [(_, number, text)] = lines(client, guest_dir, "^xxx")
    assert number == 2 and text and not text.strip(b"x")


def test_binary(client, guest_dir):
    """Bytes are bytes: nothing in a file stops it."""
    data = bytes(range(256)) * 3 + b"\nneedle\xff\xfe\nneedle\0 behind"
    client.call("fs.put", {"path": f"{guest_dir}/b", "data": data})
    call = client.open("fs.grep", {"path": guest_dir, "pattern": "needle"})
    call.wait()
    for event in call.events:
        if event["type"] == "match" and "text" in event:
            assert type(event["text"]) is bytes and event["text"].startswith(b"needle")


def test_files_of_proc(client):
    """Whose size is 0."""
    events, _ = matches(client, "fs.grep", path="/proc/version", pattern="Linux")
    assert len(events) == 1 and events[0]["line"] == 1


@pytest.mark.parametrize("method,params", [("fs.find", {}), ("fs.grep", {"pattern": "x"})])
def test_cancel(agent, client, method, params):
    with agent.connect() as c:
        for _ in range(rounds(5)):
            call = c.open(method, {"path": "/proc", "limit": 1 << 40, **params})
            call.cancel()
            call.pump(lambda: call.done, 60)
            assert call.error is None or call.error["code"] == "canceled"
    client.call("system.ping")


def test_who_does_not_read_gets_it_all_later(agent, client, guest_dir):
    count = rounds(50_000)
    sh(client, 'cd "$1"; seq "$2" >f', guest_dir, str(count))
    with agent.connect() as c:
        call = c.open("fs.grep", {"path": guest_dir, "pattern": ".", "limit": 1_000_000})
        for _ in range(20):
            client.call("fs.stat", {"path": guest_dir})
        assert call.wait(LONG)["matches"] == count
        assert [e["line"] for e in call.events] == list(range(1, count + 1))


def test_a_tree_that_changes_meanwhile(agent, client, guest_dir):
    sh(client, 'cd "$1"; for i in $(seq 50); do mkdir -p $i/a; echo word >$i/a/b; done; echo word >stays', guest_dir)
    script = f"cd {guest_dir}; while :; do for i in $(seq 50); do mv $i/a $i/z; rm -r $i/z; mkdir -p $i/a; echo word >$i/a/b; done; done"
    with background(agent, script):
        for _ in range(rounds(20)):
            for method, params in (("fs.find", {"type": "file"}), ("fs.grep", {"pattern": "word"})):
                events, _ = matches(client, method, path=guest_dir, **params)
                assert f"{guest_dir}/stays" in [e["path"] for e in events]


def test_the_root_of_the_search(client, guest_dir):
    sh(client, 'cd "$1"; echo word >file; ln -s file link; mkdir d; ln -s d dirlink; echo word >d/x', guest_dir)
    assert [e["path"] for e in matches(client, "fs.grep", path=f"{guest_dir}/link", pattern="word")[0]] == [f"{guest_dir}/link"]
    assert [e["path"] for e in matches(client, "fs.grep", path=f"{guest_dir}/dirlink", pattern="word")[0]] \
        == [f"{guest_dir}/dirlink/x"]
    assert found(client, f"{guest_dir}/dirlink") == ["x"]
    for method, params in (("fs.find", {}), ("fs.grep", {"pattern": "x"})):
        assert error_of(client.call, method, {"path": f"{guest_dir}/none", **params}).code == "ENOENT"
