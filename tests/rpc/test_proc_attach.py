"""proc.attach: from any offset, any number of clients, as often as it takes, and not a byte wrong."""

import pytest

from client import DATA, END, EVENT, LONG, RESPONSE, wait_all
from support import NUMBERS, assert_exit, error_of, go, has_written, info_of, numbers, rounds, unique


def attach(client, **params):
    """An attached call."""
    call = client.open("proc.attach", params)
    call.event("attached")
    return call


def attached(call):
    """Its first event."""
    assert call.events[0]["type"] == "attached" and call.kinds[0] == EVENT
    return call.events[0]


def gaps(call, channel=1):
    """[(how much output came before it, the event)] of a channel."""
    return [(place[channel - 1], e) for e, place in zip(call.events, call.places)
            if e["type"] == "gap" and e["channel"] == channel]


def assert_honest(call, whole, channel=1):
    """Each byte of `whole` that came lies where the offsets said, and each gap is as long as it claims.
    The offset behind the last byte that came."""
    got = call.stdout if channel == 1 else call.stderr
    offset = attached(call)["stdout_offset" if channel == 1 else "stderr_offset"]
    done = 0
    for place, gap in gaps(call, channel):
        assert got[done:place] == whole[offset:offset + place - done]
        offset += place - done
        done = place
        if place == 0 and gap["offset"] == offset:
            continue                        # of the replay: it begins behind the gap
        assert gap["lost"] > 0 and offset + gap["lost"] == gap["offset"]
        offset = gap["offset"]
    assert got[done:] == whole[offset:offset + len(got) - done]
    return offset + len(got) - done


def running(client, process_id):
    """Whether it still runs a moment later."""
    try:
        client.call("proc.wait", {"id": process_id, "timeout_ms": 1000})
        return False
    except Exception as e:
        assert getattr(e, "code", None) == "timeout", e
        return True


@pytest.fixture
def ended(client, start):
    """A process that wrote NUMBERS[:1000] to both outputs and exited with 3."""
    info = start(cmd=f"{numbers(1000)}; {numbers(1000)} >&2; exit 3")
    client.call("proc.wait", {"id": info["id"]})
    return info["id"]


@pytest.fixture
def waiting(client, start):
    """The same, but it waits for a line of input before it exits."""
    info = start(cmd=f"{numbers(1000)}; {numbers(1000)} >&2; read x; exit 3", stdin=True)
    has_written(client, info["id"], 1000, 1000)
    return info["id"]


# -- what comes ----------------------------------------------------------------------------------

def test_attached_comes_first_then_output_then_the_exit(conn, start):
    info = start(cmd=f"{numbers(5000)}; {numbers(3000)} >&2; read x; {numbers(100)}; exit 3", stdin=True,
                 label="attach")
    has_written(conn, info["id"], 5000, 3000)
    call = attach(conn, id=info["id"])
    first = attached(call)
    assert (first["stdout_offset"], first["stderr_offset"]) == (0, 0)
    about = first["info"]
    assert about["status"] == "running" and (about["stdout_offset"], about["stderr_offset"]) == (5000, 3000)
    for name in ("id", "pid", "argv", "cwd", "user", "label", "target", "pty", "started_us"):
        assert about[name] == info[name], name
    call.pump(lambda: len(call.stdout) == 5000 and len(call.stderr) == 3000, what="the replay")
    assert not call.done
    go(conn, info["id"])
    assert_exit(call.wait(), code=3)
    assert call.stdout == NUMBERS[:5000] + NUMBERS[:100] and call.stderr == NUMBERS[:3000]
    assert call.kinds[0] == EVENT and call.kinds[-1] == RESPONSE and set(call.kinds[1:-1]) <= {DATA, END}
    assert call.ended == {1, 2}


def test_of_an_exited_one_there_is_the_replay_and_the_exit(conn, ended):
    call = attach(conn, id=ended)
    assert call.wait() == conn.call("proc.wait", {"id": ended})
    assert_exit(call.result, code=3)
    assert call.stdout == call.stderr == NUMBERS[:1000]
    assert attached(call)["info"]["status"] == "exited"
    assert attached(call)["info"]["exit"] == call.result


