"""fs.delete: what is told to go goes, and nothing else, also while others are at it."""

import pytest

from client import LONG
from files import background, names, sh
from support import REMOTE, error_of, eventually, rounds


def delete(client, path, timeout=LONG, **params):
    return client.call("fs.delete", {"path": path, **params}, timeout)["deleted"]


def test_one_of_each_kind(client, guest_dir):
    sh(client, 'cd "$1"; touch file; mkdir dir; mkfifo fifo; ln -s file link; ln -s none dangling; ln -s loop loop', guest_dir)
    for left in (["dir", "fifo", "file", "link", "loop"], ["dir", "fifo", "file", "link"], ["dir", "fifo", "file"],
                 ["dir", "fifo"], ["dir"], []):
        [gone] = {*names(client, guest_dir)} - {*left}
        assert client.call("fs.delete", {"path": f"{guest_dir}/{gone}"}) == {"deleted": 1}
        assert names(client, guest_dir) == left


def test_what_is_not_there(client, guest_dir):
    path = f"{guest_dir}/none"
    error = error_of(delete, client, path)
    assert (error.code, error.path) == ("ENOENT", path)
    assert delete(client, path, missing_ok=True) == 0
    assert delete(client, path, missing_ok=True, recursive=True) == 0
    assert delete(client, f"{path}/below", missing_ok=True) == 0
    assert error_of(delete, client, path, recursive=True).code == "ENOENT"


def test_a_full_directory_only_when_told_so(client, guest_dir):
    sh(client, 'cd "$1"; mkdir -p d/e; touch d/a d/e/b d/.c; ln -s a d/l', guest_dir)
    error = error_of(delete, client, f"{guest_dir}/d")
    assert (error.code, error.path) == ("ENOTEMPTY", f"{guest_dir}/d")
    assert int(sh(client, 'find "$1" | wc -l', f"{guest_dir}/d")) == 6
    assert delete(client, f"{guest_dir}/d", recursive=True) == 6, "the path itself counted"
    assert names(client, guest_dir) == []


def test_recursive_counts_and_takes_files_too(client, guest_dir):
    sh(client, 'cd "$1"; touch f; ln -s f l', guest_dir)
    assert delete(client, f"{guest_dir}/l", recursive=True) == 1
    assert delete(client, f"{guest_dir}/f", recursive=True) == 1
    assert names(client, guest_dir) == []


@pytest.mark.parametrize("recursive", [False, True])
def test_links_are_not_followed(client, guest_dir, recursive):
    sh(client, 'cd "$1"; mkdir -p outside/d; touch outside/f outside/d/f; mkdir d; ln -s ../outside d/l; ln -s "$1/outside" l',
       guest_dir)
    assert delete(client, f"{guest_dir}/l", recursive=recursive) == 1
    if recursive:
        assert delete(client, f"{guest_dir}/d", recursive=True) == 2
    assert int(sh(client, 'find "$1" | wc -l', f"{guest_dir}/outside")) == 4


@pytest.mark.parametrize("path", ["/", "//", "/.", "/..", "/./", "/tmp/..", "/proc/self/root/"])
def test_the_root_is_refused(client, path):
    assert error_of(client.call, "fs.delete", {"path": path})
    assert error_of(client.call, "fs.delete", {"path": path, "missing_ok": True})
    if REMOTE:      # where nothing is lost when it goes wrong
        assert error_of(client.call, "fs.delete", {"path": path, "recursive": True})
        assert client.call("fs.stat", {"path": "/bin/sh", "follow": True})["size"]


def test_dots_at_the_end(client, guest_dir):
    """What rmdir(2) refuses, and nothing of it gone."""
    sh(client, 'cd "$1"; mkdir -p a/b; touch a/b/c', guest_dir)
    for path in (f"{guest_dir}/a/b/..", f"{guest_dir}/a/."):
        assert error_of(delete, client, path, recursive=True).code in ("EINVAL", "ENOTEMPTY", "bad_params", "EBUSY")
        assert names(client, f"{guest_dir}/a/b") == ["c"]
    assert delete(client, f"{guest_dir}/a/", recursive=True) == 3


def test_very_many(client, guest_dir):
    count = 10_000 if REMOTE else rounds(100_000)
    sh(client, 'mkdir "$1"; cd "$1"; seq "$2" | xargs touch', f"{guest_dir}/d", str(count))
    assert delete(client, f"{guest_dir}/d", 120, recursive=True) == count + 1


