"""fs.hash: of a file, and of a directory, where it is the hash of a manifest that anybody can reproduce."""

import hashlib

import pytest

from files import SIZES, sh
from support import NUMBERS, error_of, numbers

MAKE = """mkdir -p "$1"; cd "$1"; mkdir -p a/b empty; printf one >a/one; printf two >a/b/two; printf x >run; chmod 755 run; chmod 644 a/one;
    ln -s a/one link; ln -s nowhere dangling; chmod 755 . a a/b empty; : >.hidden"""


def digest(client, path, **params):
    result = client.call("fs.hash", {"path": path, **params}, 60)
    assert len(result["sha256"]) == 64 and not set(result["sha256"]) - set("0123456789abcdef")
    return result["sha256"]


@pytest.mark.parametrize("size", SIZES)
def test_of_a_file(conn, guest_dir, size):
    path = f"{guest_dir}/it"
    sh(conn, f'({numbers(size)}) >"$1"; ln -s it "$1".link', path)
    want = {"sha256": hashlib.sha256(NUMBERS[:size]).hexdigest(), "size": size}
    assert conn.call("fs.hash", {"path": path}) == want
    assert conn.call("fs.hash", {"path": path + ".link"}) == want


def test_of_holes(client, guest_dir):
    sh(client, 'cd "$1"; truncate -s 20000000 sparse; head -c 20000000 /dev/zero >full', guest_dir)
    assert client.call("fs.hash", {"path": f"{guest_dir}/sparse"}, 60) == client.call("fs.hash", {"path": f"{guest_dir}/full"}, 60)


def test_of_a_directory_it_is_reproducible(client, guest_dir):
    """Wherever it is, whenever and in whatever order it was made."""
    sh(client, MAKE, f"{guest_dir}/first")
    sh(client, 'mkdir -p "$1"; cd "$1"; mkdir z; : >.hidden; ln -s nowhere dangling; printf x >run; mkdir -p empty a/b; '
               'printf two >a/b/two; ln -s a/one link; printf gone >z/z; rm -r z; printf one >a/one; '
               'chmod 755 run . a a/b empty; chmod 644 a/one', f"{guest_dir}/second/deeper")
    client.call("fs.utimes", {"path": f"{guest_dir}/second/deeper/run", "mtime_us": 1, "atime_us": 1})
    first = client.call("fs.hash", {"path": f"{guest_dir}/first"})
    assert first == client.call("fs.hash", {"path": f"{guest_dir}/second/deeper"})
    assert first["size"] == 7, "of what is in its files"
    assert first == client.call("fs.hash", {"path": f"{guest_dir}/first/"})


@pytest.mark.parametrize("change", ["printf 1ne >a/one", "mv a/one a/two", "rm .hidden", "touch new", "mkdir new", "rmdir empty",
                                    "chmod 644 run", "ln -sf a/two link", "rm link; printf one >link", "mv a/b b",
                                    "rmdir empty; touch empty", "mkfifo fifo", "printf '' >a/b/two; printf twoone >a/one",
                                    "rm dangling; ln -s nowher dangling"])
def test_what_changes_it(client, guest_dir, change):
    path = f"{guest_dir}/it"
    sh(client, MAKE, path)
    before = digest(client, path)
    assert digest(client, path) == before
    sh(client, f'cd "$1"; {change}', path)
    assert digest(client, path) != before


def test_of_an_empty_directory(client, guest_dir):
    sh(client, 'mkdir "$1"/a "$1"/b', guest_dir)
    a = client.call("fs.hash", {"path": f"{guest_dir}/a"})
    assert a == client.call("fs.hash", {"path": f"{guest_dir}/b"}) and a["size"] == 0


def test_names_are_kept_apart(client, guest_dir):
    """No name can be mistaken for two, or for the rest of another's line."""
    for i, name in enumerate(["a\nb", "a\\nb", "a b", b"a\xff", "a\u00ff", "a\\377", "a"]):
        sh(client, 'mkdir -p "$1"; : >"$1/$2"', f"{guest_dir}/{i}", name)
    assert len({digest(client, f"{guest_dir}/{i}") for i in range(7)}) == 7


def test_links_are_not_followed(client, guest_dir):
    sh(client, 'cd "$1"; mkdir -p d outside; printf 1 >outside/f; ln -s ../outside d/l; ln -s / d/root; ln -s . d/self', guest_dir)
    before = digest(client, f"{guest_dir}/d")
    sh(client, 'printf 2 >"$1"/outside/f', guest_dir)
    assert digest(client, f"{guest_dir}/d") == before


def test_with_fifos_and_devices_it_ends(client, guest_dir, is_root):
    sh(client, 'mkdir "$1"/d; mkfifo "$1"/d/fifo', guest_dir)
    if is_root:
        sh(client, 'mknod "$1"/d/zero c 1 5', guest_dir)
    digest(client, f"{guest_dir}/d")


def test_what_is_not_readable(client, guest_dir, is_root):
    """A hash of less than everything would be a lie."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'mkdir "$1"/d; touch "$1"/d/a "$1"/d/b; chmod 600 "$1"/d/a', guest_dir)
    error = error_of(client.call, "fs.hash", {"path": f"{guest_dir}/d", "user": "4321:4321"})
    assert (error.code, error.path) == ("EACCES", f"{guest_dir}/d/a")
    error = error_of(client.call, "fs.hash", {"path": f"{guest_dir}/d/a", "user": "4321:4321"})
    assert (error.code, error.path) == ("EACCES", f"{guest_dir}/d/a")
    assert digest(client, f"{guest_dir}/d/b", user="4321:4321") == hashlib.sha256().hexdigest()


def test_cancel(conn, client, guest_dir):
    sh(client, 'truncate -s 1000000000000 "$1"', f"{guest_dir}/huge")
    for path in (f"{guest_dir}/huge", guest_dir):
        call = conn.open("fs.hash", {"path": path})
        conn.call("system.ping")
        call.cancel()
        assert error_of(call.wait).code == "canceled"
