"""Requests for a process behind the one that starts it, without a wait for its answer; values left out as nil."""

import pytest

from support import assert_exit, error_of, info_of, rounds, unique


def test_what_is_asked_right_behind_the_start_finds_the_process(client):
    for _ in range(rounds(20)):
        process_id = unique("behind")
        start = client.open("proc.start", {"argv": ["cat"], "stdin": True, "id": process_id})
        attach = client.open("proc.attach", {"id": process_id})
        waits = client.open("proc.wait", {"id": process_id})
        again = client.open("proc.exec", {"argv": ["cat"], "stdin": True, "id": process_id})
        busy = client.open("proc.remove", {"id": process_id})
        one = client.open("proc.input", {"id": process_id, "data": b"one "})
        two = client.open("proc.input", {"id": process_id, "data": b"two", "close": True})
        assert start.wait()["id"] == process_id
        assert error_of(busy.wait).code == "busy"
        assert (one.wait(), two.wait()) == ({"written": 4}, {"written": 3})
        assert attach.wait() == waits.wait() == again.wait()
        assert_exit(attach.result, code=0)
        assert attach.events[0]["type"] == "attached" and attach.events[0]["info"]["pid"] == start.result["pid"]
        assert again.events[0] == {"type": "started", "id": process_id, "pid": start.result["pid"]}
        assert attach.stdout == again.stdout == b"one two"
    assert client.strays == []


def test_a_stop_right_behind_the_start(client, alive):
    for _ in range(rounds(20)):
        process_id = unique("behind")
        start = client.open("proc.start", {"argv": ["sleep", "60"], "id": process_id})
        stop = client.open("proc.stop", {"id": process_id})
        for call in (start, stop):
            call.pump(lambda call=call: call.done)
        if start.error is None:
            assert_exit(stop.wait(), signal=15, signal_name="SIGTERM")
            assert not alive(start.result["pid"])
        else:
            assert info_of(client, process_id) is None, "it never ran"
    assert client.strays == []


@pytest.mark.parametrize("method, params", [("proc.attach", {}), ("proc.wait", {}),
                                            ("proc.input", {"data": b"x"}), ("proc.logs", {}), ("proc.exec", {"argv": ["/no/such/program"]})])
def test_behind_a_start_that_fails_there_is_an_error_too(client, method, params):
    for _ in range(rounds(10)):
        process_id = unique("behind")
        start = client.open("proc.start", {"argv": ["/no/such/program"], "stdin": True, "id": process_id})
        behind = client.open(method, params | {"id": process_id})
        assert error_of(start.wait).code == "ENOENT"
        if method == "proc.input":      # its bytes may have been taken before
            behind.pump(lambda call=behind: call.done)
        elif method == "proc.logs":
            behind.pump(lambda call=behind: call.done)
            assert behind.error or behind.result["text"] == b""
        else:
            assert error_of(behind.wait)
        assert info_of(client, process_id) is None
        assert client.call("proc.start", {"argv": ["true"], "id": process_id})["id"] == process_id
    assert client.strays == []


def test_a_process_is_not_listed_before_it_runs(client):
    for _ in range(rounds(20)):
        process_id = unique("behind")
        client.open("proc.start", {"argv": ["true"], "id": process_id})
        for info in client.call("proc.list"):
            assert info["pid"] > 0 and info["started_us"] > 0
        assert client.call("proc.wait", {"id": process_id})["code"] == 0


# -- nil is left out -----------------------------------------------------------------------------

def test_nil_is_left_out(client):
    """As Elixir's and JavaScript's encoders write what has no value."""
    process_id = unique("nil")
    info = client.call("proc.start", {"argv": ["cat"], "cmd": None, "pty": None, "stdin": True, "id": process_id,
                                      "label": None, "user": None, "cwd": None, "env": None, "timeout_ms": None,
                                      "ring": None, "on_disconnect": None, "rlimits": None})
    assert info["pty"] is False and info.get("label") is None
    one = {"id": process_id, "pid": None}
    assert client.call("proc.input", one | {"data": b"x", "close": None}) == {"written": 1}
    call = client.open("proc.attach", one | {"label": None, "stdout_from": None, "stderr_from": None, "follow": None,
                                             "stall_ms": None})
    assert call.read(1) == b"x" and not call.done
    assert client.call("proc.signal", one | {"label": None, "signal": "CONT", "scope": None, "foreign": None})
    assert client.call("proc.logs", one | {"label": None, "tail": None, "stream": None})["text"] == b"x"
    assert client.call("proc.list", {"all": None})
    assert client.call("proc.stop", one | {"label": None, "signal": None, "grace_ms": None})["signal"] == 15
    assert client.call("proc.wait", one | {"timeout_ms": None}) == call.wait()


def test_text_as_bytes_and_bytes_as_text(client):
    """Names and values of either kind mean the same."""
    process_id = unique("either")
    info = client.call("proc.start", {"argv": [b"cat"], "stdin": True, "id": process_id.encode(), "label": b"l"})
    assert (info["id"], info["label"], info["argv"]) == (process_id, "l", ["cat"])
    client.call("proc.input", {"id": process_id.encode(), "data": "text", "close": True})
    assert client.call("proc.wait", {"id": process_id.encode()})["code"] == 0
    assert client.call("proc.logs", {"id": process_id.encode(), "stream": b"stdout"})["text"] == b"text"
    running = client.call("proc.start", {"argv": ["sleep", "60"], "on_disconnect": b"kill"})
    params = {"id": running["id"], "signal": b"SIGKILL", "scope": b"leader"}
    assert client.call("proc.signal", params) == {"signaled": 1}


def test_parameters_as_an_array_of_one_map(client):
    """What a stock msgpack-rpc library sends."""
    info = client.call("proc.start", [{"argv": ["true"]}])
    assert client.call("proc.wait", [{"id": info["id"]}])["code"] == 0
    assert info["id"] in [p["id"] for p in client.call("proc.list", [{}])]


def test_answers_hold_no_surprises(client):
    """What is not text by its nature is str, times and sizes are integers that JavaScript keeps exactly."""
    info = client.call("proc.start", {"cmd": "echo x; exit 3"})
    result = client.call("proc.wait", {"id": info["id"]})

    def check(value, where):
        if isinstance(value, dict):
            for name, inner in value.items():
                assert isinstance(name, str)
                check(inner, f"{where}.{name}")
        elif isinstance(value, list):
            for inner in value:
                check(inner, where)
        else:
            assert value is None or type(value) in (str, bool, int), (where, value)
            assert type(value) is not int or abs(value) <= 1 << 53, (where, value)

    check(info, "start")
    check(result, "wait")
    check(info_of(client, info["id"]), "list")
