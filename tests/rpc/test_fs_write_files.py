"""fs.write_files: many files in one request."""

import pytest

from files import cat, code_of, names, sh, stat
from support import error_of, rounds


def write_files(client, files, **params):
    return client.call("fs.write_files", {"files": files, **params}, 60)["files"]


def test_none(client):
    assert client.call("fs.write_files", {"files": []}) == {"files": []}


def test_a_few(client, guest_dir, is_root):
    files = [{"path": f"{guest_dir}/one", "data": b"1"}, {"path": f"{guest_dir}/a/b/two", "data": b"22", "mode": 0o600},
             {"path": f"{guest_dir}/a/three", "data": "333"}, {"path": f"{guest_dir}/empty", "data": b""}]
    if is_root:
        files.append({"path": f"{guest_dir}/owned", "data": b"x", "owner": "4321:1234", "mode": 0o4777})
    for atomic in (True, False):
        got = write_files(client, files, atomic=atomic)
        assert [(f["path"], f["size"]) for f in got] == [(f["path"], len(f["data"])) for f in files]
        assert not any("error" in f for f in got)
    assert [cat(client, f["path"]) for f in files[:4]] == [b"1", b"22", b"333", b""]
    assert stat(client, f"{guest_dir}/one", "%a") == "644" and stat(client, f"{guest_dir}/a/b/two", "%a") == "600"
    assert not is_root or stat(client, f"{guest_dir}/owned", "%a %u:%g") == "4777 4321:1234"
    assert names(client, f"{guest_dir}/a") == ["b", "three"]


def test_one_that_fails_stops_no_other(client, guest_dir):
    sh(client, 'cd "$1"; mkdir dir; touch file', guest_dir)
    want = [("ok1", None), ("dir", "EISDIR"), ("file/below", "ENOTDIR"), ("ok2", None), ("n" * 300, "ENAMETOOLONG"),
            ("dir/ok3", None)]
    got = write_files(client, [{"path": f"{guest_dir}/{name}", "data": b"x"} for name, _ in want])
    assert [f["path"] for f in got] == [f"{guest_dir}/{name}" for name, _ in want]
    for (name, code), result in zip(want, got):
        if code is None:
            assert result["size"] == 1 and "error" not in result
        else:
            assert "size" not in result and code_of(result["error"]) == code
    assert names(client, guest_dir) == ["dir", "file", "ok1", "ok2"]
    assert names(client, f"{guest_dir}/dir") == ["ok3"]


def test_one_that_is_wrong_fails_them_all(client, guest_dir):
    """Before anything is written: the request is no good."""
    right = {"path": f"{guest_dir}/it", "data": b"x"}
    for wrong in ({"path": "relative", "data": b"x"}, {"path": f"{guest_dir}/a"}, {"data": b"x"},
                  right | {"mod": 1}, right | {"mode": 0o10000}, right | {"data": 1}, right | {"path": "/a\0"}):
        assert error_of(write_files, client, [right, wrong]).code == "bad_params", wrong
    assert names(client, guest_dir) == []


def test_the_same_twice(client, guest_dir):
    path = f"{guest_dir}/it"
    got = write_files(client, [{"path": path, "data": b"first"}, {"path": path, "data": b"last"}])
    assert [f["size"] for f in got] == [5, 4] and cat(client, path) == b"last"


def test_names_are_bytes(client, guest_dir):
    files = [{"path": f"{guest_dir}/\u00e4", "data": b"u"}, {"path": guest_dir.encode() + b"/\xff\xfe", "data": b"b"},
             {"path": f"{guest_dir}/plain".encode(), "data": b"p"}]
    got = write_files(client, files)
    assert [f["path"] for f in got] == [files[0]["path"], files[1]["path"], f"{guest_dir}/plain"]
    assert [cat(client, f["path"]) for f in files] == [b"u", b"b", b"p"]


def test_a_thousand(conn, guest_dir):
    count = rounds(1000)
    files = [{"path": f"{guest_dir}/d{i % 10}/e{i % 7}/{i}", "data": b"%d" % i * 30} for i in range(count)]
    for _ in range(2):
        got = conn.call("fs.write_files", {"files": files}, 60)["files"]
        assert [(f["path"], f["size"]) for f in got] == [(f["path"], len(f["data"])) for f in files]
    assert int(sh(conn, 'find "$1" -type f | wc -l', guest_dir)) == count
    for i in (0, count // 2, count - 1):
        assert cat(conn, files[i]["path"]) == files[i]["data"]


def test_kept_and_through_links(client, guest_dir, is_root):
    sh(client, 'cd "$1"; printf old >file; chmod 640 file; ln -s file link', guest_dir)
    if is_root:
        sh(client, 'chown 4321:1234 "$1"/file', guest_dir)
    before = stat(client, f"{guest_dir}/file", "%a %u:%g")
    for atomic in (True, False):
        write_files(client, [{"path": f"{guest_dir}/link", "data": b"new"}], atomic=atomic)
        assert stat(client, f"{guest_dir}/file", "%a %u:%g") == before and cat(client, f"{guest_dir}/file") == b"new"
        assert names(client, guest_dir) == ["file", "link"] and stat(client, f"{guest_dir}/link", "%F") == "symbolic link"


def test_as_a_user(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir theirs; chown 4321:1234 theirs', guest_dir)
    got = write_files(client, [{"path": f"{guest_dir}/{name}", "data": b"x"} for name in ("mine", "theirs/a/b", "theirs/c")],
                      user="4321:1234")
    assert code_of(got[0]["error"]) == "EACCES" and [f.get("size") for f in got] == [None, 1, 1]
    assert stat(client, f"{guest_dir}/theirs/a/b", "%a %u:%g") == "644 4321:1234"
    assert stat(client, f"{guest_dir}/theirs/a", "%a %u:%g") == "755 4321:1234"
    assert names(client, guest_dir) == ["theirs"]
    got = write_files(client, [{"path": f"{guest_dir}/theirs/{o}", "data": b"x", "owner": o} for o in ("4321:1234", "0:0")],
                      user="4321:1234")
    assert got[0]["size"] == 1 and code_of(got[1]["error"]) == "EPERM"
    assert names(client, f"{guest_dir}/theirs") == ["4321:1234", "a", "c"]


def test_an_unknown_owner(client, guest_dir):
    got = write_files(client, [{"path": f"{guest_dir}/a", "data": b"x", "owner": "no-such-owner"},
                               {"path": f"{guest_dir}/b", "data": b"x"}])
    assert code_of(got[0]["error"]) == "not_found" and got[1]["size"] == 1
    assert names(client, guest_dir) == ["b"]
