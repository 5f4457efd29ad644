"""proc.input: input without a call of one's own."""

import pytest

from client import DATA, LONG, STDIN
from support import NUMBERS, assert_exit, error_of, eventually, has_written, rounds


def send(client, process_id, data=None, **more):
    return client.call("proc.input", {"id": process_id} | ({} if data is None else {"data": data}) | more)


def state_of(client, pid):
    return next(p["state"] for p in client.call("proc.list", {"all": True}) if p["pid"] == pid)


def ended(client, process_id):
    """(its Exit, its output)."""
    call = client.open("proc.attach", {"id": process_id})
    return call.wait(LONG), bytes(call.stdout)


def test_it_is_written_and_counted(client, start):
    info = start(argv=["cat"], stdin=True)
    assert send(client, info["id"], b"one ") == {"written": 4}
    assert client.call("proc.input", {"pid": info["pid"], "data": b"two "}) == {"written": 4}
    assert send(client, info["id"], "text is bytes") == {"written": 13}
    assert send(client, info["id"], b"") == {"written": 0}
    has_written(client, info["id"], 21)
    assert send(client, info["id"], close=True) == {"written": 0}
    result, output = ended(client, info["id"])
    assert_exit(result, code=0)
    assert output == b"one two text is bytes"


def test_data_and_close_in_one(client, start):
    info = start(argv=["cat"], stdin=True)
    assert send(client, info["id"], NUMBERS[:1000], close=True) == {"written": 1000}
    assert ended(client, info["id"])[1] == NUMBERS[:1000]


def test_close_false_closes_nothing(client, start):
    info = start(argv=["cat"], stdin=True)
    send(client, info["id"], b"a", close=False)
    send(client, info["id"], b"b", close=True)
    assert ended(client, info["id"])[1] == b"ab"


def test_requests_keep_their_order(client, start):
    """None of them waits for the answer to the one before."""
    info = start(argv=["cat"], stdin=True)
    parts = [NUMBERS[i * 3000:(i + 1) * 3000] for i in range(50)]
    calls = [client.open("proc.input", {"id": info["id"], "data": part}) for part in parts]
    calls.append(client.open("proc.input", {"id": info["id"], "close": True}))
    assert [call.wait()["written"] for call in calls] == [3000] * 50 + [0]
    assert ended(client, info["id"])[1] == b"".join(parts)


def test_several_ways_in(agent, client):
    """proc.exec's own channel, an attach from elsewhere, and proc.input."""
    call = client.open("proc.exec", {"argv": ["cat"], "stdin": True})
    process_id = call.event("started")["id"]
    call.write(b"a")
    assert call.read(1) == b"a"
    send(client, process_id, b"b")
    assert call.read(2) == b"ab"
    with agent.connect() as c:
        other = c.open("proc.attach", {"id": process_id})
        other.write(b"c")
        assert call.read(3) == b"abc"
        send(c, process_id, b"d", close=True)
    assert call.wait()["code"] == 0 and call.stdout == b"abcd"


def test_it_is_answered_when_the_process_has_room_for_it(client, start):
    """More than a pipe holds, for a process that reads late."""
    size = 900_000
    info = start(cmd="kill -STOP $$; exec wc -c", stdin=True)
    eventually(lambda: state_of(client, info["pid"]) == "T", "it stands still")
    call = client.open("proc.input", {"id": info["id"], "data": NUMBERS[:size], "close": True})
    behind = client.open("proc.input", {"id": info["id"], "data": b"behind"})
    assert error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 500}).code == "timeout"
    assert not call.done
    client.call("proc.signal", {"id": info["id"], "signal": "CONT"})
    assert call.wait(LONG) == {"written": size}
    assert int(ended(client, info["id"])[1]) == size, "what was sent behind the end is no input"
    assert error_of(behind.wait).code == "EPIPE"


def test_much_input_in_many_requests(client, start):
    info = start(cmd="exec wc -c", stdin=True)
    for _ in range(rounds(20)):
        assert send(client, info["id"], NUMBERS[:500_000]) == {"written": 500_000}
    send(client, info["id"], close=True)
    assert int(ended(client, info["id"])[1]) == rounds(20) * 500_000


# -- nobody reads --------------------------------------------------------------------------------

def fails(client, process_id, **params):
    e = error_of(send, client, process_id, **params)
    assert (e.code, e.errno) == ("EPIPE", 32)


def test_a_process_without_stdin(client, start):
    fails(client, start(argv=["sleep", "60"])["id"], data=b"x")


def test_a_process_whose_input_was_closed(client, start):
    info = start(cmd="cat; exec sleep 60", stdin=True)
    send(client, info["id"], close=True)
    fails(client, info["id"], data=b"x")


def test_a_process_that_closed_its_input(client, start):
    info = start(cmd="exec 0</dev/null; echo closed; sleep 60", stdin=True)
    has_written(client, info["id"], 7)
    fails(client, info["id"], data=b"x")


def test_a_process_that_has_exited(client, start):
    info = start(cmd="exit 0", stdin=True)
    client.call("proc.wait", {"id": info["id"]})
    fails(client, info["id"], data=b"x")
    assert error_of(client.call, "proc.input", {"pid": info["pid"], "data": b"x"}).code == "EPIPE"


def test_a_process_that_exits_in_the_middle(client, start):
    info = start(argv=["sleep", "60"], stdin=True)
    call = client.open("proc.input", {"id": info["id"], "data": NUMBERS[:900_000]})
    client.call("system.ping")
    client.call("proc.signal", {"id": info["id"], "signal": "KILL"})
    assert error_of(call.wait).code == "EPIPE"


def test_input_to_an_attach_that_nobody_reads_is_dropped(client, start):
    """A call's channel has no answer to carry EPIPE: as in proc.exec."""
    info = start(argv=["sleep", "60"])
    call = client.open("proc.attach", {"id": info["id"]})
    call.event("attached")
    client.send([DATA, call.id, STDIN, b"x" * 1000])
    call.end()
    client.call("system.ping")
    assert not call.done


# -- ends ----------------------------------------------------------------------------------------

def test_a_cancel_answers_at_once_and_what_follows_stands_behind(client, start):
    """How much of the canceled one was taken, nobody says."""
    info = start(cmd="kill -STOP $$; exec cat", stdin=True)
    eventually(lambda: state_of(client, info["pid"]) == "T", "it stands still")
    call = client.open("proc.input", {"id": info["id"], "data": NUMBERS[:900_000]})
    client.call("system.ping")
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    last = client.open("proc.input", {"id": info["id"], "data": b"last", "close": True})
    client.call("proc.signal", {"id": info["id"], "signal": "CONT"})
    assert last.wait() == {"written": 4}
    output = ended(client, info["id"])[1]
    assert output.endswith(b"last") and NUMBERS[:900_000].startswith(output[:-4])


@pytest.mark.parametrize("params", [{"data": 5}, {"close": "yes"}, {"data": ["x"]}], ids=repr)
def test_impossible_input(client, start, params):
    info = start(argv=["cat"], stdin=True)
    assert error_of(send, client, info["id"], **params).code == "bad_params"
