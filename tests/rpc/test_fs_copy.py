"""fs.copy: files and trees, with everything that they have."""

import os
import struct

import pytest

from client import LONG
from files import assert_entry, background, cat, mounted, names, sh, stat
from support import error_of, eventually, rounds

# type, mode, owner, size, time: what a copy shares with its original.
SAME = "%F %a %u:%g %s %Y"


def copy(client, source, target, timeout=LONG, **params):
    return client.call("fs.copy", {"from": source, "to": target, **params}, timeout)


# $2 files, named after their contents, in $3 of the working directory; busybox has no split.
MANY = """seq "$2" | awk -v d="$3" '{ f = d "/" $1; print $1 >f; close(f) }';"""


def inode(client, path):
    return stat(client, path, "%i")


@pytest.mark.parametrize("size", [0, 1, 4096, 131_073, 3_000_000])
def test_a_file(client, guest_dir, size):
    a, b = f"{guest_dir}/a", f"{guest_dir}/b"
    sh(client, 'head -c "$2" /dev/urandom >"$1"; chmod 640 "$1"; touch -d "2001-02-03 04:05:06" "$1"', a, str(size))
    assert copy(client, a, b) == {"files": 1, "bytes": size}
    assert cat(client, a) == cat(client, b)
    assert stat(client, a, SAME) == stat(client, b, SAME)
    assert inode(client, a) != inode(client, b)
    assert names(client, guest_dir) == ["a", "b"]


@pytest.mark.parametrize("make", ["ln -s target a", "ln -s a a", "ln -s / a", "mkfifo a", "mknod a c 1 3",
                                  "mknod a b 7 200"])
def test_what_is_no_file(client, guest_dir, is_root, make):
    if "mknod" in make and not is_root:
        pytest.skip("the agent cannot make devices")
    sh(client, f'cd "$1"; {make}; chown -h 12:34 a', guest_dir)
    assert copy(client, f"{guest_dir}/a", f"{guest_dir}/b") == {"files": 1, "bytes": 0}
    for what in ("%F %a %u:%g %s %Y %t,%T", "%N") if "ln" not in make else ("%F %u:%g %s %Y",):
        assert (stat(client, f"{guest_dir}/a", what).replace("/a", "/b")
                == stat(client, f"{guest_dir}/b", what))
    if "ln" in make:
        assert sh(client, 'readlink "$1"', f"{guest_dir}/a") == sh(client, 'readlink "$1"', f"{guest_dir}/b")


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/status", "/proc/filesystems",
                                  "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_of_the_kernel_are_read_to_their_end(client, guest_dir, path):
    if sh(client, '[ -e "$1" ] || echo no', path):
        pytest.skip(f"no {path}")
    result = copy(client, path, f"{guest_dir}/b")
    got = cat(client, f"{guest_dir}/b")
    assert result == {"files": 1, "bytes": len(got)} and got
    if "self" not in path:
        assert got == cat(client, path)


TREE = """
mkdir -p "$1/d/e/empty" "$1/d/f"; cd "$1/d"
printf hello >one; printf world! >e/two; printf x >.hidden
ln e/two f/two-again; ln -s ../one e/link; ln -s nowhere f/dangling; mkfifo e/fifo
chmod 4755 one; chmod 600 e/two; chmod 1777 e; chmod 500 f; chown 11:22 e one e/two; chown -h 33:44 e/link
touch -d "2001-02-03 04:05:06" e/two e f/dangling .; touch -h -d "2001-02-03 04:05:06" e/link
"""
LIST = 'cd "$1"; find . ! -type l -exec stat -c "%n %F %a %u:%g %h" {} + | sort; find . -type f | sort | xargs md5sum;' \
       'find . ! -type l -exec stat -c "%n %Y" {} + | sort; find . -type l -exec stat -c "%N %u:%g %Y" {} + | sort'


def listing(client, path):
    return sh(client, LIST, path).decode().splitlines()


@pytest.fixture
def tree(client, guest_dir):
    sh(client, TREE, guest_dir)
    return f"{guest_dir}/d"


