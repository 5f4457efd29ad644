"""Atomic writes: who reads sees the old file or the new one, and what fails leaves nothing behind."""

import hashlib
import os

import pytest

from client import LONG, RpcError
from files import cat, code_of, mounted, names, sh, stat, write
from support import NUMBERS, error_of, eventually, rounds

OLD, NEW = NUMBERS[:300_000], NUMBERS[300_000:700_000]


@pytest.fixture(params=["old", "none"])
def target(request, client, guest_dir):
    """A path where there is a file already, or none; at the end all has to be as it was."""
    path = f"{guest_dir}/dir/it"
    sh(client, 'mkdir "$1"/dir', guest_dir)
    if request.param == "old":
        write(client, path, OLD, mode=0o640)
        before = stat(client, path, "%i %s %a %u:%g %Y %Z")
    yield path
    if request.param == "old":
        eventually(lambda: names(client, f"{guest_dir}/dir") == ["it"], "no temporary is left")
        assert stat(client, path, "%i %s %a %u:%g %Y %Z") == before and cat(client, path) == OLD
    else:
        eventually(lambda: names(client, f"{guest_dir}/dir") == [], "nothing is left")


def half(client, path, **params):
    """An fs.write that waits for more."""
    call = client.open("fs.write", {"path": path, **params})
    call.write(NEW[:200_000])
    return call


# -- what fails ----------------------------------------------------------------------------------

def test_cancel(conn, target):
    for _ in range(rounds(5)):
        call = half(conn, target)
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_cancel_at_once(conn, target):
    for _ in range(rounds(10)):
        call = conn.open("fs.write", {"path": target})
        call.cancel()
        assert error_of(call.wait).code == "canceled"


@pytest.mark.parametrize("window", [0, 10_000])
def test_disconnect(agent, target, window):
    for _ in range(rounds(5)):
        with agent.connect() as c:
            if window:
                c.hello(window=window)
            half(c, target)


def test_a_wrong_size(conn, target):
    for size in (0, len(NEW) - 1, len(NEW) + 1, 1 << 50):
        error = error_of(write, conn, target, NEW, size=size)
        assert error.code == "bad_params" and "size" in error.message, error
    for size in (0, 4, 6):
        error = error_of(conn.call, "fs.put", {"path": target, "data": b"hello", "size": size})
        assert error.code == "bad_params" and "size" in error.message, error


def test_a_wrong_hash(conn, target):
    wrong = hashlib.sha256(NEW[1:]).hexdigest()
    for error in (error_of(write, conn, target, NEW, sha256=wrong, size=len(NEW)),
                  error_of(conn.call, "fs.put", {"path": target, "data": b"hello", "sha256": wrong})):
        assert error.code == "bad_params" and "sha256" in error.message, error


def test_a_full_disk(conn, guest_dir, is_root):
    if not is_root:
        pytest.skip("mounts need root")
    with mounted(conn, f"{guest_dir}/small") as small:
        for there in (b"", OLD):
            if there:
                write(conn, f"{small}/it", there)
            for data in (NUMBERS[:2_000_000], NUMBERS[:800_000] if there else NUMBERS[:1_100_000]):
                error = error_of(write, conn, f"{small}/it", data)
                assert (error.code, error.errno) == ("ENOSPC", 28), error
                assert names(conn, small) == (["it"] if there else [])
                assert not there or cat(conn, f"{small}/it") == OLD
        sh(conn, 'head -c 700000 /dev/zero >"$1"/filler', small)
        error = error_of(conn.call, "fs.put", {"path": f"{small}/it", "data": NEW})
        assert error.code == "ENOSPC"
        [result] = conn.call("fs.write_files", {"files": [{"path": f"{small}/it", "data": NEW}]})["files"]
        assert code_of(result["error"]) == "ENOSPC"
        assert names(conn, small) == ["filler", "it"] and cat(conn, f"{small}/it") == OLD
        sh(conn, 'rm "$1"/filler', small)
        assert write(conn, f"{small}/it", NEW)["atomic"] is True
        assert cat(conn, f"{small}/it") == NEW


