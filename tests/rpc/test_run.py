"""proc.run: one request, one response."""

import pytest

from client import LONG, MAX_FRAME
from support import NUMBERS, error_of, eventually, numbers, rounds


def run(client, **spawn):
    return client.call("proc.run", spawn, 60)


def test_the_result_holds_everything(client):
    result = run(client, cmd="echo out; echo err >&2; exit 3")
    assert result["stdout"] == b"out\n" and result["stderr"] == b"err\n"
    assert result["code"] == 3 and result["signal"] is None
    assert result["stdout_truncated"] is False and result["stderr_truncated"] is False
    assert result["stdout_bytes"] == 4 and result["stderr_bytes"] == 4
    assert result["timed_out"] is False and result["eof"] is True
    assert isinstance(result["id"], str) and result["id"]
    assert {"started_us", "exited_us", "duration_ms", "user_ms", "system_ms", "max_rss", "oom_killed", "core",
            "stdout_dropped", "stderr_dropped"} <= set(result)


def test_pid_and_id_are_those_of_the_process(client):
    result = run(client, cmd="echo $$", id="run-mine")
    assert result["pid"] == int(result["stdout"]) and result["id"] == "run-mine"
    assert run(client, argv=["true"])["id"] != run(client, argv=["true"])["id"]


def test_the_response_is_all_that_comes(client):
    call = client.open("proc.run", {"cmd": "echo hi"})
    call.wait()
    assert call.kinds == [1]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)), NUMBERS[:200_000], NUMBERS[:900_000]], ids=len)
def test_input_reaches_the_process_and_ends(conn, data):
    result = run(conn, argv=["cat"], input=data, max_output=1 << 20)
    assert result["stdout"] == data and result["code"] == 0


def test_without_input_there_is_nothing_to_read(client):
    assert run(client, cmd="cat; echo over")["stdout"] == b"over\n"


def test_input_that_nobody_reads_is_no_error(client):
    assert run(client, cmd="exit 4", input=NUMBERS[:900_000])["code"] == 4
    assert run(client, cmd="exec </dev/null; echo on", input=NUMBERS[:900_000])["stdout"] == b"on\n"


def test_input_and_output_do_not_wait_for_each_other(client):
    """The process writes much before it reads anything."""
    result = run(client, cmd=f"{numbers(3_000_000)}; cat | wc -c >&2", input=NUMBERS[:900_000])
    assert result["stdout_bytes"] == 3_000_000 and int(result["stderr"]) == 900_000


def test_output_is_bytes(client):
    octal = "".join(f"\\{i:03o}" for i in range(256))
    result = run(client, argv=["printf", octal])
    assert result["stdout"] == bytes(range(256)) and type(result["stdout"]) is bytes


# -- max_output ----------------------------------------------------------------------------------

@pytest.mark.parametrize("limit", [0, 1, 10, 999, 1000, 1001, 100_000])
def test_the_beginning_is_kept_and_the_rest_counted(client, limit):
    result = run(client, cmd=f"{numbers(1000)}; {numbers(1000)} >&2; exit 6", max_output=limit)
    for stream in ("stdout", "stderr"):
        assert result[stream] == NUMBERS[:min(limit, 1000)]
        assert result[f"{stream}_truncated"] is (limit < 1000)
        assert result[f"{stream}_bytes"] == 1000
    assert result["code"] == 6


def test_the_streams_are_cut_each_by_itself(client):
    result = run(client, cmd=f"{numbers(1000)}; echo error >&2", max_output=100)
    assert result["stdout_truncated"] is True and result["stderr_truncated"] is False
    assert result["stderr"] == b"error\n"


def test_a_full_capture_does_not_stop_the_process(client):
    result = run(client, cmd=f"{numbers(5_000_000)}; echo end >&2; exit 2", max_output=10)
    assert result["code"] == 2 and result["signal"] is None and result["stderr"] == b"end\n"
    assert result["stdout"] == NUMBERS[:10] and result["stdout_bytes"] == 5_000_000


def test_the_default_limit(client):
    result = run(client, cmd=numbers(300_000))
    assert result["stdout"] == NUMBERS[:262144]
    assert result["stdout_truncated"] is True and result["stdout_bytes"] == 300_000
    exact = run(client, cmd=numbers(262_144))
    assert exact["stdout"] == NUMBERS[:262144] and exact["stdout_truncated"] is False


