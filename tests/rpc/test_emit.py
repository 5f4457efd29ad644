"""Events: those that processes of the guest send, and those of the agent itself."""

import shlex
import shutil
import socket
import subprocess
import sys

import pytest

from client import EVENT, LONG, RESPONSE
from support import BIN, REMOTE, assert_exit, error_of, go, rounds, unique

# The program that sends an event, as a shell finds it in the guest.
EMIT = "guestd emit" if REMOTE else f"{shlex.quote(BIN)} emit"

# A datagram, as it is, from a process that has no guestd.
SEND = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for part in sys.argv[1:]:
    try:
        s.sendto(eval(part), os.environ["GUESTD_EVENTS"])
    except OSError as e:
        print(e, flush=True)
"""


def users(call):
    """The events that processes sent, in the order they came."""
    return [e for e in call.events if e["type"] == "user"]


def wait_for(call, count):
    call.pump(lambda: len(users(call)) >= count, what=f"{count} events")
    return users(call)


def execute(client, cmd, **spawn):
    """Run to the end; the Call."""
    call = client.open("proc.exec", {"cmd": cmd} | spawn)
    call.wait(LONG)
    return call


def send(client, *datagrams):
    """A process that sends these datagrams; the Call."""
    call = client.open("proc.exec", {"argv": [sys.executable, "-c", SEND, *map(repr, datagrams)]})
    call.wait(LONG)
    return call


def watch(client, **params):
    """system.events, in force."""
    call = client.open("system.events", params)
    client.call("system.ping")
    return call


def await_event(call, kind, process_id):
    """The event of that type about that process."""
    def find():
        return next((e for e in call.events if e["type"] == kind and e.get("id") == process_id), None)
    call.pump(lambda: find() is not None, what=f"{kind} of {process_id}")
    return find()


# -- guestd emit ---------------------------------------------------------------------------------

def test_an_event_of_a_process_is_one_of_its_call(conn):
    call = execute(conn, f"{EMIT} build.step 'compiled 3 of 7' && echo sent")
    assert call.stdout == b"sent\n" and call.result["code"] == 0
    [event] = users(call)
    assert event["name"] == "build.step" and event["data"] == b"compiled 3 of 7"
    assert type(event["data"]) is bytes and type(event["seq"]) is int
    assert type(event["pid"]) is int and event["pid"] != call.events[0]["pid"], "the sender's"


def test_the_socket_is_named_in_the_environment(agent, client):
    got = client.call("proc.run", {"cmd": 'echo "$GUESTD_EVENTS"; test -S "$GUESTD_EVENTS"'})
    assert got["code"] == 0
    path = got["stdout"].decode().strip()
    assert path == ("/run/guestd/events.sock" if REMOTE else f"{agent.run_dir}/events.sock")


def test_env_may_take_the_name_away(client):
    got = client.call("proc.run", {"cmd": 'echo "<$GUESTD_EVENTS>"', "env": {"GUESTD_EVENTS": None}})
    assert got["stdout"] == b"<>\n"


@pytest.mark.parametrize("size", [0, 1, 1000, 61_000])
def test_data_of_any_size(client, size):
    """From the command line and from a pipe; 60 KiB in all."""
    call = execute(client, f"head -c {size} /dev/zero | tr '\\0' x | {EMIT} big -")
    [event] = users(call)
    assert event["data"] == b"x" * size and call.result["code"] == 0
    call = execute(client, f"{EMIT} big \"$(head -c {size} /dev/zero | tr '\\0' x)\"")
    [event] = users(call)
    assert event["data"] == b"x" * size


def test_data_is_bytes(client):
    call = execute(client, f"printf '\\n\\0\\377two\\nlines\\n' | {EMIT} raw -; {EMIT} empty; {EMIT} none - </dev/null")
    assert [(e["name"], e["data"]) for e in users(call)] == [("raw", b"\n\0\xfftwo\nlines\n"), ("empty", b""),
                                                             ("none", b"")]


@pytest.mark.parametrize("name", ["a", "0", "-", "a.b_c-d", "x" * 64])
def test_names(client, name):
    call = execute(client, f"{EMIT} {name} data")
    assert [e["name"] for e in users(call)] == [name] and call.result["code"] == 0


@pytest.mark.parametrize("arguments", ["", "''", "UPPER x", "'two words' x", "x/y x", f"{'x' * 65} x", "ümlaut x",
                                       "'a\nb' x", "name data more"], ids=repr)
def test_what_is_no_event_is_refused_at_once(client, arguments):
    call = execute(client, f"{EMIT} {arguments}; echo $?; {EMIT} good x")
    status = int(call.stdout)
    assert status != 0 and call.stderr, "with a sentence"
    assert [e["name"] for e in users(call)] == ["good"]


def test_too_much_data_is_refused(client):
    call = execute(client, f"head -c 70000 /dev/zero | {EMIT} big -; echo $?")
    assert int(call.stdout) != 0 and call.stderr and users(call) == []


def test_without_the_agent_emit_fails(client):
    for value in ("/no/such/socket", "/dev/null"):
        call = execute(client, f"GUESTD_EVENTS={value} {EMIT} name data")
        assert call.result["code"] == 1 and call.stderr
        assert users(call) == []


# -- whose they are ------------------------------------------------------------------------------

def test_all_who_are_attached_get_it(agent, client, start):
    info = start(cmd=f"read x; {EMIT} step data; read x; exit 3", stdin=True)
    other = start(cmd="read x", stdin=True)
    with agent.connect() as c:
        calls = [x.open("proc.attach", {"id": info["id"]}) for x in (client, client, c)]
        calls.append(c.open("proc.exec", {"argv": ["true"], "id": info["id"]}))
        stranger = c.open("proc.attach", {"id": other["id"]})
        for call in calls:
            call.pump(lambda call=call: call.events)
        stranger.event("attached")
        everything = watch(c)
        go(client, info["id"])
        seen = [wait_for(call, 1)[0] for call in [*calls, everything]]
        assert all((e["name"], e["data"], e["pid"], e["seq"]) ==
                   ("step", b"data", seen[0]["pid"], seen[0]["seq"]) for e in seen)
        go(client, info["id"])
        for call in calls:
            assert_exit(call.wait(), code=3)
            assert len(users(call)) == 1
        c.call("system.ping")
        assert users(stranger) == [], "of another process"


def test_system_events_tells_whose_it_is(client):
    events = watch(client)
    call = execute(client, f"{EMIT} step data")
    [event] = wait_for(events, 1)
    assert event["id"] == call.events[0]["id"] and event["seq"] == users(call)[0]["seq"]


def test_an_attach_begins_with_what_comes_then(client, start):
    """Events are no output: they are not replayed."""
    info = start(cmd=f"{EMIT} early; echo sent; read x; {EMIT} late; read x", stdin=True)
    early = client.open("proc.attach", {"id": info["id"]})
    early.read(5)
    late = client.open("proc.attach", {"id": info["id"]})
    late.event("attached")
    go(client, info["id"])
    assert [e["name"] for e in wait_for(late, 1)] == ["late"]
    go(client, info["id"])
    late.wait()


def test_children_may_send_too(client):
    call = execute(client, f"(({EMIT} child) & wait) & wait; setsid {EMIT} session; exit 0")
    assert sorted(e["name"] for e in users(call)) == ["child", "session"]


def test_a_terminals_process_may_send_too(client):
    call = client.open("pty.open", {"cmd": f"{EMIT} step data"})
    call.wait()
    assert [e["name"] for e in users(call)] == ["step"] and call.stdout == b""


def test_another_user_may_send_too(agent, client, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    emit = EMIT
    if not REMOTE:
        agent.dir.chmod(0o755)      # ours; what is below it is the agent's
        emit = f"{shutil.copy(BIN, agent.dir / 'emit')} emit"       # who knows where the build lies
    call = execute(client, f"{emit} step data", user="4321:1234")
    assert call.result["code"] == 0, bytes(call.stderr)
    assert [e["name"] for e in users(call)] == ["step"]


def test_events_come_before_the_response(conn):
    """The process ends right behind it, and so may its sender."""
    for _ in range(rounds(50)):
        call = execute(conn, f"exec {EMIT} last words")
        assert [e["data"] for e in users(call)] == [b"words"]
        assert users(call)[0]["pid"] == call.events[0]["pid"]
        assert call.kinds[-1] == RESPONSE and call.kinds.count(EVENT) == 2


def test_events_are_not_counted_as_data(agent):
    """They need no credit, and overtake the output that waits for it."""
    with agent.connect() as c:
        c.hello(window=10)
        call = c.open("proc.exec", {"cmd": f"seq 1 1000; {EMIT} step data; exit 3"})
        call.auto_credit = False
        assert wait_for(call, 1)[0]["name"] == "step" and len(call.stdout) <= 10
        assert not call.done
        call.grant(10_000)
        assert_exit(call.wait(), code=3)
        assert call.stdout.endswith(b"1000\n")


def test_many_come_in_order(client):
    count = rounds(300)
    call = execute(client, f"i=0; while [ $i -lt {count} ]; do {EMIT} count $i; i=$((i+1)); done")
    assert [int(e["data"]) for e in users(call)] == list(range(count))
    seqs = [e["seq"] for e in users(call)]
    assert all(a < b for a, b in zip(seqs, seqs[1:]))


@pytest.mark.local
def test_foreign_processes_are_not_heard(agent, client, start):
    info = start(cmd=f"read x; {EMIT} mine; read x", stdin=True)
    call = client.open("proc.attach", {"id": info["id"]})
    events = watch(client)
    path = str(agent.run_dir / "events.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for _ in range(5):
            s.sendto(b"foreign\ndata", path)
    assert subprocess.run([BIN, "emit", "foreign", "x"], env={"GUESTD_EVENTS": path}, timeout=20,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0
    go(client, info["id"])
    assert [e["name"] for e in wait_for(events, 1)] == ["mine"]
    assert [e["name"] for e in wait_for(call, 1)] == ["mine"]


@pytest.mark.local
@pytest.mark.parametrize("bad", [b"", b"\n", b"\ndata", b"noline", b"UPPER\nx", b"two words\nx", b"x" * 65 + b"\nx",
                                 b"nul\0\nx", b"big\n" + b"x" * 61440, b"\xff\nx"], ids=lambda b: repr(b[:12]))
def test_bad_datagrams_are_ignored(client, bad):
    call = send(client, b"first\n1", bad, b"last\n2")
    assert [(e["name"], e["data"]) for e in users(call)] == [("first", b"1"), ("last", b"2")]


@pytest.mark.local
def test_the_largest_datagram(client):
    call = send(client, b"x\n" + b"y" * (60 * 1024 - 2))
    assert call.stdout == b"" and [len(e["data"]) for e in users(call)] == [60 * 1024 - 2]


@pytest.mark.local
def test_a_flood_is_no_harm(agent, client, start):
    """A process that sends all the time, a client that reads nothing: what is lost is told, and the
    process goes on."""
    script = ("import os, socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
              "for i in range(20000): s.sendto(b'flood\\n%d ' % i + b'x' * 1000, os.environ['GUESTD_EVENTS'])\n"
              "input()")
    info = start(argv=[sys.executable, "-c", script], stdin=True)
    before = agent.rss()
    with agent.connect() as c:
        call = c.open("proc.attach", {"id": info["id"]})
        call.event("attached")
        go(client, info["id"])
        result = client.call("proc.wait", {"id": info["id"]}, 60)
        assert result["code"] == 0
        assert agent.rss() - before < 64 << 20
        client.call("system.ping")
        call.wait(LONG)
        got = [int(e["data"].split()[0]) for e in users(call)]
        lost = [e for e in call.events if e["type"] in ("gap", "overflow")]
        assert got == sorted(set(got)) and got[-1] == 19999
        assert len(got) == 20000 or lost, "what is missing was told of"


# -- system.events -------------------------------------------------------------------------------

def test_starts_and_exits_are_told(client):
    events = watch(client)
    process_id = unique("events")
    call = execute(client, "exit 3", id=process_id)
    started = await_event(events, "process_started", process_id)
    exited = await_event(events, "process_exited", process_id)
    assert started["pid"] == exited["pid"] == call.events[0]["pid"]
    assert_exit(exited["exit"], code=3)
    assert exited["exit"] == call.result and started["seq"] < exited["seq"]


@pytest.mark.parametrize("method, params", [("proc.run", {"cmd": "exit 4"}), ("proc.start", {"cmd": "exit 4"}),
                                            ("pty.open", {"cmd": "exit 4"})])
def test_however_it_was_started(client, method, params):
    events = watch(client)
    process_id = unique("events")
    client.call(method, params | {"id": process_id})
    assert await_event(events, "process_started", process_id)
    assert await_event(events, "process_exited", process_id)["exit"]["code"] == 4


def test_death_by_signal_is_told(client, start):
    events = watch(client)
    info = start(argv=["sleep", "60"])
    client.call("proc.stop", {"id": info["id"]})
    assert_exit(await_event(events, "process_exited", info["id"])["exit"], signal=15, signal_name="SIGTERM")


def test_what_never_started_is_not_told(client):
    events = watch(client)
    process_id, other = unique("events"), unique("events")
    error_of(client.call, "proc.start", {"argv": ["/no/such/program"], "id": process_id})
    client.call("proc.run", {"argv": ["true"], "id": other})
    await_event(events, "process_exited", other)
    assert not any(e.get("id") == process_id for e in events.events)


def test_every_reader_sees_the_same(agent, client):
    clients = [agent.connect() for _ in range(4)]
    try:
        readers = [watch(c) for c in clients]
        ids = [unique("events") for _ in range(rounds(20))]
        for process_id in ids:
            client.call("proc.run", {"argv": ["true"], "id": process_id})
        seen = []
        for reader in readers:
            await_event(reader, "process_exited", ids[-1])
            seqs = [e["seq"] for e in reader.events]
            assert all(a < b for a, b in zip(seqs, seqs[1:])), "rising"
            seen.append([e for e in reader.events if e.get("id") in ids])
        assert seen[0] == seen[1] == seen[2] == seen[3] and len(seen[0]) == 2 * len(ids)
    finally:
        for c in clients:
            c.close()


def test_they_come_until_canceled(client):
    events = watch(client)
    assert not events.done
    events.cancel()
    assert error_of(events.wait).code == "canceled"
    execute(client, "true")
    assert client.strays == []


def test_from_a_seq_on(client):
    """What came while the connection was gone is not lost."""
    events = watch(client)
    ids = [unique("events") for _ in range(5)]
    for process_id in ids:
        client.call("proc.run", {"argv": ["true"], "id": process_id})
    await_event(events, "process_exited", ids[-1])
    seen = list(events.events)
    for i in (0, 1, len(seen) - 1):
        again = watch(client, from_seq=seen[i]["seq"])
        again.pump(lambda n=len(seen) - i, call=again: len(call.events) >= n, what="the replay")
        assert again.events[:len(seen) - i] == seen[i:]
    behind = watch(client, from_seq=seen[-1]["seq"] + 1)
    last = unique("events")
    client.call("proc.run", {"argv": ["true"], "id": last})
    await_event(behind, "process_exited", last)
    assert behind.events[0]["seq"] > seen[-1]["seq"]


def test_from_a_seq_that_is_yet_to_come(client):
    """Of an agent that was started anew since, for example: nothing is there to be replayed."""
    events = watch(client, from_seq=1 << 50)
    client.call("proc.run", {"argv": ["true"]})
    client.call("system.ping")
    assert not any(e["seq"] < 1 << 50 for e in events.events if e["type"] != "gap")
    events.cancel()
    events.pump(lambda: events.done)


def test_without_a_seq_only_new_ones_come(client):
    old, new = unique("events"), unique("events")
    client.call("proc.run", {"argv": ["true"], "id": old})
    events = watch(client)
    client.call("proc.run", {"argv": ["true"], "id": new})
    await_event(events, "process_exited", new)
    assert not any(e.get("id") == old for e in events.events)


@pytest.mark.slow
def test_the_last_1024_are_kept_and_the_rest_is_a_gap(client):
    events = watch(client)
    first = unique("events")
    client.call("proc.run", {"argv": ["true"], "id": first})
    begin = await_event(events, "process_started", first)["seq"]
    events.cancel()
    for _ in range(31):     # two events each
        for call in [client.open("proc.run", {"argv": ["true"]}) for _ in range(20)]:
            call.wait(LONG)
    again = watch(client, from_seq=begin)
    last = unique("events")
    client.call("proc.run", {"argv": ["true"], "id": last})
    await_event(again, "process_exited", last)
    gap, *rest = again.events
    assert gap["type"] == "gap" and gap["lost"] > 0
    seqs = [e["seq"] for e in rest]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) and begin + gap["lost"] == seqs[0]
    assert not any(e["type"] == "gap" for e in rest)
    assert len(rest) >= 1024


@pytest.mark.local
def test_a_fresh_agent_has_lost_nothing(guestd):
    with guestd().connect() as c:
        process_id = unique("events")
        c.call("proc.run", {"argv": ["true"], "id": process_id})
        events = watch(c, from_seq=1)
        await_event(events, "process_exited", process_id)
        assert [e["type"] for e in events.events] == ["process_started", "process_exited"]
        assert events.events[0]["seq"] == 1


def test_a_reader_that_does_not_read_is_told_what_it_missed(agent, client):
    """Its queue is bounded."""
    with agent.connect() as c:
        events = watch(c)
        for _ in range(rounds(100)):
            for call in [client.open("proc.run", {"argv": ["true"]}) for _ in range(20)]:
                call.wait(LONG)
        last = unique("events")
        client.call("proc.run", {"argv": ["true"], "id": last})
        await_event(events, "process_exited", last)
        expected = events.events[0]["seq"]
        for e in events.events:
            if e["type"] == "gap":
                expected += e["lost"]
            else:
                assert e["seq"] == expected
                expected += 1
