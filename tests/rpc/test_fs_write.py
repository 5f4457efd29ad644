"""fs.write and fs.put: a file and its content, once each way of sending it."""

import hashlib

import pytest

from client import DATA, END, LONG, STDIN
from files import SIZES, cat, names, read, sh, stat, write
from support import NUMBERS, error_of, rounds

MIB = 1 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def put(client, path, data, **params):
    return client.call("fs.put", {"path": path, "data": data, **params}, 60)


BOTH = pytest.mark.parametrize("way", [write, put], ids=["write", "put"])


def assert_written(result, data, atomic=True):
    assert (result["size"], result["sha256"], result["atomic"]) == (len(data), sha256(data), atomic), result


# -- content -------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_write_arrives_whole(conn, guest_dir, size):
    path = f"{guest_dir}/it"
    assert_written(write(conn, path, NUMBERS[:size]), NUMBERS[:size])
    assert read(conn, path)[0] == NUMBERS[:size]
    assert stat(conn, path, "%s %a") == f"{size} 644"
    assert names(conn, guest_dir) == ["it"]


@pytest.mark.parametrize("size", [s for s in SIZES if s < MIB])
def test_put_arrives_whole(conn, guest_dir, size):
    path = f"{guest_dir}/it"
    assert_written(put(conn, path, NUMBERS[:size]), NUMBERS[:size])
    assert conn.call("fs.get", {"path": path})["data"] == NUMBERS[:size]
    assert names(conn, guest_dir) == ["it"]


def test_credit_comes_back_as_it_is_consumed(agent, guest_dir):
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.write", {"path": f"{guest_dir}/it"})
        call.write(NUMBERS[:5_000_000], 60)
        call.end()
        assert_written(call.wait(LONG), NUMBERS[:5_000_000])
        assert 5_000_000 - c.peer_window <= call.granted <= 5_000_000
        assert not call.stdout and not call.events


def test_text_does_as_well_as_bytes(client, guest_dir):
    """Clients exist whose msgpack library knows only str."""
    path = f"{guest_dir}/it"
    assert_written(put(client, path, "h\u00e4llo"), "h\u00e4llo".encode())
    call = client.open("fs.write", {"path": path.encode()})
    client.send([DATA, call.id, STDIN, "w\u00f6rld"])
    call.end()
    assert_written(call.wait(), "w\u00f6rld".encode())
    assert cat(client, path) == "w\u00f6rld".encode()


def test_pieces_of_any_size(conn, guest_dir):
    call = conn.open("fs.write", {"path": f"{guest_dir}/it"})
    sent = b""
    for size in (0, 1, 2, 0, 1000, 65536, 3, 40000, 65535, 0):
        piece = NUMBERS[len(sent):len(sent) + size]
        sent += piece
        if piece:
            call.write(piece)
        else:
            conn.send([DATA, call.id, STDIN, b""])
    call.end()
    assert_written(call.wait(), sent)
    assert cat(conn, f"{guest_dir}/it") == sent


def test_what_comes_behind_the_end_is_nothing(client, guest_dir):
    call = client.open("fs.write", {"path": f"{guest_dir}/it"})
    call.write(b"before")
    call.end()
    client.send([DATA, call.id, STDIN, b"after"])
    client.send([END, call.id, STDIN])
    assert_written(call.wait(), b"before")
    assert cat(client, f"{guest_dir}/it") == b"before"


def test_many_at_once(conn, guest_dir):
    """Each gets its own, in whatever order their data comes."""
    calls = [conn.open("fs.write", {"path": f"{guest_dir}/{i:03}"}) for i in range(50)]
    for part in range(3):
        for i, call in enumerate(calls):
            call.write(NUMBERS[i * 1000 + part * 5000:i * 1000 + part * 5000 + 5000])
    for call in calls:
        call.end()
    for i, call in enumerate(calls):
        assert_written(call.wait(LONG), NUMBERS[i * 1000:i * 1000 + 15000])
    assert names(conn, guest_dir) == [f"{i:03}" for i in range(50)]
    assert cat(conn, f"{guest_dir}/049") == NUMBERS[49_000:64_000]


