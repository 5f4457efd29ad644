"""How a process is stopped: by its timeout, by a cancel, by the end of the connection, or not."""

import pytest

from client import CANCEL, RESPONSE, RpcError
from support import error_of, eventually, numbers

# It does not die of TERM, and neither does what it starts.
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1; done"


def start(client, **spawn):
    """A running process that printed its pid, and maybe those of its children."""
    call = client.open("proc.exec", spawn)
    call.event("started")
    return call


def pids(call, count):
    """The first `count` lines of its output, as numbers."""
    call.pump(lambda: call.stdout.count(b"\n") >= count, what=f"{count} lines")
    return [int(line) for line in call.stdout.split()[:count]]


# -- timeout -------------------------------------------------------------------------------------

def test_a_timeout_terminates(conn):
    call = start(conn, argv=["sleep", "60"], timeout_ms=300)
    result = call.wait()
    assert result["timed_out"] is True
    assert result["code"] is None and (result["signal"], result["signal_name"]) == (15, "SIGTERM")
    assert 300 <= result["duration_ms"] < 20000


def test_an_exit_after_the_timeouts_signal_is_still_timed_out(client):
    """What the process makes of TERM is told as it is."""
    result = start(client, cmd="trap 'exit 9' TERM; while :; do sleep 0.05; done", timeout_ms=1500).wait()
    assert result["timed_out"] is True and result["code"] == 9 and result["signal"] is None


def test_a_timeout_that_is_not_reached_changes_nothing(client):
    result = start(client, cmd="exit 3", timeout_ms=60000).wait()
    assert result["timed_out"] is False and result["code"] == 3


def test_who_ignores_term_is_killed_after_the_grace(client, alive):
    call = start(client, cmd=STUBBORN, timeout_ms=1000, grace_ms=300)
    result = call.wait()
    assert result["timed_out"] is True
    assert (result["signal"], result["signal_name"]) == (9, "SIGKILL")
    assert result["duration_ms"] >= 1300
    assert not alive(pids(call, 1)[0])


def test_a_timeout_ends_the_whole_group(client, alive):
    call = start(client, cmd="sleep 61 & echo $!; sleep 62 & echo $!; wait", timeout_ms=1500)
    children = pids(call, 2)
    assert call.wait()["timed_out"] is True
    eventually(lambda: not any(map(alive, children)), "the children are gone")


def test_a_timeout_ends_children_in_sessions_of_their_own(client, alive):
    call = start(client, cmd="setsid sleep 61 & echo $!; setsid sleep 62 & echo $!; wait", timeout_ms=1500)
    children = pids(call, 2)
    assert call.wait()["timed_out"] is True
    eventually(lambda: not any(map(alive, children)), "the children are gone")


def test_output_before_the_timeout_is_kept(conn):
    call = start(conn, cmd="echo before; echo error >&2; exec sleep 60", timeout_ms=1500)
    assert call.wait()["timed_out"] is True
    assert call.stdout == b"before\n" and call.stderr == b"error\n"


def test_a_timeout_stops_a_process_that_is_held_back(agent):
    """Its output is full because the client grants nothing."""
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("proc.exec", {"argv": ["yes"], "timeout_ms": 500})
        call.auto_credit = False
        call.pump(lambda: len(call.stdout) == 1000, what="the window")
        for _ in range(3):
            c.call("system.ping")
        # What it wrote until then may still have to be taken.
        call.auto_credit = True
        call.grant(1 << 20)
        assert call.wait()["timed_out"] is True


# -- cancel --------------------------------------------------------------------------------------

def assert_canceled(call):
    """Canceling wins or the result was faster; here nothing ends by itself."""
    call.cancel()
    assert error_of(call.wait).code == "canceled"


def test_cancel_stops_the_process(conn, alive):
    call = start(conn, cmd="echo $$; exec sleep 60")
    pid = pids(call, 1)[0]
    assert pid == call.events[0]["pid"] and alive(pid)
    assert_canceled(call)
    assert not alive(pid)
    conn.call("system.ping")


