"""clients/python/guestd.py against an agent, and against what pretends to be one."""

import asyncio
import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import tarfile
import threading
from pathlib import Path

import pytest

from client import LONG, TIMEOUT
from clients import Proxy, frame
from support import BIN, NUMBERS, eventually, numbers, rounds, unique

import guestd as sdk    # noqa: E402, found by clients.py


@pytest.fixture
def host(agent):
    with sdk.Client(agent.endpoint, timeout=LONG) as host:
        yield host


def outputs(process):
    """Both outputs, byte for byte in their order."""
    out = {1: bytearray(), 2: bytearray()}
    for chunk in process:
        assert chunk.offset == len(out[chunk.channel]) and not chunk.lost, chunk
        out[chunk.channel] += chunk.data
    return bytes(out[1]), bytes(out[2])


# -- processes -------------------------------------------------------------------------------------

def test_input_both_outputs_and_the_exit(host):
    with host.exec("cat; echo err >&2; exit 3", stdin=True) as process:
        assert process.write(b"some input\n") == 11
        process.end()
        assert outputs(process) == (b"some input\n", b"err\n")
    assert (process.exit["code"], process.exit["signal"]) == (3, None)


def test_communicate_with_more_than_a_window_each_way(host):
    data = random.Random(1).randbytes(rounds(3_000_000))
    with host.exec(["cat"], stdin=True) as process:
        assert process.communicate(data) == (data, b"")
    assert process.exit["code"] == 0


def test_run_and_errors(host):
    result = host.run(["sh", "-c", "cat; exit 7"], input=b"\0\xff", env={"A": "b"})
    assert (result["code"], result["stdout"]) == (7, b"\0\xff")
    with pytest.raises(sdk.RpcError) as e:
        host.exec("true", cwd="/no/such/directory")
    assert (e.value.code, e.value.stage, e.value.errno) == ("ENOENT", "chdir", 2) and e.value.message
    with pytest.raises(sdk.RpcError) as e:
        host.call("fs.stat", paht="/")
    assert e.value.code == "bad_params" and "paht" in e.value.message
    with pytest.raises(ValueError, match="stdin"), host.exec("true") as process:
        process.write(b"nobody would read it")


def test_leaving_stops_a_process_and_detaches_from_another(host, alive):
    with host.exec(["sleep", "1000"]) as process:
        pass
    assert host.wait(process.id)["signal"] == signal.SIGTERM
    started = host.start("echo it; read x", stdin=True)
    with host.attach(started["id"]) as process:
        assert process.next(TIMEOUT).data == b"it\n"
    assert alive(started["pid"])
    with host.attach(started["id"], stdout_from=1) as process:
        assert process.next(TIMEOUT) == (1, b"t\n", 1, 0)
        process.end()
        assert process.wait()["code"] == 1


def test_an_iterator_that_nobody_holds_is_canceled(host):
    process = host.exec("while :; do echo flood; done")
    for chunk in process:
        break
    process_id = process.id
    del process, chunk
    assert host.wait(process_id)["signal"] == signal.SIGTERM


def test_timeout_cancels(host):
    call_id = unique("python")
    with pytest.raises(sdk.Timeout):
        host.call("proc.run", cmd="exec sleep 1000", id=call_id, timeout=0.2)
    assert host.wait(call_id)["signal"] == signal.SIGTERM
    with host.exec(["cat"], stdin=True) as process:
        with pytest.raises(sdk.Timeout):
            process.next(0.05)
        process.write(b"late")
        assert process.next(TIMEOUT).data == b"late", "a wait that was given up costs nothing"


def test_a_terminal(host):
    with host.pty("stty size; read x; stty size", rows=10, cols=20) as process:
        first = b""
        while not first.endswith(b"\r\n"):
            first += process.next(TIMEOUT).data
        assert first == b"10 20\r\n"
        process.resize(30, 40)
        process.write(b"\n")
        assert b"".join(c.data for c in process).endswith(b"30 40\r\n")
    assert process.exit["code"] == 0


def test_a_stalled_stream_does_not_stall_a_call(host):
    with host.exec("while :; do echo flood; done") as flood:
        flood.next(TIMEOUT)
        for _ in range(20):
            assert host.ping()["time_us"] > 0