def test_a_tree(client, guest_dir, tree):
    result = copy(client, tree, f"{guest_dir}/new", recursive=True)
    # Both names of a file are files, its bytes are copied once.
    assert result == {"files": 8, "bytes": 12}
    assert listing(client, tree) == listing(client, f"{guest_dir}/new")
    assert inode(client, f"{guest_dir}/new/e/two") == inode(client, f"{guest_dir}/new/f/two-again")
    assert names(client, guest_dir) == ["d", "new"]


def test_a_tree_on_another_file_system(client, guest_dir, tree):
    with mounted(client, f"{guest_dir}/m") as m:
        assert copy(client, tree, f"{m}/new", recursive=True) == {"files": 8, "bytes": 12}
        assert listing(client, tree) == listing(client, f"{m}/new")
        assert names(client, m) == ["new"]


def test_a_hard_link_that_leads_out_of_the_tree_is_a_file_of_its_own(client, guest_dir):
    sh(client, 'cd "$1"; mkdir d; printf x >d/a; ln d/a outside', guest_dir)
    assert copy(client, f"{guest_dir}/d", f"{guest_dir}/e", recursive=True) == {"files": 1, "bytes": 1}
    assert stat(client, f"{guest_dir}/e/a", "%h") == "1"


def test_a_directory_wants_recursive(client, guest_dir, tree):
    error = error_of(copy, client, tree, f"{guest_dir}/new")
    assert (error.code, error.path) == ("EISDIR", tree) and "recursive" in error.message
    assert names(client, guest_dir) == ["d"]


def test_names_that_are_no_text(client, guest_dir):
    raw = guest_dir.encode() + b"/\xff\xfe"
    sh(client, 'mkdir "$1"; printf x >"$1/$2"', raw, b"a\xc3\n")
    assert copy(client, raw, raw + b"2", recursive=True) == {"files": 1, "bytes": 1}
    assert sh(client, 'cat "$1/$2"', raw + b"2", b"a\xc3\n") == b"x"


# Holes

@pytest.mark.parametrize("script,blocks", [
    ("truncate -s 1000000000 a", 0),
    ("printf x >a; truncate -s 1000000000 a", 64),
    ("truncate -s 500000000 a; printf x >>a", 64),
    ("truncate -s 5000000 a; printf x >>a; truncate -s 10000000 a; printf y >>a; truncate -s 20000000 a", 96),
])
@pytest.mark.parametrize("other", [False, True])
def test_holes_stay_holes(client, guest_dir, script, blocks, other):
    with mounted(client, f"{guest_dir}/m"):
        sh(client, f'cd "$1"; {script}', guest_dir)
        b = f"{guest_dir}/m/b" if other else f"{guest_dir}/b"
        size = int(stat(client, f"{guest_dir}/a", "%s"))
        assert copy(client, f"{guest_dir}/a", b) == {"files": 1, "bytes": size}
        assert int(stat(client, b, "%s")) == size
        assert int(stat(client, b, "%b")) <= blocks
        if size < 500_000_000:
            sh(client, 'cmp "$1" "$2"', f"{guest_dir}/a", b)
        else:
            assert sh(client, 'tail -c 10 "$1"', f"{guest_dir}/a") == sh(client, 'tail -c 10 "$1"', b)


# What is there already

def test_an_existing_file_is_replaced_as_a_whole(client, guest_dir):
    sh(client, 'cd "$1"; printf new >a; printf old >b; ln b other; chmod 600 b', guest_dir)
    a, b = f"{guest_dir}/a", f"{guest_dir}/b"
    error = error_of(copy, client, a, b, overwrite=False)
    assert (error.code, error.path) == ("EEXIST", b)
    assert cat(client, b) == b"old"
    assert copy(client, a, b) == {"files": 1, "bytes": 3}
    assert (cat(client, b), cat(client, f"{guest_dir}/other")) == (b"new", b"old")
    assert stat(client, a, SAME) == stat(client, b, SAME)
    assert names(client, guest_dir) == ["a", "b", "other"]


