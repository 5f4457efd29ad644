"""proc.list, proc.logs and proc.remove: what the agent knows of its processes, for how long."""

import pytest

from client import LONG, MAX_FRAME
from support import NUMBERS, assert_exit, error_of, eventually, go, has_written, info_of, numbers, rounds, unique


def wait(client, process_id):
    return client.call("proc.wait", {"id": process_id}, 60)


def logs(client, process_id, **params):
    return client.call("proc.logs", {"id": process_id} | params)


@pytest.fixture
def fresh(agent, guestd):
    """An agent that remembers nothing yet, where it can be had."""
    return agent if agent.pid is None else guestd()


# -- proc.list -----------------------------------------------------------------------------------

def test_running_and_exited_ones_are_listed(client, start):
    one, two = start(argv=["sleep", "60"], label="one"), start(cmd="echo x; exit 3", label="two")
    result = wait(client, two["id"])
    listed = {p["id"]: p for p in client.call("proc.list")}
    assert listed[one["id"]]["status"] == "running" and listed[one["id"]].get("exit") is None
    assert listed[two["id"]]["status"] == "exited" and listed[two["id"]]["exit"] == result
    assert listed[one["id"]]["label"] == "one" and listed[two["id"]]["label"] == "two"
    assert client.call("proc.list", {"all": False}) is not None
    for info in listed.values():
        for name, kind in {"id": str, "pid": int, "argv": list, "cwd": str, "user": str, "target": str, "pty": bool,
                           "started_us": int, "status": str, "stdout_offset": int, "stderr_offset": int}.items():
            assert type(info[name]) is kind, (name, info)


def test_calls_of_every_kind_are_listed(client):
    run_id, exec_id = unique("list-run"), unique("list-exec")
    client.call("proc.run", {"argv": ["true"], "id": run_id})
    call = client.open("proc.exec", {"argv": ["cat"], "stdin": True, "id": exec_id})
    pid = call.event("started")["pid"]
    assert info_of(client, run_id)["status"] == "exited"
    assert (info_of(client, exec_id)["status"], info_of(client, exec_id)["pid"]) == ("running", pid)
    call.end()
    call.wait()
    assert info_of(client, exec_id)["status"] == "exited"


def test_one_whose_children_hold_its_output_has_exited(client, start):
    info = start(cmd="sleep 60 & exit 3")
    wait(client, info["id"])
    now = info_of(client, info["id"])
    assert now["status"] == "exited" and now["exit"]["code"] == 3 and now["exit"]["eof"] is False


def test_a_failed_spawn_is_not_listed(client):
    process_id = unique("list-failed")
    assert error_of(client.call, "proc.start", {"argv": ["/no/such/program"], "id": process_id})
    assert info_of(client, process_id) is None


def test_offsets_grow_with_the_output(client, start):
    info = start(cmd="echo one; echo two >&2; read x; echo three", stdin=True)
    now = has_written(client, info["id"], 4, 4)
    assert (now["stdout_offset"], now["stderr_offset"]) == (4, 4)
    go(client, info["id"])
    wait(client, info["id"])
    now = info_of(client, info["id"])
    assert (now["stdout_offset"], now["stderr_offset"]) == (10, 4)


def test_arguments_that_are_no_text_are_bytes(client, start):
    argv = ["printf", "%s", b"\xff\xfe", "ümlaut", ""]
    info = start(argv=argv)
    assert info["argv"] == argv
    assert info_of(client, info["id"])["argv"] == argv


def test_long_arguments_are_cut_in_lists(client, start):
    short, long = ["echo", "x" * 3000], ["echo", "x" * 3000, "y" * 3000, "z"]
    one, two = start(argv=short), start(argv=long)
    listed = {p["id"]: p for p in client.call("proc.list")}
    assert listed[one["id"]]["argv"] == short and not listed[one["id"]].get("argv_truncated")
    cut = listed[two["id"]]
    assert cut["argv_truncated"] is True and cut["argv"][0] == "echo"
    assert sum(map(len, cut["argv"])) <= 4096 and "".join(long).startswith("".join(cut["argv"]))


