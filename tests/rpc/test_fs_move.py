"""fs.move: another name, in the same file system or in another one."""

import os

import pytest

from client import LONG
from files import assert_entry, cat, mounted, names, sh, stat
from support import error_of, eventually, rounds

SAME = "%F %a %u:%g %Y"


def move(client, source, target, timeout=LONG, **params):
    return client.call("fs.move", {"from": source, "to": target, **params}, timeout)


@pytest.fixture(params=["same", "other"])
def there(client, guest_dir, request):
    """A directory to move to: of the same file system, of another one."""
    if request.param == "same":
        sh(client, 'mkdir "$1"/t', guest_dir)
        yield f"{guest_dir}/t"
    else:
        with mounted(client, f"{guest_dir}/t", "size=8m") as t:
            yield t


@pytest.mark.parametrize("make,type", [
    ("printf hello >a; chmod 4751 a", "file"), (": >a", "file"), ("mkdir a; chmod 1777 a", "dir"),
    ("ln -s nowhere a", "symlink"), ("ln -s a a", "symlink"), ("mkfifo a; chmod 620 a", "fifo"), ("mknod a c 1 3", "char")])
def test_kinds(client, guest_dir, there, is_root, make, type):
    if "mknod" in make and not is_root:
        pytest.skip("the agent cannot make devices")
    owner = "chown -h 12:34 a;" if is_root and "chmod 4" not in make else ""
    sh(client, f'cd "$1"; {make}; {owner} touch -h -d "2001-02-03 04:05:06" a', guest_dir)
    before = stat(client, f"{guest_dir}/a", SAME)
    entry = move(client, f"{guest_dir}/a", f"{there}/b")
    assert_entry(entry, f"{there}/b", type)
    assert entry == client.call("fs.stat", {"path": f"{there}/b"})
    assert stat(client, f"{there}/b", SAME) == before
    assert names(client, guest_dir) == ["t"] and names(client, there) == ["b"]


TREE = """
mkdir -p "$1/d/e/empty" "$1/d/f"; cd "$1/d"
printf hello >one; printf world! >e/two; printf x >.hidden; truncate -s 100000000 sparse
ln e/two f/two-again; ln -s ../one e/link; ln -s nowhere f/dangling; mkfifo e/fifo
chmod 4755 one; chmod 600 e/two; chmod 1777 e; chmod 500 f; touch -d "2001-02-03 04:05:06" e/two e .
"""
# Sizes and link counts of directories are the file system's own affair.
LIST = """
cd "$1"; find . ! -type l ! -type d -exec stat -c "%n %F %a %u:%g %h %s %Y" {} + | sort
find . -type d -exec stat -c "%n %a %u:%g %Y" {} + | sort
find . -type l -exec stat -c "%N %u:%g %Y" {} + | sort
cat one e/two f/two-again .hidden; du -k sparse
"""


def listing(client, path):
    return sh(client, LIST, path).decode().splitlines()


@pytest.fixture
def tree(client, guest_dir):
    sh(client, TREE, guest_dir)
    return f"{guest_dir}/d"


def test_a_tree(client, guest_dir, there, tree):
    before = listing(client, tree)
    assert_entry(move(client, tree, f"{there}/new"), f"{there}/new", "dir")
    assert listing(client, f"{there}/new") == before
    assert names(client, guest_dir) == ["t"] and names(client, there) == ["new"]
    assert stat(client, f"{there}/new/e/two", "%i") == stat(client, f"{there}/new/f/two-again", "%i")


def test_names_that_are_no_text(client, guest_dir, there):
    raw = guest_dir.encode() + b"/\xff\xfe"
    sh(client, 'printf x >"$1"', raw)
    target = there.encode() + b"/\xfe"
    assert_entry(move(client, raw, target), target, "file")
    assert names(client, guest_dir) == ["t"]