def test_a_link_is_replaced_and_not_followed(client, guest_dir):
    sh(client, 'cd "$1"; printf new >a; printf old >target; ln -s target b', guest_dir)
    copy(client, f"{guest_dir}/a", f"{guest_dir}/b")
    assert stat(client, f"{guest_dir}/b", "%F") == "regular file"
    assert cat(client, f"{guest_dir}/target") == b"old"


def test_a_device_is_not_replaced(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot make devices")
    sh(client, 'cd "$1"; printf new >a; mknod b c 1 3', guest_dir)
    error = error_of(copy, client, f"{guest_dir}/a", f"{guest_dir}/b")
    assert (error.code, error.path) == ("EEXIST", f"{guest_dir}/b") and "device" in error.message
    assert stat(client, f"{guest_dir}/b", "%F") == "character special file"


def test_a_file_and_a_directory_do_not_replace_one_another(client, guest_dir, tree):
    sh(client, 'printf x >"$1"/a', guest_dir)
    before = listing(client, guest_dir)
    assert error_of(copy, client, f"{guest_dir}/a", tree).code == "EISDIR"
    assert error_of(copy, client, tree, f"{guest_dir}/a", recursive=True).code == "ENOTDIR"
    assert error_of(copy, client, tree, tree + "/e", recursive=True, overwrite=False).code in ("EEXIST", "EINVAL")
    assert listing(client, guest_dir) == before


def test_a_tree_goes_into_an_existing_one(client, guest_dir, tree):
    sh(client, 'mkdir -p "$1/t/e" "$1/t/mine"; cd "$1/t"; printf old >one; printf mine >mine/own; printf k >e/kept;'
               'chmod 700 e', guest_dir)
    t = f"{guest_dir}/t"
    error = error_of(copy, client, tree, t, recursive=True, overwrite=False)
    assert (error.code, error.path) == ("EEXIST", t)
    assert cat(client, f"{t}/one") == b"old"
    assert copy(client, tree, t, recursive=True) == {"files": 8, "bytes": 12}
    assert cat(client, f"{t}/one") == b"hello"
    for d in ("", "/e"):
        assert stat(client, t + d, "%a %u:%g %Y") == stat(client, tree + d, "%a %u:%g %Y")
    sh(client, 'cd "$1"; grep -q mine mine/own; grep -q k e/kept; rm -r mine e/kept; touch -r "$2" .; touch -r "$2/e" e',
       t, tree)
    assert listing(client, tree) == listing(client, t)


def test_a_tree_whose_parts_do_not_fit_changes_nothing(client, guest_dir, tree):
    """A file where there is a directory, far inside."""
    sh(client, 'mkdir -p "$1/t/e/two"; printf old >"$1/t/one"; touch "$1/t/e/two/kept"', guest_dir)
    look = 'cd "$1"; find . -exec stat -c "%n %F %a %u:%g %h %i" {} + | sort; cat one'
    before = sh(client, look, f"{guest_dir}/t")
    error = error_of(copy, client, tree, f"{guest_dir}/t", recursive=True)
    assert error.code == "EISDIR" and error.path.endswith("/t/e/two")
    assert sh(client, look, f"{guest_dir}/t") == before


def test_parents(client, guest_dir):
    sh(client, 'printf x >"$1"/a', guest_dir)
    error = error_of(copy, client, f"{guest_dir}/a", f"{guest_dir}/p/q/b", parents=False)
    assert error.code == "ENOENT"
    assert names(client, guest_dir) == ["a"]
    assert error_of(copy, client, f"{guest_dir}/none", f"{guest_dir}/p/q/b").code == "ENOENT"
    assert names(client, guest_dir) == ["a"]
    copy(client, f"{guest_dir}/a", f"{guest_dir}/p/q/b")
    assert cat(client, f"{guest_dir}/p/q/b") == b"x"
    assert error_of(copy, client, f"{guest_dir}/a", f"{guest_dir}/a/b").code == "ENOTDIR"


@pytest.mark.parametrize("to", ["d/e/new", "d/new", "d/e/p/q", "link/new"])
def test_a_tree_does_not_go_into_itself(client, guest_dir, tree, to):
    sh(client, 'ln -s d/e "$1/link"', guest_dir)
    before = listing(client, guest_dir)
    error = error_of(copy, client, tree, f"{guest_dir}/{to}", recursive=True)
    assert error.code == "EINVAL" and "itself" in error.message
    assert listing(client, guest_dir) == before


def test_a_tree_does_not_go_into_itself_by_another_mount(client, guest_dir, tree):
    sh(client, 'mkdir "$1/m"; mount --bind "$1/d/e" "$1/m"', guest_dir)
    try:
        before = sh(client, 'cd "$1"; find . | sort', tree)
        assert error_of(copy, client, tree, f"{guest_dir}/m/new", recursive=True).code == "EINVAL"
        assert sh(client, 'cd "$1"; find . | sort', tree) == before
    finally:
        sh(client, 'umount "$1/m"', guest_dir)


def test_nothing_is_copied_to_itself(client, guest_dir, tree):
    for name in ("one", "e/link", "."):
        path = f"{tree}/{name}"
        assert error_of(copy, client, path, path, recursive=True).code == "EINVAL"
    assert error_of(copy, client, "/", f"{guest_dir}/root", recursive=True).code == "EINVAL"
    assert error_of(copy, client, tree, "/", recursive=True).code == "EBUSY"
    assert names(client, guest_dir) == ["d"]


# What fails

def test_a_full_disk_keeps_the_old_file(client, guest_dir):
    sh(client, 'head -c 3000000 /dev/urandom >"$1/big"', guest_dir)
    with mounted(client, f"{guest_dir}/m") as m:
        sh(client, 'printf old >"$1/b"', m)
        error = error_of(copy, client, f"{guest_dir}/big", f"{m}/b")
        assert error.code == "ENOSPC" and error.message
        assert cat(client, f"{m}/b") == b"old"
        assert error_of(copy, client, f"{guest_dir}/big", f"{m}/p/q/b").code == "ENOSPC"
        assert names(client, m) == ["b"]


def test_a_full_disk_leaves_nothing_of_a_tree(client, guest_dir):
    sh(client, 'mkdir -p "$1/d/e/f"; cd "$1/d"; for i in $(seq 100); do head -c 20000 /dev/urandom >e/$i; done;'
               'printf x >e/f/x; printf y >e/f/y; ln e/f/y e/f/z; chmod 0 e/f', guest_dir)
    with mounted(client, f"{guest_dir}/m") as m:
        free = sh(client, 'df -k "$1" | tail -n 1', m)
        assert error_of(copy, client, f"{guest_dir}/d", f"{m}/p/d", recursive=True).code == "ENOSPC"
        assert names(client, m) == []
        sh(client, 'mkdir -p "$1/d/e"; printf old >"$1/d/e/1"', m)
        assert error_of(copy, client, f"{guest_dir}/d", f"{m}/d", recursive=True).code == "ENOSPC"
        assert sh(client, 'cd "$1"; find . | sort; cat d/e/1; rm -r d', m) == b".\n./d\n./d/e\n./d/e/1\nold"
        assert sh(client, 'df -k "$1" | tail -n 1', m) == free


def test_no_inodes_left(client, guest_dir, tree):
    with mounted(client, f"{guest_dir}/m", "size=1m,nr_inodes=8") as m:
        assert error_of(copy, client, tree, f"{m}/d", recursive=True).code == "ENOSPC"
        assert names(client, m) == []


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
@pytest.mark.parametrize("what", ["file", "tree"])
def test_given_up(agent, client, guest_dir, how, what):
    with mounted(client, f"{guest_dir}/m", "size=600m") as m:
        # No holes in it; the copy takes a while.
        if what == "file":
            sh(client, 'head -c "$2" /dev/zero >"$1/a"', m, str(rounds(200_000_000)))
        else:
            sh(client, 'mkdir -p "$1/a/b"; cd "$1/a"; ' + MANY, m, str(rounds(10_000)), "b")
        with agent.connect() as c:
            call = c.open("fs.copy", {"from": f"{m}/a", "to": f"{m}/p/q", "recursive": True})
            eventually(lambda: "p" in names(client, m), "it has begun")
            if how == "cancel":
                call.cancel()
                done = error_of(call.wait).code == "canceled"
        if how == "disconnect":
            eventually(lambda: names(client, m) == ["a"] or sh(client, 'ls -A "$1"/p || :', m) == b"q\n", "it has ended")
            done = names(client, m) == ["a"]
        if done:
            assert names(client, m) == ["a"]
        sh(client, 'rm -r "$1"/*', m)


def test_it_holds_nobody_up(agent, client, guest_dir):
    """Four large copies, and a small call beside them."""
    sh(client, 'head -c "$2" /dev/zero >"$1/a"', guest_dir, str(rounds(50_000_000)))
    calls = [client.open("fs.copy", {"from": f"{guest_dir}/a", "to": f"{guest_dir}/b{i}"}) for i in range(4)]
    with agent.connect() as c:
        c.call("fs.readlink", {"path": "/proc/self/exe"})
    for call in calls:
        assert call.wait(LONG)["files"] == 1


def test_a_tree_that_changes_meanwhile(agent, client, guest_dir):
    sh(client, 'mkdir -p "$1/d/e"; cd "$1/d"; for i in $(seq 200); do echo $i >$i; done', guest_dir)
    churn = ('cd "$D/d"; n=0; while :; do n=$((n + 1)); mkdir -p x/y; echo 1 >x/y/z; mv x w; rm -r w;'
             'mv 7 8; echo 7 >7; : >9; done')
    with background(agent, churn, env={"D": guest_dir}):
        for i in range(rounds(20)):
            result = copy(client, f"{guest_dir}/d", f"{guest_dir}/c{i}", recursive=True)
            assert result["files"] >= 197
            assert cat(client, f"{guest_dir}/c{i}/100") == b"100\n"


# Rights

def test_with_the_rights_of_a_user(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir mine d d/ro d/closed; chown 1234:1234 mine; printf s >secret; chmod 600 secret;'
               'printf p >public; chmod 4755 public; cp public d/a; cp secret d/s; cp public d/ro/x; cp public d/closed/x;'
               'chmod 555 d/ro; chmod 700 d/closed', guest_dir)
    user = {"user": "1234:1234"}
    mine = f"{guest_dir}/mine"
    assert error_of(copy, client, f"{guest_dir}/secret", f"{mine}/s", **user).code == "EACCES"
    assert error_of(copy, client, f"{guest_dir}/public", f"{guest_dir}/p", **user).code == "EACCES"
    assert error_of(copy, client, f"{guest_dir}/public", f"{guest_dir}/p/q", **user).code == "EACCES"
    # It is the user's own then, and does not run as somebody else.
    result = copy(client, f"{guest_dir}/public", f"{mine}/p", **user)
    assert (result["files"], result["lost"]) == (1, ["owner"])
    assert stat(client, f"{mine}/p", "%a %u:%g") == "755 1234:1234"
    result = copy(client, f"{guest_dir}/d", f"{mine}/d", recursive=True, **user)
    assert [(s["path"], s["error"]["code"]) for s in sorted(result["skipped"], key=lambda s: s["path"])] == [
        (f"{guest_dir}/d/closed", "EACCES"), (f"{guest_dir}/d/s", "EACCES")]
    assert result["files"] == 2
    assert sh(client, 'cd "$1"; find . | sort', f"{mine}/d") == b".\n./a\n./ro\n./ro/x\n"
    assert stat(client, f"{mine}/d/ro", "%a %u:%g") == "555 1234:1234"
    # And again into what is there, although the user may not write into a part of it.
    assert error_of(copy, client, f"{guest_dir}/d", f"{mine}/d", recursive=True, **user).code == "EACCES"
    assert sh(client, 'cd "$1"; find . | sort', f"{mine}/d") == b".\n./a\n./ro\n./ro/x\n"
    assert names(client, guest_dir) == ["d", "mine", "public", "secret"]


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o300, 0o500, 0o700])
def test_a_user_takes_directories_of_any_mode(client, guest_dir, is_root, mode):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; chmod 777 .; mkdir -p d/x; printf y >d/x/y; chown -R 1234:1234 d; chmod "$2" d/x', guest_dir,
       f"{mode:o}")
    result = copy(client, f"{guest_dir}/d", f"{guest_dir}/n", recursive=True, user="1234")
    if mode & 0o500 == 0o500:
        assert result == {"files": 1, "bytes": 1}
        assert stat(client, f"{guest_dir}/n/x", "%a") == f"{mode:o}"
    else:
        assert result["files"] == 0 and len(result["skipped"]) == 1
        assert result["skipped"][0]["error"]["code"] == "EACCES"


