"""What is no regular file: fifos, devices, proc and sysfs. Whatever waits there, nobody else does."""

import pytest

from files import background, cat, code_of, read, sh, stat, write
from support import NUMBERS, error_of, eventually, numbers

MANY = 40       # more than there are workers


@pytest.fixture
def fifo(client, guest_dir):
    sh(client, 'mkfifo "$1"', f"{guest_dir}/fifo")
    return f"{guest_dir}/fifo"


@pytest.fixture
def victim(start):
    """A process whose files in proc may be written."""
    pid = start(argv=["sleep", "1000"])["pid"]
    return f"/proc/{pid}"


def settle(calls):
    """Cancel what has not ended by itself."""
    for call in calls:
        if not call.done:
            call.cancel()
    for call in calls:
        call.pump(lambda call=call: call.done)
        assert call.error is None or call.error["code"] in ("canceled", "ENXIO", "EINVAL", "ESPIPE", "unsupported"), call.error


# -- fifos ---------------------------------------------------------------------------------------

def test_reading_a_fifo(agent, conn, fifo):
    with background(agent, f"{{ {numbers(1_000_000)}; }} >{fifo}"):
        data, result = read(conn, fifo, hash=True)
        assert data == NUMBERS[:1_000_000] and result["size"] == 1_000_000


def test_reading_a_fifo_whose_writer_is_slow(agent, client, fifo, guest_dir):
    """It waits for more; nobody else waits."""
    script = f"exec >{fifo}; printf first; until [ -e {guest_dir}/go ]; do sleep 0.1; done; printf second"
    with background(agent, script), agent.connect() as c:
        call = c.open("fs.read", {"path": fifo})
        call.read(5)
        assert call.stdout == b"first" and not call.done
        for _ in range(3):
            client.call("fs.stat", {"path": fifo})
        client.call("fs.put", {"path": f"{guest_dir}/go", "data": b""})
        assert call.wait()["size"] == 11 and call.stdout == b"firstsecond"


@pytest.mark.parametrize("method,params", [
    ("fs.read", {}), ("fs.get", {}), ("fs.hash", {}), ("fs.grep", {"pattern": "x"}), ("fs.put", {"data": b"x"}),
    ("fs.write", {}), ("fs.write", {"append": True}), ("fs.write_files", {}), ("fs.truncate", {"size": 0})])
def test_nobody_waits_for_a_fifo_with_no_other_end(agent, client, fifo, method, params):
    """Of a method that would: it can be canceled, and however many there are, others go on."""
    params = {"files": [{"path": fifo, "data": b"x"}]} if method == "fs.write_files" else {"path": fifo, **params}
    with agent.connect() as c:
        calls = [c.open(method, params) for _ in range(MANY)]
        for call in calls:
            if method == "fs.write":
                call.write(b"x")
                call.end()
        assert client.call("fs.stat", {"path": fifo})["type"] == "fifo"
        assert client.call("fs.put", {"path": f"{fifo}.other", "data": b"x"})["size"] == 1
        settle(calls)
    assert client.call("fs.stat", {"path": fifo})["type"] == "fifo"


@pytest.mark.parametrize("how", ["fs.write", "fs.put", "fs.write_files"])
def test_writing_to_a_fifo(agent, client, fifo, guest_dir, how):
    data = NUMBERS[:1_000_000] if how == "fs.write" else NUMBERS[:400_000]
    script = f"exec 3<>{fifo}; echo ready; head -c {len(data)} <{fifo} >{guest_dir}/got; touch {guest_dir}/end"
    with background(agent, script) as info:
        eventually(lambda: client.call("proc.logs", {"id": info["id"]})["text"], "the reader is there")
        if how == "fs.write":
            result = write(client, fifo, data)
        elif how == "fs.put":
            result = client.call("fs.put", {"path": fifo, "data": data}, 60)
        else:
            [result] = client.call("fs.write_files", {"files": [{"path": fifo, "data": data}]})["files"]
        assert result["size"] == len(data) and result.get("atomic", False) is False
        eventually(lambda: client.call("fs.exists", {"path": f"{guest_dir}/end"})["exists"], "the reader has ended")
        assert cat(client, f"{guest_dir}/got") == data
    assert stat(client, fifo, "%F") == "fifo"


