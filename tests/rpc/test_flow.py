"""Flow control: who does not read holds up itself and nobody else."""

import time

import pytest

from client import DATA, END, LONG, MAX_DATA, REQUEST, STDIN, Disconnected, frame, pack
from support import NUMBERS, REMOTE, error_of, eventually, numbers, rounds, sanitized

FIVE_MB = numbers(5_000_000)


@pytest.fixture
def bounded(agent):
    """The daemon's memory stays within bounds all the time (peak, not average)."""
    if agent.pid is None:
        yield
        return
    agent.reset_peak()
    before = agent.peak()
    yield
    grown = agent.peak() - before
    assert grown < (128 if sanitized() else 32) << 20, f"grew by {grown >> 20} MiB"


def cpu_time(client, pid):
    """Clock ticks that a process of the guest used so far."""
    stat = client.call("proc.run", {"argv": ["cat", f"/proc/{pid}/stat"]})["stdout"]
    assert stat, "the process is gone"
    fields = stat.rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def assert_held_back(client, pid):
    """A process that would write for ever comes to a halt, and stays alive."""
    def used_within(seconds):
        before = cpu_time(client, pid)
        time.sleep(seconds)
        return cpu_time(client, pid) - before

    eventually(lambda: used_within(0.3) == 0, "the process is held back")


def assert_works(client):
    """A connection on which nothing is stuck."""
    client.call("system.ping")
    call = client.open("proc.exec", {"cmd": FIVE_MB})
    assert call.wait(LONG)["code"] == 0
    assert call.stdout == NUMBERS[:5_000_000]


# -- transport mode ------------------------------------------------------------------------------

def test_who_does_not_read_stalls_alone(agent, client, bounded, alive, kill):
    with agent.connect() as c:
        call = c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
        pid = call.event("started")["pid"]
        assert_held_back(client, pid)       # c reads nothing meanwhile
        assert_works(client)
        assert_held_back(client, pid)
    if agent.pid is None:       # a device between us may not pass the end on while it holds data
        kill(pid)
    eventually(lambda: not alive(pid), "its end is noticed too")


def test_keepalive_ends_who_never_reads(agent, client, bounded, alive):
    """Where the transport does not tell that a peer is gone, its silence does."""
    with agent.connect() as c:
        c.hello(keepalive_ms=700)
        call = c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
        pid = call.event("started")["pid"]
        eventually(lambda: not alive(pid), "dropped for its silence")
        if not REMOTE:      # a device between us may take its time to pass the end on
            with pytest.raises(Disconnected):
                while True:
                    c.recv()
    assert_works(client)


def test_nothing_is_lost_by_a_pause(agent, client, bounded):
    with agent.connect() as c:
        call = c.open("proc.exec", {"cmd": f"{FIVE_MB}; {FIVE_MB} >&2"})
        call.event("started")
        for _ in range(3):
            call.read(len(call.stdout) + 1_000_000)
            assert_works(client)            # long enough to fill every buffer
        assert call.wait(LONG)["code"] == 0
        assert call.stdout == call.stderr == NUMBERS[:5_000_000]


