"""proc.exec: the streams of a process, its input, its end and what is told about it."""

import pytest

from client import DATA, END, EVENT, LONG, RESPONSE, STDIN
from support import NUMBERS, numbers, rounds

SIZES = [0, 1, 2, 100, 5000, 200_000, 5_000_000]

def execute(client, **spawn):
    """Run to the end; the Call."""
    call = client.open("proc.exec", spawn)
    call.wait(LONG)
    return call


# -- output --------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_stdout_arrives_whole(conn, size):
    call = execute(conn, cmd=numbers(size))
    assert call.stdout == NUMBERS[:size] and call.stderr == b""
    assert call.result["code"] == 0 and call.result["eof"] is True
    assert call.result["stdout_bytes"] == size and call.result["stderr_bytes"] == 0
    assert call.result["stdout_dropped"] == 0


@pytest.mark.parametrize("size", SIZES)
def test_stderr_arrives_whole(conn, size):
    call = execute(conn, cmd=f"({numbers(size)}) >&2")
    assert call.stderr == NUMBERS[:size] and call.stdout == b""
    assert call.result["stderr_bytes"] == size and call.result["stdout_bytes"] == 0
    assert call.result["stderr_dropped"] == 0


@pytest.mark.parametrize("size", SIZES)
def test_both_streams_at_once(conn, size):
    call = execute(conn, cmd=f"({numbers(size)}) >&2 & ({numbers(size)} | tr 0-9 a-j); wait")
    assert call.stderr == NUMBERS[:size]
    assert call.stdout == NUMBERS[:size].translate(bytes.maketrans(b"0123456789", b"abcdefghij"))
    assert call.result["stdout_bytes"] == call.result["stderr_bytes"] == size


def test_output_is_bytes(client):
    """Every byte there is, none of them touched."""
    octal = "".join(f"\\{i:03o}" for i in range(256))
    assert execute(client, argv=["printf", octal]).stdout == bytes(range(256))


def test_output_comes_while_the_process_runs(client):
    call = client.open("proc.exec", {"cmd": "echo ready; cat", "stdin": True})
    assert call.read(6) == b"ready\n" and not call.done
    call.end()
    assert call.wait()["code"] == 0


def test_merge_keeps_the_order(conn):
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done"
    call = execute(conn, cmd=script, merge=True)
    assert call.stderr == b""
    assert call.stdout.decode() == "".join(f"out {i}\nerr {i}\n" for i in range(1, 10))
    assert call.result["stdout_bytes"] == len(call.stdout) and call.result["stderr_bytes"] == 0


def test_started_comes_first_and_the_response_last(conn):
    call = execute(conn, cmd="echo $$; echo >&2")
    assert call.kinds[0] == EVENT and call.kinds[-1] == RESPONSE
    assert call.kinds.count(RESPONSE) == 1 and set(call.kinds[1:-1]) <= {DATA, END}
    started = call.events[0]
    assert started["type"] == "started"
    assert started["pid"] == int(call.stdout), "the process itself, not a helper"
    assert isinstance(started["id"], str) and started["id"]
    assert len(call.events) == 1


