"""A thousand processes at once, and one more than there may be."""

import pytest

from client import RpcError
from support import REMOTE, error_of, eventually, rounds

# The small virtual machine has 256 MiB for all of them.
MANY = min(rounds(1000), 100) if REMOTE else rounds(1000)

WAIT_S = 120

pytestmark = pytest.mark.slow


@pytest.fixture
def label(client):
    """A label of this test; nothing that has it is left afterwards."""
    name = "test-many"
    yield name
    for info in client.call("proc.list"):
        if info.get("label") == name and info["status"] == "running":
            client.call("proc.stop", {"id": info["id"], "signal": "KILL"}, WAIT_S)


def start_many(client, label, n, **spec):
    """Pipelined: all requests, then all answers; the ProcessInfo of each, or the RpcError."""
    calls = [client.open("proc.start", {"argv": ["sleep", "1000"], "label": label, **spec}) for _ in range(n)]
    results = []
    for call in calls:
        try:
            results.append(call.wait(WAIT_S))
        except RpcError as e:
            results.append(e)
    return results


def test_many_processes_start_are_listed_and_stop(agent, client, label, frugal):
    started = start_many(client, label, MANY)
    failed = [e for e in started if isinstance(e, RpcError)]
    assert not failed, failed[:3]
    pids = {info["pid"] for info in started}
    assert len(pids) == MANY and len({info["id"] for info in started}) == MANY

    ours = {info["id"]: info for info in client.call("proc.list", timeout=WAIT_S) if info.get("label") == label}
    assert set(ours) == {info["id"] for info in started}
    assert all(info["status"] == "running" for info in ours.values())

    everything = client.call("proc.list", {"all": True}, WAIT_S)
    by_pid = {p["pid"]: p for p in everything}
    assert len(by_pid) == len(everything), "a process is listed twice"
    for info in started:
        listed = by_pid[info["pid"]]
        assert listed["id"] == info["id"]
        assert listed["comm"] == "sleep" and listed["argv"][1:] == ["1000"], listed

    exits = client.call("proc.stop", {"label": label}, WAIT_S)
    assert len(exits) == MANY
    assert all(x["signal"] == 15 and x["code"] is None for x in exits)
    left = pids & {p["pid"] for p in client.call("proc.list", {"all": True}, WAIT_S)}
    assert not left, f"alive behind the stop: {left}"

    # The agent keeps at most so many, oldest forgotten first: none of ours is said to run.
    assert not [p for p in client.call("proc.list", timeout=WAIT_S)
                if p.get("label") == label and p["status"] == "running"]
    for info in started:
        try:
            client.call("proc.remove", {"id": info["id"]})
        except RpcError as e:
            assert e.code == "not_found", e
    if agent.pid is not None:
        eventually(lambda: not agent.children(), "no zombies")


@pytest.mark.local
def test_a_storm_beyond_the_limit_is_refused_and_survived(agent, client, label):
    """What is over max_processes gets an error that names it; what is under it runs."""
    limit = client.call("hello", {"protocol": 1})["limits"]["max_processes"]
    more = 200
    running = len([p for p in client.call("proc.list") if p["status"] == "running"])
    # From several connections: each has a limit of open calls of its own.
    others = [agent.connect() for _ in range(3)]
    try:
        clients = [client, *others]
        share = -(-(limit + more) // len(clients))
        calls = [c.open("proc.start", {"argv": ["sleep", "1000"], "label": label})
                 for _ in range(share) for c in clients]
        for call in calls:
            call.pump(lambda call=call: call.done, WAIT_S, "an answer")
        errors = [call.error for call in calls if call.error]
        assert len(calls) - len(errors) == limit - running
        for e in errors:
            assert e["code"] == "limit" and "max_processes" in e["message"], e

        # The agent goes on: small questions, and the same refusal for the other ways to spawn.
        client.call("system.ping")
        for method in ("proc.start", "proc.exec", "proc.run"):
            assert error_of(client.call, method, {"argv": ["true"]}).code == "limit"
        assert len(client.call("proc.stop", {"label": label}, WAIT_S)) == limit - running
        assert client.call("proc.run", {"argv": ["true"]})["code"] == 0
    finally:
        for c in others:
            c.close()
