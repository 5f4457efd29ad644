"""fs.mkdir, symlink, link, chmod, chown, utimes and truncate."""

import pytest

from files import cat, names, sh, stat
from support import error_of


@pytest.fixture
def tree(client, guest_dir):
    """Directories, files, and links that lead out of it."""
    sh(client, 'cd "$1"; mkdir -p tree/a/b outside/d; touch tree/file tree/a/b/deep outside/file outside/d/file; '
               'ln -s ../outside tree/dirlink; ln -s ../../outside/file tree/a/link; ln -s nowhere tree/dangling; '
               'chmod 750 outside outside/d; chmod 640 outside/file outside/d/file', guest_dir)
    return f"{guest_dir}/tree"


def everything(client, path, what="%n %a %u:%g"):
    """Of all that is below; links are told by what they are themselves."""
    return sh(client, 'cd "$1"; find . ! -type l -exec stat -c "$2" {} + | sort', path, what).decode().splitlines()


# -- fs.mkdir ------------------------------------------------------------------------------------

def test_mkdir(client, guest_dir):
    path = f"{guest_dir}/it"
    assert client.call("fs.mkdir", {"path": path}) == {"created": True}
    assert stat(client, path, "%F %a") == "directory 755"
    for _ in range(2):
        assert client.call("fs.mkdir", {"path": path, "mode": 0o700}) == {"created": False}
    assert stat(client, path, "%a") == "755", "one that is there stays as it is"
    assert error_of(client.call, "fs.mkdir", {"path": path, "exist_ok": False}).code == "EEXIST"
    assert client.call("fs.mkdir", {"path": f"{path}/"}) == {"created": False}
    assert client.call("fs.mkdir", {"path": "/"}) == {"created": False}
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/slash/"}) == {"created": True}
    assert client.call("fs.mkdir", {"path": f"{guest_dir}//twice//", "exist_ok": False}) == {"created": True}
    assert names(client, guest_dir) == ["it", "slash", "twice"]


@pytest.mark.parametrize("mode", [0o700, 0o777, 0o1777, 0o2775, 0])
def test_mkdir_mode(client, guest_dir, mode):
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/it", "mode": mode}) == {"created": True}
    assert stat(client, f"{guest_dir}/it", "%a") == f"{mode:o}"


def test_mkdir_parents(client, guest_dir):
    error = error_of(client.call, "fs.mkdir", {"path": f"{guest_dir}/a/b", "parents": False})
    assert error.code == "ENOENT" and names(client, guest_dir) == []
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/a/b/c", "mode": 0o700}) == {"created": True}
    assert [stat(client, f"{guest_dir}/{p}", "%a") for p in ("a", "a/b", "a/b/c")] == ["755", "755", "700"]
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/a/b/d", "parents": False}) == {"created": True}
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/a/../a/./e//f"}) == {"created": True}
    assert names(client, f"{guest_dir}/a") == ["b", "e"]


def test_mkdir_where_something_else_is(client, guest_dir):
    sh(client, 'cd "$1"; mkdir d; touch file; ln -s d link; ln -s nowhere dangling', guest_dir)
    assert error_of(client.call, "fs.mkdir", {"path": f"{guest_dir}/file"}).code == "EEXIST"
    assert error_of(client.call, "fs.mkdir", {"path": f"{guest_dir}/dangling"}).code == "EEXIST"
    assert error_of(client.call, "fs.mkdir", {"path": f"{guest_dir}/file/below"}).code in ("ENOTDIR", "EEXIST")
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/link"}) == {"created": False}
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/link/below"}) == {"created": True}
    assert names(client, f"{guest_dir}/d") == ["below"]


