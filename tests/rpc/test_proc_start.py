"""proc.start: a process that runs without a call; ids that make a retry harmless."""

import pytest

from client import LONG
from support import NUMBERS, assert_exit, error_of, eventually, go, has_written, info_of, numbers, rounds, unique


def wait(client, process_id):
    return client.call("proc.wait", {"id": process_id})


def output(client, process_id):
    """All of its output that is kept, once it has ended."""
    call = client.open("proc.attach", {"id": process_id})
    call.wait(LONG)
    return bytes(call.stdout), bytes(call.stderr)


# -- the answer ----------------------------------------------------------------------------------

def test_the_answer_tells_of_the_process(client, start):
    process_id, label = unique("start"), unique("a label")
    before = client.call("system.ping")["time_us"]
    info = start(cmd="read x; exit 3", stdin=True, id=process_id, label=label, cwd="/proc")
    after = client.call("system.ping")["time_us"]
    assert info["id"] == process_id and info["label"] == label
    assert type(info["pid"]) is int and info["pid"] > 1
    assert info["argv"] == ["/bin/sh", "-c", "read x; exit 3"] and info["cwd"] == "/proc"
    assert info["status"] == "running" and info.get("exit") is None
    assert info["pty"] is False and info["target"] in ("sandbox", "computer")
    assert before - 1000 <= info["started_us"] <= after + 1000
    assert (info["stdout_offset"], info["stderr_offset"]) == (0, 0)
    name = client.call("proc.run", {"cmd": 'echo "$USER"'})["stdout"].decode().strip()
    assert info["user"] == name


def test_it_is_answered_while_the_process_runs(client, start, alive):
    info = start(argv=["sleep", "60"])
    assert alive(info["pid"])
    assert info["argv"] == ["sleep", "60"] and info.get("label") is None
    assert isinstance(info["id"], str) and info["id"]


def test_the_pid_is_that_of_the_program(client, start):
    info = start(cmd="echo $$")
    wait(client, info["id"])
    assert output(client, info["id"]) == (b"%d\n" % info["pid"], b"")


def test_only_the_response_comes(client):
    call = client.open("proc.start", {"cmd": "echo hi; echo ho >&2"})
    info = call.wait()
    wait(client, info["id"])
    assert call.kinds == [1] and client.strays == []


def test_when_it_has_exited_the_info_holds_the_exit(client, start):
    info = start(cmd="echo out; echo error >&2; exit 3")
    result = assert_exit(wait(client, info["id"]), code=3)
    after = info_of(client, info["id"])
    assert after["status"] == "exited" and after["exit"] == result
    assert (after["stdout_offset"], after["stderr_offset"]) == (4, 6)
    for name in ("id", "pid", "argv", "cwd", "user", "target", "pty", "started_us"):
        assert after[name] == info[name], name


# -- failures ------------------------------------------------------------------------------------

@pytest.mark.parametrize("spawn, code, stage", [
    ({"argv": ["/no/such/program"]}, "ENOENT", "exec"),
    ({"argv": ["no-such-program"]}, "ENOENT", "exec"),
    ({"argv": ["/proc"]}, "EACCES", "exec"),
    ({"argv": ["true"], "cwd": "/no/such/dir"}, "ENOENT", "chdir"),
    ({"argv": ["true"], "user": "no-such-user"}, "not_found", "user"),
    ({"argv": []}, "bad_params", None),
    ({}, "bad_params", None),
    ({"argv": ["true"], "cmd": "true"}, "bad_params", None),
    ({"argv": ["true"], "on_disconnect": "stay"}, "bad_params", None),
], ids=repr)
def test_a_process_that_cannot_start_is_an_error(client, spawn, code, stage):
    process_id = unique("start-fails")
    e = error_of(client.call, "proc.start", spawn | {"id": process_id})
    assert (e.code, e.stage) == (code, stage)
    assert info_of(client, process_id) is None
    assert client.call("proc.start", {"argv": ["true"], "id": process_id})["id"] == process_id, "its id stayed free"


# -- ids -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["proc.start", "proc.run"])
def test_a_known_id_answers_exists(client, start, guest_dir, method):
    """While it runs and afterwards; the other parameters need not be the same."""
    spawn = {"id": unique("start-again"), "stdin": True, "cmd": f"echo once >>{guest_dir}/runs; read x; exit 5"}
    start(**spawn)
    retry = spawn if method == "proc.start" else {k: v for k, v in spawn.items() if k != "stdin"}
    assert error_of(client.call, method, retry).code == "exists"
    assert error_of(client.call, method, {"argv": ["true"], "id": spawn["id"]}).code == "exists"
    go(client, spawn["id"])
    assert wait(client, spawn["id"])["code"] == 5
    assert error_of(client.call, method, retry).code == "exists"
    assert client.call("proc.run", {"argv": ["cat", f"{guest_dir}/runs"]})["stdout"] == b"once\n"


def test_an_exec_with_a_known_id_attaches(client, agent, start, guest_dir):
    """The host does not know whether its request had arrived: it asks again, and misses nothing."""
    process_id = unique("start-exec")
    info = start(id=process_id, stdin=True, cmd=f"echo once >>{guest_dir}/runs; echo begin; read x; echo end; exit 6")
    has_written(client, process_id, 6)
    with agent.connect() as c:
        call = c.open("proc.exec", {"argv": ["false"], "id": process_id})
        assert call.event("started")["pid"] == info["pid"]
        assert call.read(6) == b"begin\n"
        call.write(b"\n")
        assert_exit(call.wait(), code=6)
        assert call.stdout == b"begin\nend\n"
    assert client.call("proc.run", {"argv": ["cat", f"{guest_dir}/runs"]})["stdout"] == b"once\n"