def test_cancel_stops_the_whole_tree(client, alive):
    call = start(client, cmd="sleep 61 & echo $!; (sleep 62 & echo $!; wait) & setsid sleep 63 & echo $!; wait")
    children = pids(call, 3)
    assert all(map(alive, children))
    assert_canceled(call)
    assert not any(map(alive, children)), "nothing of it is alive when the response is there"


def test_cancel_kills_who_ignores_term(client, alive):
    call = start(client, cmd=STUBBORN, grace_ms=300)
    pid = pids(call, 1)[0]
    assert_canceled(call)
    assert not alive(pid)


def test_cancel_lets_the_process_clean_up(client, guest_dir):
    call = start(client, cmd=f"trap 'echo bye >{guest_dir}/note; exit' TERM; echo ready; while :; do sleep 0.05; done")
    call.read(6)
    assert_canceled(call)
    assert client.call("proc.run", {"argv": ["cat", f"{guest_dir}/note"]})["stdout"] == b"bye\n"


def test_cancel_of_a_process_that_is_held_back(agent, alive):
    """The client takes nothing any more; it should not have to, to get rid of the call."""
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("proc.exec", {"argv": ["yes"]})
        call.auto_credit = False
        call.pump(lambda: len(call.stdout) == 1000, what="the window")
        assert_canceled(call)
        assert not alive(call.events[0]["pid"])
        assert len(call.stdout) == 1000


def test_cancel_of_a_run(client, alive, guest_dir):
    call = client.open("proc.run", {"cmd": f"echo $$ >{guest_dir}/pid; exec sleep 60"})

    def pid():
        return client.call("proc.run", {"cmd": f"cat {guest_dir}/pid 2>/dev/null"})["stdout"].strip()

    running = int(eventually(pid, "it runs"))
    assert_canceled(call)
    assert not alive(running)


def test_cancel_races_with_the_end(client):
    """Exactly one response each time, whichever comes first."""
    for _ in range(30):
        call = start(client, argv=["true"])
        call.cancel()
        call.cancel()
        call.pump(lambda: call.done)
        assert call.kinds.count(RESPONSE) == 1
        assert call.error is None or call.error["code"] == "canceled"
    client.call("system.ping")
    assert client.strays == []


def test_cancel_right_behind_the_request(client, alive):
    for _ in range(10):
        call = client.open("proc.exec", {"argv": ["sleep", "60"]})
        call.cancel()
        assert error_of(call.wait).code == "canceled"
        assert not any(alive(e["pid"]) for e in call.events)


def test_a_second_cancel_is_ignored(client):
    call = start(client, cmd=STUBBORN, grace_ms=500)
    pids(call, 1)
    for _ in range(5):
        client.send([CANCEL, call.id])
    assert error_of(call.wait).code == "canceled"
    client.call("system.ping")
    assert client.strays == []


# -- the end of the connection -------------------------------------------------------------------

def test_a_process_outlives_its_connection(agent, client, guest_dir):
    """It is not just alive but works on: a restored snapshot finds it doing so."""
    with agent.connect() as c:
        call = start(c, cmd=f"echo ready; until [ -e {guest_dir}/go ]; do sleep 0.05; done; echo $$ >{guest_dir}/done")
        call.read(6)
        pid = call.events[0]["pid"]

    def done():
        return client.call("proc.run", {"cmd": f"touch {guest_dir}/go; cat {guest_dir}/done 2>/dev/null"})["stdout"]

    assert int(eventually(done, "the process got on")) == pid


def test_output_without_a_listener_does_not_stop_the_process(agent, client, guest_dir):
    """Far more than any buffer holds, and nobody attached: the oldest bytes go, the process stays."""
    with agent.connect() as c:
        call = start(c, cmd=f"echo ready; until [ -e {guest_dir}/go ]; do sleep 0.05; done;"
                            f"{numbers(5_000_000)}; echo $? >{guest_dir}/done")
        call.read(6)
    assert client.call("proc.run", {"cmd": f"touch {guest_dir}/go"})["code"] == 0

    def done():
        return client.call("proc.run", {"cmd": f"cat {guest_dir}/done 2>/dev/null"})["stdout"]

    assert eventually(done, "the process got on") == b"0\n"