# Depth and number

def test_a_tree_deeper_than_any_path(client, guest_dir):
    """Also deeper than there are descriptors: 1500 levels of 10 bytes."""
    levels = rounds(1500)
    make = 'cd "$1"; mkdir d; cd d; n=0; while [ $n -lt "$2" ]; do mkdir abcdefghi; cd -P ./abcdefghi; n=$((n + 1)); done;' \
           'printf x >leaf; ln leaf leaf2'
    depth = 'cd "$1"; n=0; while cd -P ./abcdefghi 2>/dev/null; do n=$((n + 1)); done; echo $n; ls; stat -c %h leaf'
    sh(client, make, guest_dir, str(levels))
    assert copy(client, f"{guest_dir}/d", f"{guest_dir}/e", recursive=True) == {"files": 2, "bytes": 1}
    assert sh(client, depth, f"{guest_dir}/e") == f"{levels}\nleaf\nleaf2\n2\n".encode()
    with mounted(client, f"{guest_dir}/m", f"size=1m,nr_inodes={levels}") as m:
        assert error_of(copy, client, f"{guest_dir}/d", f"{m}/e", recursive=True).code == "ENOSPC"
        assert names(client, m) == []


def test_paths_beyond_what_the_kernel_takes(client, guest_dir):
    part = "x" * 200
    sh(client, 'cd "$1"; for i in $(seq 25); do mkdir "$2"; cd -P "./$2"; done; printf x >a', guest_dir, part)
    deep = guest_dir + f"/{part}" * 25
    assert copy(client, f"{deep}/a", f"{guest_dir}/b") == {"files": 1, "bytes": 1}
    assert copy(client, f"{guest_dir}/b", f"{deep}/p/q/b") == {"files": 1, "bytes": 1}
    assert copy(client, f"{deep}/p", f"{deep}/r", recursive=True, parents=False) == {"files": 1, "bytes": 1}
    assert copy(client, f"{deep}/r/q/b", f"{guest_dir}/c") == {"files": 1, "bytes": 1}
    assert error_of(copy, client, f"{guest_dir}/b", guest_dir + "/" + "y" * 256).code == "ENAMETOOLONG"