@pytest.mark.local
@pytest.mark.parametrize("window", [4096, 1 << 20])
def test_64_mib_of_output(agent, window):
    """Within its credit all of it comes, in order."""
    size = (rounds(64) << 20) if window > 4096 else 3_000_000
    chunk = NUMBERS[:6_000_000]
    with sdk.Client(agent.endpoint, window=window) as host:
        whole, rest = divmod(size, len(chunk))
        with host.exec(f"seq 1 999999 | head -c {len(chunk)} >$F; for i in $(seq {whole}); do cat $F; done; head -c {rest} $F; rm $F",
                        env={"F": f"/tmp/{unique('flood')}"}) as process:
            sha256 = hashlib.sha256()
            for piece in process:
                sha256.update(piece.data)
        assert process.offsets[1] == size == process.exit["stdout_bytes"]
        expected = hashlib.sha256()
        for _ in range(whole):
            expected.update(chunk)
        expected.update(chunk[:rest])
        assert sha256.digest() == expected.digest()


# -- connections that are lost ---------------------------------------------------------------------

@pytest.mark.local
def test_attached_again_without_a_lost_byte(agent, tmp_path):
    """The connection is cut at places that nobody chose, in the middle of frames, and never on purpose between two."""
    size, events = rounds(5_000_000), []
    cuts = [random.Random(2).randrange(2_000, size // 4) for _ in range(8)]
    with Proxy(tmp_path, agent.endpoint[5:], cuts) as proxy, sdk.Client(proxy.endpoint) as host:
        with host.exec(f"{numbers(size)}; echo err >&2; exit 5", ring=16 << 20, on_event=events.append) as process:
            assert outputs(process) == (NUMBERS[:size], b"err\n")
        assert process.exit["code"] == 5
        assert len([e for e in events if e["type"] == "reattached"]) >= 3


@pytest.mark.local
def test_requests_that_were_lost_run_once(agent, tmp_path, guest_dir):
    """hello is answered, and the connection cut right behind it: the process may have begun or not."""
    script = f"echo ran >>{guest_dir}/log; echo done"
    hello = len(frame([1, 1, None, sdk_hello(agent)])) - 20
    with Proxy(tmp_path, agent.endpoint[5:], [hello + n for n in (25, 40, 60, 90)]) as proxy:
        with sdk.Client(proxy.endpoint) as host:
            with host.exec(script) as process:
                assert outputs(process) == (b"done\n", b"")
    with sdk.Client(agent.endpoint) as host:
        assert host.read(f"{guest_dir}/log") == b"ran\n"


def sdk_hello(agent):
    with agent.connect() as c:
        return c.hello(window=1 << 20)


@pytest.mark.local
def test_start_that_was_lost_runs_once(agent, tmp_path, guest_dir):
    with Proxy(tmp_path, agent.endpoint[5:]) as proxy, sdk.Client(proxy.endpoint) as host:
        calls, answer = [], sdk.AsyncCall.result

        async def cut_once(call):
            calls.append(call)
            if len(calls) == 1:
                await asyncio.sleep(0.3)    # it arrives, but nobody will hear of it
                proxy.cut()
                call._pending.done = False
                raise sdk.Disconnected("cut")
            return await answer(call)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sdk.AsyncCall, "result", cut_once)
            info = host.start(f"echo ran >>{guest_dir}/log")
        assert host.wait(info["id"])["code"] == 0
        assert host.read(f"{guest_dir}/log") == b"ran\n"


@pytest.mark.local
def test_calls_of_a_lost_connection_fail_and_the_next_ones_do_not(agent, tmp_path):
    with Proxy(tmp_path, agent.endpoint[5:]) as proxy, sdk.Client(proxy.endpoint) as host:
        failed = []

        def wait():
            try:
                host.call("proc.run", cmd="sleep 1000", on_disconnect="kill")
            except sdk.Disconnected as e:
                failed.append(e)
        waiting = threading.Thread(target=wait)
        waiting.start()
        host.run("true")
        proxy.cut()
        waiting.join(LONG)
        assert failed
        assert host.run("echo on")["stdout"] == b"on\n"
    with Proxy(tmp_path / unique_dir(tmp_path), agent.endpoint[5:]) as proxy:
        with sdk.Client(proxy.endpoint, reconnect=False) as host:
            proxy.cut()
            with pytest.raises(sdk.Disconnected):
                eventually(lambda: host.ping() is None, "it is lost")


def unique_dir(parent):
    name = unique("dir")
    (parent / name).mkdir()
    return name


@pytest.mark.local
def test_an_agent_that_was_started_anew_is_told(guestd, tmp_path):
    first = guestd(directory=tmp_path)
    with sdk.Client(first.endpoint) as host:
        process = host.exec("echo begin; sleep 1000", on_disconnect="keep")
        assert process.next(TIMEOUT).data == b"begin\n"
        first.stop()
        guestd(directory=tmp_path)
        with pytest.raises((sdk.RpcError, sdk.GuestdError)) as e:
            process.next(LONG)
        assert not isinstance(e.value, (sdk.Disconnected, sdk.Timeout)), e.value
        with contextlib.suppress(sdk.GuestdError):
            process.close()


@pytest.mark.local
def test_a_client_waits_for_its_guest(guestd, tmp_path):
    started = []
    timer = threading.Timer(0.5, lambda: started.append(guestd(directory=tmp_path)))
    timer.start()
    with sdk.Client(f"unix:{tmp_path}/g.sock") as host:
        assert host.hello["agent"] == "guestd"
    timer.join()
    with pytest.raises(sdk.Disconnected, match="no-such"):
        sdk.Client(f"unix:{tmp_path}/no-such", retry=0.1).connect()
    with pytest.raises(ValueError, match="endpoint"):
        sdk.Client("tcp:1.2.3.4:5").connect()


@pytest.mark.local
def test_an_agent_that_is_silent_is_lost(guestd):
    daemon = guestd()
    with sdk.Client(daemon.endpoint, keepalive=0.2, reconnect=False) as host:
        with host.exec(["sleep", "1"]) as process:     # both sides say a word now and then
            assert process.wait()["code"] == 0
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            with pytest.raises(sdk.Disconnected, match="silent"):
                host.ping()
        finally:
            os.kill(daemon.pid, signal.SIGCONT)


@pytest.mark.local
def test_a_token(guestd, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    daemon = guestd("--token-file", token)
    with sdk.Client(daemon.endpoint, token="secret") as host:
        assert host.run("echo in")["stdout"] == b"in\n"
    with pytest.raises(sdk.RpcError) as e:
        sdk.Client(daemon.endpoint, token="wrong").connect()
    assert e.value.code == "unauthorized"


# -- files, archives, watches ----------------------------------------------------------------------

def test_files(host, guest_dir):
    path = f"{guest_dir}/sub/file"
    result = host.write(path, b"content", mode=0o600)
    assert (result["size"], result["sha256"]) == (7, hashlib.sha256(b"content").hexdigest())
    assert host.read(path, hash=True) == b"content" and host.read(path, offset=3, length=2) == b"te"
    assert host.stat(path)["mode"] == 0o600 and host.exists(path)["type"] == "file"
    done = host.write_files([{"path": f"{guest_dir}/a", "data": b"1"}, {"path": f"{guest_dir}/a/below", "data": b""}])["files"]
    assert (done[0]["path"], done[0]["size"]) == (f"{guest_dir}/a", 1) and done[1]["error"]["code"]
    host.move(f"{guest_dir}/a", f"{guest_dir}/b")
    assert [e["name"] for e in host.list(guest_dir)["entries"]] == ["b", "sub"]
    odd = os.fsencode(guest_dir) + b"/\xff"
    host.write(os.fsdecode(odd), b"odd")
    assert host.read(Path(os.fsdecode(odd))) == host.read(odd) == b"odd"


@pytest.mark.local
def test_32_mib_up_and_down(host, guest_dir, tmp_path):
    data = random.Random(3).randbytes(rounds(32) << 20)
    local = tmp_path / "local"
    local.write_bytes(data)
    with local.open("rb") as file:
        assert host.write(f"{guest_dir}/big", file)["sha256"] == hashlib.sha256(data).hexdigest()
    with host.read_stream(f"{guest_dir}/big", hash=True) as stream, local.open("wb") as file:
        assert stream.save(file)["size"] == len(data)
    assert local.read_bytes() == data
    # From the guest to the guest, with one client: what is asked for meanwhile is served.
    with host.read_stream(f"{guest_dir}/big") as stream:
        host.write(f"{guest_dir}/copy", stream)
    with host.read_stream(f"{guest_dir}/big") as stream:
        assert [stream.read(n) for n in (0, 1, 100_000, 3)] == [b"", data[:1], data[1:100_001], data[100_001:100_004]]
        assert next(iter(stream)) + stream.read() == data[100_004:] and stream.read(5) == b""
    assert host.call("fs.hash", path=f"{guest_dir}/copy")["sha256"] == hashlib.sha256(data).hexdigest()


def test_an_upload_whose_source_fails_leaves_nothing(host, guest_dir):
    def source():
        yield b"half"
        raise RuntimeError("no more")
    with pytest.raises(RuntimeError, match="no more"):
        host.write(f"{guest_dir}/half", source())
    assert host.list(guest_dir)["entries"] == []
    with pytest.raises(sdk.RpcError) as e:
        host.write(guest_dir, b"x" * 100)
    assert e.value.code == "EISDIR"


def test_bytes_that_are_not_those_that_were_sent(host, guest_dir, monkeypatch):
    class Wrong:
        def update(self, data):
            pass

        def hexdigest(self):
            return "0" * 64
    host.write(f"{guest_dir}/f", b"content")
    monkeypatch.setattr(sdk.hashlib, "sha256", Wrong)
    with pytest.raises(sdk.DigestError):
        host.read(f"{guest_dir}/f", hash=True)
    with pytest.raises(sdk.DigestError):
        host.write(f"{guest_dir}/f", b"content")


@pytest.mark.local
@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_an_archive_out_and_in(host, guest_dir, tmp_path, form):
    tree = Path(guest_dir) / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d/file").write_bytes(random.Random(4).randbytes(300_000))
    (tree / "link").symlink_to("d/file")
    os.link(tree / "d/file", tree / "hard")
    seen = []
    with host.export(str(tree), format=form, ignore=["nothing"], on_event=seen.append) as archive:
        data = archive.read()
        assert archive.result["archive_bytes"] == len(data) and archive.result["skipped"] == []
    assert all(e["type"] == "progress" for e in seen)
    ours = io.BytesIO()
    with tarfile.open(fileobj=ours, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(tree, "tree")

    def members(raw):
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            found = {}
            for m in tar:
                name = m.name.rstrip("/").removeprefix("tree").strip("./")
                body = tar.extractfile(m).read() if m.isreg() or m.islnk() else None
                found[name] = (m.issym(), m.isdir(), m.linkname if m.issym() else "", m.mode, body)
            found.pop("", None)     # the directory itself
            return found
    assert members(data) == members(ours.getvalue())
    with host.export(str(tree), format=form) as archive:       # also as the file that a library reads from
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            assert len([m for m in tar if not m.isdir()]) == 3
    host.import_(f"{guest_dir}/again", (data[i:i + 1000] for i in range(0, len(data), 1000)))
    manifests = [host.call("tar.manifest", path=f"{guest_dir}/{name}") for name in ("tree", "again")]
    assert manifests[0] == manifests[1] and manifests[0]["files"] == 3
    with pytest.raises(sdk.RpcError) as e:
        host.import_(f"{guest_dir}/broken", data[:len(data) // 2])
    assert e.value.stage == "read"


def test_a_watch(host, guest_dir):
    with host.watch(guest_dir, ignore=["*.log"]) as watch:
        assert watch.ready["type"] == "ready"
        host.run("echo 1 >a.log; echo 1 >a; mv a b", cwd=guest_dir)
        told = []
        while not told or told[-1][0] != "renamed":
            event = watch.next(LONG)
            told.append((event["type"], event["path"].rpartition("/")[2]))
    assert told[0] == ("created", "a") and told[-1] == ("renamed", "b")


@pytest.mark.local
def test_a_watch_in_a_storm_with_overflows(guestd):
    """What its events draw is the tree, also when the kernel's queue was too short."""
    daemon = guestd()
    root = daemon.dir / "root"
    root.mkdir()
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for name in ("x", "y", "keep"):
        (root / name).mkdir()
    with sdk.Client(daemon.endpoint) as host, host.watch(str(root), events=["created", "deleted", "renamed"]) as watch:
        os.kill(daemon.pid, signal.SIGSTOP)
        for i in range(queue // 2 + 50):
            (root / "x" / str(i)).touch()
            (root / "y" / str(i)).touch()
        shutil.rmtree(root / "y")
        (root / "keep").rename(root / "kept")
        os.kill(daemon.pid, signal.SIGCONT)
        picture = {str(root / name) for name in ("x", "y", "keep")}
        (root / "end").touch()

        def apply(event):
            if event["type"] == "created":
                picture.add(event["path"])
            elif event["type"] == "deleted":
                picture.discard(event["path"])
            elif event["type"] == "renamed":
                picture.discard(event["old_path"])
                picture.add(event["path"])
        while str(root / "end") not in picture or not watch.in_sync:
            apply(watch.next(LONG))
        assert watch.overflows >= 1
        assert picture == {str(p) for p in root.rglob("*")}


@pytest.mark.local
def test_who_takes_no_events_holds_up_only_himself(guestd):
    """More events than are kept: nothing more is read, and the agent makes an overflow of it."""
    daemon = guestd()
    with sdk.Client(daemon.endpoint) as host, host.subscribe("system.events", from_seq=0) as events:
        for _ in range(rounds(50)):
            host.run("for i in 1 2 3 4 5 6 7 8 9 10; do " + BIN + " emit note; done")
        assert host.ping()
        assert events.next(TIMEOUT)["seq"] == 1


@pytest.mark.local
def test_events_that_nobody_takes(agent, guest_dir):
    """They hold up the connection, and take no more memory, until their call is left or served."""
    for i in range(20_000):
        open(f"{guest_dir}/{i}", "w").close()
    with sdk.Client(agent.endpoint) as host:
        with host.open("fs.find", path=guest_dir, limit=100_000) as call:
            eventually(lambda: call._it._pending.events >= sdk.MAX_QUEUED, "many came", LONG)
            with pytest.raises(sdk.Timeout):
                host.call("system.ping", timeout=0.3)
            assert not call._it._pending.done and call._it._pending.events < 2 * sdk.MAX_QUEUED
        assert host.ping()
        with host.open("fs.find", path=guest_dir, limit=100_000) as call:
            assert len([item for item in call if isinstance(item, dict)]) == 20_000


# -- environment, network, the guest ---------------------------------------------------------------

def test_environment(host):
    name = unique("V").replace("-", "_").upper()
    assert host.env_set({name: "of the guest"})["set"] == 1
    try:
        assert host.run(f"printf %s \"${name}\"")["stdout"] == b"of the guest"
        assert name in [v["name"] for v in host.env_list()] and name in host.env_resolve()["vars"]
    finally:
        assert host.env_unset([name])["removed"] == 1


@pytest.mark.local
def test_a_tunnel_and_a_forwarded_port(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def echo():
            for _ in range(2):
                conn = server.accept()[0]
                with conn:
                    data = b""
                    while piece := conn.recv(65536):
                        data += piece
                    conn.sendall(data[::-1])
        threading.Thread(target=echo, daemon=True).start()
        data = random.Random(5).randbytes(1_000_000)
        with host.dial(port) as tunnel:
            tunnel.send(data)
            tunnel.end()
            got = b""
            while piece := tunnel.recv():
                got += piece
        assert got == data[::-1]
        failed = []
        with host.forward(port, on_error=failed.append) as forward, socket.create_connection(forward.address) as conn:
            conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
            got = b""
            while piece := conn.recv(65536):
                got += piece
        assert got == data[::-1] and not failed
    with pytest.raises(sdk.RpcError) as e:
        host.dial(port)
    assert (e.value.code, e.value.stage) == ("ECONNREFUSED", "connect")


@pytest.mark.local
def test_freeze_thaw_resumed(guestd):
    daemon = guestd()
    with sdk.Client(daemon.endpoint) as host:
        assert host.freeze(timeout_ms=60000)["filesystems"] == []
        with pytest.raises(sdk.RpcError) as e:
            host.run("true")
        assert e.value.code == "frozen"
        host.thaw()
        # The machine's clock is not ours to set.
        first = host.resumed("a-key", time_us=None, entropy=None)
        assert host.resumed("a-key", time_us=None, entropy=None) == first and first["epoch"] == 1


# -- asyncio ---------------------------------------------------------------------------------------

def test_many_things_at_once(agent, guest_dir):
    async def main():
        async with sdk.AsyncClient(agent.endpoint) as host:
            async def one(i):
                async with await host.exec(f"cat; exit {i}", stdin=True) as process:
                    out, _ = await process.communicate(f"{i}".encode() * 1000)
                    return out, process.exit["code"]
            results = await asyncio.gather(*(one(i) for i in range(rounds(20))))
            assert results == [(f"{i}".encode() * 1000, i) for i in range(rounds(20))]

            async def source():
                for i in range(10):
                    yield f"{i}".encode()
            await host.write(f"{guest_dir}/f", source())
            assert await host.read(f"{guest_dir}/f") == b"0123456789"
            task = asyncio.ensure_future(host.call("proc.run", cmd="exec sleep 1000", id=(it := unique("task"))))
            while not any(p["id"] == it for p in await host.processes()):
                await asyncio.sleep(0.02)
            task.cancel()
            assert (await host.wait(it))["signal"] == signal.SIGTERM, "a task that is canceled cancels its call"
    asyncio.run(main())


def test_a_client_of_many_threads(host):
    out = {}

    def one(i):
        for _ in range(5):
            out.setdefault(i, []).append(host.run(f"echo {i}")["stdout"])
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG)
    assert out == {i: [f"{i}\n".encode()] * 5 for i in range(8)}