def test_whom_it_runs_as(client, start, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    for user, shown in (("root", "root"), ("0", "root"), ("nobody", "nobody")):
        assert start(argv=["true"], user=user)["user"] == shown
    assert "4321" in start(argv=["true"], user="4321:1234")["user"]


def test_where_it_runs(client, start, guest_dir):
    home = client.call("proc.run", {"cmd": "pwd -P"})["stdout"].decode().strip()
    assert start(argv=["true"])["cwd"] == home
    assert start(argv=["true"], cwd=guest_dir)["cwd"] == guest_dir


@pytest.mark.local
def test_hundreds_with_long_arguments_still_fit(fresh):
    """Lists do not become impossible by what they remember."""
    with fresh.connect() as c:
        calls = [c.open("proc.start", {"argv": ["true", "x" * 4000]}) for _ in range(500)]
        ids = [call.wait(LONG)["id"] for call in calls]
        for process_id in ids:
            wait(c, process_id)
        listed = c.call("proc.list")
        assert set(ids) <= {p["id"] for p in listed} and c.largest_frame <= MAX_FRAME


# -- proc.list all: true -------------------------------------------------------------------------

def everything(client):
    found = client.call("proc.list", {"all": True})
    assert len({p["pid"] for p in found}) == len(found)
    return {p["pid"]: p for p in found}


def test_all_lists_every_process_of_the_guest(client, start):
    info = start(cmd="sleep 61 & echo $!; wait")
    child = int(eventually(lambda: logs(client, info["id"])["text"], "the child is there"))
    # A busybox that runs its own applet is called exe until the applet has named itself.
    eventually(lambda: everything(client)[child]["comm"] == "sleep", "it is what it is going to be")
    ps = everything(client)
    for p in ps.values():
        for name, kind in {"pid": int, "ppid": int, "comm": str, "argv": list, "uid": int, "state": str,
                           "started_us": int, "rss": int, "user_ms": int, "system_ms": int, "threads": int}.items():
            assert type(p[name]) is kind or (name == "comm" and type(p[name]) is bytes), (name, p)
        assert len(p["state"]) == 1 and p["threads"] >= 1 and p["rss"] >= 0
    assert 1 in ps and ps[1]["ppid"] == 0 and ps[1].get("id") is None
    leader = ps[info["pid"]]
    assert leader["argv"] == info["argv"] and leader["comm"] == "sh" and leader["id"] == info["id"]
    assert ps[child]["ppid"] == info["pid"] and ps[child]["argv"] == ["sleep", "61"]
    assert ps[child]["comm"] == "sleep" and ps[child]["id"] == info["id"], "it descends from it"
    assert abs(leader["started_us"] - info["started_us"]) < 3_000_000
    assert leader["started_us"] <= ps[child]["started_us"] + 20_000
    agent = ps[leader["ppid"]]
    assert agent.get("id") is None, "the agent itself is not one of its processes"
    # What stat(5) of /proc says lags behind by some pages for each thread.
    assert 0 < agent["rss"] < 1 << 30 and agent["rss"] % 4096 == 0, "bytes, not pages"


def test_all_knows_users_states_and_times(client, start, is_root):
    if not is_root:
        pytest.skip("the agent is not root")
    info = start(cmd="i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; kill -STOP $$", user="4321:1234")
    eventually(lambda: everything(client)[info["pid"]]["state"] == "T", "it has stopped itself")
    p = everything(client)[info["pid"]]
    assert p["uid"] == 4321 and 0 < p["user_ms"] + p["system_ms"] < 3_600_000


def test_all_finds_what_left_the_session(client, start):
    info = start(cmd="setsid sh -c 'echo $$; exec sleep 62' & wait")
    child = int(eventually(lambda: logs(client, info["id"])["text"], "the child is there"))
    assert everything(client)[child]["id"] == info["id"]


def test_all_copes_with_strange_names(client, start, guest_dir):
    """Brackets, blanks and newlines in a name are where parsers of /proc break."""
    for name in ("a) S 1 (b", "two\nlines", "ümlaut", b"\xff\xfe"):
        path = f"{guest_dir}/".encode() + (name if isinstance(name, bytes) else name.encode())
        made = client.call("proc.run", {"argv": ["cp", "/bin/sleep", path]})
        busybox = client.call("proc.run", {"argv": [path, "0"]})["code"] != 0
        assert made["code"] == 0
        if busybox:     # it goes by its name
            made = client.call("proc.run", {"argv": ["sh", "-c", 'printf "#!/bin/sh\\nread x\\n" >"$0"', path]})
        info = start(argv=[path] if busybox else [path, "60"], stdin=True)
        p = eventually(lambda: everything(client).get(info["pid"]), "it is listed")
        assert p["id"] == info["id"] and p["comm"] in (name, name[:15])


def test_all_while_processes_come_and_go(client, start):
    start(cmd="while :; do true & true & wait; /bin/true; done")
    for _ in range(rounds(50)):
        assert 1 in everything(client)


# -- proc.logs -----------------------------------------------------------------------------------

def test_the_last_lines_of_the_output(client, start):
    info = start(cmd="seq 1 250")
    wait(client, info["id"])
    text = b"".join(b"%d\n" % i for i in range(1, 251))
    for tail in (1, 2, 100, 249, 250, 251, 100_000, 1 << 40):
        got = logs(client, info["id"], tail=tail)
        assert got["text"] == b"".join(text.splitlines(True)[-tail:]) and got["lines"] == min(tail, 250)
        assert got["dropped"] == 0 and not got.get("truncated")
    assert logs(client, info["id"]) == logs(client, info["id"], tail=100)
    assert client.call("proc.logs", {"pid": info["pid"]}) == logs(client, info["id"])
    none = logs(client, info["id"], tail=0)
    assert (none["text"], none["lines"]) == (b"", 0)


@pytest.mark.parametrize("output, lines", [("", 0), ("x", 1), ("x\\n", 1), ("\\n", 1), ("\\n\\n", 2), ("a\\nb", 2),
                                           ("\\na\\n\\n", 3), ("a\\0b\\n\\377\\n", 2)])
def test_what_a_line_is(client, start, output, lines):
    info = start(argv=["printf", output])
    wait(client, info["id"])
    whole = output.encode().decode("unicode_escape").encode("latin-1")
    got = logs(client, info["id"])
    assert (got["text"], got["lines"]) == (whole, lines)
    one = logs(client, info["id"], tail=1)
    assert one["text"] == b"".join(whole.splitlines(True)[-1:]) and one["lines"] == min(lines, 1)


def test_the_streams_of_the_logs(client, start):
    info = start(cmd="seq 1 10; seq 11 20 >&2")
    wait(client, info["id"])
    out, err = (b"".join(b"%d\n" % i for i in r) for r in (range(1, 11), range(11, 21)))
    assert logs(client, info["id"], stream="stdout")["text"] == out
    assert logs(client, info["id"], stream="stderr")["text"] == err
    both = logs(client, info["id"], stream="both")
    assert sorted(both["text"].splitlines()) == sorted((out + err).splitlines()) and both["lines"] == 20
    assert logs(client, info["id"]) == both
    assert logs(client, info["id"], stream="stderr", tail=3)["text"] == b"18\n19\n20\n"
    assert error_of(logs, client, info["id"], stream="stdin").code == "bad_params"


def test_both_streams_in_the_order_they_came(client, start):
    """Each word goes to the stream that its first letter says, and is seen before the next one is sent."""
    info = start(cmd='while read w; do case $w in o*) echo $w;; *) echo $w >&2;; esac; done', stdin=True)
    words = ["o1", "e1", "e2", "o2", "o3", "o4", "e3", "o5", "e4", "e5"]
    out = err = 0
    for word in words:
        client.call("proc.input", {"id": info["id"], "data": f"{word}\n"})
        out, err = (out + 3, err) if word[0] == "o" else (out, err + 3)
        has_written(client, info["id"], out, err)
    for tail in (1, 3, 4, 9, 10, 100):
        got = logs(client, info["id"], tail=tail)
        assert got["text"].decode().split() == words[-tail:] and got["lines"] == min(tail, 10)
    client.call("proc.input", {"id": info["id"], "close": True})
    wait(client, info["id"])
    assert logs(client, info["id"])["text"].decode().split() == words, "also after the exit"


def test_the_order_survives_what_is_overwritten(client, start):
    """One stream runs full many times between two words of the other."""
    info = start(cmd=f"read x; echo first >&2; read x; {numbers(300_000)}; read x; echo last >&2; read x",
                 stdin=True, ring=65536)
    go(client, info["id"])
    has_written(client, info["id"], 0, 6)
    go(client, info["id"])
    has_written(client, info["id"], 300_000, 6)
    go(client, info["id"])
    has_written(client, info["id"], 300_000, 11)
    got = logs(client, info["id"], tail=1 << 20)
    assert got["text"].startswith(b"first\n") and got["text"].endswith(b"last\n")
    assert NUMBERS[:300_000].endswith(got["text"][6:-5]) and len(got["text"]) - 11 + got["dropped"] == 300_000


def test_logs_of_a_running_process(client, start):
    info = start(cmd="echo one; read x; echo two; exit 1", stdin=True)
    has_written(client, info["id"], 4)
    assert logs(client, info["id"])["text"] == b"one\n"
    go(client, info["id"])
    wait(client, info["id"])
    assert logs(client, info["id"])["text"] == b"one\ntwo\n"


def test_logs_by_label(client, start):
    label = unique("logs")
    start(cmd="echo old; exec sleep 60", label=label)
    new = start(cmd="echo new; read x", stdin=True, label=label)
    has_written(client, new["id"], 4)
    assert client.call("proc.logs", {"label": label})["text"] == b"new\n"
    go(client, new["id"])
    wait(client, new["id"])
    assert client.call("proc.logs", {"label": label})["text"] == b"old\n", "the newest running one"


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
def test_what_is_no_longer_kept_is_counted(client, start, stream):
    size = 300_000
    info = start(cmd=f"({numbers(size)}) {'>&2' if stream == 'stderr' else ''}", ring=65536)
    result = wait(client, info["id"])
    dropped = result["stdout_dropped"] + result["stderr_dropped"]
    assert 0 < dropped <= size - 65536
    got = logs(client, info["id"], stream=stream, tail=10)
    assert got["text"] == b"".join(NUMBERS[:size].splitlines(True)[-10:]) and got["lines"] == 10
    assert got["dropped"] == dropped
    got = logs(client, info["id"], stream=stream, tail=1 << 20)
    assert got["text"] == NUMBERS[dropped:size] and got["dropped"] == dropped
    other = {"stdout": "stderr", "stderr": "stdout", "both": "both"}[stream]
    assert logs(client, info["id"], stream=other)["dropped"] == (dropped if other == "both" else 0)


def test_a_text_longer_than_a_frame_is_cut_at_its_front(client, start):
    size = 2_000_000
    info = start(cmd=numbers(size), ring=4 << 20)
    wait(client, info["id"])
    got = logs(client, info["id"], tail=1 << 30)
    assert got["truncated"] is True and got["dropped"] == 0
    assert len(got["text"]) > 900_000 and NUMBERS[:size].endswith(got["text"])
    assert got["lines"] == got["text"].count(b"\n") + (not got["text"].endswith(b"\n"))
    assert not logs(client, info["id"], tail=10).get("truncated")


def test_the_frame_that_hello_agreed_on_is_kept_to(agent, client, start):
    info = start(cmd=numbers(100_000))
    wait(client, info["id"])
    with agent.connect() as c:
        c.hello(max_frame=4096)
        got = logs(c, info["id"], tail=1 << 30)
        assert got["truncated"] is True and c.largest_frame <= 4096
        assert len(got["text"]) > 2000 and NUMBERS[:100_000].endswith(got["text"])


def test_logs_hold_nothing_back(client, start):
    info = start(argv=["yes"], ring=4096)
    for _ in range(20):
        logs(client, info["id"], tail=10)
    before = info_of(client, info["id"])["stdout_offset"]
    has_written(client, info["id"], before + 1_000_000)


# -- proc.remove ---------------------------------------------------------------------------------

def test_what_is_removed_is_forgotten(client, start):
    process_id = unique("remove")
    spawn = {"cmd": "echo hi; exit 3", "id": process_id, "label": unique("remove")}
    for _ in range(3):      # the id is free again
        info = start(**spawn)
        assert_exit(wait(client, process_id), code=3)
        assert client.call("proc.remove", {"id": process_id}) == {}
        assert info_of(client, process_id) is None
        for method, params in (("proc.remove", {"id": process_id}), ("proc.wait", {"id": process_id}),
                               ("proc.attach", {"id": process_id}), ("proc.logs", {"id": process_id}),
                               ("proc.input", {"id": process_id, "data": b"x"}), ("proc.wait", {"pid": info["pid"]}),
                               ("proc.logs", {"label": spawn["label"]})):
            assert error_of(client.call, method, params).code == "not_found", method


def test_a_running_process_is_busy(client, start):
    info = start(cmd="read x; exit 5", stdin=True)
    assert error_of(client.call, "proc.remove", {"id": info["id"]}).code == "busy"
    go(client, info["id"])
    assert wait(client, info["id"])["code"] == 5
    assert client.call("proc.remove", {"id": info["id"]}) == {}


def test_what_is_removed_ends_no_call_that_reads_it(agent, client, start):
    """Whoever was promised the output gets it."""
    info = start(cmd=f"{numbers(100_000)}; exit 4")
    wait(client, info["id"])
    with agent.connect() as c:
        c.hello(window=1000)
        call = c.open("proc.attach", {"id": info["id"]})
        call.auto_credit = False
        call.read(1000)
        removed = client.open("proc.remove", {"id": info["id"]})
        removed.pump(lambda: removed.done)
        assert removed.error is None or removed.error["code"] == "busy"
        call.grant(1 << 20)
        assert_exit(call.wait(), code=4)
        assert call.stdout == NUMBERS[:100_000]


def test_removing_needs_an_id(client, start):
    info = start(argv=["true"])
    wait(client, info["id"])
    assert error_of(client.call, "proc.remove", {"pid": info["pid"]}).code == "bad_params"
    assert error_of(client.call, "proc.remove", {}).code == "bad_params"


# -- how long it is remembered -------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.local
def test_the_last_1024_are_remembered(fresh):
    """And no more; whatever is running does not count."""
    with fresh.connect() as c:
        running = c.call("proc.start", {"argv": ["cat"], "stdin": True})
        ids = []
        for _ in range(31):
            calls = [c.open("proc.run", {"argv": ["true"]}) for _ in range(34)]
            ids += [call.wait(LONG)["id"] for call in calls]
        exited = {p["id"] for p in c.call("proc.list") if p["status"] == "exited"}
        forgotten = [i for i in ids if i not in exited]
        assert len(forgotten) == len(ids) - 1024, "and those that were there before"
        assert set(forgotten) <= set(ids[:34]), "the oldest, which ended in any order"
        assert error_of(c.call, "proc.wait", {"id": forgotten[0]}).code == "not_found"
        assert c.call("proc.wait", {"id": ids[-1]})["code"] == 0
        c.call("proc.input", {"id": running["id"], "data": b"still here", "close": True})
        assert wait(c, running["id"])["code"] == 0


def test_sixteen_megabytes_of_output_are_remembered(fresh):
    count, size = 24, 1 << 20
    with fresh.connect() as c:
        ids = []
        for _ in range(count):
            info = c.call("proc.start", {"cmd": numbers(size), "ring": size})
            assert wait(c, info["id"])["stdout_bytes"] == size
            ids.append(info["id"])
        left = [i for i in ids if info_of(c, i)]
        assert left == ids[-len(left):], "the oldest were forgotten first"
        assert 12 <= len(left) <= 16
        call = c.open("proc.attach", {"id": left[0], "stdout_from": -size})
        call.wait(LONG)
        assert NUMBERS[:size].endswith(call.stdout) and len(call.stdout) >= size - 4096


@pytest.mark.local
def test_the_memory_of_a_forgotten_one_is_given_back(fresh):
    """Only what is remembered counts against the bound: removing makes room."""
    size = 1 << 20
    with fresh.connect() as c:
        first = c.call("proc.start", {"cmd": "echo first"})
        wait(c, first["id"])
        for _ in range(24):
            info = c.call("proc.start", {"cmd": numbers(size), "ring": size})
            wait(c, info["id"])
            assert c.call("proc.remove", {"id": info["id"]}) == {}
        assert info_of(c, first["id"])["status"] == "exited"