def test_many_stalled_clients(agent, client, bounded):
    """What is held for each is a fixed amount, and a small one."""
    stalled = [agent.connect() for _ in range(8)]
    try:
        started = [c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"}).event("started") for c in stalled]
        for event in started:
            assert_held_back(client, event["pid"])
        assert_works(client)
    finally:
        for c in stalled:
            c.close()


def test_unread_responses_stall_their_connection_only(agent, client, bounded):
    """Requests by the thousand with large answers, none of which is read."""
    request = frame([REQUEST, 0, "system.methods", {}])
    with agent.connect() as c:
        sent = 0
        try:
            while sent < 20000:
                c.sock.send(request * 10)   # not Client.send: that would read
                sent += 10
        except BlockingIOError:
            pass                            # the agent stopped reading: as it should
        assert_works(client)


def test_input_waits_for_a_process_that_reads_late(conn, bounded):
    """More than all buffers hold: the sender is held back, and nothing is lost."""
    call = conn.open("proc.exec", {"cmd": "sleep 1; exec cat", "stdin": True})
    assert call.write(NUMBERS[:5_000_000], 60) == 5_000_000
    call.end()
    assert call.wait(LONG)["code"] == 0
    assert call.stdout == NUMBERS[:5_000_000]


def test_a_stalled_stdin_stalls_neither_agent_nor_others(agent, client, bounded, alive, kill):
    """A process that does not read its input: transport mode has the socket to hold back."""
    with agent.connect() as c:
        call = c.open("proc.exec", {"cmd": "sleep 60", "stdin": True, "on_disconnect": "kill"})
        pid = call.event("started")["pid"]
        block = frame([DATA, call.id, STDIN, b"x" * MAX_DATA])
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                c.send_bytes(block, timeout=1)
        assert_works(client)
        assert alive(pid)
    if agent.pid is None:       # a relay between us may be stuck, and not pass the end on
        kill(pid)
    eventually(lambda: not alive(pid), "the end of the connection is noticed though nothing is read from it")


# -- credit mode ---------------------------------------------------------------------------------

def test_no_byte_beyond_the_credit(agent):
    with agent.connect() as c:
        c.hello(window=10000)
        call = c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
        call.auto_credit = False
        for allowed, grant in ((10000, 5000), (15000, 1), (15001, 200_000), (215_001, 0)):
            call.read(allowed)
            for _ in range(10):
                c.call("system.ping")
            assert call.stdout == (b"y\n" * allowed)[:allowed]
            call.grant(grant)


def test_credit_is_for_both_channels_together(agent):
    with agent.connect() as c:
        c.hello(window=10000)
        call = c.open("proc.exec", {"cmd": "yes & yes >&2", "on_disconnect": "kill"})
        call.auto_credit = False
        call.pump(lambda: len(call.stdout) + len(call.stderr) >= 10000, what="the window")
        for _ in range(10):
            c.call("system.ping")
        assert len(call.stdout) + len(call.stderr) == 10000


def test_a_stalled_call_stalls_no_other(agent, bounded):
    with agent.connect() as c:
        c.hello(window=10_000)
        stalled = []
        for _ in range(5):
            call = c.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
            call.auto_credit = False
            stalled.append(call)
        for call in stalled:
            call.read(10_000)
        assert_works(c)
        for call in stalled:
            assert_held_back(c, call.events[0]["pid"])
            assert len(call.stdout) == 10_000


def test_nothing_is_lost_with_credit_in_small_coin(agent):
    out, err = rounds(3000), rounds(2000)
    with agent.connect() as c:
        c.hello(window=1)
        call = c.open("proc.exec", {"cmd": f"{numbers(out)}; {numbers(err)} >&2"})
        assert call.wait(LONG)["code"] == 0
        assert call.stdout == NUMBERS[:out] and call.stderr == NUMBERS[:err]


def test_the_response_waits_for_the_data_before_it(agent):
    """All data of a call precedes its response, however long that takes."""
    with agent.connect() as c:
        c.hello(window=100)
        call = c.open("proc.exec", {"cmd": f"{numbers(5000)}; exit 3"})
        call.auto_credit = False
        call.read(100)
        for _ in range(10):
            c.call("system.ping")
        assert not call.done
        call.grant(10000)
        assert call.wait()["code"] == 3 and call.stdout == NUMBERS[:5000]


def test_input_beyond_the_credit_ends_the_connection(agent, client):
    with agent.connect() as c:
        hello = c.hello(window=1000)
        assert hello["window"] > 0
        call = c.open("proc.exec", {"cmd": "sleep 60", "stdin": True, "on_disconnect": "kill"})
        call.event("started")
        with pytest.raises(Disconnected) as e:
            # A process that reads nothing gives back no more than its pipe holds.
            for _ in range((hello["window"] + (2 << 20)) // MAX_DATA + 1):
                c.send([DATA, call.id, STDIN, b"x" * MAX_DATA])
            while True:
                c.recv()
        assert e.value.goodbye["code"] == "protocol_error" and e.value.goodbye["message"]
    client.call("system.ping")


def test_input_up_to_the_credit_is_taken_at_once(agent):
    """The window is a promise: the agent takes that much though the process reads nothing."""
    with agent.connect() as c:
        window = c.hello(window=1000)["window"]
        call = c.open("proc.exec", {"cmd": "read line; sleep 60", "stdin": True, "on_disconnect": "kill"})
        call.event("started")
        assert call.write(b"x" * window) == window
        c.call("system.ping")
        assert not call.done and call.granted <= 1 << 20


def test_credit_comes_back_as_the_process_reads(agent):
    with agent.connect() as c:
        window = c.hello(window=100_000)["window"]
        call = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        assert call.write(NUMBERS[:5_000_000], 60) == 5_000_000
        call.end()
        assert call.wait(LONG)["code"] == 0 and call.stdout == NUMBERS[:5_000_000]
        assert 5_000_000 - window <= call.granted <= 5_000_000


def test_calls_before_the_credit_have_none_to_wait_for(agent):
    """A call opened in transport mode lives on when another one is opened in credit mode."""
    with agent.connect() as c:
        early = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        early.write(b"early")
        assert early.read(5) == b"early"
        c.hello(window=10_000)
        late = c.open("proc.exec", {"cmd": FIVE_MB})
        assert late.wait(LONG)["code"] == 0 and late.stdout == NUMBERS[:5_000_000]
        early.end()
        assert early.wait()["code"] == 0


# -- side by side --------------------------------------------------------------------------------

def test_two_streams_of_a_connection_both_get_on(conn):
    one, two = (conn.open("proc.exec", {"argv": ["yes", word], "on_disconnect": "kill"}) for word in ("a", "b"))
    conn.pump(lambda: len(one.stdout) > 500_000 and len(two.stdout) > 500_000, LONG, "500 kB of each")
    assert set(one.stdout) == set(b"a\n") and set(two.stdout) == set(b"b\n")


def test_pings_are_answered_beside_a_bulk_stream(conn):
    bulk = conn.open("proc.exec", {"argv": ["yes"], "on_disconnect": "kill"})
    bulk.read(10000)
    for _ in range(100):
        conn.call("system.ping")
    assert not bulk.done


def test_output_and_input_of_many_calls_at_once(conn):
    calls = [conn.open("proc.exec", {"argv": ["cat"], "stdin": True}) for _ in range(10)]
    for part in range(0, 200_000, 20_000):
        for i, call in enumerate(calls):
            call.write(NUMBERS[i:][part:part + 20_000])
    for call in calls:
        call.end()
    for i, call in enumerate(calls):
        assert call.wait(LONG)["code"] == 0
        assert call.stdout == NUMBERS[i:][:200_000]


@pytest.mark.local  # an emulated guest takes that long for a line
@pytest.mark.parametrize("pty", [False, True])
def test_lines_travel_together(conn, pty):
    """A program that prints line by line does not cost a message for each, but one a millisecond."""
    script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i + 1)); done"
    started = time.monotonic()
    call = conn.open("proc.exec", {"cmd": script, **({"pty": {}} if pty else {})})
    assert call.wait(LONG)["code"] == 0
    assert call.stdout.split() == [b"%d" % i for i in range(5000)]
    milliseconds = 1000 * (time.monotonic() - started)
    assert call.kinds.count(DATA) < 100 + milliseconds