def test_what_is_there(client, guest_dir, there):
    sh(client, 'printf new >"$1/a"; cd "$2"; printf old >b; ln b other; ln -s b link; mkdir empty full; touch full/x',
       guest_dir, there)
    a = f"{guest_dir}/a"
    for name in ("b", "link", "empty", "full"):
        error = error_of(move, client, a, f"{there}/{name}", overwrite=False)
        assert (error.code, error.path) == ("EEXIST", f"{there}/{name}")
    assert error_of(move, client, a, f"{there}/empty").code == "EISDIR"
    assert cat(client, f"{there}/b") == b"old"
    move(client, a, f"{there}/b")
    assert (cat(client, f"{there}/b"), cat(client, f"{there}/other")) == (b"new", b"old")
    # A link is replaced, not followed.
    sh(client, 'printf newer >"$1/a"', guest_dir)
    assert_entry(move(client, a, f"{there}/link"), f"{there}/link", "file")
    assert cat(client, f"{there}/b") == b"new"
    # A directory takes the place of an empty one.
    sh(client, 'mkdir "$1/d"; touch "$1/d/y"', guest_dir)
    assert error_of(move, client, f"{guest_dir}/d", f"{there}/b").code == "ENOTDIR"
    assert error_of(move, client, f"{guest_dir}/d", f"{there}/full").code in ("ENOTEMPTY", "EEXIST")
    assert names(client, f"{there}/full") == ["x"]
    move(client, f"{guest_dir}/d", f"{there}/empty")
    assert names(client, f"{there}/empty") == ["y"]
    assert names(client, guest_dir) == ["t"]
    assert names(client, there) == ["b", "empty", "full", "link", "other"]


def test_without_overwrite(client, guest_dir, there):
    sh(client, 'printf x >"$1/a"; mkdir "$1/d"', guest_dir)
    move(client, f"{guest_dir}/a", f"{there}/a", overwrite=False)
    move(client, f"{guest_dir}/d", f"{there}/d", overwrite=False)
    assert names(client, there) == ["a", "d"] and names(client, guest_dir) == ["t"]


def test_parents(client, guest_dir, there):
    sh(client, 'printf x >"$1/a"', guest_dir)
    assert error_of(move, client, f"{guest_dir}/a", f"{there}/p/q/b", parents=False).code == "ENOENT"
    assert error_of(move, client, f"{guest_dir}/none", f"{there}/p/q/b").code == "ENOENT"
    assert names(client, there) == []
    move(client, f"{guest_dir}/a", f"{there}/p/q/b")
    assert cat(client, f"{there}/p/q/b") == b"x"
    error = error_of(move, client, f"{there}/p", f"{there}/p/q/b/c/d")
    assert error.code in ("ENOTDIR", "EINVAL")
    assert sh(client, 'cd "$1"; find . | sort', there) == b".\n./p\n./p/q\n./p/q/b\n"


@pytest.mark.parametrize("to", ["d/e/new", "d/new", "d/e/p/q", "link/new"])
def test_a_tree_does_not_go_into_itself(client, guest_dir, tree, to):
    sh(client, 'ln -s d/e "$1/link"', guest_dir)
    before = listing(client, tree)
    error = error_of(move, client, tree, f"{guest_dir}/{to}")
    assert error.code == "EINVAL" and "itself" in error.message
    assert listing(client, tree) == before


def test_to_itself_is_no_change(client, guest_dir):
    sh(client, 'cd "$1"; printf x >a; mkdir d; ln -s . here', guest_dir)
    for source, target in (("a", "a"), ("d", "d/"), ("a", "here/a")):
        move(client, f"{guest_dir}/{source}", f"{guest_dir}/{target}")
    assert error_of(move, client, f"{guest_dir}/a", f"{guest_dir}/a", overwrite=False).code == "EEXIST"
    assert names(client, guest_dir) == ["a", "d", "here"]
    assert error_of(move, client, "/", f"{guest_dir}/x").code == "EBUSY"
    assert error_of(move, client, f"{guest_dir}/a", "/").code == "EBUSY"