@BOTH
def test_an_existing_one_is_replaced(client, guest_dir, way):
    path = f"{guest_dir}/it"
    for data in (NUMBERS[:100_000], b"short", b"", NUMBERS[:70_000]):
        assert_written(way(client, path, data), data)
        assert cat(client, path) == data
    assert names(client, guest_dir) == ["it"]


@BOTH
def test_the_right_size_and_hash(client, guest_dir, way):
    for data in (b"", b"hello", NUMBERS[:200_000]):
        result = way(client, f"{guest_dir}/it", data, size=len(data), sha256=sha256(data), sync=True)
        assert_written(result, data)
        assert cat(client, f"{guest_dir}/it") == data


# -- mode, owner, time ---------------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("mode", [0o600, 0o666, 0o777, 0o400, 0, 0o4755, 0o2711])
@pytest.mark.parametrize("atomic", [True, False])
def test_the_mode_is_the_one_given(client, guest_dir, way, mode, atomic):
    """Whatever the umask, of a new file and of an old one."""
    path = f"{guest_dir}/it"
    for data in (b"first", b"second"):
        assert_written(way(client, path, data, mode=mode, atomic=atomic), data, atomic)
        assert stat(client, path, "%a") == f"{mode:o}"
        assert cat(client, path) == data


@BOTH
@pytest.mark.parametrize("how", [{}, {"atomic": False}, {"append": True}, {"offset": 0}], ids=repr)
def test_mode_and_owner_are_kept(client, guest_dir, is_root, way, how):
    path = f"{guest_dir}/it"
    sh(client, 'touch "$1"; chmod 640 "$1"', path)
    if is_root:
        sh(client, 'chown 4321:1234 "$1"', path)
    before = stat(client, path, "%a %u:%g")
    assert_written(way(client, path, b"new", **how), b"new", not how)
    assert stat(client, path, "%a %u:%g") == before and before.startswith("640 ")
    assert cat(client, path) == b"new"


@BOTH
@pytest.mark.parametrize("atomic", [True, False])
def test_owner(client, guest_dir, is_root, way, atomic):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    path = f"{guest_dir}/it"
    for owner, want in (("4321:1234", "4321:1234"), ("4322:0", "4322:0"), ("root:root", "0:0"), ("nobody:1234", "65534:1234")):
        way(client, path, b"x", owner=owner, atomic=atomic)
        assert stat(client, path, "%a %u:%g") == f"644 {want}"
    way(client, path, b"x", owner="4321:1234", mode=0o4750, atomic=atomic)
    assert stat(client, path, "%a %u:%g") == "4750 4321:1234", "a change of owner takes no bit of the mode along"


@BOTH
@pytest.mark.parametrize("atomic", [True, False])
def test_mtime(client, guest_dir, way, atomic):
    for when in (1_234_567_890_123_456, 0, 4_102_444_800_000_000):
        way(client, f"{guest_dir}/it", b"x", mtime_us=when, atomic=atomic)
        assert client.call("fs.stat", {"path": f"{guest_dir}/it"})["mtime_us"] == when
    way(client, f"{guest_dir}/it", b"y", atomic=atomic)
    assert client.call("fs.stat", {"path": f"{guest_dir}/it"})["mtime_us"] not in (0, 4_102_444_800_000_000)


# -- where ---------------------------------------------------------------------------------------

@BOTH
def test_parents_are_made(client, guest_dir, way):
    assert_written(way(client, f"{guest_dir}/a/b/c/it", b"x"), b"x")
    assert cat(client, f"{guest_dir}/a/b/c/it") == b"x"
    assert stat(client, f"{guest_dir}/a/b", "%a") == "755"
    assert_written(way(client, f"{guest_dir}/a/b/c/other", b"x"), b"x")
    error = error_of(way, client, f"{guest_dir}/none/it", b"x", parents=False)
    assert error.code == "ENOENT" and names(client, guest_dir) == ["a"]
    client.call("fs.put", {"path": f"{guest_dir}/file", "data": b""})
    assert error_of(way, client, f"{guest_dir}/file/a/b", b"x").code in ("ENOTDIR", "EEXIST")