def test_a_process_made_its_own_id_or_was_given_one(client):
    ids = [execute(client, argv=["true"]).events[0]["id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert execute(client, argv=["true"], id="exec-mine").events[0]["id"] == "exec-mine"


def test_the_same_id_again_attaches_and_starts_nothing(client, guest_dir):
    spawn = {"cmd": f"echo once | tee -a {guest_dir}/runs", "id": "exec-again"}
    first = execute(client, **spawn)
    second = execute(client, **spawn)
    assert first.stdout == second.stdout == b"once\n"
    assert second.result == first.result
    assert client.call("proc.run", {"argv": ["cat", f"{guest_dir}/runs"]})["stdout"] == b"once\n"


# -- input ---------------------------------------------------------------------------------------

def test_input_is_echoed_and_ended(conn):
    call = conn.open("proc.exec", {"argv": ["cat"], "stdin": True})
    for word in (b"one ", b"two ", b"three"):
        already = len(call.stdout)
        call.write(word)
        assert call.read(already + len(word)).endswith(word)
    assert not call.done
    call.end()
    assert call.wait()["code"] == 0 and call.stdout == b"one two three"


def test_input_may_end_at_once(conn):
    call = conn.open("proc.exec", {"argv": ["cat"], "stdin": True})
    call.end()
    assert call.wait()["code"] == 0 and call.stdout == b""


def test_five_megabytes_through_cat(conn):
    call = conn.open("proc.exec", {"argv": ["cat"], "stdin": True})
    assert call.write(NUMBERS[:5_000_000], 60) == 5_000_000
    call.end()
    assert call.wait(LONG)["code"] == 0
    assert call.stdout == NUMBERS[:5_000_000]
    if conn.window:
        assert 0 < call.granted <= 5_000_000, "credit comes back for what was consumed, not more"
    else:
        assert call.granted == 0, "no credit in transport mode"


def test_an_empty_data_message_is_not_the_end(conn):
    call = conn.open("proc.exec", {"argv": ["cat"], "stdin": True})
    conn.send([DATA, call.id, STDIN, b""])
    call.write(b"more")
    call.end()
    call.wait()
    assert call.stdout == b"more"


def test_data_after_the_end_of_input_is_not_seen(client):
    call = client.open("proc.exec", {"argv": ["cat"], "stdin": True})
    call.write(b"before")
    call.end()
    client.send([DATA, call.id, STDIN, b"after"])
    call.wait()
    assert call.stdout == b"before"
    client.call("system.ping")


def test_without_stdin_there_is_dev_null(client):
    call = execute(client, cmd="readlink /proc/self/fd/0; cat; echo over")
    assert call.stdout == b"/dev/null\nover\n"


def test_stdin_closed_by_the_process_is_not_fatal(conn):
    """The rest of the input goes nowhere (EPIPE), without harm to call and connection."""
    call = conn.open("proc.exec", {"cmd": "exec 0</dev/null; echo closed; sleep 1; exit 7", "stdin": True})
    call.read(7)
    call.write(NUMBERS[:300_000])
    if not call.done:
        call.end()
    assert call.wait()["code"] == 7
    conn.call("system.ping")


def test_the_process_may_end_with_input_unread(conn):
    call = conn.open("proc.exec", {"cmd": "head -c 5; exit 3", "stdin": True})
    call.write(NUMBERS[:300_000])
    assert call.wait()["code"] == 3
    assert call.stdout == NUMBERS[:5]
    conn.call("system.ping")


# -- the end -------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [0, 1, 126, 127, 128, 143, 255])
def test_exit_codes(client, code):
    result = execute(client, cmd=f"exit {code}").result
    assert result["code"] == code and result["signal"] is None
    assert result.get("signal_name") is None
    assert result["timed_out"] is False and result["oom_killed"] is False and result["core"] is False


@pytest.mark.parametrize("number, name", [(1, "SIGHUP"), (2, "SIGINT"), (9, "SIGKILL"), (13, "SIGPIPE"),
                                          (14, "SIGALRM"), (15, "SIGTERM"), (10, "SIGUSR1")])
def test_death_by_signal_is_not_an_exit_code(client, number, name):
    result = execute(client, cmd=f"kill -{number} $$; sleep 5").result
    assert result["code"] is None
    assert result["signal"] == number and result["signal_name"] == name
    assert result["timed_out"] is False


def test_a_crash_is_told(client):
    result = execute(client, cmd="kill -SEGV $$; sleep 5").result
    assert result["code"] is None and result["signal_name"] == "SIGSEGV"
    assert isinstance(result["core"], bool)


def test_output_may_end_long_before_the_process(client):
    result = execute(client, cmd="exec >&- 2>&-; sleep 0.5; exit 3").result
    assert result["code"] == 3 and result["eof"] is True
    assert result["duration_ms"] >= 400


def test_the_last_output_comes_before_the_response(client):
    """Output and exit race here; output always wins."""
    for _ in range(rounds(50)):
        call = execute(client, cmd="printf last; printf words >&2")
        assert call.stdout == b"last" and call.stderr == b"words"
        assert call.kinds[-1] == RESPONSE


def test_a_background_child_with_the_output_open_does_not_hold_the_response(client, alive, kill):
    call = execute(client, cmd="sleep 60 & echo $!; exit 4")
    result = call.result
    assert result["code"] == 4 and result["eof"] is False
    assert result["duration_ms"] < 20000
    child = int(call.stdout)
    assert alive(child), "it is not the agent's business to end it"
    kill(child)


def test_a_background_child_with_its_own_output_leaves_eof(client, alive, kill):
    call = execute(client, cmd="sleep 60 >/dev/null 2>&1 & echo $!")
    assert call.result["eof"] is True
    kill(int(call.stdout))


# -- what is told --------------------------------------------------------------------------------

def test_times_and_resources(client):
    call = execute(client, cmd=f"i=0; while [ $i -lt {rounds(300_000)} ]; do i=$((i+1)); done")
    result = call.result
    for name in ("started_us", "exited_us", "duration_ms", "user_ms", "system_ms", "max_rss", "stdout_bytes",
                 "stderr_bytes", "stdout_dropped", "stderr_dropped"):
        assert type(result[name]) is int and result[name] >= 0, name
    now = client.call("system.ping")["time_us"]
    assert now - 3_600_000_000 < result["started_us"] <= result["exited_us"] <= now
    assert abs((result["exited_us"] - result["started_us"]) / 1000 - result["duration_ms"]) < 50
    assert 20 <= result["user_ms"] + result["system_ms"] <= result["duration_ms"] + 50
    assert 100 << 10 < result["max_rss"] < 1 << 30, "bytes, not kilobytes"


def test_an_idle_process_uses_no_cpu(client):
    result = execute(client, argv=["sleep", "0.5"]).result
    assert 450 <= result["duration_ms"] < 20000
    assert result["user_ms"] + result["system_ms"] < 200


# -- many ----------------------------------------------------------------------------------------

def max_calls(client):
    return client.hello()["limits"].get("max_calls")


def test_two_hundred_at_once(client):
    count = min(rounds(200), max_calls(client) or 200)
    calls = [client.open("proc.exec", {"cmd": f"echo {i}; echo {i} >&2; exit {i}"}) for i in range(count)]
    for i, call in enumerate(calls):
        assert call.wait(LONG)["code"] == i
        assert call.stdout == call.stderr == f"{i}\n".encode()
    assert len({c.events[0]["pid"] for c in calls}) == count
    assert client.strays == []


@pytest.mark.local      # a thousand processes are more than a small guest holds
def test_more_calls_than_allowed_are_refused(client):
    limit = max_calls(client)
    assert limit is not None and limit <= 2000, "hello states a limit that a test can reach"
    calls = [client.open("proc.exec", {"argv": ["cat"], "stdin": True}) for _ in range(limit + 20)]
    for call in calls:
        call.pump(lambda: call.events, LONG, "started or refused")
    refused = [c for c in calls if c.done]
    assert len(refused) >= 20
    for call in refused:
        assert call.error["code"] == "limit" and call.error["message"]
    for call in calls:
        if call not in refused:
            call.write(b"x")
            call.end()
    for call in calls:
        if call not in refused:
            assert call.wait(LONG)["code"] == 0 and call.stdout == b"x"
    assert execute(client, argv=["true"]).result["code"] == 0