def test_two_names_of_one_file(client, guest_dir):
    """rename(2) keeps both."""
    sh(client, 'cd "$1"; printf x >a; ln a b; mkdir d; ln a d/a; ln -s d link', guest_dir)
    move(client, f"{guest_dir}/a", f"{guest_dir}/b")
    assert names(client, guest_dir) == ["b", "d", "link"]
    move(client, f"{guest_dir}/d/a", f"{guest_dir}/link/a")
    assert names(client, f"{guest_dir}/d") == ["a"]
    move(client, f"{guest_dir}/d/a", f"{guest_dir}/b")
    assert names(client, f"{guest_dir}/d") == [] and stat(client, f"{guest_dir}/b", "%h") == "1"


# To another file system: a copy, then the original goes.

def test_a_full_disk_keeps_the_original(client, guest_dir):
    sh(client, 'mkdir -p "$1/d/e"; head -c 3000000 /dev/urandom >"$1/d/e/big"; touch "$1/d/small"', guest_dir)
    before = sh(client, 'cd "$1/d"; find . | sort; md5sum e/big', guest_dir)
    with mounted(client, f"{guest_dir}/m") as m:
        sh(client, 'printf old >"$1/b"', m)
        assert error_of(move, client, f"{guest_dir}/d/e/big", f"{m}/b").code == "ENOSPC"
        assert error_of(move, client, f"{guest_dir}/d", f"{m}/p/d").code == "ENOSPC"
        assert names(client, m) == ["b"] and cat(client, f"{m}/b") == b"old"
    assert sh(client, 'cd "$1/d"; find . | sort; md5sum e/big', guest_dir) == before


def test_what_cannot_be_read_stays(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir -p d/closed; printf x >d/a; printf y >d/closed/b; chown 1234:1234 . d d/a; chmod 700 d/closed',
       guest_dir)
    with mounted(client, f"{guest_dir}/m", "size=1m,mode=777") as m:
        error = error_of(move, client, f"{guest_dir}/d", f"{m}/d", user="1234:1234")
        assert (error.code, error.path) == ("EACCES", f"{guest_dir}/d/closed")
        assert names(client, m) == []
        assert sh(client, 'cd "$1"; find d | sort', guest_dir) == b"d\nd/a\nd/closed\nd/closed/b\n"