def test_writing_to_a_fifo_whose_reader_stalls(agent, client, fifo):
    """The client is held back, the agent is not."""
    with background(agent, f"exec 0<>{fifo}; echo ready; exec sleep 1000") as info, agent.connect() as c:
        eventually(lambda: client.call("proc.logs", {"id": info["id"]})["text"], "the reader is there")
        c.hello(window=1000)
        call = c.open("fs.write", {"path": fifo})
        with pytest.raises(TimeoutError):
            call.write(NUMBERS[:3_000_000], 2)
        client.call("fs.stat", {"path": fifo})
        assert not call.done
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_credits_begin_while_a_fifo_s_reader_stalls(agent, client, fifo):
    """What came without them waits already, and they allow as much again."""
    with background(agent, f"exec 0<>{fifo}; echo ready; exec sleep 1000") as info, agent.connect() as c:
        eventually(lambda: client.call("proc.logs", {"id": info["id"]})["text"], "the reader is there")
        call = c.open("fs.write", {"path": fifo})
        call.write(bytes(100_000))      # more than the fifo takes: the worker is busy with it
        c.call("system.ping")
        call.write(bytes(940_000))
        window = c.hello(window=1000)["window"]
        call.write(bytes(window))
        client.call("fs.stat", {"path": fifo})
        assert not call.done
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_trees_with_fifos_in_them(client, guest_dir, fifo):
    for method, params in (("fs.tree", {}), ("fs.list", {}), ("fs.find", {}), ("fs.grep", {"pattern": "x"}), ("fs.hash", {}),
                           ("fs.chmod", {"mode": 0o755, "recursive": True}), ("fs.delete", {"recursive": True})):
        client.call(method, {"path": guest_dir, **params})
    sh(client, 'mkdir -p "$1"', guest_dir)


# -- devices -------------------------------------------------------------------------------------

def test_reading_devices(conn):
    assert read(conn, "/dev/null") == (b"", {"size": 0})
    assert read(conn, "/dev/zero", length=3_000_001)[0] == bytes(3_000_001)
    first, second = (read(conn, "/dev/urandom", length=1000)[0] for _ in range(2))
    assert first != second
    assert conn.call("fs.get", {"path": "/dev/null"}) == {"data": b"", "size": 0, "eof": True}
    assert conn.call("fs.get", {"path": "/dev/zero", "length": 1 << 20})["data"] == bytes(1 << 20)


def test_endless_devices_are_canceled(agent, client):
    for method in ("fs.read", "fs.hash"):
        with agent.connect() as c:
            calls = [c.open(method, {"path": "/dev/zero"}) for _ in range(3)]
            client.call("fs.stat", {"path": "/dev/zero"})
            for call in calls:
                call.cancel()
            for call in calls:
                call.pump(lambda call=call: call.done, 60)
                assert call.error and call.error["code"] in ("canceled", "EINVAL", "unsupported")


def test_writing_to_devices(conn, client):
    before = stat(client, "/dev/null", "%F %a %u:%g %i")
    for result in (write(conn, "/dev/null", NUMBERS[:1_000_000]), conn.call("fs.put", {"path": "/dev/null", "data": b"xy"}),
                   write(conn, "/dev/null", b"z", append=True), write(conn, "/dev/null", b"z", atomic=False)):
        assert result["size"] in (1_000_000, 2, 1) and result["atomic"] is False
    [result] = conn.call("fs.write_files", {"files": [{"path": "/dev/null", "data": b"x"}]})["files"]
    assert result["size"] == 1
    assert stat(client, "/dev/null", "%F %a %u:%g %i") == before