def test_of_an_exec_as_well(agent, client):
    """What one client started, another one attaches to; both see all of it."""
    process_id = unique("attach-exec")
    first = client.open("proc.exec", {"cmd": "echo one; read x; echo $x; exit 4", "stdin": True, "id": process_id})
    first.read(4)
    with agent.connect() as c:
        second = attach(c, id=process_id)
        assert second.read(4) == b"one\n"
        first.write(b"two\n")
        assert first.wait() == second.wait()
        assert first.stdout == second.stdout == b"one\ntwo\n" and first.result["code"] == 4


def test_by_pid(client, start, waiting):
    pid = info_of(client, waiting)["pid"]
    call = attach(client, pid=pid)
    assert attached(call)["info"]["id"] == waiting
    go(client, waiting)
    assert call.wait()["code"] == 3


def test_by_label_the_newest_running_one(client, start):
    label = unique("label")
    one, two, three = (start(cmd="read x; exit 7", stdin=True, label=label) for _ in range(3))
    start(cmd="exit 1", label=unique("other"))

    def chosen():
        call = client.open("proc.attach", {"label": label, "follow": False})
        call.wait()
        return call.events[0]["info"]["id"]

    assert chosen() == three["id"]
    for info in (three, one):
        go(client, info["id"])
        client.call("proc.wait", {"id": info["id"]})
        assert chosen() == two["id"]
    go(client, two["id"])
    client.call("proc.wait", {"id": two["id"]})
    assert chosen() == three["id"], "none runs: the newest of all"


def test_of_a_run_as_well(client):
    """Whatever its capture left out."""
    result = client.call("proc.run", {"cmd": f"{numbers(10_000)}; echo error >&2; exit 4", "max_output": 10})
    call = attach(client, id=result["id"])
    assert_exit(call.wait(), code=4)
    assert (call.stdout, call.stderr) == (NUMBERS[:10_000], b"error\n")


def test_a_merged_one(client, start):
    info = start(cmd="echo one; echo two >&2", merge=True)
    has_written(client, info["id"], 8)
    call = attach(client, id=info["id"], stdout_from=2)
    call.wait()
    assert (call.stdout, call.stderr) == (b"e\ntwo\n", b"")


# -- offsets -------------------------------------------------------------------------------------

@pytest.mark.parametrize("wanted, begin", [(0, 0), (1, 1), (999, 999), (1000, 1000), (-1, 999), (-1000, 0),
                                           (-1001, 0), (-(1 << 40), 0), (-(1 << 53), 0), (None, 0)])
def test_the_replay_begins_where_it_was_asked_to(client, ended, wanted, begin):
    for stream, other in (("stdout", "stderr"), ("stderr", "stdout")):
        params = {} if wanted is None else {f"{stream}_from": wanted}
        call = attach(client, id=ended, **params)
        call.wait()
        assert attached(call)[f"{stream}_offset"] == begin and attached(call)[f"{other}_offset"] == 0
        assert getattr(call, stream) == NUMBERS[begin:1000] and getattr(call, other) == NUMBERS[:1000]
        assert len(call.events) == 1, "no gap"


def test_each_stream_has_its_own_offset(client, ended):
    call = attach(client, id=ended, stdout_from=990, stderr_from=-5)
    call.wait()
    assert call.stdout == NUMBERS[990:1000] and call.stderr == NUMBERS[995:1000]


def test_from_the_end_of_a_running_one_only_new_output_comes(client, start):
    info = start(cmd="echo old; read x; echo new", stdin=True)
    has_written(client, info["id"], 4)
    call = attach(client, id=info["id"], stdout_from=4)
    go(client, info["id"])
    call.wait()
    assert call.stdout == b"new\n" and attached(call)["stdout_offset"] == 4


@pytest.mark.parametrize("params", [{"stdout_from": 1001}, {"stderr_from": 1001}, {"stdout_from": 1 << 50},
                                    {"stdout_from": (1 << 63) - 1}, {"stdout_from": -(1 << 63)}], ids=repr)
def test_what_was_never_written_cannot_be_replayed(client, ended, waiting, params):
    for process_id in (ended, waiting):
        assert error_of(client.call, "proc.attach", {"id": process_id} | params).code == "bad_params"


