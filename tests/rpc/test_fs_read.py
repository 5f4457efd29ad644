"""fs.read and fs.get: what is in a file?"""

import hashlib

import pytest

from client import DATA, LONG, MAX_FRAME, RESPONSE
from files import SIZES, read, sh
from support import NUMBERS, error_of, numbers, rounds

MIB = 1 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def file(client, guest_dir):
    """A file that holds the first `size` bytes of NUMBERS."""
    def make(size):
        sh(client, f'({numbers(size)}) >"$1"', f"{guest_dir}/file")
        return f"{guest_dir}/file"
    return make


# -- fs.read -------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_all_of_it(conn, file, size):
    data, result = read(conn, file(size))
    assert data == NUMBERS[:size] and result["size"] == size
    assert "sha256" not in result


@pytest.mark.parametrize("size", [0, 1, 65537, 5_000_000])
def test_with_its_hash(conn, file, size):
    data, result = read(conn, file(size), hash=True)
    assert data == NUMBERS[:size] and result["sha256"] == sha256(data)


@pytest.mark.parametrize("offset,length", [(0, 0), (0, 1), (0, 65536), (1, 65536), (65535, 2), (199_999, 1), (199_999, 100),
                                           (200_000, 1), (200_001, 5), (1 << 40, 1), (0, 1 << 52), (0, 200_000),
                                           (100_000, None), (200_000, None), (5_000_000, None), (3, 150_000)])
def test_a_part(conn, file, offset, length):
    params = {"offset": offset} | ({} if length is None else {"length": length})
    want = NUMBERS[:200_000][offset:] if length is None else NUMBERS[:200_000][offset:offset + length]
    data, result = read(conn, file(200_000), hash=True, **params)
    assert data == want and result == result | {"size": len(want), "sha256": sha256(want)}


# What is large goes past the agent, in pages: their bounds, and those of the pipes, are where bytes get lost.

@pytest.mark.parametrize("offset,length", [(0, None), (0, 262_145), (0, 524_288), (0, 524_289), (0, 1_048_577), (1, None),
                                           (4095, 2_000_000), (4096, 1_048_576), (4097, 524_288), (65_535, 600_001),
                                           (2_700_000, 300_000), (2_700_001, 1 << 52)])
def test_a_part_of_a_large_one(conn, file, offset, length):
    params = {} if length is None else {"length": length}
    want = NUMBERS[:3_000_000][offset:] if length is None else NUMBERS[:3_000_000][offset:offset + length]
    data, result = read(conn, file(3_000_000), offset=offset, **params)
    assert data == want and result == {"size": len(want)}


@pytest.mark.parametrize("window", [700, 4096, 4097, 65_535, 65_537, 1 << 30])
def test_a_large_one_in_the_client_s_pieces(agent, file, window):
    with agent.connect() as c:
        c.hello(window=window)
        size = 300_000 if window < 4096 else 1_500_000
        assert read(c, file(size))[0] == NUMBERS[:size]


def test_a_large_one_in_small_frames(agent, file):
    path = file(600_000)
    with agent.connect() as c:
        c.hello(max_frame=1024)
        assert read(c, path)[0] == NUMBERS[:600_000]
        assert c.largest_frame <= 1024


def test_other_calls_beside_large_ones(conn, file):
    path = file(2_000_000)
    calls = [conn.open("fs.read", {"path": path, "offset": i}) for i in range(4)]
    for i in range(50):
        assert conn.call("fs.get", {"path": path, "offset": i, "length": 20})["data"] == NUMBERS[i:i + 20]
    for i, call in enumerate(calls):
        assert call.wait(LONG)["size"] == 2_000_000 - i and call.stdout == NUMBERS[i:2_000_000]


def test_more_large_ones_than_have_pipes(agent, file):
    path = file(600_000)
    with agent.connect() as c:
        c.hello(window=5000)
        calls = [c.open("fs.read", {"path": path, "offset": i}) for i in range(rounds(80))]
        for call in calls:
            call.auto_credit = False
        for call in calls:
            call.read(5000)
        for call in calls:
            call.grant(1 << 20)
        for i, call in enumerate(calls):
            assert call.wait(LONG)["size"] == 600_000 - i and call.stdout == NUMBERS[i:600_000]