def test_a_data_message_is_never_longer_than_64_kib(client):
    """Call checks each one; here there is every occasion to send a longer one."""
    call = client.open("proc.exec", {"cmd": FIVE_MB})
    call.wait(LONG)
    assert call.stdout == NUMBERS[:5_000_000]
    assert client.largest_frame <= MAX_DATA + len(pack([DATA, 1 << 31, 1, b"x" * MAX_DATA])) - MAX_DATA


@pytest.mark.parametrize("command", ["yes", "echo x; yes | head -c 3000000; sleep 60"])
def test_a_cancel_is_answered_though_the_client_takes_nothing(agent, command):
    """Output that nobody takes kept the process from being done with, and the cancel from its answer."""
    with agent.connect() as c:
        c.hello(window=10)
        call = c.open("proc.exec", {"cmd": command})
        call.auto_credit = False
        call.read(2)
        c.call("system.ping")
        call.cancel()
        assert error_of(call.wait).code == "canceled"


def test_only_the_end_of_channel_0_ends_the_input(agent):
    """An end of channel 1 from the client closed its stdin."""
    with agent.connect() as c:
        call = c.open("proc.exec", {"argv": ["cat"], "stdin": True})
        for channel in (1, 2, 7):
            c.send([END, call.id, channel])
        call.write(b"still open")
        assert call.read(10) == b"still open"
        call.end()
        assert call.wait()["code"] == 0


def test_going_back_to_transport_mode_frees_what_waits_for_credit(agent):
    with agent.connect() as c:
        c.hello(window=10)
        call = c.open("proc.exec", {"cmd": "head -c 100000 /dev/zero"})
        call.auto_credit = False
        call.read(10)
        c.hello(window=0)
        assert call.wait()["code"] == 0 and len(call.stdout) == 100000