def test_a_process_held_back_is_released_when_its_client_goes(agent, client, guest_dir):
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("proc.exec", {"cmd": f"{numbers(5_000_000)}; echo $? >{guest_dir}/done"})
        call.auto_credit = False
        call.pump(lambda: len(call.stdout) == 1000, what="the window")
        waiting = client.call("proc.run", {"cmd": f"cat {guest_dir}/done 2>/dev/null"})["stdout"]
        assert waiting == b"", "held back as long as somebody listens"

    def done():
        return client.call("proc.run", {"cmd": f"cat {guest_dir}/done 2>/dev/null"})["stdout"]

    assert eventually(done, "the process got on") == b"0\n"


@pytest.mark.parametrize("script, count", [("echo $$; exec sleep 60", 1),
                                           ("sleep 61 & echo $!; setsid sleep 62 & echo $!; wait", 2)],
                         ids=["alone", "with children"])
def test_on_disconnect_kill(agent, alive, script, count):
    with agent.connect() as c:
        call = start(c, cmd=script, on_disconnect="kill")
        running = pids(call, count)
        assert all(map(alive, running))
    eventually(lambda: not any(map(alive, running)), "the tree is gone")


def test_on_disconnect_kill_of_a_run(agent, client, alive, guest_dir):
    with agent.connect() as c:
        c.open("proc.run", {"cmd": f"echo $$ >{guest_dir}/pid; exec sleep 60", "on_disconnect": "kill"})

        def pid():
            return client.call("proc.run", {"cmd": f"cat {guest_dir}/pid 2>/dev/null"})["stdout"].strip()

        running = int(eventually(pid, "it runs"))
        assert alive(running)
    eventually(lambda: not alive(running), "it is gone")


# -- several calls on one process ----------------------------------------------------------------

def test_a_cancel_does_not_wait_for_another_call_that_stalls(agent):
    """The other call held the ring full, so the output of the dead process was never read to its end."""
    with agent.connect() as c:
        c.hello(window=10)
        calls = [c.open("proc.exec", {"argv": ["yes"], "id": "shared-yes"}) for _ in range(2)]
        for call in calls:
            call.auto_credit = False
            call.event("started")
            call.read(10)
        calls[0].cancel()
        assert error_of(calls[0].wait).code == "canceled"
        calls[1].grant(10_000_000)
        assert calls[1].wait()["signal"] == 15


def test_a_disconnect_kills_only_with_the_last_call(agent, alive):
    spawn = {"cmd": "echo $$; sleep 1000", "id": "kept-by-the-second", "on_disconnect": "kill"}
    with agent.connect() as second:
        with agent.connect() as first:
            pid, = pids(start(first, **spawn), 1)
            assert pids(start(second, **spawn), 1) == [pid]
        second.call("system.ping")
        assert alive(pid)
    eventually(lambda: not alive(pid), "nobody follows it any more")


# -- when the leader is gone already -------------------------------------------------------------

def test_a_cancel_is_answered_when_the_last_one_is_dead(client, alive):
    """The leader had exited, so the answer came at once, seconds before the rest of the tree died."""
    call = start(client, cmd="(%s) & sleep 1000" % STUBBORN.replace("$$", "$(exec sh -c 'echo $PPID')"),
                 timeout_ms=500, grace_ms=2500)
    stubborn, = pids(call, 1)
    client.call("proc.run", {"argv": ["sleep", "1"]})      # by now the timeout has ended the leader
    assert alive(stubborn)
    call.cancel()
    assert error_of(call.wait).code == "canceled"
    assert not alive(stubborn)


def test_a_cancel_finds_what_an_exited_leader_left_behind(client, alive, kill):
    """Between the exit of the leader and the response lie 200 ms; a cancel in them must not leave the child."""
    for _ in range(50):
        call = start(client, cmd="sleep 1000 & echo $!")
        child, = pids(call, 1)
        call.cancel()
        try:
            assert call.wait()["eof"] is False              # the result was faster
            kill(child)
        except RpcError as e:
            assert e.code == "canceled"
            assert not alive(child)
            return
    raise AssertionError("no cancel came in time")