def test_a_large_one_that_grows_meanwhile(agent, client, guest_dir):
    path = f"{guest_dir}/grows"
    client.call("fs.put", {"path": path, "data": NUMBERS[:500_001]})
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.read", {"path": path})
        call.auto_credit = False
        call.read(1000)
        client.call("fs.put", {"path": path, "data": NUMBERS[500_001:1_400_000], "append": True})
        call.grant(1 << 30)
        # Two blocks were there before it grew, at most: they hold its end or not.
        size = call.wait()["size"]
        assert size in (500_001, 1_400_000) and call.stdout == NUMBERS[:size]


def test_the_response_is_last(conn, file):
    call = conn.open("fs.read", {"path": file(1_000_000)})
    call.wait()
    assert call.kinds[-1] == RESPONSE and call.kinds.count(RESPONSE) == 1 and DATA in call.kinds


def test_every_byte(conn, client, guest_dir):
    data = bytes(range(256)) * 1000
    client.call("fs.put", {"path": f"{guest_dir}/b", "data": data})
    assert read(conn, f"{guest_dir}/b")[0] == data
    assert client.call("fs.get", {"path": f"{guest_dir}/b"})["data"] == data


def test_holes_are_zeros(conn, client, guest_dir):
    path = f"{guest_dir}/sparse"
    sh(client, 'printf start >"$1"; truncate -s 5000000 "$1"; printf end >>"$1"', path)
    data, _ = read(conn, path, hash=True)
    assert len(data) == 5_000_003 and data.rstrip(b"end").rstrip(b"\0") == b"start" and data.endswith(b"\0end")


def test_beyond_four_gigabytes(conn, client, guest_dir):
    path = f"{guest_dir}/sparse"
    sh(client, 'truncate -s 6000000000 "$1"; printf end >>"$1"', path)
    assert read(conn, path, offset=5_999_999_998)[0] == b"\0\0end"
    got = conn.call("fs.get", {"path": path, "offset": 5_999_999_998})
    assert got["data"] == b"\0\0end" and got["eof"] is True


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/status", "/proc/mounts", "/sys/kernel/mm/transparent_hugepage/enabled",
                                  "/proc/sys/kernel/ostype", "/proc/kallsyms"])
def test_files_without_a_size(conn, client, path):
    """proc and sysfs say 0, or 4096, and have more or less."""
    if not client.call("fs.exists", {"path": path})["exists"]:
        pytest.skip("not in this kernel")
    data, result = read(conn, path, hash=True)
    assert data and result["sha256"] == sha256(data)
    if path in ("/proc/version", "/proc/sys/kernel/ostype"):
        assert data == sh(client, 'cat "$1"', path)
        got = client.call("fs.get", {"path": path})
        assert got["data"] == data and got["eof"] is True
        assert client.call("fs.hash", {"path": path}) == {"sha256": sha256(data), "size": len(data)}
        assert read(conn, path, offset=2, length=3)[0] == data[2:5]
        assert client.call("fs.get", {"path": path, "offset": 2, "length": 3})["data"] == data[2:5]


def test_through_links(conn, client, file, guest_dir):
    file(1000)
    sh(client, 'cd "$1"; ln -s file one; ln -s "$1/one" two; ln -s none dangling; ln -s loop loop', guest_dir)
    assert read(conn, f"{guest_dir}/two")[0] == NUMBERS[:1000]
    assert conn.call("fs.get", {"path": f"{guest_dir}/two"})["data"] == NUMBERS[:1000]
    for method in ("fs.read", "fs.get"):
        for name, code in (("dangling", "ENOENT"), ("loop", "ELOOP"), ("", "EISDIR"), ("file/", "ENOTDIR")):
            error = error_of(conn.call, method, {"path": f"{guest_dir}/{name}"})
            assert (error.code, error.path) == (code, f"{guest_dir}/{name}")


def test_nothing_beyond_the_credit(agent, client, file):
    path = file(300_000)
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.read", {"path": path, "hash": True})
        call.auto_credit = False
        call.read(1000)
        c.call("system.ping")
        assert call.stdout == NUMBERS[:1000] and not call.done
        for grant in (1, 65536, 100_000):
            already = len(call.stdout)
            call.grant(grant)
            call.read(already + grant)
            c.call("fs.stat", {"path": path})
            assert call.stdout == NUMBERS[:already + grant] and not call.done
        call.grant(1 << 30)
        assert call.wait() == {"size": 300_000, "sha256": sha256(NUMBERS[:300_000])}
        assert call.stdout == NUMBERS[:300_000]