def test_many_names_of_many_files(client, guest_dir):
    n = rounds(2000)
    sh(client, 'mkdir -p "$1/d/e"; cd "$1/d"; ' + MANY + 'mkdir f; ln e/* f', guest_dir, str(n), "e")
    result = copy(client, f"{guest_dir}/d", f"{guest_dir}/n", recursive=True)
    assert result["files"] == 2 * n
    assert listing(client, f"{guest_dir}/d") == listing(client, f"{guest_dir}/n")
    assert names(client, guest_dir) == ["d", "n"]


# Attributes that a shell cannot set

def acl(*entries):
    """As setxattr(2) takes it: version 2, then tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


NO_ID = 0xffffffff
ACL = acl((1, 6, NO_ID), (2, 7, 1234), (4, 4, NO_ID), (16, 7, NO_ID), (32, 4, NO_ID))


def set_xattr(path, name, value):
    try:
        os.setxattr(path, name, value)
    except OSError as e:
        pytest.skip(f"{name}: {e}")


@pytest.mark.local
def test_extended_attributes_and_acls(client, guest_dir):
    sh(client, 'mkdir -p "$1/d/e"; printf x >"$1/d/a"', guest_dir)
    want = {"user.short": b"v", "user.empty": b"", "user.long": b"x" * 2000, "system.posix_acl_access": ACL}
    for name, value in want.items():
        set_xattr(f"{guest_dir}/d/a", name, value)
        set_xattr(f"{guest_dir}/d/e", name, value)
    for n in range(20):
        set_xattr(f"{guest_dir}/d/a", f"user.n{n}", b"1")
    set_xattr(f"{guest_dir}/d/e", "system.posix_acl_default", ACL)
    assert copy(client, f"{guest_dir}/d", f"{guest_dir}/n", recursive=True) == {"files": 1, "bytes": 1}
    for name in ("a", "e"):
        have, new = f"{guest_dir}/d/{name}", f"{guest_dir}/n/{name}"
        assert sorted(os.listxattr(have)) == sorted(os.listxattr(new))
        assert all(os.getxattr(have, x) == os.getxattr(new, x) for x in os.listxattr(have))
        assert stat(client, have, SAME) == stat(client, new, SAME)


@pytest.mark.local
def test_nothing_is_inherited_from_the_new_place(client, guest_dir):
    sh(client, 'mkdir -p "$1/d/e" "$1/t"; chmod 2775 "$1/t"; chown :77 "$1/t" || :; printf x >"$1/d/e/a"', guest_dir)
    set_xattr(f"{guest_dir}/t", "system.posix_acl_default", ACL)
    copy(client, f"{guest_dir}/d", f"{guest_dir}/t/d", recursive=True)
    copy(client, f"{guest_dir}/d/e/a", f"{guest_dir}/t/a")
    for name in ("d", "d/e", "d/e/a", "a"):
        assert os.listxattr(f"{guest_dir}/t/{name}") == []
    assert listing(client, f"{guest_dir}/d") == listing(client, f"{guest_dir}/t/d")


@pytest.mark.local
def test_what_cannot_be_kept_is_told(client, guest_dir):
    """A file system without extended attributes of users."""
    sh(client, 'printf x >"$1/a"', guest_dir)
    set_xattr(f"{guest_dir}/a", "user.x", b"y")
    sh(client, 'mkdir "$1/m"; mount -t ramfs none "$1/m"', guest_dir)
    try:
        assert copy(client, f"{guest_dir}/a", f"{guest_dir}/m/a") == {"files": 1, "bytes": 1, "lost": ["xattrs"]}
        assert cat(client, f"{guest_dir}/m/a") == b"x"
    finally:
        sh(client, 'umount "$1/m"', guest_dir)


@pytest.mark.local
def test_memory_and_descriptors(agent, client, guest_dir, frugal):
    sh(client, 'mkdir -p "$1/d/e"; cd "$1/d"; ' + MANY, guest_dir, "3000", "e")
    copy(client, f"{guest_dir}/d", f"{guest_dir}/first", recursive=True)
    before = agent.fds()
    for i in range(3):
        copy(client, f"{guest_dir}/d", f"{guest_dir}/{i}", recursive=True)
        error_of(copy, client, f"{guest_dir}/d", f"{guest_dir}/d/e/x", recursive=True)
    eventually(lambda: agent.fds() <= before, "no descriptor is left")


def test_the_copy_looks_like_one(client, guest_dir):
    """Through the agent's own eyes."""
    sh(client, 'printf hello >"$1/a"; chmod 751 "$1/a"', guest_dir)
    copy(client, f"{guest_dir}/a", f"{guest_dir}/b")
    entries = [client.call("fs.stat", {"path": f"{guest_dir}/{n}"}) for n in "ab"]
    assert_entry(entries[1], f"{guest_dir}/b", "file", size=5, mode=0o751, mtime_us=entries[0]["mtime_us"])