def test_no_inode_is_left(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("mounts need root")
    with mounted(client, f"{guest_dir}/small", "size=1m,nr_inodes=3") as small:
        sh(client, 'touch "$1"/a "$1"/b', small)
        for path in ("c", "d/e"):
            assert error_of(write, client, f"{small}/{path}", b"x").code == "ENOSPC"
        assert names(client, small) == ["a", "b"]


def test_a_read_only_file_system(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("mounts need root")
    with mounted(client, f"{guest_dir}/small") as small:
        write(client, f"{small}/it", OLD)
        sh(client, 'mount -o remount,ro "$1"', small)
        for path in ("it", "new", "new/dir/it"):
            assert error_of(write, client, f"{small}/{path}", NEW).code == "EROFS"
        assert names(client, small) == ["it"] and cat(client, f"{small}/it") == OLD


def test_the_directory_goes_meanwhile(conn, guest_dir):
    path = f"{guest_dir}/dir/it"
    sh(conn, 'mkdir "$1"/dir', guest_dir)
    call = half(conn, path, parents=False)
    sh(conn, 'rm -r "$1"/dir', guest_dir)
    call.end()
    assert error_of(call.wait).code == "ENOENT"
    assert names(conn, guest_dir) == []


def test_the_old_one_goes_meanwhile(conn, guest_dir):
    path = f"{guest_dir}/it"
    write(conn, path, OLD)
    call = half(conn, path)
    sh(conn, 'rm "$1"', path)
    call.end()
    assert call.wait()["size"] == 200_000
    assert cat(conn, path) == NEW[:200_000] and names(conn, guest_dir) == ["it"]


def test_an_exclusive_one_appears_meanwhile(conn, guest_dir):
    path = f"{guest_dir}/it"
    call = half(conn, path, exclusive=True)
    sh(conn, 'printf first >"$1"', path)
    call.end()
    assert error_of(call.wait).code == "EEXIST"
    assert cat(conn, path) == b"first" and names(conn, guest_dir) == ["it"]


# -- what is seen --------------------------------------------------------------------------------

def test_the_old_one_until_the_end(conn, client, guest_dir):
    path = f"{guest_dir}/it"
    write(conn, path, OLD)
    call = half(conn, path)
    assert cat(client, path) == OLD
    call.end()
    call.wait()
    assert cat(client, path) == NEW[:200_000]


@pytest.mark.parametrize("method", ["fs.put", "fs.write", "fs.write_files"])
def test_readers_see_all_or_nothing(agent, client, guest_dir, method):
    """Others read all the time; what they get is always one of the two."""
    path = f"{guest_dir}/it"
    old, new = OLD, NEW
    write(client, path, old)
    sums = {hashlib.sha256(data).hexdigest() for data in (old, new)}
    script = f'n=0; while [ ! -e {guest_dir}/stop ]; do sha256sum <{path} || echo gone; done'
    with agent.connect() as reader, agent.connect() as other:
        seen = other.open("proc.exec", {"cmd": script})
        for i in range(rounds(40)):
            data = (new, old)[i % 2]
            if method == "fs.write":
                write(client, path, data)
            elif method == "fs.put":
                client.call("fs.put", {"path": path, "data": data})
            else:
                [result] = client.call("fs.write_files", {"files": [{"path": path, "data": data}]})["files"]
                assert result["size"] == len(data)
            calls = [reader.open("fs.get", {"path": path}), reader.open("fs.hash", {"path": path})]
            assert calls[0].wait()["data"] in (old, new)
            assert calls[1].wait()["sha256"] in sums
        sh(client, 'touch "$1"/stop', guest_dir)
        assert seen.wait(LONG)["code"] == 0
        lines = {line.split()[0] for line in bytes(seen.stdout).decode().splitlines()}
        assert lines and lines <= sums, lines
    assert names(client, guest_dir) == ["it", "stop"]


def test_who_has_it_open_keeps_it(agent, client, guest_dir):
    path = f"{guest_dir}/it"
    write(client, path, OLD)
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.read", {"path": path})
        call.auto_credit = False
        call.read(1000)
        write(client, path, NEW)
        call.grant(1 << 20)
        call.wait()
        assert call.stdout == OLD


def test_two_at_once(client, guest_dir):
    """Whoever is last wins, whole."""
    path = f"{guest_dir}/it"
    for _ in range(rounds(10)):
        calls = [client.open("fs.write", {"path": path}) for _ in range(4)]
        for i, call in enumerate(calls):
            call.write(b"%d" % i * 100_000)
        for call in calls:
            call.end()
        for call in calls:
            assert call.wait()["atomic"] is True
        data = cat(client, path)
        assert len(data) == 100_000 and data == data[:1] * 100_000
    assert names(client, guest_dir) == ["it"]


# -- where it cannot be --------------------------------------------------------------------------

def test_a_mounted_file_is_written_in_place(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("mounts need root")
    sh(client, 'cd "$1"; printf old >source; touch it; mount --bind source it', guest_dir)
    try:
        for how in (lambda: write(client, f"{guest_dir}/it", b"new"),
                    lambda: client.call("fs.put", {"path": f"{guest_dir}/it", "data": b"new", "mode": 0o600})):
            result = how()
            assert (result["size"], result["atomic"]) == (3, False)
            assert cat(client, f"{guest_dir}/source") == b"new"
        [result] = client.call("fs.write_files", {"files": [{"path": f"{guest_dir}/it", "data": b"again"}]})["files"]
        assert result["size"] == 5 and cat(client, f"{guest_dir}/source") == b"again"
        assert names(client, guest_dir) == ["it", "source"]
    finally:
        sh(client, 'umount -l "$1"/it', guest_dir)


@pytest.mark.parametrize("sticky", ["0777", "1777", "0755"])
def test_a_file_of_another_that_one_may_write(client, guest_dir, is_root, sticky):
    """A new file would be the writer's own: the owner stays, so it is written in place."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    path = f"{guest_dir}/d/it"
    sh(client, 'mkdir "$1"; printf old >"$1"/it; chown 4321:1234 "$1"/it; chmod 666 "$1"/it; chmod "$2" "$1"',
       f"{guest_dir}/d", sticky)
    for result in (write(client, path, b"new", user="4322:4322"),
                   client.call("fs.put", {"path": path, "data": b"new", "user": "4322:4322"})):
        assert (result["size"], result["atomic"]) == (3, False)
        assert stat(client, path) == "3 666 4321:1234" and cat(client, path) == b"new"
    [result] = client.call("fs.write_files", {"user": "4322:4322", "files": [{"path": path, "data": b"again"}]})["files"]
    assert result["size"] == 5 and stat(client, path) == "5 666 4321:1234"
    assert names(client, f"{guest_dir}/d") == ["it"]


def test_a_file_of_one_s_own_in_a_directory_that_is_not(client, guest_dir, is_root):
    if not is_root:
        pytest.skip("the agent cannot change users")
    path = f"{guest_dir}/it"
    sh(client, 'printf old >"$1"; chown 4321:4321 "$1"', path)
    result = write(client, path, b"new", user="4321:4321")
    assert (result["size"], result["atomic"]) == (3, False)
    assert stat(client, path) == "3 644 4321:4321" and cat(client, path) == b"new"
    assert names(client, guest_dir) == ["it"]


def test_a_file_that_one_may_not_write_is_not_replaced(client, guest_dir, is_root):
    """Though its directory would allow it."""
    if not is_root:
        pytest.skip("the agent cannot change users")
    path = f"{guest_dir}/d/it"
    sh(client, 'mkdir "$1"; printf old >"$1"/it; chmod 777 "$1"', f"{guest_dir}/d")
    before = stat(client, path, "%i %s %a %u:%g")
    error = error_of(write, client, path, b"new", user="4321:4321")
    assert (error.code, error.path) == ("EACCES", path)
    error = error_of(client.call, "fs.put", {"path": path, "data": b"new", "user": "4321:4321"})
    assert error.code == "EACCES"
    assert stat(client, path, "%i %s %a %u:%g") == before and names(client, f"{guest_dir}/d") == ["it"]


# -- seen from outside ---------------------------------------------------------------------------

@pytest.mark.local
@pytest.mark.parametrize("way", ["atomic", "in place"])
def test_attributes_are_kept(client, guest_dir, way):
    """Extended ones, the access control list among them."""
    path = f"{guest_dir}/it"
    write(client, path, OLD)
    acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400e1100000" "04000400ffffffff" "10000600ffffffff"
                        "20000000ffffffff")     # user::rw- user:4321:r-- group::r-- mask::rw- other::---
    want = {"user.one": b"1", "user.two": bytes(range(256)), "user.empty": b"", "system.posix_acl_access": acl}
    try:
        for name, value in want.items():
            os.setxattr(path, name, value)
    except OSError as e:
        pytest.skip(f"no such attributes here: {e}")
    mode = os.stat(path).st_mode
    for data in (NEW, b"", b"x"):
        assert write(client, path, data, atomic=way == "atomic")["atomic"] is (way == "atomic")
        assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == want
        assert os.stat(path).st_mode == mode


@pytest.mark.local
def test_the_end_of_the_agent(guestd, tmp_path):
    """Asked to stop, it cleans up first."""
    daemon = guestd()
    (tmp_path / "it").write_bytes(OLD)
    with daemon.connect() as c:
        calls = [half(c, str(tmp_path / name)) for name in ("it", "new")]
        c.call("system.ping")
        assert not any(call.done for call in calls)
        daemon.stop()
    assert os.listdir(tmp_path) == ["it"] and (tmp_path / "it").read_bytes() == OLD


def test_in_place_it_is_a_beginning(agent, client, guest_dir):
    """Without `atomic` a disconnect leaves what was written until then, and nothing of the old file behind it."""
    path = f"{guest_dir}/it"
    for _ in range(rounds(5)):
        write(client, path, OLD)
        with agent.connect() as c:
            half(c, path, atomic=False)
        for _ in range(3):
            data = cat(client, path)
            assert data == OLD or NEW.startswith(data)
        assert names(client, guest_dir) == ["it"]


def test_hundreds_of_failures_leave_nothing(agent, client, guest_dir):
    path = f"{guest_dir}/it"
    for i in range(rounds(30)):
        with agent.connect() as c:
            calls = [c.open("fs.write", {"path": f"{path}{j}"}) for j in range(10)]
            for call in calls:
                call.write(NEW[:1000 * i])
            for call in calls[i % 10:]:
                call.cancel()
            if i % 2:
                for call in calls[i % 10:]:
                    with pytest.raises(RpcError):
                        call.wait()
    eventually(lambda: names(client, guest_dir) == [], "nothing is left")