def test_a_gap_tells_exactly_what_is_gone(conn, start):
    size = 400_000
    info = start(cmd=f"{numbers(size)}; {numbers(size)} >&2; read x; echo more", stdin=True, ring=65536)
    has_written(conn, info["id"], size, size)
    whole = NUMBERS[:size] + b"more\n"
    oldest = attached(attach(conn, id=info["id"]))["stdout_offset"]
    assert 0 < oldest <= size - 65536
    calls = {begin: attach(conn, id=info["id"], stdout_from=begin) for begin in (0, 1, 1000, oldest - 1)}
    exact = attach(conn, id=info["id"], stdout_from=oldest, stderr_from=-1000)
    clamped = attach(conn, id=info["id"], stdout_from=-size, stderr_from=-1)
    go(conn, info["id"])
    for begin, call in calls.items():
        call.wait()
        [(place, gap)] = gaps(call)
        assert place == 0 and gap["lost"] == oldest - begin
        assert gap["offset"] == oldest == attached(call)["stdout_offset"]
        assert assert_honest(call, whole) == len(whole)
        assert gaps(call, 2) == [], "stderr was not asked for from anywhere"
        assert assert_honest(call, whole, channel=2) == size
    for call in (exact, clamped):
        call.wait()
        assert len(call.events) == 1 and attached(call)["stdout_offset"] == oldest
        assert assert_honest(call, whole) == len(whole)
    assert exact.stderr == NUMBERS[size - 1000:size]


def test_gaps_of_both_streams(client, start):
    size = 400_000
    info = start(cmd=f"{numbers(size)}; {numbers(size)} >&2", ring=65536)
    client.call("proc.wait", {"id": info["id"]})
    call = attach(client, id=info["id"], stdout_from=7, stderr_from=9)
    result = call.wait()
    for channel, begin, dropped in ((1, 7, result["stdout_dropped"]), (2, 9, result["stderr_dropped"])):
        [(_, gap)] = gaps(call, channel)
        assert gap["lost"] == gap["offset"] - begin and gap["offset"] == dropped
        assert assert_honest(call, NUMBERS[:size], channel) == size
    assert call.kinds.index(DATA) == 3, "gaps come before the replay"


def test_a_replay_as_large_as_a_ring_can_be(conn, start):
    size = rounds(5_000_000)
    info = start(cmd=numbers(size), ring=8 << 20)
    conn.call("proc.wait", {"id": info["id"]}, 60)
    call = attach(conn, id=info["id"])
    assert call.wait(LONG)["stdout_dropped"] == 0
    assert call.stdout == NUMBERS[:size]


# -- follow: false -------------------------------------------------------------------------------

def test_without_follow_a_running_one_is_answered_with_what_is_there(client, waiting):
    call = attach(client, id=waiting, follow=False)
    result = call.wait()
    assert result["running"] is True
    assert result["code"] is None and result["signal"] is None and result.get("exited_us") is None
    assert (result["stdout_bytes"], result["stderr_bytes"]) == (1000, 1000)
    assert call.stdout == call.stderr == NUMBERS[:1000]
    assert info_of(client, waiting)["status"] == "running"


def test_without_follow_an_exited_one_is_answered_as_ever(client, ended):
    call = attach(client, id=ended, follow=False, stdout_from=-10)
    result = assert_exit(call.wait(), code=3)
    assert result.get("running") in (None, False)
    assert call.stdout == NUMBERS[990:1000]


def test_without_follow_a_process_that_writes_for_ever_is_no_obstacle(client, start):
    info = start(argv=["yes"], ring=65536)
    has_written(client, info["id"], 1_000_000)
    call = attach(client, id=info["id"], follow=False)
    result = call.wait()
    assert result["running"] is True and len(call.stdout) >= 65536
    assert len(call.stdout) < 5_000_000, "what was there at the time, and no more"
    assert set(call.stdout) == set(b"y\n")


# -- many, again and again -----------------------------------------------------------------------

def test_everybody_sees_everything(agent, client, start):
    size = rounds(1_000_000)
    info = start(cmd=f"read x; {numbers(size)}; {numbers(size)} >&2; exit 2", stdin=True, ring=4096)
    clients = [agent.connect() for _ in range(5)]
    try:
        clients[0].hello(window=50_000)
        calls = [attach(c, id=info["id"]) for c in clients for _ in range(2)]
        go(client, info["id"])
        wait_all(calls, 60)
        for call in calls:
            assert_exit(call.result, code=2)
            assert call.stdout == call.stderr == NUMBERS[:size]
            assert len(call.events) == 1
    finally:
        for c in clients:
            c.close()