def test_a_stalled_one_stalls_no_other(agent, client, file):
    """More than there are workers, so none of them waits for a client."""
    path = file(1_000_000)
    with agent.connect() as c:
        c.hello(window=1000)
        stalled = [c.open("fs.read", {"path": path}) for _ in range(40)]
        for call in stalled:
            call.auto_credit = False
        for call in stalled:
            call.read(1000)
        assert read(client, path)[0] == NUMBERS[:1_000_000]
        assert c.call("fs.stat", {"path": path})["size"] == 1_000_000
        for call in stalled[1:]:
            call.cancel()
        for call in stalled[1:]:
            assert error_of(call.wait).code == "canceled"
            assert call.stdout == NUMBERS[:1000]
        stalled[0].grant(1 << 20)
        assert stalled[0].wait() == {"size": 1_000_000} and stalled[0].stdout == NUMBERS[:1_000_000]


def test_many_at_once(conn, file):
    path = file(200_000)
    calls = [conn.open("fs.read", {"path": path, "offset": i * 1000}) for i in range(100)]
    for i, call in enumerate(calls):
        assert call.wait(LONG)["size"] == 200_000 - i * 1000
        assert call.stdout == NUMBERS[i * 1000:200_000]


def test_cancel(conn, client, guest_dir):
    """Of a file that takes long, and of one that does not end."""
    sh(client, 'truncate -s 100000000000 "$1"', f"{guest_dir}/huge")
    for path in (f"{guest_dir}/huge", "/dev/zero"):
        for hash in (True, False):
            call = conn.open("fs.read", {"path": path, "hash": hash})
            call.read(500_000)
            call.cancel()
            assert error_of(call.wait).code == "canceled"
            assert not call.stdout.strip(b"\0")
    conn.call("system.ping")


def test_a_file_that_is_cut_meanwhile(agent, client, guest_dir):
    """What was there is sent, and the size says how much."""
    path = f"{guest_dir}/shrinks"
    sh(client, 'head -c 2000000 /dev/zero >"$1"', path)
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("fs.read", {"path": path})
        call.auto_credit = False
        call.read(1000)
        client.call("fs.truncate", {"path": path, "size": 500_000})
        call.grant(1 << 30)
        result = call.wait()
        assert result["size"] == len(call.stdout) and 1000 <= len(call.stdout) < 2_000_000


# -- fs.get --------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [s for s in SIZES if s <= MIB])
def test_get(conn, file, size):
    path = file(size)
    assert conn.call("fs.get", {"path": path}) == {"data": NUMBERS[:size], "size": size, "eof": True}
    assert conn.largest_frame <= MAX_FRAME


def test_get_a_large_one_in_pieces(conn, file):
    path = file(5_000_000)
    data = b""
    for _ in range(6):
        got = conn.call("fs.get", {"path": path, "offset": len(data)})
        data += got["data"]
        if got["eof"]:
            break
        assert len(got["data"]) == MIB
    assert data == NUMBERS[:5_000_000] and got["eof"] is True


def test_get_a_part(client, file):
    path = file(200_000)
    for offset, length, eof in ((0, 0, False), (0, 10, False), (199_990, 9, False), (199_990, 10, True),
                                (199_990, 11, True), (200_000, 1, True), (1 << 40, 1, True)):
        got = client.call("fs.get", {"path": path, "offset": offset, "length": length})
        assert got["data"] == NUMBERS[:200_000][offset:offset + length]
        assert got["eof"] is eof, (offset, length)


def test_get_takes_a_mebibyte_at_most(client, file):
    path = file(2 * MIB)
    assert client.call("fs.get", {"path": path, "length": MIB})["data"] == NUMBERS[:MIB]
    error = error_of(client.call, "fs.get", {"path": path, "length": MIB + 1})
    assert error.code == "bad_params" and "length" in error.message


def test_get_what_the_client_s_frame_does_not_hold(agent, file):
    """The part that fits, or an error that says so; never a larger frame."""
    path = file(100_000)
    with agent.connect() as c:
        c.hello(max_frame=4096)
        assert c.call("fs.get", {"path": path, "length": 3000})["data"] == NUMBERS[:3000]
        call = c.open("fs.get", {"path": path})
        call.pump(lambda: call.done)
        if call.error:
            assert call.error["code"] == "limit" and "4096" in call.error["message"]
        else:
            got = call.result
            assert got["eof"] is False and got["data"] and got["data"] == NUMBERS[:len(got["data"])]
        assert c.largest_frame <= 4096
