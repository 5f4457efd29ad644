"""Names are bytes, and paths as long as one likes."""

import pytest

from files import matches, names, read, sh, streamed, write
from support import error_of, rounds

NAMES = [b"plain", "\u00e4\u20ac\U0001f600".encode(), b"\xff", b"a\x80\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b" ", b"\n", b"a b\tc",
         b"*", b"?[!", b"\\", b"-rf", b"'\"$(x)", b"...", b"\x01\x7f", b"n" * 255, b"\xff" * 255]


def as_told(name):
    """How the agent tells of it: text where it is UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def variants(path):
    """Every way to give it: bytes always, text where it is some."""
    return {path, as_told(path)}


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_every_method_takes_it(client, guest_dir, name):
    directory = guest_dir.encode() + b"/d"
    for given in variants(directory + b"/" + name):
        told = as_told(directory + b"/" + name)
        assert client.call("fs.mkdir", {"path": given, "exist_ok": False}) == {"created": True}
        inner = given + (b"/in" if isinstance(given, bytes) else "/in")
        assert client.call("fs.put", {"path": inner, "data": b"word"})["size"] == 4
        write(client, inner, b"word\n")
        assert read(client, inner)[0] == client.call("fs.get", {"path": inner})["data"] == b"word\n"
        assert client.call("fs.exists", {"path": inner}) == {"exists": True, "type": "file"}
        entry = client.call("fs.stat", {"path": given})
        assert (entry["path"], entry["name"]) == (told, as_told(name))
        assert client.call("fs.list", {"path": as_told(directory)})["entries"] == [entry]
        below = as_told(directory + b"/" + name + b"/in")
        [entry] = client.call("fs.list", {"path": given})["entries"]
        assert (entry["path"], entry["name"]) == (below, "in")
        tree = client.call("fs.tree", {"path": as_told(directory)})["entries"]
        assert [e["path"] for e in tree] == [told, below]
        assert streamed(client, "fs.tree", path=directory) == tree
        assert [e["path"] for e in matches(client, "fs.grep", path=directory, pattern="word")[0]] == [below]
        assert below in [e["path"] for e in matches(client, "fs.find", path=directory, name="in")[0]]
        for method, params in (("fs.chmod", {"mode": 0o700}), ("fs.utimes", {"mtime_us": 1}), ("fs.hash", {}), ("fs.usage", {})):
            client.call(method, {"path": given, **params})
        client.call("fs.truncate", {"path": inner, "size": 0})
        [result] = client.call("fs.write_files", {"files": [{"path": inner, "data": b"x"}]})["files"]
        assert (result["path"], result["size"]) == (below, 1)
        assert client.call("fs.delete", {"path": given, "recursive": True}) == {"deleted": 2}
        error = error_of(client.call, "fs.stat", {"path": given})
        assert (error.code, error.path) == ("ENOENT", told)
        client.call("fs.symlink", {"target": name, "path": given})
        assert client.call("fs.readlink", {"path": given}) == {"target": as_told(name)}
        client.call("fs.delete", {"path": given})
    assert names(client, guest_dir) == ["d"]


def test_the_guest_sees_the_same(client, guest_dir):
    """Byte for byte what its own shell sees."""
    for i, name in enumerate(NAMES):
        client.call("fs.put", {"path": guest_dir.encode() + b"/" + name, "data": b"%d" % i})
    for i, name in enumerate(NAMES):
        assert sh(client, 'cat "$1"', guest_dir.encode() + b"/" + name) == b"%d" % i
    told = [e["name"] for e in client.call("fs.list", {"path": guest_dir})["entries"]]
    assert told == [as_told(name) for name in sorted(NAMES)]


# -- long paths ----------------------------------------------------------------------------------

def deep(client, guest_dir, name, levels):
    """A directory that many levels deep, its path far longer than any system call takes: put together from below."""
    sh(client, """cd "$1"; part=$2; for i in 1 2 3 4 5 6 7 8 9; do part=$part/$2; done
        mkdir deep
        for i in $(seq "$3"); do
            mkdir -p "above/$part"; [ ! -e "deep/$2" ] || mv "deep/$2" "above/$part"; rmdir deep; mv above deep
        done""", guest_dir, name, str(levels // 10))
    return f"{guest_dir}/deep"


@pytest.mark.parametrize("name,levels", [("dddd", 1000), ("n" * 200, 100)], ids=["levels", "names"])
def test_trees_deeper_than_a_path(client, guest_dir, name, levels):
    """Made of short paths; walked without a descriptor for each level."""
    root = deep(client, guest_dir, name, levels)
    entries = streamed(client, "fs.tree", path=root)
    assert [e["depth"] for e in entries] == list(range(1, levels + 1))
    assert entries[-1]["path"] == root + f"/{name}" * levels
    found, result = matches(client, "fs.find", path=root, type="dir", name=name)
    assert result["matches"] == levels and found[-1]["path"] == entries[-1]["path"]
    assert len(client.call("fs.hash", {"path": root}, 60)["sha256"]) == 64
    client.call("fs.chmod", {"path": root, "mode": 0o711, "recursive": True}, 60)
    assert {e["mode"] for e in streamed(client, "fs.tree", path=root)} == {0o711}
    assert matches(client, "fs.grep", path=root, pattern="x")[0] == []
    assert client.call("fs.delete", {"path": root, "recursive": True}, 60) == {"deleted": levels + 1}
    assert names(client, guest_dir) == []


def test_paths_longer_than_the_kernel_takes(client, guest_dir):
    path = guest_dir + f"/{'n' * 250}" * 30
    assert len(path) > 7000
    client.call("fs.mkdir", {"path": path})
    file = f"{path}/it"
    assert client.call("fs.put", {"path": file, "data": b"word"})["size"] == 4
    write(client, file, b"words\n")
    assert read(client, file)[0] == client.call("fs.get", {"path": file})["data"] == b"words\n"
    entry = client.call("fs.stat", {"path": file})
    assert (entry["path"], entry["size"]) == (file, 6)
    assert client.call("fs.list", {"path": path})["entries"] == [entry]
    assert client.call("fs.exists", {"path": file}) == {"exists": True, "type": "file"}
    client.call("fs.chmod", {"path": file, "mode": 0o600})
    client.call("fs.utimes", {"path": file, "mtime_us": 1})
    client.call("fs.truncate", {"path": file, "size": 4})
    client.call("fs.symlink", {"target": "it", "path": f"{path}/link"})
    assert client.call("fs.readlink", {"path": f"{path}/link"}) == {"target": "it"}
    client.call("fs.link", {"from": file, "to": f"{path}/other"})
    assert client.call("fs.stat", {"path": file})["nlink"] == 2
    assert client.call("fs.hash", {"path": file})["size"] == 4
    assert client.call("fs.usage", {"path": file})["total"]
    [result] = client.call("fs.write_files", {"files": [{"path": f"{path}/more/it", "data": b"x"}]})["files"]
    assert (result["path"], result["size"]) == (f"{path}/more/it", 1)
    assert error_of(client.call, "fs.stat", {"path": f"{path}/none"}).code == "ENOENT"
    assert client.call("fs.delete", {"path": file}) == {"deleted": 1}
    assert client.call("fs.delete", {"path": guest_dir + f"/{'n' * 250}", "recursive": True}) == {"deleted": 34}
    assert names(client, guest_dir) == []


@pytest.mark.parametrize("length", [4094, 4095, 4096, 4097])
def test_paths_about_as_long_as_it_takes(client, guest_dir, length):
    path = guest_dir
    while length - len(path) > 252:
        path += "/" + "n" * 200
    path += "/" + "n" * (length - len(path) - 1)
    assert len(path) == length
    client.call("fs.put", {"path": path, "data": b"x"})
    assert client.call("fs.get", {"path": path})["data"] == b"x"
    assert client.call("fs.stat", {"path": path})["path"] == path
    assert client.call("fs.delete", {"path": path}) == {"deleted": 1}


def test_as_a_user_long_paths_are_no_way_around(client, guest_dir, is_root):
    """Each directory on the way has to allow it."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    path = guest_dir + f"/{'n' * 250}" * 30
    client.call("fs.put", {"path": f"{path}/it", "data": b"x"})
    assert client.call("fs.get", {"path": f"{path}/it", "user": "4321:4321"})["data"] == b"x"
    client.call("fs.chmod", {"path": guest_dir + f"/{'n' * 250}" * 20, "mode": 0o700})
    for method in ("fs.get", "fs.stat"):
        assert error_of(client.call, method, {"path": f"{path}/it", "user": "4321:4321"}).code == "EACCES"
    client.call("fs.delete", {"path": guest_dir + f"/{'n' * 250}", "recursive": True})


def test_dots_and_slashes(client, guest_dir):
    sh(client, 'cd "$1"; mkdir -p a/b; printf x >a/f; ln -s a/b l', guest_dir)
    for path in ("/a/f", "//a///f", "/./a/./f", "/a/b/../f", "/l/../f", "/a/../a/f"):
        assert client.call("fs.get", {"path": guest_dir + path})["data"] == b"x"
        assert client.call("fs.stat", {"path": guest_dir + path})["name"] == "f"
    assert client.call("fs.get", {"path": "/../.." + guest_dir + "/a/f"})["data"] == b"x"
    for _ in range(rounds(3)):
        assert error_of(client.call, "fs.get", {"path": f"{guest_dir}/none/../a/f"}).code == "ENOENT"