def test_the_input_of_each_goes_to_the_process(agent, client, start):
    info = start(argv=["cat"], stdin=True)
    with agent.connect() as c:
        one, two = attach(client, id=info["id"]), attach(c, id=info["id"])
        for i, call in enumerate((one, two, one, two)):
            call.write(b"%d" % i)
            assert one.read(i + 1) == b"0123"[:i + 1]
        two.end()
        assert one.wait() == two.wait() and one.result["code"] == 0
        assert one.stdout == two.stdout == b"0123"


def test_a_cancel_ends_the_attach_and_nothing_else(agent, client, start, alive):
    for more in ({}, {"on_disconnect": "kill"}):
        info = start(cmd="echo ready; read x; echo on; exit 8", stdin=True, **more)
        with agent.connect() as c:
            call, other = attach(c, id=info["id"]), attach(client, id=info["id"])
            call.read(6)
            call.cancel()
            assert error_of(call.wait).code == "canceled"
            assert running(c, info["id"]) and alive(info["pid"])
            go(c, info["id"])
            assert_exit(other.wait(), code=8)
            assert other.stdout == b"ready\non\n"


def test_a_disconnect_ends_the_attach_and_nothing_else(agent, client, start):
    for more in ({}, {"on_disconnect": "kill"}):
        info = start(cmd="echo ready; read x; echo on; exit 8", stdin=True, **more)
        with agent.connect() as c:
            attach(c, id=info["id"]).read(6)
        assert running(client, info["id"])
        go(client, info["id"])
        assert client.call("proc.wait", {"id": info["id"]})["code"] == 8


@pytest.mark.parametrize("window", [0, 20_000])
def test_from_anywhere_in_a_stream_that_never_stops(agent, client, start, guest_dir, window):
    """The same hundred thousand bytes over and over: by its offset each byte is known."""
    size = 100_000
    info = start(cmd=f"{numbers(size)} >{guest_dir}/part; while :; do cat {guest_dir}/part; done", ring=65536)
    has_written(client, info["id"], 3 * size)
    with agent.connect() as c:
        if window:
            c.hello(window=window)
        for i in range(rounds(40)):
            offset = info_of(client, info["id"])["stdout_offset"]
            call = attach(c, id=info["id"], stdout_from=(-1 - i * 3000, offset - 5000, 17)[i % 3])
            begin = attached(call)["stdout_offset"]
            call.read(50_000)
            whole = b"".join(NUMBERS[:size] for _ in range(3))[begin % size:]
            assert call.stdout[:size] == whole[:min(len(call.stdout), size)]
            for _, gap in gaps(call):
                assert gap["offset"] == begin and gap["lost"] == begin - (offset - 5000, 17)[i % 3 - 1]
            call.cancel()
            assert error_of(call.wait).code == "canceled"
    assert info_of(client, info["id"])["status"] == "running"


