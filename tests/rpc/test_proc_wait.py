"""proc.wait: the Exit, for as many as ask, before and after it happened."""

import pytest

from client import TIMEOUT
from support import assert_exit, error_of, go, info_of, rounds, unique


def test_it_answers_when_the_process_exits(client, start):
    info = start(cmd="read x; echo $x; exit 3", stdin=True)
    call = client.open("proc.wait", {"id": info["id"]})
    client.call("system.ping")
    assert not call.done
    go(client, info["id"])
    result = assert_exit(call.wait(), code=3)
    assert call.kinds == [1], "the response and nothing else"
    assert result["started_us"] == info["started_us"] and result["stdout_bytes"] == 1 and result["eof"] is True
    assert client.call("proc.wait", {"id": info["id"]}) == result, "and later ones hear the same"
    assert client.call("proc.wait", {"pid": info["pid"]}) == result


def test_death_by_signal(client, start):
    info = start(cmd="kill -USR1 $$; sleep 60")
    assert_exit(client.call("proc.wait", {"id": info["id"]}), signal=10, signal_name="SIGUSR1")


def test_any_number_may_wait(agent, client, start):
    info = start(cmd="read x; exit 4", stdin=True)
    clients = [agent.connect() for _ in range(5)]
    try:
        calls = [c.open("proc.wait", {"id": info["id"]} if i % 2 else {"pid": info["pid"]})
                 for c in clients for i in range(10)]
        for c in clients:
            c.call("system.ping")
        assert not any(call.done for call in calls)
        go(client, info["id"])
        result = client.call("proc.wait", {"id": info["id"]})
        assert all(call.wait() == result for call in calls)
        assert_exit(result, code=4)
    finally:
        for c in clients:
            c.close()


def test_a_call_that_streams_is_waited_for_as_well(client):
    call = client.open("proc.exec", {"cmd": "read x; exit 5", "stdin": True})
    wait = client.open("proc.wait", {"id": call.event("started")["id"]})
    call.write(b"\n")
    assert wait.wait() == call.wait() and call.result["code"] == 5


def test_a_run_is_waited_for_by_its_id(client):
    process_id = unique("wait-run")
    result = client.call("proc.run", {"cmd": "exit 6", "id": process_id})
    assert_exit(client.call("proc.wait", {"id": process_id}), code=6)
    assert client.call("proc.wait", {"pid": result["pid"]})["exited_us"] == result["exited_us"]


def test_a_timeout_ends_the_wait_alone(client, start, alive):
    info = start(cmd="read x; exit 7", stdin=True)
    endless = client.open("proc.wait", {"id": info["id"], "timeout_ms": 0})
    e = error_of(client.call, "proc.wait", {"id": info["id"], "timeout_ms": 300})
    assert e.code == "timeout"
    assert alive(info["pid"]) and info_of(client, info["id"])["status"] == "running"
    assert not endless.done, "0 is no limit"
    go(client, info["id"])
    assert endless.wait()["code"] == 7


def test_a_timeout_that_is_not_reached_changes_nothing(client, start):
    info = start(cmd="exit 8")
    assert client.call("proc.wait", {"id": info["id"], "timeout_ms": int(TIMEOUT * 1000)})["code"] == 8
    assert client.call("proc.wait", {"id": info["id"], "timeout_ms": 1})["code"] == 8, "it has exited"


def test_a_wait_can_be_canceled(client, start, alive):
    info = start(argv=["sleep", "60"])
    call = client.open("proc.wait", {"id": info["id"]})
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert alive(info["pid"])


def test_whoever_goes_while_waiting_harms_nothing(agent, client, start):
    info = start(cmd="read x; exit 9", stdin=True, on_disconnect="keep")
    for _ in range(rounds(20)):
        with agent.connect() as c:
            c.open("proc.wait", {"id": info["id"]})
            c.open("proc.wait", {"id": info["id"], "timeout_ms": 60_000})
            c.call("system.ping")
    go(client, info["id"])
    assert client.call("proc.wait", {"id": info["id"]})["code"] == 9


def test_what_the_leader_left_behind_does_not_hold_it(client, start, alive):
    info = start(cmd="sleep 60 & echo $!; exit 2")
    result = assert_exit(client.call("proc.wait", {"id": info["id"]}), code=2)
    assert result["eof"] is False
    assert alive(int(client.call("proc.logs", {"id": info["id"]})["text"]))


@pytest.mark.parametrize("params", [{"timeout_ms": -1}, {"timeout_ms": "1"}, {"label": "x", "id": "y"}], ids=repr)
def test_impossible_waits(client, params):
    assert error_of(client.call, "proc.wait", {"id": "x"} | params).code == "bad_params"