@BOTH
@pytest.mark.parametrize("atomic", [True, False])
def test_a_directory_that_hands_down_its_group(client, guest_dir, is_root, way, atomic):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(client, 'mkdir "$1"; chown 0:1234 "$1"; chmod 2775 "$1"', f"{guest_dir}/d")
    way(client, f"{guest_dir}/d/it", b"x", atomic=atomic)
    assert stat(client, f"{guest_dir}/d/it", "%a %u:%g") == "644 0:1234"
    way(client, f"{guest_dir}/d/below/it", b"x", atomic=atomic)
    assert stat(client, f"{guest_dir}/d/below/it", "%a %u:%g") == "644 0:1234"


@BOTH
def test_create_and_exclusive(client, guest_dir, way):
    path = f"{guest_dir}/it"
    for how in ({}, {"append": True}, {"offset": 3}, {"atomic": False}):
        error = error_of(way, client, path, b"x", create=False, **how)
        assert (error.code, error.path) == ("ENOENT", path) and names(client, guest_dir) == []
    assert_written(way(client, path, b"one", exclusive=True), b"one")
    for how in ({}, {"append": True}, {"atomic": False}):
        error = error_of(way, client, path, b"two", exclusive=True, **how)
        assert (error.code, error.path) == ("EEXIST", path)
    assert cat(client, path) == b"one"
    assert_written(way(client, path, b"three", create=False), b"three")
    sh(client, 'ln -s nowhere "$1"/dangling', guest_dir)
    assert error_of(way, client, f"{guest_dir}/dangling", b"x", exclusive=True).code == "EEXIST"
    assert error_of(way, client, f"{guest_dir}/dangling", b"x", create=False).code == "ENOENT"
    assert names(client, guest_dir) == ["dangling", "it"]


def test_exclusive_has_one_winner(client, guest_dir):
    for i in range(rounds(20)):
        path = f"{guest_dir}/{i}"
        calls = [client.open("fs.write", {"path": path, "exclusive": True}) for _ in range(8)]
        for j, call in enumerate(calls):
            call.write(b"%d" % j)
            call.end()
        client.pump(lambda: all(call.done for call in calls))
        winners = [j for j, call in enumerate(calls) if not call.error]
        assert len(winners) == 1 and cat(client, path) == b"%d" % winners[0]
        assert {call.error["code"] for call in calls if call.error} == {"EEXIST"}
    assert len(names(client, guest_dir)) == rounds(20)


@BOTH
@pytest.mark.parametrize("path", ["", "/", "/.", "/dir", "/dir/", "/dir/."])
def test_a_directory_is_no_file(client, guest_dir, way, path):
    sh(client, 'mkdir "$1"/dir', guest_dir)
    for how in ({}, {"append": True}, {"atomic": False}, {"offset": 1}):
        assert error_of(way, client, guest_dir + path, b"x", **how).code in ("EISDIR", "EEXIST")
    assert names(client, guest_dir) == ["dir"]


@BOTH
def test_a_name_that_ends_in_a_slash(client, guest_dir, way):
    """Nobody gets a file of another name than the one given."""
    assert error_of(way, client, f"{guest_dir}/new/", b"x").code in ("EISDIR", "ENOENT", "ENOTDIR", "EINVAL", "bad_params")
    put(client, f"{guest_dir}/file", b"old")
    assert error_of(way, client, f"{guest_dir}/file/", b"x")
    assert cat(client, f"{guest_dir}/file") == b"old"


@BOTH
@pytest.mark.parametrize("how", [{}, {"atomic": False}, {"append": True}, {"offset": 0}], ids=repr)
def test_through_a_link_to_its_target(client, guest_dir, way, how):
    sh(client, 'cd "$1"; mkdir d; printf old >d/file; ln -s file d/near; ln -s d/near far; ln -s "$1/d/new" dangling; '
               'ln -s loop loop', guest_dir)
    assert_written(way(client, f"{guest_dir}/far", b"news", **how), b"news", not how)
    assert cat(client, f"{guest_dir}/d/file") == (b"oldnews" if "append" in how else b"news")
    assert sh(client, 'cd "$1"; readlink far; readlink d/near', guest_dir) == b"d/near\nfile\n"
    assert_written(way(client, f"{guest_dir}/dangling", b"made", **how), b"made", not how)
    assert cat(client, f"{guest_dir}/d/new") == b"made"
    assert error_of(way, client, f"{guest_dir}/loop", b"x", **how).code == "ELOOP"
    assert names(client, guest_dir) == ["d", "dangling", "far", "loop"]
    assert names(client, f"{guest_dir}/d") == ["file", "near", "new"]