@pytest.mark.parametrize("window", [0, 20_000])
def test_reattached_in_the_middle_nothing_is_missing(agent, client, start, window):
    """The connection is lost again and again in the middle of the stream; the ring bridges it."""
    size = rounds(3_000_000)
    info = start(cmd=f"{numbers(size)}; exit 5", ring=4 << 20)
    got, times, done = b"", 0, False
    while not done:
        with agent.connect() as c:
            if window:
                c.hello(window=window)
            call = attach(c, id=info["id"], stdout_from=len(got))
            assert attached(call)["stdout_offset"] == len(got) and len(call.events) == 1
            call.pump(lambda: len(call.stdout) > size // 7, LONG, "a part")
            got += call.stdout
            done = call.done
            times += 1
    assert got == NUMBERS[:size] and times > 3
    assert_exit(call.result, code=5)


def test_reattached_after_too_much_output_the_gap_is_exact(agent, client, start):
    """Each time more than the ring holds is written while nobody listens."""
    part, parts = 200_000, 4
    whole = NUMBERS[:part] * parts
    info = start(cmd=f"for i in 1 2 3 4; do read x; {numbers(part)}; done; read x; exit 5", stdin=True, ring=65536)
    offset = 0
    for i in range(parts):
        with agent.connect() as c:
            call = attach(c, id=info["id"], stdout_from=offset)
            call.pump(lambda: attached(call)["stdout_offset"] + len(call.stdout) == i * part, what="what is kept")
            assert len(gaps(call)) == (i > 0)
            offset = assert_honest(call, whole)
            assert offset == i * part
        go(client, info["id"])
        has_written(client, info["id"], (i + 1) * part)
    go(client, info["id"])
    call = attach(client, id=info["id"], stdout_from=offset)
    result = assert_exit(call.wait(), code=5)
    assert gaps(call)[0][1]["lost"] > 0 and assert_honest(call, whole) == len(whole) == result["stdout_bytes"]


# -- who is slow ---------------------------------------------------------------------------------

def stalled(agent, process_id, taken, **params):
    """A connection and its attached call, which takes `taken` bytes and no more."""
    c = agent.connect()
    c.hello(window=taken)
    call = c.open("proc.attach", {"id": process_id} | params)
    call.auto_credit = False
    call.event("attached")
    return c, call


def test_a_slow_client_holds_the_process_back(agent, client, start):
    size = 1_000_000
    info = start(cmd=f"read x; {numbers(size)}; exit 6", stdin=True, ring=65536)
    c, call = stalled(agent, info["id"], 1000)
    with c:
        go(client, info["id"])
        call.read(1000)
        assert running(client, info["id"])
        other = attach(client, id=info["id"])
        other.read(len(other.stdout))
        assert running(client, info["id"]), "and everybody who is attached with it"
        call.grant(10 << 20)
        wait_all([call, other], 60)
        assert_exit(call.result, code=6)
        assert call.stdout == NUMBERS[:size] and len(call.events) == 1
        assert assert_honest(other, NUMBERS[:size]) == size and not gaps(other)


def test_the_process_is_released_when_the_slow_client_goes(agent, client, start):
    info = start(cmd=f"read x; {numbers(1_000_000)}; exit 6", stdin=True, ring=65536)
    c, call = stalled(agent, info["id"], 1000)
    go(client, info["id"])
    call.read(1000)
    assert running(client, info["id"])
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    c.close()
    assert client.call("proc.wait", {"id": info["id"]})["code"] == 6


@pytest.mark.parametrize("method", ["proc.attach", "proc.exec"])
@pytest.mark.parametrize("stall_ms", [0, 700])
def test_who_takes_nothing_for_too_long_loses_output_and_is_told(agent, client, start, method, stall_ms):
    size = 1_000_000
    process_id = unique("stall")
    spawn = {"cmd": f"read x; {numbers(size)}; exit 6", "stdin": True, "ring": 65536, "id": process_id}
    with agent.connect() as c:
        c.hello(window=1000)
        if method == "proc.exec":
            call = c.open("proc.exec", spawn | {"stall_ms": stall_ms})
            call.auto_credit = False
            call.event("started")
        else:
            start(**spawn)
            call = c.open("proc.attach", {"id": process_id, "stall_ms": stall_ms})
            call.auto_credit = False
            call.event("attached")
        go(client, process_id)
        assert client.call("proc.wait", {"id": process_id}, 60)["code"] == 6, "it was let go"
        assert len(call.stdout) <= 1000 and not call.done
        call.grant(10 << 20)
        assert_exit(call.wait(), code=6)
        [(place, gap)] = gaps(call)
        assert place + gap["lost"] == gap["offset"] and gap["lost"] > 0
        assert gap["lost"] + len(call.stdout) == size
        assert call.stdout[:place] == NUMBERS[:place] and call.stdout[place:] == NUMBERS[gap["offset"]:size]
        assert size - gap["offset"] >= 65536, "what the ring holds is not lost"


def test_who_does_not_even_read_its_connection_is_no_different(agent, client, start):
    """Without credits it is the socket that is full."""
    size = 5_000_000
    info = start(cmd=f"read x; {numbers(size)}; exit 6", stdin=True, ring=65536)
    with agent.connect() as c:
        call = c.open("proc.attach", {"id": info["id"], "stall_ms": 500})
        call.event("attached")
        go(client, info["id"])
        assert client.call("proc.wait", {"id": info["id"]}, 60)["code"] == 6
        assert call.wait(LONG)["stdout_bytes"] == size
        assert gaps(call) and assert_honest(call, NUMBERS[:size]) == size


def test_who_never_holds_back_leaves_the_others_whole(agent, client, start):
    size = rounds(2_000_000)
    info = start(cmd=f"read x; {numbers(size)}; exit 6", stdin=True, ring=65536)
    c, call = stalled(agent, info["id"], 1000, stall_ms=0)
    with c:
        other = attach(client, id=info["id"])
        other.write(b"\n")
        assert other.wait(LONG)["code"] == 6
        assert other.stdout == NUMBERS[:size] and len(other.events) == 1
        call.grant(10 << 20)
        call.wait()
        assert gaps(call) and assert_honest(call, NUMBERS[:size]) == size


def test_who_takes_a_little_now_and_then_loses_nothing(agent, client, start):
    size = 300_000
    info = start(cmd=f"read x; {numbers(size)}; exit 6", stdin=True, ring=4096)
    c, call = stalled(agent, info["id"], 1000, stall_ms=10_000)
    with c:
        go(client, info["id"])
        granted = 1000
        while granted < size:
            call.read(granted)
            c.call("system.ping")
            call.grant(10_000)
            granted += 10_000
        assert call.wait()["code"] == 6
        assert call.stdout == NUMBERS[:size] and len(call.events) == 1


def test_who_lost_output_may_catch_up_and_loses_no_more(agent, client, start):
    part = 500_000
    whole = NUMBERS[:part] + NUMBERS[:part]
    info = start(cmd=f"read x; {numbers(part)}; read x; {numbers(part)}; exit 6", stdin=True, ring=65536)
    c, call = stalled(agent, info["id"], 1000, stall_ms=1000)
    with c:
        go(client, info["id"])
        has_written(client, info["id"], part)
        call.auto_credit = True
        call.grant(1000)
        c.pump(lambda: len(gaps(call)) == 1 and assert_honest(call, whole) == part, what="it caught up")
        go(client, info["id"])
        assert call.wait()["code"] == 6
        assert len(gaps(call)) == 1 and assert_honest(call, whole) == len(whole)


def test_a_stalled_attach_can_be_canceled(agent, client, start):
    info = start(argv=["yes"])
    c, call = stalled(agent, info["id"], 10)
    with c:
        call.read(10)
        call.cancel()
        assert error_of(call.wait).code == "canceled"
        assert len(call.stdout) == 10


# -- when the leader is gone ---------------------------------------------------------------------

def test_it_follows_what_the_leader_left_behind(client, agent, start, guest_dir):
    info = start(cmd=f"(until [ -e {guest_dir}/go ]; do sleep 0.05; done; echo late) & echo early; exit 3")
    early = attach(client, id=info["id"])
    result = assert_exit(client.call("proc.wait", {"id": info["id"]}), code=3)
    assert result["eof"] is False
    late = attach(client, id=info["id"])
    for call in (early, late):
        assert call.read(6) == b"early\n"
    client.call("system.ping")
    assert not early.done and not late.done
    at_once = attach(client, id=info["id"], follow=False)
    assert at_once.wait()["code"] == 3 and at_once.stdout == b"early\n"
    assert client.call("proc.run", {"argv": ["touch", f"{guest_dir}/go"]})["code"] == 0
    for call in (early, late):
        assert call.wait()["code"] == 3
        assert call.stdout == b"early\nlate\n"
    again = attach(client, id=info["id"])
    assert again.wait()["code"] == 3 and again.stdout == b"early\nlate\n"


def test_it_ends_when_what_was_left_behind_is_stopped(client, start):
    info = start(cmd="sleep 1000 & echo early; exit 3")
    client.call("proc.wait", {"id": info["id"]})
    call = attach(client, id=info["id"])
    assert call.read(6) == b"early\n" and not call.done
    assert client.call("proc.stop", {"id": info["id"]})["code"] == 3
    assert call.wait()["code"] == 3


def test_the_last_output_comes_before_the_response(client, start):
    """Output and exit race here; output always wins."""
    for _ in range(rounds(50)):
        call = attach(client, id=start(cmd="printf last; printf words >&2")["id"])
        call.wait()
        assert (call.stdout, call.stderr) == (b"last", b"words") and call.kinds[-1] == RESPONSE