def test_what_one_may_not(client, guest_dir, is_root):
    """The rest goes, and the error names what did not."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir -p own/d/a own/d/keep own/d/z; for i in a keep z; do touch own/d/$i/f; done; '
               'chown -R 4321:4321 own; chown 0:0 own/d/keep; mkdir theirs; touch theirs/f', guest_dir)
    error = error_of(delete, client, f"{guest_dir}/own/d", recursive=True, user="4321:4321")
    assert (error.code, error.path) == ("EACCES", f"{guest_dir}/own/d/keep/f")
    assert sh(client, 'cd "$1/own"; find d | sort', guest_dir).split() == [b"d", b"d/keep", b"d/keep/f"]
    for path in ("theirs", "theirs/f", "own"):
        assert error_of(delete, client, f"{guest_dir}/{path}", user="4321:4321").code in ("EACCES", "ENOTEMPTY")
    assert error_of(delete, client, f"{guest_dir}/theirs", recursive=True, user="4321:4321").code == "EACCES"
    assert names(client, f"{guest_dir}/theirs") == ["f"]


def test_in_a_sticky_directory(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    sh(client, 'cd "$1"; mkdir d; chmod 1777 d; touch d/theirs d/mine; chown 4321:4321 d/mine', guest_dir)
    assert error_of(delete, client, f"{guest_dir}/d/theirs", user="4321:4321").code == "EPERM"
    assert delete(client, f"{guest_dir}/d/mine", user="4321:4321") == 1
    assert names(client, f"{guest_dir}/d") == ["theirs"]


# -- races ---------------------------------------------------------------------------------------

def test_two_delete_the_same(agent, client, guest_dir):
    """Both come to an end, and each counts what it has deleted itself."""
    for _ in range(rounds(10)):
        sh(client, 'cd "$1"; for i in $(seq 20); do mkdir -p d/$i/a/b; touch d/$i/f d/$i/a/g; done', guest_dir)
        with agent.connect() as c:
            calls = [x.open("fs.delete", {"path": f"{guest_dir}/d", "recursive": True, "missing_ok": True})
                     for x in (client, c) for _ in range(2)]
            assert sum(call.wait()["deleted"] for call in calls) == 101
        assert names(client, guest_dir) == []


def test_while_another_writes_into_it(agent, client, guest_dir):
    """It ends, one way or the other; when the other one has stopped, nothing is left to stop it."""
    path = f"{guest_dir}/d"
    sh(client, 'mkdir "$1"', path)
    script = f"while :; do i=$((i + 1)); mkdir -p {path}/$((i % 50))/x; : >{path}/$((i % 50))/x/$i; done 2>/dev/null"
    with background(agent, script):
        for _ in range(rounds(20)):
            call = client.open("fs.delete", {"path": path, "recursive": True, "missing_ok": True})
            call.pump(lambda: call.done, 60)
            assert call.error is None or call.error["code"] in ("ENOTEMPTY", "EBUSY"), call.error
    delete(client, path, recursive=True, missing_ok=True)
    eventually(lambda: names(client, guest_dir) == [], "it is gone")


def test_a_directory_that_turns_into_a_link(agent, client, guest_dir):
    """Whatever the moment, nothing outside is touched: neither deleted, nor given another mode or owner."""
    sh(client, 'cd "$1"; mkdir outside; touch outside/f; chmod 711 outside; chmod 611 outside/f; mkdir tree', guest_dir)
    script = f"""cd {guest_dir}/tree; while :; do
        mkdir -p d; : >d/x; mv d e; ln -s ../outside d; rm d; mv e d; done 2>/dev/null"""
    before = sh(client, 'cd "$1"; stat -c "%n %i %a %u:%g" outside outside/f', guest_dir)
    with background(agent, script):
        for i in range(rounds(150)):
            method, params = (("fs.delete", {"path": f"{guest_dir}/tree/d"}),
                              ("fs.chmod", {"path": f"{guest_dir}/tree", "mode": 0o777}),
                              ("fs.chown", {"path": f"{guest_dir}/tree", "owner": "0:1234"}))[i % 3]
            call = client.open(method, {**params, "recursive": True})
            call.pump(lambda: call.done)
            assert sh(client, 'cd "$1"; stat -c "%n %i %a %u:%g" outside outside/f', guest_dir) == before


def test_cancel(client, guest_dir):
    """It stops where it is; what is left can be deleted."""
    count = rounds(5000)
    sh(client, 'mkdir "$1"; cd "$1"; seq "$2" | xargs touch', f"{guest_dir}/d", str(count))
    call = client.open("fs.delete", {"path": f"{guest_dir}/d", "recursive": True})
    call.cancel()
    call.pump(lambda: call.done, 60)
    if call.error:
        assert call.error["code"] == "canceled"
        assert delete(client, f"{guest_dir}/d", recursive=True, missing_ok=True) <= count + 1
    assert names(client, guest_dir) == []