def test_other_names_of_a_file(client, guest_dir):
    """A hard link goes on to name the old file after an atomic write, and the new content after one in place."""
    sh(client, 'cd "$1"; printf old >a; ln a b', guest_dir)
    put(client, f"{guest_dir}/a", b"in place", atomic=False)
    assert cat(client, f"{guest_dir}/b") == b"in place"
    result = put(client, f"{guest_dir}/a", b"atomic")
    assert cat(client, f"{guest_dir}/a") == b"atomic"
    assert cat(client, f"{guest_dir}/b") == (b"in place" if result["atomic"] else b"atomic")


# -- in place ------------------------------------------------------------------------------------

@BOTH
def test_append(client, guest_dir, way):
    path = f"{guest_dir}/log"
    for i, line in enumerate((b"one\n", b"two\n", b"", b"three\n")):
        result = way(client, path, line, append=True)
        assert (result["size"], result["atomic"]) == (len(line), False), "what was written, not what there is"
        assert result["sha256"] == sha256(line)
    assert cat(client, path) == b"one\ntwo\nthree\n"
    assert stat(client, path, "%a") == "644"


@BOTH
def test_offset(client, guest_dir, way):
    path = f"{guest_dir}/it"
    put(client, path, b"0123456789")
    result = way(client, path, b"abc", offset=4)
    assert (result["size"], result["atomic"], result["sha256"]) == (3, False, sha256(b"abc"))
    assert cat(client, path) == b"0123abc789"
    way(client, path, b"xyz", offset=9)
    assert cat(client, path) == b"0123abc78xyz"
    way(client, path, b"ZZ", offset=0)
    assert cat(client, path) == b"ZZ23abc78xyz", "the rest stays"
    way(client, path, b"!", offset=15)
    assert cat(client, path) == b"ZZ23abc78xyz\0\0\0!"
    way(client, f"{guest_dir}/new", b"x", offset=6_000_000_000)
    assert client.call("fs.stat", {"path": f"{guest_dir}/new"})["size"] == 6_000_000_001


@BOTH
def test_in_place_it_is_the_same_file(client, guest_dir, way):
    path = f"{guest_dir}/it"
    put(client, path, NUMBERS[:10_000])
    before = stat(client, path, "%i")
    assert_written(way(client, path, b"short", atomic=False), b"short", False)
    assert stat(client, path, "%i") == before and cat(client, path) == b"short"


def test_appends_at_once_do_not_overwrite_each_other(client, guest_dir):
    lines = [b"%05d\n" % i for i in range(300)]
    calls = [client.open("fs.put", {"path": f"{guest_dir}/log", "data": line, "append": True}) for line in lines]
    for call in calls:
        call.wait(LONG)
    assert sorted(cat(client, f"{guest_dir}/log").splitlines(True)) == lines


def test_append_and_offset_contradict_each_other(client, guest_dir):
    error = error_of(put, client, f"{guest_dir}/it", b"x", append=True, offset=3)
    assert error.code == "bad_params" and names(client, guest_dir) == []


def test_an_early_error_lets_the_connection_live(conn, guest_dir):
    """The response comes while the client still sends; the rest is dropped."""
    call = conn.open("fs.write", {"path": f"{guest_dir}/none/it", "parents": False})
    try:
        call.write(NUMBERS[:3_000_000], 60)
        call.end()
    finally:
        assert error_of(call.wait).code == "ENOENT"
    assert_written(write(conn, f"{guest_dir}/it", b"fine"), b"fine")
    assert names(conn, guest_dir) == ["it"]