def test_a_full_device(conn):
    for error in (error_of(write, conn, "/dev/full", NUMBERS[:1_000_000]),
                  error_of(conn.call, "fs.put", {"path": "/dev/full", "data": b"x"})):
        assert (error.code, error.path) == ("ENOSPC", "/dev/full")


def test_a_socket(client):
    path = sh(client, 'printf %s "$GUESTD_EVENTS"').decode()
    if not path:
        pytest.skip("there is none")
    for method, params in (("fs.read", {}), ("fs.get", {}), ("fs.hash", {}), ("fs.put", {"data": b"x"})):
        error = error_of(client.call, method, {"path": path, **params})
        assert error.code in ("ENXIO", "EINVAL", "unsupported"), (method, error)
    assert client.call("fs.stat", {"path": path})["type"] == "socket"


# -- proc and sysfs ------------------------------------------------------------------------------

def test_writing_to_proc(conn, client, victim, is_root):
    if not is_root:
        pytest.skip("the agent may not")
    path = f"{victim}/oom_score_adj"
    for value, result in ((b"500", write(conn, path, b"500")), (b"501", conn.call("fs.put", {"path": path, "data": b"501"})),
                          (b"502", write(conn, path, b"502", atomic=False)),
                          (b"503", conn.call("fs.put", {"path": path, "data": "503", "sync": True}))):
        assert (result["size"], result["atomic"]) == (3, False)
    assert cat(client, path) == b"503\n"
    [result] = conn.call("fs.write_files", {"files": [{"path": path, "data": b"504"}]})["files"]
    assert result["size"] == 3 and cat(client, path) == b"504\n"
    assert write(conn, path, b"505", create=False)["size"] == 3


def test_what_proc_refuses(conn, client, victim):
    """The error is that of write(2), and tells where."""
    for error in (error_of(write, conn, f"{victim}/oom_score_adj", b"nonsense"),
                  error_of(conn.call, "fs.put", {"path": f"{victim}/oom_score_adj", "data": b"nonsense"})):
        assert (error.code, error.path) == ("EINVAL", f"{victim}/oom_score_adj")
    [result] = conn.call("fs.write_files", {"files": [{"path": f"{victim}/oom_score_adj", "data": b"nonsense"}]})["files"]
    assert code_of(result["error"]) == "EINVAL"
    for path in ("/proc/no-such-file", f"{victim}/new", "/proc/new/file"):
        assert error_of(write, conn, path, b"x").code in ("ENOENT", "EACCES", "EPERM")
    assert error_of(write, conn, "/proc/version", b"x").code in ("EACCES", "EIO", "EPERM", "EROFS")


def test_reading_what_needs_one_read(conn, client, start):
    """Environment and arguments of a process, of several pages."""
    info = start(argv=["sleep", "1000"], env={f"N{i}": "x" * 1000 for i in range(200)})
    data, _ = read(conn, f"/proc/{info['pid']}/environ")
    assert len(data) > 200_000 and data.count(b"\0") >= 200
    assert data == cat(client, f"/proc/{info['pid']}/environ")


def test_a_process_that_is_gone(conn, client, start):
    info = start(argv=["true"])
    client.call("proc.wait", {"id": info["id"]})
    for method in ("fs.read", "fs.get", "fs.stat"):
        assert error_of(conn.call, method, {"path": f"/proc/{info['pid']}/status"}).code in ("ENOENT", "ESRCH")


def test_sysfs(conn, client):
    entries = conn.call("fs.list", {"path": "/sys"})["entries"]
    assert {"kernel", "devices"} <= {e["name"] for e in entries}
    assert conn.call("fs.hash", {"path": "/sys/kernel/uevent_seqnum"})["size"] > 0
    path = "/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan"
    if client.call("proc.run", {"argv": ["test", "-w", path]})["code"]:
        pytest.skip("nothing to write to")
    old = cat(client, path)
    result = write(conn, path, old)
    assert (result["size"], result["atomic"]) == (len(old), False) and cat(client, path) == old