def test_what_does_not_fit_into_a_frame_is_cut(client):
    result = run(client, cmd=f"{numbers(3_000_000)}; {numbers(3_000_000)} >&2", max_output=1 << 40)
    assert result["stdout_bytes"] == result["stderr_bytes"] == 3_000_000
    assert result["stdout_truncated"] is True and result["stderr_truncated"] is True
    assert NUMBERS.startswith(result["stdout"]) and NUMBERS.startswith(result["stderr"])
    kept = len(result["stdout"]) + len(result["stderr"])
    assert kept > 500_000, "as much as there is room for, not next to nothing"
    assert client.largest_frame <= MAX_FRAME


def test_one_stream_gets_nearly_a_whole_frame(client):
    result = run(client, cmd=numbers(900_000), max_output=1 << 20)
    assert result["stdout"] == NUMBERS[:900_000] and result["stdout_truncated"] is False


def test_merge_captures_both_in_order(client):
    result = run(client, cmd="echo 1; echo 2 >&2; echo 3; echo 4 >&2", merge=True)
    assert result["stdout"] == b"1\n2\n3\n4\n" and result["stderr"] == b""


# -- ends ----------------------------------------------------------------------------------------

def test_death_by_signal(client):
    result = run(client, cmd="echo before; kill -9 $$; sleep 5")
    assert result["code"] is None and result["signal_name"] == "SIGKILL" and result["stdout"] == b"before\n"


def test_a_timeout_still_gives_the_output_so_far(client):
    result = run(client, cmd="echo before; echo error >&2; exec sleep 60", timeout_ms=1500)
    assert result["timed_out"] is True and result["signal"] == 15 and result["code"] is None
    assert result["stdout"] == b"before\n" and result["stderr"] == b"error\n"


def test_a_background_child_does_not_hold_the_response(client, kill):
    result = run(client, cmd="sleep 60 & echo $!")
    assert result["eof"] is False and result["code"] == 0 and result["duration_ms"] < 20000
    kill(int(result["stdout"]))


@pytest.mark.parametrize("spawn, code, stage", [
    ({"argv": ["/no/such/program"]}, "ENOENT", "exec"),
    ({"argv": ["true"], "cwd": "/no/such/dir"}, "ENOENT", "chdir"),
    ({"argv": ["true"], "user": "no-such-user"}, "not_found", "user"),
])
def test_a_failed_spawn_is_an_error(client, spawn, code, stage):
    e = error_of(client.call, "proc.run", spawn)
    assert (e.code, e.stage) == (code, stage)


def test_the_same_id_runs_once(client, guest_dir):
    spawn = {"cmd": f"echo once >>{guest_dir}/runs", "id": "run-again"}
    assert run(client, **spawn)["code"] == 0
    e = error_of(client.call, "proc.run", spawn)
    assert e.code == "exists" and "run-again" in e.message
    assert run(client, argv=["cat", f"{guest_dir}/runs"])["stdout"] == b"once\n"


def test_the_same_id_runs_once_while_it_runs(client, guest_dir):
    spawn = {"cmd": f"echo once >>{guest_dir}/runs; until [ -e {guest_dir}/go ]; do sleep 0.05; done",
             "id": "run-twice"}
    first = client.open("proc.run", spawn)
    eventually(lambda: run(client, cmd=f"cat {guest_dir}/runs 2>/dev/null")["stdout"], "it runs")
    assert error_of(client.call, "proc.run", spawn).code == "exists"
    run(client, argv=["touch", f"{guest_dir}/go"])
    assert first.wait()["code"] == 0
    assert run(client, argv=["cat", f"{guest_dir}/runs"])["stdout"] == b"once\n"


# -- many ----------------------------------------------------------------------------------------

def test_runs_beside_each_other(client):
    """None waits for another: the first ends last."""
    slow = client.open("proc.run", {"argv": ["cat"], "input": b"", "env": {"X": "1"}})
    held = client.open("proc.exec", {"argv": ["cat"], "stdin": True})
    calls = [client.open("proc.run", {"cmd": f"echo {i}"}) for i in range(rounds(50))]
    for i, call in enumerate(calls):
        assert call.wait()["stdout"] == f"{i}\n".encode()
    assert slow.wait()["code"] == 0
    assert not held.done
    held.end()
    assert held.wait()["code"] == 0


def test_large_results_beside_each_other(agent):
    """In credit mode too a response is no data and costs no credit."""
    with agent.connect() as c:
        c.hello(window=100)
        calls = [c.open("proc.run", {"cmd": numbers(200_000)}) for _ in range(10)]
        for call in calls:
            assert call.wait(LONG)["stdout"] == NUMBERS[:200_000]