def test_of_retries_that_race_one_starts(agent, client, guest_dir):
    connections = [agent.connect() for _ in range(4)]
    try:
        for _ in range(rounds(10)):
            process_id = unique("start-race")
            spawn = {"cmd": f"echo {process_id} >>{guest_dir}/runs", "id": process_id}
            calls = [c.open("proc.start", spawn) for c in connections for _ in range(2)]
            for call in calls:
                call.pump(lambda call=call: call.done)
            assert [c.error["code"] for c in calls if c.error] == ["exists"] * 7
            wait(client, process_id)
            assert client.call("proc.run", {"cmd": f"grep -c {process_id} {guest_dir}/runs"})["stdout"] == b"1\n"
    finally:
        for c in connections:
            c.close()


@pytest.mark.parametrize("given", [unique("with spaces / and ümlauts"), unique("x").ljust(128, "x"),
                                   unique("bytes").encode()], ids=["text", "long", "bytes"])
def test_ids_are_free_text(client, given):
    text = given.decode() if isinstance(given, bytes) else given
    info = client.call("proc.start", {"argv": ["true"], "id": given, "label": given})
    assert info["id"] == info["label"] == text
    assert wait(client, given)["code"] == 0


# -- on its own ----------------------------------------------------------------------------------

def test_it_outlives_the_connection_that_started_it(agent, client, alive):
    process_id = unique("start-lives")
    with agent.connect() as c:
        info = c.call("proc.start", {"cmd": "echo before; read x; echo after; exit 9", "stdin": True, "id": process_id})
    assert info_of(client, process_id)["status"] == "running" and alive(info["pid"])
    go(client, process_id)
    assert_exit(wait(client, process_id), code=9)
    assert output(client, process_id) == (b"before\nafter\n", b"")


def test_its_output_is_read_though_nobody_listens(client, start):
    """Far more than any buffer holds: the oldest bytes are overwritten, counted, and the process ends."""
    size = 3_000_000
    info = start(cmd=f"{numbers(size)}; {numbers(size)} >&2", ring=65536)
    result = client.call("proc.wait", {"id": info["id"]}, 60)
    assert result["code"] == 0 and result["stdout_bytes"] == result["stderr_bytes"] == size
    stdout, stderr = output(client, info["id"])
    for stream, kept in (("stdout", stdout), ("stderr", stderr)):
        assert 65536 <= len(kept) < size and NUMBERS[:size].endswith(kept)
        assert result[f"{stream}_dropped"] == size - len(kept)


def test_open_input_stays_open(client, start):
    info = start(argv=["cat"], stdin=True)
    assert error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 500}).code == "timeout"
    client.call("proc.input", {"id": info["id"], "data": b"late", "close": True})
    assert wait(client, info["id"])["code"] == 0
    assert output(client, info["id"]) == (b"late", b"")


def test_merge(client, start):
    info = start(cmd="for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done", merge=True)
    assert wait(client, info["id"])["stderr_bytes"] == 0
    assert output(client, info["id"]) == ("".join(f"out {i}\nerr {i}\n" for i in range(1, 6)).encode(), b"")


def test_a_timeout_needs_no_call(client, start, alive):
    info = start(cmd="sleep 60 & wait", timeout_ms=500)
    result = assert_exit(wait(client, info["id"]), signal=15, signal_name="SIGTERM")
    assert result["timed_out"] is True and not alive(info["pid"])


def test_two_hundred_at_once(client):
    calls = [client.open("proc.start", {"cmd": f"echo {i}; exit {i}"}) for i in range(rounds(200))]
    infos = [call.wait(LONG) for call in calls]
    for i, info in enumerate(infos):
        assert client.call("proc.wait", {"id": info["id"]}, 60)["code"] == i
        assert output(client, info["id"])[0] == b"%d\n" % i


# -- on_disconnect -------------------------------------------------------------------------------

def test_on_disconnect_kill_ends_the_tree_with_its_connection(agent, alive):
    with agent.connect() as c:
        info = c.call("proc.start", {"cmd": "sleep 61 & echo $!; setsid sleep 62 & echo $!; wait",
                                     "on_disconnect": "kill"})
        call = c.open("proc.attach", {"id": info["id"]})
        call.pump(lambda: call.stdout.count(b"\n") == 2, what="two children")
        pids = [info["pid"], *map(int, call.stdout.split())]
        assert all(map(alive, pids)), "as long as the connection lasts"
    eventually(lambda: not any(map(alive, pids)), "the tree is gone")


def test_on_disconnect_kill_looks_at_no_other_connection(agent, client, start, alive):
    with agent.connect() as c:
        info = start(argv=["sleep", "60"], on_disconnect="kill")
        c.call("proc.list")
    for _ in range(5):
        client.call("system.ping")
    assert alive(info["pid"]), "its own is still there"


def test_on_disconnect_kill_spares_what_somebody_is_attached_to(agent, client):
    with agent.connect() as c:
        info = c.call("proc.start", {"cmd": "read x; echo read", "stdin": True, "on_disconnect": "kill"})
        call = client.open("proc.attach", {"id": info["id"]})
        call.event("attached")
    # Whoever is dropped is noticed before a later connection is served.
    with agent.connect() as c:
        assert error_of(c.call, "proc.wait", {"id": info["id"], "timeout_ms": 1000}).code == "timeout"
    call.write(b"\n")
    assert_exit(call.wait(), code=0)
    assert call.stdout == b"read\n"


def test_on_disconnect_keep_is_the_default(agent, client, start):
    for more in ({}, {"on_disconnect": "keep"}):
        with agent.connect() as c:
            info = c.call("proc.start", {"cmd": "read x; exit 4", "stdin": True} | more)
        assert error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 300}).code == "timeout"
        go(client, info["id"])
        assert wait(client, info["id"])["code"] == 4