def test_an_original_that_cannot_be_removed(client, guest_dir, is_root):
    """It is told; nothing is lost."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir d; printf x >d/a; chmod 755 d', guest_dir)
    with mounted(client, f"{guest_dir}/m", "size=1m,mode=777") as m:
        error = error_of(move, client, f"{guest_dir}/d/a", f"{m}/a", user="1234:1234")
        assert error.code == "EACCES" and "original" in error.message
        assert cat(client, f"{guest_dir}/d/a") == b"x"


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
def test_given_up(agent, client, guest_dir, how):
    sh(client, 'mkdir -p "$1/a/b"; head -c "$2" /dev/zero >"$1/a/b/c"', guest_dir, str(rounds(200_000_000)))
    with mounted(client, f"{guest_dir}/m", "size=600m") as m:
        with agent.connect() as c:
            call = c.open("fs.move", {"from": f"{guest_dir}/a", "to": f"{m}/p/q"})
            eventually(lambda: names(client, m), "it has begun")
            if how == "cancel":
                call.cancel()
                eventually(lambda: call.pump(lambda: call.done), "the answer")
        eventually(lambda: names(client, m) == [] or sh(client, 'ls "$1"/p || :', m) == b"q\n", "it has ended")
        # Whole at one end, in any case.
        ends = [f"{guest_dir}/a/b/c"] if names(client, m) == [] else [f"{m}/p/q/b/c"]
        assert stat(client, ends[0], "%s") == str(rounds(200_000_000))


def test_with_the_rights_of_a_user(client, guest_dir, there, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir mine d; printf x >d/a; printf y >mine/b; chown -R 1234:1234 mine; chmod 755 d "$2"', guest_dir,
       there)
    user = {"user": "1234:1234"}
    for source, target in ((f"{guest_dir}/d/a", f"{guest_dir}/mine/a"), (f"{guest_dir}/mine/b", f"{guest_dir}/d/b"),
                           (f"{guest_dir}/mine/b", f"{there}/b"), (f"{guest_dir}/mine/b", f"{there}/p/b")):
        assert error_of(move, client, source, target, **user).code == "EACCES", (source, target)
    move(client, f"{guest_dir}/mine/b", f"{guest_dir}/mine/p/c", **user)
    assert stat(client, f"{guest_dir}/mine/p", "%u:%g") == "1234:1234"
    sh(client, 'chmod 777 "$1"', there)
    entry = move(client, f"{guest_dir}/mine/p", f"{there}/p", **user)
    assert (entry["uid"], entry["gid"]) == (1234, 1234)
    assert names(client, there) == ["p"] and names(client, f"{guest_dir}/mine") == []


def test_a_tree_deeper_than_any_path(client, guest_dir):
    levels = rounds(1500)
    make = 'cd "$1"; mkdir d; cd d; n=0; while [ $n -lt "$2" ]; do mkdir abcdefghi; cd -P ./abcdefghi; n=$((n + 1)); done;' \
           'printf x >leaf'
    depth = 'cd "$1"; n=0; while cd -P ./abcdefghi 2>/dev/null; do n=$((n + 1)); done; echo $n; cat leaf'
    sh(client, make, guest_dir, str(levels))
    with mounted(client, f"{guest_dir}/m", "size=8m") as m:
        move(client, f"{guest_dir}/d", f"{m}/d")
        assert sh(client, depth, f"{m}/d") == f"{levels}\nx".encode()
        assert names(client, guest_dir) == ["m"]


def test_paths_beyond_what_the_kernel_takes(client, guest_dir):
    part = "x" * 200
    sh(client, 'cd "$1"; for i in $(seq 25); do mkdir "$2"; cd -P "./$2"; done; printf x >a', guest_dir, part)
    deep = guest_dir + f"/{part}" * 25
    assert_entry(move(client, f"{deep}/a", f"{deep}/p/b"), f"{deep}/p/b", "file")
    assert_entry(move(client, f"{deep}/p", f"{guest_dir}/p"), f"{guest_dir}/p", "dir")
    assert cat(client, f"{guest_dir}/p/b") == b"x"


@pytest.mark.local
def test_extended_attributes(client, guest_dir):
    sh(client, 'mkdir "$1/d"; printf x >"$1/d/a"', guest_dir)
    try:
        with mounted(client, f"{guest_dir}/m", "size=8m") as m:
            os.setxattr(m, "user.probe", b"")
            for path in (f"{guest_dir}/d", f"{guest_dir}/d/a"):
                os.setxattr(path, "user.name", b"value")
                os.setxattr(path, "trusted.name", b"value")
            entry = move(client, f"{guest_dir}/d", f"{m}/d")
            assert "lost" not in entry
            for path in (f"{m}/d", f"{m}/d/a"):
                assert [os.getxattr(path, f"{n}.name") for n in ("user", "trusted")] == [b"value"] * 2
    except OSError as e:
        pytest.skip(f"no extended attributes here: {e}")


@pytest.mark.local
def test_what_cannot_be_kept_is_told(client, guest_dir):
    sh(client, 'printf x >"$1/a"; mkdir "$1/m"; mount -t ramfs none "$1/m"', guest_dir)
    try:
        try:
            os.setxattr(f"{guest_dir}/a", "user.x", b"y")
        except OSError as e:
            pytest.skip(f"no extended attributes here: {e}")
        entry = move(client, f"{guest_dir}/a", f"{guest_dir}/m/a")
        assert entry["lost"] == ["xattrs"]
        assert_entry(entry, f"{guest_dir}/m/a", "file", size=1)
    finally:
        sh(client, 'umount "$1/m"', guest_dir)
