"""system.events: what happens in the guest, under a rising seq; and guestd emit, which adds to it."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from client import EVENT, LONG, RESPONSE, connect
from support import BIN, REMOTE, ROOT, assert_exit, error_of, go, rounds, unique

KEPT = 1024
EMIT_MAX = 60 * 1024


def subscribe(client, **params):
    """An open system.events that is surely under way."""
    call = client.open("system.events", params)
    client.call("system.ping")
    return call


def of(call, process_id):
    """What came about one process."""
    return [e for e in call.events if e.get("id") == process_id]


def wait_for(call, process_id, kind, n=1):
    """The N-th event of that type about that process."""
    def find():
        return [e for e in of(call, process_id) if e["type"] == kind][n - 1:n]
    assert call.pump(find, what=f"{kind} of {process_id}"), call.error
    return find()[0]


def wait_for_name(call, name):
    """The user event of that name."""
    def find():
        return [e for e in call.events if e["type"] == "user" and e["name"] == name]
    assert call.pump(find, what=f"the event {name}"), call.error or call.result
    return find()[0]


def canceled(call):
    """Cancels it; nothing comes after the response."""
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert call.kinds.count(RESPONSE) == 1 and call.kinds[-1] == RESPONSE


def assert_rising(events):
    seqs = [e["seq"] for e in events]
    assert seqs == sorted(set(seqs)), "rising, and none twice"


def last_seq(client):
    """The seq of the latest event."""
    call = client.open("system.events", {"from_seq": 0})
    process_id = unique("last")
    client.call("proc.run", {"argv": ["true"], "id": process_id})
    seq = wait_for(call, process_id, "process_exited")["seq"]
    canceled(call)
    return seq


@pytest.fixture(scope="module")
def emit(shared):
    """How a shell of the guest calls guestd emit."""
    if not REMOTE:
        return f"{BIN} emit"
    with connect(os.environ["GUESTD_ENDPOINT"]) as c:
        return c.call("proc.run", {"cmd": "readlink /proc/$PPID/exe"})["stdout"].decode().strip() + " emit"


# -- what comes ----------------------------------------------------------------------------------

def test_a_process_is_started_and_exits(conn):
    events = subscribe(conn)
    process_id = unique("one")
    call = conn.open("proc.exec", {"cmd": "echo hello; exit 3", "id": process_id})
    assert_exit(call.wait(), code=3)
    pid = call.event("started")["pid"]
    exited = wait_for(events, process_id, "process_exited")
    started, last = of(events, process_id)
    assert last == exited and started["type"] == "process_started"
    assert started["pid"] == exited["pid"] == pid
    assert exited["exit"] == call.result
    assert 0 < started["seq"] < exited["seq"]
    assert call.result["started_us"] - 1_000_000 < started["time_us"] <= exited["time_us"]
    canceled(events)


@pytest.mark.parametrize("method, params", [
    ("proc.run", {"argv": ["true"]}), ("proc.exec", {"argv": ["true"]}), ("proc.start", {"argv": ["true"]}),
    ("proc.exec", {"argv": ["true"], "pty": {}})])
def test_whoever_starts_it(client, method, params):
    events = subscribe(client)
    process_id = unique("any")
    client.call(method, {"id": process_id, **params})
    assert_exit(wait_for(events, process_id, "process_exited")["exit"], code=0)
    assert [e["type"] for e in of(events, process_id)] == ["process_started", "process_exited"]


def test_what_did_not_start_is_no_event(client):
    events = subscribe(client)
    error_of(client.call, "proc.run", {"argv": ["/no/such/program"], "id": (bad := unique("bad"))})
    client.call("proc.run", {"argv": ["true"], "id": (good := unique("good"))})
    wait_for(events, good, "process_exited")
    assert of(events, bad) == []


def test_every_connection_and_every_call_gets_all(agent):
    with agent.connect() as one, agent.connect() as two:
        calls = [subscribe(c) for c in (one, two, one)]
        process_id = unique("all")
        two.call("proc.run", {"argv": ["true"], "id": process_id})
        for call in calls:
            wait_for(call, process_id, "process_exited")
        assert of(calls[0], process_id) == of(calls[1], process_id) == of(calls[2], process_id)


def test_events_cost_no_credit(client):
    client.hello(window=1)
    events = subscribe(client)
    for _ in range(5):
        process_id = unique("free")
        client.call("proc.run", {"argv": ["true"], "id": process_id})
        wait_for(events, process_id, "process_exited")
    assert set(events.kinds) == {EVENT}


def test_canceled_it_says_so_and_no_more(client):
    events = subscribe(client)
    canceled(events)
    client.call("proc.run", {"argv": ["true"]})
    assert not client.strays


def test_a_client_that_leaves_leaves_nothing(agent, client):
    for _ in range(rounds(50)):
        with agent.connect() as c:
            for _ in range(5):
                c.open("system.events", {"from_seq": 0})
    client.call("proc.run", {"argv": ["true"]})


def test_input_and_credit_for_it_are_ignored(client):
    events = subscribe(client)
    events.write(b"x" * 100_000)
    events.end()
    events.grant(5)
    process_id = unique("input")
    client.call("proc.run", {"argv": ["true"], "id": process_id})
    wait_for(events, process_id, "process_exited")


# -- what has been -------------------------------------------------------------------------------

def test_replay_is_what_came_then(client):
    live = subscribe(client)
    ids = [unique("replay") for _ in range(10)]
    for process_id in ids:
        client.call("proc.run", {"argv": ["true"], "id": process_id})
    wait_for(live, ids[-1], "process_exited")
    assert_rising(live.events)
    middle = of(live, ids[5])[0]["seq"]
    again = client.open("system.events", {"from_seq": middle})
    wait_for(again, ids[-1], "process_exited")
    assert again.events[0]["seq"] == middle
    assert again.events == [e for e in live.events if e["seq"] >= middle]
    # And it goes on with what happens now, without a seam.
    client.call("proc.run", {"argv": ["true"], "id": (now := unique("now"))})
    wait_for(again, now, "process_exited")
    wait_for(live, now, "process_exited")
    assert again.events == [e for e in live.events if e["seq"] >= middle]


def test_without_from_seq_nothing_is_replayed(client):
    client.call("proc.run", {"argv": ["true"], "id": (before := unique("before"))})
    last = last_seq(client)
    events = subscribe(client)
    client.call("proc.run", {"argv": ["true"], "id": (after := unique("after"))})
    wait_for(events, after, "process_exited")
    assert of(events, before) == [] and events.events[0]["seq"] > last


def test_the_seq_after_the_last_is_the_next(client):
    last = last_seq(client)
    events = subscribe(client, from_seq=last + 1)
    assert events.events == []
    client.call("proc.run", {"argv": ["true"], "id": (process_id := unique("next"))})
    wait_for(events, process_id, "process_exited")
    assert events.events[0]["seq"] == last + 1


@pytest.mark.parametrize("ahead", [2, 1000, 1 << 52])
def test_a_seq_that_there_cannot_have_been_is_an_error(client, ahead):
    e = error_of(client.call, "system.events", {"from_seq": last_seq(client) + ahead})
    assert e.code == "gap" and "instance" in e.message


@pytest.mark.parametrize("seq", [-1, 1 << 60, "1", 1.5])
def test_a_seq_is_a_number(client, seq):
    e = error_of(client.call, "system.events", {"from_seq": seq})
    assert e.code == "bad_params" and "from_seq" in e.message


def run_many(client, n):
    """Starts and ends N processes."""
    while n:
        batch = [client.open("proc.run", {"argv": ["true"]}) for _ in range(min(n, 100))]
        for call in batch:
            assert call.wait()["code"] == 0
        n -= len(batch)


@pytest.mark.local
def test_the_first_event_of_an_agent_has_seq_1(guestd):
    with guestd().connect() as c:
        c.call("proc.run", {"argv": ["true"]})
        events = c.open("system.events", {"from_seq": 0})
        events.event("process_exited")
        assert [e["seq"] for e in events.events] == [1, 2]


@pytest.mark.local
def test_the_last_1024_are_kept_and_the_gap_is_told(guestd):
    with guestd().connect() as c:
        run_many(c, KEPT // 2)
        whole = c.open("system.events", {"from_seq": 1})
        whole.pump(lambda: len(whole.events) == KEPT)
        assert [e["seq"] for e in whole.events] == list(range(1, KEPT + 1))
        run_many(c, 5)
        for since, lost in ((0, 10), (1, 10), (2, 9), (10, 1)):
            cut = c.open("system.events", {"from_seq": since})
            cut.pump(lambda: len(cut.events) == KEPT + 1)
            assert cut.events[0] == {"type": "gap", "lost": lost, "seq": 10}
            assert [e["seq"] for e in cut.events[1:]] == list(range(11, KEPT + 11))
        kept = c.open("system.events", {"from_seq": 11})
        kept.pump(lambda: len(kept.events) == KEPT)
        assert kept.events == cut.events[1:]
        assert c.hello()["limits"]["max_events"] == KEPT


def test_a_slow_client_is_told_what_it_missed(agent, client, emit):
    """It reads nothing while more happens than is kept; every seq then is there, or in a gap."""
    with agent.connect() as slow:
        first = last_seq(client) + 1
        missing = slow.open("system.events", {"from_seq": first})
        done = unique("done")
        n = 150
        script = f"i=0; while [ $i -lt {n} ]; do head -c 60000 /dev/zero | {emit} flood - || exit; i=$((i+1)); done"
        assert client.call("proc.run", {"cmd": script, "timeout_ms": 0}, timeout=LONG)["code"] == 0
        client.call("proc.run", {"argv": ["true"], "id": done})
        wait_for(missing, done, "process_exited")
        expected, lost = first, 0
        for e in missing.events:
            if e["type"] == "gap":
                lost += e["lost"]
                expected += e["lost"] - 1
            assert e["seq"] == expected, (e["type"], e["seq"], expected)
            expected += 1
        assert lost > 0


def test_a_slow_client_holds_nobody_up_and_costs_little(agent, client, emit, frugal):
    with agent.connect() as slow:
        for _ in range(20):
            slow.open("system.events", {"from_seq": 0})
        script = f"i=0; while [ $i -lt 50 ]; do head -c 60000 /dev/zero | {emit} flood - || exit; i=$((i+1)); done"
        assert client.call("proc.run", {"cmd": script}, timeout=LONG)["code"] == 0


def test_one_that_is_longer_than_max_frame_is_a_gap(agent, client, emit):
    with agent.connect() as small:
        small.hello(max_frame=1024)
        events = subscribe(small)
        whole = subscribe(client)
        name = unique("end")
        client.call("proc.run", {"cmd": f"head -c 5000 /dev/zero | {emit} big - && {emit} {name}"})
        big = wait_for_name(whole, "big")
        wait_for_name(events, name)
        assert {"type": "gap", "lost": 1, "seq": big["seq"]} in events.events
        assert_rising(events.events)
        canceled(events)


# -- guestd emit, from inside --------------------------------------------------------------------

def test_a_process_tells_its_attached_calls_and_everybody(agent, client, emit):
    with agent.connect() as other:
        everybody = subscribe(other)
        call = client.open("proc.exec", {"cmd": f"{emit} step.1 'some data'", "id": (me := unique("says"))})
        event = wait_for_name(call, "step.1")
        assert call.wait()["code"] == 0
        assert event["data"] == b"some data" and isinstance(event["data"], bytes)
        assert event["pid"] > 0 and event["seq"] > 0
        assert wait_for_name(everybody, "step.1") == event
        wait_for(everybody, me, "process_exited")
        assert [e["type"] for e in of(everybody, me)] == ["process_started", "user", "process_exited"]


def test_attached_calls_get_what_their_process_says_alone(client, emit):
    first, second = unique("first"), unique("second")
    one = client.open("proc.exec", {"cmd": f"{emit} {first}; read x", "stdin": True, "id": (id_1 := unique("p"))})
    two = client.open("proc.exec", {"cmd": f"{emit} {second}; read x", "stdin": True, "id": (id_2 := unique("p"))})
    wait_for_name(one, first)
    wait_for_name(two, second)
    late = client.open("proc.attach", {"id": id_1})
    late.event("attached")
    for call, process_id in ((one, id_1), (two, id_2)):
        go(client, process_id)
        assert call.wait()["code"] == 0
        assert [e["type"] for e in call.events] == ["started", "user"]
    late.wait()
    assert [e["type"] for e in late.events] == ["attached"], "what was said before it came is in system.events"


@pytest.mark.parametrize("size", [0, 1, 5000, EMIT_MAX - len("bytes\n")])
def test_data_are_bytes_from_stdin(client, emit, size):
    data = bytes(i * 7 % 256 for i in range(size))
    call = client.open("proc.exec", {"cmd": f"{emit} bytes -", "stdin": True})
    call.write(data)
    call.end()
    assert call.wait()["code"] == 0
    assert wait_for_name(call, "bytes")["data"] == data


def test_nothing_given_is_no_data_and_stdin_is_not_read(client, emit):
    call = client.open("proc.exec", {"cmd": f"echo unread | {emit} bare; {emit} empty ''"})
    assert call.wait()["code"] == 0
    assert [e["data"] for e in call.events if e["type"] == "user"] == [b"", b""]


def test_what_it_says_last_comes_before_its_exit(client, emit):
    program, command = emit.split()
    for i in range(rounds(50)):
        call = client.open("proc.exec", {"argv": [program, command, "last-words", str(i)]})
        assert call.wait()["code"] == 0
        assert [e["data"] for e in call.events if e["type"] == "user"] == [str(i).encode()]


def test_order_is_kept(client, emit):
    call = client.open("proc.exec", {"cmd": f"i=0; while [ $i -lt 100 ]; do {emit} n $i || exit; i=$((i+1)); done"})
    assert call.wait(LONG)["code"] == 0
    users = [e for e in call.events if e["type"] == "user"]
    assert [int(e["data"]) for e in users] == list(range(100))
    assert_rising(users)


def test_many_senders_at_once(client, emit):
    n = rounds(100)
    call = client.open("proc.exec", {"cmd": f"for i in $(seq {n}); do {emit} crowd $i & done; wait"})
    assert call.wait(LONG)["code"] == 0
    assert sorted(int(e["data"]) for e in call.events if e["type"] == "user") == list(range(1, n + 1))


def test_a_client_without_credit_gets_its_events_and_its_exit(client, emit):
    """Events are not counted: that all credit is spent on output holds neither them nor the end up."""
    client.hello(window=4)
    call = client.open("proc.exec", {"cmd": f"printf 1234; {emit} after-all-credit"})
    call.auto_credit = False
    wait_for_name(call, "after-all-credit")
    assert call.wait()["code"] == 0 and call.stdout == b"1234"


def test_every_process_knows_the_socket(client):
    for params in ({"cmd": "echo $GUESTD_EVENTS"}, {"cmd": "echo $GUESTD_EVENTS", "user": "65534:65534"}):
        path = client.call("proc.run", params)["stdout"].decode().strip()
        assert path.endswith("/events.sock"), params


@pytest.mark.local
def test_who_is_not_the_agents_is_ignored(guestd):
    daemon = guestd()
    with daemon.connect() as c:
        events = subscribe(c)
        env = {"GUESTD_EVENTS": str(daemon.run_dir / "events.sock")}
        assert subprocess.run([BIN, "emit", "stranger"], env=env, check=False).returncode == 0
        call = c.open("proc.exec", {"argv": [BIN, "emit", "friend"]})
        assert call.wait()["code"] == 0
        wait_for_name(events, "friend")
        assert [e["name"] for e in events.events if e["type"] == "user"] == ["friend"]


# -- guestd emit, its command line ---------------------------------------------------------------

def emit_alone(*args, path=None, **kwargs):
    """Runs it against PATH; the finished process."""
    env = {} if path is None else {"GUESTD_EVENTS": str(path)}
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([BIN, "emit", *args], env=env, capture_output=True, check=False, timeout=LONG, **kwargs)


@pytest.fixture
def inbox():
    """A socket like the agent's."""
    directory = Path(tempfile.mkdtemp(prefix="guestd-emit-"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sock.bind(str(directory / "e.sock"))
        sock.settimeout(20)
        yield sock
    shutil.rmtree(directory)


def emit_to(inbox, *args, **kwargs):
    return subprocess.Popen([BIN, "emit", *args], env={"GUESTD_EVENTS": inbox.getsockname()},
                            stderr=subprocess.PIPE, **kwargs)


@pytest.mark.local
@pytest.mark.parametrize("args", [
    [], [""], ["Upper"], ["a b"], ["a/b"], ["a\n"], ["\u00e9"], ["a" * 65], ["a", "b", "c"], ["--"],
    ["a", "x" * (EMIT_MAX - 1)]])
def test_misuse_is_2_with_a_sentence(args):
    done = emit_alone(*args)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"guestd emit: ") and b"usage: guestd emit" in done.stderr


@pytest.mark.local
def test_too_much_on_stdin_is_2():
    done = emit_alone("a", "-", stdin=None, input=b"x" * (EMIT_MAX - 1))
    assert done.returncode == 2 and b"60 KiB" in done.stderr


@pytest.mark.local
def test_help():
    done = emit_alone("--help")
    assert done.returncode == 0 and done.stdout.startswith(b"usage: guestd emit TYPE") and not done.stderr


@pytest.mark.local
def test_no_socket_is_1_with_its_reason(tmp_path):
    for path, reason in ((tmp_path / "none", b"ENOENT"), (tmp_path / ("x" * 200), b"ENAMETOOLONG"),
                         (tmp_path, b"ECONNREFUSED")):
        done = emit_alone("a", path=path)
        assert done.returncode == 1 and reason in done.stderr and str(path).encode() in done.stderr


@pytest.mark.local
def test_without_the_variable_it_is_the_default_socket(tmp_path):
    """In a root directory of its own: here there may be an agent."""
    shutil.copy(ROOT / "build" / "guestd", tmp_path / "guestd")
    for path in (None, ""):
        done = subprocess.run(["/guestd", "emit", "a"], env={} if path is None else {"GUESTD_EVENTS": path},
                              preexec_fn=lambda: (os.chroot(tmp_path), os.chdir("/")), capture_output=True,
                              check=False, timeout=LONG)
        assert done.returncode == 1 and b"/run/guestd/events.sock" in done.stderr


@pytest.mark.local
@pytest.mark.parametrize("args, datagram", [
    (["a"], b"a\n"), (["a", ""], b"a\n"), (["a.b_c-0", "x y"], b"a.b_c-0\nx y"), (["a" * 64, "\n"], b"a" * 64 + b"\n\n"),
    (["--", "--help"], b"--help\n"), (["-x", "--help"], b"-x\n--help"), (["a", "x" * (EMIT_MAX - 2)], b"a\n" + b"x" * (EMIT_MAX - 2))])
def test_the_datagram(inbox, args, datagram):
    sender = emit_to(inbox, *args)
    assert inbox.recv(1 << 20) == datagram
    assert sender.wait(20) == 0 and sender.stderr.read() == b""


@pytest.mark.local
def test_it_stays_until_the_datagram_is_taken(inbox):
    """Who looks at the datagram without taking it finds the sender alive: /proc tells whose it is."""
    sender = emit_to(inbox, "look")
    data, control, _, _ = inbox.recvmsg(1000, 1000, socket.MSG_PEEK)
    pid, _, _ = struct.unpack("3i", control[0][2])
    assert data == b"look\n" and pid == sender.pid
    time.sleep(0.3)
    assert sender.poll() is None and Path(f"/proc/{pid}/cgroup").read_text()
    assert inbox.recv(1000) == b"look\n"
    assert sender.wait(20) == 0


@pytest.mark.local
def test_it_waits_for_room_and_loses_nothing(inbox):
    n = 2 * int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 5
    senders = [emit_to(inbox, "many", str(i)) for i in range(n)]
    time.sleep(0.3)
    assert not any(s.poll() is not None for s in senders)
    assert sorted(int(inbox.recv(1000).split(b"\n")[1]) for _ in senders) == list(range(n))
    assert [s.wait(20) for s in senders] == [0] * n


@pytest.mark.local
def test_an_agent_that_takes_nothing_is_not_waited_for_for_ever(inbox):
    sender = emit_to(inbox, "stuck")
    assert sender.wait(30) == 1
    assert b"takes nothing" in sender.stderr.read()


@pytest.mark.local
def test_signals_end_it(inbox):
    """Unlike the agent it leaves signals as they are."""
    sender = emit_to(inbox, "waiting")
    inbox.recvmsg(1000, 1000, socket.MSG_PEEK)
    sender.terminate()
    assert sender.wait(20) == -15


@pytest.mark.local
def test_in_an_empty_root(inbox, tmp_path):
    """No libc, no /proc, no /dev: the static binary and the socket."""
    if os.geteuid():
        pytest.skip("needs root")
    shutil.copy(ROOT / "build" / "guestd", tmp_path / "guestd")
    os.link(inbox.getsockname(), tmp_path / "e.sock")
    sender = subprocess.Popen(["/guestd", "emit", "hello", "-"], env={"GUESTD_EVENTS": "/e.sock"},
                              stdin=subprocess.PIPE, preexec_fn=lambda: (os.chroot(tmp_path), os.chdir("/")))
    sender.stdin.write(b"there")
    sender.stdin.close()
    assert inbox.recv(1000) == b"hello\nthere"
    assert sender.wait(20) == 0


@pytest.mark.local
def test_with_its_streams_closed(inbox):
    sender = subprocess.Popen(["/bin/sh", "-c", f"exec {BIN} emit closed x <&- >&- 2>&-"],
                              env={"GUESTD_EVENTS": inbox.getsockname()})
    assert inbox.recv(1000) == b"closed\nx"
    assert sender.wait(20) == 0