def test_mkdir_owner(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(client, 'mkdir "$1"/a', guest_dir)
    assert client.call("fs.mkdir", {"path": f"{guest_dir}/a/b", "owner": "4321:1234", "mode": 0o2770}) == {"created": True}
    assert stat(client, f"{guest_dir}/a/b", "%a %u:%g") == "2770 4321:1234"
    client.call("fs.mkdir", {"path": f"{guest_dir}/a", "owner": "4321:1234"})
    assert stat(client, f"{guest_dir}/a", "%u:%g") == "0:0", "not of one that is there already"
    client.call("fs.mkdir", {"path": f"{guest_dir}/a/user", "user": "0:1234"})
    assert stat(client, f"{guest_dir}/a/user", "%u:%g") == "0:1234"


def test_mkdir_by_many_at_once(client, guest_dir):
    """One of them has made it, and none of them fails."""
    for i in range(10):
        calls = [client.open("fs.mkdir", {"path": f"{guest_dir}/{i}/a/b/c"}) for _ in range(10)]
        assert sum(call.wait()["created"] for call in calls) == 1


# -- fs.symlink, fs.link -------------------------------------------------------------------------

@pytest.mark.parametrize("target", ["a", "../..", "/no/such", "x" * 4000, b"\xff\xfe", "\u00e4", " \n", "~/x"], ids=repr)
def test_symlink(client, guest_dir, target):
    path = f"{guest_dir}/it"
    assert client.call("fs.symlink", {"target": target, "path": path}) == {}
    raw = target if isinstance(target, bytes) else target.encode()
    assert sh(client, 'readlink "$1"', path).removesuffix(b"\n") == raw
    assert error_of(client.call, "fs.symlink", {"target": "b", "path": path}).code == "EEXIST"
    assert client.call("fs.readlink", {"path": path}) == {"target": target}


def test_symlink_refused(client, guest_dir):
    assert error_of(client.call, "fs.symlink", {"target": "", "path": f"{guest_dir}/it"}).code in ("ENOENT", "bad_params")
    assert error_of(client.call, "fs.symlink", {"target": "a\0b", "path": f"{guest_dir}/it"}).code == "bad_params"
    assert error_of(client.call, "fs.symlink", {"target": "x" * 5000, "path": f"{guest_dir}/it"}).code == "ENAMETOOLONG"
    assert names(client, guest_dir) == []


def test_symlink_owner(client, guest_dir, is_root):
    """Of the link, not of what it leads to."""
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(client, 'touch "$1"/file', guest_dir)
    client.call("fs.symlink", {"target": "file", "path": f"{guest_dir}/it", "owner": "4321:1234"})
    assert stat(client, f"{guest_dir}/it", "%u:%g") == "4321:1234"
    assert stat(client, f"{guest_dir}/file", "%u:%g") == "0:0"


def test_link(client, guest_dir):
    sh(client, 'cd "$1"; printf x >file; mkdir dir', guest_dir)
    assert client.call("fs.link", {"from": f"{guest_dir}/file", "to": f"{guest_dir}/dir/it"}) == {}
    assert stat(client, f"{guest_dir}/dir/it", "%i %h") == stat(client, f"{guest_dir}/file", "%i %h")
    assert client.call("fs.stat", {"path": f"{guest_dir}/file"})["nlink"] == 2
    for source, to, code in (("file", "dir/it", "EEXIST"), ("dir", "new", "EPERM"), ("none", "new", "ENOENT"),
                             ("file", "none/new", "ENOENT"), ("file", "file/new", "ENOTDIR")):
        error = error_of(client.call, "fs.link", {"from": f"{guest_dir}/{source}", "to": f"{guest_dir}/{to}"})
        assert error.code == code, (source, to, error)
    error = error_of(client.call, "fs.link", {"from": "/proc/version", "to": f"{guest_dir}/new"})
    assert error.code in ("EXDEV", "EPERM")


# -- fs.chmod, fs.chown --------------------------------------------------------------------------

@pytest.mark.parametrize("mode", [0, 0o1, 0o644, 0o755, 0o777, 0o4755, 0o2750, 0o1777, 0o7777])
def test_chmod(client, guest_dir, mode):
    sh(client, 'cd "$1"; touch file; mkdir dir; ln -s file link; ln -s nowhere dangling', guest_dir)
    for name in ("file", "dir"):
        assert client.call("fs.chmod", {"path": f"{guest_dir}/{name}", "mode": mode}) == {}
        assert stat(client, f"{guest_dir}/{name}", "%a") == f"{mode:o}"
    assert client.call("fs.chmod", {"path": f"{guest_dir}/file", "mode": 0o600}) == {}
    assert client.call("fs.chmod", {"path": f"{guest_dir}/link", "mode": mode}) == {}
    assert stat(client, f"{guest_dir}/file", "%a") == f"{mode:o}", "as chmod(1) does: of what the link leads to"
    assert error_of(client.call, "fs.chmod", {"path": f"{guest_dir}/dangling", "mode": mode}).code == "ENOENT"


@pytest.mark.parametrize("mode", [0o700, 0o777, 0])
def test_chmod_recursive(client, guest_dir, tree, mode):
    """Everything in the tree, and nothing that its links lead to."""
    outside = everything(client, f"{guest_dir}/outside")
    client.call("fs.chmod", {"path": tree, "mode": mode, "recursive": True})
    assert {line.split()[1] for line in everything(client, tree)} == {f"{mode:o}"}
    assert len(everything(client, tree)) == 5
    assert everything(client, f"{guest_dir}/outside") == outside
    client.call("fs.chmod", {"path": f"{tree}/file", "mode": 0o604, "recursive": True})
    assert stat(client, f"{tree}/file", "%a") == "604"


def test_chmod_as_a_user(client, guest_dir, tree, is_root):
    """What is another's stays as it is, is told, and stops nothing."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'chown -R 4321:4321 "$1"; chown 0:0 "$1"/a/b; chmod 000 "$1"/a', tree)
    error = error_of(client.call, "fs.chmod", {"path": tree, "mode": 0o711, "recursive": True, "user": "4321:4321"})
    assert (error.code, error.path) == ("EPERM", f"{tree}/a/b"), error
    assert everything(client, tree) == sorted([". 711 4321:4321", "./a 711 4321:4321", "./a/b 755 0:0",
                                               "./a/b/deep 711 4321:4321", "./file 711 4321:4321"])
    assert error_of(client.call, "fs.chmod", {"path": f"{tree}/a/b", "mode": 0o777, "user": "4321:4321"}).code == "EPERM"
    assert error_of(client.call, "fs.chmod", {"path": guest_dir, "mode": 0o777, "user": "4321:4321"}).code == "EPERM"


def test_chown(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    sh(client, 'cd "$1"; touch file; ln -s file link', guest_dir)
    for owner, want in (("4321:1234", "4321:1234"), ("root:root", "0:0"), ("4321:root", "4321:0"), ("nobody:1234", "65534:1234")):
        assert client.call("fs.chown", {"path": f"{guest_dir}/file", "owner": owner}) == {}
        assert stat(client, f"{guest_dir}/file", "%u:%g") == want
    client.call("fs.chown", {"path": f"{guest_dir}/file", "owner": "nobody"})
    assert stat(client, f"{guest_dir}/file", "%u") == "65534"
    client.call("fs.chown", {"path": f"{guest_dir}/link", "owner": "77:78"})
    assert stat(client, f"{guest_dir}/file", "%u:%g") == "77:78", "as chown(1) does: of what the link leads to"
    for owner in ("no-such-user", "root:no-such-group"):
        error = error_of(client.call, "fs.chown", {"path": f"{guest_dir}/file", "owner": owner})
        assert error.code == "not_found" and "no-such" in error.message
    for owner in ("", ":", "a:b:c", "-1:0", "4294967295:0"):
        error = error_of(client.call, "fs.chown", {"path": f"{guest_dir}/file", "owner": owner})
        assert error.code in ("not_found", "bad_params"), owner
    assert stat(client, f"{guest_dir}/file", "%u:%g") == "77:78"


def test_chown_recursive(client, guest_dir, tree, is_root):
    if not is_root:
        pytest.skip("the agent cannot change owners")
    outside = everything(client, f"{guest_dir}/outside")
    assert client.call("fs.chown", {"path": tree, "owner": "4321:1234", "recursive": True}) == {}
    assert {line.split()[2] for line in everything(client, tree)} == {"4321:1234"}
    assert everything(client, f"{guest_dir}/outside") == outside
    error = error_of(client.call, "fs.chown", {"path": tree, "owner": "0:0", "recursive": True, "user": "4321:1234"})
    assert error.code == "EPERM" and error.path.startswith(tree)
    assert {line.split()[2] for line in everything(client, tree)} == {"4321:1234"}


# -- fs.utimes, fs.truncate ----------------------------------------------------------------------

def test_utimes(client, guest_dir):
    path = f"{guest_dir}/it"
    sh(client, 'touch "$1"', path)
    assert client.call("fs.utimes", {"path": path, "mtime_us": 1_000_000_000_123_456, "atime_us": 999_999_999_000_000}) == {}
    assert stat(client, path, "%X %Y") == "999999999 1000000000"
    assert client.call("fs.stat", {"path": path})["mtime_us"] == 1_000_000_000_123_456
    client.call("fs.utimes", {"path": path, "atime_us": 5_000_000})
    assert stat(client, path, "%X %Y") == "5 1000000000", "the other one stays"
    client.call("fs.utimes", {"path": path, "mtime_us": 7_999_999})
    assert stat(client, path, "%X %Y") == "5 7"
    client.call("fs.utimes", {"path": guest_dir, "mtime_us": 1_000_001})
    assert client.call("fs.stat", {"path": guest_dir})["mtime_us"] == 1_000_001


def test_truncate(client, guest_dir):
    path = f"{guest_dir}/it"
    sh(client, 'cd "$1"; printf 0123456789 >it; mkdir dir; mkfifo fifo; ln -s it link', guest_dir)
    for size, want in ((10, b"0123456789"), (4, b"0123"), (8, b"0123\0\0\0\0"), (0, b"")):
        assert client.call("fs.truncate", {"path": path, "size": size}) == {}
        assert cat(client, path) == want
    assert client.call("fs.truncate", {"path": f"{guest_dir}/link", "size": 5_000_000_000}) == {}
    assert client.call("fs.stat", {"path": path})["size"] == 5_000_000_000
    for name, codes in (("dir", {"EISDIR"}), ("fifo", {"EINVAL", "ESPIPE"}), ("none", {"ENOENT"})):
        assert error_of(client.call, "fs.truncate", {"path": f"{guest_dir}/{name}", "size": 0}).code in codes
    assert names(client, guest_dir) == ["dir", "fifo", "it", "link"]
